//! A store into memory: the newest snapshot, its segments, and the log after it.
//!
//! A snapshot is taken while things change, peer by peer, so a record of the log may be in it or not. Each peer comes with
//! the number of the last record about it, and older ones are left out; no record is about two peers. Names that no
//! segment has are made searchable again. Nobody is here yet: each peer comes back with its next heartbeat.
//!
//! Invariants: every number read from a file is looked at before it is used, though its checksum was right: what does not
//! fit together is named as damage.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use peerage_wire::api::Change;
use peerage_wire::{ContentHash, SharePath};

use super::arena::{ContentKey, NameKey, PeerKey};
use super::disk::{
    Container, Damaged, DiskError, DiskResult, Log, Record, Replayed, SectionReader, StoreDir, StoreFile,
    replay,
};
use super::leases::Order;
use super::manifest::{Manifest, Odd, Rare};
use super::names::Names;
use super::peers::Peer;
use super::segments::Segment;
use super::snapshot::{CONTENTS, FREE, NAMES, PEERS, SEGMENTS, UNLISTED};
use super::state::{Held, State};
use super::{Disk, Inner, batch};
use crate::{Checked, Options, Phase};

/// Bytes between two reports of progress.
const PROGRESS_BYTES: u64 = 64 << 20;

/// What was read of a store.
struct Opened {
    store: StoreDir,
    inner: Inner,
    replayed: Replayed,
    checked: Checked,
}

/// Reads a store and goes on with its log.
pub(super) fn open(dir: &Path, options: &Options, progress: &dyn Fn(Phase)) -> DiskResult<Inner> {
    open_store(StoreDir::open(dir)?, options, progress)
}

pub(super) fn open_store(store: StoreDir, options: &Options, progress: &dyn Fn(Phase)) -> DiskResult<Inner> {
    let Opened { store, mut inner, replayed, checked } = read(store, options, progress)?;
    let log = Log::open(store.clone(), replayed.next)?;
    inner.disk = Some(Disk {
        store,
        log,
        logged_bytes: AtomicU64::new(checked.log_bytes),
        snapshot_bytes: AtomicU64::new(checked.snapshot_bytes),
        last_lsn: AtomicU64::new(replayed.next - 1),
    });
    Ok(inner)
}

/// Reads a store and proves that what it holds fits together.
pub(super) fn check(dir: &Path) -> DiskResult<Checked> {
    let Opened { store, inner, checked, .. } = read(StoreDir::open(dir)?, &Options::default(), &|_| {})?;
    inner.state.read().prove(store.path())?;
    Ok(checked)
}

fn read(store: StoreDir, options: &Options, progress: &dyn Fn(Phase)) -> DiskResult<Opened> {
    let mut checked = Checked::default();
    let (mut state, mut last) = (State::default(), 0);
    if let Some(snapshot) = store.snapshots()?.last().copied() {
        let mut reader = SnapshotReader::open(&store, snapshot, progress)?;
        reader.read(&mut state)?;
        (last, checked.snapshot_bytes) = (snapshot, reader.done_bytes);
    }
    // Also where no snapshot is: one that was not ended may have left segments, whose numbers mean others.
    let next_segment = store.segments()?.last().map_or(1, |last| last + 1);
    let inner = Inner::new(state, None, options);
    inner.next_segment.store(next_segment, Ordering::Relaxed);
    inner.list_what_is_in_no_segment();
    let total_bytes = store.log_bytes()?;
    progress(Phase::Replaying { done_bytes: 0, total_bytes });
    let (mut done_bytes, mut told) = (0, 0);
    let replayed = replay(&store, last, |lsn, bytes, record| {
        checked.log_records += 1;
        done_bytes += bytes as u64;
        inner.replay(lsn, record);
        if done_bytes - told > PROGRESS_BYTES {
            told = done_bytes;
            progress(Phase::Replaying { done_bytes: done_bytes.min(total_bytes), total_bytes });
        }
    })?;
    checked.torn_bytes = replayed.cut.as_ref().map_or(0, |cut| cut.bytes);
    checked.log_bytes = total_bytes;
    let mut state = inner.state.write();
    for key in state.peers.keys() {
        let files = state.peers.get(key).map_or(0, |peer| peer.manifest.len() as u64);
        state.peers.away.leave(key, files);
    }
    state.count_the_dead();
    checked.peers = state.peers.len() as u64;
    checked.files = state.known_files;
    (checked.contents, checked.names) = state.numbers_in_use();
    drop(state);
    Ok(Opened { store, inner, replayed, checked })
}

impl Inner {
    /// Carries out a record that was carried out before.
    fn replay(&self, lsn: u64, record: Record) {
        let (id, key) = {
            let state = self.state.read();
            let id = record.peer();
            let key = state.peers.key(id);
            let is_known = key.and_then(|key| state.peers.get(key)).is_some_and(|peer| peer.lsn >= lsn);
            if is_known {
                return;
            }
            (id, key)
        };
        match (record, key) {
            (Record::Announce { what, address, starts_over, drops, asked, .. }, _) => {
                self.settle_announcement(id, &what, address, (starts_over, drops, asked), lsn);
            }
            (Record::Batch { order, changes, .. }, Some(key)) => {
                self.replay_batch(key, changes, (order.epoch, order.seq.saturating_add(1)), lsn);
            }
            (Record::Quit { .. }, Some(key)) => {
                if let Some(peer) = self.state.write().peers.get_mut(key) {
                    (peer.has_left, peer.lsn) = (true, lsn);
                }
            }
            (Record::Forget { .. }, Some(key)) => self.forget(key),
            // What was forgotten before the snapshot came to it.
            (_, None) => {}
        }
    }

    fn replay_batch(&self, key: PeerKey, changes: Vec<Change>, next: (u64, u64), lsn: u64) {
        let mut drafts = batch::drafts(changes);
        let state = self.state.read();
        drafts.iter_mut().for_each(|draft| draft.look_up(&state));
        let Some(peer) = state.peers.get(key) else { return };
        let plan = batch::plan(&state, &peer.manifest, drafts);
        drop(state);
        self.carry_out(key, &plan, next, lsn);
        self.flush_when_crowded();
    }

    fn list_what_is_in_no_segment(&self) {
        let mut state = self.state.write();
        let mut covered = vec![0_u64; state.names.slots() as usize / 64 + 1];
        for held in &state.text.segments {
            for name in held.segment.names() {
                covered[*name as usize / 64] |= 1 << (name % 64);
            }
        }
        for slot in 0..state.names.slots() {
            let key = NameKey::from(slot);
            let is_covered = covered[slot as usize / 64] >> (slot % 64) & 1 == 1;
            let Some(name) = state.names.get_mut(key).filter(|name| name.is_here()) else { continue };
            if is_covered || !name.is_listed() {
                if !name.is_listed() && name.known() == 0 {
                    state.text.limbo.push(key);
                }
                continue;
            }
            if name.known() > 0 {
                state.list_again(key);
            } else {
                name.set_in_text(false);
                state.text.limbo.push(key);
            }
            if state.text.frozen.len() > 1 {
                drop(state);
                self.flush_when_crowded();
                state = self.state.write();
            }
        }
    }
}

/// Reads one snapshot.
struct SnapshotReader<'a> {
    store: &'a StoreDir,
    container: Container,
    path: PathBuf,
    progress: &'a dyn Fn(Phase),
    done_bytes: u64,
    told_bytes: u64,
    total_bytes: u64,
}

/// A section, read in order.
struct Section<'a, 'b> {
    reader: SectionReader,
    snapshot: &'b mut SnapshotReader<'a>,
}

impl<'a> SnapshotReader<'a> {
    fn open(store: &'a StoreDir, last: u64, progress: &'a dyn Fn(Phase)) -> DiskResult<Self> {
        let file = StoreFile::Snapshot(last);
        let container = Container::open(store, file)?;
        let total_bytes = store.bytes_of(file)? + store.segment_bytes()?;
        progress(Phase::Reading { done_bytes: 0, total_bytes });
        let path = store.path_of(file);
        Ok(Self { store, container, path, progress, done_bytes: 0, told_bytes: 0, total_bytes })
    }

    fn read(&mut self, state: &mut State) -> DiskResult<()> {
        self.read_contents(state)?;
        self.read_names(state)?;
        self.read_peers(state)?;
        self.read_segments(state)
    }

    fn section<'b>(&'b mut self, name: &str) -> DiskResult<Section<'a, 'b>> {
        Ok(Section { reader: self.container.section(name)?, snapshot: self })
    }

    fn damaged(&self, what: &'static str) -> DiskError {
        Damaged(what).at(&self.path, 0)
    }

    fn count(&mut self, bytes: u64) {
        self.done_bytes += bytes;
        if self.done_bytes - self.told_bytes > PROGRESS_BYTES {
            self.told_bytes = self.done_bytes;
            (self.progress)(Phase::Reading { done_bytes: self.done_bytes, total_bytes: self.total_bytes });
        }
    }

    fn read_contents(&mut self, state: &mut State) -> DiskResult<()> {
        let mut section = self.section(CONTENTS)?;
        while !section.is_over() {
            let in_use = match section.array::<1>()? {
                [1] => {
                    let hash = ContentHash::from_bytes(section.array()?);
                    Some((hash, u64::from_le_bytes(section.array()?)))
                }
                _ => None,
            };
            state.contents.restore(in_use);
        }
        Ok(())
    }

    fn read_names(&mut self, state: &mut State) -> DiskResult<()> {
        let mut section = self.section(NAMES)?;
        let mut path = Vec::new();
        while !section.is_over() {
            let len = u16::from_le_bytes(section.array()?);
            if len == FREE {
                state.names.restore(None);
                continue;
            }
            let key = ContentKey::from(u32::from_le_bytes(section.array()?));
            let modified = u32::from_le_bytes(section.array()?);
            path.resize(usize::from(len & !UNLISTED), 0);
            section.fill(&mut path)?;
            let content = state.contents.get_mut(key).filter(|content| content.is_here());
            let (Some(content), Ok(path)) = (content, std::str::from_utf8(&path)) else {
                return Err(section.snapshot.damaged("a name does not fit its content"));
            };
            state.names.restore(Some((key, content, path, len & UNLISTED == 0, modified)));
        }
        Ok(())
    }

    fn read_peers(&mut self, state: &mut State) -> DiskResult<()> {
        let mut section = self.section(PEERS)?;
        let mut bytes = Vec::new();
        while !section.is_over() {
            let len = u64::from_le_bytes(section.array()?);
            let len = usize::try_from(len).ok().filter(|len| *len as u64 <= section.reader.left());
            let Some(len) = len else {
                return Err(section.snapshot.damaged("a peer is longer than its file"));
            };
            bytes.resize(len, 0);
            section.fill(&mut bytes)?;
            let Some(peer) = peer_of(&bytes, &state.names) else {
                return Err(section.snapshot.damaged("a peer can't be read"));
            };
            if state.peers.key(peer.id).is_some() {
                return Err(section.snapshot.damaged("a peer is in it twice"));
            }
            state.restore_peer(peer);
        }
        Ok(())
    }

    fn read_segments(&mut self, state: &mut State) -> DiskResult<()> {
        let mut ids = Vec::new();
        let mut section = self.section(SEGMENTS)?;
        while !section.is_over() {
            ids.push(u64::from_le_bytes(section.array()?));
        }
        for id in ids {
            let file = StoreFile::Segment(id);
            let bytes = self.store.read_file(file)?;
            let damaged = |_| Damaged("it is no part of a text index").at(&self.store.path_of(file), 0);
            let segment = Segment::decode(&bytes).map_err(damaged)?;
            if segment.names().iter().any(|name| *name >= state.names.slots()) {
                return Err(
                    Damaged("it has names that the snapshot has not").at(&self.store.path_of(file), 0)
                );
            }
            self.count(bytes.len() as u64);
            state.text.segments.push(Held { id, segment: segment.into() });
        }
        Ok(())
    }
}

impl Section<'_, '_> {
    fn is_over(&self) -> bool {
        self.reader.left() == 0
    }

    fn array<const N: usize>(&mut self) -> DiskResult<[u8; N]> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    fn fill(&mut self, bytes: &mut [u8]) -> DiskResult<()> {
        let read = self.reader.read_exact(bytes);
        read.map_err(|_| self.reader.error(Damaged("it ends too early")))?;
        self.snapshot.count(bytes.len() as u64);
        Ok(())
    }
}

/// Bytes of a peer, read from the front.
struct Cut<'a>(&'a [u8]);

impl<'a> Cut<'a> {
    fn take(&mut self, len: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(len)?;
        self.0 = rest;
        Some(taken)
    }

    fn array<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.take(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things of so many bytes, which must be there.
    fn count(&mut self, bytes_each: usize) -> Option<usize> {
        let count = usize::try_from(self.number()?).ok()?;
        (count.checked_mul(bytes_each)? <= self.0.len()).then_some(count)
    }

    fn words(&mut self, count: usize) -> Option<impl Iterator<Item = u32> + use<'a>> {
        let (words, _) = self.take(count * 4)?.as_chunks::<4>();
        Some(words.iter().map(|word| u32::from_le_bytes(*word)))
    }
}

/// A peer as a snapshot has it; `None` where that does not fit the names.
fn peer_of(bytes: &[u8], names: &Names) -> Option<Peer> {
    let mut cut = Cut(bytes);
    let len = cut.count(1)?;
    let Ok(Record::Announce { peer: id, what, address, starts_over: has_left, asked, .. }) =
        Record::decode(cut.take(len)?)
    else {
        return None;
    };
    let (next_seq, lsn) = (cut.number()?, cut.number()?);
    let mut manifest =
        Manifest { digest: what.digest, bytes: u128::from_le_bytes(cut.array()?), ..Manifest::default() };
    let files = cut.count(8)?;
    manifest.names = cut.words(files)?.map(NameKey::from).collect();
    manifest.changed = cut.words(files)?.collect();
    if manifest.names.iter().any(|name| !names.get(*name).is_some_and(super::names::Name::is_here)) {
        return None;
    }
    let (odd, repeats) = (cut.count(0)?, cut.count(0)?);
    let mut rare = Rare::default();
    for _ in 0..odd {
        let name = NameKey::from(u32::from_le_bytes(cut.array()?));
        let [flags] = cut.array()?;
        let (size, modified) = (cut.number()?, i64::from_le_bytes(cut.array()?));
        let odd =
            Odd { size: (flags & 1 != 0).then_some(size), modified: (flags & 2 != 0).then_some(modified) };
        rare.odd.insert(name, odd);
    }
    for _ in 0..repeats {
        let content = ContentKey::from(u32::from_le_bytes(cut.array()?));
        rare.repeats.insert(content, u32::from_le_bytes(cut.array()?));
    }
    manifest.rare = (odd + repeats > 0).then(|| Box::new(rare));
    let order = Order::restored(what.epoch, next_seq, asked);
    Some(Peer { id, name: what.name, address, doors: what.doors, order, manifest, lsn, has_left })
}

impl State {
    /// Takes a peer in that is not here, with its files.
    fn restore_peer(&mut self, peer: Peer) {
        let manifest = peer.manifest.clone();
        let key = self.peers.insert(peer);
        let mut seen = hashbrown::HashSet::new();
        for name in &manifest.names {
            let Some(slot) = self.names.get_mut(*name) else { continue };
            slot.count_known(true);
            let content_key = slot.content;
            let is_counted = manifest.repeats(content_key).is_some() && !seen.insert(content_key);
            let odd = manifest.odd(*name);
            if let Some(size) = odd.size {
                let first = self.said_first(content_key);
                self.claims.add(content_key, first, key, size);
            }
            if let Some(content) = self.contents.get_mut(content_key) {
                content.set_disputed(content.is_disputed() || odd.size.is_some());
                if !is_counted {
                    self.sources.push(&mut content.sources, key);
                }
            }
        }
        self.known_files += manifest.len() as u64;
    }

    /// Counts the listed names that nobody knows, as the changes that made them so would have.
    fn count_the_dead(&mut self) {
        let names = (0..self.names.slots()).filter_map(|slot| self.names.get(NameKey::from(slot)));
        let is_dead = |name: &&super::names::Name| {
            name.is_here() && name.is_listed() && name.is_in_text() && name.known() == 0
        };
        self.text.dead = names.filter(is_dead).count() as u64;
    }

    /// Contents and names in use.
    fn numbers_in_use(&self) -> (u64, u64) {
        let contents = (0..self.contents.slots()).filter(|slot| {
            self.contents.get(ContentKey::from(*slot)).is_some_and(|content| content.sources.len() > 0)
        });
        let names = (0..self.names.slots()).filter(|slot| {
            self.names.get(NameKey::from(*slot)).is_some_and(|name| name.is_here() && name.known() > 0)
        });
        (contents.count() as u64, names.count() as u64)
    }

    /// Proves that the files of every peer are in order, that its digest is theirs, and that the text index has every
    /// name that it ought to, once.
    pub(super) fn prove(&self, store: &Path) -> DiskResult<()> {
        self.prove_text(store)?;
        for key in self.peers.keys() {
            let Some(peer) = self.peers.get(key) else { continue };
            let manifest = &peer.manifest;
            let mut digest = peerage_wire::ShareDigest::default();
            let (mut bytes, mut before): (u128, Option<SharePath>) = (0, None);
            for at in 0..manifest.len() {
                let file = self.file_of(manifest, at);
                let Some(file) = file.filter(|file| before.as_ref() < Some(&file.path)) else {
                    return Err(Damaged("a peer's files are out of order").at(store, 0));
                };
                digest.add(&file);
                bytes += u128::from(file.size);
                before = Some(file.path);
            }
            if digest != manifest.digest || bytes != manifest.bytes {
                return Err(Damaged("a peer's files are not those of its digest").at(store, 0));
            }
        }
        Ok(())
    }

    fn prove_text(&self, store: &Path) -> DiskResult<()> {
        let text = &self.text;
        let memtables = text.frozen.iter().map(AsRef::as_ref).chain([&text.memtable]);
        let in_memory = memtables.map(|memtable| (memtable.names(), memtable.contents()));
        let in_segments = text.segments.iter().map(|held| (held.segment.names(), held.segment.contents()));
        let mut has = vec![false; self.names.slots() as usize];
        for (names, contents) in in_memory.chain(in_segments) {
            for (number, content) in names.iter().zip(contents) {
                let name = self.names.get(NameKey::from(*number)).filter(|name| name.is_here());
                if name.is_none_or(|name| u32::from(name.content) != *content) {
                    return Err(Damaged("the text index has a name that is not there").at(store, 0));
                }
                if has.get_mut(*number as usize).is_none_or(|has| std::mem::replace(has, true)) {
                    return Err(Damaged("the text index has a name twice").at(store, 0));
                }
            }
        }
        for (slot, has) in (0..self.names.slots()).zip(has) {
            let name = self.names.get(NameKey::from(slot));
            let is_due = name.is_some_and(|name| name.is_here() && name.is_listed() && name.known() > 0);
            if is_due && !has {
                return Err(Damaged("the text index lacks a name").at(store, 0));
            }
        }
        Ok(())
    }
}
