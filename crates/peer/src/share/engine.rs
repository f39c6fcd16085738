//! What the share's threads have in common, and the one question they all ask of a file they find.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use peerage_wire::{PathError, SharePath, limits};

use super::cache::{HashCache, Reader};
use super::debounce::Look;
use super::filter::Filter;
use super::inbox::Inbox;
use super::notes::{Notes, Trouble};
use super::origin::Origin;
use super::progress::ShareProgress;
use super::queue::{Job, Pushed, Queue, Why};
use super::remote::Server;
use super::root::{Root, Stamp};
use crate::catalogue::{Catalogue, Hashed, Known, ShareId};

/// Shared by the keeper, the walk and the hashing threads.
#[derive(Debug)]
pub(crate) struct Engine {
    pub(crate) catalogue: Arc<Catalogue>,
    pub(crate) cache: Arc<HashCache>,
    pub(crate) inbox: Arc<Inbox>,
    /// What waits to be hashed of this machine's folders; each server has its own.
    pub(crate) queue: Queue,
    pub(crate) servers: Mutex<Vec<Arc<Server>>>,
    pub(crate) progress: Arc<ShareProgress>,
    pub(crate) notes: Notes,
    pub(crate) filter: Filter,
    pub(crate) is_stopping: AtomicBool,
}

/// A shared folder as the keeper has it now.
#[derive(Debug, Clone)]
pub(crate) struct Folder {
    pub(crate) share: ShareId,
    pub(crate) root: Arc<Root>,
}

/// A share, and where its bytes are now.
#[derive(Debug, Clone)]
pub(crate) struct Holding {
    pub(crate) share: ShareId,
    pub(crate) origin: Origin,
}

impl Folder {
    pub(crate) fn holding(&self) -> Holding {
        Holding { share: self.share, origin: Origin::Folder(Arc::clone(&self.root)) }
    }
}

impl Holding {
    /// The path under which its file at `disk` is registered.
    pub(crate) fn path(&self, disk: &str) -> Result<SharePath, PathError> {
        share_path(self.origin.name(), disk)
    }
}

/// What became of a file that was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// It is in the catalogue, or waits to be hashed.
    Taken,
    /// Another file has its name, spelt otherwise.
    SameName,
    /// Its name or size can't be shared.
    Refused,
}

impl Engine {
    pub(crate) fn is_stopping(&self) -> bool {
        self.is_stopping.load(Ordering::Relaxed)
    }

    /// The queue of what is read from there.
    pub(crate) fn queue_of<'a>(&'a self, origin: &'a Origin) -> &'a Queue {
        match origin {
            Origin::Folder(_) => &self.queue,
            Origin::Server(server) => &server.queue,
        }
    }

    /// The servers that are shared.
    pub(crate) fn servers(&self) -> Vec<Arc<Server>> {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// One more of them.
    pub(crate) fn add_server(&self, server: &Arc<Server>) {
        self.servers.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(server));
    }

    /// A regular file was found at `disk` below a share's folder: it is known, or remembered, or queued.
    pub(crate) fn consider(
        &self,
        holding: &Holding,
        disk: &str,
        stamp: Stamp,
        look: Look,
        reader: &Reader,
    ) -> Found {
        let Some(path) = self.path_of(holding, disk, stamp) else { return Found::Refused };
        let known = self.catalogue.see(&path, disk, stamp);
        match known {
            Known::Taken => return self.displaced(&path, disk),
            Known::Same if look == Look::IfChanged => return Found::Taken,
            Known::Same | Known::No => {}
        }
        if look == Look::IfChanged && self.recall(holding, &path, disk, stamp, reader) {
            return Found::Taken;
        }
        let why = if known == Known::Same { Why::Again } else { Why::Found };
        match self.enqueue(holding, &path, disk, stamp, why) {
            Pushed::SameName => self.displaced(&path, disk),
            Pushed::In | Pushed::Already | Pushed::Closed => Found::Taken,
        }
    }

    fn displaced(&self, path: &SharePath, disk: &str) -> Found {
        self.notes.trouble(&self.progress, Trouble::SameName, path.as_str(), disk);
        Found::SameName
    }

    /// The name under which a file is shared, if it can be.
    fn path_of(&self, holding: &Holding, disk: &str, stamp: Stamp) -> Option<SharePath> {
        if stamp.size > limits::CONTENT_BYTES_MAX {
            self.notes.trouble(&self.progress, Trouble::Refused, disk, "it is larger than 16 TiB");
            return None;
        }
        match holding.path(disk) {
            Ok(path) => Some(path),
            Err(error) => {
                self.notes.trouble(&self.progress, Trouble::Refused, disk, &error.to_string());
                None
            }
        }
    }

    /// Registers a file that was hashed in an earlier run, if it was.
    fn recall(&self, holding: &Holding, path: &SharePath, disk: &str, stamp: Stamp, reader: &Reader) -> bool {
        let Holding { share, origin } = holding;
        let Some(hash) = reader.get(&self.cache, origin.key(disk), stamp) else { return false };
        self.progress.recalled(stamp.size);
        self.catalogue.put(&Hashed { share: *share, origin, path, disk, hash, stamp });
        true
    }

    fn enqueue(&self, holding: &Holding, path: &SharePath, disk: &str, stamp: Stamp, why: Why) -> Pushed {
        let is_odd = path.as_str().split_once('/').is_none_or(|(_, rest)| rest != disk);
        let odd_name = is_odd.then(|| disk.into());
        let (share, origin, found) = (holding.share, holding.origin.clone(), Instant::now());
        // Counted first: the job may be done before the push returns.
        self.progress.found(why, stamp.size);
        let queue = self.queue_of(&holding.origin);
        let pushed = queue.push(Job { share, origin, path: path.clone(), odd_name, stamp, found, why });
        if pushed != Pushed::In {
            self.progress.unfound(why, stamp.size);
        }
        pushed
    }
}

/// The path under which a file below the folder of the share `name` is registered.
pub(crate) fn share_path(name: &str, disk: &str) -> Result<SharePath, PathError> {
    // The name on disk is cut at its own slashes only.
    SharePath::from_components(std::iter::once(name).chain(disk.split('/').filter(|part| !part.is_empty())))
}

/// The path of something below a share's folder, as text; `None` where it is not UTF-8.
pub(crate) fn relative<'a>(root: &Root, path: &'a Path) -> Option<&'a str> {
    path.strip_prefix(root.path()).ok()?.to_str()
}
