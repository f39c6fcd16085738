//! What all answers of the doors have in common: a content with its preconditions and ranges, or a few bytes.
//!
//! Invariants: a body is sent only by who holds an upload slot, unless it is a few bytes; a HEAD gets the headers of the
//! GET without a slot. Of a content that is being downloaded only pieces that are proven are sent; the others are
//! not there.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use http::header::{
    ACCEPT_RANGES, CONTENT_LENGTH, CONTENT_RANGE, ETAG, LAST_MODIFIED, X_CONTENT_TYPE_OPTIONS,
};
use http::{Method, Response, StatusCode, request, response};

use super::Door;
use super::body::{DoorBody, Held};
use super::conditions::{Verdict, Version, is_still, judge};
use super::meter::Meter;
use super::range::{Asked, asked};
use super::refusal::Refusal;
use crate::catalogue::OpenedContent;
use crate::partials::Partial;
use crate::uploads::Receiver;

/// Bytes of an answer that is sent without a slot: the bitmap of half a tebibyte, less than one read of a file.
pub(super) const SLOTLESS_BYTES_MAX: usize = 64 << 10;

/// Who asks, and over which connection.
pub(crate) struct Caller {
    pub(crate) receiver: Receiver,
    pub(crate) meter: Arc<Meter>,
}

/// A content that is open, and as what it is sent.
pub(super) struct Sent {
    pub(super) opened: OpenedContent,
    /// What there is of it, where that is not all.
    pub(super) partial: Option<Arc<Partial>>,
    pub(super) version: Version,
    /// Headers of every answer that is about it.
    pub(super) headers: http::HeaderMap,
}

/// Answers a GET or HEAD with as much of the content as it asks for.
pub(super) async fn send(
    door: &Door,
    caller: &Caller,
    request: &request::Parts,
    sent: Sent,
) -> Result<Response<DoorBody>, Refusal> {
    let OpenedContent { content, size } = sent.opened;
    let is_there = |range: &Range<u64>| sent.partial.as_ref().is_none_or(|partial| partial.has_bytes(range));
    let head = |status| about(status, &sent.headers, &sent.version);
    match judge(&request.headers, &sent.version) {
        Verdict::Go => {}
        Verdict::NotModified => return Ok(finish(head(StatusCode::NOT_MODIFIED), DoorBody::empty())),
        Verdict::Failed => return Err(Refusal::precondition_failed()),
    }
    // A range has no meaning for HEAD (RFC 9110, section 14.2).
    let is_head = request.method == Method::HEAD;
    let asked = if is_head || !is_still(&request.headers, &sent.version) {
        Asked::Whole
    } else {
        asked(&request.headers, size)
    };
    let (status, range) = match asked {
        Asked::Whole => (StatusCode::OK, 0..size),
        Asked::Part(range) => (StatusCode::PARTIAL_CONTENT, range),
        Asked::Unsatisfiable => return Err(Refusal::unsatisfiable(size)),
    };
    if !is_there(&range) {
        return Err(Refusal::not_found());
    }
    let mut head =
        head(status).header(ACCEPT_RANGES, "bytes").header(CONTENT_LENGTH, range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end - 1;
        head = head.header(CONTENT_RANGE, format!("bytes {}-{last}/{size}", range.start));
    }
    if is_head {
        return Ok(finish(head, DoorBody::empty()));
    }
    let held = hold(door, caller).await?;
    Ok(finish(head, DoorBody::content(content, range, held)))
}

fn about(status: StatusCode, headers: &http::HeaderMap, version: &Version) -> response::Builder {
    let mut head = response(status).header(ETAG, version.etag());
    if let Some(date) = version.last_modified() {
        head = head.header(LAST_MODIFIED, date);
    }
    if let Some(all) = head.headers_mut() {
        all.extend(headers.clone());
    }
    head
}

/// Answers with bytes that are ready. A short answer does not wait for a slot.
pub(super) async fn send_bytes(
    door: &Door,
    caller: &Caller,
    method: &Method,
    head: response::Builder,
    bytes: Bytes,
) -> Result<Response<DoorBody>, Refusal> {
    let head = head.header(CONTENT_LENGTH, bytes.len());
    if *method == Method::HEAD {
        return Ok(finish(head, DoorBody::empty()));
    }
    let is_short = bytes.len() <= SLOTLESS_BYTES_MAX;
    let held = if is_short { None } else { Some(hold(door, caller).await?) };
    Ok(finish(head, DoorBody::of(bytes, held)))
}

/// Waits for an upload slot.
pub(super) async fn hold(door: &Door, caller: &Caller) -> Result<Held, Refusal> {
    let upload = door.uploads.begin(caller.receiver).await.map_err(Refusal::too_busy)?;
    Ok(Held { upload, _sending: caller.meter.sending() })
}

pub(super) fn response(status: StatusCode) -> response::Builder {
    Response::builder().status(status).header(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

/// A builder fails on a malformed header only, and every one here is made of what a header may hold.
pub(super) fn finish(response: response::Builder, body: DoorBody) -> Response<DoorBody> {
    response.body(body).unwrap_or_else(|_| Response::new(DoorBody::empty()))
}
