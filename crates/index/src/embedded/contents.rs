//! What live peers have: each content with its providers, its size and its names.
//!
//! Invariants: only registrations of live peers are here, so no answer made from this needs to ask who is live. A
//! content is here exactly while somebody has it.

use std::collections::{BTreeMap, HashMap};

use peerage_wire::{ContentHash, FileEntry};
use roaring::RoaringBitmap;

use super::arena::{Arena, ContentKey, Key, PeerKey};
use super::names::Names;
use super::votes::Votes;

/// A content.
#[derive(Debug)]
pub(super) struct Content {
    /// Its hash.
    pub(super) hash: ContentHash,
    /// Bytes, as most of its providers say.
    pub(super) size: u64,
    /// Live peers that have it.
    pub(super) sources: u64,
}

/// Everything that is registered by somebody who is here.
#[derive(Debug, Default)]
pub(super) struct Contents {
    contents: Arena<ContentKey, Content>,
    by_hash: HashMap<ContentHash, ContentKey>,
    providers: BTreeMap<(ContentKey, PeerKey), u32>,
    of_peer: HashMap<PeerKey, RoaringBitmap>,
    votes: Votes,
    names: Names,
    files: u64,
    bytes: u128,
}

impl Contents {
    pub(super) fn get(&self, content: ContentKey) -> Option<&Content> {
        self.contents.get(content)
    }

    pub(super) fn by_hash(&self, hash: ContentHash) -> Option<ContentKey> {
        self.by_hash.get(&hash).copied()
    }

    pub(super) fn names(&self) -> &Names {
        &self.names
    }

    /// Whether a peer has a content.
    pub(super) fn has(&self, peer: PeerKey, content: ContentKey) -> bool {
        self.of_peer.get(&peer).is_some_and(|contents| contents.contains(content.into()))
    }

    /// The peers that have a content.
    pub(super) fn providers(&self, content: ContentKey) -> impl Iterator<Item = PeerKey> {
        self.providers.range((content, PeerKey::MIN)..=(content, PeerKey::MAX)).map(|((_, peer), _)| *peer)
    }

    /// Registrations.
    pub(super) fn files(&self) -> u64 {
        self.files
    }

    /// Bytes of all registrations.
    pub(super) fn bytes(&self) -> u128 {
        self.bytes
    }

    /// Distinct contents.
    pub(super) fn len(&self) -> u64 {
        self.contents.len() as u64
    }

    /// A live peer has a file.
    pub(super) fn add(&mut self, peer: PeerKey, file: &FileEntry) {
        let key = self.by_hash(file.hash).unwrap_or_else(|| self.insert(file.hash));
        let paths = self.providers.entry((key, peer)).or_default();
        let is_first = *paths == 0;
        *paths = paths.saturating_add(1);
        self.votes.cast(key, file.size, peer);
        let size = self.votes.winner(key);
        if let Some(content) = self.contents.get_mut(key) {
            content.size = size.unwrap_or_default();
            content.sources += u64::from(is_first);
        }
        if is_first {
            self.of_peer.entry(peer).or_default().insert(key.into());
        }
        self.names.add(key, file);
        self.files += 1;
        self.bytes += u128::from(file.size);
    }

    /// A live peer has a file no more, or leaves. The file is one that was added for it.
    pub(super) fn remove(&mut self, peer: PeerKey, file: &FileEntry) {
        let Some(key) = self.by_hash(file.hash) else { return };
        let Some(paths) = self.providers.get_mut(&(key, peer)) else { return };
        *paths -= 1;
        let was_last = *paths == 0;
        self.names.remove(key, file);
        self.votes.withdraw(key, file.size, peer);
        self.files -= 1;
        self.bytes -= u128::from(file.size);
        if was_last {
            self.lose(peer, key);
        }
        match (self.votes.winner(key), self.contents.get_mut(key)) {
            (Some(size), Some(content)) => content.size = size,
            _ => self.forget(key),
        }
    }

    fn insert(&mut self, hash: ContentHash) -> ContentKey {
        let key = self.contents.insert(Content { hash, size: 0, sources: 0 });
        self.by_hash.insert(hash, key);
        key
    }

    fn lose(&mut self, peer: PeerKey, key: ContentKey) {
        self.providers.remove(&(key, peer));
        if let Some(content) = self.contents.get_mut(key) {
            content.sources -= 1;
        }
        if let Some(contents) = self.of_peer.get_mut(&peer) {
            contents.remove(key.into());
            if contents.is_empty() {
                self.of_peer.remove(&peer);
            }
        }
    }

    fn forget(&mut self, key: ContentKey) {
        if let Some(content) = self.contents.remove(key) {
            self.by_hash.remove(&content.hash);
        }
    }
}

#[cfg(test)]
mod tests {
    use peerage_wire::SharePath;

    use super::*;

    #[test]
    fn a_content_is_here_while_somebody_has_it_under_any_path() {
        let mut contents = Contents::default();
        let (one, two) = (PeerKey::from(1), PeerKey::from(2));
        let file = |path: &str, size| FileEntry {
            path: SharePath::parse(path).unwrap(),
            size,
            hash: ContentHash::of(b"x"),
            modified: 0,
        };
        let (a, b) = (file("s/a", 3), file("s/b", 3));
        contents.add(one, &a);
        contents.add(one, &b);
        contents.add(two, &file("t/c", 4));
        let key = contents.by_hash(a.hash).unwrap();
        let seen = |contents: &Contents| contents.get(key).map(|content| (content.sources, content.size));
        assert_eq!(seen(&contents), Some((2, 3)));
        contents.remove(one, &a);
        assert_eq!((seen(&contents), contents.has(one, key)), (Some((2, 3)), true));
        contents.remove(one, &b);
        assert_eq!((seen(&contents), contents.has(one, key)), (Some((1, 4)), false));
        contents.remove(one, &b); // again: nothing
        assert_eq!((contents.files(), contents.bytes(), contents.len()), (1, 4, 1));
        assert_eq!(contents.providers(key).collect::<Vec<_>>(), [two]);
        contents.remove(two, &file("t/c", 4));
        assert_eq!((contents.len(), contents.by_hash(a.hash), contents.of_peer.len()), (0, None, 0));
    }
}
