//! Walking a share's folder, or a part of it, in parallel, and asking of each file whether it is known.
//!
//! Invariants: no symbolic link is followed and only regular files count; what the filter leaves out is not
//! entered; a folder that can't be read is noted and the walk goes on; after a walk that saw everything, what
//! it did not see is no longer in the catalogue.

use std::io;
use std::path::Path;
use std::sync::Mutex;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, Ordering};

use ignore::{DirEntry, WalkBuilder, WalkState};

use super::cache::Reader;
use super::debounce::Look;
use super::engine::{Engine, Folder, Found, Holding, relative, share_path};
use super::filter::Sort;
use super::notes::Trouble;
use super::root::Stamp;
use super::watch::{RanOut, Watch};

/// Threads that walk: more only contend for the same folders' locks in the kernel.
const WALKERS_MAX: usize = 8;

/// What a walk came to.
#[derive(Debug, Default)]
pub(crate) struct Walked {
    /// Files whose name another file had, which may be gone by now.
    pub(crate) displaced: Vec<Box<str>>,
    /// Whether the system gave no more watches.
    pub(crate) ran_out: bool,
}

/// Looks at everything below `below`, a path under the folder; empty for all of it.
pub(crate) fn walk(engine: &Engine, folder: &Folder, watch: Option<&Watch>, below: &str) -> Walked {
    let scan = engine.catalogue.begin_scan();
    let shared = Shared { engine, folder, watch, ..Shared::new(engine, folder) };
    let mut builder = WalkBuilder::new(folder.root.path().join(below));
    builder.standard_filters(false).follow_links(false).threads(walkers());
    builder.build_parallel().run(|| {
        let reader = engine.cache.reader();
        let shared = &shared;
        Box::new(move |entry| shared.visit(entry, &reader))
    });
    if shared.is_complete.load(Ordering::Relaxed)
        && !engine.is_stopping()
        && let Ok(path) = share_path(folder.root.name(), below)
    {
        engine.catalogue.sweep(&path, below, scan);
    }
    engine.notes.sum_up(&engine.progress);
    let displaced = shared.displaced.into_inner().unwrap_or_else(PoisonError::into_inner);
    Walked { displaced, ran_out: shared.ran_out.load(Ordering::Relaxed) }
}

/// What the walking threads share.
struct Shared<'a> {
    engine: &'a Engine,
    folder: &'a Folder,
    holding: Holding,
    watch: Option<&'a Watch>,
    is_complete: AtomicBool,
    ran_out: AtomicBool,
    displaced: Mutex<Vec<Box<str>>>,
}

impl<'a> Shared<'a> {
    fn new(engine: &'a Engine, folder: &'a Folder) -> Self {
        let (is_complete, ran_out) = (AtomicBool::new(true), AtomicBool::new(false));
        let holding = folder.holding();
        Self { engine, folder, holding, watch: None, is_complete, ran_out, displaced: Mutex::default() }
    }

    fn visit(&self, entry: Result<DirEntry, ignore::Error>, reader: &Reader) -> WalkState {
        if self.engine.is_stopping() {
            return WalkState::Quit;
        }
        match entry {
            Ok(entry) => self.entry(&entry, reader),
            Err(error) => {
                self.failed(&error);
                WalkState::Continue
            }
        }
    }

    fn entry(&self, entry: &DirEntry, reader: &Reader) -> WalkState {
        let Some(kind) = entry.file_type() else { return WalkState::Continue };
        let sort = if kind.is_dir() { Sort::Folder } else { Sort::File };
        let root = &self.folder.root;
        let below = entry.path().strip_prefix(root.path()).unwrap_or(entry.path());
        if !(kind.is_dir() || kind.is_file()) || !self.engine.filter.admits(root.path(), below, sort) {
            return WalkState::Skip;
        }
        let Some(disk) = relative(root, entry.path()) else {
            let name = below.to_string_lossy();
            self.engine.notes.trouble(
                &self.engine.progress,
                Trouble::Refused,
                &name,
                "its name is not UTF-8",
            );
            return WalkState::Skip;
        };
        if kind.is_dir() {
            self.enter(entry.path());
        } else {
            self.file(entry, disk, reader);
        }
        WalkState::Continue
    }

    fn enter(&self, path: &Path) {
        if let Some(watch) = self.watch
            && !self.ran_out.load(Ordering::Relaxed)
            && watch.folder(path) == Err(RanOut)
        {
            self.ran_out.store(true, Ordering::Relaxed);
        }
    }

    fn file(&self, entry: &DirEntry, disk: &str, reader: &Reader) {
        let stamp = match entry.metadata() {
            Ok(metadata) => Stamp::of(&metadata),
            Err(error) => return self.failed(&error),
        };
        if self.engine.consider(&self.holding, disk, stamp, Look::IfChanged, reader) == Found::SameName {
            self.displaced.lock().unwrap_or_else(PoisonError::into_inner).push(disk.into());
        }
    }

    /// What has gone in the meantime needs no note; what is closed to us needs one; after anything else nobody
    /// can say what there is.
    fn failed(&self, error: &ignore::Error) {
        let kind = error.io_error().map(io::Error::kind);
        match kind {
            Some(io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => return,
            Some(io::ErrorKind::PermissionDenied) => {}
            _ => self.is_complete.store(false, Ordering::Relaxed),
        }
        let name = path_of(error).map_or_else(|| self.folder.root.name().into(), Path::to_string_lossy);
        let reason = error.io_error().map_or_else(|| error.to_string(), ToString::to_string);
        self.engine.notes.trouble(&self.engine.progress, Trouble::Unreadable, &name, &reason);
    }
}

fn path_of(error: &ignore::Error) -> Option<&Path> {
    match error {
        ignore::Error::WithPath { path, .. } => Some(path),
        ignore::Error::WithDepth { err, .. } | ignore::Error::WithLineNumber { err, .. } => path_of(err),
        _ => None,
    }
}

fn walkers() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from).min(WALKERS_MAX)
}
