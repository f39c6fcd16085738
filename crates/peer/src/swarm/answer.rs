//! An HTTP/1.1 answer as it comes over a [`Line`]: its head, then a body of a length known beforehand.
//!
//! Invariants: a head has a size limit; only a body with a `Content-Length` is read, and never past its end; a line is
//! used again only where the answer was read to its end and the other side keeps it open.

use std::sync::atomic::{AtomicU64, Ordering};

use http::header::{CONNECTION, CONTENT_LENGTH};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use peerage_wire::limits;

use super::line::LineError;
use super::pool::Lease;

/// Headers of one answer: a door sends ten.
const HEADERS_MAX: usize = 64;

/// How every answer begins.
const VERSION: &[u8] = b"HTTP/1.1 ";

/// Why an answer can't be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum AnswerError {
    /// The line broke.
    #[error("broke off: {0}")]
    Cut(#[from] LineError),
    /// It is no HTTP.
    #[error("does not speak the protocol: {0}")]
    Garbled(String),
}

/// How an answer begins.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
}

impl Head {
    /// The body's length, where it is told.
    pub(super) fn content_length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }
}

/// Sends a request without a body, or with a short one, and waits for the answer's head.
pub(super) fn ask(lease: &mut Lease, request: &[u8]) -> Result<Head, AnswerError> {
    lease.line.send(request)?;
    let mut head = Vec::new();
    loop {
        lease.line.receive(|bytes| take_head(&mut head, bytes))?;
        if head.ends_with(b"\r\n\r\n") {
            return parse(&head);
        }
        if !head.starts_with(&VERSION[..head.len().min(VERSION.len())]) {
            return Err(AnswerError::Garbled("it is not HTTP/1.1".to_owned()));
        }
        if head.len() > limits::HEADER_BYTES_MAX {
            return Err(AnswerError::Garbled("its answer's head is too long".to_owned()));
        }
    }
}

/// Takes bytes up to and with the empty line.
fn take_head(head: &mut Vec<u8>, bytes: &[u8]) -> usize {
    let before = head.len();
    let from = before.saturating_sub(3);
    head.extend_from_slice(bytes);
    if let Some(at) = head[from..].windows(4).position(|window| window == b"\r\n\r\n") {
        head.truncate(from + at + 4);
    }
    head.len() - before
}

fn parse(head: &[u8]) -> Result<Head, AnswerError> {
    let garbled = |why: &dyn std::fmt::Display| AnswerError::Garbled(why.to_string());
    let mut headers = [httparse::EMPTY_HEADER; HEADERS_MAX];
    let mut answer = httparse::Response::new(&mut headers);
    answer.parse(head).map_err(|error| garbled(&error))?;
    let (Some(1), Some(code)) = (answer.version, answer.code) else {
        return Err(garbled(&"it is not HTTP/1.1"));
    };
    let status = StatusCode::from_u16(code).map_err(|error| garbled(&error))?;
    let header = |header: &httparse::Header<'_>| {
        let name = HeaderName::from_bytes(header.name.as_bytes()).map_err(|error| garbled(&error))?;
        let value = HeaderValue::from_bytes(header.value).map_err(|error| garbled(&error))?;
        Ok((name, value))
    };
    let headers = answer.headers.iter().map(header).collect::<Result<HeaderMap, AnswerError>>()?;
    Ok(Head { status, headers })
}

/// What is left of an answer.
pub(super) struct Body<'a> {
    lease: Lease,
    left: u64,
    may_stay_open: bool,
    received: &'a AtomicU64,
}

impl<'a> Body<'a> {
    /// The `len` bytes that follow `head`, counted into `received` as they come.
    pub(super) fn new(lease: Lease, head: &Head, len: u64, received: &'a AtomicU64) -> Self {
        let connection = head.headers.get(CONNECTION).and_then(|value| value.to_str().ok());
        let may_stay_open = connection.is_none_or(|value| !value.eq_ignore_ascii_case("close"));
        Self { lease, left: len, may_stay_open, received }
    }

    /// Whether all of it was taken.
    pub(super) const fn is_over(&self) -> bool {
        self.left == 0
    }

    /// Hands the next bytes to `take`, at most so many, which takes all it is given.
    pub(super) fn next(&mut self, most: usize, mut take: impl FnMut(&[u8])) -> Result<(), LineError> {
        let most = usize::try_from(self.left).unwrap_or(usize::MAX).min(most);
        if most == 0 {
            return Err(LineError::Closed);
        }
        let mut taken = 0;
        self.lease.line.receive(|bytes| {
            taken = bytes.len().min(most);
            take(&bytes[..taken]);
            taken
        })?;
        self.left -= taken as u64;
        self.received.fetch_add(taken as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Fills all of `room`; `see` gets every byte once, in strides of about `stride` while they are in the cache.
    pub(super) fn fill(
        &mut self,
        room: &mut [u8],
        stride: usize,
        mut see: impl FnMut(&[u8]),
    ) -> Result<(), LineError> {
        let (mut filled, mut seen) = (0, 0);
        while filled < room.len() {
            let left = room.len() - filled;
            self.next(left, |bytes| {
                room[filled..filled + bytes.len()].copy_from_slice(bytes);
                filled += bytes.len();
            })?;
            if filled - seen >= stride || filled == room.len() {
                see(&room[seen..filled]);
                seen = filled;
            }
        }
        Ok(())
    }

    /// Where the answer ends here, as it should, its line is for the next request at once.
    pub(super) fn end(self) {
        if self.left == 0 && self.may_stay_open {
            self.lease.give_back();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_ends_where_it_ends_however_it_is_cut() {
        let answer = b"HTTP/1.1 206 Partial Content\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc";
        let head_len = answer.len() - 3;
        for cut in 1..answer.len() {
            let mut head = Vec::new();
            let mut taken = take_head(&mut head, &answer[..cut]);
            if !head.ends_with(b"\r\n\r\n") {
                taken += take_head(&mut head, &answer[cut..]);
            }
            assert_eq!((taken, &head[..]), (head_len, &answer[..head_len]), "cut at {cut}");
        }
        let head = parse(&answer[..head_len]).unwrap();
        assert_eq!(
            (head.status, head.headers["content-length"].as_bytes()),
            (StatusCode::PARTIAL_CONTENT, &b"3"[..])
        );
    }

    #[test]
    fn what_is_no_http_is_told() {
        for garbage in [
            "220 Welcome\r\n\r\n",
            "HTTP/1.0 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
            "\r\n\r\n",
        ] {
            assert!(matches!(parse(garbage.as_bytes()), Err(AnswerError::Garbled(_))), "{garbage:?}");
        }
    }
}
