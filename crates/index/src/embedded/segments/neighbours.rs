//! Which names may have two terms side by side, told without reading the names: phrases of common words would read
//! thousands for each that matches.
//!
//! Each name has a signature of 64 bits, two of them set for every two terms that stand side by side in it. A piece keeps
//! its names' signatures as 64 planes of a bit each, and a pair asks for two planes: of names without the pair some six in
//! a hundred pass, as names have ten terms, so that a fourth of all bits are set.
//!
//! Invariant: a name that has the pair is never told not to. Signatures are written to disk, so how they are made stays.

use super::{WINDOW_WORDS, Window, ones};

/// Bits of a signature.
pub(super) const PLANES: usize = 64;

/// What a term adds to its pairs' bits: FNV-1a of its bytes (<http://www.isthe.com/chongo/tech/comp/fnv/>).
pub(super) fn hash(term: &str) -> u64 {
    term.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The bits of two terms that stand side by side.
pub(super) const fn bits_of(left: u64, right: u64) -> u64 {
    // Multiplying by 2^64 over the golden ratio brings a change of any bit into the uppermost.
    let mixed = (left.rotate_left(23) ^ right).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    1 << (mixed >> 58) | 1 << (mixed >> 52 & 63)
}

/// The signatures of a piece's names.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// Plane after plane; none where the piece was written without.
    planes: Box<[u64]>,
}

impl Neighbours {
    /// For so many names, which have no neighbours yet.
    pub(super) fn new(names: usize) -> Self {
        Self { planes: vec![0; names.div_ceil(64) * PLANES].into() }
    }

    /// The planes of so many names, as they were written; `None` where they are not of so many.
    pub(super) fn of(planes: Box<[u64]>, names: usize) -> Option<Self> {
        (planes.is_empty() || planes.len() == names.div_ceil(64) * PLANES).then_some(Self { planes })
    }

    pub(super) fn planes(&self) -> &[u64] {
        &self.planes
    }

    const fn words(&self) -> usize {
        self.planes.len() / PLANES
    }

    fn plane(&self, plane: usize) -> &[u64] {
        self.planes.get(plane * self.words()..(plane + 1) * self.words()).unwrap_or_default()
    }

    /// Notes a name's signature.
    pub(super) fn set(&mut self, place: usize, signature: u64) {
        let words = self.words();
        for plane in ones(signature) {
            if let Some(word) = self.planes.get_mut(plane * words + place / 64) {
                *word |= 1 << (place % 64);
            }
        }
    }

    /// Takes one plane of another piece's names over, each to its place, which some have not.
    pub(super) fn take(&mut self, plane: usize, other: &Self, places: &[u32]) {
        let words = self.words();
        let Some(to) = self.planes.get_mut(plane * words..(plane + 1) * words) else { return };
        let mut set = |place: u32| {
            if let Some(word) = to.get_mut(place as usize / 64) {
                *word |= 1 << (place % 64);
            }
        };
        if other.planes.is_empty() {
            return places.iter().for_each(|place| set(*place)); // they may have any
        }
        for (places, word) in places.chunks(64).zip(other.plane(plane)) {
            ones(*word).filter_map(|bit| places.get(bit)).for_each(|place| set(*place));
        }
    }

    pub(super) fn memory_bytes(&self) -> usize {
        size_of_val(&*self.planes)
    }
}

/// Signatures as a search asks them: a piece's, or a table's name by name.
#[derive(Debug, Clone, Copy)]
pub(super) enum Signatures<'a> {
    Planes(&'a Neighbours),
    ByName(&'a [u64]),
}

impl Signatures<'_> {
    /// Leaves in a window the names that have all of some bits.
    pub(super) fn keep(self, bits: u64, window: usize, names: &mut Window) {
        match self {
            Self::Planes(Neighbours { planes }) if planes.is_empty() => {}
            Self::Planes(neighbours) => {
                for plane in ones(bits) {
                    let words = neighbours.plane(plane).get(window * WINDOW_WORDS..).unwrap_or_default();
                    names.iter_mut().zip(words).for_each(|(to, word)| *to &= word);
                }
            }
            Self::ByName(signatures) => {
                for (word, to) in (window * WINDOW_WORDS..).zip(names) {
                    for bit in ones(*to) {
                        let signature = signatures.get(word * 64 + bit).copied().unwrap_or(u64::MAX);
                        *to &= !(u64::from(signature & bits != bits) << bit);
                    }
                }
            }
        }
    }
}
