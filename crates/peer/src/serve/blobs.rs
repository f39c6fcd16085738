//! `GET` and `HEAD /v1/blobs/{hash}`, and below it `/pieces` and `/have`: contents by their hash.
//!
//! Invariants: a name is never looked at, only a hash, and only in the catalogue; what is not shared, what is
//! not there and what is no hash at all give the same answer; a body is sent only by who holds an upload slot. Of a
//! content that is being downloaded only pieces that are proven are sent; the others are not there.

use std::ops::Range;
use std::sync::Arc;

use http::header::{
    ACCEPT_RANGES, ALLOW, CACHE_CONTROL, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, ETAG, RETRY_AFTER,
    X_CONTENT_TYPE_OPTIONS,
};
use http::{HeaderValue, Method, Response, StatusCode, response};
use peerage_wire::ContentHash;
use peerage_wire::api::{ErrorBody, ErrorDetail, codes};

use super::Door;
use super::body::{DoorBody, Held};
use super::meter::Meter;
use super::range::{Asked, asked};
use crate::catalogue::{OpenError, OpenedContent};
use crate::have::Have;
use crate::partials::Partial;
use crate::reading::Content;
use crate::uploads::{Busy, Receiver};

/// Bytes of an answer that is sent without a slot: the bitmap of half a tebibyte, less than one read of a file.
const SLOTLESS_BYTES_MAX: usize = 64 << 10;

/// Who asks, and over which connection.
pub(crate) struct Caller {
    pub(crate) receiver: Receiver,
    pub(crate) meter: Arc<Meter>,
}

/// What a path names.
enum Named {
    Content(ContentHash),
    Pieces(ContentHash),
    Have(ContentHash),
}

/// Answers any request.
pub(crate) async fn answer(door: &Door, caller: &Caller, head: &http::request::Parts) -> Response<DoorBody> {
    let Some(named) = parse(head.uri.path()) else { return not_found() };
    let is_head = head.method == Method::HEAD;
    if !is_head && head.method != Method::GET {
        return method_not_allowed();
    }
    match named {
        Named::Content(hash) => content(door, caller, hash, head).await,
        Named::Pieces(hash) => pieces(door, caller, hash, is_head).await,
        Named::Have(hash) => have(door, caller, hash, is_head).await,
    }
}

fn parse(path: &str) -> Option<Named> {
    let rest = path.strip_prefix("/v1/blobs/")?;
    match rest.split_once('/') {
        None => rest.parse().ok().map(Named::Content),
        Some((hash, "pieces")) => hash.parse().ok().map(Named::Pieces),
        Some((hash, "have")) => hash.parse().ok().map(Named::Have),
        Some(_) => None,
    }
}

async fn content(
    door: &Door,
    caller: &Caller,
    hash: ContentHash,
    head: &http::request::Parts,
) -> Response<DoorBody> {
    let (OpenedContent { content, size }, partial) = match open(door, hash).await {
        Ok(opened) => opened,
        Err(refusal) => return refusal,
    };
    let is_there = |range: &Range<u64>| partial.as_ref().is_none_or(|partial| partial.has_bytes(range));
    let etag = format!("\"{hash}\"");
    let (status, range) = match (asked(&head.headers, size, &etag), head.method == Method::HEAD) {
        (Asked::NotModified, _) => return not_modified(etag),
        // A range has no meaning for HEAD (RFC 9110, section 14.2).
        (_, true) if is_there(&(0..size)) => {
            let whole = content_headers(StatusCode::OK, etag).header(CONTENT_LENGTH, size);
            return finish(whole, DoorBody::empty());
        }
        (_, true) => return not_found(),
        (Asked::Whole, _) => (StatusCode::OK, 0..size),
        (Asked::Part(range), _) => (StatusCode::PARTIAL_CONTENT, range),
        (Asked::Unsatisfiable, _) => return unsatisfiable(size),
    };
    if !is_there(&range) {
        return not_found();
    }
    let held = match hold(door, caller).await {
        Ok(held) => held,
        Err(refusal) => return refusal,
    };
    let mut response = content_headers(status, etag).header(CONTENT_LENGTH, range.end - range.start);
    if status == StatusCode::PARTIAL_CONTENT {
        let last = range.end - 1;
        response = response.header(CONTENT_RANGE, format!("bytes {}-{last}/{size}", range.start));
    }
    finish(response, DoorBody::content(content, range, held))
}

/// A content ready to be read, and what there is of it where that is not all.
type Opened = (OpenedContent, Option<Arc<Partial>>);

/// Opens a content, away from the connection's thread.
async fn open(door: &Door, hash: ContentHash) -> Result<Opened, Response<DoorBody>> {
    let catalogue = Arc::clone(&door.catalogue);
    match tokio::task::spawn_blocking(move || catalogue.open(&hash)).await {
        Ok(Ok(opened)) => Ok((opened, None)),
        Ok(Err(OpenError::Absent)) => {
            let partial = door.catalogue.partials().get(&hash).ok_or_else(not_found)?;
            let (file, size) = (partial.file().map_err(|_| unreadable())?, partial.list().size());
            Ok((OpenedContent { content: Content::Disk(file), size }, Some(partial)))
        }
        Ok(Err(OpenError::Changed)) => Err(changed()),
        Ok(Err(OpenError::Unreadable(_))) | Err(_) => Err(unreadable()),
    }
}

async fn pieces(door: &Door, caller: &Caller, hash: ContentHash, is_head: bool) -> Response<DoorBody> {
    let catalogue = Arc::clone(&door.catalogue);
    let found = tokio::task::spawn_blocking(move || {
        let partial = || catalogue.partials().get(&hash).map(|partial| Arc::clone(partial.list()));
        catalogue.pieces(&hash).or_else(partial)
    });
    let Some(list) = found.await.ok().flatten() else { return not_found() };
    let response = response(StatusCode::OK)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, list.count() * 32);
    if is_head {
        return finish(response, DoorBody::empty());
    }
    match hold(door, caller).await {
        Ok(held) => finish(response, DoorBody::of(list.to_bytes(), Some(held))),
        Err(refusal) => refusal,
    }
}

/// Which pieces there are. A short answer does not wait for a slot: whom to ask for pieces is decided by it, and
/// behind the pieces themselves it would come too late.
async fn have(door: &Door, caller: &Caller, hash: ContentHash, is_head: bool) -> Response<DoorBody> {
    let whole = || door.catalogue.piece_count(&hash).map(Have::all);
    let partial = || door.catalogue.partials().get(&hash).map(|partial| partial.have());
    let Some(have) = whole().or_else(partial) else { return not_found() };
    let bytes = have.to_bytes();
    let response = response(StatusCode::OK)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CACHE_CONTROL, "no-store")
        .header(CONTENT_LENGTH, bytes.len());
    if is_head {
        return finish(response, DoorBody::empty());
    }
    if bytes.len() <= SLOTLESS_BYTES_MAX {
        return finish(response, DoorBody::of(bytes, None));
    }
    match hold(door, caller).await {
        Ok(held) => finish(response, DoorBody::of(bytes, Some(held))),
        Err(refusal) => refusal,
    }
}

/// Waits for an upload slot.
pub(super) async fn hold(door: &Door, caller: &Caller) -> Result<Held, Response<DoorBody>> {
    let upload = door.uploads.begin(caller.receiver).await.map_err(too_busy)?;
    Ok(Held { upload, _sending: caller.meter.sending() })
}

pub(super) fn response(status: StatusCode) -> response::Builder {
    Response::builder().status(status).header(X_CONTENT_TYPE_OPTIONS, "nosniff")
}

fn content_headers(status: StatusCode, etag: String) -> response::Builder {
    response(status)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(ACCEPT_RANGES, "bytes")
        .header(ETAG, etag)
}

fn not_modified(etag: String) -> Response<DoorBody> {
    finish(response(StatusCode::NOT_MODIFIED).header(ETAG, etag), DoorBody::empty())
}

fn not_found() -> Response<DoorBody> {
    error(StatusCode::NOT_FOUND, codes::NOT_FOUND, "nothing is shared here", "ask the index for its sources")
}

fn changed() -> Response<DoorBody> {
    let message = "the file was changed since it was shared";
    error(StatusCode::GONE, codes::CHANGED, message, "search again: it is shared anew in a moment")
}

fn unreadable() -> Response<DoorBody> {
    let message = "the file can't be read";
    error(StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, message, "try another source")
}

fn method_not_allowed() -> Response<DoorBody> {
    let (status, message) = (StatusCode::METHOD_NOT_ALLOWED, "only `GET` and `HEAD` are answered here");
    let mut response = error(status, codes::BAD_REQUEST, message, "this door is for reading");
    response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
    response
}

pub(crate) fn misdirected() -> Response<DoorBody> {
    let message = "this machine does not go by that name";
    error(StatusCode::MISDIRECTED_REQUEST, codes::BAD_REQUEST, message, "use its address instead")
}

fn unsatisfiable(size: u64) -> Response<DoorBody> {
    let message = "the range lies beyond the content's end";
    let mut response =
        error(StatusCode::RANGE_NOT_SATISFIABLE, codes::BAD_REQUEST, message, "see `Content-Range`");
    if let Ok(value) = HeaderValue::try_from(format!("bytes */{size}")) {
        response.headers_mut().insert(CONTENT_RANGE, value);
    }
    response
}

fn too_busy(busy: Busy) -> Response<DoorBody> {
    let message = "every upload slot is taken";
    let mut response =
        error(StatusCode::SERVICE_UNAVAILABLE, codes::LIMIT, message, "come back after `Retry-After`");
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(busy.retry_after.as_secs()));
    response
}

pub(super) fn error(status: StatusCode, code: &str, message: &str, hint: &str) -> Response<DoorBody> {
    let detail = ErrorDetail { code: code.to_owned(), message: message.to_owned(), hint: hint.to_owned() };
    let body = serde_json::to_vec(&ErrorBody { error: detail }).unwrap_or_default();
    let response =
        response(status).header(CONTENT_TYPE, "application/json").header(CONTENT_LENGTH, body.len());
    finish(response, DoorBody::of(body, None))
}

/// A builder fails on a malformed header only, and every one here is made of digits and constants.
pub(super) fn finish(response: response::Builder, body: DoorBody) -> Response<DoorBody> {
    response.body(body).unwrap_or_else(|_| Response::new(DoorBody::empty()))
}
