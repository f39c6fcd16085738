//! The state into a snapshot, while everything goes on.
//!
//! First the log begins a new file: what is in the older ones is in memory by then, so the snapshot holds it. Then each
//! part is read in small steps: the segments there are; the peers, each as it stands at that moment, with the number of the
//! last record about it; the names, and then the contents. What happens meanwhile may be in the snapshot or not; it is in
//! the newer log in any case, and who reads both leaves out what a peer had seen already (see [`super::recovery`]).
//!
//! Invariants: names are read after the peers and contents after the names, and none is given up until the end, so each
//! number that a peer, a segment or a name holds is there and means the same. What the first said of a content's size
//! stays meanwhile, since it is not written with the peers whose files it tells. Older logs, snapshots and segments are
//! removed only after the new snapshot is whole on the disk.

use std::io::{self, Write};
use std::sync::atomic::Ordering;

use peerage_wire::PeerId;
use peerage_wire::api::Announcement;

use super::Inner;
use super::arena::{ContentKey, NameKey, PeerKey};
use super::disk::{ContainerWriter, DiskError, DiskResult, Record, StoreFile};
use super::peers::Peer;
use super::state::{Held, State};

/// The sections of a snapshot.
pub(super) const PEERS: &str = "peers";
pub(super) const CONTENTS: &str = "contents";
pub(super) const NAMES: &str = "names";
pub(super) const SEGMENTS: &str = "segments";

/// In place of a length: the slot is free.
pub(super) const FREE: u16 = u16::MAX;
/// In a length: the name is not listed.
pub(super) const UNLISTED: u16 = 1 << 15;

/// Slots read while the lock is held.
const STEP: u32 = 1_024;
/// Bytes of peers read while the lock is held, unless one alone has more.
const PEERS_STEP_BYTES: usize = 1 << 18;
/// Bytes of the log below which no snapshot is due: they are read again in some seconds.
const LOG_BYTES_MIN: u64 = 128 << 20;
/// The log may grow to this part of the last snapshot and its segments: to read it takes a few times as long as to read
/// those, and while much is registered, so many times as much is written again as was logged.
const LOG_PART: u64 = 5;
/// Bytes of the log above which a snapshot is taken in the end: they would take a second or more to read.
const LOG_BYTES_LEFT: u64 = 16 << 20;

impl Inner {
    /// Takes a snapshot where the log has grown beside the last one.
    pub(super) fn snapshot_when_due(&self) -> bool {
        let Some(disk) = &self.disk else { return false };
        let logged = disk.logged_bytes.load(Ordering::Relaxed);
        let due = LOG_BYTES_MIN.max(disk.snapshot_bytes.load(Ordering::Relaxed) / LOG_PART);
        if logged < due || disk.log.failure().is_some() {
            return false;
        }
        if self.snapshot().is_err() {
            // The log is whole and goes on; the next try is as far off as this one was.
            disk.logged_bytes.store(0, Ordering::Relaxed);
        }
        true
    }

    /// Takes a snapshot before the engine ends, where the next start would have much of the log to read. It is not needed:
    /// where it fails, the log is whole.
    pub(super) fn snapshot_in_the_end(&self) {
        let Some(disk) = &self.disk else { return };
        let numbers = self.numbers.lock(); // one that is being taken is waited for
        let is_due = disk.logged_bytes.load(Ordering::Relaxed) > LOG_BYTES_LEFT
            || disk.snapshot_failure.lock().is_some();
        drop(numbers);
        if is_due && disk.log.failure().is_none() {
            let _ = self.snapshot();
        }
    }

    pub(super) fn snapshot(&self) -> DiskResult<()> {
        let _numbers = self.numbers.lock();
        let taken = self.take_snapshot();
        self.state.write().keeps_sizes = false;
        // One that was given up because the engine ends has not failed.
        if let Some(disk) = &self.disk
            && !self.workers.is_stopping.load(Ordering::Acquire)
        {
            *disk.snapshot_failure.lock() = taken.as_ref().err().map(ToString::to_string);
        }
        taken
    }

    fn take_snapshot(&self) -> DiskResult<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        let (first, segments) = {
            // Between two changes: what a record before `first` says is in memory.
            let _turn = self.turn.lock();
            let first = disk.log.rotate()?;
            disk.logged_bytes.store(0, Ordering::Relaxed);
            self.state.write().keeps_sizes = true;
            // And not while one segment takes the place of others: a name may be in both.
            let _replacing = self.replacing.lock();
            (first, self.state.read().text.segments.clone())
        };
        for held in &segments {
            self.go_on().map_err(DiskError::of_section("write", disk.store.path()))?;
            self.save_segment(held)?;
        }
        let file = StoreFile::Snapshot(first - 1);
        let mut writer = ContainerWriter::begin(&disk.store, file)?;
        self.save(&mut writer, &segments)
            .map_err(DiskError::of_section("write", &disk.store.path_of(file)))?;
        // A snapshot must not know of anything that the log may still lose.
        disk.log.wait(disk.last_lsn.load(Ordering::Relaxed))?;
        let bytes = writer.written_bytes();
        writer.finish()?;
        for older in disk.store.snapshots()?.into_iter().filter(|last| *last != first - 1) {
            disk.store.remove(StoreFile::Snapshot(older))?;
        }
        for id in disk.store.segments()? {
            if segments.iter().all(|held| held.id != id) {
                disk.store.remove(StoreFile::Segment(id))?;
            }
        }
        disk.snapshot_bytes.store(bytes + disk.store.segment_bytes()?, Ordering::Relaxed);
        disk.log.remove_before(first)
    }

    /// Whether the engine is not ending: a snapshot is not waited for then.
    fn go_on(&self) -> io::Result<()> {
        let is_stopping = self.workers.is_stopping.load(Ordering::Acquire);
        if is_stopping { Err(io::Error::other(DiskError::Closed)) } else { Ok(()) }
    }

    fn save_segment(&self, held: &Held) -> DiskResult<()> {
        let Some(disk) = &self.disk else { return Ok(()) };
        if disk.store.segments()?.contains(&held.id) {
            return Ok(());
        }
        disk.store.write_file(StoreFile::Segment(held.id), |mut writer| held.segment.encode(&mut writer))
    }

    fn save(&self, writer: &mut ContainerWriter, segments: &[Held]) -> io::Result<()> {
        let mut section = writer.section(SEGMENTS).map_err(io::Error::other)?;
        for held in segments {
            section.write_all(&held.id.to_le_bytes())?;
        }
        let known = self.state.read().peers.known();
        self.save_peers(&known, &mut writer.section(PEERS).map_err(io::Error::other)?)?;
        let mut section = writer.section(NAMES).map_err(io::Error::other)?;
        self.save_slots(&mut section, |state| state.names.slots(), save_name)?;
        let mut section = writer.section(CONTENTS).map_err(io::Error::other)?;
        self.save_slots(&mut section, |state| state.contents.slots(), save_content)
    }

    /// By their ids as well: the number of one that was forgotten meanwhile may be another's, who may be among them too.
    fn save_peers(&self, known: &[(PeerId, PeerKey)], section: &mut impl Write) -> io::Result<()> {
        let mut left = known;
        let mut buffer = Vec::new();
        while !left.is_empty() {
            let state = self.state.read();
            while let Some(((id, key), rest)) = left.split_first()
                && buffer.len() < PEERS_STEP_BYTES
            {
                if let Some(peer) = state.peers.get(*key).filter(|peer| peer.id == *id) {
                    save_peer(peer, &mut buffer);
                }
                left = rest;
            }
            drop(state);
            self.go_on()?;
            section.write_all(&buffer)?;
            buffer.clear();
        }
        Ok(())
    }

    fn save_slots(
        &self,
        section: &mut impl Write,
        slots: impl Fn(&State) -> u32,
        save: impl Fn(&State, u32, &mut Vec<u8>),
    ) -> io::Result<()> {
        let mut buffer = Vec::new();
        let all = slots(&self.state.read());
        for from in (0..all).step_by(STEP as usize) {
            let state = self.state.read();
            (from..all.min(from + STEP)).for_each(|slot| save(&state, slot, &mut buffer));
            drop(state);
            self.go_on()?;
            section.write_all(&buffer)?;
            buffer.clear();
        }
        Ok(())
    }
}

/// A content: whether it is in use, its hash, and what the first said of its size.
fn save_content(state: &State, slot: u32, into: &mut Vec<u8>) {
    let key = ContentKey::from(slot);
    match state.contents.get(key).filter(|content| content.is_here()) {
        Some(content) => {
            into.push(1);
            into.extend_from_slice(content.hash.as_bytes());
            into.extend_from_slice(&state.said_first(key).to_le_bytes());
        }
        None => into.push(0),
    }
}

/// A name: the length of its path and whether it is listed, its content, its time, its path.
fn save_name(state: &State, slot: u32, into: &mut Vec<u8>) {
    let key = NameKey::from(slot);
    let Some(name) = state.names.get(key).filter(|name| name.is_here()) else {
        into.extend_from_slice(&FREE.to_le_bytes());
        return;
    };
    let path = state.names.path_bytes(key);
    let len = u16::try_from(path.len()).unwrap_or_default() | if name.is_listed() { 0 } else { UNLISTED };
    into.extend_from_slice(&len.to_le_bytes());
    into.extend_from_slice(&u32::from(name.content).to_le_bytes());
    into.extend_from_slice(&name.modified.to_le_bytes());
    into.extend_from_slice(path);
}

/// A peer: its bytes in all, who it is as an announcement tells it, where it stands in its order, its files.
fn save_peer(peer: &Peer, into: &mut Vec<u8>) {
    let start = into.len();
    into.extend_from_slice(&[0; 8]);
    save_identity(peer, into);
    let manifest = &peer.manifest;
    into.extend_from_slice(&manifest.bytes.to_le_bytes());
    into.extend_from_slice(&(manifest.len() as u64).to_le_bytes());
    manifest.names.iter().for_each(|name| into.extend_from_slice(&u32::from(*name).to_le_bytes()));
    manifest.changed.iter().for_each(|changed| into.extend_from_slice(&changed.to_le_bytes()));
    let (odd, repeats) = manifest.rare.as_ref().map_or((0, 0), |rare| (rare.odd.len(), rare.repeats.len()));
    into.extend_from_slice(&(odd as u64).to_le_bytes());
    into.extend_from_slice(&(repeats as u64).to_le_bytes());
    if let Some(rare) = &manifest.rare {
        for (name, odd) in &rare.odd {
            into.extend_from_slice(&u32::from(*name).to_le_bytes());
            into.push(u8::from(odd.size.is_some()) | u8::from(odd.modified.is_some()) << 1);
            into.extend_from_slice(&odd.size.unwrap_or_default().to_le_bytes());
            into.extend_from_slice(&odd.modified.unwrap_or_default().to_le_bytes());
        }
        for (content, paths) in &rare.repeats {
            into.extend_from_slice(&u32::from(*content).to_le_bytes());
            into.extend_from_slice(&paths.to_le_bytes());
        }
    }
    let bytes = (into.len() - start - 8) as u64;
    into[start..start + 8].copy_from_slice(&bytes.to_le_bytes());
}

fn save_identity(peer: &Peer, into: &mut Vec<u8>) {
    let (epoch, next_seq, asked) = peer.order.parts();
    let what =
        Announcement { name: peer.name.clone(), doors: peer.doors, epoch, digest: peer.manifest.digest };
    let (address, has_left) = (peer.address, peer.has_left);
    let said = Record::Announce { peer: peer.id, what, address, starts_over: has_left, drops: false, asked };
    let mut record = Vec::new();
    said.encode(&mut record);
    into.extend_from_slice(&(record.len() as u64).to_le_bytes());
    into.extend_from_slice(&record);
    into.extend_from_slice(&next_seq.to_le_bytes());
    into.extend_from_slice(&peer.lsn.to_le_bytes());
}

#[cfg(test)]
mod tests;
