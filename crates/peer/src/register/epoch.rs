//! One announced epoch with an index: what it was told, what it holds, and what waits.
//!
//! Invariant: `held` is the digest of exactly what the index acknowledged, or `None` where that is not known.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;

use peerage_wire::ShareDigest;
use peerage_wire::api::Announced;
use tokio::time::Instant;

use super::offer::Offer;
use super::wait::{Backoff, jittered};
use crate::index_client::IndexError;

/// One announced epoch.
pub(super) struct Epoch {
    pub(super) number: u64,
    pub(super) next_seq: u64,
    pub(super) address: SocketAddr,
    pub(super) files: u64,
    pub(super) next_beat: Instant,
    /// Batches cut but not yet acknowledged, oldest first: it has the number `next_seq`.
    pub(super) outbox: VecDeque<Vec<u8>>,
    pub(super) held: Option<ShareDigest>,
    /// The session is another than the one of the last beat: the index may have been started again, and does not know
    /// then that the peer is here.
    pub(super) is_away: bool,
    /// The index has no room for the batch that is next.
    pub(super) full: Option<Full>,
    /// The downloads that the index knows of in this epoch.
    pub(super) offer: Offer,
    full_backoff: Backoff,
    beat_every: Duration,
}

/// An index without room.
#[derive(Debug, Clone)]
pub(super) struct Full {
    pub(super) again_at: Instant,
    pub(super) why: String,
    pub(super) hint: String,
}

impl Epoch {
    /// The index answered the announcement of epoch `number` with this `digest`.
    pub(super) fn begin(number: u64, digest: ShareDigest, announced: &Announced, offer: Offer) -> Self {
        let beat_every = Duration::from_secs(announced.heartbeat_secs.max(1));
        Self {
            number,
            next_seq: 0,
            address: announced.address,
            files: 0,
            next_beat: Instant::now() + jittered(beat_every),
            outbox: VecDeque::new(),
            held: (!announced.resync).then_some(digest),
            is_away: false,
            full: None,
            offer,
            full_backoff: Backoff::when_full(),
            beat_every,
        }
    }

    /// The oldest batch was acknowledged; `drained` is the digest of all, where nothing more is to be taken.
    pub(super) fn acknowledged(&mut self, files: u64, drained: Option<ShareDigest>) {
        self.files = files;
        self.next_seq += 1;
        self.held = drained.filter(|_| self.outbox.is_empty());
        self.full = None;
        self.full_backoff.reset();
    }

    /// The index has no room for this batch: it waits, and so do those behind it.
    pub(super) fn refused(&mut self, batch: Vec<u8>, error: &IndexError) {
        self.outbox.push_front(batch);
        let wait = self.full_backoff.next(error.retry_after());
        self.full =
            Some(Full { again_at: Instant::now() + wait, why: error.to_string(), hint: error.hint() });
    }

    /// Whether a batch may be tried.
    pub(super) fn may_send(&self) -> bool {
        self.full.as_ref().is_none_or(|full| full.again_at <= Instant::now())
    }

    /// The index knows that the peer is here.
    pub(super) fn has_beaten(&mut self) {
        self.is_away = false;
        self.next_beat = Instant::now() + jittered(self.beat_every);
    }

    /// A new session was opened.
    pub(super) fn returns(&mut self) {
        self.is_away = true;
        self.offer.forgotten();
    }
}

/// Waits until a batch that was refused may be tried again.
pub(super) async fn room(full: Option<&Full>) {
    match full {
        Some(full) => tokio::time::sleep_until(full.again_at).await,
        None => std::future::pending().await,
    }
}
