//! Which names may have two terms side by side, told without reading the names: phrases of common words would read
//! thousands for each that matches.
//!
//! Each name has a signature of 96 bits, three of them set for every two terms that stand side by side in it. A piece keeps
//! its names' signatures as 96 planes of a bit each, and a pair asks for three planes: of names without the pair some two
//! in a hundred pass, as names have ten terms, so that a fourth of all bits are set.
//!
//! Invariant: a name that has the pair is never told not to. Signatures are written to disk, so how they are made stays:
//! the first 64 planes, which pieces of before have alone, hold two of a pair's bits, and the others the third.

use super::{WINDOW_WORDS, Window, ones};

/// Bits of a signature.
pub(super) const PLANES: usize = 96;
/// Those that pieces have that were written when there were fewer.
pub(super) const PLANES_BEFORE: usize = 64;

/// A name's signature, or what a pair asks of one.
pub(super) type Signature = u128;

/// What a term adds to its pairs' bits: FNV-1a of its bytes (<http://www.isthe.com/chongo/tech/comp/fnv/>).
pub(super) fn hash(term: &str) -> u64 {
    term.bytes()
        .fold(0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// The bits of two terms that stand side by side.
pub(super) const fn bits_of(left: u64, right: u64) -> Signature {
    // Multiplying by 2^64 over the golden ratio brings a change of any bit into the uppermost.
    let mixed = (left.rotate_left(23) ^ right).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    1 << (mixed >> 58) | 1 << (mixed >> 52 & 63) | 1 << (PLANES_BEFORE as u64 + (mixed >> 47 & 31))
}

/// The planes in which a signature has bits.
fn planes_of(mut signature: Signature) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let plane = (signature != 0).then(|| signature.trailing_zeros() as usize)?;
        signature &= signature - 1;
        Some(plane)
    })
}

/// The signatures of a piece's names.
#[derive(Debug, Default)]
pub(super) struct Neighbours {
    /// Plane after plane; none where the piece was written without.
    planes: Box<[u64]>,
    /// Words of a plane.
    words: usize,
}

impl Neighbours {
    /// For so many names, which have no neighbours yet.
    pub(super) fn new(names: usize) -> Self {
        let words = names.div_ceil(64);
        Self { planes: vec![0; words * PLANES].into(), words }
    }

    /// The planes of so many names, as they were written; `None` where they are not of so many.
    pub(super) fn of(planes: Box<[u64]>, names: usize) -> Option<Self> {
        let words = names.div_ceil(64);
        let known = [0, PLANES_BEFORE, PLANES];
        known.iter().any(|known| known * words == planes.len()).then_some(Self { planes, words })
    }

    pub(super) fn planes(&self) -> &[u64] {
        &self.planes
    }

    /// One plane, where there is such.
    fn plane(&self, plane: usize) -> Option<&[u64]> {
        self.planes.get(plane * self.words..(plane + 1) * self.words)
    }

    /// Notes a name's signature.
    pub(super) fn set(&mut self, place: usize, signature: Signature) {
        for plane in planes_of(signature) {
            if let Some(word) = self.planes.get_mut(plane * self.words + place / 64) {
                *word |= 1 << (place % 64);
            }
        }
    }

    /// Takes one plane of another piece's names over, each to its place, which some have not.
    pub(super) fn take(&mut self, plane: usize, other: &Self, places: &[u32]) {
        let Some(to) = self.planes.get_mut(plane * self.words..(plane + 1) * self.words) else { return };
        let mut set = |place: u32| {
            if let Some(word) = to.get_mut(place as usize / 64) {
                *word |= 1 << (place % 64);
            }
        };
        let Some(words) = other.plane(plane) else {
            return places.iter().for_each(|place| set(*place)); // they may have any
        };
        for (places, word) in places.chunks(64).zip(words) {
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
    ByName(&'a [Signature]),
}

impl Signatures<'_> {
    /// Whether a name may have all of some bits.
    pub(super) fn may_have(self, bits: Signature, name: usize) -> bool {
        match self {
            Self::Planes(neighbours) => planes_of(bits)
                .filter_map(|plane| neighbours.plane(plane))
                .all(|plane| plane.get(name / 64).is_none_or(|word| word >> (name % 64) & 1 == 1)),
            Self::ByName(signatures) => signatures.get(name).is_none_or(|signature| signature & bits == bits),
        }
    }

    /// Leaves in a window the names that have all of some bits.
    pub(super) fn keep(self, bits: Signature, window: usize, names: &mut Window) {
        match self {
            Self::Planes(neighbours) => {
                for plane in planes_of(bits).filter_map(|plane| neighbours.plane(plane)) {
                    let words = plane.get(window * WINDOW_WORDS..).unwrap_or_default();
                    names.iter_mut().zip(words).for_each(|(to, word)| *to &= word);
                }
            }
            Self::ByName(signatures) => {
                for (word, to) in (window * WINDOW_WORDS..).zip(names) {
                    for bit in ones(*to) {
                        let signature = signatures.get(word * 64 + bit).copied().unwrap_or(Signature::MAX);
                        *to &= !(u64::from(signature & bits != bits) << bit);
                    }
                }
            }
        }
    }
}
