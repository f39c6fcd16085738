//! A store into memory: the newest snapshot with its segments (`restore`), and the log after it.
//!
//! A snapshot is taken while things change, peer by peer, so a record of the log may be in it or not. Each peer comes with
//! the number of the last record about it, and older ones are left out; no record is about two peers. Names that no
//! segment has are made searchable again. Nobody is here yet: each peer comes back with its next heartbeat.

use std::mem;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;
use std::thread;

use parking_lot::Mutex;
use peerage_wire::SharePath;

use super::arena::{ContentKey, NameKey};
use super::batch::Draft;
use super::disk::{Damaged, DiskResult, Log, Record, Replayed, StoreDir, replay};
use super::restore::{PROGRESS_BYTES, join, restore};
use super::state::State;
use super::{Disk, Inner, batch};
use crate::{Checked, Options, Phase};

/// Records read before they are carried out.
const RECORDS_AHEAD: usize = 8;

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
        snapshot_failure: Mutex::default(),
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
        last = snapshot;
        (state, checked.snapshot_bytes) = restore(&store, snapshot, progress)?;
    }
    // Also where no snapshot is: one that was not ended may have left segments, whose numbers mean others.
    let next_segment = store.segments()?.last().map_or(1, |last| last + 1);
    let inner = Inner::new(state, None, options);
    inner.next_segment.store(next_segment, Ordering::Relaxed);
    inner.list_what_is_in_no_segment();
    checked.log_bytes = store.log_bytes()?;
    let replayed = inner.flush_beside(|| inner.replay_all(&store, last, &mut checked, progress))?;
    checked.torn_bytes = replayed.cut.as_ref().map_or(0, |cut| cut.bytes);
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

/// A record that was read, and what can be done of it before those that were read earlier are carried out.
struct Ahead {
    lsn: u64,
    bytes: usize,
    record: Record,
    drafts: Vec<Draft>,
}

impl Inner {
    /// Carries the log out again. Another thread reads ahead.
    fn replay_all(
        &self,
        store: &StoreDir,
        last: u64,
        checked: &mut Checked,
        progress: &dyn Fn(Phase),
    ) -> DiskResult<Replayed> {
        let total_bytes = checked.log_bytes;
        progress(Phase::Replaying { done_bytes: 0, total_bytes });
        let (mut done_bytes, mut told) = (0, 0);
        let (send, records) = mpsc::sync_channel(RECORDS_AHEAD);
        thread::scope(|scope| {
            let read = scope.spawn(move || {
                replay(store, last, |lsn, bytes, record| {
                    let _ = send.send(self.ahead(lsn, bytes, record)); // it is received as long as this thread sends
                })
            });
            for ahead in records {
                checked.log_records += 1;
                done_bytes += ahead.bytes as u64;
                self.replay(ahead);
                if done_bytes - told > PROGRESS_BYTES {
                    told = done_bytes;
                    progress(Phase::Replaying { done_bytes: done_bytes.min(total_bytes), total_bytes });
                }
            }
            join(read)
        })
    }

    fn ahead(&self, lsn: u64, bytes: usize, mut record: Record) -> Ahead {
        let mut drafts = Vec::new();
        if let Record::Batch { changes, .. } = &mut record {
            drafts = batch::drafts(mem::take(changes));
            self.look_ahead(&mut drafts);
        }
        Ahead { lsn, bytes, record, drafts }
    }

    /// Carries out a record that was carried out before.
    fn replay(&self, Ahead { lsn, record, drafts, .. }: Ahead) {
        let id = record.peer();
        let key = {
            let state = self.state.read();
            let key = state.peers.key(id);
            let is_known = key.and_then(|key| state.peers.get(key)).is_some_and(|peer| peer.lsn >= lsn);
            if is_known {
                return;
            }
            key
        };
        match (record, key) {
            (Record::Announce { what, address, starts_over, drops, asked, .. }, _) => {
                self.settle_announcement(id, &what, address, (starts_over, drops, asked), (lsn, None));
            }
            (Record::Batch { order, .. }, Some(key)) => {
                let state = self.state.read();
                let Some(peer) = state.peers.get(key) else { return };
                let plan = batch::plan(&state, &peer.manifest, drafts);
                drop(state);
                self.carry_out(key, &plan, (order.epoch, order.seq.saturating_add(1)), lsn);
                self.wait_for_room();
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

impl State {
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

    /// Proves that the files of every peer are in order, their paths such as can be shared, that its digest is theirs, and that the
    /// text index has every name that it ought to, once.
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
                if SharePath::parse(file.path.as_str()).as_ref() != Ok(&file.path) {
                    return Err(Damaged("a file's path is none that can be shared").at(store, 0));
                }
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
        let in_memory = text.memtables().map(|memtable| (memtable.names(), memtable.contents()));
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
