//! The first engine: everything in this process's memory, behind one lock.
//!
//! Searches share the lock, writes take it alone; a batch of 10,000 holds it for some tenths of a second at most.
//! Nothing outlives the process: peers notice by their heartbeats and register again.
//!
//! - `registry`: what peers tell, over `peers` (who), `leases` (until when, in which order), `manifest` (what each has)
//!   and `away` (what is remembered of those that left);
//! - `contents`: what live peers have, over `names` (paths), `votes` (sizes) and `text` (words);
//! - `search` and `listing`: the answers.
//!
//! Architecture invariants: everything below `contents` knows live peers only. Every step on a registration takes
//! logarithmic time, whatever a stranger registers.

mod registry;

mod away;
mod leases;
mod manifest;
mod peers;

mod contents;
mod names;
#[allow(dead_code, unused_imports, reason = "the new text index, until it is joined")]
mod segments;
mod text;
mod told;
mod votes;

mod listing;
mod search;

mod arena;

use std::net::IpAddr;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, Change, FileRow, Heartbeat, HeartbeatReply, Hit,
    ListParams, Page, PeerRow, SearchParams, Stats,
};
use peerage_wire::{ContentHash, PeerId};

use crate::engine::Engine;
use crate::{Moment, Result};
use registry::Registry;

/// The engine in memory.
#[derive(Debug, Default)]
pub(crate) struct Embedded {
    registry: RwLock<Registry>,
}

impl Embedded {
    /// A thread that panicked with the lock has hit a bug; the others go on with what there is.
    fn read(&self) -> RwLockReadGuard<'_, Registry> {
        self.registry.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Registry> {
        self.registry.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Engine for Embedded {
    fn announce(&self, peer: PeerId, what: &Announcement, seen_ip: IpAddr, now: Moment) -> Result<Announced> {
        self.write().announce(peer, what, seen_ip, now)
    }

    fn apply(&self, peer: PeerId, order: BatchOrder, changes: Vec<Change>) -> Result<Applied> {
        self.write().apply(peer, order, changes)
    }

    fn heartbeat(&self, peer: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply> {
        self.write().heartbeat(peer, beat, now)
    }

    fn quit(&self, peer: PeerId) -> Result<()> {
        self.write().quit(peer);
        Ok(())
    }

    fn expire(&self, now: Moment) -> Result<Vec<PeerId>> {
        Ok(self.write().expire(now))
    }

    fn search(&self, params: &SearchParams) -> Result<Page<Hit>> {
        self.read().search(params)
    }

    fn files(&self, params: &ListParams) -> Result<Page<FileRow>> {
        self.read().files(params)
    }

    fn peers(&self, params: &ListParams) -> Result<Page<PeerRow>> {
        self.read().peers(params)
    }

    fn peer(&self, peer: PeerId) -> Result<Option<PeerRow>> {
        Ok(self.read().peer(peer))
    }

    fn content(&self, hash: ContentHash) -> Result<Option<Hit>> {
        Ok(self.read().content(hash))
    }

    fn stats(&self) -> Result<Stats> {
        Ok(self.read().stats())
    }
}
