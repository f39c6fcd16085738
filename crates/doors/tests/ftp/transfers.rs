//! Transfers: offsets, ends, interruptions, data ports, TLS.

use std::net::SocketAddr;

use tokio::io::AsyncReadExt;

use crate::fixture::{Fixture, Setting};
use peerage_doors::ftp::Tls;
use peerage_peer::rate::RateLimit;
use peerage_peer::uploads::Uploads;

const MIB: usize = 1 << 20;

fn content(bytes: usize) -> Vec<u8> {
    (0..bytes).map(|at| u8::try_from((at * 31 + at / 251) % 256).unwrap()).collect()
}

#[tokio::test]
async fn an_offset_holds_for_one_transfer() {
    let content = content(3 * MIB + 17);
    let fixture = Fixture::start(&[("file", &content), ("empty", b"")]).await;
    let mut client = fixture.anonymous().await;
    for offset in [1, 1_000_000, content.len() - 1, content.len()] {
        assert!(client.ask(&format!("REST {offset}")).await.starts_with("350 "));
        let (bytes, end) = client.fetch("RETR s/file").await;
        assert!(bytes == content[offset..] && end.starts_with("226 "), "{offset}: {end}");
    }
    assert!(client.fetch("RETR s/file").await.0 == content, "the offset is over");
    client.ask(&format!("REST {}", content.len() + 1)).await;
    assert!(client.fetch("RETR s/file").await.1.starts_with("554 "));
    assert!(client.fetch("RETR s/file").await.0 == content, "over after an error too");
    client.ask("REST 5").await;
    assert!(client.fetch("RETR s/nothing").await.1.starts_with("550 "));
    assert!(client.fetch("RETR s/file").await.0 == content, "and after a file that is not there");
    client.ask("REST 5").await;
    client.lines("NLST s").await;
    assert!(client.fetch("RETR s/file").await.0 == content, "and after a listing");
    assert_eq!(client.fetch("RETR s/empty").await.0, b"");
}

#[tokio::test]
async fn a_client_may_end_a_transfer_or_ask_ahead() {
    let content = content(16 * MIB);
    let uploads = Uploads::new(Some(RateLimit::new(2 << 20).unwrap()));
    let fixture = Fixture::start_with(&[("file", &content)], Setting { uploads, ..Setting::default() }).await;
    let mut client = fixture.anonymous().await;
    let mut data = client.data().await;
    assert!(client.ask("RETR s/file").await.starts_with("150 "));
    data.read_exact(&mut [0; 1_000]).await.unwrap();
    assert!(client.ask("ABOR").await.starts_with("426 "));
    assert!(client.reply().await.starts_with("226 "));
    let mut rest = Vec::new();
    let _ = data.read_to_end(&mut rest).await;
    assert!(rest.len() < content.len() - 1_000, "it was ended");
    client.ask(&format!("REST {}", 15 * MIB)).await;
    let mut data = client.data().await;
    client.send("RETR s/file\r\nPWD").await;
    assert!(client.reply().await.starts_with("150 "));
    data.read_to_end(&mut rest).await.unwrap();
    assert!(client.reply().await.starts_with("226 "));
    assert!(client.reply().await.starts_with("257 "), "answered after the transfer");
    let mut data = client.data().await;
    assert!(client.ask("RETR s/file").await.starts_with("150 "));
    data.read_exact(&mut [0; 1_000]).await.unwrap();
    client.send("NOOP\r\nABOR").await;
    assert!(client.reply().await.starts_with("426 "), "also behind another command");
    assert!(client.reply().await.starts_with("226 "));
    assert!(client.reply().await.starts_with("200 "));
    let mut data = client.data().await;
    assert!(client.ask("RETR s/file").await.starts_with("150 "));
    drop(client);
    rest.clear();
    let _ = data.read_to_end(&mut rest).await;
    assert!(rest.len() < content.len(), "a transfer ends with its session");
}

#[tokio::test]
async fn a_data_connection_that_breaks_is_told() {
    let content = content(64 * MIB);
    let fixture = Fixture::start(&[("file", &content)]).await;
    let mut client = fixture.anonymous().await;
    let mut data = client.data().await;
    assert!(client.ask("RETR s/file").await.starts_with("150 "));
    data.read_exact(&mut [0; 1_000]).await.unwrap();
    drop(data);
    assert!(client.reply().await.starts_with("426 "));
    assert!(client.fetch("RETR s/file").await.0 == content, "the session goes on");
}

#[tokio::test]
async fn data_ports_are_where_they_were_asked_for() {
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let range: &'static str = Box::leak(format!("{free}-{free}").into_boxed_str());
    let setting = Setting { passive: Some(range), advertise: Some([192, 0, 2, 7]), ..Setting::default() };
    let fixture = Fixture::start_with(&[("file", b"text")], setting).await;
    let mut client = fixture.anonymous().await;
    let expected = format!("(192,0,2,7,{},{})", free >> 8, free & 255);
    let reply = client.ask("PASV").await;
    assert!(reply.starts_with("227 ") && reply.contains(&expected), "{reply}");
    for _ in 0..3 {
        let (bytes, end) = client.fetch("RETR s/file").await;
        assert!(bytes == b"text" && end.starts_with("226 "), "the one port is used again: {end}");
    }
    let mut other = fixture.anonymous().await;
    client.ask("EPSV").await;
    assert!(other.ask("EPSV").await.starts_with("425 "), "and taken while another has it");
    assert!(client.ask("EPSV ALL").await.starts_with("200 "));
    assert!(client.ask("PASV").await.starts_with("503 "));
    assert!(client.ask("EPSV 2").await.starts_with("522 "));
}

#[tokio::test]
async fn ipv6_has_extended_passive_mode() {
    let listen: SocketAddr = "[::1]:0".parse().unwrap();
    if std::net::TcpListener::bind(listen).is_err() {
        eprintln!("skipped: this machine has no IPv6");
        return;
    }
    let fixture = Fixture::start_with(&[("file", b"text")], Setting { listen, ..Setting::default() }).await;
    let mut client = fixture.anonymous().await;
    assert!(client.ask("PASV").await.starts_with("425 "));
    assert_eq!(client.fetch("RETR s/file").await.0, b"text");
}

#[tokio::test]
async fn inside_tls_everything_is_as_outside() {
    let content = content(5 * MIB + 3);
    let setting = Setting { tls: Tls::Required, ..Setting::default() };
    let fixture = Fixture::start_with(&[("file", &content)], setting).await;
    let mut plain = fixture.connect().await;
    assert!(plain.ask("USER anonymous").await.starts_with("530 "));
    let mut client = fixture.connect_tls().await;
    client.log_in("anonymous", "x").await;
    client.data().await;
    assert!(client.ask("RETR s/file").await.starts_with("521 "), "data in the clear");
    assert!(client.ask("PBSZ 0").await.starts_with("200 "));
    assert!(client.ask("PROT C").await.starts_with("534 "));
    assert!(client.ask("PROT P").await.starts_with("200 "));
    let (bytes, end) = client.fetch_tls("RETR s/file").await;
    assert!(bytes == content && end.starts_with("226 "), "{end}");
    let (names, _) = client.fetch_tls("NLST s").await;
    assert_eq!(names, b"s/file\r\n");
    assert!(client.ask("AUTH TLS").await.starts_with("503 "));
}

#[tokio::test]
async fn a_handshake_that_fails_ends_one_transfer_or_session_and_no_more() {
    let fixture = Fixture::start(&[("file", b"text")]).await;
    let mut client = fixture.connect_tls().await;
    client.log_in("anonymous", "x").await;
    client.ask("PBSZ 0").await;
    client.ask("PROT P").await;
    let mut data = client.data().await;
    assert!(client.ask("RETR s/file").await.starts_with("150 "));
    tokio::io::AsyncWriteExt::write_all(&mut data, b"this is no handshake\r\n").await.unwrap();
    assert!(client.reply().await.starts_with("425 "));
    assert_eq!(client.fetch_tls("RETR s/file").await.0, b"text");
    // What is sent behind `AUTH TLS` before the handshake is not taken for what is said inside it.
    let mut injected = fixture.connect().await;
    injected.send("AUTH TLS\r\nUSER anonymous\r\nPASS x").await;
    assert!(injected.reply().await.starts_with("421 "));
}
