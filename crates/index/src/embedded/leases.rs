//! Who is here until when, and in which order a peer's messages count. Pure: time is an argument, and no clock is read.
//!
//! **Leases.** A peer is here from its announcement until [`Leases::end`], which the caller does when it quits or when
//! [`Leases::ended`] tells its lease is over. Between the end of a lease and that call it is still here, and a
//! heartbeat keeps it: what counts is what the answers show. A lease never gets shorter. To renew one only the number of its
//! end is changed, which takes no lock: with 1.5 million peers 50,000 are renewed every second.
//!
//! **Order.** Epochs only grow; batches count 0, 1, 2, … within one. A message of a lower epoch is refused. An
//! announcement of the *same* epoch is taken for a retry, or for a late copy of one that was retried:
//! - while the peer is here and batches of the epoch were applied, it must not destroy them: no file changes, the count
//!   goes on, and the answer is the first one's again, but no resync is asked for once the digests agree;
//! - otherwise it is decided as a new one is. Deciding twice on the same files and digest gives the same answer.
//!
//! Should a peer reuse an epoch against the rule, what goes amiss shows in its next heartbeat's digest.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;
use peerage_wire::api::BatchOrder;
use peerage_wire::limits;

use super::arena::PeerKey;
use crate::{Error, Moment, Result};

/// Entries of the queue that one call of [`Leases::ended`] looks at: some tenths of a millisecond.
const LOOKED_AT_MAX: usize = 512;
/// The end of the lease of a peer that is not here.
const ABSENT: u64 = 0;

/// The end of every live peer's lease.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// In milliseconds, by peer number.
    ends: Vec<AtomicU64>,
    queue: Mutex<Queue>,
}

/// Every live peer once, by a moment at which its lease may be over. Renewing a lease leaves it where it is: who is found
/// to be here for longer is put further back.
#[derive(Debug, Default)]
struct Queue {
    order: BTreeSet<(Moment, PeerKey)>,
    /// Where each stands in it, by peer number.
    places: Vec<Moment>,
}

impl Leases {
    /// The peer is here, and for a whole lease from `now`.
    pub(super) fn begin(&mut self, peer: PeerKey, now: Moment) {
        if self.is_live(peer) {
            return self.renew(peer, now);
        }
        let (at, end) = (u32::from(peer) as usize, now.after(limits::LEASE));
        let len = self.ends.len().max(at + 1);
        self.ends.resize_with(len, || AtomicU64::new(ABSENT));
        *self.ends[at].get_mut() = end.millis();
        self.queue.get_mut().put(peer, end);
    }

    /// A peer that is here stays for a whole lease from `now`. Nobody who reads leases is kept waiting by it.
    pub(super) fn renew(&self, peer: PeerKey, now: Moment) {
        let end = self.ends.get(u32::from(peer) as usize);
        // Nobody else begins or ends a lease meanwhile: for that all of them are borrowed.
        if let Some(end) = end.filter(|end| end.load(Ordering::Relaxed) != ABSENT) {
            end.fetch_max(now.after(limits::LEASE).millis(), Ordering::Relaxed);
        }
    }

    /// The peer is not here any more. Tells whether it was.
    pub(super) fn end(&mut self, peer: PeerKey) -> bool {
        let was_live = self.is_live(peer);
        if let Some(end) = self.ends.get_mut(u32::from(peer) as usize) {
            *end.get_mut() = ABSENT;
        }
        if was_live {
            self.queue.get_mut().take(peer);
        }
        was_live
    }

    /// Whether the peer is here.
    pub(super) fn is_live(&self, peer: PeerKey) -> bool {
        self.end_of(peer).is_some()
    }

    /// Whether the peer is here although its lease ended at or before `now`.
    pub(super) fn is_over(&self, peer: PeerKey, now: Moment) -> bool {
        self.end_of(peer).is_some_and(|end| end <= now)
    }

    /// How many are here.
    pub(super) fn len(&self) -> usize {
        self.queue.lock().order.len()
    }

    /// Some of those whose lease ended at or before `now`, the first to end first among them, and whether these are all. They
    /// are told again until their lease is ended or renewed.
    pub(super) fn ended(&self, now: Moment) -> (Vec<PeerKey>, bool) {
        let mut queue = self.queue.lock();
        let due = queue.order.iter().take_while(|(moment, _)| *moment <= now).take(LOOKED_AT_MAX);
        let due: Vec<PeerKey> = due.map(|(_, peer)| *peer).collect();
        let mut ended = Vec::new();
        for peer in &due {
            match self.end_of(*peer) {
                Some(end) if end > now => queue.put(*peer, end),
                Some(end) => ended.push((end, *peer)),
                None => queue.take(*peer),
            }
        }
        ended.sort_unstable();
        (ended.into_iter().map(|(_, peer)| peer).collect(), due.len() < LOOKED_AT_MAX)
    }

    fn end_of(&self, peer: PeerKey) -> Option<Moment> {
        let end = self.ends.get(u32::from(peer) as usize)?.load(Ordering::Relaxed);
        (end != ABSENT).then(|| Moment::from_millis(end))
    }
}

impl Queue {
    /// Puts a peer into its place, and takes it out of the one that it had.
    fn put(&mut self, peer: PeerKey, moment: Moment) {
        self.take(peer);
        let at = u32::from(peer) as usize;
        if self.places.len() <= at {
            self.places.resize(at + 1, Moment::default());
        }
        self.places[at] = moment;
        self.order.insert((moment, peer));
    }

    fn take(&mut self, peer: PeerKey) {
        if let Some(place) = self.places.get(u32::from(peer) as usize) {
            self.order.remove(&(*place, peer));
        }
    }
}

/// Where one peer stands in its own order of messages.
#[derive(Debug, Clone, Copy)]
pub(super) struct Order {
    epoch: u64,
    next_seq: u64,
    has_asked_for_all: bool,
}

/// How an announcement is to be taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reading {
    /// Compare the digests, and drop what differs.
    New,
    /// A retry: change no file.
    Again {
        /// Whether the first answer asked for every file.
        has_asked_for_all: bool,
    },
}

/// What to do with a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// It is the next: apply it.
    Apply,
    /// It was applied before: acknowledge it.
    Acknowledge,
}

impl Order {
    /// That of a peer never heard of.
    pub(super) const fn starting(epoch: u64) -> Self {
        Self { epoch, next_seq: 0, has_asked_for_all: false }
    }

    /// As a store kept it.
    pub(super) const fn restored(epoch: u64, next_seq: u64, has_asked_for_all: bool) -> Self {
        Self { epoch, next_seq, has_asked_for_all }
    }

    /// The announced epoch, the next batch's number in it, and whether every file was asked for.
    pub(super) const fn parts(&self) -> (u64, u64, bool) {
        (self.epoch, self.next_seq, self.has_asked_for_all)
    }

    /// Reads an announcement of an epoch.
    pub(super) fn announce(&mut self, epoch: u64, is_live: bool) -> Result<Reading> {
        if epoch < self.epoch {
            return Err(Error::StaleEpoch { current: self.epoch, found: epoch });
        }
        if epoch == self.epoch && is_live && self.next_seq > 0 {
            return Ok(Reading::Again { has_asked_for_all: self.has_asked_for_all });
        }
        *self = Self::starting(epoch);
        Ok(Reading::New)
    }

    /// Reads a batch's place.
    pub(super) fn step(&self, order: BatchOrder) -> Result<Step> {
        if order.epoch != self.epoch || order.seq > self.next_seq {
            return Err(Error::OutOfOrder {
                expected_epoch: self.epoch,
                expected_seq: self.next_seq,
                found_epoch: order.epoch,
                found_seq: order.seq,
            });
        }
        Ok(if order.seq == self.next_seq { Step::Apply } else { Step::Acknowledge })
    }

    /// Reads a heartbeat's epoch. One that was never announced here is a peer this index does not know yet.
    pub(super) fn heartbeat(&self, epoch: u64) -> Result<()> {
        match epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => Err(Error::StaleEpoch { current: self.epoch, found: epoch }),
            std::cmp::Ordering::Equal => Ok(()),
            std::cmp::Ordering::Greater => Err(Error::UnknownPeer),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_lease_ends_on_the_dot_and_never_gets_shorter() {
        let (mut leases, peer, other) = (Leases::default(), PeerKey::from(1), PeerKey::from(2));
        let start = Moment::from_millis(1_000);
        leases.begin(peer, start.after(Duration::from_secs(30)));
        leases.renew(peer, start); // a slower thread with an older clock
        leases.begin(other, start);
        let end = start.after(limits::LEASE);
        assert_eq!(leases.ended(end), (vec![other], true));
        assert_eq!(leases.ended(Moment::from_millis(1_000 + 89_999)), (vec![], true));
        assert_eq!(leases.ended(end.after(Duration::from_secs(30))), (vec![other, peer], true));
        assert!(leases.is_over(other, end) && !leases.is_over(peer, end));
        assert!(leases.end(other) && !leases.end(other));
        assert!(leases.is_live(peer) && !leases.is_live(other));
        assert_eq!(leases.len(), 1);
        leases.renew(other, end); // it is gone: only an announcement or a return begins a lease
        assert!(!leases.is_live(other));
    }

    #[test]
    fn a_renewed_lease_ends_when_it_says_and_many_are_told_part_by_part() {
        let (mut leases, start) = (Leases::default(), Moment::from_millis(1_000));
        let many = u32::try_from(LOOKED_AT_MAX).unwrap() * 2;
        (0..many).for_each(|peer| leases.begin(PeerKey::from(peer), start));
        let later = start.after(limits::LEASE / 3);
        (0..many / 2).for_each(|peer| leases.renew(PeerKey::from(peer), later));

        let mut told = Vec::new();
        let all_ended = |leases: &mut Leases, now, told: &mut Vec<PeerKey>| {
            loop {
                let (ended, are_all) = leases.ended(now);
                ended.iter().for_each(|peer| assert!(leases.end(*peer)));
                told.extend(ended);
                if are_all {
                    return;
                }
            }
        };
        all_ended(&mut leases, start.after(limits::LEASE), &mut told);
        assert_eq!(told, (many / 2..many).map(PeerKey::from).collect::<Vec<_>>());
        told.clear();
        all_ended(&mut leases, later.after(limits::LEASE), &mut told);
        assert_eq!(told, (0..many / 2).map(PeerKey::from).collect::<Vec<_>>());
        assert_eq!(leases.len(), 0);
    }

    #[test]
    fn batches_are_taken_one_after_the_other() {
        let mut order = Order::starting(5);
        let batch = |epoch, seq| BatchOrder { epoch, seq };
        assert_eq!(order.step(batch(5, 0)), Ok(Step::Apply));
        order = Order::restored(5, 1, false);
        assert_eq!(order.step(batch(5, 0)), Ok(Step::Acknowledge));
        assert_eq!(order.step(batch(5, 1)), Ok(Step::Apply));
        for (epoch, seq) in [(5, 2), (4, 1), (6, 0)] {
            let refused =
                Error::OutOfOrder { expected_epoch: 5, expected_seq: 1, found_epoch: epoch, found_seq: seq };
            assert_eq!(order.step(batch(epoch, seq)), Err(refused));
        }
    }

    #[test]
    fn an_announcement_is_a_retry_only_where_it_could_destroy() {
        let mut order = Order::restored(5, 0, true);
        assert_eq!(order.announce(5, true), Ok(Reading::New));
        order = Order::restored(5, 1, true);
        assert_eq!(order.announce(5, true), Ok(Reading::Again { has_asked_for_all: true }));
        assert_eq!(order.announce(4, true), Err(Error::StaleEpoch { current: 5, found: 4 }));
        assert_eq!(order.announce(5, false), Ok(Reading::New));
        assert_eq!(order.step(BatchOrder { epoch: 5, seq: 0 }), Ok(Step::Apply));
        order = Order::restored(5, 1, false);
        assert_eq!(order.announce(6, true), Ok(Reading::New));
        assert_eq!(order.heartbeat(5), Err(Error::StaleEpoch { current: 6, found: 5 }));
        assert_eq!((order.heartbeat(6), order.heartbeat(7)), (Ok(()), Err(Error::UnknownPeer)));
    }
}
