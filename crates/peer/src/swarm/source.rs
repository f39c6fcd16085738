//! One run: a request to one source, its answer proven piece by piece and written.
//!
//! Invariants: no byte is written that was not proven; reading goes on while the piece before is being written,
//! and no further, so a run holds two pieces of memory; what is reported comes in order.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use bytes::{Buf, Bytes};
use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PIECE_BYTES, PieceHasher, PieceList, limits, piece_count, piece_len};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::plan::{Fault, RunId};
use super::pool::{ConnectError, Lease, Origin, Pool};
use super::request::Asked;
use crate::part::{DiskError, Part};

/// Bytes hashed at a time: enough for every lane of the processor, few enough to be in its cache still.
const HASH_BYTES: usize = 128 << 10;

/// What a swarm is after.
pub(super) enum Job {
    /// The piece list, one unit of work.
    List { hash: ContentHash, size: u64, found: OnceLock<Arc<PieceList>> },
    /// The pieces themselves.
    Pieces { list: Arc<PieceList>, part: Arc<Part> },
}

/// What becomes of a run.
pub(super) enum Report {
    /// The request goes out.
    Asked,
    /// The answer begins.
    Began,
    /// The next unit is right, and written where it is a piece.
    Proven(u64),
    /// It is over, before its time.
    Ended(Broken),
}

/// Why a run broke off.
pub(super) enum Broken {
    Failed(Fault, String),
    Busy(Duration),
    Wrong(String),
    Disk(DiskError),
}

/// What can be seen of a run from outside while it goes on.
#[derive(Debug, Default)]
pub(super) struct Counters {
    pub(super) received_bytes: AtomicU64,
    pub(super) is_writing: AtomicBool,
}

/// Memory for pieces, handed from run to run: fresh memory costs as much as a copy. At most two pieces a run.
#[derive(Debug, Clone, Default)]
pub(super) struct Memory(Arc<Mutex<Vec<Vec<u8>>>>);

impl Memory {
    fn take(&self) -> Vec<u8> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).pop().unwrap_or_default()
    }

    fn give_back(&self, piece: Vec<u8>) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(piece);
    }
}

/// One run.
pub(super) struct Errand {
    pub(super) id: RunId,
    pub(super) source: Source,
    pub(super) units: Range<u64>,
    pub(super) job: Arc<Job>,
    pub(super) pool: Arc<Pool>,
    pub(super) counters: Arc<Counters>,
    pub(super) memory: Memory,
    pub(super) reports: mpsc::UnboundedSender<(RunId, Report)>,
}

impl Errand {
    /// Runs it, and tells how it comes on.
    pub(super) async fn run(self) {
        if let Err(broken) = self.fetch().await {
            self.report(Report::Ended(broken));
        }
    }

    async fn fetch(&self) -> Result<(), Broken> {
        let place = (self.source.peer, self.source.address);
        let lease = self.pool.lease(place).await.map_err(|error| unconnected(&error))?;
        self.report(Report::Asked);
        let asked = self.asked();
        let (lease, answer) = self.ask(lease, &asked).await?;
        let (head, body) = answer.into_parts();
        if let Err(broken) = asked.check(head.status, &head.headers) {
            // A short refusal is read to its end, so that the connection can be used again.
            if Limited::new(body, limits::BODY_BYTES_MAX).collect().await.is_ok() {
                lease.give_back();
            }
            return Err(broken);
        }
        self.report(Report::Began);
        let answer = Answer { body, pending: Bytes::new(), counters: &self.counters, lease };
        match &*self.job {
            Job::List { hash, size, found } => self.take_list(answer, (*hash, *size), found).await,
            Job::Pieces { list, part } => self.take_pieces(answer, list, part).await,
        }
    }

    /// What the request says.
    fn asked(&self) -> Asked {
        match &*self.job {
            Job::List { hash, size, .. } => {
                let bytes = 0..piece_count(*size) * 32;
                Asked { path: format!("/v1/blobs/{hash}/pieces"), size: bytes.end, bytes }
            }
            Job::Pieces { list, .. } => {
                let end = self.units.end.saturating_mul(PIECE_BYTES).min(list.size());
                let bytes = self.units.start * PIECE_BYTES..end;
                Asked { path: format!("/v1/blobs/{}", list.hash()), size: list.size(), bytes }
            }
        }
    }

    /// Sends the request; once more over a new connection where a kept one turns out to be closed.
    async fn ask(&self, mut lease: Lease, asked: &Asked) -> Result<(Lease, Response<Incoming>), Broken> {
        loop {
            let request = asked.request(&self.source)?;
            let sent = match lease.sender.ready().await {
                Ok(()) => lease.sender.send_request(request).await,
                Err(error) => Err(error),
            };
            match sent {
                Ok(answer) => return Ok((lease, answer)),
                Err(_) if lease.origin == Origin::Kept => {
                    lease.renew().await.map_err(|error| unconnected(&error))?;
                }
                Err(error) if error.is_parse() => {
                    return Err(Broken::Failed(
                        Fault::Garbled,
                        format!("does not speak the protocol: {error}"),
                    ));
                }
                Err(error) => return Err(cut(&error)),
            }
        }
    }

    async fn take_list(
        &self,
        mut answer: Answer<'_>,
        (hash, size): (ContentHash, u64),
        found: &OnceLock<Arc<PieceList>>,
    ) -> Result<(), Broken> {
        let len = usize::try_from(piece_count(size) * 32).unwrap_or(usize::MAX);
        let mut bytes = Vec::new();
        answer.fill(&mut bytes, len, |_| {}).await?;
        answer.end().await;
        let proving = tokio::task::spawn_blocking(move || PieceList::prove(hash, size, &bytes));
        match proving.await {
            Ok(Ok(list)) => {
                // Where two sources send it, either will do.
                let _ = found.set(Arc::new(list));
                self.report(Report::Proven(0));
                Ok(())
            }
            Ok(Err(error)) => Err(Broken::Wrong(format!("sent a wrong piece list: {error}"))),
            Err(error) => Err(Broken::Failed(Fault::Garbled, error.to_string())),
        }
    }

    async fn take_pieces(
        &self,
        mut answer: Answer<'_>,
        list: &Arc<PieceList>,
        part: &Arc<Part>,
    ) -> Result<(), Broken> {
        let mut writing: Option<Writing> = None;
        let mut last = Vec::new();
        for index in self.units.clone() {
            let read = read_piece(&mut answer, list, index, self.memory.take()).await;
            // Even where this piece failed the one before is waited for, so that the order of reports holds.
            self.written(writing.take()).await?;
            let piece = read?;
            if index + 1 == self.units.end {
                last = piece;
            } else {
                writing = Some(self.write(part, index, piece));
            }
        }
        // Before the last report: with it the download may be over, and with the download this run.
        answer.end().await;
        self.written(Some(self.write(part, self.units.end - 1, last))).await
    }

    /// Begins to write a proven piece, and reports it once that is done.
    fn write(&self, part: &Arc<Part>, index: u64, piece: Vec<u8>) -> Writing {
        let (part, reports, id, memory) =
            (Arc::clone(part), self.reports.clone(), self.id, self.memory.clone());
        tokio::task::spawn_blocking(move || {
            part.write_piece(index, &piece)?;
            // Nobody listens any more where the download was given up.
            let _ = reports.send((id, Report::Proven(index)));
            memory.give_back(piece);
            Ok(())
        })
    }

    /// Waits for a piece to be written.
    async fn written(&self, writing: Option<Writing>) -> Result<(), Broken> {
        let Some(writing) = writing else { return Ok(()) };
        self.counters.is_writing.store(true, Ordering::Relaxed);
        let written = writing.await;
        self.counters.is_writing.store(false, Ordering::Relaxed);
        match written {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(Broken::Disk(error)),
            Err(error) => Err(Broken::Failed(Fault::Garbled, error.to_string())),
        }
    }

    fn report(&self, report: Report) {
        // Nobody listens any more where the download was given up.
        let _ = self.reports.send((self.id, report));
    }
}

/// A piece on its way to the disk.
type Writing = JoinHandle<Result<(), DiskError>>;

async fn read_piece(
    answer: &mut Answer<'_>,
    list: &PieceList,
    index: u64,
    mut piece: Vec<u8>,
) -> Result<Vec<u8>, Broken> {
    let len = usize::try_from(piece_len(list.size(), index)).unwrap_or(usize::MAX);
    let mut hasher = PieceHasher::new(list.size(), index);
    piece.clear();
    piece.reserve_exact(len);
    answer.fill(&mut piece, len, |bytes| hasher.update(bytes)).await?;
    if list.is_proven(index, &hasher.finish()) {
        Ok(piece)
    } else {
        Err(Broken::Wrong(format!("sent a wrong piece ({index})")))
    }
}

/// An answer's bytes, as they come.
struct Answer<'a> {
    body: Incoming,
    pending: Bytes,
    counters: &'a Counters,
    lease: Lease,
}

impl Answer<'_> {
    /// Appends until `buffer` holds `len` bytes; `see` gets them all, in strides that suit hashing.
    async fn fill(
        &mut self,
        buffer: &mut Vec<u8>,
        len: usize,
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), Broken> {
        let mut seen = buffer.len();
        while buffer.len() < len {
            if !self.pending.has_remaining() {
                self.pending = self.next().await?;
            }
            // Grows with what has come, not with what was promised.
            let step = self.pending.len().min(len - buffer.len());
            buffer.extend_from_slice(&self.pending[..step]);
            self.pending.advance(step);
            self.counters.received_bytes.fetch_add(step as u64, Ordering::Relaxed);
            if buffer.len() - seen >= HASH_BYTES || buffer.len() == len {
                see(&buffer[seen..]);
                seen = buffer.len();
            }
        }
        Ok(())
    }

    async fn next(&mut self) -> Result<Bytes, Broken> {
        match self.body.frame().await {
            Some(Ok(frame)) => Ok(frame.into_data().unwrap_or_default()),
            Some(Err(error)) => Err(cut(&error)),
            None => Err(Broken::Failed(Fault::Unreachable, "went away".to_owned())),
        }
    }

    /// Where the answer ends here, as it should, its connection is for the next request at once.
    async fn end(mut self) {
        if !self.pending.has_remaining() && self.body.frame().await.is_none() {
            self.lease.give_back();
        }
    }
}

fn unconnected(error: &ConnectError) -> Broken {
    let fault = match error {
        ConnectError::Dial(_) | ConnectError::Timeout => Fault::Unreachable,
        ConnectError::WrongKey => Fault::WrongKey,
        ConnectError::Handshake(_) => Fault::Garbled,
    };
    Broken::Failed(fault, error.to_string())
}

fn cut(error: &hyper::Error) -> Broken {
    Broken::Failed(Fault::Unreachable, format!("broke off: {error}"))
}
