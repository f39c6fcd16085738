//! Downloads under way that others may have pieces of: what each has proven, and a handle to read it from.
//!
//! Invariants: a piece is in the set only once it is proven and written; a download is here from its first step
//! until its guard is dropped, and the index is told of it only while it has a piece. What is done stays for a minute. What is being sent goes on being
//! sent through the file's own handle, whatever becomes of its name.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use peerage_wire::{ContentHash, PIECE_BYTES, PieceList, limits};
use tokio::sync::{Semaphore, watch};

use crate::have::Have;
use crate::part::Part;

/// How long a finished download goes on giving its pieces: those who began with it are done soon after.
const LINGER: Duration = Duration::from_secs(60);
/// Finished downloads that do so at a time: each keeps a file open.
const LINGERING_MAX: usize = 16;

/// The downloads of one peer that are sources as well. Cheap to clone; every clone is the same.
#[derive(Clone)]
pub struct Partials {
    shared: Arc<Shared>,
}

struct Shared {
    contents: Mutex<BTreeMap<ContentHash, Arc<Partial>>>,
    lingering: Arc<Semaphore>,
    /// Counts changes of what the index should be told.
    changed: watch::Sender<u64>,
}

/// One content of which there are some pieces.
pub(crate) struct Partial {
    /// Open by itself: it holds no lock that would outlive the download.
    file: File,
    list: Arc<PieceList>,
    have: Mutex<Have>,
    /// Size and time of the finished file: once somebody has changed it, nothing of it is given any more.
    finished: OnceLock<Stamp>,
}

type Stamp = (u64, i64, i64);

fn stamp(file: &File) -> Option<Stamp> {
    let metadata = file.metadata().ok()?;
    Some((metadata.len(), metadata.mtime(), metadata.mtime_nsec()))
}

impl Partials {
    /// None yet.
    #[must_use]
    pub fn new() -> Self {
        let (contents, changed) = (Mutex::default(), watch::Sender::new(0));
        let lingering = Arc::new(Semaphore::new(LINGERING_MAX));
        Self { shared: Arc::new(Shared { contents, lingering, changed }) }
    }

    /// The contents of which there is a piece: no more than an index takes.
    #[must_use]
    pub fn offered(&self) -> Vec<ContentHash> {
        let contents = self.lock();
        let offered = contents.iter().filter(|(_, partial)| !partial.lock().is_empty());
        offered.map(|(hash, _)| *hash).take(limits::PARTIALS_MAX).collect()
    }

    /// Its `changed()` returns once [`Self::offered`] may say something else.
    #[must_use]
    pub fn changed(&self) -> watch::Receiver<u64> {
        self.shared.changed.subscribe()
    }

    /// Gives others the pieces of `part` that are `proven`, and those to come, for as long as the guard lives. `None`
    /// where another download of the same content does so, or where there is nothing to share: a single piece.
    pub(crate) fn publish(&self, part: &Part, list: &Arc<PieceList>, proven: Have) -> Option<Published> {
        if list.count() < 2 {
            return None;
        }
        let file = part.open_again().inspect_err(|error| tracing::debug!(%error, "a part is not shared"));
        let partial = Arc::new(Partial {
            file: file.ok()?,
            list: Arc::clone(list),
            have: Mutex::new(proven),
            finished: OnceLock::new(),
        });
        let hash = list.hash();
        let mut contents = self.lock();
        if contents.contains_key(&hash) {
            return None;
        }
        contents.insert(hash, Arc::clone(&partial));
        drop(contents);
        self.wake();
        Some(Published { partials: self.clone(), hash, partial })
    }

    /// A content that is being downloaded and has a piece to give.
    pub(crate) fn get(&self, hash: &ContentHash) -> Option<Arc<Partial>> {
        let partial = self.lock().get(hash).cloned()?;
        (!partial.lock().is_empty() && partial.is_unchanged()).then_some(partial)
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<ContentHash, Arc<Partial>>> {
        self.shared.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn wake(&self) {
        self.shared.changed.send_modify(|count| *count = count.wrapping_add(1));
    }
}

impl Default for Partials {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Partials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Partials").field("contents", &self.lock().len()).finish_non_exhaustive()
    }
}

impl Partial {
    /// A handle to read from.
    pub(crate) fn file(&self) -> io::Result<File> {
        self.file.try_clone()
    }

    pub(crate) const fn list(&self) -> &Arc<PieceList> {
        &self.list
    }

    /// Whether nobody has written to the file since it was finished.
    fn is_unchanged(&self) -> bool {
        self.finished.get().is_none_or(|finished| stamp(&self.file) == Some(*finished))
    }

    /// What is proven by now.
    pub(crate) fn have(&self) -> Have {
        self.lock().clone()
    }

    /// Whether every piece is proven that these bytes touch.
    pub(crate) fn has_bytes(&self, bytes: &Range<u64>) -> bool {
        let have = self.lock();
        (bytes.start / PIECE_BYTES..bytes.end.div_ceil(PIECE_BYTES)).all(|piece| have.contains(piece))
    }

    fn lock(&self) -> MutexGuard<'_, Have> {
        self.have.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One download among the [`Partials`]; dropping it takes it out.
pub(crate) struct Published {
    partials: Partials,
    hash: ContentHash,
    partial: Arc<Partial>,
}

impl Published {
    /// One more piece is proven and written.
    pub(crate) fn proven(&self, piece: u64) {
        let mut have = self.partial.lock();
        let was_empty = have.is_empty();
        let is_first = have.insert(piece) && was_empty;
        drop(have);
        if is_first {
            self.partials.wake();
        }
    }

    /// The download is done: it goes on giving its pieces for a while, where not too many do already.
    pub(crate) fn linger(self) {
        let Some(stamp) = stamp(&self.partial.file) else { return };
        let _ = self.partial.finished.set(stamp);
        if let Ok(permit) = Arc::clone(&self.partials.shared.lingering).try_acquire_owned() {
            tokio::spawn(async move {
                tokio::time::sleep(LINGER).await;
                drop((self, permit));
            });
        }
    }
}

impl Drop for Published {
    fn drop(&mut self) {
        self.partials.lock().remove(&self.hash);
        self.partials.wake();
    }
}
