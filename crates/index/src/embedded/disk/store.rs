//! The store's directory: who may use it, of which format it is, which files it has.
//!
//! ```text
//! LOCK  FORMAT  log-<first record>.log  snapshot-<last record>.snap  segment-<id>.seg  <any of them>.tmp
//! ```
//!
//! Invariants: one process at a time (a lock that ends with the process). Every file but LOCK comes to its name by
//! a rename after its bytes were synced, so what ends in `.tmp` was never finished and is removed at the next start.
//! Names that are none of these are left alone.

use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::container::{Container, ContainerWriter, SectionWriter};
use super::files::{Files, Output, RealFiles};
use super::{DiskError, DiskResult};

/// What this program writes, and the latest it reads.
const FORMAT: u64 = 1;
/// Before the number in FORMAT.
const FORMAT_LINE: &str = "peerage index store, format ";
/// Digits of the number in a file's name: any `u64`.
const NUMBER_DIGITS: usize = 20;
/// The section of a file that needs no more than one.
const ONLY_SECTION: &str = "all";
const TEMPORARY: &str = ".tmp";

/// A file of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum StoreFile {
    /// The log from that record on.
    Log(u64),
    /// All that the records up to that one made, and perhaps some after it.
    Snapshot(u64),
    /// A part of the text index.
    Segment(u64),
}

impl StoreFile {
    fn name(self) -> String {
        let (kind, number, ending) = match self {
            Self::Log(first) => ("log", first, "log"),
            Self::Snapshot(last) => ("snapshot", last, "snap"),
            Self::Segment(id) => ("segment", id, "seg"),
        };
        format!("{kind}-{number:0NUMBER_DIGITS$}.{ending}")
    }

    fn parse(name: &str) -> Option<Self> {
        let (stem, _) = name.rsplit_once('.')?;
        let (kind, digits) = stem.split_once('-')?;
        let number = digits.parse().ok()?;
        let file = match kind {
            "log" => Self::Log(number),
            "snapshot" => Self::Snapshot(number),
            "segment" => Self::Segment(number),
            _ => return None,
        };
        (file.name() == name).then_some(file)
    }
}

/// An open store. Cheap to clone; the lock is held until the last clone is gone.
#[derive(Debug, Clone)]
pub(crate) struct StoreDir {
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    dir: PathBuf,
    files: Arc<dyn Files>,
    /// Keeps the lock.
    _lock: File,
}

impl StoreDir {
    /// Opens the store in a directory, or begins one where there is nothing yet.
    ///
    /// # Errors
    /// [`DiskError::InUse`], [`DiskError::Newer`], [`DiskError::NotAStore`] for logs without a format, or what the
    /// system says.
    pub(crate) fn open(dir: &Path) -> DiskResult<Self> {
        Self::open_with(dir, Arc::new(RealFiles))
    }

    pub(in crate::embedded) fn open_with(dir: &Path, files: Arc<dyn Files>) -> DiskResult<Self> {
        create_private(dir).map_err(DiskError::io("create", dir))?;
        let lock = lock(dir)?;
        let store = Self { shared: Arc::new(Shared { dir: dir.to_owned(), files, _lock: lock }) };
        store.check_format()?;
        store.remove_unfinished()?;
        // A process that was killed may have left names that a power cut would still take back.
        store.sync_names()?;
        Ok(store)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.shared.dir
    }

    /// Where a file of the store is, or would be.
    pub(crate) fn path_of(&self, file: StoreFile) -> PathBuf {
        self.path().join(file.name())
    }

    /// First records of the logs, ascending.
    pub(crate) fn logs(&self) -> DiskResult<Vec<u64>> {
        self.numbers(|file| if let StoreFile::Log(first) = file { Some(first) } else { None })
    }

    /// Last records of the snapshots, ascending.
    pub(crate) fn snapshots(&self) -> DiskResult<Vec<u64>> {
        self.numbers(|file| if let StoreFile::Snapshot(last) = file { Some(last) } else { None })
    }

    /// Ids of the segments, ascending.
    pub(crate) fn segments(&self) -> DiskResult<Vec<u64>> {
        self.numbers(|file| if let StoreFile::Segment(id) = file { Some(id) } else { None })
    }

    /// Bytes of a file.
    pub(crate) fn bytes_of(&self, file: StoreFile) -> DiskResult<u64> {
        let path = self.path_of(file);
        Ok(std::fs::metadata(&path).map_err(DiskError::io("look at", &path))?.len())
    }

    /// Bytes of all logs.
    pub(crate) fn log_bytes(&self) -> DiskResult<u64> {
        self.logs()?.into_iter().map(|first| self.bytes_of(StoreFile::Log(first))).sum()
    }

    /// Bytes of all segments.
    pub(crate) fn segment_bytes(&self) -> DiskResult<u64> {
        self.segments()?.into_iter().map(|id| self.bytes_of(StoreFile::Segment(id))).sum()
    }

    /// Takes a file away; nothing happens where it is gone already. The name may come back after a power cut, which
    /// must do no harm.
    pub(crate) fn remove(&self, file: StoreFile) -> DiskResult<()> {
        self.remove_path(&self.path_of(file))
    }

    /// Writes a file of one section, as a whole or not at all.
    pub(crate) fn write_file(
        &self,
        file: StoreFile,
        fill: impl FnOnce(&mut SectionWriter<'_>) -> io::Result<()>,
    ) -> DiskResult<()> {
        let mut writer = ContainerWriter::begin(self, file)?;
        fill(&mut writer.section(ONLY_SECTION)?)
            .map_err(DiskError::of_section("write", &self.path_of(file)))?;
        writer.finish()
    }

    /// What [`StoreDir::write_file`] wrote, checked.
    pub(crate) fn read_file(&self, file: StoreFile) -> DiskResult<Vec<u8>> {
        Container::open(self, file)?.section(ONLY_SECTION)?.rest()
    }

    /// Begins a file under a temporary name.
    pub(super) fn begin(&self, file: StoreFile) -> DiskResult<Output> {
        Output::create(&self.shared.files, self.path().join(file.name() + TEMPORARY))
    }

    /// The end of what [`StoreDir::begin`] began: the file is whole on the disk under its name when this returns.
    pub(super) fn finish(&self, output: &mut Output, file: StoreFile) -> DiskResult<()> {
        self.put_in_place(output, self.path_of(file))
    }

    /// A file that is there, to change its end.
    pub(super) fn reopen(&self, file: StoreFile) -> DiskResult<Output> {
        Output::open(&self.shared.files, self.path_of(file))
    }

    /// The names of the directory as they are now are on the disk when this returns.
    pub(super) fn sync_names(&self) -> DiskResult<()> {
        self.shared.files.sync_dir(self.path()).map_err(DiskError::io("sync", self.path()))
    }

    fn put_in_place(&self, output: &mut Output, path: PathBuf) -> DiskResult<()> {
        output.sync()?;
        output.rename(path)?;
        self.sync_names()
    }

    fn check_format(&self) -> DiskResult<()> {
        let path = self.path().join("FORMAT");
        let text = match fs::read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return self.begin_format(path),
            Err(error) => return Err(DiskError::io("read", &path)(error)),
        };
        let number = text.trim_end().strip_prefix(FORMAT_LINE).and_then(|digits| digits.parse().ok());
        match number {
            Some(0) | None => Err(DiskError::Damaged { file: path, offset: 0, what: "it names no format" }),
            Some(found) if found > FORMAT => Err(DiskError::Newer { file: path, found, known: FORMAT }),
            Some(_) => Ok(()),
        }
    }

    fn begin_format(&self, path: PathBuf) -> DiskResult<()> {
        if !self.numbers(Some)?.is_empty() {
            let what = "it has files of one, but no `FORMAT`";
            return Err(DiskError::NotAStore { dir: self.path().to_owned(), what });
        }
        let temporary = self.path().join(["FORMAT", TEMPORARY].concat());
        let mut output = Output::create(&self.shared.files, temporary)?;
        output.write(format!("{FORMAT_LINE}{FORMAT}\n").as_bytes())?;
        self.put_in_place(&mut output, path)?;
        match self.path().parent().filter(|parent| !parent.as_os_str().is_empty()) {
            Some(parent) => self.shared.files.sync_dir(parent).map_err(DiskError::io("sync", parent)),
            None => Ok(()),
        }
    }

    fn remove_unfinished(&self) -> DiskResult<()> {
        for name in self.names()? {
            let whole = name.strip_suffix(TEMPORARY);
            if whole.is_some_and(|whole| whole == "FORMAT" || StoreFile::parse(whole).is_some()) {
                self.remove_path(&self.path().join(&name))?;
            }
        }
        Ok(())
    }

    pub(super) fn remove_path(&self, path: &Path) -> DiskResult<()> {
        match self.shared.files.remove(path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                Err(DiskError::io("remove", path)(error))
            }
            _ => Ok(()),
        }
    }

    fn numbers<T: Ord>(&self, pick: impl Fn(StoreFile) -> Option<T>) -> DiskResult<Vec<T>> {
        let names = self.names()?;
        let mut numbers: Vec<T> =
            names.iter().filter_map(|name| StoreFile::parse(name)).filter_map(pick).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }

    fn names(&self) -> DiskResult<Vec<String>> {
        let read = || -> io::Result<Vec<String>> {
            let mut names = Vec::new();
            for entry in fs::read_dir(self.path())? {
                names.extend(entry?.file_name().into_string()); // ours are all UTF-8
            }
            Ok(names)
        };
        read().map_err(DiskError::io("list", self.path()))
    }
}

fn create_private(dir: &Path) -> io::Result<()> {
    let mut builder = DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(dir)
}

fn lock(dir: &Path) -> DiskResult<File> {
    let path = dir.join("LOCK");
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(&path).map_err(DiskError::io("open", &path))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(DiskError::InUse { dir: dir.to_owned() }),
        Err(TryLockError::Error(error)) => Err(DiskError::io("lock", &path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_is_private_and_for_one() {
        let parent = tempfile::tempdir().unwrap();
        let dir = parent.path().join("a/index");
        let store = StoreDir::open(&dir).unwrap();
        #[cfg(unix)]
        {
            let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&dir).unwrap().permissions());
            assert_eq!(mode & 0o777, 0o700);
            let lock = fs::metadata(dir.join("LOCK")).unwrap();
            assert_eq!(std::os::unix::fs::PermissionsExt::mode(&lock.permissions()) & 0o777, 0o600);
        }
        let error = StoreDir::open(&dir).unwrap_err();
        assert!(matches!(error, DiskError::InUse { .. }), "{error}");
        assert!(error.to_string().contains("\nhint: "), "{error}");
        let clone = store.clone();
        drop(store);
        assert!(StoreDir::open(&dir).is_err());
        drop(clone);
        StoreDir::open(&dir).unwrap();
    }

    #[test]
    fn a_format_that_is_not_known_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        drop(StoreDir::open(dir.path()).unwrap());
        let format = dir.path().join("FORMAT");
        let own = fs::read_to_string(&format).unwrap();
        fs::write(&format, own.replace('1', "2")).unwrap();
        let error = StoreDir::open(dir.path()).unwrap_err();
        assert!(matches!(error, DiskError::Newer { found: 2, known: 1, .. }), "{error}");
        fs::write(&format, "").unwrap();
        assert!(matches!(StoreDir::open(dir.path()), Err(DiskError::Damaged { .. })));
        fs::remove_file(&format).unwrap();
        fs::write(dir.path().join(StoreFile::Log(1).name()), "").unwrap();
        assert!(matches!(StoreDir::open(dir.path()), Err(DiskError::NotAStore { .. })));
    }

    #[test]
    fn what_was_never_finished_goes_and_what_is_not_ours_stays() {
        let dir = tempfile::tempdir().unwrap();
        drop(StoreDir::open(dir.path()).unwrap());
        let names = ["notes.tmp", "log-1.log", "log-00000000000000000001.log.tmp"];
        names.iter().for_each(|name| fs::write(dir.path().join(name), "").unwrap());
        let files = [StoreFile::Segment(7), StoreFile::Segment(3), StoreFile::Snapshot(u64::MAX)];
        files.iter().for_each(|file| fs::write(dir.path().join(file.name()), "").unwrap());
        let store = StoreDir::open(dir.path()).unwrap();
        let left = names.map(|name| dir.path().join(name).exists());
        assert_eq!(left, [true, true, false]);
        assert_eq!((store.logs().unwrap(), store.segments().unwrap()), (vec![], vec![3, 7]));
        assert_eq!(store.snapshots().unwrap(), [u64::MAX]);
        store.remove(StoreFile::Segment(3)).unwrap();
        store.remove(StoreFile::Segment(3)).unwrap();
        assert_eq!(store.segments().unwrap(), [7]);
    }
}
