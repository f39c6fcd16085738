//! One run with one source: a request, and its answer proven piece by piece and written, all by one thread.
//!
//! Invariants: no byte is written that was not proven; a piece is hashed while its bytes are in the core's cache and
//! written by the thread that has them there, so a run holds one piece of memory and wakes nobody between request
//! and end; what is reported comes in order.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PIECE_BYTES, PieceHasher, PieceList, limits, piece_count, piece_len};
use tokio::sync::mpsc;

use super::answer::{AnswerError, Body, Head, ask};
use super::line::LineError;
use super::plan::{Fault, RunId};
use super::pool::{ConnectError, Lease, Origin, Pool};
use super::request::Asked;
use crate::part::{DiskError, Part};
use crate::room::Rooms;

/// Bytes hashed at a time: enough for every lane of the processor, few enough to be in its cache still.
const HASH_BYTES: usize = 128 << 10;

/// Memory for pieces: one for each run that is under way.
static ROOMS: Rooms = Rooms::new(ROOM_BYTES, 16);
const ROOM_BYTES: usize = 1 << 20;
const _: () = assert!(ROOM_BYTES as u64 == PIECE_BYTES, "a room holds a piece");

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

/// One run.
pub(super) struct Errand {
    pub(super) id: RunId,
    pub(super) source: Source,
    pub(super) units: Range<u64>,
    pub(super) job: Arc<Job>,
    pub(super) pool: Arc<Pool>,
    pub(super) counters: Arc<Counters>,
    pub(super) reports: mpsc::UnboundedSender<(RunId, Report)>,
}

/// How far a run came on one line.
enum Fetched {
    All,
    /// The line was kept from before and had been closed meanwhile.
    Stale(Box<Lease>),
}

impl Errand {
    /// Runs it, and tells how it comes on. Dropping the future cuts the line.
    pub(super) async fn run(self) {
        let errand = Arc::new(self);
        if let Err(broken) = errand.fetch().await {
            errand.report(Report::Ended(broken));
        }
    }

    async fn fetch(self: &Arc<Self>) -> Result<(), Broken> {
        let place = (self.source.peer, self.source.address);
        let mut lease = self.pool.lease(place).await.map_err(|error| unconnected(&error))?;
        self.report(Report::Asked);
        loop {
            let (errand, cutter) = (Arc::clone(self), lease.line.cutter());
            let fetching = tokio::task::spawn_blocking(move || errand.fetch_over(lease));
            let fetched = fetching.await.map_err(|error| garbled(&error))?;
            cutter.spare();
            match fetched? {
                Fetched::All => return Ok(()),
                Fetched::Stale(stale) => lease = *stale,
            }
            lease.renew().await.map_err(|error| unconnected(&error))?;
        }
    }

    /// Asks, and takes what comes. Blocks.
    fn fetch_over(&self, mut lease: Lease) -> Result<Fetched, Broken> {
        let asked = self.asked();
        let head = match ask(&mut lease, &asked.request(&self.source)) {
            Err(AnswerError::Cut(_)) if lease.origin == Origin::Kept => {
                return Ok(Fetched::Stale(Box::new(lease)));
            }
            head => head?,
        };
        if let Err(broken) = asked.check(head.status, &head.headers) {
            self.skip(lease, &head);
            return Err(broken);
        }
        self.report(Report::Began);
        let body = Body::new(lease, &head, asked.len(), &self.counters.received_bytes);
        match &*self.job {
            Job::List { hash, size, found } => self.take_list(body, (*hash, *size), found)?,
            Job::Pieces { list, part } => self.take_pieces(body, list, part)?,
        }
        Ok(Fetched::All)
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

    /// Reads a short refusal to its end, so that the line can be used again.
    fn skip(&self, lease: Lease, head: &Head) {
        let Some(len) = head.content_length().filter(|len| *len <= limits::BODY_BYTES_MAX as u64) else {
            return;
        };
        let mut body = Body::new(lease, head, len, &self.counters.received_bytes);
        while !body.is_over() {
            if body.next(usize::MAX, |_| {}).is_err() {
                return;
            }
        }
        body.end();
    }

    fn take_list(
        &self,
        mut body: Body<'_>,
        (hash, size): (ContentHash, u64),
        found: &OnceLock<Arc<PieceList>>,
    ) -> Result<(), Broken> {
        // Grows with what has come, not with what was promised.
        let mut bytes = Vec::new();
        while !body.is_over() {
            body.next(usize::MAX, |more| bytes.extend_from_slice(more))?;
        }
        body.end();
        let list = PieceList::prove(hash, size, &bytes)
            .map_err(|error| Broken::Wrong(format!("sent a wrong piece list: {error}")))?;
        // Where two sources send it, either will do.
        let _ = found.set(Arc::new(list));
        self.report(Report::Proven(0));
        Ok(())
    }

    fn take_pieces(&self, mut body: Body<'_>, list: &PieceList, part: &Part) -> Result<(), Broken> {
        let mut room = ROOMS.take();
        for index in self.units.clone() {
            let piece = &mut room[..usize::try_from(piece_len(list.size(), index)).unwrap_or(0)];
            let mut hasher = PieceHasher::new(list.size(), index);
            body.fill(piece, HASH_BYTES, |bytes| hasher.update(bytes))?;
            if !list.is_proven(index, &hasher.finish()) {
                return Err(Broken::Wrong(format!("sent a wrong piece ({index})")));
            }
            self.write(part, index, piece)?;
            if index + 1 < self.units.end {
                self.report(Report::Proven(index));
            }
        }
        ROOMS.give_back(room);
        // Before the last report: with it the download may be over, and the line is wanted for the next.
        body.end();
        self.report(Report::Proven(self.units.end - 1));
        Ok(())
    }

    fn write(&self, part: &Part, index: u64, piece: &[u8]) -> Result<(), Broken> {
        self.counters.is_writing.store(true, Ordering::Relaxed);
        let written = part.write_piece(index, piece);
        self.counters.is_writing.store(false, Ordering::Relaxed);
        written.map_err(Broken::Disk)
    }

    fn report(&self, report: Report) {
        // Nobody listens any more where the download was given up.
        let _ = self.reports.send((self.id, report));
    }
}

impl From<AnswerError> for Broken {
    fn from(error: AnswerError) -> Self {
        let fault = match error {
            AnswerError::Cut(_) => Fault::Unreachable,
            AnswerError::Garbled(_) => Fault::Garbled,
        };
        Self::Failed(fault, error.to_string())
    }
}

impl From<LineError> for Broken {
    fn from(error: LineError) -> Self {
        AnswerError::Cut(error).into()
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

fn garbled(error: &dyn std::fmt::Display) -> Broken {
    Broken::Failed(Fault::Garbled, error.to_string())
}
