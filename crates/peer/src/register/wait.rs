//! How long a registrar waits: jitter, and waits that grow.
//!
//! Invariant: no two peers wait equally long but by chance, so that a million and a half of them do not ask an index that
//! was started again in the same second.

use std::time::Duration;

use peerage_wire::limits;

/// Waits that double, with jitter, until something works again.
#[derive(Debug, Clone, Copy)]
pub struct Backoff {
    first: Duration,
    longest: Duration,
    failures: u32,
}

impl Default for Backoff {
    /// For an index that is out of reach: at most a heartbeat, so that peers come back evenly within one of its return.
    fn default() -> Self {
        Self { first: Duration::from_millis(500), longest: limits::HEARTBEAT, failures: 0 }
    }
}

impl Backoff {
    /// For an index that is full: room comes when others leave, which nobody can hurry.
    pub(super) const fn when_full() -> Self {
        Self { first: Duration::from_secs(2), longest: Duration::from_secs(300), failures: 0 }
    }

    /// The next wait; not shorter than what the index asked for.
    pub(super) fn next(&mut self, asked: Option<Duration>) -> Duration {
        let wait = self.first.saturating_mul(1 << self.failures.min(10)).min(self.longest);
        self.failures = self.failures.saturating_add(1);
        let asked = asked.unwrap_or_default().min(self.longest);
        asked + between(wait / 10, wait.saturating_sub(asked).max(wait / 2))
    }

    pub(super) const fn reset(&mut self) {
        self.failures = 0;
    }
}

/// Between three quarters of a wait and all of it, evenly.
pub(super) fn jittered(wait: Duration) -> Duration {
    between(wait * 3 / 4, wait)
}

/// Anything from `least` to `most`, evenly.
fn between(least: Duration, most: Duration) -> Duration {
    let mut random = [0_u8; 4];
    if getrandom::fill(&mut random).is_err() {
        return most; // no randomness is no reason to stop
    }
    least + most.saturating_sub(least).mul_f64(f64::from(u32::from_le_bytes(random)) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn jitter_only_shortens() {
        for _ in 0..100 {
            let wait = jittered(4 * SECOND);
            assert!(wait >= 3 * SECOND && wait <= 4 * SECOND, "{wait:?}");
        }
    }

    #[test]
    fn waits_grow_to_a_heartbeat_and_are_spread_over_it() {
        let mut backoff = Backoff::default();
        assert!(backoff.next(None) <= SECOND / 2);
        for _ in 0..10 {
            backoff.next(None);
        }
        let waits: Vec<Duration> = (0..1_000).map(|_| backoff.next(None)).collect();
        assert!(waits.iter().all(|wait| *wait <= limits::HEARTBEAT));
        for tenth in 1..10 {
            let from = limits::HEARTBEAT * tenth / 10;
            let here = waits.iter().filter(|wait| **wait >= from && **wait < from + 3 * SECOND).count();
            assert!((50..200).contains(&here), "{here} of 1,000 in tenth {tenth}");
        }
        backoff.reset();
        assert!(backoff.next(None) <= SECOND / 2);
    }

    #[test]
    fn an_index_is_not_asked_sooner_than_it_wants() {
        let mut backoff = Backoff::default();
        for _ in 0..20 {
            let wait = backoff.next(Some(2 * SECOND));
            assert!(wait >= 2 * SECOND && wait <= limits::HEARTBEAT + 2 * SECOND, "{wait:?}");
        }
        assert!(backoff.next(Some(1_000_000 * SECOND)) <= 2 * limits::HEARTBEAT, "no index silences a peer");
    }
}
