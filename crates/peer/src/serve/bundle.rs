//! `POST /v1/blobs`: many small contents in one answer, so that a folder of 10,000 files costs no 10,000 round trips.
//!
//! Invariants: the same as for one content (a hash only, absent like forbidden, an upload slot for as long as the answer is
//! sent); an answer holds at most [`limits::BUNDLE_BYTES_MAX`] in memory, and its length is known before its first byte.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::header::{CONTENT_LENGTH, CONTENT_TYPE};
use http::{Response, StatusCode};
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use peerage_wire::api::codes;
use peerage_wire::{ContentHash, bundle, limits};

use super::Door;
use super::answer::{Caller, finish, hold, response};
use super::body::DoorBody;
use super::refusal::Refusal;
use crate::catalogue::{Catalogue, OpenedContent};
use crate::reading::Content;

/// The path it is asked at.
pub(crate) const PATH: &str = "/v1/blobs";
/// Bytes of a request's body: 64 digits a line, and an end of line as any system writes it.
const BODY_BYTES_MAX: usize = limits::BUNDLE_CONTENTS_MAX * 66;
/// How long the body may take to come: the same as a head.
const BODY_TIMEOUT: Duration = limits::HEADER_TIMEOUT;

/// How long contents are gathered that lie on a server: whoever waits must not think that we are gone.
const REMOTE_MAX: Duration = Duration::from_secs(5);

/// Answers with each content that is shared here.
pub(super) async fn answer(
    door: &Door,
    caller: &Caller,
    body: Incoming,
) -> Result<Response<DoorBody>, Refusal> {
    let hashes = read(body).await?;
    let held = hold(door, caller).await?;
    let catalogue = Arc::clone(&door.catalogue);
    // The slot goes with the work: who hangs up meanwhile has it until the reading is over.
    let gathered = tokio::task::spawn_blocking(move || (gather(&catalogue, &hashes), held)).await;
    let Ok((bytes, held)) = gathered else {
        let message = "the contents can't be read";
        let (status, hint) = (StatusCode::INTERNAL_SERVER_ERROR, "try another source");
        return Err(Refusal::new(status, codes::INTERNAL, message, hint));
    };
    let head = response(StatusCode::OK)
        .header(CONTENT_TYPE, "application/octet-stream")
        .header(CONTENT_LENGTH, bytes.len());
    Ok(finish(head, DoorBody::of(bytes, Some(held))))
}

async fn read(body: Incoming) -> Result<Vec<ContentHash>, Refusal> {
    let refused = |message: &str| Refusal::bad_request(message, "send content hashes, one a line");
    let collected = tokio::time::timeout(BODY_TIMEOUT, Limited::new(body, BODY_BYTES_MAX).collect()).await;
    let bytes = match collected {
        Ok(Ok(body)) => body.to_bytes(),
        Ok(Err(_)) => return Err(refused("the body is too long or was cut")),
        Err(_) => return Err(refused("the body took too long")),
    };
    let text = std::str::from_utf8(&bytes).map_err(|_| refused("the body is no text"))?;
    bundle::parse(text).map_err(|error| refused(&error.to_string()))
}

/// Reads what fits. Blocks on the disk.
fn gather(catalogue: &Catalogue, hashes: &[ContentHash]) -> Vec<u8> {
    let mut answer = Vec::new();
    let mut free = limits::BUNDLE_BYTES_MAX as u64;
    let begun = Instant::now();
    for hash in hashes {
        let Ok(opened) = catalogue.open(hash) else {
            answer.extend_from_slice(&bundle::ABSENT.to_be_bytes());
            continue;
        };
        let is_late = matches!(opened.content, Content::Remote(_)) && begun.elapsed() > REMOTE_MAX;
        if opened.size > free || is_late {
            answer.extend_from_slice(&bundle::NO_ROOM.to_be_bytes());
            continue;
        }
        free -= opened.size;
        append(&mut answer, opened);
    }
    answer
}

/// A file that is shorter than it was counts as absent: a promised byte is never made up.
fn append(answer: &mut Vec<u8>, OpenedContent { content, size }: OpenedContent) {
    let start = answer.len();
    answer.extend_from_slice(&size.to_be_bytes());
    // At most what an answer holds: it was compared with the room that is left.
    let len = usize::try_from(size).unwrap_or(limits::BUNDLE_BYTES_MAX);
    let body = answer.len();
    answer.resize(body + len, 0);
    if content.read_exact_at(&mut answer[body..], 0).is_err() {
        answer.truncate(start);
        answer.extend_from_slice(&bundle::ABSENT.to_be_bytes());
    }
}
