//! The cores that searches share, and threads that help a search as long as no other needs theirs.
//!
//! Invariant: helpers and searches are together no more than there are cores, unless more callers search than that.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use rayon_core::{ThreadPool, ThreadPoolBuilder};

/// How many cores there are, and how many threads search.
#[derive(Debug)]
pub(in super::super) struct Cores {
    all: usize,
    busy: AtomicUsize,
    /// Begun when a search first wants one; none where no thread can be had.
    helpers: OnceLock<Option<ThreadPool>>,
}

/// A core that a thread searches on, as long as it does.
pub(super) struct Core<'a>(&'a Cores);

impl Default for Cores {
    fn default() -> Self {
        let all = thread::available_parallelism().map_or(1, Into::into);
        Self { all, busy: AtomicUsize::new(0), helpers: OnceLock::new() }
    }
}

impl Cores {
    pub(super) fn enter(&self) -> Core<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Core(self)
    }

    /// One more, where a core is free.
    pub(super) fn try_enter(&self) -> Option<Core<'_>> {
        let more = |busy| (busy < self.all).then_some(busy + 1);
        self.busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Core(self))
    }

    /// As many as can help: at least one core is that of the search itself.
    fn helpers(&self) -> Option<&ThreadPool> {
        let begin = || {
            let threads = ThreadPoolBuilder::new().num_threads(self.all.saturating_sub(1).max(1));
            threads.thread_name(|_| "search".to_owned()).build().ok()
        };
        self.helpers.get_or_init(begin).as_ref()
    }
}

impl Core<'_> {
    /// Does one thing on this core, and meanwhile another in the caller's thread. Where there is no thread for it, that of
    /// the caller does both, its own first.
    pub(super) fn work_beside(&self, own: impl FnOnce(), beside: impl FnOnce() + Send) {
        match self.0.helpers() {
            Some(helpers) => helpers.in_place_scope(|scope| {
                scope.spawn(|_| beside());
                own();
            }),
            None => {
                own();
                beside();
            }
        }
    }
}

impl Drop for Core<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
