//! A shared file as a browser may have it: under its own name and type, and without any rights.
//!
//! Invariants: a file is shown in the browser only where its type can't run anything; whatever it is, it is in a sandbox of
//! its own, and its type is not guessed from its bytes.

use std::time::SystemTime;

use http::header::{CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use http::{HeaderMap, HeaderValue, Response, request};
use peerage_wire::{FileEntry, percent, shown};

use crate::serve::Door;
use crate::serve::answer::{Caller, Sent, send};
use crate::serve::blobs::open;
use crate::serve::body::DoorBody;
use crate::serve::conditions::Version;
use crate::serve::refusal::Refusal;

/// Nothing may run, nothing be loaded, nobody frame it: for whatever came from a share, and for all that needs no more.
pub(super) const POLICY: &str = "sandbox; default-src 'none'; frame-ancestors 'none'";

/// Sends a file, or what of it is asked for.
pub(super) async fn answer(
    door: &Door,
    caller: &Caller,
    request: &request::Parts,
    entry: &FileEntry,
) -> Result<Response<DoorBody>, Refusal> {
    let opened = open(door, entry.hash).await?;
    let version = Version::dated(&entry.hash, entry.modified, SystemTime::now());
    let headers = headers(entry.path.file_name());
    send(door, caller, request, Sent { opened, partial: None, version, headers }).await
}

fn headers(name: &str) -> HeaderMap {
    let media_type = media_type(name);
    let charset = if media_type.starts_with("text/") { "; charset=utf-8" } else { "" };
    let pairs = [
        (CONTENT_TYPE, format!("{media_type}{charset}")),
        (CONTENT_DISPOSITION, disposition(name, media_type)),
        (CONTENT_SECURITY_POLICY, policy(media_type).to_owned()),
    ];
    pairs.into_iter().filter_map(|(name, value)| Some((name, HeaderValue::try_from(value).ok()?))).collect()
}

/// What the ending of a name says.
fn media_type(name: &str) -> &'static str {
    mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream")
}

/// Types that browsers show and that run nothing. All others are saved.
fn is_shown(media_type: &str) -> bool {
    let family = media_type.split('/').next();
    let is_medium = matches!(family, Some("audio" | "video" | "image")) && !media_type.contains("xml");
    is_medium || matches!(media_type, "text/plain" | "application/pdf")
}

/// The player that a browser makes of a medium fetches it once more, from here. It runs nothing either.
fn policy(media_type: &str) -> &'static str {
    const PLAYER: &str =
        "sandbox allow-same-origin; default-src 'none'; media-src 'self'; frame-ancestors 'none'";
    if matches!(media_type.split('/').next(), Some("audio" | "video")) { PLAYER } else { POLICY }
}

/// RFC 6266, with the name as RFC 8187 writes it, and in ASCII for programs that don't read that.
fn disposition(name: &str, media_type: &str) -> String {
    let kind = if is_shown(media_type) { "inline" } else { "attachment" };
    let name = shown(name).to_string();
    let plain: String = name.chars().map(|c| if is_plain(c) { c } else { '_' }).collect();
    format!("{kind}; filename=\"{plain}\"; filename*=UTF-8''{}", percent::encode(&name))
}

/// What every program reads in quotes as it is.
fn is_plain(c: char) -> bool {
    c == ' ' || (c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '%' | '/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_nothing_is_shown() {
        let cases = [
            ("a.flac", "audio/flac", "inline"),
            ("a.MP4", "video/mp4", "inline"),
            ("a.mkv", "video/x-matroska", "inline"),
            ("a.jpg", "image/jpeg", "inline"),
            ("a.txt", "text/plain; charset=utf-8", "inline"),
            ("a.pdf", "application/pdf", "inline"),
            ("a.svg", "image/svg+xml", "attachment"),
            ("a.svgz", "image/svg+xml", "attachment"),
            ("a.html", "text/html; charset=utf-8", "attachment"),
            ("a.txt.htm", "text/html; charset=utf-8", "attachment"),
            ("a.xhtml", "application/xhtml+xml", "attachment"),
            ("a.xml", "text/xml; charset=utf-8", "attachment"),
            ("a.js", "text/javascript; charset=utf-8", "attachment"),
            ("a.css", "text/css; charset=utf-8", "attachment"),
            ("a.swf", "application/x-shockwave-flash", "attachment"),
            ("a.zip", "application/zip", "attachment"),
            ("README", "application/octet-stream", "attachment"),
            (".html", "application/octet-stream", "attachment"),
            ("a.unheard-of", "application/octet-stream", "attachment"),
        ];
        for (name, media_type, kind) in cases {
            let headers = headers(name);
            assert_eq!(headers[CONTENT_TYPE], media_type, "{name}");
            let disposition = headers[CONTENT_DISPOSITION].to_str().unwrap();
            assert_eq!(disposition.split(';').next(), Some(kind), "{name}");
            let policy = headers[CONTENT_SECURITY_POLICY].to_str().unwrap();
            assert!(policy.starts_with("sandbox") && policy.contains("default-src 'none'"), "{name}");
            assert!(!policy.contains("allow-scripts") && !policy.contains("script-src"), "{name}");
        }
    }

    #[test]
    fn no_type_that_can_run_is_shown() {
        let mut known = 0;
        let letters = || (b'a'..=b'z').map(char::from).map(String::from).chain(["".to_owned()]);
        for first in letters() {
            for second in letters() {
                for (third, fourth) in
                    letters().flat_map(|third| letters().map(move |fourth| (third.clone(), fourth)))
                {
                    let media_type = media_type(&format!("a.{first}{second}{third}{fourth}"));
                    known += usize::from(media_type != "application/octet-stream");
                    let can_run = ["xml", "html", "script"].iter().any(|word| media_type.contains(word));
                    assert!(!(can_run && is_shown(media_type)), "{media_type}");
                }
            }
        }
        assert!(known > 500, "{known} endings were looked at");
    }

    #[test]
    fn a_name_is_written_so_that_no_header_breaks() {
        let cases = [
            ("a b.txt", "filename=\"a b.txt\"; filename*=UTF-8''a%20b.txt"),
            ("\"x\\y%41.txt", "filename=\"_x_y_41.txt\"; filename*=UTF-8''%22x%5Cy%2541.txt"),
            ("été;'.txt", "filename=\"_t_;'.txt\"; filename*=UTF-8''%C3%A9t%C3%A9%3B%27.txt"),
            ("a\r\nB: c.txt", "filename=\"a__B: c.txt\"; filename*=UTF-8''a%EF%BF%BD%EF%BF%BDB%3A%20c.txt"),
            ("a\u{202e}txt.exe", "filename=\"a_txt.exe\"; filename*=UTF-8''a%EF%BF%BDtxt.exe"),
        ];
        for (name, expected) in cases {
            assert_eq!(disposition(name, "text/plain"), format!("inline; {expected}"), "{name}");
        }
    }
}
