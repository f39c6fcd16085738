//! Who may come in, and who has tried too many passwords.
//!
//! Invariants: a [`Pass`] is counted for exactly as long as it lives; what is remembered of failed logins is bounded,
//! and the time is an argument. Connections from this machine are bounded together only, since every program on it
//! comes from one address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::reply::Reply;

/// Control connections in all: each may have a data connection and a file open.
const CONNECTIONS_MAX: usize = 64;
/// Control connections from one address: what a client with parallel transfers uses.
const CONNECTIONS_PER_ADDRESS_MAX: usize = 4;
/// Wrong passwords from one address before it has to wait.
const FAILURES_MAX: u32 = 3;
/// How long it has to wait then; wrong passwords are forgotten after the same time.
const PAUSE: Duration = Duration::from_secs(60);
/// Addresses whose wrong passwords are remembered, some 64 bytes each.
const ADDRESSES_MAX: usize = 10_000;

/// Counts connections and failed logins, by who an address stands for: with IPv6 a whole network.
#[derive(Debug)]
pub(super) struct Guard {
    state: Mutex<State>,
    turn: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct State {
    total: usize,
    by_address: HashMap<IpAddr, usize>,
    failures: HashMap<IpAddr, Failures>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    last: Instant,
}

/// Why a connection is turned away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Refusal {
    /// All are taken.
    Full,
    /// This address has its share.
    AddressFull,
}

impl Refusal {
    pub(super) fn reply(self) -> Reply {
        let text = match self {
            Self::Full => format!("all {CONNECTIONS_MAX} connections are taken: come back later"),
            Self::AddressFull => {
                format!("{CONNECTIONS_PER_ADDRESS_MAX} connections from one address are the most")
            }
        };
        Reply::new(421, text)
    }
}

impl Guard {
    pub(super) fn new() -> Self {
        Self { state: Mutex::default(), turn: tokio::sync::Mutex::default() }
    }

    /// Lets a connection in, or not.
    pub(super) fn enter(self: &Arc<Self>, address: IpAddr) -> Result<Pass, Refusal> {
        let mut state = self.lock();
        if state.total >= CONNECTIONS_MAX {
            return Err(Refusal::Full);
        }
        let own = state.by_address.entry(address).or_default();
        if *own >= CONNECTIONS_PER_ADDRESS_MAX && !address.is_loopback() {
            return Err(Refusal::AddressFull);
        }
        *own += 1;
        state.total += 1;
        Ok(Pass { guard: Arc::clone(self), address })
    }

    /// How long an address has to wait before it may try another password.
    pub(super) fn pause(&self, address: IpAddr, now: Instant) -> Option<Duration> {
        let failures = self.lock().failures.get(&address).copied()?;
        let left = PAUSE.saturating_sub(now.saturating_duration_since(failures.last));
        (failures.count >= FAILURES_MAX && !left.is_zero()).then_some(left)
    }

    /// Takes account of a wrong password.
    pub(super) fn failed(&self, address: IpAddr, now: Instant) {
        let mut state = self.lock();
        let is_over = |failures: &Failures| now.saturating_duration_since(failures.last) >= PAUSE;
        if state.failures.len() >= ADDRESSES_MAX {
            state.failures.retain(|_, failures| !is_over(failures));
        }
        if state.failures.len() >= ADDRESSES_MAX && !state.failures.contains_key(&address) {
            return; // so many addresses at once have no common pause: argon2 is what slows them down
        }
        let failures = state.failures.entry(address).or_insert(Failures { count: 0, last: now });
        if is_over(failures) {
            failures.count = 0;
        }
        failures.count += 1;
        failures.last = now;
    }

    /// The turn to have a password looked at.
    pub(super) async fn turn(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.turn.lock().await
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection.
#[derive(Debug)]
pub(super) struct Pass {
    guard: Arc<Guard>,
    address: IpAddr,
}

impl Drop for Pass {
    fn drop(&mut self) {
        let mut state = self.guard.lock();
        state.total -= 1;
        if let Some(count) = state.by_address.get_mut(&self.address) {
            *count -= 1;
            if *count == 0 {
                state.by_address.remove(&self.address);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LOCAL: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    fn address(last: u8) -> IpAddr {
        [192, 0, 2, last].into()
    }

    #[test]
    fn four_an_address_and_sixty_four_in_all() {
        let guard = Arc::new(Guard::new());
        let mut passes: Vec<Pass> = (0..4).map(|_| guard.enter(address(1)).unwrap()).collect();
        assert_eq!(guard.enter(address(1)).err(), Some(Refusal::AddressFull));
        passes.pop();
        passes.push(guard.enter(address(1)).unwrap());
        passes.extend((0..60).map(|_| guard.enter(LOCAL).unwrap()));
        assert_eq!(guard.enter(address(2)).err(), Some(Refusal::Full));
        assert_eq!(guard.enter(LOCAL).err(), Some(Refusal::Full));
        drop(passes);
        assert!(guard.enter(address(2)).is_ok());
        assert!(guard.lock().by_address.is_empty());
    }

    #[test]
    fn after_three_wrong_passwords_one_waits() {
        let (guard, start) = (Guard::new(), Instant::now());
        for second in 0..2 {
            guard.failed(address(1), start + Duration::from_secs(second));
            assert_eq!(guard.pause(address(1), start), None);
        }
        let third = start + Duration::from_secs(2);
        guard.failed(address(1), third);
        assert_eq!(guard.pause(address(1), third), Some(PAUSE));
        assert_eq!(guard.pause(address(2), third), None);
        assert_eq!(guard.pause(address(1), third + PAUSE), None);
        guard.failed(address(1), third + PAUSE);
        assert_eq!(guard.pause(address(1), third + PAUSE), None, "counted anew");
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let (guard, now) = (Guard::new(), Instant::now());
        for number in 0..20_000_u32 {
            guard.failed(IpAddr::from(number.to_be_bytes()), now);
        }
        assert_eq!(guard.lock().failures.len(), ADDRESSES_MAX);
        guard.failed(address(1), now + PAUSE);
        assert_eq!(guard.lock().failures.len(), 1);
    }
}
