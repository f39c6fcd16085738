//! The pieces that are in no run, and in which order they are handed out.
//!
//! Where every source is whole they go in the order of the content, beginning at a random piece, so that several who
//! begin together ask one source for different ones. Once partial sources are known the rarest go first, ties at
//! random, and a run goes on for as long as the pieces behind it are as rare.
//!
//! Invariant: each free piece is in just one class, that of the number of partial sources that have it; a step costs
//! a look through bitmaps of one bit a piece at most.

use std::ops::Range;

use super::Ranges;
use crate::have::Have;

/// Kinds of rarity: held by none, one, two, three, four to seven, and more partial sources.
const CLASSES: usize = 6;

/// Random pieces that are tried before all are looked through: where many fit, one of them does.
const TRIES: u32 = 9;

/// Behind no piece.
const NOWHERE: u64 = u64::MAX;

/// The free pieces.
#[derive(Debug)]
pub(super) struct Free {
    ranges: Ranges,
    /// Behind the last run that went to a whole source.
    cursor: u64,
    rarity: Option<Rarity>,
}

/// How many partial sources have which piece.
#[derive(Debug)]
struct Rarity {
    holders: Vec<u16>,
    classes: [Have; CLASSES],
}

impl Free {
    /// These, of which those at or after `cursor` go first.
    pub(super) const fn new(ranges: Ranges, cursor: u64) -> Self {
        Self { ranges, cursor, rarity: None }
    }

    pub(super) const fn len(&self) -> u64 {
        self.ranges.len()
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Puts a piece in; `false` where it was in.
    pub(super) fn insert(&mut self, piece: u64) -> bool {
        let is_new = self.ranges.insert(piece);
        if is_new && let Some(rarity) = &mut self.rarity {
            rarity.class_of(piece).insert(piece);
        }
        is_new
    }

    /// Takes a piece out; `false` where it was not in.
    pub(super) fn remove(&mut self, piece: u64) -> bool {
        if let Some(rarity) = &mut self.rarity {
            rarity.class_of(piece).remove(piece);
        }
        self.ranges.remove(piece)
    }

    /// Whether rarity counts.
    pub(super) const fn is_ranked(&self) -> bool {
        self.rarity.is_some()
    }

    /// From now on rarity counts, among so many pieces.
    pub(super) fn rank(&mut self, pieces: u64) {
        if self.rarity.is_none() {
            let mut rarity = Rarity::new(pieces);
            self.ranges.iter().flatten().for_each(|piece| {
                rarity.classes[0].insert(piece);
            });
            self.rarity = Some(rarity);
        }
    }

    /// One partial source more has the piece, or one less; whether it is free.
    pub(super) fn held(&mut self, piece: u64, is_more: bool) -> bool {
        let Some(rarity) = &mut self.rarity else { return false };
        if is_more && piece + 1 == self.cursor {
            self.cursor = NOWHERE; // somebody goes the same way at the same pace
        }
        let is_free = rarity.class_of(piece).remove(piece);
        if let Some(holders) = usize::try_from(piece).ok().and_then(|at| rarity.holders.get_mut(at)) {
            *holders = if is_more { holders.saturating_add(1) } else { holders.saturating_sub(1) };
        }
        is_free && rarity.class_of(piece).insert(piece)
    }

    /// How many are known that no partial source has.
    pub(super) fn unheld(&self) -> u64 {
        self.rarity.as_ref().map_or(0, |rarity| rarity.classes[0].count())
    }

    /// Takes a run out of at most `max` pieces, of those in `have` where that is given. `random` is any number.
    pub(super) fn take(&mut self, have: Option<&Have>, max: u64, random: u64) -> Option<Range<u64>> {
        let taken = match &self.rarity {
            None => self.ranges.take_at(self.cursor, max)?,
            Some(rarity) => rarity.find(have, max, (self.cursor, random))?,
        };
        if have.is_none() {
            self.cursor = taken.end;
        }
        taken.clone().for_each(|piece| {
            self.remove(piece);
        });
        Some(taken)
    }
}

impl Rarity {
    fn new(pieces: u64) -> Self {
        let holders = vec![0; usize::try_from(pieces).unwrap_or(usize::MAX)];
        Self { holders, classes: std::array::from_fn(|_| Have::none(pieces)) }
    }

    /// The class that a piece is in while it is free.
    fn class_of(&mut self, piece: u64) -> &mut Have {
        let holders = usize::try_from(piece).ok().and_then(|at| self.holders.get(at)).copied();
        &mut self.classes[match holders.unwrap_or(0) {
            few @ 0..=3 => usize::from(few),
            4..=7 => 4,
            _ => 5,
        }]
    }

    /// The rarest that may be had: going on at `cursor` where that is one of them, otherwise anywhere.
    fn find(&self, have: Option<&Have>, max: u64, (cursor, random): (u64, u64)) -> Option<Range<u64>> {
        let mut fit = self.classes.iter().filter(|class| !class.is_empty());
        fit.find_map(|class| {
            let may_take = |piece| class.contains(piece) && have.is_none_or(|have| have.contains(piece));
            // Not the next one: whoever has the same left would choose the same.
            let mut tried = (0..TRIES).map(|at| random.rotate_left(at * 7) % class.pieces().max(1));
            let lucky = || tried.find(|piece| may_take(*piece));
            let anywhere = Some(cursor).filter(|piece| may_take(*piece)).or_else(lucky);
            let first = anywhere.or_else(|| class.any_common(have, random))?;
            let end = (first..first.saturating_add(max)).find(|piece| !may_take(*piece));
            Some(first..end.unwrap_or(first.saturating_add(max)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn have(pieces: u64, of: impl IntoIterator<Item = u64>) -> Have {
        let mut have = Have::none(pieces);
        of.into_iter().for_each(|piece| assert!(have.insert(piece)));
        have
    }

    #[test]
    fn without_partial_sources_the_order_is_the_contents_from_anywhere() {
        let mut free = Free::new(Ranges::from(0..10), 6);
        let runs: Vec<_> = std::iter::from_fn(|| free.take(None, 3, 99)).collect();
        assert_eq!(runs, [6..9, 9..10, 0..3, 3..6]);
    }

    #[test]
    fn the_rarest_go_first_and_runs_stay_together() {
        let mut free = Free::new(Ranges::from(0..10), 0);
        free.rank(10);
        (0..6).for_each(|piece| assert!(free.held(piece, true)));
        (2..4).for_each(|piece| assert!(free.held(piece, true)));
        assert_eq!(free.unheld(), 4);
        let theirs = have(10, 0..5);
        assert_eq!(free.take(Some(&theirs), 9, 0), Some(0..2), "these are held once, the next twice");
        assert_eq!(free.take(Some(&theirs), 9, 0), Some(4..5));
        assert_eq!(free.take(Some(&theirs), 9, 0), Some(2..4));
        assert_eq!(free.take(Some(&theirs), 9, 0), None);
        assert_eq!(free.take(None, 2, 5), Some(7..9), "nobody has 6 to 9, of which that is the second");
        assert_eq!(free.take(None, 9, 0), Some(9..10), "it goes on behind the last");
        assert_eq!(free.take(None, 9, 0), Some(6..7));
        assert_eq!((free.take(None, 9, 0), free.unheld(), free.len()), (Some(5..6), 0, 0));
        assert!(free.insert(3) && !free.held(4, true) && free.held(3, false) && free.unheld() == 0);
        assert!(free.held(3, false) && free.unheld() == 1 && free.remove(3) && free.unheld() == 0);
    }
}
