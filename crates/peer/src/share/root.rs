//! A shared folder held open: the only way from a name in it to bytes on the disk.
//!
//! Invariants: a file is opened below the folder's own handle, through no symbolic link at all; only regular
//! files come out; opening never waits, not even for a fifo put in a file's place.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use cap_std::ambient_authority;
use cap_std::fs::Dir;
use rustix::fs::{Mode, OFlags};

/// What tells whether a file is still the one that was hashed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp {
    /// Bytes.
    pub(crate) size: u64,
    /// Last change of the content, in nanoseconds since 1970.
    pub(crate) mtime_ns: i64,
    /// The file's number in its file system.
    pub(crate) inode: u64,
}

impl Stamp {
    pub(crate) fn of(metadata: &std::fs::Metadata) -> Self {
        let mtime_ns = metadata.mtime().saturating_mul(1_000_000_000).saturating_add(metadata.mtime_nsec());
        Self { size: metadata.len(), mtime_ns, inode: metadata.ino() }
    }

    /// Seconds since 1970, as they are registered.
    pub(crate) const fn modified_secs(self) -> i64 {
        self.mtime_ns.div_euclid(1_000_000_000)
    }
}

/// A file's path on this machine, as the cache knows it: the first half of the path's BLAKE3.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct FileKey([u8; 16]);

impl FileKey {
    pub(crate) fn of(folder: &Path, relative: &str) -> Self {
        let mut hasher = blake3::Hasher::new();
        hasher.update(folder.as_os_str().as_encoded_bytes()).update(b"/").update(relative.as_bytes());
        let mut half = [0; 16];
        hasher.finalize_xof().fill(&mut half);
        Self(half)
    }

    pub(crate) const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

/// Which folder it is, whatever stands at its path later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FolderId {
    device: u64,
    inode: u64,
}

impl FolderId {
    /// Of the folder that stands at `path` now; `None` where none does, or a link to one.
    pub(crate) fn at(path: &Path) -> Option<Self> {
        let metadata = std::fs::symlink_metadata(path).ok().filter(std::fs::Metadata::is_dir)?;
        Some(Self { device: metadata.dev(), inode: metadata.ino() })
    }

    fn of(dir: &Dir) -> io::Result<Self> {
        let metadata = File::from(dir.as_fd().try_clone_to_owned()?).metadata()?;
        Ok(Self { device: metadata.dev(), inode: metadata.ino() })
    }
}

/// An open shared folder.
#[derive(Debug)]
pub(crate) struct Root {
    name: String,
    path: PathBuf,
    dir: Dir,
    id: FolderId,
}

impl Root {
    /// Opens the folder at `path`, which is absolute and has no symbolic links, as the share `name`.
    pub(crate) fn open(name: &str, path: &Path) -> io::Result<Self> {
        let dir = Dir::open_ambient_dir(path, ambient_authority())?;
        let id = FolderId::of(&dir)?;
        if path.canonicalize()? != path || FolderId::at(path) != Some(id) {
            return Err(io::Error::new(io::ErrorKind::NotADirectory, "another folder was put in its place"));
        }
        Ok(Self { name: name.to_owned(), path: path.to_owned(), dir, id })
    }

    /// The share's name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Where the folder was when it was opened.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the folder that was opened still stands at its path.
    pub(crate) fn is_in_place(&self) -> bool {
        FolderId::at(&self.path) == Some(self.id)
    }

    /// Which folder it is.
    pub(crate) const fn id(&self) -> FolderId {
        self.id
    }

    /// The cache's key for the file at `relative`.
    pub(crate) fn key(&self, relative: &str) -> FileKey {
        FileKey::of(&self.path, relative)
    }

    /// The stamp of the regular file that stands at `relative` now.
    pub(crate) fn stamp_at(&self, relative: &str) -> io::Result<Stamp> {
        let metadata = self.path.join(relative).symlink_metadata()?;
        if metadata.is_file() { Ok(Stamp::of(&metadata)) } else { Err(io::ErrorKind::InvalidInput.into()) }
    }

    /// Opens the regular file at `relative`, a path of plain names, and tells its stamp.
    pub(crate) fn open_file(&self, relative: &str) -> io::Result<(File, Stamp)> {
        let file = File::from(open_beneath(&self.dir, relative)?);
        let metadata = file.metadata()?;
        if metadata.is_file() {
            Ok((file, Stamp::of(&metadata)))
        } else {
            Err(io::Error::new(io::ErrorKind::InvalidInput, "not a regular file"))
        }
    }
}

/// `NONBLOCK` keeps a fifo from holding us up; it means nothing on a regular file.
const FILE_FLAGS: OFlags = OFlags::RDONLY
    .union(OFlags::NONBLOCK)
    .union(OFlags::NOFOLLOW)
    .union(OFlags::CLOEXEC)
    .union(OFlags::NOCTTY);

#[cfg(target_os = "linux")]
fn open_beneath(dir: &Dir, relative: &str) -> io::Result<OwnedFd> {
    use rustix::fs::{ResolveFlags, openat2};
    use rustix::io::Errno;
    let resolve = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
    match openat2(dir, relative, FILE_FLAGS, Mode::empty(), resolve) {
        // Kernels before 5.6 lack the call and some sandboxes forbid it.
        Err(Errno::NOSYS | Errno::PERM) => open_by_steps(dir, relative),
        opened => Ok(opened?),
    }
}

#[cfg(not(target_os = "linux"))]
fn open_beneath(dir: &Dir, relative: &str) -> io::Result<OwnedFd> {
    open_by_steps(dir, relative)
}

/// Opens folder after folder, none of them through a link, so that no name leads out.
fn open_by_steps(dir: &Dir, relative: &str) -> io::Result<OwnedFd> {
    let (folders, name) = relative.rsplit_once('/').unwrap_or(("", relative));
    let mut folder = dir.as_fd().try_clone_to_owned()?;
    for step in folders.split('/').filter(|step| !step.is_empty()) {
        folder = open_step(&folder, step, OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC)?;
    }
    open_step(&folder, name, FILE_FLAGS)
}

fn open_step(folder: &OwnedFd, name: &str, flags: OFlags) -> io::Result<OwnedFd> {
    if matches!(name, "" | "." | "..") {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    Ok(rustix::fs::openat(folder, name, flags, Mode::empty())?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::unix::fs::symlink;

    struct Fixture {
        folder: tempfile::TempDir,
        root: Root,
    }

    fn fixture() -> Fixture {
        let folder = tempfile::tempdir().unwrap();
        let shared = folder.path().canonicalize().unwrap().join("shared");
        std::fs::create_dir_all(shared.join("sub")).unwrap();
        std::fs::write(shared.join("sub/file"), "inside").unwrap();
        std::fs::write(folder.path().join("secret"), "outside").unwrap();
        let root = Root::open("s", &shared).unwrap();
        Fixture { folder, root }
    }

    /// The same through both ways of opening.
    fn opens(root: &Root, relative: &str) -> [bool; 2] {
        let stepped = open_by_steps(&root.dir, relative).map(File::from);
        let regular = stepped.and_then(|file| file.metadata()).is_ok_and(|metadata| metadata.is_file());
        [root.open_file(relative).is_ok(), regular]
    }

    #[test]
    fn a_file_comes_with_its_stamp() {
        let Fixture { root, folder } = fixture();
        let (mut file, stamp) = root.open_file("sub/file").unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!((text.as_str(), stamp.size), ("inside", 6));
        let metadata = std::fs::symlink_metadata(folder.path().join("shared/sub/file")).unwrap();
        assert_eq!(stamp, Stamp::of(&metadata));
        assert_eq!(opens(&root, "sub/file"), [true, true]);
    }

    #[test]
    fn no_link_climb_or_special_file_is_opened() {
        let Fixture { root, folder } = fixture();
        let shared = folder.path().join("shared");
        symlink("../secret", shared.join("out")).unwrap();
        symlink("..", shared.join("up")).unwrap();
        symlink("sub", shared.join("in")).unwrap();
        symlink("sub/file", shared.join("alias")).unwrap();
        rustix::fs::mkfifoat(rustix::fs::CWD, shared.join("fifo"), Mode::RWXU).unwrap();
        for name in
            ["out", "up/secret", "in/file", "alias", "fifo", "sub", "../secret", "sub/../../secret", ""]
        {
            assert_eq!(opens(&root, name), [false, false], "{name}");
        }
        let absolute = folder.path().join("secret");
        assert!(root.open_file(absolute.to_str().unwrap()).is_err());
    }

    #[test]
    fn a_folder_put_in_its_place_is_another() {
        let Fixture { root, folder } = fixture();
        assert!(root.is_in_place());
        let shared = folder.path().join("shared");
        std::fs::rename(&shared, folder.path().join("moved")).unwrap();
        assert!(!root.is_in_place());
        std::fs::create_dir(&shared).unwrap();
        assert!(!root.is_in_place());
    }
}
