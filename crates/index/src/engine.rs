//! The seam: what an engine must do to stand behind [`crate::Index`]. Private, in the domain's words and in batches,
//! so that an engine in memory, on disk or over a database can each do it in its own way.

use std::net::IpAddr;

use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, Change, FileRow, Heartbeat, HeartbeatReply, Hit,
    ListParams, Page, PeerRow, SearchParams, Stats,
};
use peerage_wire::{ContentHash, PeerId};

use crate::{Moment, Result};

/// An engine. The promises are those of the methods of [`crate::Index`] by the same names.
pub(crate) trait Engine: Send + Sync {
    fn announce(&self, peer: PeerId, what: &Announcement, seen_ip: IpAddr, now: Moment) -> Result<Announced>;
    fn apply(&self, peer: PeerId, order: BatchOrder, changes: Vec<Change>) -> Result<Applied>;
    fn heartbeat(&self, peer: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply>;
    fn heartbeat_now(&self, peer: PeerId, beat: Heartbeat, now: Moment) -> Option<Result<HeartbeatReply>>;
    fn quit(&self, peer: PeerId) -> Result<()>;
    fn expire(&self, now: Moment) -> Result<Vec<PeerId>>;
    fn search(&self, params: &SearchParams) -> Result<Page<Hit>>;
    fn files(&self, params: &ListParams) -> Result<Page<FileRow>>;
    fn peers(&self, params: &ListParams) -> Result<Page<PeerRow>>;
    fn peer(&self, peer: PeerId) -> Result<Option<PeerRow>>;
    fn content(&self, hash: ContentHash) -> Result<Option<Hit>>;
    fn stats(&self) -> Result<Stats>;
    fn settle(&self) -> Result<()>;
    fn snapshot(&self) -> Result<()>;
    fn close(&self) -> Result<()>;
    fn failure(&self) -> Option<String>;
    fn snapshot_failure(&self) -> Option<String>;
}
