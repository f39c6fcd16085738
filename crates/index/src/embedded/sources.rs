//! Which peers have which content: a list of peer numbers for each content.
//!
//! Lists live in blocks of 1, 2, 4, 8, … slots; those of one size stand in one [`Chunked`] with a free list, so that a
//! registration costs some five bytes however popular its content is, and no list has an allocation of its own.
//!
//! Invariants: a list of `len` numbers is in a block of the next power of two. Within a list the order means nothing.

use std::sync::atomic::{AtomicU32, Ordering};

use super::arena::{Key, PeerKey};
use super::chunked::{Chunked, PIECE};

/// The largest block: 2^26 peers.
const CLASSES: usize = 27;

/// A content's list, as its record holds it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct List {
    block: u32,
    len: u32,
}

impl List {
    pub(super) fn len(self) -> u32 {
        self.len
    }
}

/// Every list's blocks.
#[derive(Debug, Default)]
pub(super) struct Sources {
    classes: [Class; CLASSES],
}

/// The blocks of one size, one after the other.
#[derive(Debug, Default)]
struct Class {
    slots: Chunked<u32>,
    free: Vec<u32>,
}

impl Sources {
    /// Adds a peer that is not in the list.
    pub(super) fn push(&mut self, list: &mut List, peer: PeerKey) {
        if list.len == 0 || list.len.is_power_of_two() {
            self.resize(list, list.len + 1);
        }
        if let Some(slot) = self.slot_mut(*list, list.len) {
            *slot = peer.into();
        }
        list.len += 1;
    }

    /// Takes a peer out. Tells whether it was in the list.
    pub(super) fn remove(&mut self, list: &mut List, peer: PeerKey) -> bool {
        let Some(at) = (0..list.len).find(|at| self.slot(*list, *at) == Some(u32::from(peer))) else {
            return false;
        };
        if let Some(last) = self.slot(*list, list.len - 1)
            && let Some(slot) = self.slot_mut(*list, at)
        {
            *slot = last;
        }
        let left = list.len - 1;
        if left == 0 || left.is_power_of_two() {
            self.resize(list, left);
        }
        list.len = left;
        true
    }

    /// The peers of a list, from its `start`-th on and around.
    pub(super) fn iter(&self, list: List, start: u32) -> impl Iterator<Item = PeerKey> {
        let ats = (start..list.len).chain(0..start.min(list.len));
        ats.filter_map(move |at| self.slot(list, at)).map(PeerKey::from)
    }

    /// The last peer of a list.
    pub(super) fn last(&self, list: List) -> Option<u32> {
        self.slot(list, list.len.checked_sub(1)?)
    }

    /// Bytes of memory, without the free blocks.
    pub(super) fn bytes(&self) -> u64 {
        let of = |(size, class): (usize, &Class)| {
            let free = (class.free.len() * 4) << size;
            class.slots.bytes() + (class.free.capacity() * 4) as u64 - free as u64
        };
        self.classes.iter().enumerate().map(of).sum()
    }

    /// Moves a list into a block for `len` numbers.
    fn resize(&mut self, list: &mut List, len: u32) {
        let (from, to) = (class_of(list.len), class_of(len));
        let mut moved = List { block: 0, len: list.len.min(len) };
        if let Some(class) = to {
            moved.block = self.classes[class].take(class);
            for at in 0..moved.len {
                let value = self.slot(*list, at).unwrap_or_default();
                if let Some(slot) = self.classes[class].slots.get_mut(moved.block + at) {
                    *slot = value;
                }
            }
        }
        if let Some(class) = from {
            self.classes[class].free.push(list.block);
        }
        *list = List { block: moved.block, len: list.len };
    }

    fn slot(&self, list: List, at: u32) -> Option<u32> {
        self.classes[class_of(list.len)?].slots.get(list.block + at).copied()
    }

    /// The slot of a list's block; `at` may be the one after its last.
    fn slot_mut(&mut self, list: List, at: u32) -> Option<&mut u32> {
        let class = class_of(list.len.max(at + 1))?;
        self.classes[class].slots.get_mut(list.block + at)
    }
}

impl Class {
    fn take(&mut self, class: usize) -> u32 {
        self.free.pop().unwrap_or_else(|| {
            let first = self.slots.push(u32::from(PeerKey::MAX));
            (1..1_u32 << class).for_each(|_| {
                self.slots.push(u32::from(PeerKey::MAX));
            });
            first
        })
    }
}

/// Room for lists of known lengths, which several threads fill at once.
#[derive(Debug)]
pub(super) struct Room {
    /// Where the blocks of each size begin, in one row of slots: each at the beginning of a piece.
    starts: [u32; CLASSES],
    pieces: Vec<Vec<AtomicU32>>,
}

impl Room {
    /// Makes room, and gives each list with the number of its first slot. `None` where there are more slots than numbers.
    pub(super) fn for_lists(lens: &[u32], mut give: impl FnMut(usize, List, u32)) -> Option<Self> {
        let mut blocks = [0_u64; CLASSES];
        for class in lens.iter().copied().filter_map(class_of) {
            *blocks.get_mut(class)? += 1;
        }
        let (mut starts, mut pieces) = ([0; CLASSES], Vec::new());
        for (class, (start, blocks)) in starts.iter_mut().zip(blocks).enumerate() {
            *start = u32::try_from(pieces.len() * PIECE).ok()?;
            let slots = usize::try_from(blocks << class).ok()?;
            for from in (0..slots).step_by(PIECE) {
                pieces.push((from..slots.min(from + PIECE)).map(|_| AtomicU32::new(u32::MAX)).collect());
            }
        }
        u32::try_from(pieces.len() * PIECE).ok()?;
        let mut free = starts;
        for (number, len) in lens.iter().copied().enumerate() {
            if let Some(class) = class_of(len) {
                give(number, List { block: free[class] - starts[class], len }, free[class]);
                free[class] += 1 << class;
            }
        }
        Some(Self { starts, pieces })
    }

    /// Writes a source into a slot.
    pub(super) fn put(&self, slot: u32, peer: PeerKey) {
        let slot = slot as usize;
        if let Some(slot) = self.pieces.get(slot / PIECE).and_then(|piece| piece.get(slot % PIECE)) {
            slot.store(peer.into(), Ordering::Relaxed);
        }
    }

    /// The lists, each of whose slots was written.
    pub(super) fn filled(self) -> Sources {
        let mut pieces = self.pieces.into_iter();
        let mut ends = self.starts.into_iter().skip(1).map(|end| end as usize / PIECE);
        let mut before = 0;
        let classes = std::array::from_fn(|_| {
            let end = ends.next().unwrap_or(usize::MAX);
            let own = pieces.by_ref().take(end - before);
            before = end;
            let plain = |piece: Vec<AtomicU32>| piece.into_iter().map(AtomicU32::into_inner).collect();
            Class { slots: Chunked::of_pieces(own.map(plain).collect()), free: Vec::new() }
        });
        Sources { classes }
    }
}

fn class_of(len: u32) -> Option<usize> {
    (len > 0).then(|| len.next_power_of_two().trailing_zeros() as usize)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn lists_filled_at_once_are_those_filled_one_by_one(
            lens in prop::collection::vec(prop_oneof![8 => 0..5_u32, 1 => 0..70_000_u32], 0..60),
        ) {
            let mut lists = vec![(List::default(), 0); lens.len()];
            let room = Room::for_lists(&lens, |number, list, slot| lists[number] = (list, slot)).unwrap();
            for ((_, slot), len) in lists.iter().zip(&lens) {
                (0..*len).for_each(|peer| room.put(slot + peer, PeerKey::from(peer)));
            }
            let mut sources = room.filled();
            let mut lists: Vec<List> = lists.into_iter().map(|(list, _)| list).collect();
            for (list, len) in lists.iter_mut().zip(&lens) {
                prop_assert!(sources.iter(*list, 0).map(u32::from).eq(0..*len));
                // And they go on as any other.
                sources.push(list, PeerKey::from(*len));
                prop_assert!(*len == 0 || sources.remove(list, PeerKey::from(0)));
            }
            for (list, len) in lists.iter().zip(&lens) {
                let held: BTreeSet<_> = sources.iter(*list, 0).map(u32::from).collect();
                let first = u32::from(*len > 0);
                prop_assert!(held.into_iter().eq(first..=*len));
            }
        }

        #[test]
        fn lists_hold_what_was_put_into_them(steps in prop::collection::vec((0..3_usize, 0..40_u32), 0..300)) {
            let mut sources = Sources::default();
            let mut lists = [List::default(); 3];
            let mut sets = [const { BTreeSet::new() }; 3];
            for (which, number) in steps {
                let peer = PeerKey::from(number);
                if sets[which].remove(&peer) {
                    prop_assert!(sources.remove(&mut lists[which], peer));
                } else {
                    prop_assert!(!sources.remove(&mut lists[which], peer));
                    sources.push(&mut lists[which], peer);
                    sets[which].insert(peer);
                }
                for (list, set) in lists.iter().zip(&sets) {
                    let held: BTreeSet<_> = sources.iter(*list, list.len() / 2).collect();
                    prop_assert_eq!(&held, set);
                    prop_assert_eq!(list.len() as usize, set.len());
                }
            }
        }
    }
}
