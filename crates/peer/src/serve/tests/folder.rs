//! The folder door over real sockets, with TLS and without: files, folders, and what nobody may get out of it.

use std::net::SocketAddr;

use http::header::{
    CONTENT_DISPOSITION, CONTENT_SECURITY_POLICY, CONTENT_TYPE, LAST_MODIFIED, LOCATION, TRANSFER_ENCODING,
};
use tokio::task::AbortHandle;

use super::*;
use crate::share::Audience;

mod pages;
mod strangers;

/// A public share, and its folder door without TLS.
struct Public {
    honest: Honest,
    address: SocketAddr,
    door: AbortHandle,
}

impl Public {
    async fn start(files: &[(&str, &[u8])]) -> Self {
        Self::start_for(Audience::Public, files, Uploads::default()).await
    }

    async fn start_for(audience: Audience, files: &[(&str, &[u8])], uploads: Uploads) -> Self {
        let honest = Honest::start_for(audience, files, uploads.clone()).await;
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let door = honest.another_door_with(uploads);
        let door = tokio::spawn(run_http(listener, door, std::future::pending())).abort_handle();
        Self { honest, address, door }
    }

    async fn connect(&self) -> SendRequest<Empty<Bytes>> {
        let stream = TokioIo::new(TcpStream::connect(self.address).await.unwrap());
        let (sender, connection) = http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        sender
    }

    async fn ask(&self, method: Method, path: &str, headers: &[(&str, &str)]) -> Got {
        let host = self.address.to_string();
        let headers = [&[("host", &*host)], headers].concat();
        ask_over(&mut self.connect().await, method, path, &headers).await
    }

    async fn get(&self, path: &str, headers: &[(&str, &str)]) -> Got {
        self.ask(Method::GET, path, headers).await
    }
}

impl Drop for Public {
    fn drop(&mut self) {
        self.door.abort();
    }
}

/// Everything of an answer but the time it was made at.
fn all_of(got: &Got) -> (StatusCode, Vec<(String, String)>, Bytes) {
    let headers = got.headers.iter().filter(|(name, _)| *name != "date");
    let pair = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
        (name.to_string(), value.to_str().unwrap().to_owned())
    };
    let mut headers: Vec<_> = headers.map(pair).collect();
    headers.sort();
    (got.status, headers, got.body.clone())
}

#[tokio::test]
async fn every_range_gets_exactly_its_bytes_through_both_doors() {
    let content = content(3 * 1024 + 7);
    let public = Public::start(&[("f.bin", &content)]).await;
    let (path, size) = ("/v1/shares/share/f.bin", content.len());
    let etag = format!("\"{}\"", hash(&content));
    let date = public.get(path, &[]).await.header(LAST_MODIFIED).to_owned();
    let (whole, part) = (|| Some(0..size), |from: usize, to: usize| Some(from..to));
    type Case<'a> = (&'a [(&'a str, &'a str)], Option<std::ops::Range<usize>>);
    let cases: &[Case<'_>] = &[
        (&[], whole()),
        (&[("range", "bytes=0-0")], part(0, 1)),
        (&[("range", "bytes=1-1023")], part(1, 1024)),
        (&[("range", "bytes=3078-")], part(3078, size)),
        (&[("range", "bytes=0-")], part(0, size)),
        (&[("range", "bytes=-1")], part(size - 1, size)),
        (&[("range", "bytes=-3079")], part(0, size)),
        (&[("range", "bytes=-9999")], part(0, size)),
        (&[("range", "bytes=10-99999999999999999999")], part(10, size)),
        (&[("range", "bytes=3079-")], None),
        (&[("range", "bytes=3079-4000")], None),
        (&[("range", "bytes=-0")], None),
        (&[("range", "bytes=0-1,3-4")], whole()),
        (&[("range", "bytes=5-4")], whole()),
        (&[("range", "bytes=x-")], whole()),
        (&[("range", "bytes")], whole()),
        (&[("range", "lines=0-1")], whole()),
        (&[("range", "bytes=0-1"), ("range", "bytes=2-3")], whole()),
        (&[("range", "bytes=0-1"), ("if-range", &etag)], part(0, 2)),
        (&[("range", "bytes=0-1"), ("if-range", &date)], part(0, 2)),
        (&[("range", "bytes=0-1"), ("if-range", "\"other\"")], whole()),
        (&[("range", "bytes=0-1"), ("if-range", "Sun, 06 Nov 1994 08:49:37 GMT")], whole()),
        (&[("range", "bytes=0-1"), ("if-range", &format!("W/{etag}"))], whole()),
    ];
    for (headers, expected) in cases {
        for got in [get(&public.honest.source, path, headers).await, public.get(path, headers).await] {
            let Some(range) = expected else {
                assert_eq!(got.status, StatusCode::RANGE_NOT_SATISFIABLE, "{headers:?}");
                assert_eq!(got.header(CONTENT_RANGE), format!("bytes */{size}"));
                continue;
            };
            let is_part = got.status == StatusCode::PARTIAL_CONTENT;
            let asked = headers.iter().filter(|(name, _)| *name == "range").count() == 1;
            assert!(is_part || (got.status == StatusCode::OK && *range == (0..size)), "{headers:?}");
            assert!(!is_part || asked, "{headers:?}");
            assert_eq!(got.header(CONTENT_LENGTH), range.len().to_string(), "{headers:?}");
            let content_range = format!("bytes {}-{}/{size}", range.start, range.end - 1);
            assert_eq!(got.header(CONTENT_RANGE), if is_part { &content_range } else { "" }, "{headers:?}");
            assert!(got.body == content[range.clone()], "{headers:?}");
            assert_eq!((got.header(ETAG), got.header(LAST_MODIFIED)), (etag.as_str(), date.as_str()));
        }
    }
}

#[tokio::test]
async fn who_has_a_version_is_told_so_and_who_means_another_too() {
    let public = Public::start(&[("f", b"bytes")]).await;
    let path = "/v1/shares/share/f";
    let got = public.get(path, &[]).await;
    let (etag, date) = (got.header(ETAG).to_owned(), got.header(LAST_MODIFIED).to_owned());
    let early = "Sun, 06 Nov 1994 08:49:37 GMT";
    let cases: &[(&[(&str, &str)], u16)] = &[
        (&[("if-none-match", &etag)], 304),
        (&[("if-none-match", "\"x\"")], 200),
        (&[("if-none-match", "\"x\""), ("if-modified-since", &date)], 200),
        (&[("if-modified-since", &date)], 304),
        (&[("if-modified-since", early)], 200),
        (&[("if-modified-since", "never")], 200),
        (&[("if-match", &etag)], 200),
        (&[("if-match", "\"x\"")], 412),
        (&[("if-match", &etag), ("range", "bytes=1-2")], 206),
        (&[("if-unmodified-since", &date)], 200),
        (&[("if-unmodified-since", early)], 412),
        (&[("if-unmodified-since", early), ("range", "bytes=1-2")], 412),
    ];
    for (headers, expected) in cases {
        for method in [Method::GET, Method::HEAD] {
            let expected = if *expected == 206 && method == Method::HEAD { 200 } else { *expected };
            let got = public.ask(method, path, headers).await;
            assert_eq!(got.status, expected, "{headers:?}");
            assert_eq!(got.header(ETAG), if expected == 412 { "" } else { &etag }, "{headers:?}");
            assert!(expected != 304 || got.body.is_empty());
        }
    }
}

#[tokio::test]
async fn a_head_gets_the_headers_of_a_get() {
    let many: Vec<String> = (0..2_000).map(|number| format!("many/{number}")).collect();
    let files: Vec<(&str, &[u8])> = many.iter().map(|name| (name.as_str(), &b"x"[..])).collect();
    let public = Public::start(&[&files[..], &[("a.txt", b"text"), ("empty", b"")]].concat()).await;
    let json = &[("accept", "application/json")][..];
    let page = &[("accept", "text/html")][..];
    let cases = [
        ("/", &[][..], 302),
        ("/v1/shares", &[], 302),
        ("/v1/shares/", &[], 200),
        ("/v1/shares/share", &[], 301),
        ("/v1/shares/share/", page, 200),
        ("/v1/shares/share/", json, 200),
        ("/v1/shares/share/many/", &[], 200),
        ("/v1/shares/share/many/?limit=1000", json, 200),
        ("/v1/shares/share/many/?limit=x", json, 400),
        ("/v1/shares/share/a.txt", &[], 200),
        ("/v1/shares/share/empty", &[], 200),
        ("/v1/shares/share/none", &[], 404),
        ("/v1/shares/share/none", page, 404),
    ];
    for (path, headers, status) in cases {
        let (got, head) = (public.get(path, headers).await, public.ask(Method::HEAD, path, headers).await);
        assert_eq!(got.status, status, "{path}");
        assert!(head.body.is_empty());
        let (mut got, head) = (all_of(&got), all_of(&head));
        // How a body is framed need not be said where there is none (RFC 9112, section 6.1).
        got.1.retain(|(name, _)| name != "transfer-encoding");
        assert_eq!((head.0, head.1), (got.0, got.1), "{path} {headers:?}");
    }
    let huge = public.get("/v1/shares/share/many/", &[]).await;
    assert_eq!((huge.header(TRANSFER_ENCODING), huge.header(CONTENT_LENGTH)), ("chunked", ""));
}

#[tokio::test]
async fn a_file_comes_with_its_type_and_without_rights() {
    let files: [(&str, &[u8]); 4] =
        [("a.mp3", b"ID3"), ("page.html", b"<script>"), ("notes.txt", b"n"), ("pic.svg", b"<svg>")];
    let public = Public::start(&files).await;
    for (name, media_type, kind) in [
        ("a.mp3", "audio/mpeg", "inline"),
        ("page.html", "text/html; charset=utf-8", "attachment"),
        ("notes.txt", "text/plain; charset=utf-8", "inline"),
        ("pic.svg", "image/svg+xml", "attachment"),
    ] {
        let got = public.get(&format!("/v1/shares/share/{name}"), &[]).await;
        assert_eq!((got.status, got.header(CONTENT_TYPE)), (StatusCode::OK, media_type));
        let disposition = format!("{kind}; filename=\"{name}\"; filename*=UTF-8''{name}");
        assert_eq!(got.header(CONTENT_DISPOSITION), disposition);
        assert!(got.header(CONTENT_SECURITY_POLICY).contains("sandbox"), "{name}");
        assert_eq!(got.header(http::header::X_CONTENT_TYPE_OPTIONS), "nosniff");
        assert_eq!(got.header(http::header::REFERRER_POLICY), "no-referrer");
    }
}

#[tokio::test]
async fn a_changed_file_is_not_sent_by_its_name_either() {
    let public = Public::start(&[("f", b"as it was")]).await;
    std::fs::write(public.honest.path("f"), b"as it is!").unwrap();
    let got = public.get("/v1/shares/share/f", &[]).await;
    assert_eq!((got.status, got.error().error.code.as_str()), (StatusCode::GONE, "changed"));
}

#[tokio::test]
async fn uploads_are_counted_together_with_those_of_other_doors() {
    let content = content(40 * MIB);
    let uploads = Uploads::with_slots(1, 1, None);
    let files: [(&str, &[u8]); 2] = [("f", &content), ("g", b"small")];
    let public = Public::start_for(Audience::Public, &files, uploads.clone()).await;
    let mut greedy = connect(&public.honest.source).await;
    let request = Request::get(format!("/v1/blobs/{}", hash(&content))).header(HOST, "localhost");
    let holding = greedy.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let turned_away = public.get("/v1/shares/share/g", &[]).await;
    assert_eq!(turned_away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(public.get("/v1/shares/share/", &[]).await.status, StatusCode::OK, "a short page has no slot");
    drop((holding, greedy));
    assert_eq!(public.get("/v1/shares/share/g", &[]).await.body, "small");
    assert_eq!(uploads.counts().0, 2);
}
