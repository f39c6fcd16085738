//! Being told of changes in a share's folders by the system, as long as it will.
//!
//! Invariants: each folder is watched by itself and before it is listed, so nothing that happens after the
//! listing is missed; an event is only a hint to look at a path again; where events were lost, the whole share
//! is looked at. One [`Watch`] a share: dropping it gives all its watches back.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use notify::event::{EventKind, Flag};
use notify::{Config, ErrorKind, Event, RecommendedWatcher, RecursiveMode, Watcher};
use rustix::io::Errno;

use super::debounce::{Look, Place};
use super::inbox::Inbox;
use crate::catalogue::ShareId;

/// One share's watches.
#[derive(Debug)]
pub(crate) struct Watch {
    watcher: Mutex<RecommendedWatcher>,
}

/// The system gives no more watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RanOut;

impl Watch {
    /// Watches for `share`, whose folder is at `root`; events go to `inbox`.
    pub(crate) fn new(share: ShareId, root: &Path, inbox: &Arc<Inbox>) -> Result<Self, RanOut> {
        let hear = Hear { share, root: root.to_owned(), inbox: Arc::clone(inbox) };
        let watcher = RecommendedWatcher::new(move |event| hear.event(event), Config::default());
        Ok(Self { watcher: Mutex::new(watcher.map_err(|_| RanOut)?) })
    }

    /// Watches a folder, not what lies below it. A folder that is gone or closed to us is no failure.
    pub(crate) fn folder(&self, path: &Path) -> Result<(), RanOut> {
        let mut watcher = self.watcher.lock().unwrap_or_else(PoisonError::into_inner);
        match watcher.watch(path, RecursiveMode::NonRecursive) {
            Err(error) if is_out_of_watches(&error.kind) => Err(RanOut),
            _ => Ok(()),
        }
    }
}

struct Hear {
    share: ShareId,
    root: PathBuf,
    inbox: Arc<Inbox>,
}

impl Hear {
    fn event(&self, event: notify::Result<Event>) {
        match event {
            Ok(event) if event.attrs.flag() == Some(Flag::Rescan) => self.inbox.rescan(self.share),
            // Someone has opened it, most often we ourselves.
            Ok(event) if matches!(event.kind, EventKind::Access(_)) => {}
            Ok(event) => event.paths.iter().for_each(|path| self.touched(path)),
            Err(error) if is_out_of_watches(&error.kind) => self.inbox.unwatched(self.share),
            Err(_) => self.inbox.rescan(self.share),
        }
    }

    /// Names that are not UTF-8 are not shared, and a scan says so.
    fn touched(&self, path: &Path) {
        if let Some(relative) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) {
            let place = Place { share: self.share, relative: relative.into() };
            self.inbox.touch(place, Look::IfChanged);
        }
    }
}

fn is_out_of_watches(kind: &ErrorKind) -> bool {
    match kind {
        ErrorKind::MaxFilesWatch => true,
        ErrorKind::Io(error) => {
            let short = [Errno::NOSPC, Errno::MFILE, Errno::NFILE, Errno::NOMEM];
            short.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
                || error.kind() == io::ErrorKind::Unsupported
        }
        _ => false,
    }
}
