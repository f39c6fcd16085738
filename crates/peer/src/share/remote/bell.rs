//! What a server's keeper wakes for: files to look at, everything to look at, the end.
//!
//! Invariant: what is put in is merged, never queued, so nothing here grows without bound.

use std::collections::BTreeSet;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Files that wait to be looked at one by one; past them everything is looked at.
const PLACES_MAX: usize = 1_000;
/// From the first of them until they are looked at: a file that is being written changes on.
const QUIET: Duration = Duration::from_secs(2);

/// Rung by whoever finds that something is not as it was.
#[derive(Debug, Default)]
pub(crate) struct Bell {
    rung: Mutex<Rung>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Rung {
    places: BTreeSet<Box<str>>,
    due: Option<Instant>,
    is_for_all: bool,
    is_for_probe: bool,
    is_stopped: bool,
}

/// What there is to do.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Work {
    /// Paths below the shared folder.
    pub(crate) places: BTreeSet<Box<str>>,
    /// Whether everything is to be listed.
    pub(crate) is_for_all: bool,
    /// Whether the server is to be asked if it is there.
    pub(crate) is_for_probe: bool,
}

impl Bell {
    /// Look at a file soon.
    pub(crate) fn touch(&self, place: &str) {
        let mut rung = self.lock();
        if rung.places.len() >= PLACES_MAX && !rung.places.contains(place) {
            rung.is_for_all = true;
        } else {
            rung.places.insert(place.into());
            rung.due.get_or_insert_with(|| Instant::now() + QUIET);
        }
        drop(rung);
        self.wake.notify_all();
    }

    /// Look soon whether the server is still there.
    pub(crate) fn probe(&self) {
        self.lock().is_for_probe = true;
        self.wake.notify_all();
    }

    /// Ends the keeper, and whoever sleeps.
    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
        self.wake.notify_all();
    }

    /// Waits until there is something to do or `until` has come; `None` at the end.
    pub(crate) fn wait(&self, until: Instant) -> Option<Work> {
        let mut rung = self.lock();
        loop {
            let now = Instant::now();
            if rung.is_stopped {
                return None;
            }
            let is_due = rung.due.is_some_and(|due| due <= now);
            if now >= until || is_due || rung.is_for_all || rung.is_for_probe {
                return Some(rung.take(is_due));
            }
            let next = rung.due.map_or(until, |due| due.min(until));
            let waited = self.wake.wait_timeout(rung, next.saturating_duration_since(now));
            rung = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Sleeps until then, or until the end, which is `false`.
    pub(crate) fn sleep(&self, until: Instant) -> bool {
        let mut rung = self.lock();
        while !rung.is_stopped {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return true;
            }
            rung = self.wake.wait_timeout(rung, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        false
    }

    fn lock(&self) -> MutexGuard<'_, Rung> {
        self.rung.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rung {
    fn take(&mut self, is_due: bool) -> Work {
        let is_for_all = std::mem::take(&mut self.is_for_all);
        let is_for_probe = std::mem::take(&mut self.is_for_probe);
        let places = if is_due || is_for_all {
            self.due = None;
            std::mem::take(&mut self.places)
        } else {
            BTreeSet::new()
        };
        Work { places, is_for_all, is_for_probe }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_merged_and_too_many_mean_everything() {
        let bell = Bell::default();
        (0..PLACES_MAX).for_each(|index| bell.touch(&index.to_string()));
        bell.touch("7");
        assert_eq!(bell.wait(Instant::now()), Some(Work::default()), "not due yet");
        bell.touch("one more");
        let work = bell.wait(Instant::now()).unwrap();
        assert!(work.is_for_all && work.places.len() == PLACES_MAX);
        bell.stop();
        assert_eq!(bell.wait(Instant::now() + Duration::from_secs(60)), None);
        assert!(!bell.sleep(Instant::now() + Duration::from_secs(60)));
    }
}
