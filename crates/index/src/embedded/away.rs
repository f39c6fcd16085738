//! Peers that left and may be back: how much is remembered of them. Pure.
//!
//! A peer that left keeps its manifest, so that nothing is sent again when it returns with the same digest, and its
//! order, so that a late message of an old epoch is still refused. Both are given up, those away the longest first,
//! when there are more than [`AWAY_PEERS_MAX`] of them, they hold more than [`AWAY_FILES_MAX`] files, or memory
//! is short: then a peer that returns is a new one and sends all. There is no limit by age, since a quit carries no time
//! and memory is the only cost.

use std::collections::{BTreeMap, HashMap};

use super::arena::PeerKey;

/// Peers remembered while they are away: some 2 GB of names, ids and books at most.
pub(super) const AWAY_PEERS_MAX: usize = 4_000_000;
/// Files remembered of all of them together: some 6 GB at most. An index that starts again remembers everybody.
pub(super) const AWAY_FILES_MAX: u64 = 400_000_000;

/// Who is away, the longest first.
#[derive(Debug, Default)]
pub(super) struct Away {
    queue: BTreeMap<u64, Absence>,
    turns: HashMap<PeerKey, u64>,
    next_turn: u64,
    files: u64,
}

#[derive(Debug)]
struct Absence {
    peer: PeerKey,
    files: u64,
}

impl Away {
    /// A peer left with so many files registered.
    pub(super) fn leave(&mut self, peer: PeerKey, files: u64) {
        self.back(peer);
        self.queue.insert(self.next_turn, Absence { peer, files });
        self.turns.insert(peer, self.next_turn);
        self.next_turn += 1;
        self.files += files;
    }

    /// Files of all that are away.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// A peer is back.
    pub(super) fn back(&mut self, peer: PeerKey) {
        if let Some(absence) = self.turns.remove(&peer).and_then(|turn| self.queue.remove(&turn)) {
            self.files -= absence.files;
        }
    }

    /// Whether there are more than so many, or they hold more files.
    pub(super) fn is_over(&self, peers_max: usize, files_max: u64) -> bool {
        self.queue.len() > peers_max || self.files > files_max
    }

    /// The next peer to forget, where there are more than so many, or they hold more files. Ask until there is none.
    pub(super) fn forget(&mut self, peers_max: usize, files_max: u64) -> Option<PeerKey> {
        if !self.is_over(peers_max, files_max) {
            return None;
        }
        let peer = self.queue.values().next()?.peer;
        self.back(peer);
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_away_the_longest_are_forgotten_first_and_no_more_than_needed() {
        let (mut away, [a, b, c]) = (Away::default(), [0, 1, 2].map(PeerKey::from));
        away.leave(a, 5);
        away.leave(b, 5);
        assert_eq!(away.forget(2, 10), None);
        away.back(a);
        away.leave(a, 5);
        away.leave(c, 1);
        assert_eq!((away.forget(2, 10), away.forget(2, 10)), (Some(b), None));
        away.leave(b, 11);
        assert_eq!((away.forget(2, 10), away.forget(2, 10)), (Some(a), Some(c)));
        assert_eq!((away.forget(2, 10), away.forget(2, 10), away.files), (Some(b), None, 0));
    }

    #[test]
    fn peers_without_files_are_bounded_as_well() {
        let mut away = Away::default();
        (0..3).for_each(|number| away.leave(PeerKey::from(number), 0));
        assert_eq!((away.forget(2, 10), away.forget(2, 10)), (Some(PeerKey::from(0)), None));
    }
}
