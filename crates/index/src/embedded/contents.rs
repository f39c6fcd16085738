//! Contents: hash, size, live sources and where its lists begin, 56 bytes each, and the table that finds them.
//!
//! The table is cut into many small ones, so that the growth of one never holds a registration up for long, and it is
//! asked by a keyed function of the whole hash, so that nobody can make hashes that fall together.
//!
//! Invariants: a slot in use is in the table under its hash; a free one is in no list.

use std::hash::{BuildHasher, RandomState};

use hashbrown::HashTable;
use peerage_wire::ContentHash;

use super::arena::ContentKey;
use super::chunked::Chunked;
use super::names::{NameRef, Names};
use super::sources::List;

/// Tables: of 35 million contents each holds 34,000, and one that doubles is done within a millisecond.
const SHARD_BITS: u32 = 10;

/// A content.
#[derive(Debug, Clone, Copy)]
pub(super) struct Content {
    pub(super) hash: ContentHash,
    /// Bytes, as most live peers say.
    pub(super) size: u64,
    /// Known peers that have it, here or not.
    pub(super) sources: List,
    /// Live peers that have it.
    live: u32,
    /// The first of its listed names.
    pub(super) first_name: NameRef,
}

/// In `live`: peers disagree about the size, see `claims`.
const DISPUTED: u32 = 1 << 31;
/// In `live`: it has more names than are listed.
const HAS_UNLISTED: u32 = 1 << 30;
/// In `live`: the slot is free.
const GONE: u32 = 1 << 29;
/// In `live`: it has one listed name, [`Content::first_name`].
const SINGLE: u32 = 1 << 28;
const LIVE: u32 = SINGLE - 1;

impl Content {
    pub(super) fn live(&self) -> u32 {
        self.live & LIVE
    }

    pub(super) fn is_disputed(&self) -> bool {
        self.live & DISPUTED != 0
    }

    pub(super) fn has_unlisted(&self) -> bool {
        self.live & HAS_UNLISTED != 0
    }

    pub(super) fn has_one_name(&self) -> bool {
        self.live & SINGLE != 0
    }

    pub(super) fn set_one_name(&mut self, has_one: bool) {
        self.set(SINGLE, has_one);
    }

    pub(super) fn set_disputed(&mut self, is_disputed: bool) {
        self.set(DISPUTED, is_disputed);
    }

    pub(super) fn set_unlisted(&mut self, has_unlisted: bool) {
        self.set(HAS_UNLISTED, has_unlisted);
    }

    /// Whether the slot is in use.
    pub(super) fn is_here(&self) -> bool {
        self.live & GONE == 0
    }

    fn set(&mut self, flag: u32, is_set: bool) {
        self.live = if is_set { self.live | flag } else { self.live & !flag };
    }

    /// One live source more or less; gives how many there are now.
    pub(super) fn count(&mut self, is_more: bool) -> u32 {
        let live = if is_more { self.live() + 1 } else { self.live().saturating_sub(1) };
        self.live = (self.live & !LIVE) | live;
        live
    }

    /// The beginning of the hash, by which equal counts are ordered.
    pub(super) fn hash_prefix(&self) -> u32 {
        hash_prefix(&self.hash)
    }
}

/// The first four bytes of a hash; they order as the hashes do.
pub(super) fn hash_prefix(hash: &ContentHash) -> u32 {
    let [a, b, c, d, ..] = *hash.as_bytes();
    u32::from_be_bytes([a, b, c, d])
}

/// Every content.
#[derive(Debug, Default)]
pub(super) struct Contents {
    slots: Chunked<Content>,
    free: Vec<ContentKey>,
    table: Table,
}

/// Which slot has which hash.
#[derive(Debug)]
pub(super) struct Table {
    shards: Vec<HashTable<ContentKey>>,
    hasher: RandomState,
}

impl Default for Table {
    fn default() -> Self {
        Self::with_room(0)
    }
}

impl Table {
    fn with_room(contents: usize) -> Self {
        // Some have more than their part.
        let each = (contents + contents / 16) >> SHARD_BITS;
        let shards =
            std::iter::repeat_with(|| HashTable::with_capacity(each)).take(1 << SHARD_BITS).collect();
        Self { shards, hasher: RandomState::new() }
    }

    fn find(&self, slots: &Chunked<Content>, hash: &ContentHash) -> Option<ContentKey> {
        let keyed = self.hasher.hash_one(hash);
        let is_it = |key: &ContentKey| slots.get((*key).into()).is_some_and(|content| content.hash == *hash);
        self.shards.get(shard(keyed))?.find(keyed, is_it).copied()
    }

    fn enter(&mut self, slots: &Chunked<Content>, hash: ContentHash, key: ContentKey) {
        let keyed = self.hasher.hash_one(hash);
        let hasher = &self.hasher;
        let rehash =
            |key: &ContentKey| slots.get((*key).into()).map_or(0, |content| hasher.hash_one(content.hash));
        if let Some(table) = self.shards.get_mut(shard(keyed)) {
            table.insert_unique(keyed, key, rehash);
        }
    }

    fn remove(&mut self, hash: ContentHash, key: ContentKey) {
        let keyed = self.hasher.hash_one(hash);
        if let Some(table) = self.shards.get_mut(shard(keyed))
            && let Ok(entry) = table.find_entry(keyed, |other| *other == key)
        {
            entry.remove();
        }
    }

    fn bytes(&self) -> usize {
        self.shards.iter().map(HashTable::allocation_size).sum()
    }
}

impl Contents {
    pub(super) fn get(&self, key: ContentKey) -> Option<&Content> {
        self.slots.get(key.into())
    }

    pub(super) fn get_mut(&mut self, key: ContentKey) -> Option<&mut Content> {
        self.slots.get_mut(key.into())
    }

    pub(super) fn find(&self, hash: &ContentHash) -> Option<ContentKey> {
        self.table.find(&self.slots, hash)
    }

    /// A keyed hash of a hash, which [`Contents::guess`] takes.
    pub(super) fn keyed(&self, hash: &ContentHash) -> u64 {
        self.table.hasher.hash_one(hash)
    }

    /// Most likely what [`Contents::find`] finds, without a look at the content.
    pub(super) fn guess(&self, keyed: u64) -> Option<ContentKey> {
        self.table.shards.get(shard(keyed))?.find(keyed, |_| true).copied()
    }

    /// Takes a content in that is not here.
    pub(super) fn insert(&mut self, hash: ContentHash, size: u64) -> ContentKey {
        let content =
            Content { hash, size, sources: List::default(), live: 0, first_name: NameRef::default() };
        let key = match self.free.pop() {
            Some(key) => {
                if let Some(slot) = self.slots.get_mut(key.into()) {
                    *slot = content;
                }
                key
            }
            None => ContentKey::from(self.slots.push(content)),
        };
        self.table.enter(&self.slots, hash, key);
        key
    }

    /// Takes a content out of the table; its number is used again after [`Contents::reuse`].
    pub(super) fn remove(&mut self, key: ContentKey) {
        let Some(hash) = self.get(key).map(|content| content.hash) else { return };
        self.table.remove(hash, key);
        if let Some(content) = self.get_mut(key) {
            content.live = GONE;
        }
    }

    /// Numbers of removed contents that nothing holds any more.
    pub(super) fn reuse(&mut self, keys: impl IntoIterator<Item = ContentKey>) {
        self.free.extend(keys);
    }

    /// Slots, free ones among them.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Appends a slot as a snapshot had it; one that is not in use is kept free. Nothing is found until
    /// [`Contents::restored`].
    pub(super) fn restore(&mut self, in_use: Option<(ContentHash, u64)>) {
        let (hash, size) = in_use.unwrap_or((ContentHash::from_bytes([0; 32]), 0));
        let content =
            Content { hash, size, sources: List::default(), live: 0, first_name: NameRef::default() };
        let key = ContentKey::from(self.slots.push(content));
        if in_use.is_none() {
            self.free.push(key);
            if let Some(content) = self.get_mut(key) {
                content.live = GONE;
            }
        }
    }

    /// The table of what was restored. Entered one after the other, contents would wait for a place anywhere in memory each;
    /// so those of some slots at a time are put into piles first, one for each shard, which fits the cache of a core.
    pub(super) fn table(&self) -> Table {
        /// The piles take some 100 MiB.
        const AT_A_TIME: usize = 1 << 22;
        let mut table = Table::with_room(self.slots.len());
        let Table { shards, hasher } = &mut table;
        let mut piles = vec![Vec::new(); shards.len()];
        let rehash = |key: &ContentKey| self.get(*key).map_or(0, |content| hasher.hash_one(content.hash));
        for first in (0..self.slots()).step_by(AT_A_TIME) {
            for slot in (first..self.slots()).take(AT_A_TIME) {
                let Some(content) = self.slots.get(slot).filter(|content| content.is_here()) else {
                    continue;
                };
                let keyed = hasher.hash_one(content.hash);
                piles[shard(keyed)].push((keyed, ContentKey::from(slot)));
            }
            for (shard, pile) in shards.iter_mut().zip(&mut piles) {
                for (keyed, key) in pile.drain(..) {
                    shard.insert_unique(keyed, key, rehash);
                }
            }
        }
        table
    }

    /// Ends restoring: the table of what is here, and the first listed name of each.
    pub(super) fn restored(&mut self, table: Table, first_names: &[NameRef], names: &Names) {
        self.table = table;
        for (slot, first_name) in (0..self.slots()).zip(first_names) {
            if let Some(content) = self.get_mut(ContentKey::from(slot)).filter(|content| content.is_here()) {
                content.first_name = *first_name;
                content.set_one_name(names.is_only(*first_name));
            }
        }
        for key in names.with_unlisted() {
            if let Some(content) = self.get_mut(key) {
                content.set_unlisted(true);
            }
        }
    }

    /// Bytes of memory, without the free slots.
    pub(super) fn bytes(&self) -> u64 {
        self.slots.bytes() + (self.table.bytes() + self.free.capacity() * 4) as u64
            - (self.free.len() * size_of::<Content>()) as u64
    }
}

fn shard(keyed: u64) -> usize {
    // The table itself takes the highest seven bits and the lowest ones.
    (keyed >> 40) as usize & ((1 << SHARD_BITS) - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_content_is_found_until_it_is_taken_out() {
        let mut contents = Contents::default();
        let hash = |number: u32| ContentHash::of(&number.to_le_bytes());
        let keys: Vec<_> = (0..5_000).map(|number| contents.insert(hash(number), number.into())).collect();
        for (key, number) in keys.iter().zip(0..) {
            assert_eq!(contents.find(&hash(number)), Some(*key));
        }
        contents.remove(keys[7]);
        assert_eq!((contents.find(&hash(7)), contents.find(&hash(9_999))), (None, None));
        contents.reuse([keys[7]]);
        assert_eq!(contents.insert(hash(9_999), 1), keys[7]);
        assert_eq!(contents.slots(), 5_000);
    }

    #[test]
    fn flags_and_counts_share_a_word_without_touching_each_other() {
        let mut contents = Contents::default();
        let key = contents.insert(ContentHash::of(b"x"), 1);
        let content = contents.get_mut(key).unwrap();
        content.set_disputed(true);
        assert_eq!((content.count(true), content.count(true), content.count(false)), (1, 2, 1));
        content.set_unlisted(true);
        content.set_disputed(false);
        assert_eq!((content.live(), content.is_disputed(), content.has_unlisted()), (1, false, true));
        assert_eq!((content.count(false), content.count(false)), (0, 0));
        assert_eq!(size_of::<Content>(), 56);
    }
}
