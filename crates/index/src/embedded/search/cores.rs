//! The cores that searches share, and threads that help a search as long as no other needs theirs.
//!
//! Invariant: helpers and searches are together no more than there are cores, unless more callers search than that.

use std::hint::spin_loop;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

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

/// A thread that helps a search, on a core of its own.
pub(super) struct Helper<'a> {
    threads: &'a ThreadPool,
    _core: Core<'a>,
}

impl Default for Cores {
    fn default() -> Self {
        Self::of(thread::available_parallelism().map_or(1, Into::into))
    }
}

impl Cores {
    pub(super) const fn of(all: usize) -> Self {
        Self { all, busy: AtomicUsize::new(0), helpers: OnceLock::new() }
    }

    /// Whether there were ever threads that helped.
    #[cfg(test)]
    pub(super) fn has_helped(&self) -> bool {
        self.helpers.get().is_some()
    }

    pub(super) fn enter(&self) -> Core<'_> {
        self.busy.fetch_add(1, Ordering::Relaxed);
        Core(self)
    }

    /// One more, where a core is free and a thread can be had for it.
    pub(super) fn try_enter(&self) -> Option<Helper<'_>> {
        let more = |busy| (busy < self.all).then_some(busy + 1);
        let core =
            self.busy.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok().map(|_| Core(self))?;
        Some(Helper { threads: self.helpers()?, _core: core })
    }

    /// As many as can help: at least one core is that of the search itself.
    fn helpers(&self) -> Option<&ThreadPool> {
        let begin = || {
            let threads = ThreadPoolBuilder::new().num_threads(self.all.saturating_sub(1).max(1));
            threads.thread_name(|_| "index-help".to_owned()).build().ok()
        };
        self.helpers.get_or_init(begin).as_ref()
    }
}

impl Helper<'_> {
    /// Does one thing in the caller's thread, and meanwhile another in the helper's.
    pub(super) fn work_beside(&self, own: impl FnOnce(), beside: impl FnOnce() + Send) {
        let is_done = AtomicBool::new(false);
        self.threads.in_place_scope(|scope| {
            scope.spawn(|_| {
                beside();
                is_done.store(true, Ordering::Release);
            });
            own();
            stay_awake(&is_done);
        });
    }
}

/// Waits for what is about to be done without going to sleep, for as long as being woken would take.
fn stay_awake(is_done: &AtomicBool) {
    const AWAKE: Duration = Duration::from_micros(60);
    let started = Instant::now();
    while !is_done.load(Ordering::Acquire) && started.elapsed() < AWAKE {
        spin_loop();
    }
}

impl Drop for Core<'_> {
    fn drop(&mut self) {
        self.0.busy.fetch_sub(1, Ordering::Relaxed);
    }
}
