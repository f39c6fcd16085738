//! The door over real sockets, as `curl` would use it: no certificate, plain requests, every kind of range.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT_RANGES, ALLOW, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HOST, RETRY_AFTER};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use peerage_wire::api::{ErrorBody, Source};
use peerage_wire::limits;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;
use crate::testing::{Honest, MIB, content, hash, list_of};
use crate::uploads::Uploads;

mod folder;
mod partial;

async fn dial(source: &Source) -> TlsStream<TcpStream> {
    let config = tls::client_config(&Identity::generate().unwrap(), source.peer).unwrap();
    let stream = TcpStream::connect(source.address).await.unwrap();
    let name = rustls::pki_types::ServerName::IpAddress(source.address.ip().into());
    TlsConnector::from(config).connect(name, stream).await.unwrap()
}

async fn connect(source: &Source) -> SendRequest<Empty<Bytes>> {
    let stream = TokioIo::new(dial(source).await);
    let (sender, connection) = http1::handshake(stream).await.unwrap();
    tokio::spawn(connection);
    sender
}

struct Got {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Got {
    fn header(&self, name: http::HeaderName) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    fn error(&self) -> ErrorBody {
        serde_json::from_slice(&self.body).unwrap()
    }
}

async fn ask(source: &Source, method: Method, path: &str, headers: &[(&str, &str)]) -> Got {
    let mut sender = connect(source).await;
    ask_over(&mut sender, method, path, &[&[("host", &*source.address.to_string())], headers].concat()).await
}

async fn ask_over(
    sender: &mut SendRequest<Empty<Bytes>>,
    method: Method,
    path: &str,
    headers: &[(&str, &str)],
) -> Got {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let answer = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    Got { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

async fn get(source: &Source, path: &str, headers: &[(&str, &str)]) -> Got {
    ask(source, Method::GET, path, headers).await
}

#[tokio::test]
async fn a_content_is_sent_whole_and_in_parts() {
    let content = content(2 * MIB + 10);
    let honest = Honest::start(&[("f", &content)]).await;
    let path = format!("/v1/blobs/{}", hash(&content));
    let whole = get(&honest.source, &path, &[]).await;
    assert!(whole.status == StatusCode::OK && whole.body == content);
    let etag = format!("\"{}\"", hash(&content));
    assert_eq!((whole.header(ETAG), whole.header(ACCEPT_RANGES)), (etag.as_str(), "bytes"));
    assert_eq!(whole.header(http::header::X_CONTENT_TYPE_OPTIONS), "nosniff");
    assert_eq!(whole.header(http::header::CONTENT_TYPE), "application/octet-stream");

    let size = content.len();
    let cases = [
        ("bytes=0-0", 0..1),
        ("bytes=1048570-1048580", 1_048_570..1_048_581),
        ("bytes=2097152-", 2_097_152..size),
        ("bytes=-7", size - 7..size),
        ("bytes=5-99999999999", 5..size),
    ];
    for (range, expected) in cases {
        let part = get(&honest.source, &path, &[("range", range)]).await;
        assert_eq!(part.status, StatusCode::PARTIAL_CONTENT, "{range}");
        let content_range = format!("bytes {}-{}/{size}", expected.start, expected.end - 1);
        assert_eq!(part.header(CONTENT_RANGE), content_range);
        assert_eq!(part.header(CONTENT_LENGTH), expected.len().to_string());
        assert!(part.body == content[expected], "{range}");
    }
    for headers in [&[("range", "bytes=0-1,4-5")][..], &[("range", "bytes=0-1"), ("if-range", "\"another\"")]]
    {
        let whole = get(&honest.source, &path, headers).await;
        assert!(whole.status == StatusCode::OK && whole.body == content, "{headers:?}");
    }
    let same = get(&honest.source, &path, &[("range", "bytes=0-1"), ("if-range", &etag)]).await;
    assert!(same.status == StatusCode::PARTIAL_CONTENT && same.body == content[..2]);
    let beyond = get(&honest.source, &path, &[("range", &format!("bytes={size}-"))]).await;
    assert_eq!(beyond.status, StatusCode::RANGE_NOT_SATISFIABLE);
    assert_eq!(beyond.header(CONTENT_RANGE), format!("bytes */{size}"));
    let known = get(&honest.source, &path, &[("if-none-match", &etag)]).await;
    assert!(known.status == StatusCode::NOT_MODIFIED && known.body.is_empty());
}

/// `POST /v1/blobs` as `curl --data-binary` sends it.
async fn post(source: &Source, body: &str) -> Got {
    let (sender, connection) = http1::handshake(TokioIo::new(dial(source).await)).await.unwrap();
    tokio::spawn(connection);
    let mut sender: SendRequest<http_body_util::Full<Bytes>> = sender;
    let request = Request::post("/v1/blobs").header(HOST, source.address.to_string());
    let answer =
        sender.send_request(request.body(Bytes::from(body.to_owned()).into()).unwrap()).await.unwrap();
    let (head, body) = answer.into_parts();
    Got { status: head.status, headers: head.headers, body: body.collect().await.unwrap().to_bytes() }
}

#[tokio::test]
async fn many_contents_come_in_one_answer_each_with_its_length() {
    let (small, big) = (content(1_000), content(4 * MIB));
    let honest = Honest::start(&[("small", &small), ("big", &big)]).await;
    let [small_hash, big_hash, absent] = [hash(&small), hash(&big), hash(b"elsewhere")];
    let got = post(&honest.source, &format!("{small_hash}\n{absent}\n{big_hash}\n{small_hash}\n")).await;
    let entry = [&1_000_u64.to_be_bytes()[..], &small].concat();
    let expected = [&entry[..], &[0xff; 8], &[&[0xff; 7][..], &[0xfe]].concat(), &entry].concat();
    assert!(got.status == StatusCode::OK && got.body == expected);
    assert_eq!(post(&honest.source, "").await.body.len(), 0);

    let many = format!("{small_hash}\n").repeat(1_025);
    for (body, told) in [("zz\n", "line 1 is no content hash"), (&many, "more than 1024 contents")] {
        let got = post(&honest.source, body).await;
        assert_eq!(got.status, StatusCode::BAD_REQUEST);
        assert!(got.error().error.message.contains(told), "{:?}", got.error());
    }
    assert_eq!(post(&honest.source, &"x".repeat(100_000)).await.status, StatusCode::BAD_REQUEST);
}

#[tokio::test]
async fn a_head_tells_what_a_get_would_send() {
    let content = content(MIB + 1);
    let honest = Honest::start(&[("f", &content)]).await;
    let path = format!("/v1/blobs/{}", hash(&content));
    let head = ask(&honest.source, Method::HEAD, &path, &[("range", "bytes=0-1")]).await;
    assert_eq!(head.status, StatusCode::OK);
    assert_eq!(head.header(CONTENT_LENGTH), content.len().to_string());
    assert!(head.body.is_empty());
    let head = ask(&honest.source, Method::HEAD, &format!("{path}/pieces"), &[]).await;
    assert_eq!((head.status, head.header(CONTENT_LENGTH)), (StatusCode::OK, "64"));
}

#[tokio::test]
async fn piece_lists_are_sent_for_every_size() {
    for bytes in [0, 5, MIB, MIB + 1, 3 * MIB] {
        let content = content(bytes);
        let honest = Honest::start(&[("f", &content)]).await;
        let list = get(&honest.source, &format!("/v1/blobs/{}/pieces", hash(&content)), &[]).await;
        assert_eq!(list.status, StatusCode::OK);
        assert_eq!(list.body, list_of(&content).to_bytes(), "{bytes}");
    }
}

#[tokio::test]
async fn what_is_not_shared_looks_like_what_is_not_there() {
    let honest = Honest::start(&[("f", b"shared")]).await;
    let other = hash(b"not shared");
    let absent = get(&honest.source, &format!("/v1/blobs/{other}"), &[]).await;
    assert_eq!(absent.error().error.code, "not_found");
    let paths = [
        format!("/v1/blobs/{other}/pieces"),
        format!("/v1/blobs/{}x", hash(b"shared")),
        format!("/v1/blobs/{}/", hash(b"shared")),
        "/v1/blobs/../../etc/passwd".to_owned(),
        "/v1/blobs/".to_owned(),
        "/v1".to_owned(),
        "/index.html".to_owned(),
    ];
    for path in paths {
        let got = get(&honest.source, &path, &[]).await;
        assert_eq!(got.status, StatusCode::NOT_FOUND, "{path}");
        assert_eq!(got.body, absent.body, "{path}");
    }
    let deleted = ask(&honest.source, Method::DELETE, &format!("/v1/blobs/{}", hash(b"shared")), &[]).await;
    assert_eq!((deleted.status, deleted.header(ALLOW)), (StatusCode::METHOD_NOT_ALLOWED, "GET, HEAD"));
}

#[tokio::test]
async fn a_changed_file_is_not_sent() {
    let honest = Honest::start(&[("f", b"as it was")]).await;
    std::fs::write(honest.path("f"), b"as it is!").unwrap();
    let got = get(&honest.source, &format!("/v1/blobs/{}", hash(b"as it was")), &[]).await;
    assert_eq!((got.status, got.error().error.code.as_str()), (StatusCode::GONE, "changed"));
}

#[tokio::test]
async fn a_request_for_another_host_is_sent_away() {
    let honest = Honest::start(&[("f", b"x")]).await;
    let mut stream = dial(&honest.source).await;
    let request = format!("GET /v1/blobs/{} HTTP/1.1\r\nHost: evil.example\r\n\r\n", hash(b"x"));
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = [0; 12];
    stream.read_exact(&mut answer).await.unwrap();
    assert_eq!(&answer, b"HTTP/1.1 421");
}

#[tokio::test]
async fn past_the_slots_and_the_queue_one_is_told_when_to_come_back() {
    let content = content(40 * MIB);
    let honest = Honest::start_with(&[("f", &content)], Uploads::with_slots(1, 1, None)).await;
    let path = format!("/v1/blobs/{}", hash(&content));
    // It takes the head and reads no further, so the only slot stays taken.
    let mut greedy = connect(&honest.source).await;
    let request = Request::get(&path).header(HOST, "localhost").body(Empty::new()).unwrap();
    let holding = greedy.send_request(request).await.unwrap();
    let turned_away = get(&honest.source, &path, &[("range", "bytes=0-9")]).await;
    assert_eq!(turned_away.status, StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(turned_away.header(RETRY_AFTER), "2");
    drop(holding);
    drop(greedy);
    let served = get(&honest.source, &path, &[("range", "bytes=0-9")]).await;
    assert!(served.status == StatusCode::PARTIAL_CONTENT && served.body == content[..10]);
}

#[tokio::test]
async fn garbage_and_huge_heads_are_answered_or_cut_and_the_door_lives_on() {
    let honest = Honest::start(&[("f", b"x")]).await;
    let mut plain = TcpStream::connect(honest.source.address).await.unwrap();
    plain.write_all(b"GET / HTTP/1.1\r\n\r\n").await.unwrap();
    let mut rest = Vec::new();
    // A TLS alert, or nothing; but an end.
    let _ = plain.read_to_end(&mut rest).await;

    let mut huge = dial(&honest.source).await;
    let head = format!("GET / HTTP/1.1\r\nHost: localhost\r\nX: {}\r\n\r\n", "x".repeat(64 << 10));
    let _ = huge.write_all(head.as_bytes()).await;
    let mut answer = Vec::new();
    let _ = huge.read_to_end(&mut answer).await;
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 431"), "{answer:?}");

    assert_eq!(get(&honest.source, &format!("/v1/blobs/{}", hash(b"x")), &[]).await.body, "x");
}

#[tokio::test]
async fn an_end_is_waited_for_and_new_connections_are_not() {
    let content = content(20 * MIB);
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let honest = Honest::start(&[("f", &content)]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let source = Source { address: listener.local_addr().unwrap(), ..honest.source.clone() };
    let door = honest.another_door();
    let running = tokio::spawn(run(listener, door, async {
        let _ = stopped.await;
    }));
    let mut sender = connect(&source).await;
    let request = Request::get(format!("/v1/blobs/{}", hash(&content))).header(HOST, "localhost");
    let answer = sender.send_request(request.body(Empty::new()).unwrap()).await.unwrap();
    stop.send(()).unwrap();
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    assert!(body == content, "what had begun is sent to its end");
    running.await.unwrap().unwrap();
    assert!(TcpStream::connect(source.address).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn who_says_nothing_is_cut_after_a_while() {
    let honest = Honest::start(&[("f", b"x")]).await;
    let mut silent = TcpStream::connect(honest.source.address).await.unwrap();
    let mut idle = dial(&honest.source).await;
    let patience = limits::HANDSHAKE_TIMEOUT.max(limits::HEADER_TIMEOUT) + Duration::from_secs(5);
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(patience, silent.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a handshake that never comes");
    let ended = tokio::time::timeout(patience, idle.read_to_end(&mut rest)).await;
    assert!(ended.is_ok(), "a request that never comes");
}
