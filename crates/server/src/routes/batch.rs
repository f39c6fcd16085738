//! `POST /api/v1/peers/{id}/files`: a batch of changes, one JSON object a line, all applied or none.
//!
//! Invariants: what is decompressed never takes more memory than [`limits::BATCH_BYTES_MAX`] and one zstd window.
//! Decompressing and parsing happen on the blocking thread that then applies the batch.

use std::io::{Cursor, Read};
use std::sync::Arc;

use axum::Json as Reply;
use axum::body::Body;
use axum::extract::State;
use http::header::CONTENT_ENCODING;
use http::{HeaderMap, StatusCode};
use peerage_wire::api::{Applied, BatchOrder, Change, ErrorBody, codes};
use peerage_wire::{PeerId, limits};

use crate::app::App;
use crate::body::Upload;
use crate::error::ApiError;
use crate::extract::{Owner, Query};

/// The largest zstd window: 8 MiB, which every level below 20 stays within (RFC 8878, 3.1.1.1.2, asks no more of a
/// decoder). Without it a few bytes could make the decoder take 128 MiB.
const WINDOW_LOG_MAX: u32 = 23;

/// Register a batch of changes.
///
/// The body is NDJSON: each line `{"add":{"path","size","hash","modified"}}` or `{"remove":{"path"}}`; at most
/// 10,000 lines and 8 MiB, after decompression where `Content-Encoding: zstd` is used. A batch that was applied
/// before is acknowledged again.
#[utoipa::path(
    post, path = "/api/v1/peers/{id}/files", tag = "peers",
    params(("id" = PeerId, Path, description = "The peer's own id."), BatchOrder),
    request_body(content = Change, content_type = "application/x-ndjson", description = "One change a line."),
    security(("token" = [])),
    responses(
        (status = 200, description = "registered", body = Applied),
        (status = 401, description = "no token, or one that ended", body = ErrorBody),
        (status = 403, description = "another peer's token", body = ErrorBody),
        (status = 404, description = "the peer has no lease: announce it", body = ErrorBody),
        (status = 409, description = "not the next batch", body = ErrorBody),
        (status = 413, description = "too many changes, bytes or files", body = ErrorBody),
        (status = 507, description = "the index is full: keep the session, go on beating, try again later", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn apply(
    State(app): State<Arc<App>>,
    owner: Owner,
    Query(order): Query<BatchOrder>,
    headers: HeaderMap,
    body: Body,
) -> Result<Reply<Applied>, ApiError> {
    let coding = coding(&headers)?;
    let upload = app.upload_room.read(body, limits::BATCH_BYTES_MAX).await?;
    let peer = owner.peer;
    let applied = app.ask(move |index, _now| {
        let changes = read(&upload, coding)?;
        index.apply(peer, order, changes).map_err(ApiError::from)
    });
    applied.await.map(Reply)
}

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Coding {
    Plain,
    Zstd,
}

fn coding(headers: &HeaderMap) -> Result<Coding, ApiError> {
    match headers.get(CONTENT_ENCODING).map(|coding| coding.as_bytes().to_ascii_lowercase()).as_deref() {
        None | Some(b"" | b"identity") => Ok(Coding::Plain),
        Some(b"zstd") => Ok(Coding::Zstd),
        Some(_) => Err(ApiError::new(
            StatusCode::UNSUPPORTED_MEDIA_TYPE,
            codes::BAD_REQUEST,
            "the body's `Content-Encoding` is not known here",
            "send it plain or as `zstd`",
        )),
    }
}

fn read(upload: &Upload, coding: Coding) -> Result<Vec<Change>, ApiError> {
    match coding {
        Coding::Plain => parse(&upload.bytes),
        Coding::Zstd => parse(&unpack(&upload.bytes)?),
    }
}

fn unpack(packed: &[u8]) -> Result<Vec<u8>, ApiError> {
    let broken = |error: std::io::Error| {
        let hint = "send whole zstd frames with a window of at most 8 MiB";
        ApiError::bad_request(format_args!("the body can't be decompressed: {error}"), hint)
    };
    let mut decoder = zstd::stream::read::Decoder::with_buffer(Cursor::new(packed)).map_err(broken)?;
    decoder.window_log_max(WINDOW_LOG_MAX).map_err(broken)?;
    let mut plain = Vec::new();
    let one_too_many = limits::BATCH_BYTES_MAX as u64 + 1;
    decoder.take(one_too_many).read_to_end(&mut plain).map_err(broken)?;
    if plain.len() > limits::BATCH_BYTES_MAX {
        return Err(too_large(format_args!("{} bytes", limits::BATCH_BYTES_MAX)));
    }
    Ok(plain)
}

fn parse(plain: &[u8]) -> Result<Vec<Change>, ApiError> {
    let lines = plain.split(|byte| *byte == b'\n').enumerate();
    let mut changes = Vec::new();
    for (position, line) in lines.filter(|(_, line)| !line.trim_ascii().is_empty()) {
        if changes.len() == limits::BATCH_CHANGES_MAX {
            return Err(too_large(format_args!("{} changes", limits::BATCH_CHANGES_MAX)));
        }
        changes.push(parse_line(line).map_err(|message| bad_line(position + 1, &message))?);
    }
    Ok(changes)
}

fn parse_line(line: &[u8]) -> Result<Change, String> {
    match serde_json::from_slice(line) {
        Ok(Change::Add(file)) if file.size > limits::CONTENT_BYTES_MAX => {
            Err(format!("a file of {} bytes is above the limit of {}", file.size, limits::CONTENT_BYTES_MAX))
        }
        Ok(change) => Ok(change),
        Err(error) => Err(error.to_string()),
    }
}

fn bad_line(number: usize, message: &str) -> ApiError {
    let hint = "each line is `{\"add\":{path,size,hash,modified}}` or `{\"remove\":{path}}`";
    ApiError::bad_request(format_args!("line {number} of the batch can't be read: {message}"), hint)
}

fn too_large(limit: std::fmt::Arguments<'_>) -> ApiError {
    ApiError::too_large(format_args!("the batch has more than {limit}"), "send it in several batches")
}

#[cfg(test)]
mod tests {
    use super::*;

    const HASH: &str = "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262";

    fn add(path: &str, size: u64) -> String {
        format!(r#"{{"add":{{"path":"{path}","size":{size},"hash":"{HASH}","modified":0}}}}"#)
    }

    #[test]
    fn lines_are_read_in_order_and_blank_ones_passed_over() {
        let text = format!("{}\r\n\n{}\n{{\"remove\":{{\"path\":\"s/a\"}}}}", add("s/a", 1), add("s/b", 2));
        let changes = parse(text.as_bytes()).unwrap();
        assert_eq!(changes.len(), 3);
        assert!(matches!(&changes[2], Change::Remove { path } if path.as_str() == "s/a"));
        assert!(parse(b"").unwrap().is_empty());
    }

    #[test]
    fn a_bad_line_is_named() {
        let big = add("s/a", limits::CONTENT_BYTES_MAX + 1);
        let bad =
            ["{}", "[]", "\u{0}", "{\"add\":{}}", "{\"remove\":{\"path\":\"../x\"}}", &add("a//b", 1), &big];
        for line in bad {
            let error = parse(format!("{}\n\n{line}\n", add("s/a", 1)).as_bytes()).unwrap_err();
            assert!(error.message().starts_with("line 3 of the batch"), "{line}: {}", error.message());
        }
    }

    #[test]
    fn one_change_too_many_is_refused() {
        let line = add("s/a", 1) + "\n";
        assert_eq!(parse(line.repeat(10_000).as_bytes()).unwrap().len(), 10_000);
        assert_eq!(parse(line.repeat(10_001).as_bytes()).unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
    }

    #[test]
    fn a_bomb_and_broken_frames_are_refused() {
        let bomb = zstd::encode_all(Cursor::new(vec![b'\n'; limits::BATCH_BYTES_MAX + 1]), 19).unwrap();
        assert!(bomb.len() < 10_000);
        assert_eq!(unpack(&bomb).unwrap_err().status, StatusCode::PAYLOAD_TOO_LARGE);
        let fits = zstd::encode_all(Cursor::new(vec![b'\n'; limits::BATCH_BYTES_MAX]), 19).unwrap();
        assert_eq!(unpack(&fits).unwrap().len(), limits::BATCH_BYTES_MAX);
        for broken in [&b"garbage"[..], &fits[..fits.len() / 2]] {
            assert_eq!(unpack(broken).unwrap_err().status, StatusCode::BAD_REQUEST);
        }
        // a frame of no content that asks for a window of 128 MiB (RFC 8878, 3.1.1.1.2)
        let wide = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x88, 0x01, 0x00, 0x00];
        assert_eq!(unpack(&wide).unwrap_err().status, StatusCode::BAD_REQUEST);
        let narrow = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0x68, 0x01, 0x00, 0x00];
        assert_eq!(unpack(&narrow).unwrap(), b"");
    }
}
