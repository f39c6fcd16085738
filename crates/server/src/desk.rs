//! A few threads for calls that only compute: as many as there are cores, each taking the next call as soon as it is
//! done with one. A call that waits for a disk would keep others waiting; it is made on a blocking thread instead.
//!
//! Invariants: calls begin in the order they came. One that panics ends nothing but itself. The threads end with the desk.

use std::collections::VecDeque;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use tokio::sync::oneshot;

type Call = Box<dyn FnOnce() + Send>;

/// Where calls are handed in.
pub(crate) struct Desk(Arc<Queue>);

#[derive(Default)]
struct Queue {
    waiting: Mutex<Waiting>,
    more: Condvar,
}

#[derive(Default)]
struct Waiting {
    calls: VecDeque<Call>,
    is_over: bool,
}

impl Desk {
    /// A desk with a thread for each core.
    pub(crate) fn new() -> io::Result<Self> {
        let queue = Arc::<Queue>::default();
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) {
            let queue = Arc::clone(&queue);
            thread::Builder::new().name("index-search".to_owned()).spawn(move || queue.work())?;
        }
        Ok(Self(queue))
    }

    /// Makes a call; there is no answer where it panicked.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        call: impl FnOnce() -> T + Send + 'static,
    ) -> Option<T> {
        let (tell, told) = oneshot::channel();
        let call = move || {
            if !tell.is_closed() {
                let _ = tell.send(call()); // who asked may have gone meanwhile
            }
        };
        self.0.lock().calls.push_back(Box::new(call));
        self.0.more.notify_one();
        told.await.ok()
    }
}

impl Drop for Desk {
    fn drop(&mut self) {
        self.0.lock().is_over = true;
        self.0.more.notify_all();
    }
}

impl Queue {
    fn work(&self) {
        while let Some(call) = self.next() {
            let _ = catch_unwind(AssertUnwindSafe(call)); // the panic was told, and who asked hears of it
        }
    }

    /// Waits for a call; none comes any more where the desk is gone.
    fn next(&self) -> Option<Call> {
        let idle = |waiting: &mut Waiting| waiting.calls.is_empty() && !waiting.is_over;
        let waiting = self.more.wait_while(self.lock(), idle);
        waiting.unwrap_or_else(PoisonError::into_inner).calls.pop_front()
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_call_that_panics_ends_nothing_but_itself() {
        let desk = Desk::new().unwrap();
        for _ in 0..thread::available_parallelism().map_or(1, usize::from) + 1 {
            assert_eq!(desk.ask(|| -> u8 { panic!("as it should") }).await, None);
        }
        assert_eq!(desk.ask(|| 7).await, Some(7));
    }

    #[tokio::test]
    async fn its_threads_end_with_it() {
        let desk = Desk::new().unwrap();
        let queue = Arc::downgrade(&desk.0);
        assert_eq!(desk.ask(|| 7).await, Some(7));
        drop(desk);
        while queue.upgrade().is_some() {
            tokio::task::yield_now().await;
        }
    }
}
