//! Pieces: a content cut at every mebibyte, each piece provable by itself.
//!
//! A piece of 2^20 bytes is a whole subtree of BLAKE3's tree, so its 32-byte chaining value can be computed
//! from the piece and its offset alone, and the values of all pieces merge to the content's hash.
//! Source: the BLAKE3 paper, section 2.1, and the `blake3::hazmat` module.
//!
//! Invariants: a [`PieceList`] exists only for a content of two pieces or more and only after its values have
//! been merged and found to give the hash. A content of one piece (or none: the empty file) is checked by its
//! hash directly.

use blake3::hazmat::{
    ChainingValue, HasherExt, Mode, left_subtree_len, merge_subtrees_non_root, merge_subtrees_root,
};

use crate::{ContentHash, limits};

/// Bytes of a piece; the last of a content may be shorter.
pub const PIECE_BYTES: u64 = 1 << 20;

/// Pieces of a content of `size` bytes: at least one, since even nothing has a hash to check.
#[must_use]
pub const fn piece_count(size: u64) -> u64 {
    if size == 0 { 1 } else { size.div_ceil(PIECE_BYTES) }
}

/// Bytes of the piece at `index` (0-based) of a content of `size` bytes; 0 beyond its end.
#[must_use]
pub const fn piece_len(size: u64, index: u64) -> u64 {
    let rest = size.saturating_sub(index.saturating_mul(PIECE_BYTES));
    if rest < PIECE_BYTES { rest } else { PIECE_BYTES }
}

/// Why a list of piece values is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// The wrong number of bytes for that size.
    #[error("the piece list has {found} bytes where {expected} belong")]
    Length {
        /// Bytes given.
        found: u64,
        /// Bytes that belong.
        expected: u64,
    },
    /// The values don't merge to the content hash.
    #[error("the piece list does not belong to the content")]
    Mismatch,
}

/// Hashes one piece as its bytes arrive.
pub struct PieceHasher {
    hasher: blake3::Hasher,
    is_whole: bool,
}

impl PieceHasher {
    /// For the piece at `index` (0-based) of a content of `size` bytes.
    #[must_use]
    pub fn new(size: u64, index: u64) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.set_input_offset(index * PIECE_BYTES);
        Self { hasher, is_whole: piece_count(size) == 1 }
    }

    /// Takes the next bytes of the piece; never more than [`PIECE_BYTES`] in all.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
    }

    /// The piece's value: its chaining value, or the content hash where the piece is the whole content.
    #[must_use]
    pub fn finish(&self) -> [u8; 32] {
        if self.is_whole { *self.hasher.finalize().as_bytes() } else { self.hasher.finalize_non_root() }
    }
}

/// The proven piece values of one content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PieceList {
    hash: ContentHash,
    size: u64,
    values: Vec<ChainingValue>,
}

impl PieceList {
    /// Merges values just computed from the bytes themselves, giving the list and with it the content hash.
    ///
    /// # Errors
    /// [`PieceError::Length`] when there are not as many values as `size` has pieces.
    pub fn from_values(size: u64, values: Vec<[u8; 32]>) -> Result<Self, PieceError> {
        check_length(size, values.len() as u64 * 32)?;
        let hash = match values.as_slice() {
            [whole] => ContentHash::from_bytes(*whole),
            pieces => ContentHash::from_bytes(*merge_root(size, pieces).as_bytes()),
        };
        Ok(Self { hash, size, values })
    }

    /// Takes a list that a stranger sent, 32 bytes a piece, and proves it against the hash that was asked for.
    ///
    /// # Errors
    /// [`PieceError`] when the length is wrong or the values don't merge to `hash`.
    pub fn prove(hash: ContentHash, size: u64, bytes: &[u8]) -> Result<Self, PieceError> {
        check_length(size, bytes.len() as u64)?;
        let (values, _) = bytes.as_chunks::<32>();
        let list = Self::from_values(size, values.to_vec())?;
        if list.hash == hash { Ok(list) } else { Err(PieceError::Mismatch) }
    }

    /// The list of a content that is one piece: its hash is the only value.
    #[must_use]
    pub fn single(hash: ContentHash, size: u64) -> Self {
        debug_assert_eq!(piece_count(size), 1, "a longer content needs its list");
        Self { hash, size, values: vec![*hash.as_bytes()] }
    }

    /// The content.
    #[must_use]
    pub const fn hash(&self) -> ContentHash {
        self.hash
    }

    /// Bytes of the content.
    #[must_use]
    pub const fn size(&self) -> u64 {
        self.size
    }

    /// Number of pieces, at least one.
    #[must_use]
    pub const fn count(&self) -> u64 {
        self.values.len() as u64
    }

    /// Whether `value` (from [`PieceHasher::finish`]) is that of the piece at `index`.
    #[must_use]
    pub fn is_proven(&self, index: u64, value: &[u8; 32]) -> bool {
        usize::try_from(index).ok().and_then(|index| self.values.get(index)) == Some(value)
    }

    /// The list as it goes over the wire and into a cache: 32 bytes a piece.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        self.values.concat()
    }
}

fn check_length(size: u64, found: u64) -> Result<(), PieceError> {
    let expected = piece_count(size.min(limits::CONTENT_BYTES_MAX)) * 32;
    if found == expected && size <= limits::CONTENT_BYTES_MAX {
        Ok(())
    } else {
        Err(PieceError::Length { found, expected })
    }
}

fn merge_root(size: u64, values: &[ChainingValue]) -> blake3::Hash {
    let (left, right) = merge_halves(size, values);
    merge_subtrees_root(&left, &right, Mode::Hash)
}

fn merge_non_root(size: u64, values: &[ChainingValue]) -> ChainingValue {
    if let [value] = values {
        return *value;
    }
    let (left, right) = merge_halves(size, values);
    merge_subtrees_non_root(&left, &right, Mode::Hash)
}

/// The recursion is at most 24 deep: 16 TiB are 2^24 pieces.
fn merge_halves(size: u64, values: &[ChainingValue]) -> (ChainingValue, ChainingValue) {
    let left_bytes = left_subtree_len(size);
    let (left, right) = values.split_at(usize::try_from(left_bytes / PIECE_BYTES).unwrap_or(usize::MAX));
    (merge_non_root(left_bytes, left), merge_non_root(size - left_bytes, right))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn values_of(content: &[u8]) -> Vec<[u8; 32]> {
        let size = content.len() as u64;
        (0..piece_count(size))
            .map(|index| {
                let start = usize::try_from(index * PIECE_BYTES).unwrap();
                let end = start + usize::try_from(piece_len(size, index)).unwrap();
                let mut hasher = PieceHasher::new(size, index);
                content[start..end].chunks(70_000).for_each(|chunk| hasher.update(chunk));
                hasher.finish()
            })
            .collect()
    }

    fn content_of(size: usize, seed: u8) -> Vec<u8> {
        let mut bytes = vec![0; size];
        blake3::Hasher::new().update(&[seed]).finalize_xof().fill(&mut bytes);
        bytes
    }

    #[test]
    fn values_merge_to_what_b3sum_prints_at_every_border() {
        const MIB: usize = 1 << 20;
        let sizes = [0, 1, 1024, MIB - 1, MIB, MIB + 1, 2 * MIB, 2 * MIB + 1, 3 * MIB, 5 * MIB + 7, 8 * MIB];
        for size in sizes {
            let content = content_of(size, 1);
            let list = PieceList::from_values(size as u64, values_of(&content)).unwrap();
            assert_eq!(list.hash(), ContentHash::of(&content), "{size}");
            assert_eq!(PieceList::prove(list.hash(), size as u64, &list.to_bytes()), Ok(list), "{size}");
        }
    }

    #[test]
    fn a_list_of_another_content_or_length_is_refused() {
        let content = content_of(3 << 20, 2);
        let list = PieceList::from_values(3 << 20, values_of(&content)).unwrap();
        let mut bytes = list.to_bytes();
        assert!(PieceList::prove(list.hash(), 4 << 20, &bytes).is_err());
        assert!(PieceList::prove(list.hash(), (3 << 20) - 1, &bytes[..64]).is_err());
        bytes[40] ^= 1;
        assert_eq!(PieceList::prove(list.hash(), 3 << 20, &bytes), Err(PieceError::Mismatch));
        let huge = PieceList::prove(list.hash(), u64::MAX, &bytes);
        assert!(matches!(huge, Err(PieceError::Length { .. })));
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]
        #[test]
        fn one_flipped_bit_is_seen(size in 1_usize..(3 << 20), at in any::<prop::sample::Index>(), bit in 0_u8..8) {
            let mut content = content_of(size, 3);
            let list = PieceList::from_values(size as u64, values_of(&content)).unwrap();
            let at = at.index(size);
            content[at] ^= 1 << bit;
            let piece = at as u64 / PIECE_BYTES;
            let values = values_of(&content);
            for (index, value) in values.iter().enumerate() {
                prop_assert_eq!(list.is_proven(index as u64, value), index as u64 != piece);
            }
        }
    }
}
