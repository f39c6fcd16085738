//! The planner against simulated sources: slow, lying, stalling, vanishing, busy, over many seeds.

use super::*;
use proptest::prelude::*;
use std::collections::BTreeSet;

/// How a simulated source behaves.
#[derive(Debug, Clone, PartialEq)]
enum Nature {
    /// Sends what it is asked for, at so many KiB a second.
    Honest { kib_per_sec: u64 },
    /// Sends a wrong piece now and then.
    Lying { one_in: u64 },
    /// Begins and then sends nothing more.
    Stalling { after_pieces: u64 },
    /// Never begins.
    Silent,
    /// One byte a tick.
    Dribbling,
    /// Cuts each connection after so many pieces, 0 for at once.
    Cutting { after_pieces: u64 },
    /// Is gone after so many seconds.
    Vanishing { at_secs: u64 },
    /// Turns everybody away, until so many seconds have passed.
    Busy { until_secs: u64 },
    /// Does not have it.
    Empty,
}

struct Sim {
    plan: Plan,
    now: Instant,
    start: Instant,
    natures: BTreeMap<PeerId, Nature>,
    running: BTreeMap<RunId, SimRun>,
    unproven: BTreeSet<u64>,
    dropped: BTreeSet<PeerId>,
    liars: BTreeSet<PeerId>,
    is_asked: bool,
    outcome: Option<Result<(), Outcome>>,
    random: u64,
}

struct SimRun {
    peer: PeerId,
    left: Range<u64>,
    sent: u64,
    /// Bytes of the piece that is under way.
    bytes: u64,
    has_begun: bool,
}

/// The simulation's step.
const STEP: Duration = Duration::from_millis(100);

fn peer(number: u8) -> PeerId {
    PeerId::from_bytes([number; 32])
}

impl Sim {
    fn new(seed: u64, pieces: u64, natures: Vec<Nature>) -> Self {
        let start = Instant::now();
        let natures: BTreeMap<PeerId, Nature> = natures
            .into_iter()
            .enumerate()
            .map(|(at, nature)| (peer(u8::try_from(at).unwrap()), nature))
            .collect();
        let named: Vec<PeerId> = natures.keys().copied().collect();
        let mut plan = Plan::new(seed, &named, start);
        plan.begin(Ranges::from(0..pieces), start);
        Self {
            plan,
            now: start,
            start,
            natures,
            running: BTreeMap::new(),
            unproven: (0..pieces).collect(),
            dropped: BTreeSet::new(),
            liars: BTreeSet::new(),
            is_asked: false,
            outcome: None,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
        }
    }

    /// Runs until the planner ends, or `secs` of its time have passed.
    fn run(&mut self, secs: u64) -> Option<Result<(), Outcome>> {
        self.act();
        while self.outcome.is_none() && self.now < self.start + Duration::from_secs(secs) {
            assert!(
                self.plan.wake_at(self.now).is_some() || !self.running.is_empty(),
                "it waits for nothing"
            );
            self.now += STEP;
            let runs: Vec<RunId> = self.running.keys().copied().collect();
            runs.into_iter().for_each(|run| self.advance(run));
            if std::mem::take(&mut self.is_asked) {
                let named = self.natures.keys().copied().collect::<Vec<_>>();
                self.dropped = self.liars.clone();
                self.tell(Event::Named(named));
            }
            self.tell(Event::Tick);
        }
        self.outcome
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
                Action::Drop { peer, fault } => {
                    assert!(
                        !self.running.values().any(|run| run.peer == peer),
                        "a dropped source still runs"
                    );
                    assert!(
                        fault != Fault::Lied || self.liars.contains(&peer),
                        "an honest source is called a liar"
                    );
                    self.dropped.insert(peer);
                }
                Action::AskIndex => assert!(!std::mem::replace(&mut self.is_asked, true), "asked twice"),
                Action::Finish => self.outcome = Some(Ok(())),
                Action::GiveUp(outcome) => self.outcome = Some(Err(outcome)),
            }
        }
        self.check();
    }

    fn fetch(&mut self, run: RunId, peer: PeerId, pieces: Range<u64>) {
        assert!(!self.dropped.contains(&peer), "something is asked of a dropped source");
        assert!(!pieces.is_empty() && pieces.end - pieces.start <= RUN_MAX);
        assert!(
            pieces.clone().any(|piece| self.unproven.contains(&piece)),
            "only what is proven is asked for"
        );
        let run =
            self.running.insert(run, SimRun { peer, left: pieces, sent: 0, bytes: 0, has_begun: false });
        assert!(run.is_none(), "a run's number is used twice");
    }

    fn check(&self) {
        assert!(self.running.len() <= LANES_MAX);
        for peer in self.natures.keys() {
            assert!(self.running.values().filter(|run| run.peer == *peer).count() <= SOURCE_LANES_MAX);
        }
        for piece in 0..self.unproven.last().map_or(0, |last| last + 1) {
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

    fn elapsed_secs(&self) -> u64 {
        (self.now - self.start).as_secs()
    }

    /// What a source does within one step.
    fn advance(&mut self, id: RunId) {
        let Some(run) = self.running.get_mut(&id) else { return };
        let (peer, has_begun, sent) = (run.peer, std::mem::replace(&mut run.has_begun, true), run.sent);
        let nature = self.natures[&peer].clone();
        let secs = self.elapsed_secs();
        if !has_begun {
            self.tell(Event::Asked(id));
            if !matches!(nature, Nature::Silent | Nature::Empty | Nature::Busy { .. }) {
                self.tell(Event::Began(id));
            }
            return;
        }
        match nature {
            Nature::Honest { kib_per_sec } => self.send(id, kib_per_sec << 10),
            Nature::Lying { one_in } if self.chance(one_in) => {
                self.liars.insert(peer);
                self.running.remove(&id);
                self.tell(Event::Wrong(id));
            }
            Nature::Stalling { after_pieces } if sent >= after_pieces => {}
            Nature::Silent => {}
            Nature::Dribbling => self.tell(Event::Received(id, 1)),
            Nature::Cutting { after_pieces } if sent >= after_pieces => self.fail(id, Fault::Garbled),
            Nature::Vanishing { at_secs } if secs >= at_secs => self.fail(id, Fault::Unreachable),
            Nature::Busy { until_secs } if secs < until_secs => {
                self.running.remove(&id);
                self.tell(Event::Busy(id, Duration::from_secs(2)));
            }
            Nature::Busy { .. } if sent == 0 && self.running[&id].bytes == 0 => {
                self.tell(Event::Began(id));
                self.send(id, 4 << 20);
            }
            Nature::Empty => self.fail(id, Fault::Absent),
            _ => self.send(id, 4 << 20),
        }
    }

    fn fail(&mut self, id: RunId, fault: Fault) {
        self.running.remove(&id);
        self.tell(Event::Failed(id, fault));
    }

    fn send(&mut self, id: RunId, bytes_per_sec: u64) {
        let Some(run) = self.running.get(&id) else { return };
        let lanes = self.running.values().filter(|other| other.peer == run.peer).count() as u64;
        let mut bytes = (bytes_per_sec / 10 / lanes).max(1);
        while bytes > 0 {
            let Some(run) = self.running.get_mut(&id) else { return };
            let step = bytes.min((1 << 20) - run.bytes);
            run.bytes += step;
            bytes -= step;
            let is_whole = run.bytes == 1 << 20;
            let piece = run.left.start;
            if is_whole {
                run.bytes = 0;
                run.sent += 1;
                run.left.start += 1;
            }
            let is_done = run.left.is_empty();
            // Before the piece counts: what this leads to is asked while it is still wanted.
            self.tell(Event::Received(id, step));
            if is_whole && self.running.contains_key(&id) {
                self.unproven.remove(&piece);
                if is_done {
                    self.running.remove(&id);
                }
                self.tell(Event::Proven(id));
            }
        }
    }
}

fn nature() -> impl Strategy<Value = Nature> {
    prop_oneof![
        3 => (100_u64..50_000).prop_map(|kib_per_sec| Nature::Honest { kib_per_sec }),
        1 => (1_u64..200).prop_map(|one_in| Nature::Lying { one_in }),
        1 => (0_u64..5).prop_map(|after_pieces| Nature::Stalling { after_pieces }),
        1 => Just(Nature::Silent),
        1 => Just(Nature::Dribbling),
        1 => (0_u64..3).prop_map(|after_pieces| Nature::Cutting { after_pieces }),
        1 => (0_u64..20).prop_map(|at_secs| Nature::Vanishing { at_secs }),
        1 => (0_u64..30).prop_map(|until_secs| Nature::Busy { until_secs }),
        1 => Just(Nature::Empty),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn it_ends_while_one_honest_source_stays(
        seed: u64,
        pieces in 1_u64..60,
        mut natures in proptest::collection::vec(nature(), 0..9),
        at in any::<prop::sample::Index>(),
        kib_per_sec in 200_u64..100_000,
    ) {
        let at = at.index(natures.len() + 1);
        natures.insert(at, Nature::Honest { kib_per_sec });
        let mut sim = Sim::new(seed, pieces, natures);
        // The honest one alone takes at most five minutes; the others may waste as much of its time again.
        prop_assert_eq!(sim.run(900), Some(Ok(())));
        prop_assert!(sim.unproven.is_empty());
    }

    #[test]
    fn it_ends_whoever_the_sources_are(
        seed: u64,
        pieces in 1_u64..20,
        natures in proptest::collection::vec(nature(), 0..6),
    ) {
        let mut sim = Sim::new(seed, pieces, natures);
        let outcome = sim.run(3_600);
        prop_assert!(outcome.is_some(), "it never ends");
        prop_assert_eq!(outcome == Some(Ok(())), sim.unproven.is_empty());
    }

    #[test]
    fn the_same_seed_gives_the_same_story(seed: u64, natures in proptest::collection::vec(nature(), 1..6)) {
        let story = |mut sim: Sim| (sim.run(600), sim.now - sim.start, sim.liars);
        let (one, two) = (Sim::new(seed, 20, natures.clone()), Sim::new(seed, 20, natures));
        prop_assert_eq!(story(one), story(two));
    }
}

const FAST: Nature = Nature::Honest { kib_per_sec: 20 << 10 };

#[test]
fn a_lone_liar_makes_it_corrupt_and_a_second_source_mends_it() {
    let liar = Nature::Lying { one_in: 1 };
    assert_eq!(Sim::new(1, 10, vec![liar.clone()]).run(10), Some(Err(Outcome::Corrupt)));
    assert_eq!(Sim::new(1, 10, vec![liar.clone(), liar.clone()]).run(10), Some(Err(Outcome::Corrupt)));
    assert_eq!(Sim::new(1, 10, vec![liar, FAST]).run(30), Some(Ok(())));
}

#[test]
fn sources_that_are_gone_or_empty_are_unreachable_after_some_attempts() {
    for nature in [Nature::Vanishing { at_secs: 0 }, Nature::Empty, Nature::Cutting { after_pieces: 0 }] {
        let mut sim = Sim::new(2, 10, vec![nature.clone()]);
        assert_eq!(sim.run(30), Some(Err(Outcome::Unreachable)), "{nature:?}");
        assert!(sim.now - sim.start >= Duration::from_secs(1), "{nature:?} deserves a second look");
    }
    assert_eq!(Sim::new(2, 10, vec![]).run(10), Some(Err(Outcome::NoSource)));
}

#[test]
fn a_source_that_is_always_busy_is_borne_for_ten_minutes() {
    let mut sim = Sim::new(3, 1, vec![Nature::Busy { until_secs: 10_000 }]);
    assert_eq!(sim.run(700), Some(Err(Outcome::Busy)));
    assert!(sim.now - sim.start >= BUSY_PATIENCE);
    assert_eq!(Sim::new(3, 10, vec![Nature::Busy { until_secs: 100 }]).run(120), Some(Ok(())));
}

#[test]
fn a_connection_cut_after_every_piece_still_brings_the_file() {
    let mut sim = Sim::new(4, 50, vec![Nature::Cutting { after_pieces: 1 }]);
    assert_eq!(sim.run(200), Some(Ok(())));
}

#[test]
fn a_stalled_source_costs_seconds_where_another_is_there() {
    for slow in [Nature::Stalling { after_pieces: 1 }, Nature::Silent, Nature::Dribbling] {
        let mut sim = Sim::new(5, 40, vec![slow.clone(), FAST]);
        assert_eq!(sim.run(60), Some(Ok(())));
        let took = sim.now - sim.start;
        assert!(took < Duration::from_secs(8), "{slow:?}: 40 pieces at 20 a second took {took:?}");
    }
}

#[test]
fn the_last_pieces_do_not_wait_for_a_slow_source() {
    let slow = Nature::Honest { kib_per_sec: 50 };
    let mut sim = Sim::new(6, 40, vec![slow.clone(), slow, FAST]);
    assert_eq!(sim.run(60), Some(Ok(())));
    let took = sim.now - sim.start;
    assert!(took < Duration::from_secs(6), "a slow source's piece alone takes 20 s, all took {took:?}");
}

#[test]
fn four_sources_share_the_work() {
    let mut sim = Sim::new(7, 200, vec![FAST; 4]);
    assert_eq!(sim.run(60), Some(Ok(())));
    let took = sim.now - sim.start;
    assert!(took < Duration::from_secs(5), "one alone takes 10 s, four took {took:?}");
}
