//! What an answer consists of: nothing, a few bytes, or a content or page that is read or made as fast as it is taken.
//!
//! Invariant: what is held for a body (its upload slot, its place in the rate) goes when all of it is sent.

use std::io;
use std::ops::Range;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::meter::Sending;
use crate::reading::{Content, READ_BYTES, Reading};
use crate::uploads::Upload;

/// An answer's body.
pub(crate) struct DoorBody {
    source: Source,
    /// Goes when all is sent.
    held: Option<Held>,
}

enum Source {
    Bytes(Bytes),
    Content(Reading),
    /// Made as they are taken; how many are to come nobody knows.
    Chunks(Chunks),
}

/// Bytes to be sent, and where more come from until there are none.
struct Chunks {
    ready: Bytes,
    rest: Box<dyn Iterator<Item = Bytes> + Send>,
}

/// What is held while a body is being sent.
pub(crate) struct Held {
    pub(crate) upload: Upload,
    pub(crate) _sending: Sending,
}

impl DoorBody {
    pub(crate) fn of(bytes: impl Into<Bytes>, held: Option<Held>) -> Self {
        Self { source: Source::Bytes(bytes.into()), held }
    }

    pub(crate) fn empty() -> Self {
        Self::of(Bytes::new(), None)
    }

    /// The bytes `range` of a content; the first read begins at once.
    pub(crate) fn content(content: Content, range: Range<u64>, held: Held) -> Self {
        let reading = Reading::new(content, range, held.upload.step(READ_BYTES));
        Self { source: Source::Content(reading), held: Some(held) }
    }

    /// Chunks that are made one by one, each once the one before is sent.
    pub(crate) fn chunks(chunks: impl Iterator<Item = Bytes> + Send + 'static, held: Option<Held>) -> Self {
        let chunks = Chunks { ready: Bytes::new(), rest: Box::new(chunks) };
        Self { source: Source::Chunks(chunks), held }
    }

    /// How much is to come, where that is known.
    const fn left_bytes(&self) -> Option<u64> {
        match &self.source {
            Source::Bytes(bytes) => Some(bytes.len() as u64),
            Source::Content(reading) => Some(reading.left_bytes()),
            Source::Chunks(_) => None,
        }
    }
}

impl Chunks {
    fn next(&mut self, most: usize) -> Option<Bytes> {
        while self.ready.is_empty() {
            self.ready = self.rest.next()?;
        }
        Some(self.ready.split_to(self.ready.len().min(most)))
    }
}

impl Body for DoorBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        let mut most = READ_BYTES;
        if let Some(held) = &mut self.held {
            ready!(held.upload.poll_ready(cx));
            most = held.upload.step(READ_BYTES);
        }
        let next = match &mut self.source {
            Source::Bytes(bytes) if bytes.is_empty() => None,
            Source::Bytes(bytes) => Some(Ok(bytes.split_to(bytes.len().min(most)))),
            Source::Content(reading) => ready!(reading.poll_next(cx)),
            Source::Chunks(chunks) => chunks.next(most).map(Ok),
        };
        if let (Some(held), Some(Ok(bytes))) = (&mut self.held, &next) {
            held.upload.sent(bytes.len());
        }
        Poll::Ready(next.map(|bytes| bytes.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        self.left_bytes() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.left_bytes().map(SizeHint::with_exact).unwrap_or_default()
    }
}
