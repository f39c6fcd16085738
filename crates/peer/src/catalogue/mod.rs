//! What this peer shares right now: the one source of names, contents and open files.
//!
//! Invariants: every name and content that leaves the peer is looked up here and nowhere else; a content is
//! served only while the file has the size, the time and the inode it was hashed with; the digest is always
//! that of exactly the files present; all of it changes under one lock, so digest and change log agree.
//!
//! **How a registrar reads it.** One registrar takes the changes. It announces with the digest of
//! [`Catalogue::announce`]; where the index holds that already it calls [`Catalogue::confirm`] and nothing is
//! sent again, otherwise [`Catalogue::resend_all`]. It then sends [`Catalogue::take_changes`] batch after
//! batch, each again until it is acknowledged. Once every batch is acknowledged,
//! [`Catalogue::drained_digest`] is what the index must hold; while that is `None` more is to be taken.
//!
//! **Memory.** A file costs some 300 bytes with a name of 30, and 100 more until the registrar has taken it
//! (measured: 405 bytes with both, over 100,000 files).

mod log;
mod open;
mod state;
#[cfg(test)]
mod tests;
mod tree;

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use peerage_wire::api::Change;
use peerage_wire::{ContentHash, FileEntry, PieceList, ShareDigest, SharePath, piece_count};
use tokio::sync::watch;

use crate::partials::Partials;
use crate::share::{Audience, HashCache, Origin, Stamp};
use state::State;

pub use log::Mark;
pub use open::{OpenError, OpenedContent};
pub use tree::{Child, Listing, Node, Viewer};

/// What this peer shares. Cheap calls, from any thread.
pub struct Catalogue {
    state: Mutex<State>,
    /// Counts changes, so that a waiting registrar wakes.
    changed: watch::Sender<u64>,
    /// Where piece lists are kept, and who is told of a file that is not what it was.
    hooks: OnceLock<Hooks>,
    /// What is here in part only.
    partials: Partials,
}

/// What the share gives the catalogue when it starts.
pub(crate) struct Hooks {
    pub(crate) cache: Arc<HashCache>,
    pub(crate) suspect: Suspect,
}

/// Is told of a file by its share and its path on disk.
pub(crate) type Suspect = Box<dyn Fn(ShareId, &str) + Send + Sync>;

/// A share's place in the list of shares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct ShareId(pub(crate) u16);

/// A file as it was hashed.
pub(crate) struct Hashed<'a> {
    pub(crate) share: ShareId,
    /// Where it was hashed: a share that has been replaced since takes nothing from the old one.
    pub(crate) origin: &'a Origin,
    pub(crate) path: &'a SharePath,
    pub(crate) disk: &'a str,
    pub(crate) hash: ContentHash,
    pub(crate) stamp: Stamp,
}

/// What the catalogue says about a file found on the disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Known {
    /// It is there as it is.
    Same,
    /// It is not there, or differently.
    No,
    /// Another file on the disk has the name already: two spellings of the same letters.
    Taken,
}

impl Catalogue {
    /// An empty one.
    #[must_use]
    pub fn new() -> Self {
        Self::with_partials(Partials::new())
    }

    /// An empty one, beside these downloads.
    #[must_use]
    pub fn with_partials(partials: Partials) -> Self {
        let changed = watch::Sender::new(0);
        Self { state: Mutex::default(), changed, hooks: OnceLock::new(), partials }
    }

    /// The next at most `max` changes that were not taken yet, one a path; none when there is nothing to tell.
    #[must_use]
    pub fn take_changes(&self, max: usize) -> Vec<Change> {
        let mut state = self.lock();
        let mut changes = Vec::new();
        while changes.len() < max
            && let Some(change) = state.take_change()
        {
            changes.push(change);
        }
        changes
    }

    /// Forgets what was taken: every file present is a change again, and nothing else is.
    pub fn resend_all(&self) {
        self.lock().resend_all();
        self.wake();
    }

    /// The digest to announce with, and the mark to [`confirm`](Self::confirm) with where the index holds it.
    #[must_use]
    pub fn announce(&self) -> (ShareDigest, Mark) {
        let state = self.lock();
        (state.digest(), state.log.mark())
    }

    /// The index holds the digest that was announced: what waited then need not be sent.
    pub fn confirm(&self, mark: Mark) {
        self.lock().log.forget_until(mark);
    }

    /// Whether nothing is left to take.
    #[must_use]
    pub fn is_drained(&self) -> bool {
        self.lock().log.is_empty()
    }

    /// The digest of everything present now.
    #[must_use]
    pub fn digest(&self) -> ShareDigest {
        self.lock().digest()
    }

    /// The digest the index must hold once all that was taken is acknowledged; `None` while more is to be taken.
    #[must_use]
    pub fn drained_digest(&self) -> Option<ShareDigest> {
        let state = self.lock();
        state.log.is_empty().then_some(state.digest())
    }

    /// Its `changed()` returns once something was added to the log since it last returned.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.changed.subscribe()
    }

    /// Files and bytes present.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        self.lock().counts()
    }

    /// The file registered at `path`.
    #[must_use]
    pub fn get(&self, path: &SharePath) -> Option<FileEntry> {
        self.lock().entry(path)
    }

    /// The piece values of a content that is shared here.
    #[must_use]
    pub fn pieces(&self, hash: &ContentHash) -> Option<Arc<PieceList>> {
        let size = self.lock().places(hash).next().map(|(_, record)| record.stamp.size)?;
        if piece_count(size) == 1 {
            return Some(Arc::new(PieceList::single(*hash, size)));
        }
        self.hooks.get()?.cache.pieces(hash, size)
    }

    /// Pieces of a content that is shared here.
    #[must_use]
    pub fn piece_count(&self, hash: &ContentHash) -> Option<u64> {
        let state = self.lock();
        let mut fit = state.places(hash).filter(|(_, record)| !record.is_suspect);
        fit.next().map(|(_, record)| piece_count(record.stamp.size))
    }

    /// What is being downloaded here, and is given to others piece by piece.
    #[must_use]
    pub const fn partials(&self) -> &Partials {
        &self.partials
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing panics under this lock; if something did, what it left is still the latest there is.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state by a function that says how many changes there are to tell.
    fn told(&self, change: impl FnOnce(&mut State) -> usize) -> usize {
        let count = change(&mut self.lock());
        if count > 0 {
            self.wake();
        }
        count
    }

    fn wake(&self) {
        self.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Default for Catalogue {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Catalogue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (files, bytes) = self.counts();
        f.debug_struct("Catalogue").field("files", &files).field("bytes", &bytes).finish_non_exhaustive()
    }
}

/// For the share, which fills it.
impl Catalogue {
    /// Connects the share's cache and watcher; `false` where another share did so before.
    pub(crate) fn connect(&self, hooks: Hooks) -> bool {
        self.hooks.set(hooks).is_ok()
    }

    /// Says who may see the share of that name.
    pub(crate) fn admit(&self, share: &str, audience: Audience) {
        self.lock().admit(share, audience);
    }

    /// Sets where `share` is read from now; `None` while that is away. Its files stay as they are.
    pub(crate) fn set_origin(&self, share: ShareId, origin: Option<Origin>) {
        self.lock().set_origin(share, origin);
    }

    /// A new scan begins; what it and later ones see is told apart from what they do not.
    pub(crate) fn begin_scan(&self) -> u32 {
        self.lock().begin_scan()
    }

    /// A file was found on the disk: marks it as seen and says whether it is known as it is.
    pub(crate) fn see(&self, path: &SharePath, disk: &str, stamp: Stamp) -> Known {
        self.lock().see(path, disk, stamp)
    }

    /// Takes a hashed file in, and says how it is known now: not, where its folder is no longer the share's.
    pub(crate) fn put(&self, file: &Hashed<'_>) -> Known {
        let mut known = Known::Same;
        self.told(|state| {
            if !state.is_current(file) {
                known = Known::No;
            } else if state.is_taken(file.path, file.disk) {
                known = Known::Taken;
            }
            usize::from(known == Known::Same && state.put(file))
        });
        known
    }

    /// Takes a file out; nothing happens where the name is another file's by now.
    pub(crate) fn remove(&self, path: &SharePath, disk: &str) {
        self.told(|state| usize::from(!state.is_taken(path, disk) && state.remove(path)));
    }

    /// Takes a file out if it is not what it was hashed as.
    pub(crate) fn remove_changed(&self, path: &SharePath, disk: &str, stamp: Stamp) {
        if self.see(path, disk, stamp) == Known::No {
            self.remove(path, disk);
        }
    }

    /// Takes everything out below `folder`, spelt `disk` on the disk, that no scan has seen since `scan` began;
    /// how many files that were.
    pub(crate) fn sweep(&self, folder: &SharePath, disk: &str, scan: u32) -> usize {
        self.told(|state| state.remove_below(folder, disk, Some(scan)))
    }

    /// Takes everything out below `folder`, spelt `disk` on the disk; how many files that were.
    pub(crate) fn clear_below(&self, folder: &SharePath, disk: &str) -> usize {
        self.told(|state| state.remove_below(folder, disk, None))
    }

    /// Whether some file has this content.
    pub(crate) fn has(&self, hash: &ContentHash) -> bool {
        self.lock().places(hash).next().is_some()
    }
}
