//! Reading the log at a start: every record in its order, and the end put right.
//!
//! Invariants: only the last file may end in an unfinished write; whenever a later file was begun, the one before was
//! synced as a whole. What is cut is told. After [`replay`] the last file holds what was visited, on the disk: bytes
//! that a system may have kept in memory only, after a sync that failed, are written again before anything builds on
//! them.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::path::PathBuf;

use super::files::Output;
use super::frame::{self, Broken, Scan, ScanError};
use super::{Damaged, DiskError, DiskResult, Record, StoreDir, StoreFile};

/// Read ahead: a few batches.
const READ_BYTES: usize = 1 << 20;

/// What the log held.
#[derive(Debug, Clone)]
pub(crate) struct Replayed {
    /// Number of the next record.
    pub(crate) next: u64,
    /// What was cut off: a write that had not ended and that nobody was told of.
    pub(crate) cut: Option<Cut>,
}

/// The end of a log that was cut off.
#[derive(Debug, Clone)]
pub(crate) struct Cut {
    #[cfg_attr(not(test), expect(dead_code, reason = "people are told how much; tests look where"))]
    pub(crate) file: PathBuf,
    #[cfg_attr(not(test), expect(dead_code, reason = "people are told how much; tests look where"))]
    pub(crate) offset: u64,
    pub(crate) bytes: u64,
}

/// Visits all records, with their number and bytes, after the one numbered `after` (that of the snapshot that was read; 0
/// without one) and makes the log's end whole. Older logs are passed over unread.
///
/// # Errors
/// [`DiskError::Missing`] or [`DiskError::Damaged`] where records are not there that were once; what the system says.
pub(crate) fn replay(
    store: &StoreDir,
    after: u64,
    mut visit: impl FnMut(u64, usize, Record),
) -> DiskResult<Replayed> {
    let logs = needed(store, after)?;
    let mut replayed = Replayed { next: after + 1, cut: None };
    for (position, first) in logs.iter().copied().enumerate() {
        let read = read_log(store, first, |number, bytes, record| {
            if number > after {
                visit(number, bytes, record);
            }
        })?;
        match logs.get(position + 1) {
            Some(follower) => check_follower(store, &read, *follower)?,
            None => replayed.cut = settle(store, &read)?,
        }
        replayed.next = read.scan.next;
    }
    if replayed.next <= after {
        return Err(missing(store, replayed.next, after));
    }
    Ok(replayed)
}

/// A log file as it was read.
#[derive(Debug)]
struct LogRead {
    file: StoreFile,
    path: PathBuf,
    bytes: u64,
    scan: Scan,
}

impl LogRead {
    fn damaged(&self, why: &'static str) -> DiskError {
        Damaged(why).at(&self.path, self.scan.end)
    }
}

/// First records of the logs that may have records after `after`.
fn needed(store: &StoreDir, after: u64) -> DiskResult<Vec<u64>> {
    let mut logs = store.logs()?;
    match logs.iter().rposition(|first| *first <= after.saturating_add(1)) {
        Some(position) => Ok(logs.split_off(position)),
        None if logs.is_empty() && after == 0 => Ok(logs),
        None => {
            let last = logs.first().map_or(after + 1, |first| first - 1);
            Err(missing(store, after + 1, last))
        }
    }
}

fn read_log(store: &StoreDir, first: u64, mut visit: impl FnMut(u64, usize, Record)) -> DiskResult<LogRead> {
    let file = StoreFile::Log(first);
    let path = store.path_of(file);
    let opened = File::open(&path).and_then(|opened| Ok((opened.metadata()?.len(), opened)));
    let (bytes, opened) = opened.map_err(DiskError::io("open", &path))?;
    let scanned = frame::scan(&mut BufReader::with_capacity(READ_BYTES, opened), bytes, |number, payload| {
        visit(number, payload.len(), Record::decode(payload)?);
        Ok(())
    });
    let scan = scanned.map_err(|error| match error {
        ScanError::Read(error) => DiskError::io("read", &path)(error),
        ScanError::Damaged(offset, damaged) => damaged.at(&path, offset),
    })?;
    if scan.head.first != first {
        return Err(Damaged("its name and its first record disagree").at(&path, 0));
    }
    Ok(LogRead { file, path, bytes, scan })
}

/// A log that is not the last has every record up to the next one's first. What follows those is no record.
fn check_follower(store: &StoreDir, read: &LogRead, follower: u64) -> DiskResult<()> {
    match (&read.scan.broken, read.scan.next) {
        (_, next) if next == follower => Ok(()),
        (_, next) if next > follower => Err(read.damaged("its last records are in the next log as well")),
        (Some(broken), _) => Err(read.damaged(broken.why)),
        (None, next) => Err(missing(store, next, follower - 1)),
    }
}

/// Makes the last log end in what was read of it, on the disk.
fn settle(store: &StoreDir, read: &LogRead) -> DiskResult<Option<Cut>> {
    let scan = &read.scan;
    if let Some(Broken { why, was_synced: true }) = scan.broken {
        return Err(read.damaged(why));
    }
    let output = store.reopen(read.file)?;
    if scan.broken.is_some() {
        output.truncate(scan.end)?;
    }
    if scan.marked < scan.end {
        write_again(&output, scan.marked, scan.end)?;
        output.sync()?; // before the mark, which is a promise
        output.write(&frame::mark(scan.head.salt, scan.next - 1))?;
    }
    output.sync()?;
    Ok(scan.broken.as_ref().map(|_| Cut {
        file: read.path.clone(),
        offset: scan.end,
        bytes: read.bytes - scan.end,
    }))
}

/// Writes the bytes between two places where they are.
fn write_again(output: &Output, start: u64, end: u64) -> DiskResult<()> {
    let mut file = output.file();
    let mut bytes = vec![0; READ_BYTES];
    let mut at = start;
    while at < end {
        let count = bytes.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
        let chunk = &mut bytes[..count];
        let read = file.seek(SeekFrom::Start(at)).and_then(|_| file.read_exact(chunk));
        read.and_then(|()| file.seek(SeekFrom::Start(at))).map_err(DiskError::io("read", output.path()))?;
        output.write(chunk)?;
        at += count as u64;
    }
    Ok(())
}

fn missing(store: &StoreDir, first: u64, last: u64) -> DiskError {
    DiskError::Missing { dir: store.path().to_owned(), first, last }
}
