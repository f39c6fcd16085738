//! What peers tell: announcements, batches, heartbeats, and their leaving.
//!
//! Invariants: the contents hold exactly the files of the live peers' manifests. A call either does all it says or,
//! when it fails, changes nothing.

use std::net::{IpAddr, SocketAddr};

use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, Change, Heartbeat, HeartbeatReply, Stats,
};
use peerage_wire::{PeerId, ShareDigest, limits};

use super::arena::PeerKey;
use super::contents::Contents;
use super::leases::{Order, Reading, Step};
use super::manifest::Manifest;
use super::peers::{Peer, Peers, clamp_bytes};
use super::told::Told;
use crate::{Error, Moment, Result};

/// Everything the engine holds.
#[derive(Debug)]
pub(super) struct Registry {
    pub(super) peers: Peers,
    pub(super) contents: Contents,
    pub(super) told: Told,
    peer_files_max: u64,
}

impl Default for Registry {
    fn default() -> Self {
        Self::with_limit(limits::PEER_FILES_MAX)
    }
}

impl Registry {
    fn with_limit(peer_files_max: u64) -> Self {
        Self { peers: Peers::default(), contents: Contents::default(), told: Told::default(), peer_files_max }
    }

    pub(super) fn announce(
        &mut self,
        id: PeerId,
        what: &Announcement,
        seen_ip: IpAddr,
        now: Moment,
    ) -> Result<Announced> {
        let address = SocketAddr::new(seen_ip.to_canonical(), what.doors.native);
        let key = self.peers.key(id).unwrap_or_else(|| self.peers.insert(stranger(id, what, address)));
        let is_live = self.peers.leases.is_live(key);
        let peer = self.peers.get_mut(key).ok_or(Error::UnknownPeer)?;
        let reading = peer.order.announce(what.epoch, is_live)?;
        (peer.name, peer.doors, peer.address) = (what.name.clone(), what.doors, address);
        let resync = match reading {
            Reading::Again { has_asked_for_all } => {
                has_asked_for_all && peer.manifest.digest() != what.digest
            }
            Reading::New => self.compare(key, what.digest, is_live),
        };
        self.peers.away.back(key);
        self.peers.leases.renew(key, now);
        Ok(Announced {
            lease_secs: limits::LEASE.as_secs(),
            heartbeat_secs: limits::HEARTBEAT.as_secs(),
            address,
            resync,
        })
    }

    /// Keeps a peer's files where the digest is theirs, otherwise drops them; those kept are in the answers from now
    /// on. Tells whether all must be sent: an empty share has nothing to send.
    fn compare(&mut self, key: PeerKey, digest: ShareDigest, is_live: bool) -> bool {
        let Some(peer) = self.peers.get_mut(key) else { return true };
        if peer.manifest.digest() != digest {
            let dropped = std::mem::take(&mut peer.manifest);
            dropped.iter().for_each(|file| self.told.remove(file));
            if is_live {
                dropped.iter().for_each(|file| self.contents.remove(key, file));
            }
        } else if !is_live {
            peer.manifest.iter().for_each(|file| self.contents.add(key, file));
        }
        let resync = peer.manifest.digest() != digest;
        peer.order.answered(resync);
        resync
    }

    pub(super) fn apply(&mut self, id: PeerId, order: BatchOrder, changes: Vec<Change>) -> Result<Applied> {
        let key = self.peers.live_key(id).ok_or(Error::UnknownPeer)?;
        let peer = self.peers.get_mut(key).ok_or(Error::UnknownPeer)?;
        if peer.order.step(order)? == Step::Acknowledge {
            return Ok(Applied { files: peer.manifest.len() });
        }
        let plan = peer.manifest.plan(changes);
        if plan.files_after > self.peer_files_max {
            return Err(Error::TooManyFiles);
        }
        for replaced in peer.manifest.carry_out(plan) {
            // Added before removed: a name or content that stays is not torn down and built again.
            if let Some(file) = &replaced.after {
                self.contents.add(key, file);
                self.told.add(file);
            }
            if let Some(file) = &replaced.before {
                self.contents.remove(key, file);
                self.told.remove(file);
            }
        }
        peer.order.advance();
        Ok(Applied { files: peer.manifest.len() })
    }

    pub(super) fn heartbeat(&mut self, id: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply> {
        let key = self.peers.live_key(id).ok_or(Error::UnknownPeer)?;
        let peer = self.peers.get(key).ok_or(Error::UnknownPeer)?;
        peer.order.heartbeat(beat.epoch)?;
        let resync = beat.digest.is_some_and(|digest| digest != peer.manifest.digest());
        self.peers.leases.renew(key, now);
        Ok(HeartbeatReply { lease_secs: limits::LEASE.as_secs(), resync })
    }

    pub(super) fn quit(&mut self, id: PeerId) {
        if let Some(key) = self.peers.live_key(id) {
            self.leave(key);
            self.forget_the_longest_away();
        }
    }

    pub(super) fn expire(&mut self, now: Moment) -> Vec<PeerId> {
        let ended = self.peers.leases.ended(now);
        ended.iter().for_each(|key| self.leave(*key));
        let mut ids: Vec<PeerId> =
            ended.into_iter().filter_map(|key| self.peers.get(key)).map(|peer| peer.id).collect();
        self.forget_the_longest_away();
        ids.sort_unstable();
        ids
    }

    pub(super) fn stats(&self) -> Stats {
        Stats {
            peers: self.peers.leases.len() as u64,
            files: self.contents.files(),
            contents: self.contents.len(),
            bytes: clamp_bytes(self.contents.bytes()),
        }
    }

    fn leave(&mut self, key: PeerKey) {
        self.peers.leases.end(key);
        let Some(peer) = self.peers.get(key) else { return };
        peer.manifest.iter().for_each(|file| self.contents.remove(key, file));
        let files = peer.manifest.len();
        self.peers.away.leave(key, files);
    }

    fn forget_the_longest_away(&mut self) {
        while let Some(key) = self.peers.away.forget() {
            let files = self.peers.get(key).into_iter().flat_map(|peer| peer.manifest.iter());
            files.for_each(|file| self.told.remove(file));
            self.peers.forget(key);
        }
    }
}

fn stranger(id: PeerId, what: &Announcement, address: SocketAddr) -> Peer {
    Peer {
        id,
        name: what.name.clone(),
        address,
        doors: what.doors,
        order: Order::starting(what.epoch),
        manifest: Manifest::default(),
    }
}

#[cfg(test)]
mod tests {
    use peerage_wire::api::Doors;
    use peerage_wire::{ContentHash, FileEntry, SharePath};

    use super::super::away::AWAY_PEERS_MAX;
    use super::*;

    const NOW: Moment = Moment::from_millis(0);

    fn id(number: u32) -> PeerId {
        PeerId::from_bytes(*ContentHash::of(&number.to_le_bytes()).as_bytes())
    }

    fn announce(registry: &mut Registry, number: u32, epoch: u64) -> Result<Announced> {
        let what = Announcement {
            name: "a".parse().unwrap(),
            doors: Doors::native(1),
            epoch,
            digest: ShareDigest::default(),
        };
        registry.announce(id(number), &what, [127, 0, 0, 1].into(), NOW)
    }

    fn add(name: &str) -> Change {
        let path = SharePath::parse(name).unwrap();
        Change::Add(FileEntry { path, size: 1, hash: ContentHash::of(b"x"), modified: 0 })
    }

    #[test]
    fn a_batch_beyond_the_limit_changes_nothing_and_may_be_sent_smaller() {
        let mut registry = Registry::with_limit(2);
        announce(&mut registry, 0, 1).unwrap();
        let batch = |seq| BatchOrder { epoch: 1, seq };
        assert_eq!(registry.apply(id(0), batch(0), vec![add("s/a")]), Ok(Applied { files: 1 }));
        let three = vec![add("s/b"), add("s/c")];
        assert_eq!(registry.apply(id(0), batch(1), three), Err(Error::TooManyFiles));
        assert_eq!((registry.stats().files, registry.contents.files()), (1, 1));
        let swap = vec![add("s/b"), add("s/c"), Change::Remove { path: SharePath::parse("s/a").unwrap() }];
        assert_eq!(registry.apply(id(0), batch(1), swap), Ok(Applied { files: 2 }));
    }

    #[test]
    fn a_peer_away_too_long_is_a_new_one() {
        let mut registry = Registry::default();
        let most = u32::try_from(AWAY_PEERS_MAX).unwrap();
        for number in 0..=most {
            announce(&mut registry, number, 9).unwrap();
            registry.quit(id(number));
        }
        assert!(announce(&mut registry, 1, 8).is_err());
        assert!(announce(&mut registry, 0, 8).is_ok());
    }
}
