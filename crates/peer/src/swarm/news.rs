//! Asking partial sources which pieces they have.
//!
//! Invariant: every question is answered to the planner, with a bitmap of just the right length or with what went
//! wrong, and within [`HAVE_TIMEOUT`].

use std::sync::Arc;
use std::time::Duration;

use http::Response;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PeerId, limits};
use tokio::task::JoinSet;

use super::plan::{Event, Fault};
use super::pool::{Lease, Origin, Pool};
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
        self.asking.spawn(async move {
            let asked = tokio::time::timeout(HAVE_TIMEOUT, ask(&pool, &source, hash, pieces)).await;
            let late = || Broken::Failed(Fault::Stalled, "did not say which pieces it has".to_owned());
            (source.peer, asked.unwrap_or_else(|_| Err(late())))
        });
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

async fn ask(pool: &Arc<Pool>, source: &Source, hash: ContentHash, pieces: u64) -> Result<Have, Broken> {
    let len = Have::bytes_of(pieces);
    let asked = Asked { path: format!("/v1/blobs/{hash}/have"), size: len, bytes: 0..len };
    let lease = pool.lease((source.peer, source.address)).await;
    let lease = lease.map_err(|error| Broken::Failed(Fault::Unreachable, error.to_string()))?;
    let (lease, answer) = send(lease, source, &asked).await?;
    let (head, body) = answer.into_parts();
    let checked = asked.check(head.status, &head.headers);
    // A short refusal is read to its end as well, so that the connection can be used again.
    let max = if checked.is_ok() { len } else { limits::BODY_BYTES_MAX as u64 };
    let read = Limited::new(body, usize::try_from(max).unwrap_or(usize::MAX)).collect().await;
    if read.is_ok() {
        lease.give_back();
    }
    checked?;
    let bytes = read.map_err(|error| Broken::Failed(Fault::Unreachable, format!("broke off: {error}")))?;
    let wrong = || Broken::Failed(Fault::Garbled, "does not say which pieces it has".to_owned());
    Have::read(pieces, &bytes.to_bytes()).ok_or_else(wrong)
}

/// Sends the request; once more over a new connection where a kept one turns out to be closed.
async fn send(
    mut lease: Lease,
    source: &Source,
    asked: &Asked,
) -> Result<(Lease, Response<Incoming>), Broken> {
    let broken = |error: &dyn std::fmt::Display| Broken::Failed(Fault::Unreachable, error.to_string());
    loop {
        let sent = match lease.sender.ready().await {
            Ok(()) => lease.sender.send_request(asked.request(source)?).await,
            Err(error) => Err(error),
        };
        match sent {
            Ok(answer) => return Ok((lease, answer)),
            Err(_) if lease.origin == Origin::Kept => {
                lease.renew().await.map_err(|error| broken(&error))?;
            }
            Err(error) => return Err(broken(&format_args!("broke off: {error}"))),
        }
    }
}
