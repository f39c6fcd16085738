//! The file that a download grows in: `NAME.<hash>.part` beside the place it will have.
//!
//! Invariants: nothing is opened or made outside the output folder, since each step is one validated component
//! under a directory handle and no link is followed; only one process writes a part at a time (a lock on the
//! file itself); what a part holds is never trusted, every piece of it is hashed again before it counts; the
//! finished file is on the disk before it gets its name.

mod bundle;
mod place;
mod resume;

use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use peerage_wire::{ContentHash, PIECE_BYTES, PieceList, SharePath, limits};
use rustix::fs::{AtFlags, FlockOperation, Mode, OFlags};
use rustix::io::Errno;

pub(crate) use bundle::Bundle;
pub(crate) use place::rename_new;

/// How long to wait for a part that is locked: a download that was just cancelled may still be writing a piece.
const LOCK_WAIT: Duration = Duration::from_secs(1);
/// How often to try meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(20);

/// Why a file can't be written where it should go.
#[derive(Debug, thiserror::Error)]
pub enum DiskError {
    /// Not enough room.
    #[error("no room for `{}`: {} needed, {} free", path.display(), size(*needed_bytes), size(*free_bytes))]
    Full {
        /// The file.
        path: PathBuf,
        /// Bytes still to be written.
        needed_bytes: u64,
        /// Bytes that an ordinary user may still take.
        free_bytes: u64,
    },
    /// Another download, here or in another process, writes it.
    #[error("`{}` is being written by another download", path.display())]
    Locked {
        /// The part.
        path: PathBuf,
    },
    /// Something else than a plain file or folder of our own stands in the way.
    #[error("`{}` is in the way: {found}", path.display())]
    InTheWay {
        /// What stands there.
        path: PathBuf,
        /// What it is.
        found: &'static str,
    },
    /// The system refused.
    #[error("can't write `{}`: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

fn size(bytes: u64) -> String {
    peerage_wire::format_bytes(bytes)
}

/// The folder that downloads go into, held open. Cheap to clone.
#[derive(Debug, Clone)]
pub struct OutFolder {
    dir: Arc<Dir>,
    path: PathBuf,
}

impl OutFolder {
    /// Opens the folder, making it where it is missing. Links in `path` itself are followed: the user chose it.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub fn open(path: &Path) -> Result<Self, DiskError> {
        let opened = Dir::create_ambient_dir_all(path, ambient_authority())
            .and_then(|()| Dir::open_ambient_dir(path, ambient_authority()));
        let dir = opened.map_err(|source| DiskError::Io { path: path.to_owned(), source })?;
        Ok(Self { dir: Arc::new(dir), path: path.to_owned() })
    }

    /// Where it is, for people.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// What stands at the place a download should go to.
pub(crate) enum Opened {
    /// The very content, under this path: nothing to do.
    AlreadyThere(PathBuf),
    /// A part, new or resumed, that this process alone writes.
    Part(Part),
}

/// A locked part.
pub(crate) struct Part {
    file: File,
    folder: Dir,
    folder_path: PathBuf,
    /// The name the finished file should have.
    name: String,
    part_name: String,
    size: u64,
    /// Bytes it had when it was opened: from there on there is nothing to resume.
    found_bytes: u64,
}

impl Part {
    /// Opens or makes the part of `hash` for the place `path` below `folder`. Blocks on the disk.
    ///
    /// # Errors
    /// [`DiskError`], naming the file or folder.
    pub(crate) fn open(
        folder: &OutFolder,
        path: &SharePath,
        content: (ContentHash, u64),
        overwrite: bool,
    ) -> Result<Opened, DiskError> {
        let (hash, size) = content;
        let (dir, folder_path) = enter_all(folder, path)?;
        let name = path.file_name().to_owned();
        if let Some(found) = place::find_same(&dir, &name, hash, size, overwrite) {
            return Ok(Opened::AlreadyThere(folder_path.join(found)));
        }
        let part_name = part_name(&name, hash);
        let part_path = folder_path.join(&part_name);
        let file = open_locked(&dir, &part_name, &part_path)?;
        let found_bytes = file.metadata().map_err(io_error(&part_path))?.len().min(size);
        let part = Self { file, folder: dir, folder_path, name, part_name, size, found_bytes };
        part.check_space()?;
        part.file.set_len(size).map_err(|error| part.error(error))?;
        Ok(Opened::Part(part))
    }

    /// The part's own path, for people.
    pub(crate) fn path(&self) -> PathBuf {
        self.folder_path.join(&self.part_name)
    }

    /// Opens it once more, for reading: such a handle holds no lock and outlives the part's name.
    ///
    /// # Errors
    /// What the system says, or that another file has the name by now.
    pub(crate) fn open_again(&self) -> io::Result<File> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let again = File::from(rustix::fs::openat(&self.folder, &self.part_name, flags, Mode::empty())?);
        let (ours, theirs) = (self.file.metadata()?, again.metadata()?);
        let is_same = (ours.dev(), ours.ino()) == (theirs.dev(), theirs.ino());
        if is_same { Ok(again) } else { Err(io::Error::other("the part was replaced")) }
    }

    /// Whether an earlier download left something here.
    pub(crate) const fn is_resumed(&self) -> bool {
        self.found_bytes > 0
    }

    /// Hashes what an earlier download left: for each piece whether it is right. Blocks on the disk, on all cores.
    ///
    /// # Errors
    /// [`DiskError::Io`].
    pub(crate) fn prove(&self, list: &PieceList) -> Result<Vec<bool>, DiskError> {
        resume::prove(&self.file, list, self.found_bytes).map_err(|error| self.error(error))
    }

    /// Writes one proven piece (0-based). Blocks on the disk.
    ///
    /// # Errors
    /// [`DiskError::Full`] or [`DiskError::Io`].
    pub(crate) fn write_piece(&self, index: u64, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_all_at(bytes, index * PIECE_BYTES).map_err(|error| self.error(error))
    }

    /// Brings the file to the disk and gives it its name, or the next free one. Blocks on the disk.
    ///
    /// # Errors
    /// [`DiskError`]; the part stays as it is.
    pub(crate) fn finish(&self, overwrite: bool) -> Result<PathBuf, DiskError> {
        let placed = self
            .file
            .sync_all()
            .and_then(|()| place::give_name(&self.folder, &self.part_name, &self.name, overwrite))
            .and_then(|name| sync_folder(&self.folder).map(|()| name).map_err(io::Error::from));
        placed.map(|name| self.folder_path.join(name)).map_err(|error| self.error(error))
    }

    /// Removes a part that holds nothing worth keeping. Blocks on the disk.
    pub(crate) fn discard(&self) {
        if let Err(error) = self.folder.remove_file(&self.part_name) {
            tracing::debug!(%error, part = %self.part_name, "an empty part is left behind");
        }
    }

    fn check_space(&self) -> Result<(), DiskError> {
        let allocated = self.file.metadata().map_err(|error| self.error(error))?.blocks() * 512;
        let needed_bytes = self.size.saturating_sub(allocated);
        match self.free_bytes() {
            Some(free_bytes) if free_bytes < needed_bytes => {
                if allocated == 0 {
                    // It was only just made: nothing is lost.
                    let _ = self.folder.remove_file(&self.part_name);
                }
                Err(DiskError::Full { path: self.path(), needed_bytes, free_bytes })
            }
            _ => Ok(()),
        }
    }

    /// `None` where the file system does not say.
    fn free_bytes(&self) -> Option<u64> {
        let stat = rustix::fs::fstatvfs(&self.file).ok()?;
        (stat.f_blocks > 0).then(|| stat.f_bavail.saturating_mul(stat.f_frsize))
    }

    fn error(&self, source: io::Error) -> DiskError {
        let is_full = matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        if !is_full {
            return DiskError::Io { path: self.path(), source };
        }
        let allocated = self.file.metadata().map_or(0, |metadata| metadata.blocks() * 512);
        let needed_bytes = self.size.saturating_sub(allocated);
        DiskError::Full { path: self.path(), needed_bytes, free_bytes: self.free_bytes().unwrap_or(0) }
    }
}

fn io_error(path: &Path) -> impl Fn(io::Error) -> DiskError {
    move |source| DiskError::Io { path: path.to_owned(), source }
}

/// Goes down to the folder that `path` lies in, one component at a time, making what is missing.
fn enter_all(folder: &OutFolder, path: &SharePath) -> Result<(Dir, PathBuf), DiskError> {
    let mut reached = folder.path.clone();
    let mut dir = folder.dir.try_clone().map_err(io_error(&reached))?;
    let depth = path.components().count() - 1;
    for component in path.components().take(depth) {
        reached.push(component);
        dir = enter(&dir, component).map_err(|error| match error {
            Errno::LOOP | Errno::NOTDIR => {
                DiskError::InTheWay { path: reached.clone(), found: "it is no folder" }
            }
            error => DiskError::Io { path: reached.clone(), source: error.into() },
        })?;
    }
    Ok((dir, reached))
}

fn enter(dir: &Dir, component: &str) -> Result<Dir, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let open = || rustix::fs::openat(dir, component, flags, Mode::empty());
    let opened = match open() {
        Err(Errno::NOENT) => {
            match rustix::fs::mkdirat(dir, component, Mode::from_raw_mode(0o777)) {
                Ok(()) | Err(Errno::EXIST) => {}
                Err(error) => return Err(error),
            }
            // A file in it must not outlive the folder's own name in a power cut.
            sync_folder(dir)?;
            open()
        }
        opened => opened,
    };
    Ok(Dir::from_std_file(File::from(opened?)))
}

/// Brings the names in a folder to the disk. The handle itself may be for looking up only, hence the opening.
fn sync_folder(dir: &Dir) -> Result<(), Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    rustix::fs::fsync(rustix::fs::openat(dir, ".", flags, Mode::empty())?)
}

fn part_name(name: &str, hash: ContentHash) -> String {
    let long = format!("{name}.{}.part", hash.short());
    if long.len() <= limits::COMPONENT_BYTES_MAX { long } else { format!("{}.part", hash.short()) }
}

/// Opens a part and locks it; opens it again where it was finished under our hands meanwhile.
fn open_locked(dir: &Dir, name: &str, path: &Path) -> Result<File, DiskError> {
    let deadline = std::time::Instant::now() + LOCK_WAIT;
    loop {
        let file = open_plain(dir, name, path)?;
        match rustix::fs::flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) if is_still_named(dir, name, &file) => return Ok(file),
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => std::thread::sleep(LOCK_POLL),
            Err(error) => return Err(DiskError::Io { path: path.to_owned(), source: error.into() }),
        }
        if std::time::Instant::now() >= deadline {
            return Err(DiskError::Locked { path: path.to_owned() });
        }
    }
}

/// Opens or makes a plain file that has no other name: through a planted link we would write into another file.
fn open_plain(dir: &Dir, name: &str, path: &Path) -> Result<File, DiskError> {
    let in_the_way = |found| DiskError::InTheWay { path: path.to_owned(), found };
    let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let file = match rustix::fs::openat(dir, name, flags, Mode::from_raw_mode(0o666)) {
        Ok(file) => File::from(file),
        Err(Errno::LOOP) => return Err(in_the_way("it is a symbolic link")),
        Err(Errno::ISDIR | Errno::NXIO) => return Err(in_the_way("it is no plain file")),
        Err(error) => return Err(DiskError::Io { path: path.to_owned(), source: error.into() }),
    };
    let metadata = file.metadata().map_err(io_error(path))?;
    match (metadata.is_file(), metadata.nlink()) {
        (false, _) => Err(in_the_way("it is no plain file")),
        // None: another process finished or removed it just now, which the lock's check sees.
        (true, 0 | 1) => Ok(file),
        (true, _) => Err(in_the_way("it has a second name (a hard link)")),
    }
}

fn is_still_named(dir: &Dir, name: &str, file: &File) -> bool {
    let named = rustix::fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW);
    let opened = rustix::fs::fstat(file);
    matches!((named, opened), (Ok(named), Ok(opened)) if (named.st_dev, named.st_ino) == (opened.st_dev, opened.st_ino))
}

#[cfg(test)]
mod tests;
