//! What a log file holds: a head, then frames, each a record or a mark. Pure but for reading.
//!
//! ```text
//! head   magic (8) | format u32 | salt u64 | first record's number u64 | crc32 of these
//! frame  length u32 | number u64 | crc32 of payload, length, number and salt | payload     all little endian
//! mark   a frame of length 0: when it was written, all records up to its number were on the disk
//! ```
//!
//! Marks tell an unfinished write from damage. What the last write left is whatever the system had carried out when it
//! ended: any part of it may be missing, and nobody was told that it is there. So a broken frame is an unfinished
//! write's, and may be cut, exactly where no mark of its own or a later record follows it anywhere in the file. The salt
//! is drawn anew at each start: whoever registers bytes that look like a mark does not know it.
//!
//! Invariants: reading never panics, and allocates no more for a frame than the file has left and
//! [`RECORD_BYTES_MAX`].

use std::io::{self, Read, Seek, SeekFrom};

use super::Damaged;

/// Bytes of a record: a batch of the largest kind, `BATCH_CHANGES_MAX` changes with paths of `PATH_BYTES_MAX`.
pub(crate) const RECORD_BYTES_MAX: usize = 44 << 20;
pub(crate) const HEAD_BYTES: usize = 32;
pub(crate) const FRAME_HEAD_BYTES: usize = 16;

const MAGIC: [u8; 8] = *b"PEERLOG\n";
const FORMAT: u32 = 1;
/// Bytes looked through at a time for a mark.
const SEARCH_BYTES: usize = 1 << 20;

/// How a log file begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) salt: u64,
    /// Number of the first record; the very first is 1.
    pub(crate) first: u64,
}

impl Head {
    pub(crate) fn encode(self) -> [u8; HEAD_BYTES] {
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.salt.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.first.to_le_bytes());
        let crc = crc32fast::hash(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: [u8; HEAD_BYTES]) -> Result<Self, Damaged> {
        if bytes[..8] != MAGIC {
            return Err(Damaged("it does not begin as a log"));
        }
        if u32_at(&bytes, 28) != crc32fast::hash(&bytes[..28]) {
            return Err(Damaged("its beginning is not what was written"));
        }
        if u32_at(&bytes, 8) != FORMAT {
            return Err(Damaged("it is of a format that this program does not know"));
        }
        let first = u64_at(&bytes, 20);
        if first == 0 || first > u64::MAX / 2 {
            return Err(Damaged("its first record has no number"));
        }
        Ok(Self { salt: u64_at(&bytes, 12), first })
    }
}

/// A frame's checksum but for its number, which the log gives at the last moment.
#[derive(Debug, Clone)]
pub(crate) struct Seal(crc32fast::Hasher, u32);

impl Seal {
    /// `payload` has at most [`RECORD_BYTES_MAX`] bytes.
    pub(crate) fn of(payload: &[u8]) -> Self {
        let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
        let mut hasher = crc32fast::Hasher::new();
        hasher.update(payload);
        hasher.update(&length.to_le_bytes());
        Self(hasher, length)
    }

    /// What stands before the payload.
    pub(crate) fn head(mut self, salt: u64, number: u64) -> [u8; FRAME_HEAD_BYTES] {
        let mut tail = [0; 16];
        tail[..8].copy_from_slice(&number.to_le_bytes());
        tail[8..].copy_from_slice(&salt.to_le_bytes());
        self.0.update(&tail);
        let mut bytes = [0; FRAME_HEAD_BYTES];
        bytes[..4].copy_from_slice(&self.1.to_le_bytes());
        bytes[4..12].copy_from_slice(&number.to_le_bytes());
        bytes[12..].copy_from_slice(&self.0.finalize().to_le_bytes());
        bytes
    }
}

pub(crate) fn mark(salt: u64, number: u64) -> [u8; FRAME_HEAD_BYTES] {
    Seal::of(&[]).head(salt, number)
}

/// What a log file was found to hold.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Scan {
    pub(crate) head: Head,
    /// Number of the next record, were there one.
    pub(crate) next: u64,
    /// Where the last whole frame ends.
    pub(crate) end: u64,
    /// Where the last mark before that ends: what follows it may not have been synced.
    pub(crate) marked: u64,
    /// What is wrong at `end`, where the file does not end there.
    pub(crate) broken: Option<Broken>,
}

/// A frame that is not what was written.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub(crate) why: &'static str,
    /// Whether a mark proves that it was on the disk once.
    pub(crate) was_synced: bool,
}

/// Why reading stopped.
#[derive(Debug)]
pub(crate) enum ScanError {
    Read(io::Error),
    /// Of the head, or of a record that is what was written and yet makes no sense.
    Damaged(u64, Damaged),
}

impl From<io::Error> for ScanError {
    fn from(error: io::Error) -> Self {
        Self::Read(error)
    }
}

/// Reads a log file of `length` bytes and visits its records' payloads with their numbers.
pub(crate) fn scan(
    file: &mut (impl Read + Seek),
    length: u64,
    mut visit: impl FnMut(u64, &[u8]) -> Result<(), Damaged>,
) -> Result<Scan, ScanError> {
    let mut head = [0; HEAD_BYTES];
    if length < HEAD_BYTES as u64 {
        return Err(ScanError::Damaged(0, Damaged("it ends within its beginning")));
    }
    file.read_exact(&mut head)?;
    let head = Head::decode(head).map_err(|damaged| ScanError::Damaged(0, damaged))?;
    let start = HEAD_BYTES as u64;
    let mut scan = Scan { head, next: head.first, end: start, marked: start, broken: None };
    let mut payload = Vec::new();
    while scan.end < length {
        if let Err(why) = read_frame(file, length - scan.end, &scan, &mut payload)? {
            file.seek(SeekFrom::Start(scan.end))?;
            let was_synced = mark_follows(file, length - scan.end, &scan)?;
            scan.broken = Some(Broken { why, was_synced });
            break;
        }
        if !payload.is_empty() {
            visit(scan.next, &payload).map_err(|damaged| ScanError::Damaged(scan.end, damaged))?;
            scan.next += 1;
        }
        scan.end += (FRAME_HEAD_BYTES + payload.len()) as u64;
        if payload.is_empty() {
            scan.marked = scan.end;
        }
    }
    Ok(scan)
}

/// Reads the frame at `scan.end`, of which and what follows there are `left` bytes. A mark leaves `payload` empty.
fn read_frame(
    file: &mut impl Read,
    left: u64,
    scan: &Scan,
    payload: &mut Vec<u8>,
) -> io::Result<Result<(), &'static str>> {
    const CUT: &str = "a record is cut off";
    let mut head = [0; FRAME_HEAD_BYTES];
    if left < FRAME_HEAD_BYTES as u64 {
        return Ok(Err(CUT));
    }
    file.read_exact(&mut head)?;
    let length = u32_at(&head, 0) as usize;
    let expected = if length == 0 { scan.next - 1 } else { scan.next };
    if u64_at(&head, 4) != expected || length > RECORD_BYTES_MAX {
        return Ok(Err("a record is not the next one"));
    }
    if length as u64 > left - FRAME_HEAD_BYTES as u64 {
        return Ok(Err(CUT));
    }
    payload.resize(length, 0);
    file.read_exact(payload)?;
    let is_whole = Seal::of(payload).head(scan.head.salt, expected) == head;
    Ok(if is_whole { Ok(()) } else { Err("a record is not what was written") })
}

/// Whether the `left` bytes from here on have a mark, at any place, that says that record `scan.next` was on the disk.
fn mark_follows(file: &mut impl Read, mut left: u64, scan: &Scan) -> io::Result<bool> {
    // A record has a byte at least, so no number beyond this can have been given out within this file.
    let numbers = scan.next..=scan.next.saturating_add(left / (FRAME_HEAD_BYTES as u64 + 1));
    let mut window = Vec::with_capacity(SEARCH_BYTES + FRAME_HEAD_BYTES);
    while left > 0 {
        let kept = window.len().min(FRAME_HEAD_BYTES - 1);
        window.drain(..window.len() - kept);
        let count = file.take(left.min(SEARCH_BYTES as u64)).read_to_end(&mut window)? as u64;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= count;
        let is_mark = |bytes: &[u8]| {
            let number = u64_at(bytes, 4);
            u32_at(bytes, 0) == 0 && numbers.contains(&number) && mark(scan.head.salt, number) == bytes
        };
        if window.windows(FRAME_HEAD_BYTES).any(is_mark) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    let chunk = bytes.get(at..).and_then(<[u8]>::first_chunk);
    chunk.map_or(0, |chunk| u32::from_le_bytes(*chunk))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let chunk = bytes.get(at..).and_then(<[u8]>::first_chunk);
    chunk.map_or(0, |chunk| u64::from_le_bytes(*chunk))
}
