//! `GET` and `HEAD /v1/blobs/{hash}`, and below it `/pieces` and `/have`: contents by their hash.
//!
//! Invariants: a name is never looked at, only a hash, and only in the catalogue; what is not shared, what is
//! not there and what is no hash at all give the same answer.

use std::sync::Arc;

use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, request};
use peerage_wire::ContentHash;

use super::Door;
use super::answer::{Caller, Sent, finish, hold, response, send, send_bytes};
use super::body::DoorBody;
use super::conditions::Version;
use super::refusal::Refusal;
use crate::catalogue::{OpenError, OpenedContent};
use crate::have::Have;
use crate::partials::Partial;
use crate::reading::Content;

/// What all these answers are made of.
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

/// What a path names.
enum Named {
    Content(ContentHash),
    Pieces(ContentHash),
    Have(ContentHash),
}

/// Answers any request.
pub(super) async fn answer(
    door: &Door,
    caller: &Caller,
    request: &request::Parts,
) -> Result<Response<DoorBody>, Refusal> {
    let named = parse(request.uri.path()).ok_or_else(Refusal::not_found)?;
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(Refusal::method_not_allowed());
    }
    match named {
        Named::Content(hash) => content(door, caller, hash, request).await,
        Named::Pieces(hash) => pieces(door, caller, hash, &request.method).await,
        Named::Have(hash) => have(door, caller, hash, &request.method).await,
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
    request: &request::Parts,
) -> Result<Response<DoorBody>, Refusal> {
    let (opened, partial) = match open(door, hash).await {
        Ok(opened) => (opened, None),
        Err(OpenError::Absent) => {
            let partial = door.catalogue.partials().get(&hash).ok_or_else(Refusal::not_found)?;
            (open_partial(&partial)?, Some(partial))
        }
        Err(error) => return Err(error.into()),
    };
    let headers = HeaderMap::from_iter([(CONTENT_TYPE, BYTES)]);
    send(door, caller, request, Sent { opened, partial, version: Version::of(&hash), headers }).await
}

/// Opens a content, away from the connection's thread.
pub(super) async fn open(door: &Door, hash: ContentHash) -> Result<OpenedContent, OpenError> {
    let catalogue = Arc::clone(&door.catalogue);
    let opened = tokio::task::spawn_blocking(move || catalogue.open(&hash)).await;
    opened.unwrap_or_else(|error| Err(OpenError::Unreadable(error.into())))
}

fn open_partial(partial: &Partial) -> Result<OpenedContent, Refusal> {
    let file = partial.file().map_err(|_| Refusal::unreadable())?;
    Ok(OpenedContent { content: Content::Disk(file), size: partial.list().size() })
}

impl From<OpenError> for Refusal {
    fn from(error: OpenError) -> Self {
        match error {
            OpenError::Absent => Self::not_found(),
            OpenError::Changed => Self::changed(),
            OpenError::Unreadable(_) => Self::unreadable(),
        }
    }
}

async fn pieces(
    door: &Door,
    caller: &Caller,
    hash: ContentHash,
    method: &Method,
) -> Result<Response<DoorBody>, Refusal> {
    let catalogue = Arc::clone(&door.catalogue);
    let found = tokio::task::spawn_blocking(move || {
        let partial = || catalogue.partials().get(&hash).map(|partial| Arc::clone(partial.list()));
        catalogue.pieces(&hash).or_else(partial)
    });
    let list = found.await.ok().flatten().ok_or_else(Refusal::not_found)?;
    let head = response(StatusCode::OK).header(CONTENT_TYPE, BYTES).header(CONTENT_LENGTH, list.count() * 32);
    if *method == Method::HEAD {
        return Ok(finish(head, DoorBody::empty()));
    }
    let held = hold(door, caller).await?;
    Ok(finish(head, DoorBody::of(list.to_bytes(), Some(held))))
}

/// Which pieces there are. A short answer does not wait for a slot: whom to ask for pieces is decided by it, and
/// behind the pieces themselves it would come too late.
async fn have(
    door: &Door,
    caller: &Caller,
    hash: ContentHash,
    method: &Method,
) -> Result<Response<DoorBody>, Refusal> {
    let whole = || door.catalogue.piece_count(&hash).map(Have::all);
    let partial = || door.catalogue.partials().get(&hash).map(|partial| partial.have());
    let have = whole().or_else(partial).ok_or_else(Refusal::not_found)?;
    let head = response(StatusCode::OK).header(CONTENT_TYPE, BYTES).header(CACHE_CONTROL, "no-store");
    send_bytes(door, caller, method, head, have.to_bytes().into()).await
}
