//! The swarm planner: which pieces are asked of which source, when, and when to stop. Pure and deterministic:
//! events and the time go in, actions come out; no I/O and no clock, and every random number from one seed.
//!
//! Invariants: a piece that is not proven is either free or in a run; a source that was dropped has no run and
//! gets none; one source has at most [`SOURCE_LANES_MAX`] runs and all together [`LANES_MAX`]; a piece is asked
//! of at most [`COPIES_MAX`] sources at a time, and of a second only when the first keeps everybody waiting; when nothing can
//! be asked of anybody, the index is asked or an end is in sight.

mod assign;
mod ranges;
mod runs;
mod source;
mod tuning;

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;
use std::time::{Duration, Instant};

use peerage_wire::PeerId;

pub(crate) use ranges::Ranges;
use runs::{Run, Runs};
use source::{Source, Standing};
use tuning::{
    ASK_FIRST, ASK_LOW, ASK_MAX, ASKS_IN_VAIN_AFTER_PROGRESS_MAX, ASKS_IN_VAIN_MAX, ATTEMPTS_MAX, BEGIN,
    BEGIN_ALONE, BUSY_PATIENCE, BUSY_WAIT_MAX, COPIES_MAX, HEDGE_AFTER, LANES_MAX, MEASURE_BYTES_MIN, MOVES,
    RETRY_FIRST, RUN_FIRST, RUN_MAX, RUN_TIME, SOURCE_LANES_MAX, SOURCES_LOW, STALL, STALL_ALONE,
    STALL_BYTES, TICK,
};

/// One request for a range of pieces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct RunId(u64);

/// How a source failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    /// No connection, or one that broke.
    Unreachable,
    /// Next to nothing came for too long.
    Stalled,
    /// It ended early or answered something that makes no sense.
    Garbled,
    /// It does not have the content, or not any more.
    Absent,
    /// Another key answers there.
    WrongKey,
    /// It does not give it to us.
    Refused,
    /// It sent something else than the content.
    Lied,
}

impl Fault {
    /// Whether trying again at once is of no use.
    const fn is_final(self) -> bool {
        matches!(self, Self::Absent | Self::WrongKey | Self::Refused | Self::Lied)
    }
}

/// What happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The index names these sources; none where it could not be asked.
    Named(Vec<PeerId>),
    /// A run's connection is there and its request goes out.
    Asked(RunId),
    /// The answer to a run begins.
    Began(RunId),
    /// So many more bytes of a run have come.
    Received(RunId, u64),
    /// A run waits for our own disk.
    Held(RunId),
    /// The run's next piece was right and is written.
    Proven(RunId),
    /// The run's next piece was wrong.
    Wrong(RunId),
    /// A run ended without having brought all its pieces.
    Failed(RunId, Fault),
    /// A run was turned away for the time being.
    Busy(RunId, Duration),
    /// Time has passed.
    Tick,
}

/// What to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Action {
    /// Ask `peer` for these pieces.
    Fetch { run: RunId, peer: PeerId, pieces: Range<u64> },
    /// Stop a run; nothing more is expected of it.
    Cancel(RunId),
    /// A source is not asked any more.
    Drop { peer: PeerId, fault: Fault },
    /// Ask the index for sources and answer with [`Event::Named`].
    AskIndex,
    /// Every piece is there.
    Finish,
    /// There is no way to get the rest.
    GiveUp(Outcome),
}

/// Why there is no way.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// The index has never named a source.
    NoSource,
    /// Sources there are, but none can be reached or has it.
    Unreachable,
    /// Whoever answered refused.
    Refused,
    /// Whoever answered stayed busy.
    Busy,
    /// Whoever answered lied.
    Corrupt,
}

/// The planner of one content.
pub(crate) struct Plan {
    /// Not proven.
    wanted: Ranges,
    /// Not proven, and in no run.
    free: Ranges,
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
    /// From 0 to 1, new for each time.
    jitter: f64,
}

impl Plan {
    /// With no work yet, and the sources that the index named at the start.
    pub(crate) fn new(seed: u64, named: &[PeerId], now: Instant) -> Self {
        let mut plan = Self {
            wanted: Ranges::default(),
            free: Ranges::default(),
            runs: Runs::default(),
            sources: BTreeMap::new(),
            index: Index { is_asked: false, asked_at: now, in_vain: 0, jitter: 0.0 },
            actions: VecDeque::new(),
            proven_at: now,
            has_proven: false,
            has_ended: false,
            // Zero would stay zero.
            random: seed | 1,
        };
        named.iter().for_each(|peer| plan.meet(*peer));
        plan
    }

    /// Gives it pieces to get, once all that it had before are there.
    pub(crate) fn begin(&mut self, pieces: Ranges, now: Instant) {
        debug_assert!(self.wanted.is_empty(), "one thing after the other");
        self.free = pieces.clone();
        self.wanted = pieces;
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
            Event::Named(peers) => self.named(&peers, now),
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
        rested.chain(tick).chain(self.ask_at()).chain([patience]).filter(|at| *at > now).min()
    }

    /// Whether a piece is still to be got.
    pub(crate) fn wants(&self, piece: u64) -> bool {
        self.wanted.contains(piece)
    }

    /// Sources that are sending something now.
    pub(crate) fn active_sources(&self) -> usize {
        self.sources.keys().filter(|peer| self.runs.of(peer) > 0).count()
    }

    fn named(&mut self, peers: &[PeerId], now: Instant) {
        self.index.is_asked = false;
        self.index.asked_at = now;
        peers.iter().for_each(|peer| self.meet(*peer));
        let hope = self.sources.values().any(Source::is_usable);
        if !hope && self.sources.values().all(Source::has_lied) {
            // Nobody is left who could come back.
            self.give_up(if self.sources.is_empty() { Outcome::NoSource } else { Outcome::Corrupt });
        }
    }

    fn meet(&mut self, peer: PeerId) {
        let tie_break = (self.random() * f64::from(u32::MAX)).to_bits();
        self.sources.entry(peer).or_insert_with(|| Source::new(tie_break)).revive();
    }

    fn proven(&mut self, run: RunId, now: Instant) {
        let Some((peer, piece)) = self.runs.advance(run, now) else { return };
        self.wanted.remove(piece);
        self.free.remove(piece);
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
        if let Some(run) = self.take_run(run) {
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
                self.free.insert(piece);
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
            *peer != run.peer && (self.runs.of(peer) > 0 || source.lanes_free(0, now) > 0)
        };
        self.sources.iter().any(is_other) || self.runs.any_other_moves(id, now)
    }

    /// A number from 0 up to 1; xorshift64 (Marsaglia, 2003), since it only has to spread.
    fn random(&mut self) -> f64 {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        f64::from(u32::try_from(self.random >> 32).unwrap_or(0)) / (f64::from(u32::MAX) + 1.0)
    }
}

#[cfg(test)]
mod tests;
