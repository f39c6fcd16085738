//! What is known of a partial source's pieces, and when it is asked again.
//!
//! Invariants: it is asked one thing at a time; it is asked sooner while it has something new each time, and later
//! each time that it has not.

use std::time::{Duration, Instant};

use super::{HAVE_ASK_EACH, HAVE_ASK_FIRST, HAVE_ASK_MAX, HAVE_SECOND_PIECES};
use crate::have::Have;

/// The pieces of one partial source.
#[derive(Debug)]
pub(super) struct News {
    /// As it said last; `None` before, or where that has proved wrong.
    pub(super) have: Option<Have>,
    /// Of those, how many are free.
    pub(super) useful: u64,
    pub(super) is_asked: bool,
    pub(super) ask_at: Instant,
    pause: Duration,
    /// Times in a row that it did not have what it had said it has.
    pub(super) stale: u32,
}

impl News {
    /// None yet: to be asked at once.
    pub(super) const fn none(now: Instant) -> Self {
        Self { have: None, useful: 0, is_asked: false, ask_at: now, pause: HAVE_ASK_FIRST, stale: 0 }
    }

    pub(super) fn has(&self, piece: u64) -> bool {
        self.have.as_ref().is_some_and(|have| have.contains(piece))
    }

    /// It said what it has, as one of so many `partials`; `jitter` is between 0 and 1.
    pub(super) fn heard(&mut self, have: Have, partials: usize, jitter: f64, now: Instant) {
        let before = self.have.as_ref().map_or(0, Have::count);
        // A long bitmap costs as much as some pieces, and so do many short ones.
        let long = u32::try_from(have.pieces() / HAVE_SECOND_PIECES).unwrap_or(u32::MAX);
        let many = u32::try_from(partials).unwrap_or(u32::MAX);
        let first = HAVE_ASK_FIRST.max(HAVE_ASK_EACH * many) + Duration::from_secs(1) * long;
        let pause = if have.count() > before { first } else { self.pause * 2 };
        self.pause = pause.clamp(HAVE_ASK_FIRST, HAVE_ASK_MAX.max(first));
        self.have = Some(have);
        self.later(self.pause.mul_f64(0.75 + jitter / 2.0), now);
    }

    /// It did not say, or what it said was wrong.
    pub(super) fn missed(&mut self, jitter: f64, now: Instant) {
        self.pause = (self.pause * 2).min(HAVE_ASK_MAX);
        self.later(self.pause.mul_f64(0.75 + jitter / 2.0), now);
    }

    /// It is asked again after a while.
    pub(super) fn later(&mut self, pause: Duration, now: Instant) {
        self.is_asked = false;
        self.ask_at = now + pause;
    }
}
