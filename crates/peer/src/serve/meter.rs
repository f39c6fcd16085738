//! How fast a connection takes what it is sent, so that one that takes next to nothing can be cut.
//!
//! Invariant: only a connection that is being sent something is judged; one that idles is the header timer's.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// How long a receiver is watched before it is judged.
const WINDOW: Duration = Duration::from_secs(30);
/// Bytes it must take meanwhile: 4 KiB a second. The kernel takes bytes in its stead and frees room in steps of
/// up to a megabyte, so on a fast network a reader above this rate may be cut too; it resumes with a range.
const WINDOW_BYTES_MIN: u64 = 30 * (4 << 10);

/// What one connection has taken.
#[derive(Debug, Default)]
pub(crate) struct Meter {
    written_bytes: AtomicU64,
    is_blocked: AtomicBool,
    is_sending: AtomicBool,
    bodies: AtomicU64,
}

/// A look at a [`Meter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Reading {
    written_bytes: u64,
    /// The body being sent, or the flush being waited for; `None` while nothing is to be sent.
    work: Option<u64>,
}

impl Meter {
    /// Marks a body as being sent for as long as the guard lives.
    pub(crate) fn sending(self: &Arc<Self>) -> Sending {
        self.bodies.fetch_add(1, Ordering::Relaxed);
        self.is_sending.store(true, Ordering::Relaxed);
        Sending { meter: Arc::clone(self) }
    }

    /// Returns once the connection has been too slow for a whole window.
    pub(crate) async fn too_slow(&self) {
        let mut before = self.reading();
        loop {
            tokio::time::sleep(WINDOW).await;
            let now = self.reading();
            if is_too_slow(before, now) {
                return;
            }
            before = now;
        }
    }

    fn reading(&self) -> Reading {
        let is_working = self.is_sending.load(Ordering::Relaxed) || self.is_blocked.load(Ordering::Relaxed);
        Reading {
            written_bytes: self.written_bytes.load(Ordering::Relaxed),
            work: is_working.then(|| self.bodies.load(Ordering::Relaxed)),
        }
    }
}

fn is_too_slow(before: Reading, now: Reading) -> bool {
    let is_same_work = before.work.is_some() && before.work == now.work;
    is_same_work && now.written_bytes - before.written_bytes < WINDOW_BYTES_MIN
}

/// See [`Meter::sending`].
pub(crate) struct Sending {
    meter: Arc<Meter>,
}

impl Drop for Sending {
    fn drop(&mut self) {
        self.meter.is_sending.store(false, Ordering::Relaxed);
    }
}

/// A stream whose writes are counted.
pub(crate) struct Metered<S> {
    pub(crate) stream: S,
    pub(crate) meter: Arc<Meter>,
}

impl<S> Metered<S> {
    fn count(&self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        self.meter.is_blocked.store(written.is_pending(), Ordering::Relaxed);
        if let Poll::Ready(Ok(bytes)) = written {
            self.meter.written_bytes.fetch_add(bytes as u64, Ordering::Relaxed);
        }
        written
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Metered<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Metered<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.count(written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    #[test]
    fn only_who_is_sent_something_is_judged() {
        let at = |written_bytes, work| Reading { written_bytes, work };
        assert!(is_too_slow(at(0, Some(1)), at(WINDOW_BYTES_MIN - 1, Some(1))));
        assert!(!is_too_slow(at(0, Some(1)), at(WINDOW_BYTES_MIN, Some(1))));
        assert!(!is_too_slow(at(0, Some(1)), at(1, Some(2))), "another body since");
        assert!(!is_too_slow(at(0, None), at(0, None)), "idle");
        assert!(!is_too_slow(at(0, None), at(0, Some(1))), "just begun");
    }

    #[tokio::test(start_paused = true)]
    async fn a_reader_that_stops_is_told_and_one_that_reads_is_not() {
        let (stream, mut reader) = tokio::io::duplex(1000);
        let meter = Arc::new(Meter::default());
        let mut stream = Metered { stream, meter: Arc::clone(&meter) };
        let _sending = meter.sending();
        let writing = async { while stream.write_all(&[0; 1000]).await.is_ok() {} };
        let reading = async {
            let mut buffer = vec![0; 1000];
            for _ in 0..100 {
                for _ in 0..10 {
                    tokio::io::AsyncReadExt::read_exact(&mut reader, &mut buffer).await.unwrap();
                }
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
            std::future::pending::<()>().await;
        };
        let start = tokio::time::Instant::now();
        tokio::select! {
            () = writing => panic!("the reader is still there"),
            () = reading => {}
            () = meter.too_slow() => {}
        }
        let secs = start.elapsed().as_secs();
        assert!((120..=150).contains(&secs), "it read for 100 s and was cut after {secs} s");
    }
}
