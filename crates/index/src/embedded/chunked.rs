//! A list that grows without being copied: its elements stand in pieces of one size.
//!
//! A plain vector of gigabytes doubles when it is full: for a while it needs three times its size, every reader waits for
//! the copy, and half of it may stay empty.

/// Elements of a piece, as a power of two.
const PIECE_BITS: u32 = 16;
/// Elements of a piece: all have as many but the last.
pub(super) const PIECE: usize = 1 << PIECE_BITS;

/// The list.
#[derive(Debug)]
pub(super) struct Chunked<T> {
    pieces: Vec<Vec<T>>,
}

impl<T> Default for Chunked<T> {
    fn default() -> Self {
        Self { pieces: Vec::new() }
    }
}

impl<T> Chunked<T> {
    /// A list of pieces that are full, all but the last.
    pub(super) fn of_pieces(pieces: Vec<Vec<T>>) -> Self {
        Self { pieces }
    }

    pub(super) fn len(&self) -> usize {
        self.pieces.last().map_or(0, |last| (self.pieces.len() - 1) * PIECE + last.len())
    }

    pub(super) fn get(&self, number: u32) -> Option<&T> {
        self.pieces.get(piece(number))?.get(place(number))
    }

    pub(super) fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.pieces.get_mut(piece(number))?.get_mut(place(number))
    }

    /// Appends an element and gives its number.
    pub(super) fn push(&mut self, value: T) -> u32 {
        let number = u32::try_from(self.len()).unwrap_or(u32::MAX); // memory ends long before 2^32 elements do
        match self.pieces.last_mut() {
            Some(last) if last.len() < PIECE => last.push(value),
            Some(_) => {
                let mut next = Vec::with_capacity(PIECE);
                next.push(value);
                self.pieces.push(next);
            }
            None => self.pieces.push(vec![value]), // a small index stays small
        }
        number
    }

    /// Bytes of memory.
    pub(super) fn bytes(&self) -> u64 {
        let slots: usize = self.pieces.iter().map(Vec::capacity).sum();
        (slots * size_of::<T>()) as u64
    }
}

fn piece(number: u32) -> usize {
    (number >> PIECE_BITS) as usize
}

fn place(number: u32) -> usize {
    number as usize & (PIECE - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn elements_keep_their_numbers_across_pieces() {
        let mut list = Chunked::default();
        let many = u32::try_from(2 * PIECE + 3).unwrap();
        for value in 0..many {
            assert_eq!(list.push(value * 7), value);
        }
        assert_eq!(list.len(), many as usize);
        assert_eq!((list.get(0), list.get(65_536), list.get(many)), (Some(&0), Some(&(65_536 * 7)), None));
        if let Some(value) = list.get_mut(many - 1) {
            *value = 1;
        }
        assert_eq!(list.get(many - 1), Some(&1));
    }
}
