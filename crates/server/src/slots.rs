//! Who may have a connection: a bound in all, one per address, and one for this machine. Counts only; no sockets.
//!
//! Invariant: the counts are those of the [`Slot`]s alive, and an address without one takes no memory.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::address::Origin;

/// The bounds.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) all_max: usize,
    pub(crate) per_origin_max: usize,
    pub(crate) loopback_max: usize,
}

/// Gives out slots.
pub(crate) struct Slots {
    bounds: Bounds,
    taken: Mutex<Taken>,
    refused: AtomicU64,
}

#[derive(Default)]
struct Taken {
    all: usize,
    by_origin: HashMap<Origin, usize>,
}

/// The right to one connection; given back when dropped.
pub(crate) struct Slot {
    slots: Arc<Slots>,
    origin: Origin,
}

impl Slots {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self { bounds, taken: Mutex::default(), refused: AtomicU64::new(0) })
    }

    /// A slot for a client, unless all of its address's or all of them are taken.
    pub(crate) fn take(self: &Arc<Self>, ip: IpAddr) -> Option<Slot> {
        let origin = Origin::of(ip);
        let origin_max = match origin {
            Origin::Loopback => self.bounds.loopback_max,
            Origin::Net(_) => self.bounds.per_origin_max,
        };
        let mut taken = self.lock();
        let here = taken.by_origin.get(&origin).copied().unwrap_or_default();
        if taken.all >= self.bounds.all_max || here >= origin_max {
            self.refused.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        taken.all += 1;
        taken.by_origin.insert(origin, here + 1);
        Some(Slot { slots: Arc::clone(self), origin })
    }

    /// Slots that are taken now.
    pub(crate) fn taken(&self) -> usize {
        self.lock().all
    }

    /// Clients that got none so far.
    pub(crate) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let mut taken = self.slots.lock();
        taken.all -= 1;
        if let Some(here) = taken.by_origin.get_mut(&self.origin) {
            *here -= 1;
            if *here == 0 {
                taken.by_origin.remove(&self.origin);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_bound_holds_and_a_dropped_slot_is_free_again() {
        let slots = Slots::new(Bounds { all_max: 4, per_origin_max: 2, loopback_max: 3 });
        let net = |last: u8| IpAddr::from([192, 0, 2, last]);
        let home = IpAddr::from([127, 0, 0, 1]);

        let first = slots.take(net(1));
        let second = slots.take(net(1));
        assert!(first.is_some() && second.is_some());
        assert!(slots.take(net(1)).is_none(), "a third from one address");
        let others = [slots.take(home), slots.take(net(2))];
        assert!(others.iter().all(Option::is_some));
        assert!(slots.take(net(3)).is_none(), "a fifth in all");

        drop(first);
        assert!(slots.take(net(1)).is_some());
        drop((second, others));
        let local = [(); 4].map(|()| slots.take(home));
        assert_eq!(local.iter().flatten().count(), 3);
        drop(local);
        assert!(slots.lock().by_origin.is_empty());
        assert_eq!((slots.taken(), slots.refused()), (0, 3));
    }
}
