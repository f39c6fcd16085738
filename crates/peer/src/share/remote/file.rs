//! A file on an FTP server, read as if it were here.
//!
//! Invariants: right before the first byte of every transfer (at most [`FRESH`] before) the server has said that the file is
//! still the one that was hashed; what is read is what the server sends for that place, which `proven.rs` checks, never less than was promised.
//! Reading on costs nothing, a jump costs a new transfer. A transfer that breaks, or is broken off for others, is taken up where it
//! was.

use std::io::{self, Read};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use super::Server;
use super::failure::Failure;
use super::line::Flow;
use super::pool::{Borrowed, Purpose};
use crate::share::Stamp;

/// How often a transfer is taken up again before a read gives up.
const RETRIES: usize = 2;

/// How long what the server said of a file is taken for what it would say now.
const FRESH: Duration = Duration::from_secs(1);

/// A file that is read from a server.
#[derive(Debug)]
pub(crate) struct RemoteFile {
    server: Arc<Server>,
    disk: Box<str>,
    stamp: Stamp,
    purpose: Purpose,
    /// When the server said that the file is as the stamp says, until that was relied on.
    checked: Mutex<Option<Instant>>,
    transfer: Mutex<Option<Transfer>>,
}

/// What is under way.
struct Transfer {
    flow: Flow,
    borrowed: Borrowed,
    /// Where the next byte belongs.
    at: u64,
}

impl RemoteFile {
    /// The file at `disk`, a path below the shared folder, for as long as it is as `stamp` says.
    pub(super) fn new(server: &Arc<Server>, disk: &str, stamp: Stamp, purpose: Purpose) -> Self {
        let (checked, transfer) = Default::default();
        Self { server: Arc::clone(server), disk: disk.into(), stamp, purpose, checked, transfer }
    }

    /// The same, where the server has just said so.
    pub(super) fn checked(self, at: Instant) -> Self {
        Self { checked: Mutex::new(Some(at)), ..self }
    }

    /// Reads some bytes at `offset`; none only at the file's end. Blocks on the network.
    ///
    /// # Errors
    /// [`io::ErrorKind::UnexpectedEof`] where the file is not what it was; what became of the server otherwise.
    pub(crate) fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<usize> {
        let left = usize::try_from(self.stamp.size.saturating_sub(offset)).unwrap_or(usize::MAX);
        let room = left.min(bytes.len());
        if room == 0 {
            return Ok(0);
        }
        let mut place = self.transfer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut retries = 0;
        loop {
            let mut transfer = match place.take().filter(|transfer| transfer.at == offset) {
                Some(transfer) => transfer,
                None => self.begin(offset)?,
            };
            match transfer.flow.read(&mut bytes[..room]) {
                Ok(0) | Err(_) if retries < RETRIES => retries += 1,
                Ok(0) => return Err(self.server.lost("the file ended early")),
                Err(error) => return Err(self.server.lost(&error.to_string())),
                Ok(read) => {
                    transfer.at += read as u64;
                    *place = self.unless_over(transfer);
                    return Ok(read);
                }
            }
        }
    }

    /// Fills `bytes` from `offset` on.
    ///
    /// # Errors
    /// As [`RemoteFile::read_at`]; also where the file has fewer bytes.
    pub(crate) fn read_exact_at(&self, mut bytes: &mut [u8], mut offset: u64) -> io::Result<()> {
        while !bytes.is_empty() {
            let read = self.read_at(bytes, offset)?;
            if read == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            bytes = &mut bytes[read..];
            offset += read as u64;
        }
        Ok(())
    }

    /// What came was not what was hashed: the file is looked at again.
    pub(super) fn doubt(&self) {
        self.server.touch(&self.disk);
    }

    fn begin(&self, offset: u64) -> io::Result<Transfer> {
        let checked = self.checked.lock().unwrap_or_else(PoisonError::into_inner).take();
        let begun = self.server.pool.begin(self.purpose, |line| {
            let is_fresh = checked.is_some_and(|at| at.elapsed() < FRESH);
            let is_same = is_fresh || line.stamp(&self.disk)? == self.stamp;
            is_same.then(|| line.read(&self.disk, offset)).transpose()
        });
        match begun {
            Ok((Some(flow), borrowed)) => Ok(Transfer { flow, borrowed, at: offset }),
            Ok((None, borrowed)) => {
                borrowed.give_back();
                self.server.touch(&self.disk);
                Err(io::ErrorKind::UnexpectedEof.into())
            }
            Err(failure) => {
                self.server.failed(&failure);
                Err(failure.into())
            }
        }
    }

    /// A transfer of the last byte is ended politely, so that the line can be used again.
    fn unless_over(&self, transfer: Transfer) -> Option<Transfer> {
        if transfer.at < self.stamp.size {
            return Some(transfer);
        }
        let Transfer { flow, mut borrowed, .. } = transfer;
        if let Err(failure) = borrowed.line.finish(flow) {
            // All bytes are here; whether they are right is known by their hash.
            tracing::debug!(%failure, "a transfer did not end well");
        }
        borrowed.give_back();
        None
    }
}

impl std::fmt::Debug for Transfer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transfer").field("at", &self.at).finish_non_exhaustive()
    }
}

impl Server {
    fn lost(&self, why: &str) -> io::Error {
        let failure = Failure::Lost(why.to_owned());
        self.failed(&failure);
        failure.into()
    }
}
