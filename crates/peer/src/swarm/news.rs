//! Asking partial sources which pieces they have.
//!
//! Invariant: every question is answered to the planner, with a bitmap of just the right length or with what went
//! wrong, and within [`HAVE_TIMEOUT`].

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PeerId, limits};
use tokio::task::JoinSet;

use super::answer::{self, AnswerError, Body};
use super::plan::{Event, Fault};
use super::pool::{ConnectError, Lease, Origin, Pool};
use super::request::Asked;
use super::source::Broken;
use crate::have::Have;

/// A question with its connection: a door answers it at once, and a turn in the pool is less than this away.
const HAVE_TIMEOUT: Duration = Duration::from_secs(10);

/// The questions under way about one content.
pub(super) struct News {
    pool: Arc<Pool>,
    hash: ContentHash,
    pieces: u64,
    asking: JoinSet<(PeerId, Result<Have, Broken>)>,
}

impl News {
    pub(super) fn new(pool: Arc<Pool>, hash: ContentHash, pieces: u64) -> Self {
        Self { pool, hash, pieces, asking: JoinSet::new() }
    }

    /// Begins to ask a source.
    pub(super) fn ask(&mut self, source: Source) {
        let (pool, hash, pieces) = (Arc::clone(&self.pool), self.hash, self.pieces);
        self.asking.spawn(async move { (source.peer, ask(&pool, &source, hash, pieces).await) });
    }

    /// The next answer, and what was wrong with it; waits for as long as there is none.
    pub(super) async fn next(&mut self) -> (Event, Option<(PeerId, String)>) {
        loop {
            match self.asking.join_next().await {
                Some(Ok((peer, answer))) => return told(peer, answer),
                // Never: nobody aborts such a task, and it does not panic.
                Some(Err(error)) => tracing::error!(%error, "a question ended early"),
                None => std::future::pending().await,
            }
        }
    }
}

fn told(peer: PeerId, answer: Result<Have, Broken>) -> (Event, Option<(PeerId, String)>) {
    match answer {
        Ok(have) => (Event::Has(peer, have), None),
        Err(Broken::Busy(retry_after)) => (Event::HasBusy(peer, retry_after), None),
        Err(Broken::Failed(fault, text)) => (Event::HasFailed(peer, fault), Some((peer, text))),
        Err(Broken::Wrong(text)) => (Event::HasFailed(peer, Fault::Garbled), Some((peer, text))),
        Err(Broken::Disk(error)) => (Event::HasFailed(peer, Fault::Garbled), Some((peer, error.to_string()))),
    }
}

/// What came over one line.
enum Said {
    Have(Have),
    /// The line was kept from before and had been closed meanwhile.
    Stale(Box<Lease>),
}

/// Asks one source. Dropping the future cuts the line.
async fn ask(pool: &Arc<Pool>, source: &Source, hash: ContentHash, pieces: u64) -> Result<Have, Broken> {
    let unconnected = |error: ConnectError| Broken::Failed(Fault::Unreachable, error.to_string());
    // To stand in line behind our own transfers says nothing about the source.
    let leasing = tokio::time::timeout(HAVE_TIMEOUT, pool.lease((source.peer, source.address))).await;
    let lease = leasing.map_err(|_| Broken::Busy(HAVE_TIMEOUT))?.map_err(unconnected)?;
    let late = |_| Broken::Failed(Fault::Stalled, "did not say which pieces it has".to_owned());
    tokio::time::timeout(HAVE_TIMEOUT, ask_with(lease, source, hash, pieces)).await.map_err(late)?
}

async fn ask_with(mut lease: Lease, source: &Source, hash: ContentHash, pieces: u64) -> Result<Have, Broken> {
    let unconnected = |error: ConnectError| Broken::Failed(Fault::Unreachable, error.to_string());
    let len = Have::bytes_of(pieces);
    loop {
        let asked = Asked { path: format!("/v1/blobs/{hash}/have"), size: len, bytes: 0..len };
        let (request, cutter) = (asked.request(source), lease.line.cutter());
        let said = tokio::task::spawn_blocking(move || ask_over(lease, &asked, &request, pieces)).await;
        let said = said.map_err(|error| Broken::Failed(Fault::Garbled, error.to_string()))?;
        cutter.spare();
        match said? {
            Said::Have(have) => return Ok(have),
            Said::Stale(stale) => lease = *stale,
        }
        lease.renew().await.map_err(unconnected)?;
    }
}

/// Asks, and takes what comes. Blocks.
fn ask_over(mut lease: Lease, asked: &Asked, request: &[u8], pieces: u64) -> Result<Said, Broken> {
    let head = match answer::ask(&mut lease, request) {
        Err(AnswerError::Cut(_)) if lease.origin == Origin::Kept => return Ok(Said::Stale(Box::new(lease))),
        head => head?,
    };
    let checked = asked.check(head.status, &head.headers);
    // A short refusal is read to its end as well, so that the line can be used again.
    let len = head.content_length().unwrap_or(u64::MAX);
    if checked.is_err() && len > limits::BODY_BYTES_MAX as u64 {
        return checked.map(|()| Said::Have(Have::none(pieces)));
    }
    let (received, mut bytes) = (AtomicU64::new(0), Vec::new());
    let mut body = Body::new(lease, &head, len, &received);
    while !body.is_over() {
        body.next(usize::MAX, |more| bytes.extend_from_slice(more))?;
    }
    body.end();
    checked?;
    let wrong = || Broken::Failed(Fault::Garbled, "does not say which pieces it has".to_owned());
    Have::read(pieces, &bytes).map(Said::Have).ok_or_else(wrong)
}
