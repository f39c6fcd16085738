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
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};
use rustix::io::ReadWriteFlags;
use tokio::task::JoinHandle;

use super::meter::Sending;
use super::queue::Slot;
use crate::room::{Room, Rooms};

/// Bytes read from a file at a time: what a core's cache holds. Larger reads were far slower, 64 KiB a fifth.
const READ_BYTES: usize = 256 << 10;

/// Memory that was sent and can be read into again. Every slot has up to three in use; what is more is let go of.
static ROOMS: Rooms = Rooms::new(READ_BYTES, 24);

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
    /// Whether the file lies in memory, so that no read ever waits for a disk.
    is_in_memory: bool,
    /// What no read was begun for.
    rest: Range<u64>,
    /// What was not handed out.
    left_bytes: u64,
    reading: Reading,
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

impl FileBody {
    /// The bytes `range` of `file`; the first read begins at once.
    pub(crate) fn new(file: File, range: Range<u64>, held: Held) -> Self {
        let left_bytes = range.end - range.start;
        let is_in_memory = is_in_memory(&file);
        let (file, rest) = (Arc::new(file), range);
        let mut body = Self { file, is_in_memory, rest, left_bytes, reading: Reading::Over, _held: held };
        body.reading = body.read_on();
        body
    }

    fn read_on(&mut self) -> Reading {
        let left = usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX);
        let (at, len) = (self.rest.start, left.min(READ_BYTES));
        if len == 0 {
            return Reading::Over;
        }
        let mut room = ROOMS.take();
        let read = self.read_at_once(&mut room[..len], at);
        if read > 0 {
            self.rest.start += read as u64;
            return Reading::Done(Filled::bytes(room, read));
        }
        self.rest.start += len as u64;
        let file = Arc::clone(&self.file);
        Reading::Waiting(tokio::task::spawn_blocking(move || {
            file.read_exact_at(&mut room[..len], at)?;
            Ok(Filled::bytes(room, len))
        }))
    }

    /// Reads what the system has in memory, as if it were nothing where that is none of it: the thread that
    /// encrypts the bytes has them in its cache then, and no other need be woken.
    fn read_at_once(&self, bytes: &mut [u8], at: u64) -> usize {
        // File systems in memory know no reading without waiting, for they never wait.
        let flags = if self.is_in_memory { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT };
        rustix::io::preadv2(&self.file, &mut [io::IoSliceMut::new(bytes)], at, flags).unwrap_or(0)
    }
}

fn is_in_memory(file: &File) -> bool {
    /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of `linux/magic.h`.
    const IN_MEMORY: [rustix::fs::FsWord; 2] = [0x0102_1994, 0x8584_58f6];
    rustix::fs::fstatfs(file).is_ok_and(|stat| IN_MEMORY.contains(&stat.f_type))
}

/// Bytes that were read; their memory goes back when the last of them is sent.
struct Filled {
    room: Room,
    len: usize,
}

impl Filled {
    fn bytes(room: Room, len: usize) -> Bytes {
        Bytes::from_owner(Self { room, len })
    }
}

impl AsRef<[u8]> for Filled {
    fn as_ref(&self) -> &[u8] {
        &self.room[..self.len]
    }
}

impl Drop for Filled {
    fn drop(&mut self) {
        ROOMS.give_back(std::mem::take(&mut self.room));
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
