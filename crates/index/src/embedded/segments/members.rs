//! Who is in a piece, in its order: the names' numbers, their contents and kinds, how well each block
//! stands, and which names are used.
//!
//! Invariants: names are in order of live sources as they were when the piece was made, most first, then of the hash. A
//! block's class is at least that of each of its names, as long as every rise is told; marks are what was told last.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use peerage_wire::Kind;

use super::{BLOCK, Bound, Standing, WINDOW, WINDOW_WORDS, Window, class_of, ones};

/// Bits of a kind.
pub(super) const KIND_BITS: usize = 3;
/// Bits of a size's class.
const SIZE_BITS: usize = 5;
/// The last class, which has all sizes from half a tebibyte on.
const SIZE_CLASS_MAX: u8 = (1 << SIZE_BITS) - 1;
/// Bits of the sizes of the first class, which has all those below.
const SMALL_BITS: u8 = 9;

/// The names of a piece.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) names: Box<[u32]>,
    pub(super) contents: Box<[u32]>,
    /// The places of the names, in order of the names' numbers.
    pub(super) by_name: Box<[u32]>,
    pub(super) kinds: Kinds,
    pub(super) classes: Box<[AtomicU8]>,
    /// The greatest class of each window's blocks.
    pub(super) window_classes: Box<[AtomicU8]>,
    pub(super) min_hashes: Box<[u32]>,
    pub(super) marks: Marks,
}

/// Bits that change with what is told: they let a search count names without looking at each. Sizes stand apart, since
/// most searches do without them and read the others of all names.
#[derive(Debug, Default)]
pub(super) struct Marks {
    uses: Box<[UseMarks]>,
    sizes: Box<[SizeMarks]>,
}

/// The marks of 64 names, a bit for each in every word.
#[derive(Debug, Default)]
pub(in crate::embedded) struct UseMarks {
    /// Names that a live source uses.
    used: AtomicU64,
    /// Names whose content goes by no other.
    sole: AtomicU64,
}

/// The classes of 64 contents' sizes, a bit of each in every word; all in one line of a core's caches.
#[derive(Debug, Default)]
#[repr(align(64))]
pub(in crate::embedded) struct SizeMarks([AtomicU64; SIZE_BITS]);

/// Each name's kind, as a bitmap for each kind: a search for one reads no other.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    planes: [Box<[u64]>; Kind::ALL.len()],
}

/// The names of a kind as a search asks for them: a piece's, or a table's name by name.
#[derive(Debug, Clone, Copy)]
pub(super) enum OfKind<'a> {
    Plane(&'a [u64]),
    ByName(&'a [u8], u8),
}

/// What a name is put in order by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Key {
    live: Reverse<u32>,
    hash_prefix: u32,
    /// Where the name is in what the piece is made of.
    pub(super) source: u32,
}

impl Key {
    pub(super) const fn new(standing: Standing, source: u32) -> Self {
        Self { live: Reverse(standing.live), hash_prefix: standing.hash_prefix, source }
    }
}

impl Members {
    pub(super) const fn len(&self) -> usize {
        self.names.len()
    }

    pub(super) fn tell(&self, name: u32, standing: Standing, is_resized: bool) -> bool {
        let Some(ordinal) = self.ordinal(name) else { return false };
        let class = class_of(standing.live);
        let bounds = [self.classes.get(ordinal / BLOCK), self.window_classes.get(ordinal / WINDOW)];
        for bound in bounds.into_iter().flatten().filter(|bound| bound.load(Ordering::Relaxed) < class) {
            bound.fetch_max(class, Ordering::Relaxed);
        }
        self.marks.tell(ordinal, standing, is_resized);
        true
    }

    /// The class that no name of a window goes beyond.
    pub(super) fn window_class(&self, window: usize) -> u8 {
        self.window_classes.get(window).map_or(0, |class| class.load(Ordering::Relaxed))
    }

    pub(super) fn bound(&self, block: usize) -> Bound {
        let class = self.classes.get(block).map_or(0, |class| class.load(Ordering::Relaxed));
        Bound { class, min_hash: self.min_hashes.get(block).copied().unwrap_or(u32::MAX) }
    }

    /// Numbers are given one after the other, so that a guess by proportion is nearly right; halving in turn bounds the
    /// steps where it is not.
    fn ordinal(&self, name: u32) -> Option<usize> {
        let at = |rank: usize| {
            let ordinal = *self.by_name.get(rank)? as usize;
            Some((*self.names.get(ordinal)?, ordinal))
        };
        let (mut low, mut high) = (0, self.by_name.len().checked_sub(1)?);
        let mut is_guess = true;
        while low <= high {
            let (lowest, highest) = (at(low)?.0, at(high)?.0);
            if name < lowest || name > highest {
                return None;
            }
            let middle = if is_guess && lowest < highest {
                let part = u64::from(name - lowest) * (high - low) as u64 / u64::from(highest - lowest);
                low + usize::try_from(part).ok()?
            } else {
                low.midpoint(high)
            };
            is_guess = !is_guess;
            let (found, ordinal) = at(middle)?;
            match found.cmp(&name) {
                std::cmp::Ordering::Equal => return Some(ordinal),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle.checked_sub(1)?,
            }
        }
        None
    }

    pub(super) fn memory_bytes(&self) -> usize {
        let kinds = self.kinds.memory_bytes();
        let marks = size_of_val(&*self.marks.uses) + size_of_val(&*self.marks.sizes);
        self.names.len() * 12 + kinds + marks + self.classes.len() * 5
    }
}

impl Marks {
    /// Nothing is marked yet.
    pub(super) fn new(names: usize) -> Self {
        let words = names.div_ceil(64);
        Self {
            uses: std::iter::repeat_with(UseMarks::default).take(words).collect(),
            sizes: std::iter::repeat_with(SizeMarks::default).take(words).collect(),
        }
    }

    pub(super) fn set(&self, ordinal: usize, standing: Standing) {
        self.tell(ordinal, standing, true);
    }

    /// The size is written only where the name comes into use or the size was another: it lies elsewhere in memory, and
    /// names in use are told of often.
    fn tell(&self, ordinal: usize, standing: Standing, is_resized: bool) {
        let (word, bit) = (ordinal / 64, 1 << (ordinal % 64));
        let (Some(uses), Some(SizeMarks(sizes))) = (self.uses.get(word), self.sizes.get(word)) else {
            return;
        };
        let has = |word: &AtomicU64| word.load(Ordering::Relaxed) & bit != 0;
        let set = |word: &AtomicU64, is_set: bool| match (has(word), is_set) {
            (false, true) => _ = word.fetch_or(bit, Ordering::Relaxed),
            (true, false) => _ = word.fetch_and(!bit, Ordering::Relaxed),
            _ => {}
        };
        if is_resized || standing.is_used && !has(&uses.used) {
            for (at, plane) in sizes.iter().enumerate() {
                set(plane, standing.size_class >> at & 1 == 1);
            }
        }
        set(&uses.sole, standing.is_sole);
        set(&uses.used, standing.is_used);
    }

    pub(super) fn uses(&self, word: usize) -> Option<&UseMarks> {
        self.uses.get(word)
    }

    pub(super) fn sizes(&self, word: usize) -> Option<&SizeMarks> {
        self.sizes.get(word)
    }
}

impl UseMarks {
    /// Those that a live source uses.
    pub(in crate::embedded) fn used(&self) -> u64 {
        self.used.load(Ordering::Relaxed)
    }

    /// Those whose content goes by no other name.
    pub(in crate::embedded) fn sole(&self) -> u64 {
        self.sole.load(Ordering::Relaxed)
    }
}

impl SizeMarks {
    /// Some of it, where all that matters is that it is read.
    pub(in crate::embedded) fn any(&self) -> u64 {
        self.0.first().map_or(0, |plane| plane.load(Ordering::Relaxed))
    }

    /// Those whose content may be of a size that is asked for, and those whose content surely is.
    pub(in crate::embedded) fn of(&self, sizes: &Sizes) -> (u64, u64) {
        let planes = self.0.each_ref().map(|plane| plane.load(Ordering::Relaxed));
        // Those of a class or one above: where the class has a bit they need it too, or more above it.
        let at_least = |class: u8| {
            let with_bit = |all: u64, (at, plane): (usize, &u64)| {
                if class >> at & 1 == 1 { all & plane } else { all | plane }
            };
            planes.iter().enumerate().fold(u64::MAX, with_bit)
        };
        let within = |(least, greatest): (u8, u8)| {
            let large_enough = if least == 0 { u64::MAX } else { at_least(least) };
            let too_large = if greatest == SIZE_CLASS_MAX { 0 } else { at_least(greatest + 1) };
            large_enough & !too_large
        };
        let possible = within(sizes.possible);
        match sizes.sure {
            Some(sure) if sure == sizes.possible => (possible, possible),
            sure => (possible, sure.map_or(0, within)),
        }
    }
}

/// Sizes that are asked for, in classes: each is of the sizes below twice the least of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::embedded) struct Sizes {
    /// The classes that have any of them, the first and the last.
    possible: (u8, u8),
    /// Those that have no others.
    sure: Option<(u8, u8)>,
}

impl Sizes {
    pub(in crate::embedded) fn new(min: u64, max: u64) -> Self {
        let (first, last) = (size_class(min), size_class(max));
        let is_first_whole = first == 0 && min == 0 || first > 0 && min == 1 << (first + SMALL_BITS - 1);
        let is_last_whole = match last {
            SIZE_CLASS_MAX => max == u64::MAX,
            last => max == (1 << (last + SMALL_BITS)) - 1,
        };
        let sure = (first + u8::from(!is_first_whole), (last + u8::from(is_last_whole)).saturating_sub(1));
        let is_any = sure.0 <= sure.1 && (is_last_whole || last > 0);
        Self { possible: (first, last), sure: is_any.then_some(sure) }
    }
}

/// The class of a size.
pub(in crate::embedded) fn size_class(bytes: u64) -> u8 {
    let bits = (u64::BITS - bytes.leading_zeros()).to_le_bytes()[0]; // at most 64
    bits.saturating_sub(SMALL_BITS).min(SIZE_CLASS_MAX)
}

impl Kinds {
    pub(super) fn new(names: usize) -> Self {
        Self { planes: std::array::from_fn(|_| vec![0; names.div_ceil(64)].into_boxed_slice()) }
    }

    /// From a plane for each bit of the kinds' numbers, as they are written; of one length.
    pub(super) fn of_bits(bits: &[Box<[u64]>; KIND_BITS]) -> Self {
        let of_kind = |kind: usize| {
            let flip = |bit: usize| if kind >> bit & 1 == 1 { 0 } else { u64::MAX };
            let word = |at: usize| {
                bits.iter().enumerate().fold(u64::MAX, |all, (bit, plane)| all & (plane[at] ^ flip(bit)))
            };
            (0..bits[0].len()).map(word).collect()
        };
        Self { planes: std::array::from_fn(of_kind) }
    }

    /// A bit of the kinds' numbers of all names, as it is written.
    pub(super) fn bit(&self, bit: usize) -> Vec<u64> {
        let mut words = vec![0; self.planes[0].len()];
        for plane in
            self.planes.iter().enumerate().filter(|(kind, _)| kind >> bit & 1 == 1).map(|(_, plane)| plane)
        {
            words.iter_mut().zip(plane).for_each(|(to, word)| *to |= word);
        }
        words
    }

    pub(super) fn set(&mut self, ordinal: usize, kind: u8) {
        let plane = self.planes.get_mut(usize::from(kind));
        if let Some(word) = plane.and_then(|plane| plane.get_mut(ordinal / 64)) {
            *word |= 1 << (ordinal % 64);
        }
    }

    pub(super) fn get(&self, ordinal: usize) -> u8 {
        let is_it =
            |plane: &[u64]| plane.get(ordinal / 64).is_some_and(|word| word >> (ordinal % 64) & 1 == 1);
        (0..).zip(&self.planes).find(|(_, plane)| is_it(plane)).map_or(0, |(kind, _)| kind)
    }

    pub(super) fn of(&self, kind: Kind) -> OfKind<'_> {
        OfKind::Plane(self.planes.get(usize::from(number_of(kind))).map(|plane| &**plane).unwrap_or_default())
    }

    fn memory_bytes(&self) -> usize {
        self.planes.iter().map(|plane| size_of_val(&**plane)).sum()
    }
}

impl OfKind<'_> {
    /// Leaves in a window the names of the kind alone.
    pub(super) fn keep(self, window: usize, names: &mut Window) {
        let first = window * WINDOW_WORDS;
        if let Self::Plane(plane) = self {
            let words = plane.get(first..).unwrap_or_default();
            names.iter_mut().zip(words).for_each(|(to, word)| *to &= word);
            return names.iter_mut().skip(words.len()).for_each(|to| *to = 0);
        }
        (first..).zip(names).for_each(|(at, to)| *to = self.of_word(at, *to));
    }

    /// Those of 64 names, from a multiple of 64 on, that are of the kind.
    pub(super) fn of_word(self, word: usize, names: u64) -> u64 {
        match self {
            Self::Plane(plane) => names & plane.get(word).copied().unwrap_or_default(),
            Self::ByName(kinds, kind) => {
                let is_it = |bit: &usize| kinds.get(word * 64 + bit) == Some(&kind);
                ones(names).filter(is_it).fold(0, |all, bit| all | 1 << bit)
            }
        }
    }
}

/// A kind's number, which is written to disk: the order of [`Kind::ALL`] never changes.
pub(super) fn number_of(kind: Kind) -> u8 {
    let position = Kind::ALL.iter().position(|known| *known == kind);
    position.and_then(|position| u8::try_from(position).ok()).unwrap_or_default()
}

/// The classes and least hashes of the blocks of names in order.
pub(super) fn bounds(order: &[Key]) -> (Box<[AtomicU8]>, Box<[u32]>) {
    let class =
        |block: &[Key]| AtomicU8::new(block.iter().map(|key| class_of(key.live.0)).max().unwrap_or(0));
    let min_hash = |block: &[Key]| block.iter().map(|key| key.hash_prefix).min().unwrap_or(u32::MAX);
    (order.chunks(BLOCK).map(class).collect(), order.chunks(BLOCK).map(min_hash).collect())
}

/// The greatest class of each window's blocks.
pub(super) fn window_classes(classes: &[AtomicU8]) -> Box<[AtomicU8]> {
    let greatest = |blocks: &[AtomicU8]| blocks.iter().map(|class| class.load(Ordering::Relaxed)).max();
    classes.chunks(WINDOW / BLOCK).map(|blocks| AtomicU8::new(greatest(blocks).unwrap_or(0))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_found_by_their_classes_and_those_at_the_ends_are_not_sure() {
        let sizes: Vec<u64> = (0..64).flat_map(|bit| [(1 << bit) - 1, 1 << bit, (1 << bit) + 1]).collect();
        let sizes: Vec<u64> = sizes.into_iter().chain([u64::MAX]).collect();
        for some in sizes.chunks(64) {
            let marks = Marks::new(some.len());
            for (ordinal, size) in some.iter().enumerate() {
                let size_class = size_class(*size);
                let standing = Standing { live: 1, hash_prefix: 0, is_used: true, is_sole: true, size_class };
                marks.set(ordinal, standing);
            }
            for (min, max) in sizes.iter().flat_map(|min| sizes.iter().map(move |max| (*min, *max))) {
                let (possible, sure) = marks.sizes(0).unwrap().of(&Sizes::new(min, max));
                for (ordinal, size) in some.iter().enumerate() {
                    let is_asked_for = (min..=max).contains(size);
                    assert!(possible >> ordinal & 1 == 1 || !is_asked_for, "{size} of {min} to {max}");
                    assert!(sure >> ordinal & 1 == 0 || is_asked_for, "{size} of {min} to {max}");
                }
            }
        }
        assert_eq!(Sizes::new(1 << 20, u64::MAX), Sizes { possible: (12, 31), sure: Some((12, 31)) });
        assert_eq!(Sizes::new(1_000_000, 9), Sizes { possible: (11, 0), sure: None });
    }
}
