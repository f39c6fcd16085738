//! Being told of changes in a share's folders by the system, as long as it will.
//!
//! Invariants: each folder is watched by itself and before it is listed, so nothing that happens after the
//! listing is missed; an event is only a hint to look at a path again; where events were lost, the whole share
//! is looked at. One [`Watch`] a share: dropping it gives all its watches back.
//!
//! This is inotify itself rather than a crate over it: we open every file to hash it, and those crates ask to
//! be told of each opening, which cost a quarter of the time of a first share.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::fs::inotify::{self, CreateFlags, ReadFlags, Reader, WatchFlags};
use rustix::io::Errno;

use super::debounce::{Look, Place};
use super::inbox::Inbox;
use crate::catalogue::ShareId;

/// Bytes of events read at a time: some thousand.
const EVENT_BYTES: usize = 64 << 10;

/// What is worth a look; not that a file was opened or read. Links are not followed, and a file that was
/// deleted is of no interest though someone still writes to it.
const EVENTS: WatchFlags = WatchFlags::CREATE
    .union(WatchFlags::DELETE)
    .union(WatchFlags::MODIFY)
    .union(WatchFlags::ATTRIB)
    .union(WatchFlags::MOVED_FROM)
    .union(WatchFlags::MOVED_TO)
    .union(WatchFlags::ONLYDIR)
    .union(WatchFlags::DONT_FOLLOW)
    .union(WatchFlags::EXCL_UNLINK);

/// One share's watches.
#[derive(Debug)]
pub(crate) struct Watch {
    listener: Arc<Listener>,
    thread: Option<JoinHandle<()>>,
}

/// The system gives no more watches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RanOut;

#[derive(Debug)]
struct Listener {
    share: ShareId,
    root: PathBuf,
    inbox: Arc<Inbox>,
    inotify: OwnedFd,
    end: OwnedFd,
    /// Watched folders by the system's number for the watch, which a folder keeps when it is renamed.
    folders: Mutex<HashMap<i32, PathBuf>>,
}

impl Watch {
    /// Watches for `share`, whose folder is at `root`; events go to `inbox`.
    pub(crate) fn new(share: ShareId, root: &Path, inbox: &Arc<Inbox>) -> Result<Self, RanOut> {
        let inotify = inotify::init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC).map_err(|_| RanOut)?;
        let end = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC).map_err(|_| RanOut)?;
        let (root, inbox, folders) = (root.to_owned(), Arc::clone(inbox), Mutex::default());
        let listener = Arc::new(Listener { share, root, inbox, inotify, end, folders });
        let heard = Arc::clone(&listener);
        let thread = std::thread::Builder::new().name("share-watch".to_owned()).spawn(move || heard.listen());
        Ok(Self { listener, thread: Some(thread.map_err(|_| RanOut)?) })
    }

    /// Watches a folder, not what lies below it. A folder that is gone or closed to us is no failure.
    pub(crate) fn folder(&self, path: &Path) -> Result<(), RanOut> {
        // Held meanwhile, so that no event of the new watch is read before its folder is known.
        let mut folders = self.listener.folders();
        match inotify::add_watch(&self.listener.inotify, path, EVENTS) {
            Ok(number) => _ = folders.insert(number, path.to_owned()),
            Err(Errno::NOSPC | Errno::NOMEM) => return Err(RanOut),
            Err(_) => {}
        }
        Ok(())
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It fails only when the number has overflowed, and then the thread is awake already.
        let _ = rustix::io::write(&self.listener.end, &1_u64.to_ne_bytes());
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
    }
}

impl Listener {
    fn listen(&self) {
        let mut buffer = vec![MaybeUninit::uninit(); EVENT_BYTES];
        loop {
            let mut waiting =
                [PollFd::new(&self.inotify, PollFlags::IN), PollFd::new(&self.end, PollFlags::IN)];
            match poll(&mut waiting, None) {
                Ok(_) if !waiting[1].revents().is_empty() => return,
                Ok(_) | Err(Errno::INTR) => self.read(&mut buffer),
                Err(_) => return self.inbox.unwatched(self.share),
            }
        }
    }

    /// Hears what there is to be heard now.
    fn read(&self, buffer: &mut [MaybeUninit<u8>]) {
        let mut reader = Reader::new(&self.inotify, buffer);
        while let Ok(event) = reader.next() {
            let name = event.file_name().map(|name| OsStr::from_bytes(name.to_bytes()));
            self.hear(event.wd(), event.events(), name);
        }
    }

    fn hear(&self, number: i32, events: ReadFlags, name: Option<&OsStr>) {
        if events.contains(ReadFlags::QUEUE_OVERFLOW) {
            return self.inbox.rescan(self.share);
        }
        let mut folders = self.folders();
        if events.contains(ReadFlags::IGNORED) {
            folders.remove(&number);
            return;
        }
        let Some(folder) = folders.get(&number) else { return };
        let path = name.map_or_else(|| folder.clone(), |name| folder.join(name));
        if events.contains(ReadFlags::MOVED_FROM | ReadFlags::ISDIR) {
            self.unwatch_below(&mut folders, &path);
        }
        drop(folders);
        self.touched(&path);
    }

    /// A folder that was moved away takes its watches along, and would go on telling of them by its old name.
    fn unwatch_below(&self, folders: &mut HashMap<i32, PathBuf>, path: &Path) {
        for (number, _) in folders.extract_if(|_, folder| folder.starts_with(path)) {
            // It fails where the folder has been deleted meanwhile, and the watch with it.
            let _ = inotify::remove_watch(&self.inotify, number);
        }
    }

    /// Names that are not UTF-8 are not shared, and a scan says so.
    fn touched(&self, path: &Path) {
        if let Some(relative) = path.strip_prefix(&self.root).ok().and_then(Path::to_str) {
            let place = Place { share: self.share, relative: relative.into() };
            self.inbox.touch(place, Look::IfChanged);
        }
    }

    fn folders(&self) -> MutexGuard<'_, HashMap<i32, PathBuf>> {
        self.folders.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
