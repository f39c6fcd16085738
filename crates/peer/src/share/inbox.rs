//! What the keeper wakes for: paths to look at, shares to scan whole, hashing done, the end.
//!
//! Invariants: everything that concerns the keeper comes through here, so it waits in one place; what is put
//! in is merged, never queued, so nothing here grows without bound.

use std::collections::BTreeSet;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::debounce::{Debounce, Look, Place};
use super::root::Root;
use crate::catalogue::ShareId;

/// Shared by the keeper and all who tell it something.
#[derive(Debug, Default)]
pub(crate) struct Inbox {
    letters: Mutex<Letters>,
    wake: Condvar,
}

#[derive(Debug, Default)]
struct Letters {
    debounce: Debounce,
    joined: Vec<(ShareId, Arc<Root>)>,
    rescans: BTreeSet<ShareId>,
    /// Shares for which watches ran out.
    unwatched: BTreeSet<ShareId>,
    is_nudged: bool,
    is_stopped: bool,
}

/// What there is to do.
#[derive(Debug, Default)]
pub(crate) struct Work {
    /// Folders shared from now on.
    pub(crate) joined: Vec<(ShareId, Arc<Root>)>,
    pub(crate) places: Vec<(Place, Look)>,
    pub(crate) rescans: BTreeSet<ShareId>,
    pub(crate) unwatched: BTreeSet<ShareId>,
}

impl Inbox {
    /// Look at a place soon; where too many wait, at the whole share.
    pub(crate) fn touch(&self, place: Place, look: Look) {
        let mut letters = self.lock();
        let share = place.share;
        let before = letters.debounce.next();
        if !letters.debounce.touch(Instant::now(), place, look) {
            letters.rescans.insert(share);
        }
        let is_sooner = letters.debounce.next() != before || !letters.rescans.is_empty();
        drop(letters);
        if is_sooner {
            self.wake.notify_one();
        }
    }

    /// A place was hashed and that took so long.
    pub(crate) fn hashed(&self, place: &Place, took: Duration) {
        self.lock().debounce.hashed(Instant::now(), place, took);
    }

    /// Share a folder from now on.
    pub(crate) fn join(&self, share: ShareId, root: Arc<Root>) {
        self.lock().joined.push((share, root));
        self.wake.notify_one();
    }

    /// Whether folders wait to be shared.
    pub(crate) fn has_joined(&self) -> bool {
        !self.lock().joined.is_empty()
    }

    /// Scan a share whole: some of its events were lost.
    pub(crate) fn rescan(&self, share: ShareId) {
        self.lock().rescans.insert(share);
        self.wake.notify_one();
    }

    /// No more folders of a share can be watched.
    pub(crate) fn unwatched(&self, share: ShareId) {
        self.lock().unwatched.insert(share);
        self.wake.notify_one();
    }

    /// Look at how things stand.
    pub(crate) fn nudge(&self) {
        self.lock().is_nudged = true;
        self.wake.notify_one();
    }

    /// Ends the keeper.
    pub(crate) fn stop(&self) {
        self.lock().is_stopped = true;
        self.wake.notify_one();
    }

    pub(crate) fn is_empty(&self) -> bool {
        let letters = self.lock();
        letters.joined.is_empty()
            && letters.debounce.is_empty()
            && letters.rescans.is_empty()
            && letters.unwatched.is_empty()
    }

    /// A share is about to be scanned whole: events until now say nothing more.
    pub(crate) fn forget(&self, share: ShareId) {
        let mut letters = self.lock();
        letters.debounce.forget(share);
        letters.rescans.remove(&share);
    }

    /// Waits until there is something to do or `until` has come; `None` at the end.
    pub(crate) fn wait(&self, until: Instant) -> Option<Work> {
        let mut letters = self.lock();
        loop {
            let now = Instant::now();
            if letters.is_stopped {
                return None;
            }
            let work = letters.take(now);
            if now >= until || work.is_some() {
                return Some(work.unwrap_or_default());
            }
            let next = letters.debounce.next().map_or(until, |next| next.min(until));
            let waited = self.wake.wait_timeout(letters, next.saturating_duration_since(now));
            letters = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Letters> {
        self.letters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Letters {
    fn take(&mut self, now: Instant) -> Option<Work> {
        let places = self.debounce.take_due(now);
        let is_nudged = std::mem::take(&mut self.is_nudged);
        let joined = std::mem::take(&mut self.joined);
        let something = is_nudged
            || !joined.is_empty()
            || !places.is_empty()
            || !self.rescans.is_empty()
            || !self.unwatched.is_empty();
        something.then(|| Work {
            joined,
            places,
            rescans: std::mem::take(&mut self.rescans),
            unwatched: std::mem::take(&mut self.unwatched),
        })
    }
}
