//! What an answer consists of: nothing, a few bytes, or a file read as fast as it is taken.
//!
//! Invariants: of a file at most three reads are in memory; the connection's thread reads only what the system
//! has in memory and never waits for a disk; a file that ends early ends the connection, since a promised byte
//! is never made up.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use tokio::task::JoinHandle;

use super::meter::Sending;
use super::queue::Slot;

/// Bytes read from a file at a time: what a core's cache holds. Larger reads were far slower, 64 KiB a fifth.
const READ_BYTES: u64 = 256 << 10;

/// Where a read begins in memory: the kernel copies to the start of a page several times as fast as beside it on
/// some processors.
const PAGE_BYTES: usize = 4_096;

/// An answer's body.
pub(crate) enum DoorBody {
    /// These bytes, or none.
    Bytes {
        bytes: Bytes,
        /// Goes when they are sent.
        _held: Option<Held>,
    },
    /// A part of a file.
    File(FileBody),
}

/// What is held while a body is being sent.
pub(crate) struct Held {
    pub(crate) _slot: Slot,
    pub(crate) _sending: Sending,
}

impl DoorBody {
    pub(crate) fn of(bytes: impl Into<Bytes>, held: Option<Held>) -> Self {
        Self::Bytes { bytes: bytes.into(), _held: held }
    }

    pub(crate) fn empty() -> Self {
        Self::of(Bytes::new(), None)
    }
}

/// Bytes of a file on their way.
pub(crate) struct FileBody {
    file: Arc<File>,
    /// What no read was begun for.
    rest: Range<u64>,
    /// What was not handed out.
    left_bytes: u64,
    reading: Reading,
    spare: Spare,
    _held: Held,
}

/// The read that was begun last.
enum Reading {
    /// Done at once.
    Done(Bytes),
    /// Under way on another thread.
    Waiting(JoinHandle<io::Result<Bytes>>),
    /// None: all was read, or a read failed.
    Over,
}

/// Memory that was sent and can be read into again: fresh memory costs as much as the reading.
type Spare = Arc<Mutex<Vec<Vec<u8>>>>;

impl FileBody {
    /// The bytes `range` of `file`; the first read begins at once.
    pub(crate) fn new(file: File, range: Range<u64>, held: Held) -> Self {
        let left_bytes = range.end - range.start;
        let (file, spare) = (Arc::new(file), Spare::default());
        let mut body = Self { file, rest: range, left_bytes, reading: Reading::Over, spare, _held: held };
        body.reading = body.read_on();
        body
    }

    fn read_on(&mut self) -> Reading {
        let next = self.rest.start..self.rest.end.min(self.rest.start.saturating_add(READ_BYTES));
        if next.is_empty() {
            return Reading::Over;
        }
        let mut room = Room::take(&self.spare);
        let read = read_cached(&self.file, room.start_of(&next), next.start);
        if read > 0 {
            self.rest.start += read as u64;
            return Reading::Done(room.into_bytes(read, Arc::clone(&self.spare)));
        }
        self.rest.start = next.end;
        let (file, spare) = (Arc::clone(&self.file), Arc::clone(&self.spare));
        Reading::Waiting(tokio::task::spawn_blocking(move || {
            let bytes = room.start_of(&next);
            let len = bytes.len();
            file.read_exact_at(bytes, next.start)?;
            Ok(room.into_bytes(len, spare))
        }))
    }
}

/// Reads what the system has in memory, as if it were nothing where that is none of it: the thread that
/// encrypts the bytes has them in its cache then, and no other need be woken.
#[cfg(target_os = "linux")]
fn read_cached(file: &File, bytes: &mut [u8], at: u64) -> usize {
    let mut bytes = [io::IoSliceMut::new(bytes)];
    rustix::io::preadv2(file, &mut bytes, at, rustix::io::ReadWriteFlags::NOWAIT).unwrap_or(0)
}

#[cfg(not(target_os = "linux"))]
const fn read_cached(_file: &File, _bytes: &mut [u8], _at: u64) -> usize {
    0
}

/// Memory to read into.
struct Room(Vec<u8>);

impl Room {
    fn take(spare: &Spare) -> Self {
        Self(lock(spare).pop().unwrap_or_default())
    }

    /// Where the bytes of `range` go.
    fn start_of(&mut self, range: &Range<u64>) -> &mut [u8] {
        let len = usize::try_from(range.end - range.start).unwrap_or(0);
        if self.0.len() < len + PAGE_BYTES {
            self.0.resize(len + PAGE_BYTES, 0);
        }
        let start = self.start();
        &mut self.0[start..start + len]
    }

    fn start(&self) -> usize {
        self.0.as_ptr().align_offset(PAGE_BYTES).min(PAGE_BYTES)
    }

    fn into_bytes(self, len: usize, spare: Spare) -> Bytes {
        let start = self.start();
        Bytes::from_owner(Filled { room: self.0, filled: start..start + len, spare })
    }
}

fn lock(spare: &Spare) -> MutexGuard<'_, Vec<Vec<u8>>> {
    spare.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Bytes that were read; their memory goes back when the last of them is sent.
struct Filled {
    room: Vec<u8>,
    filled: Range<usize>,
    spare: Spare,
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.room[self.filled.clone()]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        lock(&self.spare).push(std::mem::take(&mut self.room));
    }
}

impl Body for FileBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let bytes = match &mut self.reading {
            Reading::Over => return Poll::Ready(None),
            Reading::Done(bytes) => Ok(std::mem::take(bytes)),
            Reading::Waiting(read) => {
                ready!(Pin::new(read).poll(cx)).unwrap_or_else(|error| Err(io::Error::other(error)))
            }
        };
        self.reading = if bytes.is_ok() { self.read_on() } else { Reading::Over };
        let frame = bytes.inspect(|bytes| self.left_bytes -= bytes.len() as u64).map(Frame::data);
        Poll::Ready(Some(frame.inspect_err(|error| tracing::warn!(%error, "a shared file can't be read"))))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes)
    }
}

impl Body for DoorBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        match &mut *self {
            Self::Bytes { bytes, .. } if bytes.is_empty() => Poll::Ready(None),
            Self::Bytes { bytes, .. } => Poll::Ready(Some(Ok(Frame::data(std::mem::take(bytes))))),
            Self::File(file) => Pin::new(file).poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Self::Bytes { bytes, .. } => bytes.is_empty(),
            Self::File(file) => file.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Self::Bytes { bytes, .. } => SizeHint::with_exact(bytes.len() as u64),
            Self::File(file) => file.size_hint(),
        }
    }
}
