//! Upload slots as uploads see them: wait for one, hold it while bytes are sent, give it back by dropping it.
//!
//! Invariant: a slot that was granted to somebody who has gone meanwhile goes on to the next in the queue.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::oneshot;

use super::slots::{Answer, Asker, RETRY_AFTER, Slots, Ticket};

/// Every slot is taken and the queue is long: come back later.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Busy {
    /// How much later.
    pub retry_after: Duration,
}

/// The slots of a peer. Cheap to clone.
#[derive(Clone)]
pub(super) struct UploadSlots {
    state: Arc<Mutex<State>>,
}

struct State {
    slots: Slots,
    waiting: HashMap<Ticket, (Asker, oneshot::Sender<Slot>)>,
}

impl std::fmt::Debug for UploadSlots {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("UploadSlots").finish_non_exhaustive()
    }
}

impl UploadSlots {
    /// So many in all, and so many at most for one peer (or, for who shows no key, one address).
    pub(super) fn new(total: usize, per_peer: usize) -> Self {
        let state = State { slots: Slots::new(total, per_peer), waiting: HashMap::new() };
        Self { state: Arc::new(Mutex::new(state)) }
    }

    /// Waits for a slot.
    pub(super) async fn take(&self, asker: Asker) -> Result<Slot, Busy> {
        let busy = Busy { retry_after: RETRY_AFTER };
        let (mut waiting, until) = match self.ask(asker) {
            Ok(slot) => return Ok(slot),
            Err(None) => return Err(busy),
            Err(Some(waiting)) => waiting,
        };
        let granted = tokio::time::timeout_at(until.into(), &mut waiting.granted).await;
        // At the last moment it may have been granted all the same.
        granted.ok().and_then(Result::ok).or_else(|| waiting.granted.try_recv().ok()).ok_or(busy)
    }

    fn ask(&self, asker: Asker) -> Result<Slot, Option<(Waiting, Instant)>> {
        let mut state = self.lock();
        match state.slots.ask(asker, Instant::now()) {
            Answer::Granted => Ok(Slot { slots: self.clone(), asker }),
            Answer::Refused => Err(None),
            Answer::Wait { ticket, until } => {
                let (sender, granted) = oneshot::channel();
                state.waiting.insert(ticket, (asker, sender));
                Err(Some((Waiting { slots: self.clone(), asker, ticket, granted }, until)))
            }
        }
    }

    fn release(&self, asker: Asker) {
        let mut state = self.lock();
        let next = state.slots.release(asker, Instant::now());
        let next = next.and_then(|ticket| state.waiting.remove(&ticket));
        drop(state);
        if let Some((asker, sender)) = next {
            // Where nobody listens any more the slot comes back, is dropped here, and goes on.
            drop(sender.send(Slot { slots: self.clone(), asker }));
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A place in the queue; dropping it leaves the queue.
struct Waiting {
    slots: UploadSlots,
    asker: Asker,
    ticket: Ticket,
    granted: oneshot::Receiver<Slot>,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.slots.lock();
        state.slots.leave(self.asker, self.ticket);
        state.waiting.remove(&self.ticket);
    }
}

/// A slot; dropping it gives it to the next.
pub(super) struct Slot {
    slots: UploadSlots,
    asker: Asker,
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.slots.release(self.asker);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_wire::PeerId;

    fn asker(number: u8) -> Asker {
        Asker::Peer(PeerId::from_bytes([number; 32]))
    }

    #[tokio::test]
    async fn a_dropped_slot_goes_to_who_waits() {
        let slots = UploadSlots::new(1, 1);
        let first = slots.take(asker(1)).await.unwrap();
        let waiting = tokio::spawn({
            let slots = slots.clone();
            async move { slots.take(asker(2)).await.is_ok() }
        });
        while slots.lock().waiting.is_empty() {
            tokio::task::yield_now().await;
        }
        drop(first);
        assert!(waiting.await.unwrap());
        assert!(slots.take(asker(3)).await.is_ok());
    }

    #[tokio::test]
    async fn who_gives_up_waiting_takes_nothing_along() {
        let slots = UploadSlots::new(1, 1);
        let first = slots.take(asker(1)).await.unwrap();
        let (gone, _) = slots.ask(asker(2)).err().flatten().unwrap();
        let (mut next, _) = slots.ask(asker(3)).err().flatten().unwrap();
        drop(gone);
        drop(first);
        assert!(next.granted.try_recv().is_ok());
        assert!(slots.lock().waiting.is_empty());
    }

    #[tokio::test(start_paused = true)]
    async fn after_the_wait_one_is_told_when_to_come_back() {
        let slots = UploadSlots::new(1, 1);
        let _first = slots.take(asker(1)).await.unwrap();
        let busy = slots.take(asker(2)).await.err().unwrap();
        assert_eq!(busy, Busy { retry_after: RETRY_AFTER });
        assert!(slots.lock().waiting.is_empty());
    }
}
