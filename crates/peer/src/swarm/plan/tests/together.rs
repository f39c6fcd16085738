//! A whole swarm of planners in simulated time: one seed, several downloaders, links of one rate.
//!
//! Doors grant slots as the real ones do; the index learns of a download a second after its first piece; who is done
//! leaves at once and cuts what it was sending.

use std::collections::{BTreeMap, VecDeque};
use std::ops::Range;

use super::links::{Node, rates};
use super::sim::peer;
use super::*;
use crate::have::Have;

/// The simulation's step; a message takes one.
const STEP: Duration = Duration::from_millis(50);
const PIECE: u64 = 1 << 20;
/// A link of 100 Mbit/s.
const BYTES_PER_SEC: f64 = 12_500_000.0;
/// A door's slots, in all and for one peer, and how long it lets a request wait.
const SLOTS: usize = 8;
const SLOTS_PER_PEER: usize = 4;
const SLOT_WAIT: Duration = Duration::from_secs(5);
/// From a first piece to the index's knowing it.
const TOLD_AFTER: Duration = Duration::from_secs(1);
/// The seed's node; the downloaders come after it.
const SEED: Node = 0;

struct Swarm {
    now: Instant,
    start: Instant,
    pieces: u64,
    getters: BTreeMap<Node, Getter>,
    flows: BTreeMap<(Node, RunId), Flow>,
    messages: VecDeque<(Instant, Node, Event)>,
    /// Pieces that the seed has sent.
    seeded: u64,
    finished: BTreeMap<Node, Duration>,
}

struct Getter {
    plan: Plan,
    have: Have,
    first_at: Option<Instant>,
    wake_at: Option<Instant>,
}

struct Flow {
    from: Node,
    left: Range<u64>,
    /// Of the piece under way, and of them those the planner was told of.
    bytes: f64,
    told: u64,
    asked_at: Instant,
    has_slot: bool,
}

fn id(node: Node) -> PeerId {
    peer(u8::try_from(node + 1).unwrap())
}

fn node(peer: PeerId) -> Node {
    usize::from(peer.as_bytes()[0]) - 1
}

impl Swarm {
    fn new(seed: u64, pieces: u64, getters: usize) -> Self {
        let start = Instant::now();
        let getter = |node: Node| {
            let mut plan = Plan::new(seed * 1_000 + node as u64, &[(id(SEED), Holding::Whole)], start);
            plan.begin_pieces(Ranges::from(0..pieces), pieces, start);
            (node, Getter { plan, have: Have::none(pieces), first_at: None, wake_at: Some(start) })
        };
        Self {
            now: start,
            start,
            pieces,
            getters: (1..=getters).map(getter).collect(),
            flows: BTreeMap::new(),
            messages: VecDeque::new(),
            seeded: 0,
            finished: BTreeMap::new(),
        }
    }

    fn run(&mut self) {
        self.getters.keys().copied().collect::<Vec<_>>().into_iter().for_each(|node| self.act(node));
        while !self.getters.is_empty() {
            self.now += STEP;
            assert!(self.now < self.start + Duration::from_secs(3_600), "it never ends");
            while let Some((_, node, event)) = self.messages.pop_front_if(|(at, _, _)| *at <= self.now) {
                self.tell(node, event);
            }
            self.grant();
            self.send();
            for node in self.getters.keys().copied().collect::<Vec<_>>() {
                if self.getters.get(&node).and_then(|getter| getter.wake_at).is_some_and(|at| at <= self.now)
                {
                    self.tick(node);
                }
            }
        }
    }

    fn tick(&mut self, node: Node) {
        let flows = self.flows.iter_mut().filter(|((to, _), _)| *to == node);
        let news: Vec<(RunId, u64)> = flows
            .map(|((_, run), flow)| {
                #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "below 2^20")]
                let bytes = flow.bytes as u64;
                (*run, bytes - std::mem::replace(&mut flow.told, bytes))
            })
            .collect();
        news.into_iter().for_each(|(run, bytes)| self.tell(node, Event::Received(run, bytes)));
        self.tell(node, Event::Tick);
    }

    fn tell(&mut self, node: Node, event: Event) {
        let Some(getter) = self.getters.get_mut(&node) else { return };
        getter.plan.handle(event, self.now);
        self.act(node);
    }

    fn act(&mut self, node: Node) {
        while let Some(action) = self.getters.get_mut(&node).and_then(|getter| getter.plan.next_action()) {
            let soon = self.now + STEP;
            match action {
                Action::Fetch { run, peer, pieces } => self.fetch(node, run, peer, pieces),
                Action::Cancel(run) => drop(self.flows.remove(&(node, run))),
                Action::AskHave { peer } => {
                    let of = self.getters.get(&self::node(peer)).map(|getter| getter.have.clone());
                    let failed = Event::HasFailed(peer, Fault::Unreachable);
                    self.messages.push_back((soon, node, of.map_or(failed, |have| Event::Has(peer, have))));
                }
                Action::Drop { peer, fault } => {
                    assert!(self.finished.contains_key(&self::node(peer)), "{fault:?}, though it is there");
                }
                Action::AskIndex => {
                    let named = self.named(node);
                    self.messages.push_back((soon, node, Event::Named(named)));
                }
                Action::Finish => self.leave(node),
                Action::GiveUp(outcome) => panic!("it gives up: {outcome:?}"),
            }
        }
        if let Some(getter) = self.getters.get_mut(&node) {
            getter.wake_at = getter.plan.wake_at(self.now);
        }
    }

    /// What the index says.
    fn named(&self, node: Node) -> Vec<(PeerId, Holding)> {
        let is_known = |getter: &Getter| getter.first_at.is_some_and(|first| first + TOLD_AFTER <= self.now);
        let others = self.getters.iter().filter(|(other, getter)| **other != node && is_known(getter));
        let others = others.map(|(other, _)| (id(*other), Holding::Partial));
        std::iter::once((id(SEED), Holding::Whole)).chain(others).collect()
    }

    fn fetch(&mut self, node: Node, run: RunId, peer: PeerId, pieces: Range<u64>) {
        let from = self::node(peer);
        let is_there = from == SEED || self.getters.contains_key(&from);
        if !is_there {
            let gone = Event::Failed(run, Fault::Unreachable);
            return self.messages.push_back((self.now + STEP, node, gone));
        }
        if let Some(getter) = self.getters.get(&from) {
            assert!(pieces.clone().all(|piece| getter.have.contains(piece)), "it never said so");
        }
        let flow = Flow { from, left: pieces, bytes: 0.0, told: 0, asked_at: self.now, has_slot: false };
        self.flows.insert((node, run), flow);
        self.messages.push_back((self.now, node, Event::Asked(run)));
    }

    /// Gives free slots to those who wait: to whom has the fewest, then to whom waits longest.
    fn grant(&mut self) {
        for from in 0..=self.getters.keys().last().copied().unwrap_or(0) {
            loop {
                let of = |to: Node, flows: &BTreeMap<(Node, RunId), Flow>| {
                    let taken = |((other, _), flow): &(&(Node, RunId), &Flow)| {
                        flow.from == from && flow.has_slot && *other == to
                    };
                    flows.iter().filter(taken).count()
                };
                let taken = self.flows.values().filter(|flow| flow.from == from && flow.has_slot).count();
                let waiting = self.flows.iter().filter(|(_, flow)| flow.from == from && !flow.has_slot);
                let waiting = waiting.filter(|(_, flow)| flow.asked_at < self.now);
                let next = waiting.min_by_key(|((to, _), flow)| (of(*to, &self.flows), flow.asked_at));
                let Some((to, run)) = next.map(|(key, _)| *key).filter(|_| taken < SLOTS) else { break };
                if of(to, &self.flows) >= SLOTS_PER_PEER {
                    break;
                }
                self.flows.get_mut(&(to, run)).unwrap().has_slot = true;
                self.tell(to, Event::Began(run));
            }
        }
        let late = |flow: &Flow| !flow.has_slot && self.now >= flow.asked_at + SLOT_WAIT;
        let late: Vec<_> = self.flows.iter().filter(|(_, flow)| late(flow)).map(|(key, _)| *key).collect();
        for (to, run) in late {
            self.flows.remove(&(to, run));
            self.tell(to, Event::Busy(run, Duration::from_secs(2)));
        }
    }

    /// Moves bytes for one step.
    fn send(&mut self) {
        let flows: Vec<_> = self.flows.iter().filter(|(_, flow)| flow.has_slot).collect();
        let flows: Vec<_> = flows.into_iter().map(|(key, flow)| (*key, flow.from, key.0)).collect();
        let nodes = flows.iter().map(|(_, from, to)| (*from).max(*to) + 1).max().unwrap_or(0);
        for (key, rate) in rates(&flows, nodes, BYTES_PER_SEC) {
            let Some(flow) = self.flows.get_mut(&key) else { continue };
            flow.bytes += rate * STEP.as_secs_f64();
            while self.flows.get(&key).is_some_and(|flow| flow.bytes >= PIECE as f64) {
                self.bring(key);
            }
        }
    }

    /// A piece is there.
    fn bring(&mut self, (node, run): (Node, RunId)) {
        let Some(flow) = self.flows.get_mut(&(node, run)) else { return };
        flow.bytes -= PIECE as f64;
        let (from, rest) = (flow.from, PIECE - std::mem::take(&mut flow.told));
        let piece = flow.left.next().unwrap();
        if flow.left.is_empty() {
            self.flows.remove(&(node, run));
        }
        self.seeded += u64::from(from == SEED);
        let getter = self.getters.get_mut(&node).unwrap();
        getter.have.insert(piece);
        getter.first_at.get_or_insert(self.now);
        self.tell(node, Event::Received(run, rest));
        self.tell(node, Event::Proven(run));
    }

    /// Whoever has all goes, and what it was sending breaks off.
    fn leave(&mut self, node: Node) {
        let getter = self.getters.remove(&node).unwrap();
        assert_eq!(getter.have.count(), self.pieces);
        self.finished.insert(node, self.now - self.start);
        self.flows.retain(|(to, _), _| *to != node);
        let cut: Vec<_> =
            self.flows.iter().filter(|(_, flow)| flow.from == node).map(|(key, _)| *key).collect();
        for (to, run) in cut {
            self.flows.remove(&(to, run));
            self.messages.push_back((self.now, to, Event::Failed(run, Fault::Unreachable)));
        }
    }
}

/// The time until everybody is done, in that of one copy over the link.
fn copies(seed: u64, pieces: u64) -> f64 {
    let mut swarm = Swarm::new(seed, pieces, 8);
    swarm.run();
    let last = swarm.finished.values().max().unwrap().as_secs_f64();
    let copies = last / ((pieces * PIECE) as f64 / BYTES_PER_SEC);
    println!("seed {seed}: {pieces} pieces in {copies:.3} times one copy, {} sent by the seed", swarm.seeded);
    copies
}

#[test]
fn one_seed_feeds_eight_downloaders_in_little_more_than_the_time_of_one_copy() {
    for seed in 1..=2 {
        assert!(copies(seed, 1_024) <= 1.25);
    }
}

#[test]
fn a_shorter_content_takes_eight_downloaders_hardly_longer() {
    for seed in 1..=3 {
        assert!(copies(seed, 512) <= 1.25);
    }
}
