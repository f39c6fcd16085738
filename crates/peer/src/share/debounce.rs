//! Which paths have changed and when to look at them: a pure state machine, with time as an argument.
//!
//! Invariants: a path waits once, however many events it has. It is looked at [`QUIET`] after its last event,
//! or [`WAIT_MAX`] after its first, so that a file written all the time is seen to have changed. A file that
//! took long to hash is left alone for [`REST_FACTOR`] times as long afterwards (at most [`REST_MAX`]), so a
//! file that is written for hours costs a tenth of a disk and not all of it; a small one always comes at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use crate::catalogue::ShareId;

/// From a path's last event until it is looked at: programs write, rename and touch in one go.
pub(crate) const QUIET: Duration = Duration::from_millis(200);
/// From a path's first event until it is looked at in any case: within 2 s with the look itself.
pub(crate) const WAIT_MAX: Duration = Duration::from_millis(1_500);
/// How much longer a file rests than it took to hash.
pub(crate) const REST_FACTOR: u32 = 10;
/// The longest rest.
pub(crate) const REST_MAX: Duration = Duration::from_secs(60);
/// The shortest rest that is kept: anything less is over before a path is quiet.
const REST_MIN: Duration = QUIET;
/// Places that wait or rest; past them the share is scanned whole, which costs less.
pub(crate) const PLACES_MAX: usize = 100_000;

/// A path below a share's folder, as the disk spells it; the folder itself is empty.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Place {
    pub(crate) share: ShareId,
    pub(crate) relative: Box<str>,
}

/// Whether a file is hashed where size, time and inode are those it was hashed with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Look {
    IfChanged,
    Always,
}

#[derive(Debug, Clone, Copy)]
struct Waiting {
    /// Moved on by every event.
    quiet_at: Instant,
    /// Set by the first one.
    latest: Instant,
    look: Look,
}

/// Places that wait to be looked at.
#[derive(Debug, Default)]
pub(crate) struct Debounce {
    waiting: HashMap<Place, Waiting>,
    /// Places not to be looked at before.
    resting: HashMap<Place, Instant>,
    /// Nothing is due before.
    next: Option<Instant>,
}

impl Debounce {
    /// Something happened at a place, or it is to be looked at for another reason. `false`: too many wait.
    #[must_use]
    pub(crate) fn touch(&mut self, now: Instant, place: Place, look: Look) -> bool {
        let rested = self.resting.get(&place).copied().unwrap_or(now);
        let is_full = self.waiting.len() >= PLACES_MAX;
        let quiet_at = (now + QUIET).max(rested);
        let due = match self.waiting.get_mut(&place) {
            Some(waiting) => {
                waiting.quiet_at = waiting.quiet_at.max(quiet_at);
                waiting.look = waiting.look.max(look);
                waiting.due()
            }
            None if is_full => return false,
            None => {
                let latest = (now + WAIT_MAX).max(rested);
                self.waiting.insert(place, Waiting { quiet_at, latest, look });
                quiet_at
            }
        };
        self.next = Some(self.next.map_or(due, |earlier| earlier.min(due)));
        true
    }

    /// A place was hashed, or it was tried, and that took so long.
    pub(crate) fn hashed(&mut self, now: Instant, place: &Place, took: Duration) {
        let rest = took.saturating_mul(REST_FACTOR).min(REST_MAX);
        if rest > REST_MIN && self.resting.len() < PLACES_MAX {
            self.resting.insert(place.clone(), now + rest);
        }
    }

    /// The places to look at now, in order.
    pub(crate) fn take_due(&mut self, now: Instant) -> Vec<(Place, Look)> {
        if self.next.is_none_or(|next| next > now) {
            return Vec::new();
        }
        self.resting.retain(|_, until| *until > now);
        let due = self.waiting.extract_if(|_, waiting| waiting.due() <= now);
        let mut due: Vec<(Place, Look)> = due.map(|(place, waiting)| (place, waiting.look)).collect();
        due.sort();
        self.next = self.waiting.values().map(Waiting::due).min();
        due
    }

    /// When to ask again; never too late.
    pub(crate) const fn next(&self) -> Option<Instant> {
        self.next
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Forgets the events of a share that is about to be scanned whole.
    pub(crate) fn forget(&mut self, share: ShareId) {
        self.waiting.retain(|place, waiting| place.share != share || waiting.look == Look::Always);
    }
}

impl Waiting {
    fn due(&self) -> Instant {
        self.quiet_at.min(self.latest)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    fn place(relative: &str) -> Place {
        Place { share: ShareId(0), relative: relative.into() }
    }

    fn due(debounce: &mut Debounce, now: Instant) -> Vec<String> {
        debounce.take_due(now).into_iter().map(|(place, _)| place.relative.into()).collect()
    }

    #[test]
    fn a_path_is_looked_at_once_when_it_is_quiet() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        assert!(debounce.touch(start, place("b"), Look::IfChanged));
        assert!(debounce.touch(start, place("a"), Look::IfChanged));
        assert!(debounce.touch(start + 100 * MS, place("a"), Look::IfChanged));
        assert_eq!(debounce.next(), Some(start + 200 * MS));
        assert_eq!(due(&mut debounce, start + 199 * MS), [""; 0]);
        assert_eq!(due(&mut debounce, start + 200 * MS), ["b"]);
        assert_eq!(debounce.next(), Some(start + 300 * MS));
        assert_eq!(due(&mut debounce, start + 300 * MS), ["a"]);
        assert_eq!((debounce.is_empty(), debounce.next()), (true, None));
    }

    #[test]
    fn a_file_written_all_the_time_is_looked_at_in_the_end() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        let looks = (0..100_u32).filter(|tenth| {
            let now = start + *tenth * 100 * MS;
            assert!(debounce.touch(now, place("log"), Look::IfChanged));
            !due(&mut debounce, now).is_empty()
        });
        assert_eq!(looks.collect::<Vec<_>>(), [15, 30 + 1, 45 + 2, 60 + 3, 75 + 4, 90 + 5]);
    }

    #[test]
    fn a_file_that_is_dear_to_hash_rests() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        debounce.hashed(start, &place("dear"), 3_000 * MS);
        debounce.hashed(start, &place("huge"), 3_600_000 * MS);
        debounce.hashed(start, &place("cheap"), 5 * MS);
        for name in ["dear", "huge", "cheap"] {
            assert!(debounce.touch(start + MS, place(name), Look::IfChanged));
        }
        assert_eq!(due(&mut debounce, start + 250 * MS), ["cheap"]);
        assert_eq!(due(&mut debounce, start + 29_999 * MS), [""; 0]);
        assert_eq!(due(&mut debounce, start + 30_000 * MS), ["dear"]);
        assert_eq!(due(&mut debounce, start + REST_MAX), ["huge"]);
        assert!(debounce.resting.is_empty());
    }

    #[test]
    fn a_look_that_must_hash_outlives_a_scan() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        assert!(debounce.touch(start, place("a"), Look::Always));
        assert!(debounce.touch(start, place("a"), Look::IfChanged));
        assert!(debounce.touch(start, place("b"), Look::IfChanged));
        debounce.forget(ShareId(0));
        assert_eq!(debounce.take_due(start + QUIET), [(place("a"), Look::Always)]);
    }

    #[test]
    fn too_many_are_refused_but_known_ones_still_count() {
        let (mut debounce, start) = (Debounce::default(), Instant::now());
        for index in 0..PLACES_MAX {
            assert!(debounce.touch(start, place(&index.to_string()), Look::IfChanged));
        }
        assert!(!debounce.touch(start, place("more"), Look::IfChanged));
        assert!(debounce.touch(start, place("7"), Look::IfChanged));
    }
}
