//! What peers tell: announcements, batches, heartbeats, and their leaving.
//!
//! Whoever changes files takes the *turn*, so that one change after the other is worked out, put into the log and carried
//! out. The lock on the state is held for small steps only, and given to those who wait after each: a search waits for a
//! fraction of a millisecond, however large the batch is or the peer that leaves. So changes become visible one after the
//! other, while a call returns only when all of them are, and are on disk.
//!
//! Invariants: a call either does all it says or, when it is refused, changes nothing; where the disk fails after that, only
//! the disk can tell, and the process has to end. A manifest, digest and order change in one step, at the end.

use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use hashbrown::{HashMap, HashSet};
use parking_lot::RwLockWriteGuard;
use peerage_wire::api::{Announced, Announcement, Applied, BatchOrder, Change, Heartbeat, HeartbeatReply};
use peerage_wire::{PeerId, ShareDigest, limits};

use super::Inner;
use super::arena::{ContentKey, PeerKey};
use super::away::{AWAY_FILES_MAX, AWAY_PEERS_MAX};
use super::batch::{self, Draft};
use super::disk::Record;
use super::leases::{Order, Reading, Step};
use super::manifest::Manifest;
use super::peers::Peer;
use super::state::State;
use crate::{Error, Moment, Result};

/// Files that leave or come while the lock is held and a search waits for it awake: some tens of microseconds.
const FILES_PER_STEP: usize = 128;

impl Inner {
    pub(super) fn announce(
        &self,
        id: PeerId,
        what: &Announcement,
        seen_ip: IpAddr,
        now: Moment,
    ) -> Result<Announced> {
        let _turn = self.turn.lock();
        let address = SocketAddr::new(seen_ip.to_canonical(), what.doors.native);
        let found = self.state.read().peers.key(id);
        let (is_live, mut order, digest) = match found {
            Some(key) => self.standing_of(key),
            None => (false, Order::starting(what.epoch), ShareDigest::default()),
        };
        let reading = order.announce(what.epoch, is_live)?;
        let (starts_over, drops, asked) = match reading {
            Reading::Again { has_asked_for_all } => (false, false, has_asked_for_all),
            Reading::New => {
                let drops = digest != what.digest;
                // An empty share has nothing to send.
                (true, drops, drops && what.digest != ShareDigest::default())
            }
        };
        let record = Record::Announce { peer: id, what: what.clone(), address, starts_over, drops, asked };
        let lsn = self.log(&record)?;
        let key = self.settle_announcement(id, what, address, (starts_over, drops, asked), (lsn, Some(now)));
        if !is_live {
            self.turn_files(key, true);
        }
        let resync = asked && self.standing_of(key).2 != what.digest;
        Ok(Announced {
            lease_secs: limits::LEASE.as_secs(),
            heartbeat_secs: limits::HEARTBEAT.as_secs(),
            address,
            resync,
        })
    }

    /// Carries out what an announcement came to, with a lease where that is of now.
    pub(super) fn settle_announcement(
        &self,
        id: PeerId,
        what: &Announcement,
        address: SocketAddr,
        (starts_over, drops, asked): (bool, bool, bool),
        (lsn, now): (u64, Option<Moment>),
    ) -> PeerKey {
        let known = self.state.read().peers.key(id);
        if let Some(key) = known.filter(|_| drops) {
            self.drop_files(key);
        }
        let mut state = self.state.write();
        let key = known.unwrap_or_else(|| state.peers.insert(stranger(id, what, address)));
        state.peers.rename(key, &what.name);
        if let Some(peer) = state.peers.get_mut(key) {
            (peer.doors, peer.address) = (what.doors, address);
            if starts_over {
                peer.order = Order::restored(what.epoch, 0, asked);
            }
            (peer.has_left, peer.lsn) = (false, lsn);
        }
        if let Some(now) = now {
            state.peers.away.back(key);
            state.peers.leases.begin(key, now);
        }
        key
    }

    pub(super) fn apply(&self, id: PeerId, order: BatchOrder, changes: Vec<Change>) -> Result<Applied> {
        self.wait_for_room();
        let mut record = Vec::new();
        if self.disk.is_some() {
            Record::encode_batch(id, order, &changes, &mut record);
        }
        let mut drafts = batch::drafts(changes);
        self.look_ahead(&mut drafts);
        let turn = self.turn.lock();
        let state = self.state.read();
        let key = state.peers.live_key(id).ok_or(Error::UnknownPeer)?;
        let peer = state.peers.get(key).ok_or(Error::UnknownPeer)?;
        if peer.order.step(order)? == Step::Acknowledge {
            let (files, lsn) = (peer.manifest.len() as u64, peer.lsn);
            drop((state, turn));
            self.until_durable(lsn)?;
            return Ok(Applied { files });
        }
        let plan = batch::plan(&state, &peer.manifest, drafts);
        let files = plan.files_after(&peer.manifest);
        if files > self.peer_files_max {
            return Err(Error::TooManyFiles);
        }
        if plan.adds() {
            self.refuse_when_full(&state)?;
        }
        drop(state);
        let lsn = self.log_bytes(&record)?;
        self.carry_out(key, &plan, (order.epoch, order.seq + 1), lsn);
        drop(turn);
        self.until_durable(lsn)?;
        Ok(Applied { files })
    }

    /// Makes the terms of names that are not known yet, before anybody has to wait for it.
    pub(super) fn look_ahead(&self, drafts: &mut [Draft]) {
        for drafts in drafts.chunks_mut(batch::READ_AT_ONCE) {
            batch::look_up(drafts, &self.state.read());
            drafts.iter_mut().for_each(Draft::split);
        }
    }

    pub(super) fn heartbeat(&self, id: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply> {
        let kept = keep(&self.state.read(), id, beat, now);
        if let Some(reply) = kept {
            return reply;
        }
        self.return_by(id, beat, now)
    }

    /// The same without any waiting: nothing where the peer is not here, or something else is being changed just now.
    pub(super) fn heartbeat_now(
        &self,
        id: PeerId,
        beat: Heartbeat,
        now: Moment,
    ) -> Option<Result<HeartbeatReply>> {
        keep(&*self.state.try_read()?, id, beat, now)
    }

    /// A peer whose lease ran out, or the index's memory of it, is back if what it says is what is known of it.
    fn return_by(&self, id: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply> {
        let _turn = self.turn.lock();
        let kept = keep(&self.state.read(), id, beat, now);
        if let Some(reply) = kept {
            return reply; // it was announced meanwhile
        }
        let mut state = self.state.write();
        let key = state.peers.key(id).ok_or(Error::UnknownPeer)?;
        let peer = state.peers.get(key).filter(|peer| !peer.has_left).ok_or(Error::UnknownPeer)?;
        peer.order.heartbeat(beat.epoch)?;
        if beat.digest != Some(peer.manifest.digest) {
            return Err(Error::UnknownPeer);
        }
        state.peers.away.back(key);
        state.peers.leases.begin(key, now);
        drop(state);
        self.turn_files(key, true);
        Ok(heartbeat_reply(false))
    }

    pub(super) fn quit(&self, id: PeerId) -> Result<()> {
        let _turn = self.turn.lock();
        let state = self.state.read();
        let has_not_left = |key: &PeerKey| state.peers.get(*key).is_some_and(|peer| !peer.has_left);
        let Some(key) = state.peers.key(id).filter(has_not_left) else { return Ok(()) };
        drop(state);
        let lsn = self.log(&Record::Quit { peer: id })?;
        let mut state = self.state.write();
        if let Some(peer) = state.peers.get_mut(key) {
            (peer.has_left, peer.lsn) = (true, lsn);
        }
        // One that was away already is only remembered not to come back by itself.
        if state.peers.leases.is_live(key) {
            self.leave(key, state);
        } else {
            drop(state);
        }
        self.forget_the_longest_away()
    }

    pub(super) fn expire(&self, now: Moment) -> Result<Vec<PeerId>> {
        let _turn = self.turn.lock();
        let mut ended = Vec::new();
        loop {
            let (mut some, are_all) = self.state.read().peers.leases.ended(now);
            some.retain(|key| self.end_when_over(*key, now));
            ended.append(&mut some);
            if are_all {
                break;
            }
        }
        self.make_room(now)?;
        let state = self.state.read();
        let mut ids: Vec<PeerId> =
            ended.into_iter().filter_map(|key| state.peers.get(key)).map(|peer| peer.id).collect();
        drop(state);
        self.forget_the_longest_away()?;
        ids.sort_unstable();
        Ok(ids)
    }

    /// A peer leaves because its lease is over, unless a heartbeat came just now. Tells whether it left.
    fn end_when_over(&self, key: PeerKey, now: Moment) -> bool {
        let state = self.state.write();
        let is_over = state.peers.leases.is_over(key, now);
        if is_over {
            self.leave(key, state);
        }
        is_over
    }

    fn leave(&self, key: PeerKey, mut state: RwLockWriteGuard<'_, State>) {
        state.peers.leases.end(key);
        let files = state.peers.get(key).map_or(0, |peer| peer.manifest.len() as u64);
        state.peers.away.leave(key, files);
        drop(state);
        self.turn_files(key, false);
    }

    /// Brings all files of a peer into the answers, or takes them out.
    fn turn_files(&self, key: PeerKey, is_coming: bool) {
        let mut seen = std::collections::HashSet::new();
        self.for_files_of(key, |state, files| state.turn(key, is_coming, files, &mut seen));
    }

    /// Takes all files of a peer out of memory.
    pub(super) fn drop_files(&self, key: PeerKey) {
        let mut left: HashMap<ContentKey, u32> = HashMap::new();
        self.for_files_of(key, |state, files| {
            let is_live = state.peers.leases.is_live(key);
            for at in files {
                let Some(manifest) = state.peers.get(key).map(|peer| &peer.manifest) else { return };
                let Some(name) = manifest.names.get(at).copied() else { return };
                let Some(content) = state.names.get(name).map(|name| name.content) else { continue };
                let (odd, repeats) = (manifest.odd(name), manifest.repeats(content).unwrap_or(1));
                let left = left.entry(content).or_insert(repeats);
                *left = left.saturating_sub(1);
                let is_last = *left == 0;
                state.remove(key, is_live, is_last, name, odd);
            }
        });
        let mut state = self.state.write();
        if let Some(peer) = state.peers.get_mut(key) {
            peer.manifest = Manifest::default();
        }
        let disputed: HashSet<ContentKey> = left.into_keys().collect();
        disputed.into_iter().for_each(|content| state.decide(content));
    }

    fn for_files_of(&self, key: PeerKey, act: impl FnMut(&mut State, Range<usize>)) {
        let files = self.state.read().peers.get(key).map_or(0, |peer| peer.manifest.len());
        self.in_steps(files, FILES_PER_STEP, act);
    }

    fn forget_the_longest_away(&self) -> Result<()> {
        self.forget_down_to(AWAY_FILES_MAX)
    }

    /// Near the ceiling those that are away make room for those that are here, as far as it is needed. Memory is given
    /// back some time after, so the next look is a lease later; the first is a lease after the start, since until then all
    /// may come back.
    fn make_room(&self, now: Moment) -> Result<()> {
        let Some(max) = self.memory_max_bytes else { return Ok(()) };
        let files_max = {
            let mut state = self.state.write();
            let next = *state.next_look.get_or_insert(now.after(limits::LEASE));
            if now < next {
                return Ok(());
            }
            state.next_look = Some(now.after(limits::LEASE));
            let used = state.memory().total_bytes;
            let Some(above) = used.checked_sub(max / 100 * 95).filter(|above| *above > 0) else {
                return Ok(());
            };
            let files = u128::from(state.known_files) * u128::from(above) / u128::from(used.max(1));
            state
                .peers
                .away
                .files()
                .saturating_sub(u64::try_from(files).unwrap_or(u64::MAX).saturating_add(1))
        };
        self.forget_down_to(files_max)
    }

    /// Forgets those away the longest until the others have at most so many files.
    fn forget_down_to(&self, files_max: u64) -> Result<()> {
        // Mostly there is none, and to look no search need be waited for.
        while self.state.read().peers.away.is_over(AWAY_PEERS_MAX, files_max) {
            let mut state = self.state.write();
            let Some(key) = state.peers.away.forget(AWAY_PEERS_MAX, files_max) else { break };
            let id = state.peers.get(key).map(|peer| peer.id);
            drop(state);
            if let Some(id) = id {
                self.log(&Record::Forget { peer: id })?;
            }
            self.forget(key);
        }
        Ok(())
    }

    pub(super) fn forget(&self, key: PeerKey) {
        self.drop_files(key);
        let mut state = self.state.write();
        state.peers.away.back(key);
        state.peers.forget(key);
    }

    fn standing_of(&self, key: PeerKey) -> (bool, Order, ShareDigest) {
        let state = self.state.read();
        let is_live = state.peers.leases.is_live(key);
        match state.peers.get(key) {
            Some(peer) => (is_live, peer.order, peer.manifest.digest),
            None => (false, Order::starting(0), ShareDigest::default()),
        }
    }

    fn refuse_when_full(&self, state: &State) -> Result<()> {
        let Some(max_bytes) = self.memory_max_bytes else { return Ok(()) };
        let used_bytes = state.memory().total_bytes;
        if used_bytes >= max_bytes { Err(Error::Full { used_bytes, max_bytes }) } else { Ok(()) }
    }
}

/// Keeps the lease of a peer that is here. For that the state is only read: as a search, it waits for changes alone.
fn keep(state: &State, id: PeerId, beat: Heartbeat, now: Moment) -> Option<Result<HeartbeatReply>> {
    let key = state.peers.live_key(id)?;
    let peer = state.peers.get(key)?;
    let kept = peer.order.heartbeat(beat.epoch).map(|()| {
        state.peers.leases.renew(key, now);
        heartbeat_reply(beat.digest.is_some_and(|digest| digest != peer.manifest.digest))
    });
    Some(kept)
}

const fn heartbeat_reply(resync: bool) -> HeartbeatReply {
    HeartbeatReply { lease_secs: limits::LEASE.as_secs(), resync }
}

fn stranger(id: PeerId, what: &Announcement, address: SocketAddr) -> Peer {
    Peer {
        id,
        name: what.name.clone(),
        address,
        doors: what.doors,
        order: Order::starting(what.epoch),
        manifest: Manifest::default(),
        lsn: 0,
        has_left: false,
    }
}

#[cfg(test)]
mod tests;
