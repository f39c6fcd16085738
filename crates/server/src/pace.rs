//! Cuts a body that comes too slowly, so that nobody holds memory and a connection with a few bytes a minute.
//!
//! The rule is [`Slowest`]: while more is waited for, each window must bring so many bytes. A body that is whole
//! before its window ends may have any size.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::config::Slowest;

/// The other side was slower than [`Slowest`] allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the other side is too slow")]
pub(crate) struct TooSlow;

/// Watches one direction of one transfer.
pub(crate) struct Pace {
    slowest: Slowest,
    bytes: u64,
    window: Option<Pin<Box<Sleep>>>,
}

impl Pace {
    pub(crate) const fn new(slowest: Slowest) -> Self {
        Self { slowest, bytes: 0, window: None }
    }

    /// So many bytes passed.
    pub(crate) const fn moved(&mut self, bytes: usize) {
        self.bytes = self.bytes.saturating_add(bytes as u64);
    }

    /// Nothing is waited for.
    pub(crate) fn rest(&mut self) {
        (self.bytes, self.window) = (0, None);
    }

    /// More is waited for: ready once a window has brought too little.
    pub(crate) fn poll_waiting(&mut self, cx: &mut Context<'_>) -> Poll<TooSlow> {
        loop {
            let length = self.slowest.window;
            let window = self.window.get_or_insert_with(|| Box::pin(sleep_until(Instant::now() + length)));
            ready!(window.as_mut().poll(cx));
            if self.bytes < self.slowest.bytes {
                return Poll::Ready(TooSlow);
            }
            self.rest();
        }
    }
}

/// A request's body, cut with [`TooSlow`] when it comes too slowly.
pub(crate) struct PacedBody {
    body: Incoming,
    pace: Pace,
}

impl PacedBody {
    pub(crate) const fn new(body: Incoming, slowest: Slowest) -> Self {
        Self { body, pace: Pace::new(slowest) }
    }
}

impl Body for PacedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(cx) else {
            let slow = ready!(self.pace.poll_waiting(cx));
            return Poll::Ready(Some(Err(io::Error::new(io::ErrorKind::TimedOut, slow))));
        };
        if let Some(Ok(frame)) = &frame {
            self.pace.moved(frame.data_ref().map_or(0, Bytes::len));
        }
        Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;
    use std::time::Duration;

    use tokio::time::{sleep, timeout};

    use super::*;

    const SLOWEST: Slowest = Slowest { bytes: 100, window: Duration::from_secs(30) };

    #[tokio::test(start_paused = true)]
    async fn too_little_in_a_window_is_too_slow() {
        let mut pace = Pace::new(SLOWEST);
        let begin = Instant::now();
        pace.moved(99);
        poll_fn(|cx| pace.poll_waiting(cx)).await;
        assert_eq!(begin.elapsed().as_secs(), 30);
    }

    #[tokio::test(start_paused = true)]
    async fn enough_in_every_window_goes_on() {
        let mut pace = Pace::new(SLOWEST);
        let begin = Instant::now();
        for _ in 0..10 {
            pace.moved(50);
            let waited = timeout(Duration::from_secs(15), poll_fn(|cx| pace.poll_waiting(cx))).await;
            assert!(waited.is_err(), "cut after {:?}", begin.elapsed());
        }
        poll_fn(|cx| pace.poll_waiting(cx)).await;
        assert!(begin.elapsed() <= Duration::from_secs(15 * 10 + 60), "{:?}", begin.elapsed());
    }

    #[tokio::test(start_paused = true)]
    async fn a_rest_begins_anew() {
        let mut pace = Pace::new(SLOWEST);
        let waited = timeout(Duration::from_secs(29), poll_fn(|cx| pace.poll_waiting(cx))).await;
        assert!(waited.is_err());
        pace.rest();
        sleep(Duration::from_secs(1_000)).await;
        let waited = timeout(Duration::from_secs(29), poll_fn(|cx| pace.poll_waiting(cx))).await;
        assert!(waited.is_err());
    }
}
