//! How many connections are open, in all and from one address, and who waits for one of its own to end.
//!
//! Invariants: a [`Pass`] is counted for exactly as long as it lives, and so is who waits; as many may wait for a place of
//! their address as there are places, no longer than [`WAIT_MAX`].

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerage_wire::limits;
use tokio::sync::Notify;

/// Open connections from this machine itself: every peer on it comes from the same address.
const CONNECTIONS_LOOPBACK_MAX: usize = 1_024;
/// How long a connection waits for another of its address to end: idle ones are cut after so long.
const WAIT_MAX: Duration = limits::HEADER_TIMEOUT;
/// Descriptors that are kept for files, the index and the log.
const DESCRIPTORS_KEPT: usize = 64;

/// Counts connections.
pub(crate) struct Gate {
    total_max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
    /// Told whenever a connection ends.
    ended: Notify,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    waiting: HashMap<IpAddr, usize>,
}

impl Gate {
    /// With the protocol's limits, and below what the process may open.
    pub(crate) fn new() -> Self {
        let descriptors = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
        let descriptors = descriptors.and_then(|max| usize::try_from(max).ok()).unwrap_or(usize::MAX);
        let total_max = descriptors.saturating_sub(DESCRIPTORS_KEPT).clamp(1, limits::CONNECTIONS_MAX);
        Self::with_limits(total_max, limits::CONNECTIONS_PER_ADDRESS_MAX)
    }

    fn with_limits(total_max: usize, per_address_max: usize) -> Self {
        Self { total_max, per_address_max, open: Mutex::default(), ended: Notify::new() }
    }

    /// Lets a connection in, at once or when another of its address has ended; or not, where too many wait or none ends.
    pub(crate) async fn admit(self: &Arc<Self>, address: IpAddr) -> Option<Pass> {
        if let Some(pass) = self.enter(address) {
            return Some(pass);
        }
        let _place = self.wait_in_line(owner(address))?;
        tokio::time::timeout(WAIT_MAX, async {
            loop {
                let ended = self.ended.notified();
                if let Some(pass) = self.enter(address) {
                    return pass;
                }
                ended.await;
            }
        })
        .await
        .ok()
    }

    /// Counts one that waits, in all as well, for it holds a descriptor.
    fn wait_in_line(self: &Arc<Self>, address: IpAddr) -> Option<Waiting> {
        let mut open = self.lock();
        let line: usize = open.waiting.values().sum();
        let own = open.waiting.get(&address).copied().unwrap_or_default();
        if own >= self.per_address_max || line + open.total >= self.total_max {
            return None;
        }
        open.waiting.insert(address, own + 1);
        Some(Waiting { gate: Arc::clone(self), address })
    }

    /// Lets a connection in, or not.
    pub(crate) fn enter(self: &Arc<Self>, address: IpAddr) -> Option<Pass> {
        let address = owner(address);
        let address_max = if address.is_loopback() { CONNECTIONS_LOOPBACK_MAX } else { self.per_address_max };
        let mut open = self.lock();
        if open.total >= self.total_max || open.by_address.get(&address).is_some_and(|n| *n >= address_max) {
            return None;
        }
        open.total += 1;
        *open.by_address.entry(address).or_default() += 1;
        Some(Pass { gate: Arc::clone(self), address })
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection.
pub(crate) struct Pass {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut open = self.gate.lock();
        open.total -= 1;
        leave(&mut open.by_address, self.address);
        drop(open);
        self.gate.ended.notify_waiters();
    }
}

/// One that waits.
struct Waiting {
    gate: Arc<Gate>,
    address: IpAddr,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        leave(&mut self.gate.lock().waiting, self.address);
    }
}

fn leave(counts: &mut HashMap<IpAddr, usize>, address: IpAddr) {
    if let Some(count) = counts.get_mut(&address) {
        *count -= 1;
        if *count == 0 {
            counts.remove(&address);
        }
    }
}

/// Who an address stands for: with IPv6 one customer has a whole /64.
pub(crate) fn owner(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)).into()
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_and_given_back() {
        let gate = Arc::new(Gate::with_limits(5, 2));
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        let first = gate.enter(address("192.0.2.1")).unwrap();
        let _second = gate.enter(address("::ffff:192.0.2.1")).unwrap();
        assert!(gate.enter(address("192.0.2.1")).is_none(), "the same host by its mapped address");
        drop(first);
        let _third = gate.enter(address("192.0.2.1")).unwrap();
        let _fourth = gate.enter(address("2001:db8::1")).unwrap();
        let _fifth = gate.enter(address("2001:db8::2")).unwrap();
        assert!(gate.enter(address("2001:db8:0:0:ffff::3")).is_none(), "the same /64");
        let _sixth = gate.enter(address("127.0.0.1")).unwrap();
        assert!(gate.enter(address("127.0.0.1")).is_none(), "five in all");
    }

    #[tokio::test(start_paused = true)]
    async fn who_finds_every_place_of_its_address_taken_waits_for_one() {
        let gate = Arc::new(Gate::with_limits(usize::MAX, 2));
        let address = IpAddr::from([192, 0, 2, 1]);
        let (first, _second) = (gate.enter(address).unwrap(), gate.enter(address).unwrap());
        assert!(gate.admit(address).await.is_none(), "nobody leaves");
        let mut waiting = Box::pin(gate.admit(address));
        let mut also = Box::pin(gate.admit(address));
        for early in [&mut waiting, &mut also] {
            assert!(tokio::time::timeout(Duration::ZERO, early).await.is_err());
        }
        assert!(gate.wait_in_line(address).is_none(), "as many wait as there are places");
        drop(first);
        assert!(waiting.await.is_some());
        drop(also);
        assert!(gate.lock().waiting.is_empty());
    }

    #[test]
    fn this_machine_has_room_for_many_peers() {
        let gate = Arc::new(Gate::with_limits(usize::MAX, 2));
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let passes: Vec<_> = (0..CONNECTIONS_LOOPBACK_MAX).map_while(|_| gate.enter(loopback)).collect();
        assert_eq!(passes.len(), CONNECTIONS_LOOPBACK_MAX);
        assert!(gate.enter(loopback).is_none());
    }
}
