//! Connections: bounded, timed, and ended in good order.

use std::time::Duration;

use http::StatusCode;
use peerage_index::Index;
use peerage_server::{Config, Slowest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::fixture::{Door, PATIENCE, Peer, add, lines};

/// Reads until the other side closes; a reset is a close as well.
async fn rest(stream: &mut TcpStream) -> String {
    let mut bytes = Vec::new();
    let read = timeout(PATIENCE, stream.read_to_end(&mut bytes)).await;
    let _ = read.expect("the connection is closed");
    String::from_utf8_lossy(&bytes).into_owned()
}

/// A door that closes no connection of its own accord while a test runs.
fn patient() -> Config {
    Config { header_timeout: 10 * PATIENCE, ..Config::default() }
}

async fn assert_works(door: &Door) {
    assert_eq!(door.get("/healthz").await.status, StatusCode::OK);
}

/// Opens a connection and sees by an answer that the door has taken it on.
async fn kept_open(door: &Door) -> TcpStream {
    try_kept_open(door).await.expect("the door answers")
}

async fn try_kept_open(door: &Door) -> Option<TcpStream> {
    let mut stream = door.connect().await;
    let ask = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\n\r\n", door.address);
    stream.write_all(ask.as_bytes()).await.ok()?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"ok\n") {
        let read = timeout(PATIENCE, stream.read_buf(&mut answer)).await.expect("an answer or an end");
        read.ok().filter(|bytes| *bytes > 0)?;
    }
    Some(stream)
}

#[tokio::test]
async fn garbage_ends_its_own_connection_only() {
    let door = Door::open().await;
    let garbage: [&[u8]; 5] = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 a TLS hello",
        b"\0\0\0\0\0\0\0\0\n\n\n\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\ntransfer-encoding: chunked, x\r\n\r\n",
    ];
    for bytes in garbage {
        let mut stream = door.connect().await;
        stream.write_all(bytes).await.unwrap();
        let answer = rest(&mut stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    }
    assert_works(&door).await;
}

#[tokio::test]
async fn headers_above_their_limit_are_refused() {
    let door = Door::open().await;
    let mut stream = door.connect().await;
    let ask = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "a".repeat(17 << 10));
    let _ = stream.write_all(ask.as_bytes()).await; // may be cut while it is written
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_works(&door).await;
}

#[tokio::test]
async fn slow_headers_are_cut() {
    let header_timeout = Duration::from_millis(50);
    let door = Door::with(Config { header_timeout, ..Config::default() }).await;
    let mut silent = door.connect().await;
    let mut slow = door.connect().await;
    slow.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.unwrap();
    for stream in [&mut silent, &mut slow] {
        let answer = rest(stream).await;
        assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
    }
    // A machine that is busy may not get its request out in time; then the next try does.
    let idle = async {
        loop {
            if let Some(stream) = try_kept_open(&door).await {
                return stream;
            }
        }
    };
    let mut idle = timeout(PATIENCE, idle).await.expect("an answer in time");
    let answer = rest(&mut idle).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn a_slow_body_is_cut() {
    let slowest = Slowest { bytes: 1_000, window: Duration::from_millis(50) };
    let door = Door::with(Config { slowest, ..Config::default() }).await;
    let ask = format!(
        "POST /api/v1/session HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{\"peer\"",
        door.address
    );
    let mut stream = door.connect().await;
    stream.write_all(ask.as_bytes()).await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
    assert!(answer.contains("too slow"), "{answer}");
    assert_works(&door).await;
}

#[tokio::test]
async fn a_body_that_ends_early_is_nobody_elses_trouble() {
    let door = Door::open().await;
    let ask = format!(
        "POST /api/v1/session HTTP/1.1\r\nhost: {}\r\ncontent-type: application/json\r\n\
         content-length: 100\r\n\r\n{{\"peer\"",
        door.address
    );
    let mut stream = door.connect().await;
    stream.write_all(ask.as_bytes()).await.unwrap();
    stream.shutdown().await.unwrap();
    let answer = rest(&mut stream).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    assert_works(&door).await;
}

#[tokio::test]
async fn a_reader_that_does_not_read_is_cut() {
    let index = Index::embedded();
    let patient = Door::over(index.clone(), Config::default()).await;
    let peer = Peer::announced(&patient, 1).await;
    let long = "x".repeat(250);
    let batch: Vec<_> = (0..1_000).map(|n| add(&format!("s/{long}/{long}/{long}/{long}/{n}"))).collect();
    assert_eq!(patient.send(peer.batch(0, &batch)).await.status, StatusCode::OK);

    // Each answer has more than a megabyte; no socket's buffers take this many of them.
    let slowest = Slowest { bytes: 1 << 20, window: Duration::from_millis(50) };
    let door = Door::over(index, Config { slowest, ..Config::default() }).await;
    let ask = format!("GET /api/v1/files?limit=1000 HTTP/1.1\r\nhost: {}\r\n\r\n", door.address);
    let mut stream = door.connect().await;
    stream.write_all(ask.repeat(64).as_bytes()).await.unwrap();
    let cut = async {
        // A write finds out: once the door has closed, the system answers with a reset.
        while stream.write_all(b"\r\n").await.is_ok() {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    timeout(PATIENCE, cut).await.expect("the door gives up");
    assert_works(&door).await;
}

#[tokio::test]
async fn one_connection_too_many_is_told_so() {
    let door = Door::with(Config { connections_loopback_max: 32, ..patient() }).await;
    let mut kept = Vec::new();
    for _ in 0..32 {
        kept.push(kept_open(&door).await);
    }
    let mut more = door.connect().await;
    let answer = rest(&mut more).await;
    assert!(answer.starts_with("HTTP/1.1 503") && answer.contains("\"code\":\"limit\""), "{answer}");

    drop(kept.pop());
    let freed = async {
        loop {
            let mut stream = door.connect().await;
            let ask = format!("GET /healthz HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n", door.address);
            // A refused connection may be closed while this is written.
            let _ = stream.write_all(ask.as_bytes()).await;
            if rest(&mut stream).await.starts_with("HTTP/1.1 200") {
                return;
            }
        }
    };
    timeout(PATIENCE, freed).await.expect("a closed connection makes room");
}

#[tokio::test]
async fn a_stop_lets_running_requests_end_and_closes_the_rest() {
    let mut door = Door::with(Config { drain_timeout: PATIENCE, ..patient() }).await;
    let peer = Peer::announced(&door, 1).await;
    let mut silent = door.connect().await;
    let mut half = door.connect().await;
    half.write_all(b"GET / HTTP/1.1\r\nhost: loc").await.unwrap();
    let mut idle = kept_open(&door).await;
    let body = lines(&[add("s/a")]);
    let head = format!(
        "POST /api/v1/peers/{}/files?epoch=1&seq=0 HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         expect: 100-continue\r\ncontent-length: {}\r\n\r\n",
        peer.id,
        door.address,
        peer.token,
        body.len()
    );
    let mut running = door.connect().await;
    running.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    running.read_exact(&mut go_on).await.unwrap(); // so the request has begun
    assert_eq!(&go_on, b"HTTP/1.1 100 Continue\r\n\r\n");

    door.stop();
    assert_eq!(rest(&mut silent).await, "");
    assert_eq!(rest(&mut half).await, "");
    assert_eq!(rest(&mut idle).await, "");
    assert!(TcpStream::connect(door.address).await.is_err(), "nobody is let in any more");
    running.write_all(&body).await.unwrap();
    let answer = rest(&mut running).await;
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("\"files\":1"), "{answer}");
    door.stopped().await;
}

#[tokio::test]
async fn a_stop_does_not_wait_for_ever() {
    let drain_timeout = Duration::from_millis(50);
    let mut door = Door::with(Config { drain_timeout, ..Config::default() }).await;
    let peer = Peer::announced(&door, 1).await;
    let head = format!(
        "PUT /api/v1/peers/{} HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\
         content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: 100\r\n\r\n",
        peer.id, door.address, peer.token
    );
    let mut running = door.connect().await;
    running.write_all(head.as_bytes()).await.unwrap();
    let mut go_on = [0; 25];
    running.read_exact(&mut go_on).await.unwrap();
    door.stop();
    door.stopped().await;
    assert!(!rest(&mut running).await.starts_with("HTTP/1.1 200"));
}
