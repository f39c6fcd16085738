//! The index: who is here, what they share, and the search over it.
//!
//! [`Index`] is one concrete handle over a private engine trait; which engine is behind it is chosen where it is
//! made and nowhere else. One conformance suite (`tests/conformance`) holds for every engine.
//!
//! Architecture invariants: no network, no async and no clock. Every call that depends on time takes a
//! [`Moment`]. Calls may block (an engine may sit on a disk or a database), so an async caller makes them from a
//! blocking thread, all but [`Index::heartbeat_now`]. A write that returned `Ok` is registered; every write may be
//! repeated without harm.

mod engine;
mod error;
mod moment;
mod store;

mod embedded;

pub mod large_pages;
pub mod query;
pub mod terms;

mod partials;

mod cursor;
mod pattern;
mod rank;
mod typo;

#[doc(hidden)]
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzzing;

#[cfg(test)]
mod seeds;

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, Change, FileRow, Heartbeat, HeartbeatReply, Hit,
    ListParams, Page, PartialSet, PeerRow, SearchParams, Source, Stats,
};
use peerage_wire::{ContentHash, PeerId, limits};

pub use error::{Error, Result};
pub use moment::Moment;
use partials::Partials;
pub use store::{Checked, Options, Phase};

/// A handle on an index. Cheap to clone; every clone is the same index.
#[derive(Clone)]
pub struct Index {
    engine: Arc<dyn engine::Engine>,
    partials: Arc<Mutex<Partials>>,
}

impl Index {
    /// An empty index in this process's memory.
    #[must_use]
    pub fn embedded() -> Self {
        Self { engine: Arc::new(embedded::Embedded::default()), partials: Arc::default() }
    }

    /// An empty index in this process's memory, with options.
    #[must_use]
    pub fn in_memory(options: &Options) -> Self {
        Self { engine: Arc::new(embedded::Embedded::in_memory(options)), partials: Arc::default() }
    }

    /// An index whose registrations are kept in a folder, which is made where there is none. `progress` is told how far
    /// the reading is; when this returns, everything is read and every search is answered.
    ///
    /// # Errors
    /// [`Error::Store`]: another process has it, it is damaged, or of a newer format.
    pub fn open(dir: &Path, options: &Options, progress: &dyn Fn(Phase)) -> Result<Self> {
        let engine = embedded::Embedded::open(dir, options, progress)?;
        Ok(Self { engine: Arc::new(engine), partials: Arc::default() })
    }

    /// Reads a store whole and proves it: every checksum, and that what it holds fits together.
    ///
    /// # Errors
    /// [`Error::Store`] with what is wrong and where.
    pub fn check(dir: &Path) -> Result<Checked> {
        embedded::Embedded::check(dir)
    }

    /// Does now what else is done in the background: what can be merged is merged when this returns.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn settle(&self) -> Result<()> {
        self.engine.settle()
    }

    /// Writes all that is registered as it would be written in the background from time to time; the log before it goes.
    /// Nothing happens without a store.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub fn snapshot(&self) -> Result<()> {
        self.engine.snapshot()
    }

    /// Ends work in the background and writes what is still to be written, all that is registered where a start would
    /// otherwise have much of the log to read. Calls after it are refused.
    ///
    /// # Errors
    /// [`Error::Store`] where the last writes failed.
    pub fn close(&self) -> Result<()> {
        self.engine.close()
    }

    /// Why this index can't register anything any more, where that is so: a write to its store failed. The process
    /// should stop and be started again, since only the disk can tell what is on it.
    #[must_use]
    pub fn failure(&self) -> Option<String> {
        self.engine.failure()
    }

    /// Why the last snapshot could not be written, where that is so. Nothing is lost by it, but the log grows on, and with
    /// it the time that the next start takes.
    #[must_use]
    pub fn snapshot_failure(&self) -> Option<String> {
        self.engine.snapshot_failure()
    }

    /// A peer says who it is, where it serves and what it holds. Its lease begins at `now`.
    ///
    /// `seen_ip` is where its request came from. Files the index still holds for it are in the answers again when the
    /// digest agrees; otherwise they are dropped and the reply asks for all of them.
    /// Repeated in the same epoch after batches of it were applied, it is taken for a late copy: the lease begins anew,
    /// but no file changes and the batches go on. What it was downloading is forgotten: it says so anew.
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
        let announced = self.engine.announce(peer, what, seen_ip, now)?;
        self.partials().forget(&peer);
        Ok(announced)
    }

    /// Registers a batch of changes, all or none. A batch that was applied before is acknowledged again.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`], [`Error::OutOfOrder`], [`Error::TooManyFiles`] when the peer would hold more than
    /// [`peerage_wire::limits::PEER_FILES_MAX`], [`Error::Full`] when it adds something above the ceiling, or
    /// [`Error::Store`].
    pub fn apply(&self, peer: PeerId, order: BatchOrder, changes: Vec<Change>) -> Result<Applied> {
        self.engine.apply(peer, order, changes)
    }

    /// Keeps a peer's lease from `now` on and compares digests. A peer whose lease is over, or that this index knows from its
    /// store, is back with all its files when the digest is that of what is held.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`] when it has no lease (any more), [`Error::StaleEpoch`] as for an announcement.
    pub fn heartbeat(&self, peer: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply> {
        self.engine.heartbeat(peer, beat, now)
    }

    /// As [`Index::heartbeat`], in no more than some microseconds and without waiting for anything, so that it may be called from
    /// where nobody may block; `None` where that can't be: ask [`Index::heartbeat`] then. Most heartbeats are of peers that are
    /// here, at any moment at which nothing is being changed.
    ///
    /// # Errors
    /// As [`Index::heartbeat`].
    #[must_use]
    pub fn heartbeat_now(
        &self,
        peer: PeerId,
        beat: Heartbeat,
        now: Moment,
    ) -> Option<Result<HeartbeatReply>> {
        self.engine.heartbeat_now(peer, beat, now)
    }

    /// A peer leaves: it is gone from every answer when this returns, and comes back by an announcement only, also where it was
    /// away before.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn quit(&self, peer: PeerId) -> Result<()> {
        self.engine.quit(peer)?;
        self.partials().forget(&peer);
        Ok(())
    }

    /// Takes every peer whose lease ended at or before `now` out of the answers and tells who they were.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn expire(&self, now: Moment) -> Result<Vec<PeerId>> {
        let gone = self.engine.expire(now)?;
        let mut partials = self.partials();
        gone.iter().for_each(|peer| partials.forget(peer));
        drop(partials);
        Ok(gone)
    }

    /// A peer says which contents it is downloading and can give pieces of; it replaces what it said before.
    ///
    /// # Errors
    /// [`Error::UnknownPeer`] when it has no lease (any more), [`Error::TooManyPartials`] above
    /// [`limits::PARTIALS_MAX`].
    pub fn put_partials(&self, peer: PeerId, set: PartialSet) -> Result<()> {
        if set.hashes.len() > limits::PARTIALS_MAX {
            return Err(Error::TooManyPartials);
        }
        // Under the lock, so that whoever leaves meanwhile is forgotten after this, not before.
        let mut partials = self.partials();
        self.engine.peer(peer)?.ok_or(Error::UnknownPeer)?;
        partials.replace(peer, BTreeSet::from_iter(set.hashes));
        Ok(())
    }

    /// One page of the contents that match.
    ///
    /// # Errors
    /// [`Error::BadQuery`], [`Error::BadCursor`] or [`Error::BadLimit`].
    pub fn search(&self, params: &SearchParams) -> Result<Page<Hit>> {
        self.engine.search(params)
    }

    /// One page of the registered files, by peer and path. An unknown peer has none.
    ///
    /// # Errors
    /// [`Error::BadCursor`] or [`Error::BadLimit`].
    pub fn files(&self, params: &ListParams) -> Result<Page<FileRow>> {
        self.engine.files(params)
    }

    /// One page of the live peers, by id.
    ///
    /// # Errors
    /// [`Error::BadCursor`] or [`Error::BadLimit`].
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

    /// A content that a live peer has. After its sources come peers that are downloading it, at most
    /// [`limits::PARTIAL_SOURCES_MAX`] and others each time where there are more; they do not count as sources, and
    /// without any source there is no content.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn content(&self, hash: ContentHash) -> Result<Option<Hit>> {
        let Some(mut hit) = self.engine.content(hash)? else { return Ok(None) };
        let downloaders = self.partials().some(&hash);
        for peer in downloaders {
            let is_whole = hit.sources.iter().any(|source| source.peer == peer);
            if let Some(row) = self.engine.peer(peer)?.filter(|_| !is_whole) {
                hit.sources.push(partial_source(row));
            }
        }
        Ok(Some(hit))
    }

    /// The index in numbers.
    ///
    /// # Errors
    /// Only those of the store.
    pub fn stats(&self) -> Result<Stats> {
        self.engine.stats()
    }

    fn partials(&self) -> MutexGuard<'_, Partials> {
        self.partials.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn partial_source(row: PeerRow) -> Source {
    Source { partial: true, ..Source::from(row) }
}

impl fmt::Debug for Index {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Index").finish_non_exhaustive()
    }
}
