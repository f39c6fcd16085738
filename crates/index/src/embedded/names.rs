//! The names of contents: each path that known peers have a content under, 28 bytes and the path.
//!
//! A path is *listed*, which is to say in the text index and in answers, where fewer than [`limits::CONTENT_NAMES_MAX`]
//! listed ones of its content are used by anybody here when it comes, so that nobody can bloat them with names for one
//! content. Those of peers that come back stay listed, so for a while there may be more, up to [`CHAIN_MAX`]. First come,
//! first listed: a stranger's names can't push out those that are there, and when one of them is used by nobody any more
//! another takes its place. A file whose path is not listed is still in its owner's listing and found by its hash and by
//! the listed names of its content.
//!
//! Invariants: the listed names of a content hang together from its record on; the others are in `unlisted`. A name that
//! nobody knows any more (`known == 0`) may stay for a while, since the text index gives names up only when it is merged.

use std::collections::BTreeMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU32, Ordering};

use peerage_wire::{SharePath, limits};

use super::arena::{ContentKey, NameKey};
use super::chunked::Chunked;
use super::contents::Content;
use super::paths::Paths;

/// Listed names of a content in all, those that nobody here uses among them.
const CHAIN_MAX: usize = 4 * limits::CONTENT_NAMES_MAX;

/// Unlisted names looked at for one that somebody here uses.
const PROMOTED_OF_MAX: usize = 64;

/// A name, or none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NameRef(u32);

impl NameRef {
    const NONE: Self = Self(u32::MAX);
    /// In place of the next: this name is not listed.
    const UNLISTED: Self = Self(u32::MAX - 1);

    pub(super) fn key(self) -> Option<NameKey> {
        (self.0 < Self::UNLISTED.0).then(|| NameKey::from(self.0))
    }
}

impl Default for NameRef {
    fn default() -> Self {
        Self::NONE
    }
}

impl From<NameKey> for NameRef {
    fn from(key: NameKey) -> Self {
        Self(key.into())
    }
}

/// A path that a content goes by.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name {
    /// Where the path is, its length, and some bits of its hash.
    packed: [u32; 2],
    pub(super) content: ContentKey,
    next: NameRef,
    /// Live peers that have the content under this path.
    pub(super) live: u32,
    /// Known peers that have, here or not; and [`OUT_OF_TEXT`].
    known: u32,
    /// The latest change that any of them told since the name is here, in seconds since 1970.
    pub(super) modified: u32,
}

/// In `known`: the text index gave the name up, since nobody knew it at that time.
const OUT_OF_TEXT: u32 = 1 << 31;

const LEN_BITS: u32 = 13;
const TAG_BITS: u32 = 11;

impl Name {
    fn at(&self) -> u64 {
        self.word() >> (LEN_BITS + TAG_BITS)
    }

    fn len(&self) -> usize {
        (self.word() >> TAG_BITS) as usize & ((1 << LEN_BITS) - 1)
    }

    fn tag(&self) -> u64 {
        self.word() & ((1 << TAG_BITS) - 1)
    }

    fn word(&self) -> u64 {
        u64::from(self.packed[0]) << 32 | u64::from(self.packed[1])
    }

    /// Known peers that have the content under this path.
    pub(super) fn known(&self) -> u32 {
        self.known & !OUT_OF_TEXT
    }

    /// One known peer more or less.
    pub(super) fn count_known(&mut self, is_more: bool) {
        let known = if is_more { self.known() + 1 } else { self.known().saturating_sub(1) };
        self.known = (self.known & OUT_OF_TEXT) | known;
    }

    /// Whether the text index has the name, or ought to.
    pub(super) fn is_in_text(&self) -> bool {
        self.known & OUT_OF_TEXT == 0
    }

    pub(super) fn set_in_text(&mut self, is_in: bool) {
        self.known = if is_in { self.known() } else { self.known | OUT_OF_TEXT };
    }

    pub(super) fn is_listed(&self) -> bool {
        self.next != NameRef::UNLISTED
    }

    /// Whether the slot is in use.
    pub(super) fn is_here(&self) -> bool {
        self.packed != [u32::MAX; 2]
    }
}

#[expect(clippy::cast_possible_truncation, reason = "the two halves of a word")]
fn pack(at: u64, len: usize, hash: u64) -> [u32; 2] {
    let word = at << (LEN_BITS + TAG_BITS) | (len as u64) << TAG_BITS | tag_of(hash);
    [(word >> 32) as u32, word as u32]
}

fn tag_of(hash: u64) -> u64 {
    hash & ((1 << TAG_BITS) - 1)
}

/// A change's time as names keep it: what lies before 1970 or after 2106 counts as that end.
pub(super) fn clamp_time(modified: i64) -> u32 {
    u32::try_from(modified.max(0)).unwrap_or(u32::MAX)
}

/// A name as a snapshot had it.
pub(super) struct Restored<'a> {
    pub(super) content: ContentKey,
    pub(super) path: &'a str,
    pub(super) modified: u32,
    /// The first listed name of the content so far, where this one is listed.
    pub(super) first: Option<&'a mut NameRef>,
}

/// Every name of every content.
#[derive(Debug, Default)]
pub(super) struct Names {
    slots: Chunked<Name>,
    free: Vec<NameKey>,
    paths: Paths,
    unlisted: BTreeMap<(ContentKey, u64), NameKey>,
    hasher: RandomState,
}

impl Names {
    pub(super) fn get(&self, key: NameKey) -> Option<&Name> {
        self.slots.get(key.into())
    }

    pub(super) fn get_mut(&mut self, key: NameKey) -> Option<&mut Name> {
        self.slots.get_mut(key.into())
    }

    /// A name's path.
    pub(super) fn path(&self, key: NameKey) -> &str {
        self.get(key).map_or("", |name| self.paths.get(name.at(), name.len()))
    }

    /// A name's path as it was registered; `None` where the name is not here.
    pub(super) fn share_path(&self, key: NameKey) -> Option<SharePath> {
        Some(self.path(key)).filter(|path| !path.is_empty()).map(SharePath::kept)
    }

    /// A name's path, for comparing.
    pub(super) fn path_bytes(&self, key: NameKey) -> &[u8] {
        self.get(key).map_or(&[], |name| self.paths.bytes_at(name.at(), name.len()))
    }

    /// Where a name's path begins, and its bytes.
    pub(super) fn place(&self, key: NameKey) -> Option<(u64, usize)> {
        self.get(key).filter(|name| name.is_here()).map(|name| (name.at(), name.len()))
    }

    /// The first byte of a path and the last, as one.
    pub(super) fn ends(&self, (at, len): (u64, usize)) -> Option<u8> {
        let bytes = self.paths.bytes_at(at, len);
        Some(bytes.first()? ^ bytes.last()?)
    }

    /// Whether a name is a content's, and its path that.
    pub(super) fn is(&self, name: NameKey, content: ContentKey, path: &str) -> bool {
        let is_here = self.get(name).is_some_and(|name| name.is_here() && name.content == content);
        is_here && self.path_bytes(name) == path.as_bytes()
    }

    /// The listed names of a content.
    pub(super) fn listed(&self, content: &Content) -> impl Iterator<Item = (NameKey, &Name)> {
        let mut next = content.first_name;
        std::iter::from_fn(move || {
            let key = next.key()?;
            let name = self.get(key)?;
            next = name.next;
            Some((key, name))
        })
    }

    /// A keyed hash of a path, which [`Names::find`] and [`Names::insert`] take.
    pub(super) fn hash(&self, path: &str) -> u64 {
        self.hasher.hash_one(path)
    }

    /// The name that a content has under a path.
    pub(super) fn find(&self, key: ContentKey, content: &Content, path: &str, hash: u64) -> Option<NameKey> {
        let is_it =
            |key: NameKey, name: &Name| name.tag() == tag_of(hash) && self.path_bytes(key) == path.as_bytes();
        let listed = self.listed(content).find(|(key, name)| is_it(*key, name)).map(|(key, _)| key);
        if listed.is_some() || !content.has_unlisted() {
            return listed;
        }
        self.unlisted.get(&(key, hash)).copied().filter(|key| self.path_bytes(*key) == path.as_bytes())
    }

    /// Takes a name in that is not here, and lists it where there is room.
    pub(super) fn insert(
        &mut self,
        key: ContentKey,
        content: &mut Content,
        path: &str,
        hash: u64,
    ) -> (NameKey, bool) {
        let is_listed = self.has_room(content);
        let at = self.paths.push(path);
        let next = if is_listed { content.first_name } else { NameRef::UNLISTED };
        let packed = pack(at, path.len(), hash);
        let name = self.put(Name { packed, content: key, next, live: 0, known: 0, modified: 0 });
        if is_listed {
            content.first_name = name.into();
            self.mark(content);
        } else {
            content.set_unlisted(true);
            self.unlisted.insert((key, hash), name);
        }
        (name, is_listed)
    }

    /// Lists an unlisted name that somebody here uses, where there is one and room for it.
    pub(super) fn promote(&mut self, key: ContentKey, content: &mut Content) -> Option<NameKey> {
        if !content.has_unlisted() || !self.has_room(content) {
            return None;
        }
        let waiting = self.unlisted.range((key, 0)..=(key, u64::MAX)).take(PROMOTED_OF_MAX);
        let used = |name: &NameKey| self.get(*name).is_some_and(|name| name.live > 0);
        let (place, name) = waiting.map(|(place, name)| (*place, *name)).find(|(_, name)| used(name))?;
        self.unlisted.remove(&place);
        let first = content.first_name;
        self.get_mut(name)?.next = first;
        content.first_name = name.into();
        self.mark(content);
        Some(name)
    }

    /// Notes at a content whether it has one listed name.
    fn mark(&self, content: &mut Content) {
        let mut listed = self.listed(content);
        let has_one = listed.next().is_some() && listed.next().is_none();
        drop(listed);
        content.set_one_name(has_one);
    }

    fn has_room(&self, content: &Content) -> bool {
        let (mut all, mut used) = (0, 0);
        for (_, name) in self.listed(content) {
            all += 1;
            used += usize::from(name.live > 0);
        }
        used < limits::CONTENT_NAMES_MAX && all < CHAIN_MAX
    }

    fn put(&mut self, name: Name) -> NameKey {
        match self.free.pop() {
            Some(key) => {
                if let Some(slot) = self.get_mut(key) {
                    *slot = name;
                }
                key
            }
            None => NameKey::from(self.slots.push(name)),
        }
    }

    /// Takes a name out; its number is used again after [`Names::reuse`].
    pub(super) fn remove(&mut self, key: NameKey, content: &mut Content) {
        let Some(name) = self.get(key).copied() else { return };
        if name.is_listed() {
            self.unlink(key, name.next, content);
            self.mark(content);
        } else {
            let hash = self.hash(self.path(key));
            self.unlisted.remove(&(name.content, hash));
        }
        self.paths.remove(name.at(), name.len());
        if let Some(slot) = self.get_mut(key) {
            slot.packed = [u32::MAX; 2];
        }
    }

    fn unlink(&mut self, key: NameKey, next: NameRef, content: &mut Content) {
        if content.first_name.key() == Some(key) {
            content.first_name = next;
            return;
        }
        let before = self.listed(content).find(|(_, name)| name.next.key() == Some(key)).map(|(key, _)| key);
        if let Some(before) = before.and_then(|key| self.get_mut(key)) {
            before.next = next;
        }
    }

    /// Numbers of removed names that nothing holds any more.
    pub(super) fn reuse(&mut self, keys: impl IntoIterator<Item = NameKey>) {
        self.free.extend(keys);
    }

    /// Slots, free ones among them.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.slots.len()).unwrap_or(u32::MAX)
    }

    /// Appends a slot as a snapshot had it; a free one for none.
    pub(super) fn restore(&mut self, in_use: Option<Restored<'_>>) {
        let Some(Restored { content, path, modified, first }) = in_use else {
            let gone = Name {
                packed: [u32::MAX; 2],
                content: ContentKey::from(u32::MAX),
                next: NameRef::NONE,
                live: 0,
                known: 0,
                modified: 0,
            };
            let key = NameKey::from(self.slots.push(gone));
            self.free.push(key);
            return;
        };
        let hash = self.hash(path);
        let packed = pack(self.paths.push(path), path.len(), hash);
        let next = first.as_ref().map_or(NameRef::UNLISTED, |first| **first);
        let name =
            NameKey::from(self.slots.push(Name { packed, content, next, live: 0, known: 0, modified }));
        match first {
            Some(first) => *first = name.into(),
            None => {
                self.unlisted.insert((content, hash), name);
            }
        }
    }

    /// Sets how many peers know each name. Tells whether each that somebody knows is here.
    pub(super) fn set_known(&mut self, known: &[AtomicU32]) -> bool {
        let mut all_here = true;
        for (slot, known) in (0..self.slots()).zip(known) {
            if let Some(name) = self.get_mut(NameKey::from(slot)) {
                name.known = known.load(Ordering::Relaxed);
                all_here &= name.known == 0 || name.is_here();
            }
        }
        all_here
    }

    /// Whether a content's first listed name is its only one.
    pub(super) fn is_only(&self, first: NameRef) -> bool {
        first.key().and_then(|key| self.get(key)).is_some_and(|name| name.next == NameRef::NONE)
    }

    /// Contents that have unlisted names, some of them more than once.
    pub(super) fn with_unlisted(&self) -> impl Iterator<Item = ContentKey> {
        self.unlisted.keys().map(|(content, _)| *content)
    }

    /// Bytes of memory, without the free slots.
    pub(super) fn bytes(&self) -> u64 {
        let unlisted = self.unlisted.len() * 32;
        let free = (self.free.len() * size_of::<Name>()) as u64;
        self.slots.bytes() - free + self.paths.bytes() + (unlisted + self.free.capacity() * 4) as u64
    }
}

#[cfg(test)]
mod tests {
    use peerage_wire::ContentHash;

    use super::super::contents::Contents;
    use super::*;

    #[test]
    fn names_are_found_listed_or_not_until_they_are_taken_out() {
        let (mut names, mut contents) = (Names::default(), Contents::default());
        let key = contents.insert(ContentHash::of(b"x"), 1);
        let mut content = *contents.get(key).unwrap();
        let path = |number: usize| format!("s/name {number}");
        let mut keys = Vec::new();
        for number in 0..limits::CONTENT_NAMES_MAX + 3 {
            let hash = names.hash(&path(number));
            let (name, is_listed) = names.insert(key, &mut content, &path(number), hash);
            names.get_mut(name).unwrap().live = 1;
            assert_eq!(is_listed, number < limits::CONTENT_NAMES_MAX);
            keys.push(name);
        }
        let find = |names: &Names, content: &Content, number: usize| {
            names.find(key, content, &path(number), names.hash(&path(number)))
        };
        for (number, name) in keys.iter().enumerate() {
            assert_eq!(find(&names, &content, number), Some(*name));
            assert_eq!(names.path(*name), path(number));
        }
        assert_eq!(names.listed(&content).count(), limits::CONTENT_NAMES_MAX);
        for number in [0, 5, limits::CONTENT_NAMES_MAX - 1, limits::CONTENT_NAMES_MAX + 1] {
            names.remove(keys[number], &mut content);
            assert_eq!(find(&names, &content, number), None);
        }
        assert_eq!(names.listed(&content).count(), limits::CONTENT_NAMES_MAX - 3);
        assert_eq!(size_of::<Name>(), 28);
    }

    #[test]
    fn times_beyond_what_is_kept_count_as_its_ends() {
        assert_eq!([i64::MIN, -1, 7, i64::MAX].map(clamp_time), [0, 0, 7, u32::MAX]);
    }
}
