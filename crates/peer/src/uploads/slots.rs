//! Who may have a body sent now, who waits, and who is turned away: a pure state machine, the time an argument.
//!
//! Invariants: never more than `total` slots are out, never more than `per_asker` to one asker; a free slot
//! goes to the asker whose turn is longest ago, so whoever asks for a whole folder waits behind whoever asks
//! for one file; nobody waits longer than [`WAIT_MAX`], and no more than [`QUEUE_MAX`] wait.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::time::{Duration, Instant};

use peerage_wire::PeerId;

/// How long an asker waits for a slot before it is told to come back: shorter than any client's patience.
pub(super) const WAIT_MAX: Duration = Duration::from_secs(5);
/// Requests that wait at the same time: each holds a connection.
pub(super) const QUEUE_MAX: usize = 256;
/// Requests of one asker that wait at the same time.
pub(super) const QUEUE_PER_ASKER_MAX: usize = 16;
/// When one that was turned away may ask again.
pub(super) const RETRY_AFTER: Duration = Duration::from_secs(2);

/// Who wants a slot: a key, or the address of someone who showed none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Asker {
    Peer(PeerId),
    Address(IpAddr),
}

/// A place in the queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Ticket(u64);

/// What asking for a slot gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answer {
    Granted,
    Wait { ticket: Ticket, until: Instant },
    Refused,
}

/// The slots of one door.
pub(super) struct Slots {
    total: usize,
    per_asker: usize,
    busy: usize,
    running: HashMap<Asker, usize>,
    waiting: HashMap<Asker, VecDeque<(Ticket, Instant)>>,
    /// Everyone in `waiting` once, the next to be served first.
    turns: VecDeque<Asker>,
    next_ticket: u64,
}

impl Slots {
    pub(super) fn new(total: usize, per_asker: usize) -> Self {
        Self {
            total,
            per_asker,
            busy: 0,
            running: HashMap::new(),
            waiting: HashMap::new(),
            turns: VecDeque::new(),
            next_ticket: 0,
        }
    }

    /// Asks for a slot. Where one is free for this asker nobody else that waits could have taken it.
    pub(super) fn ask(&mut self, asker: Asker, now: Instant) -> Answer {
        if self.may_run(asker) {
            self.start(asker);
            return Answer::Granted;
        }
        self.forget_late(now);
        let own = self.waiting.get(&asker).map_or(0, VecDeque::len);
        if own >= QUEUE_PER_ASKER_MAX || self.waiting_count() >= QUEUE_MAX {
            return Answer::Refused;
        }
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        let until = now + WAIT_MAX;
        self.waiting.entry(asker).or_default().push_back((ticket, until));
        if own == 0 {
            self.turns.push_back(asker);
        }
        Answer::Wait { ticket, until }
    }

    /// Gives a slot back; whoever holds the returned ticket has it from now on.
    pub(super) fn release(&mut self, asker: Asker, now: Instant) -> Option<Ticket> {
        self.busy = self.busy.saturating_sub(1);
        if let Some(count) = self.running.get_mut(&asker) {
            *count -= 1;
            if *count == 0 {
                self.running.remove(&asker);
            }
        }
        self.forget_late(now);
        let next = self.turns.iter().position(|asker| self.may_run(*asker))?;
        let asker = self.turns.remove(next)?;
        let queue = self.waiting.get_mut(&asker)?;
        let (ticket, _) = queue.pop_front()?;
        if queue.is_empty() {
            self.waiting.remove(&asker);
        } else {
            self.turns.push_back(asker);
        }
        self.start(asker);
        Some(ticket)
    }

    /// Leaves the queue; `false` where the ticket has got its slot, or is not known any more.
    pub(super) fn leave(&mut self, asker: Asker, ticket: Ticket) -> bool {
        let Some(queue) = self.waiting.get_mut(&asker) else { return false };
        let before = queue.len();
        queue.retain(|(waiting, _)| *waiting != ticket);
        let has_left = queue.len() < before;
        self.forget_idle();
        has_left
    }

    fn may_run(&self, asker: Asker) -> bool {
        self.busy < self.total && self.running.get(&asker).copied().unwrap_or(0) < self.per_asker
    }

    fn start(&mut self, asker: Asker) {
        self.busy += 1;
        *self.running.entry(asker).or_default() += 1;
    }

    fn waiting_count(&self) -> usize {
        self.waiting.values().map(VecDeque::len).sum()
    }

    fn forget_late(&mut self, now: Instant) {
        for queue in self.waiting.values_mut() {
            queue.retain(|(_, until)| *until > now);
        }
        self.forget_idle();
    }

    fn forget_idle(&mut self) {
        self.waiting.retain(|_, queue| !queue.is_empty());
        self.turns.retain(|asker| self.waiting.contains_key(asker));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn asker(number: u8) -> Asker {
        Asker::Peer(PeerId::from_bytes([number; 32]))
    }

    fn ticket(answer: Answer) -> Ticket {
        match answer {
            Answer::Wait { ticket, .. } => ticket,
            answer => panic!("expected to wait, got {answer:?}"),
        }
    }

    #[test]
    fn one_asker_never_has_more_than_its_share() {
        let mut slots = Slots::new(8, 4);
        let now = Instant::now();
        for _ in 0..4 {
            assert_eq!(slots.ask(asker(1), now), Answer::Granted);
        }
        let own = ticket(slots.ask(asker(1), now));
        assert_eq!(slots.ask(asker(2), now), Answer::Granted, "slots are left for others");
        assert_eq!(slots.release(asker(2), now), None, "what another frees is not for who has its share");
        assert_eq!(slots.release(asker(1), now), Some(own));
    }

    #[test]
    fn turns_go_round_by_asker_not_by_request() {
        let mut slots = Slots::new(2, 2);
        let now = Instant::now();
        assert_eq!([slots.ask(asker(1), now), slots.ask(asker(1), now)], [Answer::Granted; 2]);
        let greedy: Vec<Ticket> = (0..10).map(|_| ticket(slots.ask(asker(1), now))).collect();
        let modest = ticket(slots.ask(asker(2), now));
        assert_eq!(slots.release(asker(1), now), Some(greedy[0]));
        assert_eq!(slots.release(asker(1), now), Some(modest), "served before the greedy one's other nine");
        assert_eq!(slots.release(asker(1), now), Some(greedy[1]));
    }

    #[test]
    fn nobody_waits_for_ever() {
        let mut slots = Slots::new(1, 1);
        let now = Instant::now();
        assert_eq!(slots.ask(asker(1), now), Answer::Granted);
        let Answer::Wait { until, .. } = slots.ask(asker(2), now) else { panic!("the slot is taken") };
        assert_eq!(until, now + WAIT_MAX);
        assert_eq!(slots.release(asker(1), until), None, "it was told to come back");
        assert_eq!(slots.ask(asker(3), until), Answer::Granted);
    }

    #[test]
    fn the_queue_is_bounded_for_each_and_for_all() {
        let mut slots = Slots::new(0, 1);
        let now = Instant::now();
        for _ in 0..QUEUE_PER_ASKER_MAX {
            ticket(slots.ask(asker(1), now));
        }
        assert_eq!(slots.ask(asker(1), now), Answer::Refused);
        for waiting in QUEUE_PER_ASKER_MAX..QUEUE_MAX {
            ticket(slots.ask(asker(2 + u8::try_from(waiting / 10).unwrap()), now));
        }
        assert_eq!(slots.ask(asker(255), now), Answer::Refused);
    }

    #[test]
    fn who_leaves_is_not_served() {
        let mut slots = Slots::new(1, 1);
        let now = Instant::now();
        slots.ask(asker(1), now);
        let gone = ticket(slots.ask(asker(2), now));
        let next = ticket(slots.ask(asker(3), now));
        assert!(slots.leave(asker(2), gone));
        assert!(!slots.leave(asker(2), gone));
        assert_eq!(slots.release(asker(1), now), Some(next));
        assert!(!slots.leave(asker(3), next), "it has its slot");
    }

    proptest! {
        #[test]
        fn counts_hold_whatever_happens(steps in proptest::collection::vec((0_u8..4, 0_u8..3, 0_u64..3), 1..400)) {
            let mut slots = Slots::new(4, 2);
            let mut now = Instant::now();
            let mut running: HashMap<Asker, usize> = HashMap::new();
            let mut queued: HashMap<Ticket, Asker> = HashMap::new();
            for (who, what, secs) in steps {
                now += Duration::from_secs(secs);
                let who = asker(who);
                match what {
                    0 => match slots.ask(who, now) {
                        Answer::Granted => *running.entry(who).or_default() += 1,
                        Answer::Wait { ticket, .. } => { queued.insert(ticket, who); }
                        Answer::Refused => prop_assert!(queued.len() >= QUEUE_PER_ASKER_MAX),
                    },
                    1 if running.get(&who).is_some_and(|count| *count > 0) => {
                        *running.entry(who).or_default() -= 1;
                        if let Some(ticket) = slots.release(who, now) {
                            let next = queued.remove(&ticket);
                            prop_assert!(next.is_some(), "granted twice, or to nobody");
                            *running.entry(next.unwrap_or(who)).or_default() += 1;
                        }
                    }
                    _ => {
                        let own = queued.iter().find(|(_, asker)| **asker == who).map(|(ticket, _)| *ticket);
                        if let Some(ticket) = own {
                            slots.leave(who, ticket);
                            queued.remove(&ticket);
                        }
                    }
                }
                prop_assert!(running.values().all(|count| *count <= 2));
                prop_assert!(running.values().sum::<usize>() <= 4);
                prop_assert_eq!(slots.busy, running.values().sum::<usize>());
            }
        }
    }
}
