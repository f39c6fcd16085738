//! `GET` and `HEAD /v1/shares/…`, the folder door: what is public, as folders and files for any program that speaks HTTP.
//!
//! Invariants: a name is looked up in the catalogue and nowhere else, never on the disk; what is not public, what is not there
//! and what is no name at all give the same answer, byte for byte; nothing that is shared can run in a browser, and no
//! other site's page gets anything through one.

mod file;
mod form;
mod page;
mod rows;
mod site;
mod time;

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::header::{
    CACHE_CONTROL, CONTENT_LENGTH, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LOCATION, REFERRER_POLICY, VARY,
};
use http::{HeaderName, HeaderValue, Method, Response, StatusCode, request};
use peerage_wire::{SharePath, percent};

use super::Door;
use super::answer::{Caller, SLOTLESS_BYTES_MAX, finish, hold, response, send_bytes};
use super::body::DoorBody;
use super::refusal::Refusal;
use crate::catalogue::{Node, Viewer};
use form::Form;
use page::Pages;

/// Where the root of all shares is.
const ROOT: &str = "/v1/shares/";

/// What the door shows: whoever asks, it is what everybody may see.
const VIEWER: Viewer = Viewer::Anyone;

/// What a path says.
#[derive(Debug, PartialEq, Eq)]
enum Asked {
    /// Another address of the root.
    Elsewhere(&'static str),
    /// The root of all shares.
    Root,
    /// Something in a share, as a folder where there is a slash behind it.
    Below { path: SharePath, has_slash: bool },
}

/// Whether the folder door answers at a path.
pub(super) fn is_at(path: &str) -> bool {
    path == "/"
        || path.strip_prefix("/v1/shares").is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Answers any request.
pub(super) async fn answer(door: &Door, caller: &Caller, request: &request::Parts) -> Response<DoorBody> {
    let form = Form::of(&request.headers);
    let mut response = match find(door, caller, request, form).await {
        Ok(response) => response,
        Err(refusal) if form == Form::Page => page::refusal(&refusal),
        Err(refusal) => refusal.to_response(),
    };
    harden(&mut response);
    response
}

async fn find(
    door: &Door,
    caller: &Caller,
    request: &request::Parts,
    form: Form,
) -> Result<Response<DoorBody>, Refusal> {
    if request.method != Method::GET && request.method != Method::HEAD {
        return Err(Refusal::method_not_allowed());
    }
    if !site::is_welcome(&request.headers) {
        return Err(Refusal::cross_site());
    }
    let (path, has_slash) = match parse(request.uri.path()).ok_or_else(Refusal::not_found)? {
        Asked::Elsewhere(root) => return Ok(moved(StatusCode::FOUND, root, request)),
        Asked::Root => return folder(door, caller, request, None, form).await,
        Asked::Below { path, has_slash } => (path, has_slash),
    };
    match (door.catalogue.look(&VIEWER, Some(&path)), has_slash) {
        (Some(Node::Folder { .. }), true) => folder(door, caller, request, Some(&path), form).await,
        (Some(Node::Folder { .. }), false) => {
            let below = format!("{}/", percent::encode(path.file_name()));
            Ok(moved(StatusCode::MOVED_PERMANENTLY, &below, request))
        }
        (Some(Node::File(entry)), false) => file::answer(door, caller, request, &entry).await,
        (Some(Node::File(_)), true) | (None, _) => Err(Refusal::not_found()),
    }
}

/// Each component is decoded by itself, so that an encoded slash is a character that no name has.
fn parse(path: &str) -> Option<Asked> {
    match path {
        "/" => return Some(Asked::Elsewhere(ROOT)),
        "/v1/shares" => return Some(Asked::Elsewhere("shares/")),
        ROOT => return Some(Asked::Root),
        _ => {}
    }
    let rest = path.strip_prefix(ROOT)?;
    let (rest, has_slash) = rest.strip_suffix('/').map_or((rest, false), |rest| (rest, true));
    let components = rest.split('/').map(percent::decode).collect::<Option<Vec<String>>>()?;
    let path = SharePath::from_components(components.iter().map(String::as_str)).ok()?;
    Some(Asked::Below { path, has_slash })
}

/// Sends to a relative address, with the same query where that is one.
fn moved(status: StatusCode, to: &str, request: &request::Parts) -> Response<DoorBody> {
    let query = request.uri.query().filter(|query| query.bytes().all(|byte| byte.is_ascii_graphic()));
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let head = response(status).header(LOCATION, format!("{to}{query}")).header(CONTENT_LENGTH, 0);
    finish(head, DoorBody::empty())
}

async fn folder(
    door: &Door,
    caller: &Caller,
    request: &request::Parts,
    path: Option<&SharePath>,
    form: Form,
) -> Result<Response<DoorBody>, Refusal> {
    if form == Form::Json {
        let head = response(StatusCode::OK).header(CONTENT_TYPE, "application/json");
        let bytes = rows::page(&door.catalogue, path, request.uri.query())?;
        return send_bytes(door, caller, &request.method, head, bytes).await;
    }
    let head = response(StatusCode::OK)
        .header(CONTENT_TYPE, "text/html; charset=utf-8")
        .header(CONTENT_SECURITY_POLICY, page::POLICY);
    let mut pages = Pages::new(Arc::clone(&door.catalogue), path);
    let (begin, is_whole) = begin(&mut pages);
    if is_whole {
        return send_bytes(door, caller, &request.method, head, begin).await;
    }
    let held = if request.method == Method::HEAD { None } else { Some(hold(door, caller).await?) };
    Ok(finish(head, DoorBody::chunks(std::iter::once(begin).chain(pages), held)))
}

/// As much as is sent without a slot, and whether that is all.
fn begin(pages: &mut Pages) -> (Bytes, bool) {
    let mut begin = BytesMut::new();
    for next in pages.by_ref() {
        begin.extend_from_slice(&next);
        if begin.len() > SLOTLESS_BYTES_MAX {
            return (begin.freeze(), false);
        }
    }
    (begin.freeze(), true)
}

/// What every answer says to a browser; where it says so itself, that stays.
fn harden(response: &mut Response<DoorBody>) {
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_SECURITY_POLICY, file::POLICY),
        (REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
        (CACHE_CONTROL, "no-cache"), // asked again each time, and where nothing changed that is all
        (VARY, "Accept, Sec-Fetch-Site"),
    ];
    for (name, value) in headers {
        response.headers_mut().entry(name).or_insert(HeaderValue::from_static(value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_has_one_reading_or_none() {
        let below =
            |path: &str, has_slash| Some(Asked::Below { path: SharePath::parse(path).unwrap(), has_slash });
        let cases = [
            ("/", Some(Asked::Elsewhere(ROOT))),
            ("/v1/shares", Some(Asked::Elsewhere("shares/"))),
            ("/v1/shares/", Some(Asked::Root)),
            ("/v1/shares/s", below("s", false)),
            ("/v1/shares/s/", below("s", true)),
            ("/v1/shares/s/a%20b%25%23", below("s/a b%#", false)),
            ("/v1/shares/s/%2e%2E%2e", below("s/...", false)),
            ("/v1/shares/s/a+b", below("s/a+b", false)),
            ("/v1/shares/s/e%CC%81", below("s/é", false)),
            ("/v1/shares//", None),
            ("/v1/shares//s", None),
            ("/v1/shares/s//", None),
            ("/v1/shares/s/../s", None),
            ("/v1/shares/s/%2e%2e/s", None),
            ("/v1/shares/s/.", None),
            ("/v1/shares/s%2Ff", None),
            ("/v1/shares/%2Fs", None),
            ("/v1/shares/s/a%5Cb", None),
            ("/v1/shares/s/a%00", None),
            ("/v1/shares/s/a%0d%0a", None),
            ("/v1/shares/s/%ff", None),
            ("/v1/shares/s/%c0%af", None),
            ("/v1/shares/s/%", None),
            ("/v1/shares/s/%4", None),
            ("/v1/sharess", None),
        ];
        for (path, expected) in cases {
            assert_eq!(parse(path), expected, "{path}");
        }
        let (long, deep) = ("a".repeat(256), "/a".repeat(64));
        assert_eq!(parse(&format!("{ROOT}s/{long}")), None);
        assert_eq!(parse(&format!("{ROOT}s{deep}")), None);
        assert!(!is_at("/v1/sharess") && !is_at("/v1/blobs") && is_at("/v1/shares") && is_at("/v1/shares//"));
    }
}
