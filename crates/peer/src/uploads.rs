//! Who may be sent bytes now, how fast, and how many were: one for a whole peer, whatever doors it has.
//!
//! Invariants: every door takes its slots, its share of the rate and its counters from here; a slot that was
//! granted to somebody who has gone meanwhile goes on to the next in the queue.

mod queue;
mod slots;

use std::net::IpAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use peerage_wire::{PeerId, limits};
use tokio::time::{Instant, Sleep};

use crate::rate::RateLimit;
use queue::{Slot, UploadSlots};
use slots::Asker;

pub use queue::Busy;

/// The uploads of one peer, through all its doors. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Uploads {
    slots: UploadSlots,
    limit: Option<RateLimit>,
    counts: Arc<Counts>,
}

/// What was sent since the peer began.
#[derive(Debug, Default)]
struct Counts {
    uploads: AtomicU64,
    bytes: AtomicU64,
}

/// Who is to be sent something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Receiver(Asker);

/// Who an address stands for: with IPv6 everybody of one network, who may have any number of addresses.
#[must_use]
pub fn owner_of(address: IpAddr) -> IpAddr {
    crate::serve::gate::owner(address)
}

impl Receiver {
    /// Somebody who has shown a key.
    #[must_use]
    pub const fn peer(peer: PeerId) -> Self {
        Self(Asker::Peer(peer))
    }

    /// Somebody of whom only the address is known; with IPv6, everybody of one network.
    #[must_use]
    pub fn address(address: IpAddr) -> Self {
        Self(Asker::Address(owner_of(address)))
    }
}

impl Default for Uploads {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Uploads {
    /// The usual number of slots, within a limit on what all uploads send together.
    #[must_use]
    pub fn new(limit: Option<RateLimit>) -> Self {
        Self::with_slots(limits::UPLOAD_SLOTS, limits::UPLOAD_SLOTS_PER_PEER, limit)
    }

    /// So many slots in all, and so many at most for one peer (or, for who shows no key, one address).
    #[must_use]
    pub fn with_slots(total: usize, per_peer: usize, limit: Option<RateLimit>) -> Self {
        Self { slots: UploadSlots::new(total, per_peer), limit, counts: Arc::default() }
    }

    /// Waits for a slot.
    ///
    /// # Errors
    /// [`Busy`] where the queue is long, or stays so.
    pub async fn begin(&self, receiver: Receiver) -> Result<Upload, Busy> {
        let slot = self.slots.take(receiver.0).await?;
        self.counts.uploads.fetch_add(1, Ordering::Relaxed);
        let pace = self.limit.clone().map(Pace::new);
        Ok(Upload { _slot: slot, pace, counts: Arc::clone(&self.counts) })
    }

    /// Uploads begun, and bytes sent in them.
    #[must_use]
    pub fn counts(&self) -> (u64, u64) {
        (self.counts.uploads.load(Ordering::Relaxed), self.counts.bytes.load(Ordering::Relaxed))
    }
}

/// One upload: a slot until it is dropped.
pub struct Upload {
    _slot: Slot,
    pace: Option<Pace>,
    counts: Arc<Counts>,
}

impl Upload {
    /// How many bytes to send at a time, at most `most`.
    #[must_use]
    pub fn step(&self, most: usize) -> usize {
        self.pace.as_ref().map_or(most, |pace| pace.limit.step(most))
    }

    /// Waits until the rate allows more to be sent.
    pub async fn ready(&mut self) {
        std::future::poll_fn(|cx| self.poll_ready(cx)).await;
    }

    /// The same, polled.
    pub fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.pace.as_mut().map_or(Poll::Ready(()), |pace| pace.pause.as_mut().poll(cx))
    }

    /// Takes account of bytes that go out now.
    pub fn sent(&mut self, bytes: usize) {
        self.counts.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        if let Some(pace) = &mut self.pace {
            pace.pay(bytes);
        }
    }
}

/// Keeps an upload within a limit.
struct Pace {
    limit: RateLimit,
    pause: Pin<Box<Sleep>>,
}

impl Pace {
    fn new(limit: RateLimit) -> Self {
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
