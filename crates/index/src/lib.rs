//! The index: who is here, what they share, and the search over it.
//!
//! [`Index`] is one concrete handle over a private engine trait; which engine is behind it is chosen where it is
//! made and nowhere else. One conformance suite (`tests/conformance`) holds for every engine.
//!
//! Architecture invariants: no network, no async and no clock. Every call that depends on time takes a
//! [`Moment`]. Calls may block (an engine may sit on a disk or a database), so an async caller makes them from a
//! blocking thread. A write that returned `Ok` is registered; every write may be repeated without harm.

mod engine;
mod error;
mod moment;

mod embedded;

pub mod query;
pub mod terms;

mod cursor;
mod pattern;
mod rank;
mod typo;

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, Change, FileRow, Heartbeat, HeartbeatReply, Hit,
    ListParams, Page, PeerRow, SearchParams, Stats,
};
use peerage_wire::{ContentHash, PeerId};

pub use error::{Error, Result};
pub use moment::Moment;

/// A handle on an index. Cheap to clone; every clone is the same index.
#[derive(Clone)]
pub struct Index {
    engine: Arc<dyn engine::Engine>,
}

impl Index {
    /// An empty index in this process's memory.
    #[must_use]
    pub fn embedded() -> Self {
        Self { engine: Arc::new(embedded::Embedded::default()) }
    }

    /// A peer says who it is, where it serves and what it holds. Its lease begins at `now`.
    ///
    /// `seen_ip` is where its request came from. Files the index still holds for it are in the answers again when the
    /// digest agrees; otherwise they are dropped and the reply asks for all of them.
    /// Repeated in the same epoch after batches of it were applied, it is taken for a late copy: the lease begins anew,
    /// but no file changes and the batches go on.
    ///
    /// # Errors
    /// [`Error::StaleEpoch`] when a higher epoch was announced for this peer.
    pub fn announce(
        &self,
        peer: PeerId,
        what: &Announcement,
        seen_ip: IpAddr,
        now: Moment,
    ) -> Result<Announced> {
        self.engine.announce(peer, what, seen_ip, now)
    }

    /// Registers a batch of changes, all or none. A batch that was applied before is acknowledged again.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`], [`Error::OutOfOrder`], or [`Error::TooManyFiles`] when the peer would hold more than
    /// [`peerage_wire::limits::PEER_FILES_MAX`].
    pub fn apply(&self, peer: PeerId, order: BatchOrder, changes: Vec<Change>) -> Result<Applied> {
        self.engine.apply(peer, order, changes)
    }

    /// Keeps a peer's lease from `now` on and compares digests.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`] when it has no lease (any more), [`Error::StaleEpoch`] as for an announcement.
    pub fn heartbeat(&self, peer: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply> {
        self.engine.heartbeat(peer, beat, now)
    }

    /// A peer leaves: it is gone from every answer when this returns. Nothing happens where it was not here.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn quit(&self, peer: PeerId) -> Result<()> {
        self.engine.quit(peer)
    }

    /// Takes every peer whose lease ended at or before `now` out of the answers and tells who they were.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn expire(&self, now: Moment) -> Result<Vec<PeerId>> {
        self.engine.expire(now)
    }

    /// One page of the contents that match.
    ///
    /// # Errors
    /// [`Error::BadQuery`] or [`Error::BadCursor`].
    pub fn search(&self, params: &SearchParams) -> Result<Page<Hit>> {
        self.engine.search(params)
    }

    /// One page of the registered files, by peer and path. An unknown peer has none.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    pub fn files(&self, params: &ListParams) -> Result<Page<FileRow>> {
        self.engine.files(params)
    }

    /// One page of the live peers, by id.
    ///
    /// # Errors
    /// [`Error::BadCursor`].
    pub fn peers(&self, params: &ListParams) -> Result<Page<PeerRow>> {
        self.engine.peers(params)
    }

    /// A live peer.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn peer(&self, peer: PeerId) -> Result<Option<PeerRow>> {
        self.engine.peer(peer)
    }

    /// A content that a live peer has.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn content(&self, hash: ContentHash) -> Result<Option<Hit>> {
        self.engine.content(hash)
    }

    /// The index in numbers.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn stats(&self) -> Result<Stats> {
        self.engine.stats()
    }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}
