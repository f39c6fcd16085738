//! Memory that begins a page, for the kernel to copy into.
//!
//! Invariant: what a [`Room`] derefs to begins a page and has the length that was asked for, always.
//!
//! Some processors copy a page to the start of a page three to five times as fast as to a place 16 bytes beside it,
//! which is where an allocator puts large blocks.

use std::ops::{Deref, DerefMut};
use std::sync::{Mutex, PoisonError};

/// The least a page has.
const PAGE_BYTES: usize = 4_096;

/// Memory that begins a page.
#[derive(Debug, Default)]
pub(crate) struct Room {
    memory: Vec<u8>,
    start: usize,
    len: usize,
}

impl Room {
    /// So many bytes, zero at first.
    pub(crate) fn new(len: usize) -> Self {
        let memory = vec![0; len + PAGE_BYTES];
        let start = memory.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES);
        Self { memory, start, len }
    }
}

impl Deref for Room {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.memory[self.start..self.start + self.len]
    }
}

impl DerefMut for Room {
    fn deref_mut(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..self.start + self.len]
    }
}

/// Rooms of one size, handed on: fresh memory costs as much as a copy into it.
pub(crate) struct Rooms {
    len: usize,
    kept_max: usize,
    spare: Mutex<Vec<Room>>,
}

impl Rooms {
    /// Rooms of `len` bytes, of which so many are kept at most.
    pub(crate) const fn new(len: usize, kept_max: usize) -> Self {
        Self { len, kept_max, spare: Mutex::new(Vec::new()) }
    }

    /// A room; what it holds is left from before.
    pub(crate) fn take(&self) -> Room {
        let spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner).pop();
        spare.unwrap_or_else(|| Room::new(self.len))
    }

    /// For the next who takes one.
    pub(crate) fn give_back(&self, room: Room) {
        let mut spare = self.spare.lock().unwrap_or_else(PoisonError::into_inner);
        if room.len == self.len && spare.len() < self.kept_max {
            spare.push(room);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rooms_begin_a_page_and_are_handed_on() {
        let rooms = Rooms::new(10_000, 1);
        let (mut one, two) = (rooms.take(), rooms.take());
        for room in [&one, &two] {
            assert_eq!((room.as_ptr().align_offset(PAGE_BYTES), room.len()), (0, 10_000));
        }
        one[0] = 7;
        rooms.give_back(one);
        rooms.give_back(two);
        assert_eq!(rooms.take()[0], 7, "the first came back");
        assert_eq!(rooms.take()[0], 0, "only one is kept");
    }
}
