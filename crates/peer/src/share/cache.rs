//! What was hashed in earlier runs, in a small database of its own: losing it costs time and nothing else.
//!
//! Invariants: a hash is remembered for one path, size, time and inode together, and only where a later write
//! would have shown in the time; a content's piece list is kept before the content is registered; a database
//! that is damaged or from another version is set aside and begun anew, never an error. Writes are gathered and
//! become durable when the share is idle and at the end; a crash in between costs hashing again.
//!
//! An entry that no scan has seen for [`KEPT_DAYS`] is dropped, rather than at once: a disk that is not
//! plugged in today, or a share left out once, need not be hashed again tomorrow.

mod store;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_wire::{ContentHash, PieceList, piece_count};

use super::root::{FileKey, Stamp};
use store::Store;

pub(crate) use store::Reader as StoreReader;

/// Days an entry is kept that no scan has seen.
const KEPT_DAYS: u32 = 30;
/// Days after which an entry that is seen is written again with the new day: rarely, since most never change.
const REFRESHED_DAYS: u32 = 7;
/// Entries gathered for one transaction, some 100 bytes each. Keys are scattered, so a transaction touches most
/// pages of the tree whatever its size: few large ones write far less than many small ones.
const GATHERED_MAX: usize = 65_536;

/// A hash as it is remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) stamp: Stamp,
    pub(crate) hash: ContentHash,
    /// The day it was last seen, counted from 1970.
    pub(crate) day: u32,
}

/// The hashes and piece lists that are remembered.
#[derive(Debug)]
pub(crate) struct HashCache {
    store: Option<Store>,
    today: u32,
    gathered: Mutex<Gathered>,
    /// Held while a transaction is written, so that there is one at a time.
    writing: Mutex<()>,
    /// Whether something is written but not durable.
    is_dirty: AtomicBool,
    /// Whether the last write failed, which is told once and not each time.
    has_failed: AtomicBool,
}

#[derive(Debug, Default)]
struct Gathered {
    entries: HashMap<FileKey, Entry>,
    /// Lists not written yet; all of them where there is no database.
    lists: HashMap<ContentHash, Arc<PieceList>>,
}

/// One thread's view of the database as it was when the view was opened.
pub(crate) struct Reader(Option<StoreReader>);

/// Whether a write has to outlive the machine's power.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Durable {
    Later,
    Now,
}

impl HashCache {
    /// Opens the database at `path`, or none. The note says what people should know of how that went.
    pub(crate) fn open(path: Option<&Path>, today: u32) -> (Self, Option<String>) {
        let (store, note) = match path.map(Store::open) {
            None => (None, None),
            Some(Ok((store, note))) => (Some(store), note),
            Some(Err(note)) => (None, Some(note)),
        };
        let (gathered, writing, is_dirty, has_failed) = Default::default();
        (Self { store, today, gathered, writing, is_dirty, has_failed }, note)
    }

    /// A view for many look-ups.
    pub(crate) fn reader(&self) -> Reader {
        Reader(self.store.as_ref().and_then(|store| store.reader().ok()))
    }

    /// Remembers what a file was hashed to, or only its piece list where it may have been written since.
    pub(crate) fn remember(&self, key: FileKey, stamp: Stamp, list: PieceList, is_certain: bool) {
        let hash = list.hash();
        let mut gathered = self.lock();
        if piece_count(list.size()) > 1 {
            gathered.lists.insert(hash, Arc::new(list));
        }
        if is_certain && self.store.is_some() {
            gathered.entries.insert(key, Entry { stamp, hash, day: self.today });
        }
        let is_full = gathered.entries.len() >= GATHERED_MAX;
        drop(gathered);
        if is_full {
            self.write(Durable::Later);
        }
    }

    /// The piece list of a content of more than one piece.
    pub(crate) fn pieces(&self, hash: &ContentHash, size: u64) -> Option<Arc<PieceList>> {
        if let Some(list) = self.lock().lists.get(hash) {
            return Some(Arc::clone(list));
        }
        let bytes = self.store.as_ref()?.reader().ok()?.pieces(hash).ok()??;
        PieceList::prove(*hash, size, &bytes).ok().map(Arc::new)
    }

    /// Writes what was gathered; what can't be written now stays for the next time.
    pub(crate) fn write(&self, durable: Durable) {
        let Some(store) = &self.store else { return };
        // Whoever finds another writing leaves it to them, except for the last time.
        let writing = match durable {
            Durable::Later => self.writing.try_lock().ok(),
            Durable::Now => Some(self.writing.lock().unwrap_or_else(PoisonError::into_inner)),
        };
        let Some(_writing) = writing else { return };
        let (entries, lists) = self.take();
        let is_dirty = self.is_dirty.load(Ordering::Relaxed);
        if entries.is_empty() && lists.is_empty() && !(is_dirty && durable == Durable::Now) {
            return;
        }
        match store.write(&entries, &lists, durable) {
            Ok(()) => {
                self.is_dirty.store(durable == Durable::Later, Ordering::Relaxed);
                self.has_failed.store(false, Ordering::Relaxed);
                let mut gathered = self.lock();
                lists.iter().for_each(|list| _ = gathered.lists.remove(&list.hash()));
            }
            // The lists are still gathered; the entries only save time.
            Err(error) if !self.has_failed.swap(true, Ordering::Relaxed) => {
                tracing::warn!(%error, "hashes can't be remembered");
            }
            Err(_) => {}
        }
    }

    /// Drops what no scan has seen for long, and the lists of contents that nothing has any more.
    pub(crate) fn prune(&self, is_shared: impl Fn(&ContentHash) -> bool) {
        let Some(store) = &self.store else { return };
        let oldest = self.today.saturating_sub(KEPT_DAYS);
        if let Err(error) = store.prune(oldest, &is_shared) {
            tracing::warn!(%error, "old hashes can't be dropped");
        }
    }

    fn take(&self) -> (Vec<(FileKey, Entry)>, Vec<Arc<PieceList>>) {
        let mut gathered = self.lock();
        let mut entries: Vec<_> = gathered.entries.drain().collect();
        // In key order a transaction touches each page of the tree once.
        entries.sort_unstable_by_key(|(key, _)| *key);
        (entries, gathered.lists.values().cloned().collect())
    }

    fn lock(&self) -> MutexGuard<'_, Gathered> {
        self.gathered.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Reader {
    /// What the file was hashed to, if it is still the one that was.
    pub(crate) fn get(&self, cache: &HashCache, key: FileKey, stamp: Stamp) -> Option<ContentHash> {
        let reader = self.0.as_ref()?;
        let entry = reader.entry(key).ok()?.filter(|entry| entry.stamp == stamp)?;
        if piece_count(stamp.size) > 1 && !reader.has_pieces(&entry.hash, stamp.size) {
            return None;
        }
        if entry.day.saturating_add(REFRESHED_DAYS) <= cache.today {
            cache.lock().entries.insert(key, Entry { day: cache.today, ..entry });
        }
        Some(entry.hash)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_wire::{PIECE_BYTES, PieceHasher};

    const TODAY: u32 = 20_000;

    fn stamp(size: u64) -> Stamp {
        Stamp { size, mtime_ns: 1_700_000_000_123_456_789, inode: 7 }
    }

    fn key(name: &str) -> FileKey {
        FileKey::of(Path::new("/share"), name)
    }

    fn small(content: &[u8]) -> PieceList {
        PieceList::single(ContentHash::of(content), content.len() as u64)
    }

    fn large() -> PieceList {
        let size = PIECE_BYTES + 5;
        let content = vec![9; usize::try_from(size).unwrap()];
        let values = content.chunks(1 << 20).enumerate().map(|(index, piece)| {
            let mut hasher = PieceHasher::new(size, index as u64);
            hasher.update(piece);
            hasher.finish()
        });
        PieceList::from_values(size, values.collect()).unwrap()
    }

    fn open(path: &Path, today: u32) -> HashCache {
        let (cache, note) = HashCache::open(Some(path), today);
        assert_eq!(note, None);
        cache
    }

    fn get(cache: &HashCache, name: &str, stamp: Stamp) -> Option<ContentHash> {
        cache.reader().get(cache, key(name), stamp)
    }

    #[test]
    fn a_hash_is_known_for_the_same_file_only() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashes");
        let cache = open(&path, TODAY);
        cache.remember(key("a"), stamp(3), small(b"abc"), true);
        cache.remember(key("b"), stamp(3), small(b"xyz"), false);
        cache.write(Durable::Now);
        drop(cache);
        let cache = open(&path, TODAY);
        assert_eq!(get(&cache, "a", stamp(3)), Some(ContentHash::of(b"abc")));
        assert_eq!(get(&cache, "b", stamp(3)), None, "it may have been written since");
        let (later, other) = (Stamp { mtime_ns: 5, ..stamp(3) }, Stamp { inode: 8, ..stamp(3) });
        for (name, stamp) in [("c", stamp(3)), ("a", stamp(4)), ("a", later), ("a", other)] {
            assert_eq!(get(&cache, name, stamp), None, "{name} {stamp:?}");
        }
    }

    #[test]
    fn piece_lists_are_there_before_and_after_they_are_written() {
        let folder = tempfile::tempdir().unwrap();
        let list = large();
        let cache = open(&folder.path().join("hashes"), TODAY);
        cache.remember(key("a"), stamp(list.size()), list.clone(), true);
        assert_eq!(cache.pieces(&list.hash(), list.size()).as_deref(), Some(&list));
        cache.write(Durable::Later);
        assert!(cache.lock().lists.is_empty());
        assert_eq!(cache.pieces(&list.hash(), list.size()).as_deref(), Some(&list));
        assert_eq!(get(&cache, "a", stamp(list.size())), Some(list.hash()));
        assert_eq!(cache.pieces(&list.hash(), list.size() + PIECE_BYTES), None, "a list of another length");
    }

    #[test]
    fn without_a_database_piece_lists_are_kept_in_memory() {
        let list = large();
        let (cache, note) = HashCache::open(None, TODAY);
        assert_eq!(note, None);
        cache.remember(key("a"), stamp(list.size()), list.clone(), true);
        cache.write(Durable::Now);
        assert_eq!(cache.pieces(&list.hash(), list.size()).as_deref(), Some(&list));
        assert_eq!(get(&cache, "a", stamp(list.size())), None);
    }

    #[test]
    fn what_was_not_seen_for_long_is_dropped_and_what_was_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("hashes");
        let list = large();
        let cache = open(&path, TODAY);
        cache.remember(key("gone"), stamp(list.size()), list.clone(), true);
        cache.remember(key("seen"), stamp(3), small(b"abc"), true);
        cache.write(Durable::Now);
        drop(cache);
        let cache = open(&path, TODAY + KEPT_DAYS);
        assert!(get(&cache, "seen", stamp(3)).is_some());
        cache.write(Durable::Now);
        cache.prune(|_| false);
        assert!(get(&cache, "gone", stamp(list.size())).is_some(), "not yet");
        drop(cache);
        let cache = open(&path, TODAY + KEPT_DAYS + 1);
        cache.prune(|_| false);
        assert_eq!(get(&cache, "gone", stamp(list.size())), None);
        assert_eq!(cache.pieces(&list.hash(), list.size()), None);
        assert!(get(&cache, "seen", stamp(3)).is_some());
    }
}
