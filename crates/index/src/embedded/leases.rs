//! Who is here until when, and in which order a peer's messages count. Pure: time is an argument, and no clock is read.
//!
//! **Leases.** A peer is here from its announcement until [`Leases::end`], which the caller does when it quits or when
//! [`Leases::ended`] tells its lease is over. Between the end of a lease and that call it is still here, and a
//! heartbeat keeps it: what counts is what the answers show. A lease never gets shorter.
//!
//! **Order.** Epochs only grow; batches count 0, 1, 2, … within one. A message of a lower epoch is refused. An
//! announcement of the *same* epoch is taken for a retry, or for a late copy of one that was retried:
//! - while the peer is here and batches of the epoch were applied, it must not destroy them: no file changes, the count
//!   goes on, and the answer is the first one's again, but no resync is asked for once the digests agree;
//! - otherwise it is decided as a new one is. Deciding twice on the same files and digest gives the same answer.
//!
//! Should a peer reuse an epoch against the rule, what goes amiss shows in its next heartbeat's digest.

use std::collections::BTreeSet;

use peerage_wire::api::BatchOrder;
use peerage_wire::limits;

use super::arena::PeerKey;
use crate::{Error, Moment, Result};

/// The end of every live peer's lease.
#[derive(Debug, Default)]
pub(super) struct Leases {
    /// By peer number; `None` of those that are not here.
    ends: Vec<Option<Moment>>,
    queue: BTreeSet<(Moment, PeerKey)>,
}

impl Leases {
    /// The peer is here, and for a whole lease from `now`.
    pub(super) fn renew(&mut self, peer: PeerKey, now: Moment) {
        let end = now.after(limits::LEASE);
        let before = self.end_of(peer);
        if before.is_some_and(|before| before >= end) {
            return;
        }
        if let Some(before) = before {
            self.queue.remove(&(before, peer));
        }
        let at = u32::from(peer) as usize;
        if self.ends.len() <= at {
            self.ends.resize(at + 1, None);
        }
        self.ends[at] = Some(end);
        self.queue.insert((end, peer));
    }

    /// The peer is not here any more. Tells whether it was.
    pub(super) fn end(&mut self, peer: PeerKey) -> bool {
        let end = self.ends.get_mut(u32::from(peer) as usize).and_then(Option::take);
        end.is_some_and(|end| self.queue.remove(&(end, peer)))
    }

    /// Whether the peer is here.
    pub(super) fn is_live(&self, peer: PeerKey) -> bool {
        self.end_of(peer).is_some()
    }

    /// How many are here.
    pub(super) fn len(&self) -> usize {
        self.queue.len()
    }

    /// Those whose lease ended at or before `now`, the first to end first.
    pub(super) fn ended(&self, now: Moment) -> Vec<PeerKey> {
        self.queue.iter().take_while(|(end, _)| *end <= now).map(|(_, peer)| *peer).collect()
    }

    fn end_of(&self, peer: PeerKey) -> Option<Moment> {
        self.ends.get(u32::from(peer) as usize).copied().flatten()
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
        leases.renew(peer, start.after(Duration::from_secs(30)));
        leases.renew(peer, start); // a slower thread with an older clock
        leases.renew(other, start);
        let end = start.after(limits::LEASE);
        assert_eq!(leases.ended(end), [other]);
        assert_eq!(leases.ended(Moment::from_millis(1_000 + 89_999)), []);
        assert_eq!(leases.ended(end.after(Duration::from_secs(30))), [other, peer]);
        assert!(leases.end(other) && !leases.end(other));
        assert!(leases.is_live(peer) && !leases.is_live(other));
        assert_eq!(leases.len(), 1);
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
