//! A limit on bytes a second, shared by everything that sends, or by everything that receives.
//!
//! Invariants: over any stretch of time no more than the rate times that stretch is let through, and what is let through
//! at once beside it (a twentieth of a second's burst); who comes pays for what is moved already and waits as long as that takes
//! at the rate, so nobody who waits can be overtaken for ever.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What may be saved up while nothing moves.
const BURST: Duration = Duration::from_millis(50);
/// The smallest rate, in bytes a second: below it eight slots would each be slower than what counts as stalled.
pub const RATE_MIN: u64 = 64 << 10;
/// The same for receiving, where up to 32 runs share it.
pub const RATE_DOWN_MIN: u64 = 256 << 10;
/// Bytes moved at a time under a limit: small, so that it is even; not too small, so that it is cheap.
const STEP_BYTES_MIN: usize = 4 << 10;

/// A rate that many share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct RateLimit {
    bytes_per_sec: u64,
    bucket: Arc<Mutex<Bucket>>,
}

/// A peer's limits; none where nothing is set.
#[derive(Debug, Clone, Default)]
pub struct RateLimits {
    /// On what all its uploads send together.
    pub up: Option<RateLimit>,
    /// On what all its downloads receive together.
    pub down: Option<RateLimit>,
}

/// Why a number is no rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a limit below 64 KiB a second stalls transfers")]
pub struct RateError;

impl RateLimit {
    /// So many bytes a second.
    ///
    /// # Errors
    /// [`RateError`] below [`RATE_MIN`].
    pub fn new(bytes_per_sec: u64) -> Result<Self, RateError> {
        if bytes_per_sec < RATE_MIN {
            return Err(RateError);
        }
        Ok(Self { bytes_per_sec, bucket: Arc::new(Mutex::new(Bucket { paid_until: Instant::now() })) })
    }

    /// Takes account of bytes that were just moved, and says how long to wait before more are.
    pub(crate) fn pay(&self, bytes: usize) -> Duration {
        let mut bucket = self.bucket.lock().unwrap_or_else(PoisonError::into_inner);
        bucket.pay(bytes as u64, self.bytes_per_sec, Instant::now())
    }

    /// How many bytes to move at a time, at most `most`: a tenth of a second's.
    pub(crate) fn step(&self, most: usize) -> usize {
        usize::try_from(self.bytes_per_sec / 10)
            .unwrap_or(most)
            .clamp(STEP_BYTES_MIN, most.max(STEP_BYTES_MIN))
    }
}

/// Until when everything moved so far is paid for.
#[derive(Debug)]
struct Bucket {
    paid_until: Instant,
}

impl Bucket {
    fn pay(&mut self, bytes: u64, bytes_per_sec: u64, now: Instant) -> Duration {
        let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bytes_per_sec);
        let cost = Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX));
        let earliest = now.checked_sub(BURST).unwrap_or(now);
        self.paid_until = self.paid_until.max(earliest) + cost;
        self.paid_until.saturating_duration_since(now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_rate_that_would_stall_is_refused() {
        assert_eq!(RateLimit::new(RATE_MIN - 1).err(), Some(RateError));
        let limit = RateLimit::new(RATE_MIN).unwrap();
        assert_eq!((limit.step(1 << 20), limit.step(100)), (6_553, 4_096));
        assert_eq!(RateLimit::new(1 << 40).unwrap().step(1 << 18), 1 << 18);
    }

    #[test]
    fn who_comes_new_waits_for_what_was_moved_before() {
        let limit = RateLimit::new(1 << 20).unwrap();
        assert_eq!(limit.pay(0), Duration::ZERO);
        assert!(limit.pay(10 << 20) > Duration::from_secs(9));
        assert!(limit.pay(0) > Duration::from_secs(9), "the debt is everybody's");
    }

    proptest! {
        #[test]
        fn never_more_than_the_rate_and_never_much_less(
            rate in RATE_MIN..1_000_000_000,
            steps in proptest::collection::vec((1_u64..300_000, 0_u64..3_000), 1..200),
        ) {
            let start = Instant::now();
            let mut bucket = Bucket { paid_until: start };
            let (mut now, mut moved, mut idle) = (start, 0, Duration::ZERO);
            for (bytes, pause_millis) in steps {
                let wait = bucket.pay(bytes, rate, now);
                moved += bytes;
                let pause = Duration::from_millis(pause_millis);
                idle += pause;
                now += wait + pause;
                #[expect(clippy::cast_precision_loss, reason = "a test of proportions")]
                let secs = moved as f64 / rate as f64;
                let took = (now - start).as_secs_f64();
                prop_assert!(took + BURST.as_secs_f64() + 1e-6 >= secs, "too fast: {took} s for {secs}");
                prop_assert!(took <= secs + idle.as_secs_f64() + 1e-3, "too slow: {took} s for {secs}");
            }
        }
    }
}
