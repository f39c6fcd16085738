//! The seam to the disk: every call that changes it, so that a test can let each of them fail in turn.
//!
//! Invariants: no other file of this store writes, syncs, renames, removes or truncates. Reading goes past the seam.

use std::fmt;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::{DiskError, DiskResult};

/// The calls. `path` is where the file is, or the directory.
pub(crate) trait Files: Send + Sync + fmt::Debug {
    /// A new file for writing; what was there before is gone.
    fn create(&self, path: &Path) -> io::Result<File>;
    /// A file that is there, for reading and for writing at its beginning.
    fn open(&self, path: &Path) -> io::Result<File>;
    fn write(&self, path: &Path, file: &File, bytes: &[u8]) -> io::Result<()>;
    /// The file's bytes and length are on the disk when this returns.
    fn sync(&self, path: &Path, file: &File) -> io::Result<()>;
    fn truncate(&self, path: &Path, file: &File, length: u64) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// The names in the directory are on the disk when this returns.
    fn sync_dir(&self, path: &Path) -> io::Result<()>;
}

/// The disk itself.
#[derive(Debug)]
pub(crate) struct RealFiles;

impl Files for RealFiles {
    fn create(&self, path: &Path) -> io::Result<File> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        options.open(path)
    }

    fn open(&self, path: &Path) -> io::Result<File> {
        OpenOptions::new().read(true).write(true).open(path)
    }

    fn write(&self, _path: &Path, mut file: &File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, _path: &Path, file: &File) -> io::Result<()> {
        file.sync_data() // fdatasync: a changed length is on the disk as well, times need not be
    }

    fn truncate(&self, _path: &Path, file: &File, length: u64) -> io::Result<()> {
        file.set_len(length)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, path: &Path) -> io::Result<()> {
        // Elsewhere a directory can't be opened, and names are on the disk with the files.
        if cfg!(unix) { File::open(path)?.sync_all() } else { Ok(()) }
    }
}

/// A file that is being written. Its errors name it.
#[derive(Debug)]
pub(crate) struct Output {
    files: Arc<dyn Files>,
    file: File,
    path: PathBuf,
}

impl Output {
    pub(crate) fn create(files: &Arc<dyn Files>, path: PathBuf) -> DiskResult<Self> {
        let file = files.create(&path).map_err(DiskError::io("create", &path))?;
        Ok(Self { files: files.clone(), file, path })
    }

    pub(crate) fn open(files: &Arc<dyn Files>, path: PathBuf) -> DiskResult<Self> {
        let file = files.open(&path).map_err(DiskError::io("open", &path))?;
        Ok(Self { files: files.clone(), file, path })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn write(&self, bytes: &[u8]) -> DiskResult<()> {
        self.files.write(&self.path, &self.file, bytes).map_err(DiskError::io("write", &self.path))
    }

    pub(crate) fn sync(&self) -> DiskResult<()> {
        self.files.sync(&self.path, &self.file).map_err(DiskError::io("sync", &self.path))
    }

    pub(crate) fn truncate(&self, length: u64) -> DiskResult<()> {
        self.files.truncate(&self.path, &self.file, length).map_err(DiskError::io("truncate", &self.path))
    }

    /// Gives a synced file its name. The name is on the disk once its directory is synced.
    pub(crate) fn rename(&mut self, to: PathBuf) -> DiskResult<()> {
        self.files.rename(&self.path, &to).map_err(DiskError::io("rename", &self.path))?;
        self.path = to;
        Ok(())
    }
}
