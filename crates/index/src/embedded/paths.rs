//! The text of names: one after the other in large pieces, each found by a number of 40 bits.
//!
//! Invariants: a path never lies in two pieces. What was given back is used again for a path of the same length.

use std::collections::BTreeMap;

/// Bytes of a piece, as a power of two.
const PIECE_BITS: u32 = 20;
const PIECE: usize = 1 << PIECE_BITS;

/// Every path.
#[derive(Debug, Default)]
pub(super) struct Paths {
    pieces: Vec<Vec<u8>>,
    free: BTreeMap<usize, Vec<u64>>,
}

impl Paths {
    /// Keeps a path and tells where.
    pub(super) fn push(&mut self, path: &str) -> u64 {
        if let Some(at) = self.free.get_mut(&path.len()).and_then(Vec::pop) {
            if let Some(place) = self.range_mut(at, path.len()) {
                place.copy_from_slice(path.as_bytes());
            }
            return at;
        }
        if self.pieces.last().is_none_or(|last| last.len() + path.len() > PIECE) {
            let capacity = if self.pieces.is_empty() { 0 } else { PIECE };
            self.pieces.push(Vec::with_capacity(capacity));
        }
        let piece = self.pieces.len() - 1;
        let last = &mut self.pieces[piece];
        let at = (piece << PIECE_BITS | last.len()) as u64;
        last.extend_from_slice(path.as_bytes());
        at
    }

    /// The path at a place, of so many bytes.
    pub(super) fn get(&self, at: u64, len: usize) -> &str {
        let place = place(at);
        let bytes = self.pieces.get(piece(at)).and_then(|piece| piece.get(place..place + len));
        bytes.and_then(|bytes| std::str::from_utf8(bytes).ok()).unwrap_or_default()
    }

    /// The bytes at a place, for comparing.
    pub(super) fn bytes_at(&self, at: u64, len: usize) -> &[u8] {
        let place = place(at);
        self.pieces.get(piece(at)).and_then(|piece| piece.get(place..place + len)).unwrap_or_default()
    }

    /// Gives a place back.
    pub(super) fn remove(&mut self, at: u64, len: usize) {
        self.free.entry(len).or_default().push(at);
    }

    /// Bytes of memory, without the free places.
    pub(super) fn bytes(&self) -> u64 {
        let text: usize = self.pieces.iter().map(Vec::capacity).sum();
        let books: usize = self.free.values().map(|places| places.capacity() * 8).sum();
        let free: usize = self.free.iter().map(|(len, places)| len * places.len()).sum();
        (text + books - free) as u64
    }

    fn range_mut(&mut self, at: u64, len: usize) -> Option<&mut [u8]> {
        let place = place(at);
        self.pieces.get_mut(piece(at))?.get_mut(place..place + len)
    }
}

fn piece(at: u64) -> usize {
    usize::try_from(at >> PIECE_BITS).unwrap_or(usize::MAX)
}

fn place(at: u64) -> usize {
    usize::try_from(at & (PIECE as u64 - 1)).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_where_they_were_put_and_places_are_used_again() {
        let mut paths = Paths::default();
        let texts: Vec<String> =
            (0..40_000).map(|number| format!("s/{number}/{}", "x".repeat(number % 97))).collect();
        let places: Vec<u64> = texts.iter().map(|text| paths.push(text)).collect();
        assert!(paths.pieces.len() > 1);
        for (at, text) in places.iter().zip(&texts) {
            assert_eq!(paths.get(*at, text.len()), text);
        }
        let before = paths.bytes();
        paths.remove(places[5], texts[5].len());
        let other = "y".repeat(texts[5].len());
        assert_eq!(paths.push(&other), places[5]);
        assert_eq!(paths.get(places[5], other.len()), other);
        assert!(paths.bytes() <= before + 64);
        paths.remove(places[6], texts[6].len());
        assert!(paths.bytes() <= before + 64);
    }
}
