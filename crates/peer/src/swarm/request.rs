//! What a run asks for, and whether an answer's head promises just that.
//!
//! Invariant: an answer is read only where its status, range and length are those that were asked for.

use std::ops::Range;
use std::time::Duration;

use http::header::{CONTENT_LENGTH, CONTENT_RANGE, RETRY_AFTER};
use http::{HeaderMap, StatusCode};
use peerage_wire::api::Source;

use super::plan::Fault;
use super::source::Broken;

/// How long a busy source that does not say so is left alone.
const RETRY_AFTER_DEFAULT: Duration = Duration::from_secs(2);

/// What was asked for: these of a resource's `size` bytes.
pub(super) struct Asked {
    pub(super) path: String,
    pub(super) size: u64,
    pub(super) bytes: Range<u64>,
}

impl Asked {
    fn is_whole(&self) -> bool {
        self.bytes == (0..self.size)
    }

    /// How many bytes that is.
    pub(super) const fn len(&self) -> u64 {
        self.bytes.end - self.bytes.start
    }

    /// The request for them.
    pub(super) fn request(&self, source: &Source) -> Vec<u8> {
        let Self { path, bytes, .. } = self;
        let range = match self.is_whole() {
            true => String::new(),
            false => format!("range: bytes={}-{}\r\n", bytes.start, bytes.end - 1),
        };
        format!("GET {path} HTTP/1.1\r\nhost: {}\r\n{range}\r\n", source.address).into_bytes()
    }

    /// Whether an answer brings just those bytes.
    pub(super) fn check(&self, status: StatusCode, headers: &HeaderMap) -> Result<(), Broken> {
        let failed = |fault, text: &str| Err(Broken::Failed(fault, text.to_owned()));
        match status {
            StatusCode::OK if self.is_whole() => {}
            StatusCode::PARTIAL_CONTENT if !self.is_whole() => self.check_range(headers)?,
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                let secs = header(headers, &RETRY_AFTER).and_then(|text| text.parse().ok());
                return Err(Broken::Busy(secs.map_or(RETRY_AFTER_DEFAULT, Duration::from_secs)));
            }
            StatusCode::NOT_FOUND => return failed(Fault::Absent, "does not have it any more"),
            StatusCode::GONE => return failed(Fault::Absent, "has changed the file since"),
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => return failed(Fault::Refused, "refused"),
            status => return failed(Fault::Garbled, &format!("answered {status}")),
        }
        let expected = self.len();
        match header(headers, &CONTENT_LENGTH).and_then(|text| text.parse::<u64>().ok()) {
            Some(length) if length == expected => Ok(()),
            Some(length) => failed(Fault::Garbled, &format!("sends {length} bytes instead of {expected}")),
            None => failed(Fault::Garbled, "does not say how much it sends"),
        }
    }

    fn check_range(&self, headers: &HeaderMap) -> Result<(), Broken> {
        let expected = format!("bytes {}-{}/{}", self.bytes.start, self.bytes.end - 1, self.size);
        if header(headers, &CONTENT_RANGE) == Some(&expected) {
            return Ok(());
        }
        Err(Broken::Failed(Fault::Garbled, "sends other bytes than were asked for".to_owned()))
    }
}

fn header<'a>(headers: &'a HeaderMap, name: &http::HeaderName) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}
