//! What the planner knows of one source: whether it may be asked, how fast it is, how it failed.
//!
//! Invariants: a source that lied is never asked again; any other that was dropped comes back only when the
//! index names it again, and then has one attempt until it proves a piece.

use std::time::{Duration, Instant};

use super::news::News;
use super::{ATTEMPTS_MAX, BUSY_WAIT_MAX, Fault, RETRY_FIRST, SOURCE_LANES_MAX};

/// Whether a source may be asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// Now.
    Ready,
    /// Later.
    Resting { until: Instant },
    /// Not until the index names it again; never where it lied.
    Dropped(Fault),
}

/// One source.
#[derive(Debug)]
pub(super) struct Source {
    pub(super) standing: Standing,
    /// Of which pieces it has; `None` where it has all.
    pub(super) news: Option<News>,
    /// Failures since it last proved a piece.
    failures: u32,
    /// Runs it may have at the same time, and from when on one more may be tried.
    lanes_max: usize,
    lanes_more_at: Option<Instant>,
    /// Bytes a second of one run, as measured.
    rate: Option<f64>,
    pub(super) has_proven: bool,
    /// Random, so that not every downloader begins with the same source.
    pub(super) tie_break: u64,
}

impl Source {
    pub(super) const fn new(news: Option<News>, tie_break: u64) -> Self {
        Self {
            standing: Standing::Ready,
            news,
            failures: 0,
            lanes_max: SOURCE_LANES_MAX,
            lanes_more_at: None,
            rate: None,
            has_proven: false,
            tie_break,
        }
    }

    pub(super) const fn is_usable(&self) -> bool {
        !matches!(self.standing, Standing::Dropped(_))
    }

    pub(super) const fn has_lied(&self) -> bool {
        matches!(self.standing, Standing::Dropped(Fault::Lied))
    }

    /// How many more runs it may be given while it has `running`.
    pub(super) fn lanes_free(&self, running: usize, now: Instant) -> usize {
        let is_ready = match self.standing {
            Standing::Ready => true,
            Standing::Resting { until } => until <= now,
            Standing::Dropped(_) => false,
        };
        let max = if self.failures > 0 { 1 } else { self.lanes_max };
        if is_ready { max.saturating_sub(running) } else { 0 }
    }

    /// When it should be asked which pieces it has.
    pub(super) fn news_due(&self) -> Option<Instant> {
        let news = self.news.as_ref().filter(|news| !news.is_asked)?;
        match self.standing {
            Standing::Ready => Some(news.ask_at),
            Standing::Resting { until } => Some(news.ask_at.max(until)),
            Standing::Dropped(_) => None,
        }
    }

    pub(super) const fn rate(&self) -> Option<f64> {
        self.rate
    }

    /// The index names it again.
    pub(super) fn revive(&mut self) {
        if !self.is_usable() && !self.has_lied() {
            self.standing = Standing::Ready;
            self.failures = ATTEMPTS_MAX - 1;
        }
    }

    pub(super) fn proved(&mut self) {
        self.has_proven = true;
        self.failures = 0;
        if let Some(news) = &mut self.news {
            news.stale = 0;
        }
        self.standing = Standing::Ready;
    }

    /// Takes a measure of one run in, half old and half new.
    pub(super) fn measured(&mut self, bytes: u64, took: Duration) {
        #[expect(clippy::cast_precision_loss, reason = "a rate needs no more than 52 bits")]
        let rate = bytes as f64 / took.as_secs_f64().max(1e-6);
        self.rate = Some(self.rate.map_or(rate, |old| f64::midpoint(old, rate)));
    }

    /// A run ended as it should: where it was busy a while ago one more run may be tried.
    pub(super) fn ended(&mut self, now: Instant) {
        if self.lanes_more_at.is_none_or(|at| at <= now) {
            self.lanes_max = (self.lanes_max + 1).min(SOURCE_LANES_MAX);
        }
    }

    /// It turned a run away while it served `running` others.
    pub(super) fn turned_away(&mut self, running: usize, retry_after: Duration, now: Instant) {
        let until = now + retry_after.min(BUSY_WAIT_MAX);
        self.lanes_max = running.max(1);
        self.lanes_more_at = Some(until);
        if running == 0 && self.is_usable() {
            self.standing = Standing::Resting { until };
        }
    }

    /// Something went wrong with a run; `true` where the source is dropped for it. Runs that fail together
    /// count once. `jitter` is between 0 and 1.
    pub(super) fn failed(&mut self, fault: Fault, jitter: f64, now: Instant) -> bool {
        let has_counted = matches!(self.standing, Standing::Resting { until } if until > now);
        if !self.is_usable() || (has_counted && !fault.is_final()) {
            return false;
        }
        self.failures += 1;
        if fault.is_final() || self.failures >= ATTEMPTS_MAX {
            self.standing = Standing::Dropped(fault);
            return true;
        }
        let pause = RETRY_FIRST.mul_f64(f64::from(1 << (self.failures - 1)) * (0.5 + jitter));
        self.standing = Standing::Resting { until: now + pause };
        false
    }

    /// It sent something wrong.
    pub(super) const fn lied(&mut self) {
        self.standing = Standing::Dropped(Fault::Lied);
    }
}
