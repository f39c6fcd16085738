//! Many small files put into their places together: all are brought to the disk by one call before any gets its name.
//!
//! Invariants: the same as for one part (no link followed, nothing replaced that was not meant to be, no name before the
//! bytes are safe); whatever is out of the ordinary (a name that is taken, a part from before, a full disk) is
//! left for a [`Part`](super::Part), which knows what to do or say.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cap_std::fs::Dir;
use peerage_wire::{ContentHash, SharePath};
use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::Errno;

use super::{OutFolder, enter_all, part_name, place, sync_folder};

/// Files being put into a folder.
pub(crate) struct Bundle<'a> {
    folder: &'a OutFolder,
    overwrite: bool,
    /// Folders that were entered, by their path below the output folder.
    entered: BTreeMap<String, Entered>,
    staged: Vec<Staged>,
}

#[derive(Clone)]
struct Entered {
    dir: Arc<Dir>,
    path: Arc<Path>,
    device: u64,
}

/// A file that is written and has no name yet.
struct Staged {
    number: usize,
    within: Entered,
    part: String,
    name: String,
    inode: u64,
}

impl<'a> Bundle<'a> {
    /// Nothing yet.
    pub(crate) const fn new(folder: &'a OutFolder, overwrite: bool) -> Self {
        Self { folder, overwrite, entered: BTreeMap::new(), staged: Vec::new() }
    }

    /// Whether `path` can be put here without a question: its folder can be entered and its name is free.
    pub(crate) fn is_free(&mut self, path: &SharePath) -> bool {
        let Some(within) = self.enter(path) else { return false };
        let found = rustix::fs::statat(&*within.dir, path.file_name(), AtFlags::SYMLINK_NOFOLLOW);
        found.is_err_and(|error| error == Errno::NOENT)
    }

    /// Whether the disk has room for so many bytes, as far as it says.
    pub(crate) fn has_room(&self, bytes: u64) -> bool {
        rustix::fs::fstatvfs(&*self.folder.dir)
            .map_or(true, |stat| stat.f_blocks == 0 || stat.f_bavail.saturating_mul(stat.f_frsize) >= bytes)
    }

    /// Writes a proven content for `path`; `false` where that is not done as simply. `number` is the caller's.
    pub(crate) fn put(&mut self, number: usize, path: &SharePath, hash: ContentHash, bytes: &[u8]) -> bool {
        let Some(within) = self.enter(path) else { return false };
        let name = path.file_name().to_owned();
        let part = part_name(&name, hash);
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let Ok(file) = rustix::fs::openat(&*within.dir, &part, flags, Mode::from_raw_mode(0o666)) else {
            return false;
        };
        let mut file = File::from(file);
        let Ok(metadata) = file.metadata() else { return false };
        let staged = Staged { number, within, part, name, inode: metadata.ino() };
        let is_written = file.write_all(bytes).is_ok();
        if is_written {
            self.staged.push(staged);
        } else {
            staged.discard();
        }
        is_written
    }

    /// Brings them to the disk and gives each its name: which got one, and where it is.
    pub(crate) fn finish(mut self) -> Vec<(usize, PathBuf)> {
        let staged = std::mem::take(&mut self.staged);
        if staged.is_empty() || !self.sync() {
            staged.iter().for_each(Staged::discard);
            return Vec::new();
        }
        let placed: Vec<(usize, PathBuf)> =
            staged.iter().filter_map(|staged| staged.place(self.overwrite)).collect();
        for entered in self.entered.values() {
            // A name that is lost in a power cut leaves the part, which counts then.
            let _ = sync_folder(&entered.dir);
        }
        placed
    }

    fn enter(&mut self, path: &SharePath) -> Option<Entered> {
        let folder = path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder);
        if let Some(entered) = self.entered.get(folder) {
            return Some(entered.clone());
        }
        let (dir, reached) = enter_all(self.folder, path).ok()?;
        let device = rustix::fs::fstat(&dir).ok()?.st_dev;
        let entered = Entered { dir: Arc::new(dir), path: reached.into(), device };
        self.entered.insert(folder.to_owned(), entered.clone());
        Some(entered)
    }

    /// One call for each file system instead of one for each file.
    fn sync(&self) -> bool {
        let devices: BTreeMap<u64, &Entered> =
            self.entered.values().map(|entered| (entered.device, entered)).collect();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        devices.values().all(|entered| {
            let opened = rustix::fs::openat(&*entered.dir, ".", flags, Mode::empty());
            opened.and_then(rustix::fs::syncfs).is_ok()
        })
    }
}

impl Staged {
    /// Whether the part is still the one that was written: another download of the same may have taken it over.
    fn is_ours(&self) -> bool {
        let named = rustix::fs::statat(&*self.within.dir, &self.part, AtFlags::SYMLINK_NOFOLLOW);
        named.is_ok_and(|stat| stat.st_ino == self.inode)
    }

    fn place(&self, overwrite: bool) -> Option<(usize, PathBuf)> {
        if !self.is_ours() {
            return None;
        }
        let name = place::give_name(&self.within.dir, &self.part, &self.name, overwrite).ok()?;
        Some((self.number, self.within.path.join(name)))
    }

    fn discard(&self) {
        if !self.is_ours() {
            return;
        }
        let _ = self.within.dir.remove_file(&self.part);
    }
}

impl Drop for Bundle<'_> {
    fn drop(&mut self) {
        self.staged.iter().for_each(Staged::discard);
    }
}
