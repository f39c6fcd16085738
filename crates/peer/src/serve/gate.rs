//! How many connections are open, in all and from one address.
//!
//! Invariant: a [`Pass`] is counted for exactly as long as it lives.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use peerage_wire::limits;

/// Open connections from this machine itself: every peer on it comes from the same address.
const CONNECTIONS_LOOPBACK_MAX: usize = 1_024;
/// Descriptors that are kept for files, the index and the log.
const DESCRIPTORS_KEPT: usize = 64;

/// Counts connections.
pub(crate) struct Gate {
    total_max: usize,
    per_address_max: usize,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
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
        Self { total_max, per_address_max, open: Mutex::default() }
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
        if let Some(count) = open.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                open.by_address.remove(&self.address);
            }
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

    #[test]
    fn this_machine_has_room_for_many_peers() {
        let gate = Arc::new(Gate::with_limits(usize::MAX, 2));
        let loopback = IpAddr::from([127, 0, 0, 1]);
        let passes: Vec<_> = (0..CONNECTIONS_LOOPBACK_MAX).map_while(|_| gate.enter(loopback)).collect();
        assert_eq!(passes.len(), CONNECTIONS_LOOPBACK_MAX);
        assert!(gate.enter(loopback).is_none());
    }
}
