//! Reading a content as fast as it is taken, for every door alike.
//!
//! Invariants: of a content at most three reads are in memory; the connection's thread reads only what the system
//! has in memory and never waits for a disk; a content that ends early is an error, since a promised byte is
//! never made up.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use rustix::io::ReadWriteFlags;
use tokio::task::JoinHandle;

use crate::room::{Room, Rooms};
use crate::share::ProvenFile;

/// Bytes read at a time: what a core's cache holds. Larger reads were far slower, 64 KiB a fifth.
pub const READ_BYTES: usize = 256 << 10;

/// Memory that was sent and can be read into again. Every slot has up to three in use; what is more is let go of.
static ROOMS: Rooms = Rooms::new(READ_BYTES, 24);

/// Where a content's bytes are.
#[derive(Debug)]
pub enum Content {
    /// In a file of this machine.
    Disk(File),
    /// On a server, which is always waited for.
    Remote(Box<ProvenFile>),
}

impl Content {
    /// Fills `bytes` from the content's byte `at` on. May block.
    ///
    /// # Errors
    /// The system's, and [`io::ErrorKind::UnexpectedEof`] where the content ends before.
    pub fn read_exact_at(&self, bytes: &mut [u8], at: u64) -> io::Result<()> {
        match self {
            Self::Disk(file) => file.read_exact_at(bytes, at),
            Self::Remote(file) => file.read_exact_at(bytes, at),
        }
    }

    /// Reads what the system has in memory, as if it were nothing where that is none of it: the thread that
    /// encrypts the bytes has them in its cache then, and no other need be woken.
    fn read_at_once(&self, bytes: &mut [u8], at: u64, is_in_memory: bool) -> usize {
        match self {
            Self::Disk(file) => {
                // File systems in memory know no reading without waiting, for they never wait.
                let flags = if is_in_memory { ReadWriteFlags::empty() } else { ReadWriteFlags::NOWAIT };
                rustix::io::preadv2(file, &mut [io::IoSliceMut::new(bytes)], at, flags).unwrap_or(0)
            }
            Self::Remote(_) => 0,
        }
    }

    /// Whether the content lies in memory, so that no read ever waits for a disk.
    fn is_in_memory(&self) -> bool {
        /// `TMPFS_MAGIC` and `RAMFS_MAGIC` of `linux/magic.h`.
        const IN_MEMORY: [rustix::fs::FsWord; 2] = [0x0102_1994, 0x8584_58f6];
        match self {
            Self::Disk(file) => rustix::fs::fstatfs(file).is_ok_and(|stat| IN_MEMORY.contains(&stat.f_type)),
            Self::Remote(_) => false,
        }
    }
}

/// Bytes of a content on their way.
pub struct Reading {
    content: Arc<Content>,
    is_in_memory: bool,
    /// What no read was begun for.
    rest: Range<u64>,
    /// What was not handed out.
    left_bytes: u64,
    /// Bytes of one read.
    most: usize,
    step: Step,
}

/// The read that was begun last.
enum Step {
    /// Done at once.
    Done(Bytes),
    /// Under way on another thread.
    Waiting(JoinHandle<io::Result<Bytes>>),
    /// None: all was read, or a read failed.
    Over,
}

impl Reading {
    /// Of the bytes `range`, at most `most` at a time; the first read begins at once.
    #[must_use]
    pub fn new(content: Content, range: Range<u64>, most: usize) -> Self {
        let left_bytes = range.end.saturating_sub(range.start);
        let is_in_memory = content.is_in_memory();
        let (content, rest, most) = (Arc::new(content), range, most.min(READ_BYTES));
        let mut reading = Self { content, is_in_memory, rest, left_bytes, most, step: Step::Over };
        reading.step = reading.read_on();
        reading
    }

    /// Bytes not handed out yet.
    #[must_use]
    pub const fn left_bytes(&self) -> u64 {
        self.left_bytes
    }

    /// The next bytes; `None` once all were handed out or a read has failed.
    pub async fn next(&mut self) -> Option<io::Result<Bytes>> {
        std::future::poll_fn(|cx| self.poll_next(cx)).await
    }

    /// The same, polled.
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let bytes = match &mut self.step {
            Step::Over => return Poll::Ready(None),
            Step::Done(bytes) => Ok(std::mem::take(bytes)),
            Step::Waiting(read) => {
                ready!(Pin::new(read).poll(cx)).unwrap_or_else(|error| Err(io::Error::other(error)))
            }
        };
        self.step = if bytes.is_ok() { self.read_on() } else { Step::Over };
        let bytes = bytes.inspect(|bytes| self.left_bytes -= bytes.len() as u64);
        Poll::Ready(Some(bytes.inspect_err(|error| tracing::warn!(%error, "a shared file can't be read"))))
    }

    fn read_on(&mut self) -> Step {
        let left = usize::try_from(self.rest.end.saturating_sub(self.rest.start)).unwrap_or(usize::MAX);
        let (at, len) = (self.rest.start, left.min(self.most));
        if len == 0 {
            return Step::Over;
        }
        let mut room = ROOMS.take();
        let read = self.content.read_at_once(&mut room[..len], at, self.is_in_memory);
        if read > 0 {
            self.rest.start += read as u64;
            return Step::Done(Filled::bytes(room, read));
        }
        self.rest.start += len as u64;
        let content = Arc::clone(&self.content);
        Step::Waiting(tokio::task::spawn_blocking(move || {
            content.read_exact_at(&mut room[..len], at)?;
            Ok(Filled::bytes(room, len))
        }))
    }
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
