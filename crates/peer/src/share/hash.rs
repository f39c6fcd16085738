//! Reading files and hashing them, each once: the content hash and the piece values in the same pass.
//!
//! Invariants: a file is registered only if it is the same regular file at the same path, with the same size
//! and time, before its first byte is read and after its last; a piece is read by one thread into that
//! thread's buffer and hashed there. Many small files are spread over the threads, and so are the pieces of a
//! large one.
//!
//! **Written while it is hashed.** A write after the last look leaves another time, which the next look sees,
//! unless it comes within the clock's own step. So where the time is that close ([`STEP`], or
//! [`COARSE_STEP`] on file systems that keep whole seconds), the file is registered but not remembered, and
//! hashed again once that time is over; see [`is_certain`].

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use peerage_wire::{PieceHasher, PieceList, piece_count, piece_len};

use super::engine::Engine;
use super::origin::Origin;
use super::queue::{Job, Task};
use super::root::{Root, Stamp};
use super::settle::Outcome;
use crate::room::Room;

/// Bytes read at a time: stays in a core's own cache until it is hashed.
pub(super) const READ_BYTES: usize = 256 << 10;

/// The step of the clock that stamps files: a kernel tick is at most 10 ms.
pub(crate) const STEP: Duration = Duration::from_millis(50);
/// The same where whole seconds are kept: FAT keeps even ones.
pub(crate) const COARSE_STEP: Duration = Duration::from_secs(2);

/// A large file while its pieces are hashed.
#[derive(Debug)]
pub(crate) struct Large {
    job: Job,
    file: File,
    start: Start,
    values: Mutex<Values>,
    has_failed: AtomicBool,
}

#[derive(Debug)]
struct Values {
    values: Vec<[u8; 32]>,
    left: u64,
    bytes: u64,
}

/// What was known when the reading began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Start {
    pub(crate) stamp: Stamp,
    pub(crate) clock_ns: i64,
    pub(crate) at: Instant,
}

/// One hashing thread, until the queue is closed.
pub(crate) fn run(engine: &Engine) {
    let buffer = &mut *Room::new(READ_BYTES);
    while let Some(task) = engine.queue.next() {
        match task {
            Task::Small(jobs) => jobs.iter().for_each(|job| hash_small(engine, job, buffer)),
            Task::Open(job) => open_large(engine, job),
            Task::Piece(large, index) => hash_piece(engine, &large, index, buffer),
        }
    }
}

/// Whether a write after the reading began would have to show in the file's time.
pub(crate) fn is_certain(stamp: Stamp, clock_ns: i64) -> bool {
    let step = if stamp.mtime_ns % 1_000_000_000 == 0 { COARSE_STEP } else { STEP };
    stamp.mtime_ns < clock_ns.saturating_sub(i64::try_from(step.as_nanos()).unwrap_or(i64::MAX))
}

/// The clock that files are stamped by, in nanoseconds since 1970.
pub(crate) fn clock_ns() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_nanos()).unwrap_or(i64::MAX)
}

fn hash_small(engine: &Engine, job: &Job, buffer: &mut [u8]) {
    let begun = Instant::now();
    let outcome = match begin(job) {
        Ok((_, start)) if start.stamp.size != job.stamp.size => Outcome::Changed,
        Ok((file, start)) => match read_piece(at(&file), start.stamp.size, 0, buffer) {
            Ok(value) => finish(job, start, vec![value]),
            Err(error) => Outcome::of_error(error),
        },
        Err(error) => Outcome::of_error(error),
    };
    if let Outcome::Hashed { list, .. } = &outcome {
        engine.progress.hashed_bytes(job, list.size());
    }
    engine.settle(job, outcome, begun.elapsed());
}

fn open_large(engine: &Engine, job: Job) {
    match begin(&job) {
        Ok((_, start)) if start.stamp.size != job.stamp.size => {
            engine.settle(&job, Outcome::Changed, Duration::ZERO);
        }
        Ok((file, start)) => {
            // Only a hint for the disk; nothing depends on it.
            let _ = rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::Sequential);
            engine.queue.offer(Arc::new(Large::new(job, file, start)));
        }
        Err(error) => engine.settle(&job, Outcome::of_error(error), Duration::ZERO),
    }
}

fn hash_piece(engine: &Engine, large: &Large, index: u64, buffer: &mut [u8]) {
    let size = large.start.stamp.size;
    let read = match large.file.metadata().map(|metadata| Stamp::of(&metadata) == large.start.stamp) {
        Ok(true) => read_piece(at(&large.file), size, index, buffer),
        Ok(false) => Err(changed()),
        Err(error) => Err(error),
    };
    let outcome = match read {
        Ok(value) => match large.store(engine, index, value) {
            Some(values) => large.end(engine, finish(&large.job, large.start, values)),
            None => return,
        },
        Err(error) if large.fail(engine) => Outcome::of_error(error),
        Err(_) => return,
    };
    engine.settle(&large.job, outcome, large.start.at.elapsed());
}

fn begin(job: &Job) -> io::Result<(File, Start)> {
    let (clock_ns, at) = (clock_ns(), Instant::now());
    let (file, stamp) = folder_of(job)?.open_file(job.disk())?;
    Ok((file, Start { stamp, clock_ns, at }))
}

/// A job of a server is in that server's queue, and never comes here.
fn folder_of(job: &Job) -> io::Result<&Root> {
    match &job.origin {
        Origin::Folder(root) => Ok(root),
        Origin::Server(_) => Err(io::ErrorKind::InvalidInput.into()),
    }
}

fn finish(job: &Job, start: Start, values: Vec<[u8; 32]>) -> Outcome {
    match folder_of(job).and_then(|root| root.stamp_at(job.disk())) {
        Ok(stamp) if stamp == start.stamp => {}
        Ok(_) => return Outcome::Changed,
        Err(error) => return Outcome::of_error(error),
    }
    match PieceList::from_values(start.stamp.size, values) {
        Ok(list) => {
            Outcome::Hashed { list, stamp: start.stamp, is_certain: is_certain(start.stamp, start.clock_ns) }
        }
        // As many values as pieces were stored, so this is a size beyond the limit.
        Err(error) => Outcome::Unreadable(io::Error::new(io::ErrorKind::FileTooLarge, error)),
    }
}

fn at(file: &File) -> impl FnMut(&mut [u8], u64) -> io::Result<usize> {
    |bytes, offset| file.read_at(bytes, offset)
}

/// The value of one piece, whose bytes are read by `read_at` into the buffer from a place in the file.
pub(super) fn read_piece(
    mut read_at: impl FnMut(&mut [u8], u64) -> io::Result<usize>,
    size: u64,
    index: u64,
    buffer: &mut [u8],
) -> io::Result<[u8; 32]> {
    let mut hasher = PieceHasher::new(size, index);
    let mut offset = index * peerage_wire::PIECE_BYTES;
    let mut left = usize::try_from(piece_len(size, index)).unwrap_or(usize::MAX);
    while left > 0 {
        let room = left.min(buffer.len());
        match read_at(&mut buffer[..room], offset) {
            Ok(0) => return Err(changed()),
            Ok(read) => {
                hasher.update(&buffer[..read]);
                offset += read as u64;
                left -= read;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(hasher.finish())
}

/// The file is no longer as long or as old as it was.
fn changed() -> io::Error {
    io::ErrorKind::UnexpectedEof.into()
}

impl Large {
    fn new(job: Job, file: File, start: Start) -> Self {
        let left = piece_count(start.stamp.size);
        let values = vec![[0; 32]; usize::try_from(left).unwrap_or(0)];
        let values = Mutex::new(Values { values, left, bytes: 0 });
        Self { job, file, start, values, has_failed: AtomicBool::new(false) }
    }

    pub(crate) fn count(&self) -> u64 {
        piece_count(self.start.stamp.size)
    }

    pub(crate) fn has_failed(&self) -> bool {
        self.has_failed.load(Ordering::Relaxed)
    }

    /// Keeps a value; with the last one, all of them come back.
    fn store(&self, engine: &Engine, index: u64, value: [u8; 32]) -> Option<Vec<[u8; 32]>> {
        let mut values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has_failed() {
            return None;
        }
        let bytes = piece_len(self.start.stamp.size, index);
        values.bytes += bytes;
        engine.progress.hashed_bytes(&self.job, bytes);
        if let Some(place) = usize::try_from(index).ok().and_then(|index| values.values.get_mut(index)) {
            *place = value;
        }
        values.left -= 1;
        (values.left == 0).then(|| std::mem::take(&mut values.values))
    }

    /// Where the last look found it changed, none of its bytes count.
    fn end(&self, engine: &Engine, outcome: Outcome) -> Outcome {
        if !matches!(outcome, Outcome::Hashed { .. }) {
            self.fail(engine);
        }
        outcome
    }

    /// Gives the file up; `true` for the first to do so.
    fn fail(&self, engine: &Engine) -> bool {
        let values = self.values.lock().unwrap_or_else(PoisonError::into_inner);
        let is_first = !self.has_failed.swap(true, Ordering::Relaxed);
        if is_first {
            engine.progress.unhashed_bytes(&self.job, values.bytes);
        }
        is_first
    }
}

#[cfg(test)]
mod tests {
    use super::super::queue::Why;
    use super::*;
    use crate::catalogue::ShareId;
    use peerage_wire::{ContentHash, SharePath};
    use std::path::Path;

    const TEXT: &str = "what the file holds";

    fn file() -> (tempfile::TempDir, Job) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("file"), TEXT).unwrap();
        let root = Arc::new(Root::open("s", &folder.path().canonicalize().unwrap()).unwrap());
        let path = SharePath::parse("s/file").unwrap();
        let size = TEXT.len() as u64;
        let (stamp, found) = (Stamp { size, mtime_ns: 0, inode: 0 }, Instant::now());
        (
            folder,
            Job {
                share: ShareId(0),
                origin: root.into(),
                path,
                odd_name: None,
                stamp,
                found,
                why: Why::Found,
            },
        )
    }

    fn hash_while(change: impl FnOnce(&Path)) -> Outcome {
        let (folder, job) = file();
        let (file, start) = begin(&job).unwrap();
        let value = read_piece(at(&file), start.stamp.size, 0, &mut [0; 7]).unwrap();
        change(&folder.path().join("file"));
        finish(&job, start, vec![value])
    }

    #[test]
    fn an_untouched_file_has_its_hash() {
        let Outcome::Hashed { list, .. } = hash_while(|_| ()) else { panic!("not hashed") };
        assert_eq!((list.hash(), list.size()), (ContentHash::of(TEXT.as_bytes()), TEXT.len() as u64));
    }

    #[test]
    fn a_file_that_changes_in_between_is_not_registered() {
        let longer = |path: &Path| std::fs::write(path, format!("{TEXT}!")).unwrap();
        let touched = |path: &Path| {
            let file = File::options().write(true).open(path).unwrap();
            file.set_modified(SystemTime::now() + Duration::from_secs(5)).unwrap();
        };
        let replaced = |path: &Path| {
            let modified = path.metadata().unwrap().modified().unwrap();
            let other = path.with_extension("other");
            std::fs::write(&other, TEXT.to_uppercase()).unwrap();
            File::options().write(true).open(&other).unwrap().set_modified(modified).unwrap();
            std::fs::rename(other, path).unwrap();
        };
        assert!(matches!(hash_while(longer), Outcome::Changed));
        assert!(matches!(hash_while(touched), Outcome::Changed));
        assert!(matches!(hash_while(replaced), Outcome::Changed));
    }

    #[test]
    fn a_file_that_goes_in_between_is_gone() {
        let moved = |path: &Path| std::fs::rename(path, path.with_extension("moved")).unwrap();
        let linked = |path: &Path| {
            moved(path);
            std::os::unix::fs::symlink(path.with_extension("moved"), path).unwrap();
        };
        assert!(matches!(hash_while(|path| std::fs::remove_file(path).unwrap()), Outcome::Gone));
        assert!(matches!(hash_while(moved), Outcome::Gone));
        assert!(matches!(hash_while(linked), Outcome::Gone));
    }

    #[test]
    fn a_file_that_shrinks_while_it_is_read_has_changed() {
        let (folder, job) = file();
        let (opened, start) = begin(&job).unwrap();
        std::fs::write(folder.path().join("file"), "short").unwrap();
        let read = read_piece(at(&opened), start.stamp.size, 0, &mut [0; 1 << 10]);
        assert!(matches!(Outcome::of_error(read.unwrap_err()), Outcome::Changed));
    }

    #[test]
    fn a_time_too_close_to_the_reading_is_not_trusted() {
        const SECOND: i64 = 1_000_000_000;
        let now = 1_700_000_000 * SECOND;
        let at = |mtime_ns| is_certain(Stamp { size: 1, mtime_ns, inode: 1 }, now);
        assert!(at(now - SECOND / 10 - 1) && !at(now - SECOND / 100 - 1), "a tick");
        assert!(at(now - 3 * SECOND) && !at(now - SECOND), "whole seconds");
        assert!(!at(now + SECOND / 2) && !at(now + 9 * SECOND), "a time to come");
        assert!(at(-5));
    }
}
