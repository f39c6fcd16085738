//! Which pieces of a content somebody has, as a bitmap: in memory, and as it goes over the wire.
//!
//! Over the wire it is one bit a piece, the first piece in the highest bit of the first byte, in as many bytes as are
//! needed and no more; the bits behind the last piece say nothing.
//!
//! Invariants: no bit behind the last piece is set; the count is that of the bits.

/// Pieces in one word.
const WORD: u64 = 64;

/// A set of the pieces of one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Have {
    /// The first piece is the highest bit of the first word.
    words: Vec<u64>,
    pieces: u64,
    count: u64,
}

impl Have {
    /// None of so many pieces.
    pub(crate) fn none(pieces: u64) -> Self {
        Self { words: vec![0; index(pieces.div_ceil(WORD))], pieces, count: 0 }
    }

    /// All of them.
    pub(crate) fn all(pieces: u64) -> Self {
        let mut have = Self::none(pieces);
        have.words.fill(u64::MAX);
        have.seal();
        have
    }

    /// Bytes of a bitmap of so many pieces.
    pub(crate) const fn bytes_of(pieces: u64) -> u64 {
        pieces.div_ceil(8)
    }

    /// Reads a bitmap; `None` where it is longer or shorter than it must be.
    pub(crate) fn read(pieces: u64, bytes: &[u8]) -> Option<Self> {
        if bytes.len() as u64 != Self::bytes_of(pieces) {
            return None;
        }
        let word = |chunk: &[u8]| {
            let mut word = [0; 8];
            word[..chunk.len()].copy_from_slice(chunk);
            u64::from_be_bytes(word)
        };
        let mut have = Self { words: bytes.chunks(8).map(word).collect(), pieces, count: 0 };
        have.seal();
        Some(have)
    }

    /// The bitmap.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        let mut bytes: Vec<u8> = self.words.iter().flat_map(|word| word.to_be_bytes()).collect();
        bytes.truncate(index(Self::bytes_of(self.pieces)));
        bytes
    }

    /// Pieces of the content.
    pub(crate) const fn pieces(&self) -> u64 {
        self.pieces
    }

    /// How many of them are in it.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn contains(&self, piece: u64) -> bool {
        self.words.get(index(piece / WORD)).is_some_and(|word| word & bit(piece) != 0)
    }

    /// Puts a piece in; `false` where it was in, or is none of the content's.
    pub(crate) fn insert(&mut self, piece: u64) -> bool {
        if piece >= self.pieces || self.contains(piece) {
            return false;
        }
        self.words[index(piece / WORD)] |= bit(piece);
        self.count += 1;
        true
    }

    /// Takes a piece out; `false` where it was not in.
    pub(crate) fn remove(&mut self, piece: u64) -> bool {
        if !self.contains(piece) {
            return false;
        }
        self.words[index(piece / WORD)] &= !bit(piece);
        self.count -= 1;
        true
    }

    /// The pieces that are in one of the two and not in the other, in order.
    pub(crate) fn differing<'a>(&'a self, other: &'a Self) -> impl Iterator<Item = u64> + 'a {
        let words = self.words.iter().zip(&other.words).map(|(one, two)| one ^ two);
        (0..).zip(words).flat_map(|(at, word)| pieces_of(at, word))
    }

    /// One of the pieces that are in this and in `other`, each as likely where `random` is any number.
    pub(crate) fn any_common(&self, other: Option<&Self>, random: u64) -> Option<u64> {
        let theirs = |at: usize| other.map_or(u64::MAX, |other| other.words.get(at).copied().unwrap_or(0));
        let common = || self.words.iter().enumerate().map(|(at, word)| word & theirs(at));
        let count = |word: u64| u64::from(word.count_ones());
        let total = other.map_or(self.count, |_| common().map(count).sum());
        let mut left = random.checked_rem(total)?;
        for (at, word) in (0..).zip(common()) {
            match left.checked_sub(count(word)) {
                Some(rest) => left = rest,
                None => return pieces_of(at, word).nth(index(left)),
            }
        }
        None
    }

    /// Counts what is in it, having cut what is behind the last piece.
    fn seal(&mut self) {
        let spare = self.words.len() as u64 * WORD - self.pieces;
        if let Some(last) = self.words.last_mut()
            && spare < WORD
        {
            *last &= u64::MAX << spare;
        }
        self.count = self.words.iter().map(|word| u64::from(word.count_ones())).sum();
    }
}

/// The largest content has 2^24 pieces, so this fits anywhere.
fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

const fn bit(piece: u64) -> u64 {
    1 << (WORD - 1 - piece % WORD)
}

fn pieces_of(at: u64, mut word: u64) -> impl Iterator<Item = u64> {
    std::iter::from_fn(move || {
        let first = u64::from(word.leading_zeros());
        (word != 0).then(|| {
            word &= !bit(first);
            at * WORD + first
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn have(pieces: u64, set: &BTreeSet<u64>) -> Have {
        let mut have = Have::none(pieces);
        set.iter().for_each(|piece| assert_eq!(have.insert(*piece), *piece < pieces));
        have
    }

    #[test]
    fn the_first_piece_is_the_highest_bit_of_the_first_byte() {
        assert_eq!(have(10, &BTreeSet::from([0, 7, 8])).to_bytes(), [0b1000_0001, 0b1000_0000]);
        let read = Have::read(10, &[0b0100_0000, 0b0111_1111]).unwrap();
        assert_eq!(read, have(10, &BTreeSet::from([1, 9])), "what is behind the last piece says nothing");
        for bytes in [0, 1, 3] {
            assert_eq!(Have::read(10, &vec![0; bytes]), None);
        }
        assert_eq!((Have::all(64).count(), Have::all(65).to_bytes().len()), (64, 9));
    }

    proptest! {
        #[test]
        fn it_is_a_set(
            pieces in 1_u64..200,
            one in proptest::collection::btree_set(0_u64..200, 0..60),
            two in proptest::collection::btree_set(0_u64..200, 0..60),
            random: u64,
        ) {
            let (a, b) = (have(pieces, &one), have(pieces, &two));
            let (one, two): (BTreeSet<u64>, BTreeSet<u64>) =
                (one.into_iter().filter(|at| *at < pieces).collect(), two.into_iter().filter(|at| *at < pieces).collect());
            prop_assert_eq!(Have::read(pieces, &a.to_bytes()), Some(a.clone()));
            prop_assert_eq!(a.count(), one.len() as u64);
            prop_assert!(a.differing(&b).eq(one.symmetric_difference(&two).copied()));
            let common: Vec<u64> = one.intersection(&two).copied().collect();
            let expected = random.checked_rem(common.len() as u64).map(|at| common[index(at)]);
            prop_assert_eq!(a.any_common(Some(&b), random), expected);
            prop_assert_eq!(a.any_common(None, random), a.any_common(Some(&Have::all(pieces)), random));
            let mut less = a.clone();
            for piece in 0..220 {
                prop_assert_eq!(less.remove(piece), one.contains(&piece));
            }
            prop_assert_eq!(less, Have::none(pieces));
        }
    }
}
