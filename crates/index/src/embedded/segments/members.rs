//! Who is in a piece, in its order: the names' numbers, their contents and kinds, how well each block
//! stands, and which names are used.
//!
//! Invariants: names are in order of live sources as they were when the piece was made, most first, then of the hash. A
//! block's class is at least that of each of its names, as long as every rise is told; marks are what was told last.

use std::cmp::Reverse;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};

use peerage_wire::Kind;

use super::{BLOCK, Bound, Standing, WINDOW_WORDS, Window, class_of};

/// Bits of a kind.
pub(super) const KIND_BITS: usize = 3;

/// The names of a piece.
#[derive(Debug, Default)]
pub(super) struct Members {
    pub(super) names: Box<[u32]>,
    pub(super) contents: Box<[u32]>,
    /// The places of the names, in order of the names' numbers.
    pub(super) by_name: Box<[u32]>,
    pub(super) kinds: Kinds,
    pub(super) classes: Box<[AtomicU8]>,
    pub(super) min_hashes: Box<[u32]>,
    pub(super) marks: Marks,
}

/// Bitmaps that change with what is told: they let a search count names without looking at each.
#[derive(Debug, Default)]
pub(super) struct Marks {
    /// Names that a live source uses.
    used: Box<[AtomicU64]>,
    /// Names whose content goes by no other.
    sole: Box<[AtomicU64]>,
}

/// Each name's kind, as three bitmaps: a bit of the kind each.
#[derive(Debug, Default)]
pub(super) struct Kinds {
    pub(super) planes: [Box<[u64]>; KIND_BITS],
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

    pub(super) fn tell(&self, name: u32, standing: Standing) -> bool {
        let Some(ordinal) = self.ordinal(name) else { return false };
        if let Some(class) = self.classes.get(ordinal / BLOCK) {
            class.fetch_max(class_of(standing.live), Ordering::Relaxed);
        }
        self.marks.set(ordinal, standing);
        true
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
        let kinds: usize = self.kinds.planes.iter().map(|plane| plane.len() * 8).sum();
        let marks = (self.marks.used.len() + self.marks.sole.len()) * 8;
        self.names.len() * 12 + kinds + marks + self.classes.len() * 5
    }
}

impl Marks {
    /// Nothing is marked yet.
    pub(super) fn new(names: usize) -> Self {
        let none = || std::iter::repeat_with(AtomicU64::default).take(names.div_ceil(64)).collect();
        Self { used: none(), sole: none() }
    }

    pub(super) fn set(&self, ordinal: usize, standing: Standing) {
        let bit = 1 << (ordinal % 64);
        for (plane, is_set) in [(&self.used, standing.is_used), (&self.sole, standing.is_sole)] {
            let Some(word) = plane.get(ordinal / 64) else { continue };
            if is_set {
                word.fetch_or(bit, Ordering::Relaxed);
            } else {
                word.fetch_and(!bit, Ordering::Relaxed);
            }
        }
    }

    /// Of 64 names from a multiple of 64 on: those that are used, and those whose content goes by no other name.
    pub(super) fn of_word(&self, word: usize) -> (u64, u64) {
        let of = |plane: &[AtomicU64]| plane.get(word).map_or(0, |word| word.load(Ordering::Relaxed));
        (of(&self.used), of(&self.sole))
    }
}

impl Kinds {
    pub(super) fn new(names: usize) -> Self {
        Self { planes: std::array::from_fn(|_| vec![0; names.div_ceil(64)].into_boxed_slice()) }
    }

    pub(super) fn set(&mut self, ordinal: usize, kind: u8) {
        for (bit, plane) in self.planes.iter_mut().enumerate() {
            if let Some(word) = plane.get_mut(ordinal / 64) {
                *word |= u64::from(kind >> bit & 1) << (ordinal % 64);
            }
        }
    }

    pub(super) fn get(&self, ordinal: usize) -> u8 {
        let bit_of =
            |plane: &[u64]| plane.get(ordinal / 64).is_some_and(|word| word >> (ordinal % 64) & 1 == 1);
        self.planes.iter().enumerate().map(|(bit, plane)| u8::from(bit_of(plane)) << bit).sum()
    }

    pub(super) fn planes(&self) -> [&[u64]; KIND_BITS] {
        self.planes.each_ref().map(|plane| &**plane)
    }
}

/// Leaves in a window the names of a kind alone.
pub(super) fn keep_kind(planes: [&[u64]; KIND_BITS], kind: Kind, window: usize, bits: &mut Window) {
    let kind = number_of(kind);
    for (bit, plane) in planes.into_iter().enumerate() {
        let words = plane.get(window * WINDOW_WORDS..).unwrap_or_default();
        let flip = if kind >> bit & 1 == 1 { 0 } else { u64::MAX };
        for (to, word) in bits.iter_mut().zip(words) {
            *to &= word ^ flip;
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
