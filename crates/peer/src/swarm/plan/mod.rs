//! The swarm planner: which pieces are asked of which source, when, and when to stop. Pure and deterministic:
//! events and the time go in, actions come out; no I/O and no clock, and every random number from one seed.
//!
//! Invariants: a piece that is not proven is either free or in a run; a source that was dropped has no run and
//! gets none; of a partial source only pieces are asked that it said it has; one source has at most [`SOURCE_LANES_MAX`] runs and all together [`LANES_MAX`]; a piece is asked
//! of at most [`COPIES_MAX`] sources at a time, and of a second only when the first keeps everybody waiting; when nothing can
//! be asked of anybody, the index is asked or an end is in sight.

mod words;

mod ask;
mod assign;
mod partial;

mod free;
mod news;
mod ranges;
mod runs;
mod source;
mod tuning;

use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

use peerage_wire::PeerId;

use free::Free;
pub(crate) use ranges::Ranges;
use runs::{Run, Runs};
use source::{Source, Standing};
use tuning::{
    ASK_FIRST, ASK_LOW, ASK_MAX, ASK_SOON, ASKS_IN_VAIN_AFTER_PROGRESS_MAX, ASKS_IN_VAIN_MAX, ATTEMPTS_MAX,
    BEGIN, BEGIN_ALONE, BUSY_PATIENCE, BUSY_WAIT_MAX, COPIES_MAX, HAVE_ASK_EACH, HAVE_ASK_FIRST,
    HAVE_ASK_MAX, HAVE_SECOND_PIECES, HEDGE_AFTER, LANES_MAX, MEASURE_BYTES_MIN, MOVES, PARTIAL_LANES_MAX,
    PARTIALS_MET_MAX, RETRY_FIRST, RUN_FIRST, RUN_MAX, RUN_TIME, SOURCE_LANES_MAX, SOURCES_LOW, STALE_MAX,
    STALL, STALL_ALONE, STALL_BYTES, TICK,
};
pub(crate) use words::{Action, Event, Fault, Holding, Outcome, RunId};

/// The planner of one content.
pub(crate) struct Plan {
    /// Not proven.
    wanted: Ranges,
    /// Not proven, and in no run.
    free: Free,
    /// Pieces of the whole content; `None` while it is the piece list that is wanted, which every source has.
    pieces: Option<u64>,
    runs: Runs,
    sources: BTreeMap<PeerId, Source>,
    index: Index,
    actions: VecDeque<Action>,
    proven_at: Instant,
    has_proven: bool,
    has_ended: bool,
    random: u64,
}

/// How it stands with the index.
struct Index {
    is_asked: bool,
    asked_at: Instant,
    /// Asked for want of any source, since the last proven piece.
    in_vain: u32,
    /// Asked for more, though there was hope.
    rounds: u32,
    /// From 0 to 1, new for each time.
    jitter: f64,
}

impl Plan {
    /// With no work yet, and the sources that the index named at the start.
    pub(crate) fn new(seed: u64, named: &[(PeerId, Holding)], now: Instant) -> Self {
        let mut plan = Self {
            wanted: Ranges::default(),
            free: Free::new(Ranges::default(), 0),
            pieces: None,
            runs: Runs::default(),
            sources: BTreeMap::new(),
            index: Index { is_asked: false, asked_at: now, in_vain: 0, rounds: 0, jitter: 0.5 },
            actions: VecDeque::new(),
            proven_at: now,
            has_proven: false,
            has_ended: false,
            random: scattered(seed),
        };
        named.iter().for_each(|(peer, holding)| plan.meet(*peer, *holding, now));
        plan
    }

    /// Has it get the piece list.
    pub(crate) fn begin_list(&mut self, now: Instant) {
        self.begin(Ranges::from(0..1), None, now);
    }

    /// Gives it pieces to get out of the content's so many, once all that it had before are there.
    pub(crate) fn begin_pieces(&mut self, missing: Ranges, pieces: u64, now: Instant) {
        self.begin(missing, Some(pieces), now);
    }

    fn begin(&mut self, work: Ranges, pieces: Option<u64>, now: Instant) {
        debug_assert!(self.wanted.is_empty(), "one thing after the other");
        let cursor = self.random_bits() % pieces.unwrap_or(1).max(1);
        self.free = Free::new(work.clone(), cursor);
        self.wanted = work;
        self.pieces = pieces;
        self.has_ended = false;
        // A right list says little about who will send the pieces.
        self.has_proven = false;
        self.proven_at = now;
        self.decide(now);
    }

    /// Takes in what happened.
    pub(crate) fn handle(&mut self, event: Event, now: Instant) {
        if self.has_ended {
            return;
        }
        match event {
            Event::Named(sources) => self.named(&sources, now),
            Event::Has(peer, have) => self.has(peer, have, now),
            Event::HasFailed(peer, fault) => self.has_failed(peer, fault, now),
            Event::HasBusy(peer, retry_after) => self.has_busy(peer, retry_after, now),
            Event::Asked(run) => self.runs.with(run, |run| run.asked(now)),
            Event::Began(run) => self.runs.with(run, |run| run.began(now)),
            Event::Received(run, bytes) => self.runs.with(run, |run| run.received(bytes, now)),
            Event::Held(run) => self.runs.with(run, |run| run.mark(now)),
            Event::Proven(run) => self.proven(run, now),
            Event::Wrong(run) => self.wrong(run),
            Event::Failed(run, fault) => self.failed(run, fault, now),
            Event::Busy(run, retry_after) => self.busy(run, retry_after, now),
            Event::Tick => self.take_back(now),
        }
        self.decide(now);
    }

    /// The next thing to do.
    pub(crate) fn next_action(&mut self) -> Option<Action> {
        self.actions.pop_front()
    }

    /// When to say [`Event::Tick`] if nothing happens before.
    pub(crate) fn wake_at(&self, now: Instant) -> Option<Instant> {
        if self.has_ended {
            return None;
        }
        let tick = (!self.runs.is_empty()).then_some(now + TICK);
        let rested = self.sources.values().filter_map(|source| match source.standing {
            Standing::Resting { until } => Some(until),
            _ => None,
        });
        let patience = self.proven_at + BUSY_PATIENCE;
        let news = self.sources.values().filter_map(Source::news_due).filter(|_| self.pieces.is_some());
        rested.chain(tick).chain(news).chain(self.ask_at()).chain([patience]).filter(|at| *at > now).min()
    }

    /// Whether a piece is still to be got.
    pub(crate) fn wants(&self, piece: u64) -> bool {
        self.wanted.contains(piece)
    }

    /// Sources that are sending something now.
    pub(crate) fn active_sources(&self) -> usize {
        self.sources.keys().filter(|peer| self.runs.of(peer) > 0).count()
    }

    fn named(&mut self, sources: &[(PeerId, Holding)], now: Instant) {
        self.index.is_asked = false;
        self.index.asked_at = now;
        sources.iter().for_each(|(peer, holding)| self.meet(*peer, *holding, now));
        let hope = self.sources.values().any(Source::is_usable);
        if !hope && self.sources.values().all(Source::has_lied) {
            // Nobody is left who could come back.
            self.give_up(if self.sources.is_empty() { Outcome::NoSource } else { Outcome::Corrupt });
        }
    }

    fn proven(&mut self, run: RunId, now: Instant) {
        let Some((peer, piece)) = self.runs.advance(run, now) else { return };
        self.wanted.remove(piece);
        self.unset_free(piece);
        self.proven_at = now;
        self.has_proven = true;
        self.index.in_vain = 0;
        if let Some(source) = self.sources.get_mut(&peer) {
            source.proved();
        }
        let wanted = &self.wanted;
        for (id, done) in self.runs.take_if(|run| !run.pieces.clone().any(|piece| wanted.contains(piece))) {
            self.ended(id, &done, now);
        }
    }

    /// A run has nothing left to bring: it came to its end, or others were faster.
    fn ended(&mut self, id: RunId, run: &Run, now: Instant) {
        if !run.pieces.is_empty() {
            self.actions.push_back(Action::Cancel(id));
        }
        let Some(source) = self.sources.get_mut(&run.peer) else { return };
        let took = now.saturating_duration_since(run.began_at.unwrap_or(run.asked_at));
        if run.bytes >= MEASURE_BYTES_MIN || took >= HEDGE_AFTER {
            source.measured(run.bytes, took);
        }
        source.ended(now);
    }

    fn wrong(&mut self, run: RunId) {
        let Some(run) = self.take_run(run) else { return };
        if let Some(source) = self.sources.get_mut(&run.peer) {
            source.lied();
        }
        self.dropped(run.peer, Fault::Lied);
    }

    fn failed(&mut self, run: RunId, fault: Fault, now: Instant) {
        let Some(run) = self.take_run(run) else { return };
        if fault != Fault::Absent || !self.is_stale(run.peer, now) {
            self.blame(run.peer, fault, now);
        }
    }

    fn blame(&mut self, peer: PeerId, fault: Fault, now: Instant) {
        let jitter = self.random();
        let source = self.sources.get_mut(&peer);
        if source.is_some_and(|source| source.failed(fault, jitter, now)) {
            self.dropped(peer, fault);
        }
    }

    /// Takes every run of a dropped source back.
    fn dropped(&mut self, peer: PeerId, fault: Fault) {
        for (id, run) in self.runs.take_if(|run| run.peer == peer) {
            self.actions.push_back(Action::Cancel(id));
            self.free_again(&run);
        }
        self.forget(peer);
        self.actions.push_back(Action::Drop { peer, fault });
    }

    fn busy(&mut self, run: RunId, retry_after: Duration, now: Instant) {
        let Some(run) = self.take_run(run) else { return };
        let running = self.runs.of(&run.peer);
        if let Some(source) = self.sources.get_mut(&run.peer) {
            source.turned_away(running, retry_after.max(RETRY_FIRST), now);
        }
    }

    fn take_run(&mut self, id: RunId) -> Option<Run> {
        let run = self.runs.take(id)?;
        self.free_again(&run);
        Some(run)
    }

    fn free_again(&mut self, run: &Run) {
        for piece in run.pieces.clone() {
            if self.wanted.contains(piece) && self.runs.covering(piece) == 0 {
                self.set_free(piece);
            }
        }
    }

    /// Takes the runs back that keep us waiting.
    fn take_back(&mut self, now: Instant) {
        for id in self.runs.ids() {
            let Some(run) = self.runs.get(id) else { continue };
            let has_others = self.has_others(id, run, now);
            let peer = run.peer;
            if run.is_overdue(has_others, now) {
                self.take_run(id);
                self.actions.push_back(Action::Cancel(id));
                self.blame(peer, Fault::Stalled, now);
            }
        }
    }

    /// Whether somebody else could do a run's work: another source, or another connection that moves.
    fn has_others(&self, id: RunId, run: &Run, now: Instant) -> bool {
        let is_other = |(peer, source): (&PeerId, &Source)| {
            *peer != run.peer
                && (self.runs.of(peer) > 0 || source.lanes_free(0, now) > 0)
                && run.pieces.clone().any(|piece| self.has_piece(source, piece))
        };
        self.sources.iter().any(is_other) || self.runs.any_other_moves(id, now)
    }

    /// A number from 0 up to 1.
    fn random(&mut self) -> f64 {
        f64::from(u32::try_from(self.random_bits() >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }

    /// Any number; xorshift64* (Vigna, 2016), since it only has to spread.
    const fn random_bits(&mut self) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        self.random.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }
}

/// A state for the generator: seeds that differ little give states that differ a lot (the end of splitmix64), and zero,
/// which would stay zero, gives another.
const fn scattered(seed: u64) -> u64 {
    let mut state = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^= state >> 31;
    if state == 0 { 1 } else { state }
}

#[cfg(test)]
mod tests;
