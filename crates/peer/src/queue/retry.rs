//! When a want that failed is tried again, and when no more. Pure: time and chance are arguments.
//!
//! Invariant: it ends. Without progress there are at most [`RETRIES_MAX`] retries, none of which begins later than
//! [`RETRY_WITHIN`]; progress starts the count afresh, and a content has only so many bytes.

use std::time::{Duration, Instant};

/// Retries without progress: the planner below has tried each source several times by itself.
const RETRIES_MAX: u32 = 3;
/// The pause before the first retry, doubled after each; half of it is jitter.
const PAUSE_FIRST: Duration = Duration::from_secs(2);
/// No retry begins later than this after the last progress: a person is waiting, and one attempt at a source that has
/// vanished takes up to 24 s by itself.
const RETRY_WITHIN: Duration = Duration::from_secs(30);

/// How an attempt ended that did not bring everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Brought {
    Something,
    Nothing,
}

/// The attempts at one want.
#[derive(Debug, Clone)]
pub(super) struct Attempts {
    since: Instant,
    failed: u32,
}

impl Attempts {
    pub(super) const fn begin(now: Instant) -> Self {
        Self { since: now, failed: 0 }
    }

    /// An attempt ended without everything: the pause before the next one, or `None` when there is none. `chance` is
    /// any number, evenly spread.
    pub(super) fn failed(&mut self, brought: Brought, chance: u32, now: Instant) -> Option<Duration> {
        if brought == Brought::Something {
            *self = Self::begin(now);
        }
        self.failed += 1;
        if self.failed > RETRIES_MAX {
            return None;
        }
        let whole = PAUSE_FIRST * 2_u32.pow(self.failed - 1);
        let pause = whole / 2 + (whole / 2).mul_f64(f64::from(chance) / f64::from(u32::MAX));
        (now + pause <= self.since + RETRY_WITHIN).then_some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_with_jitter_and_end() {
        let now = Instant::now();
        for (chance, pauses) in [(0, [1, 2, 4]), (u32::MAX, [2, 4, 8])] {
            let mut attempts = Attempts::begin(now);
            for pause in pauses {
                assert_eq!(attempts.failed(Brought::Nothing, chance, now), Some(SECOND * pause));
            }
            assert_eq!(attempts.failed(Brought::Nothing, chance, now), None);
        }
    }

    #[test]
    fn slow_attempts_are_fewer_so_that_a_person_is_told_within_a_minute() {
        let mut now = Instant::now();
        let begun = now;
        let mut attempts = Attempts::begin(now);
        loop {
            now += 24 * SECOND; // as long as the planner takes at most
            match attempts.failed(Brought::Nothing, u32::MAX, now) {
                Some(pause) => now += pause,
                None => break,
            }
        }
        assert_eq!(now - begun, 50 * SECOND);
    }

    #[test]
    fn progress_starts_the_count_afresh() {
        let mut now = Instant::now();
        let mut attempts = Attempts::begin(now);
        for _ in 0..100 {
            now += 3600 * SECOND;
            let pause = attempts.failed(Brought::Something, 0, now);
            assert_eq!(pause, Some(SECOND));
        }
        assert_eq!(attempts.failed(Brought::Nothing, 0, now), Some(2 * SECOND));
    }
}
