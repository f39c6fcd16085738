//! Work that goes on beside everything else: full memtables become segments, segments are merged, the memory of forgotten
//! names is given back, snapshots are taken.
//!
//! Two threads: one flushes and makes small merges, so that a large merge on the other never keeps new names waiting.
//! Each works on things that do not change, takes the lock in small steps to read how names stand, and once for a moment
//! to put the result in the place of what it was made from. What changes meanwhile is told to the result before that.
//!
//! Invariants: a segment that is being merged is reserved, and in use until its successor is. Work that was not ended
//! when the engine stops is thrown away: nothing was changed by it.

use std::collections::HashSet;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::Inner;
use super::arena::{ContentKey, NameKey};
use super::segments::{Memtable, Segment, Standing};
use super::state::{Held, State};

/// Names looked at while the lock is held: a change that waits for it makes searches wait as well.
const STEP: usize = 512;
/// Contents told to a new segment, or names taken from the text, while the lock is held: several times as many as a peer
/// that leaves or returns changes in one step, so that what is told catches up with what changes.
const CATCH_UP_STEP: usize = 4_096;
/// Steps in which names are buried before the next batch has its turn.
const BURY_STEPS: usize = 8;
/// How much less of a contested processor these threads get than those that answer, as `nice` counts it: about a quarter.
/// Where they can't keep up with new names, registrations wait for them (see [`FROZEN_MAX`]).
#[cfg(target_os = "linux")]
const NICENESS: i32 = 5;
/// Segments of about one size that are merged into one.
const FAN_IN: usize = 4;
/// Names of a segment above which it is not merged any more: what a merge needs beside it stays below some gigabytes.
const SEGMENT_NAMES_MAX: usize = 64 << 20;
/// Names up to which a merge is small: done within a second or so.
const SMALL_MERGE_NAMES: usize = 1 << 20;
/// Full memtables above which new names wait for a flush.
const FROZEN_MAX: usize = 8;
/// How long an idle worker sleeps before it looks by itself.
const IDLE: Duration = Duration::from_secs(1);

/// The threads and how they are told.
#[derive(Debug, Default)]
pub(super) struct Workers {
    threads: Mutex<Vec<JoinHandle<()>>>,
    pub(super) is_stopping: AtomicBool,
    reserved: Mutex<HashSet<u64>>,
    lock: Mutex<()>,
    /// There is work.
    work: Condvar,
    /// Some work is done.
    done: Condvar,
    has_started: AtomicBool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Worker {
    /// Flushes and small merges.
    Quick,
    /// All else.
    Thorough,
}

/// Starts the threads.
pub(super) fn start(inner: &Arc<Inner>) {
    let workers = &inner.workers;
    if workers.has_started.swap(true, Ordering::AcqRel) {
        return;
    }
    let mut threads = workers.threads.lock();
    for (worker, name) in [(Worker::Quick, "index-flush"), (Worker::Thorough, "index-merge")] {
        let inner = Arc::downgrade(inner);
        if let Ok(thread) = thread::Builder::new().name(name.into()).spawn(move || run(&inner, worker)) {
            threads.push(thread);
        }
    }
}

/// Starts the threads of an engine that has something for them to do; a small one without a store never needs them.
pub(super) fn start_when_needed(inner: &Arc<Inner>) {
    if !inner.workers.has_started.load(Ordering::Acquire) && !inner.state.read().text.frozen.is_empty() {
        start(inner);
    }
}

fn run(inner: &Weak<Inner>, worker: Worker) {
    // Elsewhere it would be the whole process that gives way.
    #[cfg(target_os = "linux")]
    let _ = rustix::process::nice(NICENESS);
    loop {
        let Some(inner) = inner.upgrade() else { return };
        if inner.workers.is_stopping.load(Ordering::Acquire) {
            return;
        }
        if !inner.work(worker) {
            let mut lock = inner.workers.lock.lock();
            if !inner.workers.is_stopping.load(Ordering::Acquire) {
                inner.workers.work.wait_for(&mut lock, IDLE);
            }
        }
    }
}

impl Workers {
    /// Ends the threads; what they had not ended is thrown away.
    pub(super) fn stop(&self) {
        self.is_stopping.store(true, Ordering::Release);
        drop(self.lock.lock());
        self.work.notify_all();
        self.done.notify_all();
        for thread in mem::take(&mut *self.threads.lock()) {
            let _ = thread.join(); // one that panicked has done no more harm than one that was stopped
        }
    }

    fn wake(&self) {
        drop(self.lock.lock());
        self.work.notify_all();
    }
}

impl Inner {
    /// Tells the threads that a memtable is full.
    pub(super) fn wake_when_frozen(&self) {
        if !self.state.read().text.frozen.is_empty() {
            self.workers.wake();
        }
    }

    /// Waits while too many full memtables wait for a flush.
    pub(super) fn wait_for_room(&self) {
        let is_crowded = || {
            self.workers.has_started.load(Ordering::Acquire)
                && !self.workers.is_stopping.load(Ordering::Acquire)
                && self.state.read().text.frozen.len() > FROZEN_MAX
        };
        while is_crowded() {
            let mut lock = self.workers.lock.lock();
            self.workers.done.wait_for(&mut lock, IDLE / 20);
        }
    }

    /// Does something while another thread flushes and merges, which is stopped after it: for a start, which has no
    /// workers yet.
    pub(super) fn flush_beside<T>(&self, act: impl FnOnce() -> T) -> T {
        /// Ends the other thread, or its waiting for this one, also where this one panics.
        struct Ended<'a>(&'a Inner, &'a AtomicBool);
        impl Drop for Ended<'_> {
            fn drop(&mut self) {
                self.0.workers.has_started.store(false, Ordering::Release);
                self.1.store(true, Ordering::Release);
                self.0.workers.wake();
            }
        }
        let is_over = AtomicBool::new(false);
        self.workers.has_started.store(true, Ordering::Release);
        thread::scope(|scope| {
            let _ended = Ended(self, &is_over);
            scope.spawn(|| {
                let _ended = Ended(self, &is_over);
                while !is_over.load(Ordering::Acquire) {
                    if !self.work(Worker::Quick) {
                        let mut lock = self.workers.lock.lock();
                        if !is_over.load(Ordering::Acquire) {
                            self.workers.work.wait_for(&mut lock, IDLE);
                        }
                    }
                }
            });
            act()
        })
    }

    /// Flushes what is in memtables and merges what is to be merged, until there is nothing left to do.
    pub(super) fn settle(&self) {
        self.state.write().freeze();
        let is_idle = || self.workers.reserved.lock().is_empty() && self.state.read().text.frozen.is_empty();
        while !self.workers.is_stopping.load(Ordering::Acquire) {
            // Others may have ended something meanwhile that makes more work: then there is more to do.
            let was_idle = is_idle();
            if self.work(Worker::Thorough) || self.work(Worker::Quick) {
                continue;
            }
            if was_idle && is_idle() {
                return;
            }
            let mut lock = self.workers.lock.lock();
            self.workers.done.wait_for(&mut lock, IDLE / 20);
        }
    }

    /// Does one piece of work; tells whether there was any.
    fn work(&self, worker: Worker) -> bool {
        let has_worked = (worker == Worker::Quick || !self.workers.has_started.load(Ordering::Acquire))
            && self.flush()
            || self.merge(worker)
            || (worker == Worker::Thorough && (self.give_back() || self.snapshot_when_due()));
        if has_worked {
            drop(self.workers.lock.lock());
            self.workers.done.notify_all();
        }
        has_worked
    }

    /// Flushes where nobody else does it and memtables pile up.
    pub(super) fn flush_when_crowded(&self) {
        while self.state.read().text.frozen.len() > 1 && self.flush() {
            let _ = self.merge(Worker::Thorough);
        }
    }

    pub(super) fn flush(&self) -> bool {
        if self.state.read().text.frozen.is_empty() {
            return false;
        }
        let key = u64::MAX - 1; // no segment has that number
        if !self.workers.reserved.lock().insert(key) {
            return false;
        }
        // Looked for only now: what was the first before may have been flushed since, and would be once more.
        let Some(memtable) = self.state.read().text.frozen.first().cloned() else {
            self.workers.reserved.lock().remove(&key);
            return false;
        };
        let from = self.begin();
        let standings = self.standings(memtable.names());
        let dropped = dropped(memtable.names(), &standings);
        let segment = Segment::build(&memtable, &standings);
        self.put(Some(&memtable), &[], segment, &dropped, from);
        self.workers.reserved.lock().remove(&key);
        true
    }

    fn merge(&self, worker: Worker) -> bool {
        let Some(inputs) = self.reserve(worker) else { return false };
        let from = self.begin();
        let segments: Vec<Arc<Segment>> = inputs.iter().map(|held| Arc::clone(&held.segment)).collect();
        let standings: Vec<Vec<Option<Standing>>> =
            segments.iter().map(|segment| self.standings(segment.names())).collect();
        let dropped: Vec<NameKey> = segments
            .iter()
            .zip(&standings)
            .flat_map(|(segment, standings)| dropped(segment.names(), standings))
            .collect();
        let merged = Segment::merge(&segments, standings, &self.workers.is_stopping);
        let ids: Vec<u64> = inputs.iter().map(|held| held.id).collect();
        match merged {
            Some(merged) => self.put(None, &ids, merged, &dropped, from),
            None => self.end_making(),
        }
        if ids.len() == 1 {
            // Those that are left are in other segments: the next time is when as many more have come.
            let mut state = self.state.write();
            state.text.dead_left = usize::try_from(state.text.dead).unwrap_or(usize::MAX);
        }
        let mut reserved = self.workers.reserved.lock();
        ids.iter().for_each(|id| {
            reserved.remove(id);
        });
        true
    }

    /// Chooses segments to merge: four of about one size, the smallest first; or one that is mostly of forgotten names.
    fn reserve(&self, worker: Worker) -> Option<Vec<Held>> {
        let mut reserved = self.workers.reserved.lock();
        let state = self.state.read();
        let mut free: Vec<&Held> =
            state.text.segments.iter().filter(|held| !reserved.contains(&held.id)).collect();
        free.sort_by_key(|held| held.segment.names().len());
        let tiers = free.chunk_by(|left, right| tier(left) == tier(right));
        let chosen: Option<Vec<Held>> = tiers
            .filter(|tier| tier.len() >= FAN_IN)
            .map(|tier| tier[..FAN_IN].iter().map(|held| (*held).clone()).collect::<Vec<_>>())
            .find(|chosen| {
                let names: usize = chosen.iter().map(|held| held.segment.names().len()).sum();
                names <= SEGMENT_NAMES_MAX && (worker == Worker::Thorough || names <= SMALL_MERGE_NAMES)
            });
        let chosen = chosen.or_else(|| {
            let names: usize = state.text.segments.iter().map(|held| held.segment.names().len()).sum();
            let dead =
                usize::try_from(state.text.dead).unwrap_or(usize::MAX).saturating_sub(state.text.dead_left);
            let is_due = worker == Worker::Thorough && dead > state.dead_names_max && dead > names / 4;
            free.last().filter(|_| is_due).map(|largest| vec![(*largest).clone()])
        })?;
        reserved.extend(chosen.iter().map(|held| held.id));
        Some(chosen)
    }

    /// From now on whatever stands otherwise is written down. Gives where that begins.
    fn begin(&self) -> usize {
        let mut state = self.state.write();
        state.text.makers += 1;
        state.text.risen.len()
    }

    fn standings(&self, names: &[u32]) -> Vec<Option<Standing>> {
        let mut standings = Vec::with_capacity(names.len());
        for names in names.chunks(STEP) {
            standings.append(&mut self.state.read().standings(names));
        }
        standings
    }

    /// Puts a segment in the place of what it was made from.
    fn put(
        &self,
        memtable: Option<&Arc<Memtable>>,
        inputs: &[u64],
        segment: Segment,
        dropped: &[NameKey],
        from: usize,
    ) {
        let _replacing = self.replacing.lock();
        self.state.write().text.is_replacing = true;
        for names in dropped.chunks(CATCH_UP_STEP) {
            self.step(|state| state.drop_from_text(names));
        }
        let segment = Arc::new(segment);
        let mut told = from;
        loop {
            let state = self.state.read();
            let more = state.text.risen.get(told..).unwrap_or_default();
            let some: Vec<ContentKey> = more.iter().take(CATCH_UP_STEP).copied().collect();
            some.iter().for_each(|key| state.tell(&segment, *key));
            told += some.len();
            if some.len() < CATCH_UP_STEP {
                break;
            }
        }
        let id = self.next_segment.fetch_add(1, Ordering::Relaxed);
        let mut state = self.state.write();
        let last = state.text.risen.get(told..).unwrap_or_default();
        last.iter().for_each(|key| state.tell(&segment, *key));
        let text = &mut state.text;
        text.frozen.retain(|frozen| memtable.is_none_or(|memtable| !Arc::ptr_eq(frozen, memtable)));
        text.segments.retain(|held| !inputs.contains(&held.id));
        if !segment.names().is_empty() {
            text.segments.push(Held { id, segment });
        }
        text.limbo.extend_from_slice(dropped);
        text.is_replacing = false;
        drop(state);
        self.end_making();
    }

    fn end_making(&self) {
        let mut state = self.state.write();
        state.text.makers -= 1;
        if state.text.makers == 0 {
            state.text.risen = Vec::new();
        }
    }

    /// Gives some memory of forgotten names back.
    ///
    /// Not while a change is carried out, which goes by the names that a peer had before it; nor while a segment takes the
    /// place of others that still have names that it has not.
    fn give_back(&self) -> bool {
        let Some(_numbers) = self.numbers.try_lock() else { return false };
        if self.state.read().text.limbo.is_empty() {
            return false;
        }
        let _turn = self.turn.lock();
        let Some(_replacing) = self.replacing.try_lock() else { return false };
        (0..BURY_STEPS).fold(false, |has_worked, _| self.step(|state| state.bury(STEP)) || has_worked)
    }
}

fn dropped(names: &[u32], standings: &[Option<Standing>]) -> Vec<NameKey> {
    let gone = names.iter().zip(standings).filter(|(_, standing)| standing.is_none());
    gone.map(|(name, _)| NameKey::from(*name)).collect()
}

/// Segments of one tier differ in size by less than four times.
fn tier(held: &Held) -> u32 {
    let names = held.segment.names().len().max(1);
    names.ilog2() / FAN_IN.ilog2()
}

impl State {
    /// Names that a new segment was made without. One that somebody registers again from now on is listed anew.
    fn drop_from_text(&mut self, names: &[NameKey]) {
        for key in names {
            let Some(name) = self.names.get_mut(*key).filter(|name| name.is_in_text()) else { continue };
            name.set_in_text(false);
            if name.known() == 0 {
                self.text.dead = self.text.dead.saturating_sub(1);
            } else {
                self.list_again(*key);
            }
        }
    }
}

#[cfg(test)]
mod tests;
