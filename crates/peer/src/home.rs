//! The home folder: where a peer keeps its key, its lock, its epoch and its caches.
//!
//! Invariants: a folder made here is readable by its owner only; at most one process holds [`HomeLock`], and one [`IndexLock`];
//! an epoch is on disk before anyone sees it, so no two processes ever speak with the same one. An existing
//! folder's permissions are left alone, since `--home` may name a folder that others use too.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// Bytes of the lock or epoch file that are looked at: a number of 64 bits has at most 20 digits.
const NUMBER_BYTES_MAX: u64 = 32;

/// Why a home can't be used.
#[derive(Debug, thiserror::Error)]
pub enum HomeError {
    /// The folder can't be made or entered.
    #[error("can't use `{}` as home: {source}\nhint: name another folder with `--home`", path.display())]
    Folder {
        /// The home.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Another process is this peer, or this index.
    #[error("this home's {role} already runs{}", pid.map(|pid| format!(" as process {pid}")).unwrap_or_default())]
    Busy {
        /// What it is of this home: its peer, or its index.
        role: &'static str,
        /// Which process, where it has written that down yet.
        pid: Option<u32>,
    },
    /// A file of the home can't be read or written.
    #[error("can't use `{}`: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// A peer's home folder.
#[derive(Debug, Clone)]
pub struct Home {
    path: PathBuf,
}

/// The right to be this home's peer; given back on drop, and by the system when the process dies.
#[derive(Debug)]
pub struct HomeLock {
    _file: File,
}

/// The right to be this home's index; given back as [`HomeLock`] is. A home may have both at a time.
#[derive(Debug)]
pub struct IndexLock {
    _file: File,
}

impl Home {
    /// Opens the folder, making it (0700) and what is above it where they are missing.
    ///
    /// # Errors
    /// [`HomeError::Folder`].
    pub fn open(path: &Path) -> Result<Self, HomeError> {
        let failed = |source| HomeError::Folder { path: path.to_owned(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(failed)?;
        let path = path.canonicalize().map_err(failed)?;
        fs::read_dir(&path).map_err(failed)?;
        Ok(Self { path })
    }

    /// The folder, absolute.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Where the home keeps the file called `name`, a plain file name.
    #[must_use]
    pub fn state_file(&self, name: &str) -> PathBuf {
        debug_assert!(!name.contains('/') && name != ".." && !name.is_empty(), "a plain file name");
        self.path.join(name)
    }

    /// Becomes this home's peer.
    ///
    /// # Errors
    /// [`HomeError::Busy`] while another process is; [`HomeError::File`].
    pub fn lock(&self) -> Result<HomeLock, HomeError> {
        Ok(HomeLock { _file: self.lock_as("peer")? })
    }

    /// Becomes this home's index.
    ///
    /// # Errors
    /// [`HomeError::Busy`] while another process is; [`HomeError::File`].
    pub fn lock_index(&self) -> Result<IndexLock, HomeError> {
        Ok(IndexLock { _file: self.lock_as("index")? })
    }

    fn lock_as(&self, role: &'static str) -> Result<File, HomeError> {
        let path = self.state_file(&format!("{role}.lock"));
        let failed = |source| HomeError::File { path: path.clone(), source };
        let mut file = private().truncate(false).open(&path).map_err(failed)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                return Err(HomeError::Busy { role, pid: read_number(&mut file) });
            }
            Err(TryLockError::Error(source)) => return Err(failed(source)),
        }
        write_pid(&mut file).map_err(failed)?;
        Ok(file)
    }

    /// The next epoch: higher than any given before from this home, over restarts and crashes.
    ///
    /// The clock, in milliseconds since 1970, is the floor: so it still grows when the file that remembers
    /// the last one is lost or damaged.
    ///
    /// # Errors
    /// [`HomeError::File`] when it can't be made durable; it must not be used then, and is not returned.
    pub fn next_epoch(&self, _lock: &HomeLock) -> Result<u64, HomeError> {
        let path = self.state_file("epoch");
        let failed = |source| HomeError::File { path: path.clone(), source };
        let last: u64 = match File::open(&path) {
            Ok(mut file) => read_number(&mut file).unwrap_or_else(|| {
                tracing::warn!(path = %path.display(), "the last epoch is unreadable, going by the clock");
                0
            }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(failed(error)),
        };
        let epoch = unix_millis().max(last.saturating_add(1));
        self.replace(&path, &format!("{epoch}\n")).map_err(failed)?;
        Ok(epoch)
    }

    /// After a crash at any point the file has either its old text or its new one.
    fn replace(&self, path: &Path, text: &str) -> io::Result<()> {
        let fresh = path.with_extension("new");
        let mut file = private().truncate(true).open(&fresh)?;
        file.write_all(text.as_bytes())?;
        file.sync_all()?;
        fs::rename(&fresh, path)?;
        File::open(&self.path)?.sync_all()
    }
}

fn private() -> OpenOptions {
    let mut options = File::options();
    options.read(true).write(true).create(true).mode(0o600);
    options
}

fn write_pid(file: &mut File) -> io::Result<()> {
    file.set_len(0)?;
    file.seek(SeekFrom::Start(0))?;
    writeln!(file, "{}", std::process::id())
}

fn read_number<N: std::str::FromStr>(file: &mut File) -> Option<N> {
    let mut text = String::new();
    file.take(NUMBER_BYTES_MAX).read_to_string(&mut text).ok()?;
    text.trim_end().parse().ok()
}

fn unix_millis() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn home() -> (tempfile::TempDir, Home) {
        let folder = tempfile::tempdir().unwrap();
        let home = Home::open(&folder.path().join("a/home")).unwrap();
        (folder, home)
    }

    #[test]
    fn a_new_home_is_private() {
        let (_folder, home) = home();
        let mode = fs::metadata(home.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o700);
        let _lock = home.lock().unwrap();
        let mode = fs::metadata(home.state_file("peer.lock")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn a_file_in_the_folders_place_is_told() {
        let (_folder, home) = home();
        fs::write(home.state_file("x"), "").unwrap();
        let error = Home::open(&home.state_file("x")).unwrap_err().to_string();
        assert!(error.contains("can't use") && error.contains("hint: "), "{error}");
    }

    #[test]
    fn one_process_a_home() {
        let (_folder, home) = home();
        let lock = home.lock().unwrap();
        let busy = home.lock().unwrap_err();
        let me = std::process::id();
        assert!(matches!(busy, HomeError::Busy { pid: Some(pid), .. } if pid == me), "{busy}");
        drop(lock);
        let _peer = home.lock().unwrap();
        let _index = home.lock_index().expect("an index beside the peer");
        assert!(home.lock_index().unwrap_err().to_string().contains("this home's index already runs"));
    }

    #[test]
    fn epochs_grow_over_restarts_damage_and_a_clock_set_back() {
        let (folder, home) = home();
        let first = home.next_epoch(&home.lock().unwrap()).unwrap();
        let second = Home::open(home.path()).unwrap();
        let second = second.next_epoch(&second.lock().unwrap()).unwrap();
        assert!(second > first);
        let ahead = unix_millis() + 86_400_000;
        fs::write(home.state_file("epoch"), format!("{ahead}\n")).unwrap();
        assert_eq!(home.next_epoch(&home.lock().unwrap()).unwrap(), ahead + 1);
        for damage in ["", "half a num", "99999999999999999999999999999999999999999999", "\u{0}\u{0}"] {
            fs::write(home.state_file("epoch"), damage).unwrap();
            assert!(home.next_epoch(&home.lock().unwrap()).unwrap() >= second, "{damage:?}");
        }
        drop(folder);
    }

    #[test]
    fn an_epoch_that_can_t_be_kept_is_not_given() {
        let (_folder, home) = home();
        let lock = home.lock().unwrap();
        fs::create_dir(home.state_file("epoch")).unwrap();
        assert!(home.next_epoch(&lock).is_err());
    }
}
