//! One planner and the sources it deals with, in simulated time: from event to event, piece by piece.
//!
//! Invariant: whatever the planner says is checked against what it may say, as it is said.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use super::nature::{Manner, Nature};
use super::*;
use crate::have::Have;

/// How long a request takes to arrive, and its answer to begin.
const LATENCY: Duration = Duration::from_millis(40);
/// Bytes of a piece.
const PIECE: u64 = 1 << 20;
/// What an honest source sends that is nothing but that, in KiB a second.
const KIB_PER_SEC: u64 = 4 << 10;

pub(super) struct Sim {
    pub(super) plan: Plan,
    pub(super) now: Instant,
    pub(super) start: Instant,
    pub(super) unproven: BTreeSet<u64>,
    pub(super) liars: BTreeSet<PeerId>,
    /// Pieces that each source has brought.
    pub(super) brought: BTreeMap<PeerId, u64>,
    /// How often the index was asked.
    pub(super) asks: u64,
    pieces: u64,
    natures: BTreeMap<PeerId, Nature>,
    running: BTreeMap<RunId, SimRun>,
    /// What partial sources have said, as long as it may be believed.
    said: BTreeMap<PeerId, Have>,
    dropped: BTreeSet<PeerId>,
    index_answers_at: Option<Instant>,
    /// Who was asked what it has, and when it answers.
    asked: BTreeMap<PeerId, Instant>,
    outcome: Option<Result<(), Outcome>>,
    random: u64,
}

struct SimRun {
    peer: PeerId,
    left: Range<u64>,
    sent: u64,
    has_begun: bool,
    /// When something happens next, if it does, and since when it is on its way.
    next_at: Option<Instant>,
    since: Instant,
    /// Bytes of the piece under way that the planner was told of.
    told: u64,
}

pub(super) fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

impl Sim {
    pub(super) fn new(seed: u64, pieces: u64, natures: Vec<Nature>) -> Self {
        let start = Instant::now();
        let natures: BTreeMap<_, _> = (1..).map(peer).zip(natures).collect();
        let mut sim = Self {
            plan: Plan::new(seed, &holdings(&natures), start),
            now: start,
            start,
            unproven: (0..pieces).collect(),
            liars: BTreeSet::new(),
            brought: BTreeMap::new(),
            asks: 0,
            pieces,
            natures,
            running: BTreeMap::new(),
            said: BTreeMap::new(),
            dropped: BTreeSet::new(),
            index_answers_at: None,
            asked: BTreeMap::new(),
            outcome: None,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        };
        sim.plan.begin_pieces(Ranges::from(0..pieces), pieces, start);
        sim
    }

    /// Runs until the planner ends, or `secs` of its time have passed.
    pub(super) fn run(&mut self, secs: u64) -> Option<Result<(), Outcome>> {
        self.act();
        let end = self.start + Duration::from_secs(secs);
        while self.outcome.is_none() && self.now < end {
            let wake_at = self.plan.wake_at(self.now);
            let events = self.running.values().filter_map(|run| run.next_at);
            let events = events.chain(self.asked.values().copied()).chain(self.index_answers_at);
            let next = events.chain(wake_at).min();
            self.now = next.expect("it waits for nothing").max(self.now);
            self.step(wake_at);
        }
        self.outcome
    }

    pub(super) fn took(&self) -> Duration {
        self.now - self.start
    }

    fn step(&mut self, wake_at: Option<Instant>) {
        if self.index_answers_at.take_if(|at| *at <= self.now).is_some() {
            self.dropped = self.liars.clone();
            self.tell(Event::Named(holdings(&self.natures)));
        }
        let is_due = |at: &Instant, now: Instant| *at <= now;
        while let Some(peer) = self.asked.iter().find(|(_, at)| is_due(at, self.now)).map(|(peer, _)| *peer) {
            self.asked.remove(&peer);
            self.say(peer);
        }
        let due = self.running.iter().filter(|(_, run)| run.next_at.is_some_and(|at| at <= self.now));
        let due: Vec<RunId> = due.map(|(id, _)| *id).collect();
        due.into_iter().for_each(|run| self.advance(run));
        if wake_at.is_some_and(|at| at <= self.now) {
            self.tick();
        }
    }

    /// As the shell does: how far each run has come by now, then the time.
    fn tick(&mut self) {
        for id in self.running.keys().copied().collect::<Vec<_>>() {
            let Some(run) = self.running.get_mut(&id).filter(|run| run.has_begun) else { continue };
            let bytes = match (run.next_at, &self.natures[&run.peer]) {
                (_, Nature::Dribbling) => run.told + 1,
                (Some(at), _) => {
                    let whole = (at - run.since).as_micros().max(1);
                    let passed = (self.now - run.since).as_micros().min(whole);
                    u64::try_from(u128::from(PIECE) * passed / whole).unwrap().min(PIECE - 1)
                }
                (None, _) => run.told,
            };
            let news = bytes.saturating_sub(run.told);
            run.told += news;
            self.tell(Event::Received(id, news));
        }
        self.tell(Event::Tick);
    }

    fn tell(&mut self, event: Event) {
        self.plan.handle(event, self.now);
        self.act();
    }

    fn act(&mut self) {
        while let Some(action) = self.plan.next_action() {
            assert!(self.outcome.is_none(), "nothing comes after the end but {action:?}");
            match action {
                Action::Fetch { run, peer, pieces } => self.fetch(run, peer, pieces),
                Action::Cancel(run) => assert!(self.running.remove(&run).is_some(), "it is not running"),
                Action::AskHave { peer } => self.ask_have(peer),
                Action::Drop { peer, fault } => self.drop_source(peer, fault),
                Action::AskIndex => {
                    self.asks += 1;
                    let before = self.index_answers_at.replace(self.now + LATENCY);
                    assert!(before.is_none(), "asked twice");
                }
                Action::Finish => {
                    assert!(self.unproven.is_empty(), "it is not all there");
                    self.outcome = Some(Ok(()));
                }
                Action::GiveUp(outcome) => self.outcome = Some(Err(outcome)),
            }
        }
    }

    fn drop_source(&mut self, peer: PeerId, fault: Fault) {
        assert!(self.running.values().all(|run| run.peer != peer), "a dropped source still runs");
        assert!(fault != Fault::Lied || self.liars.contains(&peer), "an honest source is called a liar");
        self.said.remove(&peer);
        self.dropped.insert(peer);
    }

    fn ask_have(&mut self, peer: PeerId) {
        assert!(!self.dropped.contains(&peer), "something is asked of a dropped source");
        assert!(self.natures[&peer].is_partial(), "a whole source has all");
        assert!(self.asked.insert(peer, self.now + LATENCY).is_none(), "asked twice");
    }

    fn fetch(&mut self, id: RunId, peer: PeerId, pieces: Range<u64>) {
        assert!(!self.dropped.contains(&peer), "something is asked of a dropped source");
        assert!(!pieces.is_empty() && pieces.end - pieces.start <= RUN_MAX && pieces.end <= self.pieces);
        assert!(
            pieces.clone().any(|piece| self.unproven.contains(&piece)),
            "only what is proven is asked for"
        );
        if self.natures[&peer].is_partial() {
            let said = self.said.get(&peer).expect("it has not said anything");
            assert!(
                pieces.clone().all(|piece| said.contains(piece)),
                "it has not said that it has {pieces:?}"
            );
        }
        let run = SimRun {
            peer,
            left: pieces.clone(),
            sent: 0,
            has_begun: false,
            next_at: Some(self.now + LATENCY),
            since: self.now,
            told: 0,
        };
        assert!(self.running.insert(id, run).is_none(), "a run's number is used twice");
        assert!(self.running.len() <= LANES_MAX);
        assert!(self.running.values().filter(|run| run.peer == peer).count() <= SOURCE_LANES_MAX);
        for piece in pieces {
            let asked = self.running.values().filter(|run| run.left.contains(&piece)).count();
            assert!(asked <= COPIES_MAX, "piece {piece} is asked of {asked} at a time");
        }
    }

    fn chance(&mut self, one_in: u64) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random >> 20).is_multiple_of(one_in)
    }

    fn secs(&self) -> u64 {
        (self.now - self.start).as_secs()
    }

    /// A partial source says what it has.
    fn say(&mut self, peer: PeerId) {
        let Nature::Partial(partial) = &self.natures[&peer] else { return };
        let have = match partial.manner {
            Manner::Mute => return self.tell(Event::HasFailed(peer, Fault::Garbled)),
            Manner::Busy => return self.tell(Event::HasBusy(peer, Duration::from_secs(2))),
            Manner::Boasting => Have::all(self.pieces),
            _ => partial.have(self.pieces, self.secs()),
        };
        if !self.dropped.contains(&peer) {
            self.said.insert(peer, have.clone());
        }
        self.tell(Event::Has(peer, have));
    }

    /// What a source does next in a run.
    fn advance(&mut self, id: RunId) {
        let Some(run) = self.running.get(&id) else { return };
        let (peer, sent, has_begun, piece) = (run.peer, run.sent, run.has_begun, run.left.start);
        let (nature, secs) = (self.natures[&peer].clone(), self.secs());
        match &nature {
            Nature::Silent => return self.hang(id),
            Nature::Empty => return self.fail(id, Fault::Absent),
            Nature::Vanishing { at_secs } if secs >= *at_secs => return self.fail(id, Fault::Unreachable),
            Nature::Cutting { after_pieces } if sent >= *after_pieces => {
                return self.fail(id, Fault::Garbled);
            }
            Nature::Busy { until_secs } if secs < *until_secs => {
                self.running.remove(&id);
                return self.tell(Event::Busy(id, Duration::from_secs(2)));
            }
            Nature::Partial(partial) if !has_begun => {
                let (left, have) = (run.left.clone(), partial.have(self.pieces, secs));
                if left.into_iter().any(|piece| !have.contains(piece)) {
                    self.said.remove(&peer);
                    return self.fail(id, Fault::Absent);
                }
            }
            _ => {}
        }
        if has_begun {
            self.bring(id, &nature, piece);
        } else {
            self.begin(id, &nature);
        }
    }

    fn begin(&mut self, id: RunId, nature: &Nature) {
        self.tell(Event::Asked(id));
        self.tell(Event::Began(id));
        if let Some(run) = self.running.get_mut(&id) {
            run.has_begun = true;
            self.send_on(id, nature);
        }
    }

    /// The piece under way is there.
    fn bring(&mut self, id: RunId, nature: &Nature, piece: u64) {
        let Some(run) = self.running.get_mut(&id) else { return };
        let peer = run.peer;
        let rest = PIECE - std::mem::take(&mut run.told);
        let one_in = match nature {
            Nature::Lying { one_in } => *one_in,
            Nature::Partial(partial) if partial.manner == Manner::Lying => 3,
            _ => u64::MAX,
        };
        if self.chance(one_in) && one_in < u64::MAX {
            self.liars.insert(peer);
            self.running.remove(&id);
            return self.tell(Event::Wrong(id));
        }
        self.tell(Event::Received(id, rest));
        let Some(run) = self.running.get_mut(&id) else { return };
        (run.sent, run.left.start) = (run.sent + 1, piece + 1);
        self.unproven.remove(&piece);
        *self.brought.entry(peer).or_default() += 1;
        if run.left.is_empty() {
            self.running.remove(&id);
        } else {
            self.send_on(id, nature);
        }
        self.tell(Event::Proven(id));
    }

    /// The next piece sets out, or nothing more comes.
    fn send_on(&mut self, id: RunId, nature: &Nature) {
        let run = &self.running[&id];
        let kib_per_sec = match nature {
            Nature::Stalling { after_pieces } if run.sent >= *after_pieces => return self.hang(id),
            Nature::Dribbling => return self.hang(id),
            Nature::Partial(partial) if partial.manner == Manner::Stalling => return self.hang(id),
            Nature::Honest { kib_per_sec } => *kib_per_sec,
            Nature::Partial(partial) => partial.kib_per_sec,
            _ => KIB_PER_SEC,
        };
        let lanes = self.running.values().filter(|other| other.peer == run.peer).count() as u64;
        let next_at = self.now + Duration::from_micros(1_024_000_000 * lanes / kib_per_sec);
        if let Some(run) = self.running.get_mut(&id) {
            (run.since, run.next_at) = (self.now, Some(next_at));
        }
    }

    fn hang(&mut self, id: RunId) {
        if let Some(run) = self.running.get_mut(&id) {
            run.next_at = None;
        }
        if !self.running[&id].has_begun {
            self.tell(Event::Asked(id));
        }
    }

    fn fail(&mut self, id: RunId, fault: Fault) {
        self.running.remove(&id);
        self.tell(Event::Failed(id, fault));
    }
}

fn holdings(natures: &BTreeMap<PeerId, Nature>) -> Vec<(PeerId, Holding)> {
    let holding = |nature: &Nature| if nature.is_partial() { Holding::Partial } else { Holding::Whole };
    natures.iter().map(|(peer, nature)| (*peer, holding(nature))).collect()
}
