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
use tokio::time::{Instant, Sleep};

use super::meter::Sending;
use super::queue::Slot;
use crate::rate::RateLimit;
use crate::room::{Room, Rooms};

/// Bytes read from a file at a time: what a core's cache holds. Larger reads were far slower, 64 KiB a fifth.
const READ_BYTES: usize = 256 << 10;

/// Memory that was sent and can be read into again. Every slot has up to three in use; what is more is let go of.
static ROOMS: Rooms = Rooms::new(READ_BYTES, 24);

/// An answer's body.
pub(crate) struct DoorBody {
    content: Content,
    /// Goes when all is sent.
    held: Option<Held>,
}

enum Content {
    Bytes(Bytes),
    File(FileBody),
}

/// What is held while a body is being sent, and how fast that may be.
pub(crate) struct Held {
    pub(crate) _slot: Slot,
    pub(crate) _sending: Sending,
    pub(crate) pace: Option<Pace>,
}

/// Keeps a body within a limit.
pub(crate) struct Pace {
    limit: RateLimit,
    pause: Pin<Box<Sleep>>,
}

impl Pace {
    pub(crate) fn new(limit: RateLimit) -> Self {
        // Whatever others have sent already is waited for before the first byte too.
        let wait = limit.pay(0);
        Self { limit, pause: Box::pin(tokio::time::sleep(wait)) }
    }

    /// Pays for bytes that go out now: the next wait until they would have.
    fn pay(&mut self, bytes: usize) {
        let wait = self.limit.pay(bytes);
        self.pause.as_mut().reset(Instant::now() + wait);
    }
}

impl DoorBody {
    pub(crate) fn of(bytes: impl Into<Bytes>, held: Option<Held>) -> Self {
        Self { content: Content::Bytes(bytes.into()), held }
    }

    pub(crate) fn empty() -> Self {
        Self::of(Bytes::new(), None)
    }

    /// The bytes `range` of `file`; the first read begins at once.
    pub(crate) fn file(file: File, range: Range<u64>, held: Held) -> Self {
        let most = held.pace.as_ref().map_or(READ_BYTES, |pace| pace.limit.step(READ_BYTES));
        Self { content: Content::File(FileBody::new(file, range, most)), held: Some(held) }
    }

    const fn pace(&mut self) -> Option<&mut Pace> {
        match &mut self.held {
            Some(held) => held.pace.as_mut(),
            None => None,
        }
    }
}

/// Bytes of a file on their way.
struct FileBody {
    file: Arc<File>,
    /// Whether the file lies in memory, so that no read ever waits for a disk.
    is_in_memory: bool,
    /// What no read was begun for.
    rest: Range<u64>,
    /// What was not handed out.
    left_bytes: u64,
    /// Bytes of one read.
    most: usize,
    reading: Reading,
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
    fn new(file: File, range: Range<u64>, most: usize) -> Self {
        let left_bytes = range.end - range.start;
        let is_in_memory = is_in_memory(&file);
        let (file, rest) = (Arc::new(file), range);
        let mut body = Self { file, is_in_memory, rest, left_bytes, most, reading: Reading::Over };
        body.reading = body.read_on();
        body
    }

    fn read_on(&mut self) -> Reading {
        let left = usize::try_from(self.rest.end - self.rest.start).unwrap_or(usize::MAX);
        let (at, len) = (self.rest.start, left.min(self.most));
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

impl FileBody {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let bytes = match &mut self.reading {
            Reading::Over => return Poll::Ready(None),
            Reading::Done(bytes) => Ok(std::mem::take(bytes)),
            Reading::Waiting(read) => {
                ready!(Pin::new(read).poll(cx)).unwrap_or_else(|error| Err(io::Error::other(error)))
            }
        };
        self.reading = if bytes.is_ok() { self.read_on() } else { Reading::Over };
        let bytes = bytes.inspect(|bytes| self.left_bytes -= bytes.len() as u64);
        Poll::Ready(Some(bytes.inspect_err(|error| tracing::warn!(%error, "a shared file can't be read"))))
    }
}

impl Body for DoorBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut most = READ_BYTES;
        if let Some(pace) = self.pace() {
            ready!(pace.pause.as_mut().poll(cx));
            most = pace.limit.step(READ_BYTES);
        }
        let next = match &mut self.content {
            Content::Bytes(bytes) if bytes.is_empty() => None,
            Content::Bytes(bytes) => Some(Ok(bytes.split_to(bytes.len().min(most)))),
            Content::File(file) => ready!(file.poll_next(cx)),
        };
        if let (Some(pace), Some(Ok(bytes))) = (self.pace(), &next) {
            pace.pay(bytes.len());
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes() == 0
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left_bytes())
    }
}

impl DoorBody {
    const fn left_bytes(&self) -> u64 {
        match &self.content {
            Content::Bytes(bytes) => bytes.len() as u64,
            Content::File(file) => file.left_bytes,
        }
    }
}
