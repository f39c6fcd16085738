//! The embedded engine: every registration in this process's memory, and on its disk where it has a store.
//!
//! - `registry`: what peers tell, over `batch` (how a batch is carried out), `peers` (who), `leases` (until when, in which
//!   order), `manifest` (what each has) and `away` (what is remembered of those that left);
//! - `state`: what all of that comes to: `contents`, `names` (over `paths`), `sources` (who has what), `claims` (sizes);
//! - `segments`: the words of names, and which names a query may mean;
//! - `search` (over `filter`) and `listing`: the answers;
//! - `background`: segments made and merged, memory given back, snapshots taken, while all else goes on;
//! - `disk`: files; `snapshot` and `recovery` (over `restore` and `link`): the state into them and out of them.
//!
//! Architecture invariants: one change at a time (`turn`), in small steps under the lock of the state, so that a search
//! waits for a step and never for a whole change, a flush, a merge or a snapshot. A batch that is acknowledged is on disk.

mod registry;

mod away;
mod batch;
mod leases;
mod manifest;
mod peers;

mod state;

mod claims;
mod contents;
mod names;
mod paths;
mod sources;

mod segments;

mod filter;
mod listing;
mod search;

mod background;

mod disk;
mod link;
mod recovery;
mod restore;
mod snapshot;

mod arena;
mod chunked;

#[cfg(test)]
mod faults;

#[cfg(any(test, feature = "fuzzing"))]
pub(crate) use disk::fuzzing;

use std::hint::spin_loop;
use std::net::IpAddr;
use std::ops::Range;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Mutex, RwLock, RwLockReadGuard, RwLockWriteGuard};
use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, Change, FileRow, Heartbeat, HeartbeatReply, Hit,
    ListParams, Memory, Page, PeerRow, SearchParams, Stats,
};
use peerage_wire::{ContentHash, PeerId, limits};

use crate::engine::Engine;
use crate::{Checked, Error, Moment, Options, Phase, Result};
use background::Workers;
use disk::{DiskError, Log, Record, StoreDir};
use state::State;

/// How far apart two answers begin in the list of a content's sources: as many as one tells.
const SOURCES_APART: u32 = 64;

/// How long a search waits awake for a step to be over, and a change after a step for those that do.
const AWAKE: Duration = Duration::from_micros(60);
const LET_IN: Duration = Duration::from_micros(2);
/// How many times a few parts of a change are made while the lock is held, where no search is seen to wait: some tenths of a
/// millisecond.
const FEW_AT_ONCE: usize = 4;

/// The engine.
#[derive(Debug)]
pub(crate) struct Embedded {
    inner: Arc<Inner>,
}

/// What the engine's threads share.
#[derive(Debug)]
struct Inner {
    state: RwLock<State>,
    /// Held by whoever changes files.
    turn: Mutex<()>,
    /// Searches that wait for the state awake.
    awake: AtomicUsize,
    /// Held while a snapshot is taken, and while memory is given back: a snapshot's numbers must go on to mean the same.
    numbers: Mutex<()>,
    /// Held while a segment takes the place of what it was made from.
    replacing: Mutex<()>,
    disk: Option<Disk>,
    workers: Workers,
    next_segment: AtomicU64,
    memory_max_bytes: Option<u64>,
    peer_files_max: u64,
    /// Chooses among the sources of a content that has more than are told.
    turns: AtomicU32,
}

/// The store of an engine that has one.
#[derive(Debug)]
struct Disk {
    store: StoreDir,
    log: Log,
    /// Bytes logged since the last snapshot.
    logged_bytes: AtomicU64,
    /// Bytes of the last snapshot and its segments.
    snapshot_bytes: AtomicU64,
    /// The last record that was logged.
    last_lsn: AtomicU64,
    /// Why the last snapshot failed, where it did.
    snapshot_failure: Mutex<Option<String>>,
}

impl Inner {
    fn new(mut state: State, disk: Option<Disk>, options: &Options) -> Self {
        state.memtable_names = options.memtable_names.unwrap_or(state::MEMTABLE_NAMES);
        state.dead_names_max = 2 * state.memtable_names;
        Self {
            state: RwLock::new(state),
            turn: Mutex::default(),
            awake: AtomicUsize::new(0),
            numbers: Mutex::default(),
            replacing: Mutex::default(),
            disk,
            workers: Workers::default(),
            next_segment: AtomicU64::new(1),
            memory_max_bytes: options.memory_max_bytes,
            peer_files_max: limits::PEER_FILES_MAX,
            turns: AtomicU32::new(0),
        }
    }

    /// One small step of a change; whoever waits for the lock has it next.
    fn step<T>(&self, act: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.write();
        let done = act(&mut state);
        RwLockWriteGuard::unlock_fair(state);
        if self.awake.load(Ordering::Relaxed) > 0 {
            let released = Instant::now();
            while self.awake.load(Ordering::Relaxed) > 0 && released.elapsed() < LET_IN {
                spin_loop();
            }
        }
        done
    }

    /// A change in as many steps as it takes, each of a few parts, or some times as many where no search waits for it awake: since
    /// beside searches that follow each other a change has the lock once a search, of small steps few would be made.
    fn in_steps(&self, parts: usize, few: usize, mut act: impl FnMut(&mut State, Range<usize>)) {
        let mut from = 0;
        while from < parts {
            self.step(|state| {
                let most = parts.min(from + FEW_AT_ONCE * few);
                while from < most {
                    let to = most.min(from + few);
                    act(state, from..to);
                    from = to;
                    if self.awake.load(Ordering::Relaxed) > 0 {
                        break;
                    }
                }
            });
        }
    }

    /// The state as a search reads it: it waits for a step awake, since that is over sooner than to be woken takes.
    fn reading(&self) -> RwLockReadGuard<'_, State> {
        if let Some(state) = self.state.try_read() {
            return state;
        }
        self.awake.fetch_add(1, Ordering::Relaxed);
        let started = Instant::now();
        let mut state = None;
        while state.is_none() && started.elapsed() < AWAKE {
            spin_loop();
            state = self.state.try_read();
        }
        self.awake.fetch_sub(1, Ordering::Relaxed);
        state.unwrap_or_else(|| self.state.read())
    }

    fn log(&self, record: &Record) -> Result<u64> {
        let mut bytes = Vec::new();
        if self.disk.is_some() {
            record.encode(&mut bytes);
        }
        self.log_bytes(&bytes)
    }

    /// Puts a record into the log and gives its number; 0 without a store.
    fn log_bytes(&self, record: &[u8]) -> Result<u64> {
        match &self.disk {
            Some(disk) => {
                disk.logged_bytes.fetch_add(record.len() as u64, Ordering::Relaxed);
                let lsn = disk.log.append(record)?;
                disk.last_lsn.fetch_max(lsn, Ordering::Relaxed);
                Ok(lsn)
            }
            None => Ok(0),
        }
    }

    /// Returns when a record is on the disk.
    fn until_durable(&self, lsn: u64) -> Result<()> {
        match &self.disk {
            Some(disk) => disk.log.wait(lsn).map_err(Error::from),
            None => Ok(()),
        }
    }
}

impl Embedded {
    /// An empty engine without a store.
    pub(crate) fn in_memory(options: &Options) -> Self {
        Self { inner: Arc::new(Inner::new(State::default(), None, options)) }
    }

    /// An engine with what its store holds.
    pub(crate) fn open(dir: &Path, options: &Options, progress: &dyn Fn(Phase)) -> Result<Self> {
        let inner = Arc::new(recovery::open(dir, options, progress)?);
        background::start(&inner);
        Ok(Self { inner })
    }

    /// Reads a store whole and proves that it fits together.
    pub(crate) fn check(dir: &Path) -> Result<Checked> {
        Ok(recovery::check(dir)?)
    }
}

impl Default for Embedded {
    fn default() -> Self {
        Self::in_memory(&Options::default())
    }
}

impl Drop for Embedded {
    fn drop(&mut self) {
        self.inner.workers.stop();
    }
}

impl From<DiskError> for Error {
    fn from(error: DiskError) -> Self {
        const LOOK: &str = "look after the disk, then start the index again";
        use DiskError::{Damaged, Gone, Missing, NotAStore};
        let is_damaged = matches!(error, Damaged { .. } | Missing { .. } | Gone { .. } | NotAStore { .. });
        let text = error.to_string();
        let (message, hint) = text.split_once("\nhint: ").unwrap_or((&text, LOOK));
        Self::Store { message: message.into(), hint: hint.into(), is_damaged }
    }
}

impl Engine for Embedded {
    fn announce(&self, peer: PeerId, what: &Announcement, seen_ip: IpAddr, now: Moment) -> Result<Announced> {
        self.inner.announce(peer, what, seen_ip, now)
    }

    fn apply(&self, peer: PeerId, order: BatchOrder, changes: Vec<Change>) -> Result<Applied> {
        let applied = self.inner.apply(peer, order, changes);
        background::start_when_needed(&self.inner);
        applied
    }

    fn heartbeat(&self, peer: PeerId, beat: Heartbeat, now: Moment) -> Result<HeartbeatReply> {
        self.inner.heartbeat(peer, beat, now)
    }

    fn heartbeat_now(&self, peer: PeerId, beat: Heartbeat, now: Moment) -> Option<Result<HeartbeatReply>> {
        self.inner.heartbeat_now(peer, beat, now)
    }

    fn quit(&self, peer: PeerId) -> Result<()> {
        self.inner.quit(peer)
    }

    fn expire(&self, now: Moment) -> Result<Vec<PeerId>> {
        self.inner.expire(now)
    }

    fn search(&self, params: &SearchParams) -> Result<Page<Hit>> {
        self.inner.reading().search(params)
    }

    fn files(&self, params: &ListParams) -> Result<Page<FileRow>> {
        self.inner.state.read().files(params)
    }

    fn peers(&self, params: &ListParams) -> Result<Page<PeerRow>> {
        self.inner.state.read().list_peers(params)
    }

    fn peer(&self, peer: PeerId) -> Result<Option<PeerRow>> {
        Ok(self.inner.state.read().peer(peer))
    }

    fn content(&self, hash: ContentHash) -> Result<Option<Hit>> {
        let turn = self.inner.turns.fetch_add(SOURCES_APART, Ordering::Relaxed);
        Ok(self.inner.state.read().content(hash, turn))
    }

    fn stats(&self) -> Result<Stats> {
        let stats = self.inner.state.read().stats();
        let max_bytes = self.inner.memory_max_bytes;
        let used = stats.memory.total_bytes;
        let room_files = max_bytes.filter(|_| stats.files > 0).map(|max| {
            // As many registrations more as there are now take as much again.
            let more =
                u128::from(max.saturating_sub(used)) * u128::from(stats.files) / u128::from(used.max(1));
            u64::try_from(more).unwrap_or(u64::MAX)
        });
        Ok(Stats { memory: Memory { max_bytes, room_files, ..stats.memory }, ..stats })
    }

    fn settle(&self) -> Result<()> {
        self.inner.settle();
        Ok(())
    }

    fn snapshot(&self) -> Result<()> {
        Ok(self.inner.snapshot()?)
    }

    fn close(&self) -> Result<()> {
        self.inner.snapshot_in_the_end();
        self.inner.workers.stop();
        match &self.inner.disk {
            Some(disk) => disk.log.close().map_err(Error::from),
            None => Ok(()),
        }
    }

    fn snapshot_failure(&self) -> Option<String> {
        self.inner.disk.as_ref().and_then(|disk| disk.snapshot_failure.lock().clone())
    }

    fn failure(&self) -> Option<String> {
        self.inner.disk.as_ref().and_then(|disk| disk.log.failure())
    }
}
