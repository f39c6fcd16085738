//! Every verb: what it answers, and that none changes anything or connects to anybody.

use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use crate::fixture::{Fixture, Setting};
use peerage_doors::ftp::Tls;

#[tokio::test]
async fn what_would_write_or_connect_elsewhere_is_refused() {
    let fixture = Fixture::start(&[("file", b"text")]).await;
    let mut client = fixture.anonymous().await;
    let elsewhere = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = elsewhere.local_addr().unwrap().port();
    for (line, code) in [
        ("STOR s/new", "550 "),
        ("STOU", "550 "),
        ("APPE s/file", "550 "),
        ("DELE s/file", "550 "),
        ("MKD s/folder", "550 "),
        ("RMD s", "550 "),
        ("RNFR s/file", "550 "),
        ("RNTO s/other", "550 "),
        ("MFMT 20000101000000 s/file", "550 "),
        ("SITE CHMOD 777 s/file", "502 "),
        ("SITE EXEC id", "502 "),
        (&format!("PORT 127,0,0,1,{},{}", port >> 8, port & 255), "502 "),
        (&format!("EPRT |1|127.0.0.1|{port}|"), "502 "),
        (&format!("EPRT |2|::1|{port}|"), "502 "),
    ] {
        let reply = client.ask(line).await;
        assert!(reply.starts_with(code), "{line}: {reply}");
    }
    assert!(client.ask("RETR s/file").await.starts_with("425 "), "no connection was made");
    assert_eq!(std::fs::read(fixture.dir.join("file")).unwrap(), b"text");
    assert_eq!(std::fs::read_dir(&fixture.dir).unwrap().count(), 1);
}

#[tokio::test]
async fn no_port_of_65_535_is_ever_connected_to() {
    let fixture = Fixture::start(&[]).await;
    let client = fixture.anonymous().await;
    let mut listeners = Vec::new();
    for _ in 0..50 {
        listeners.push(TcpListener::bind("127.0.0.1:0").await.unwrap());
    }
    let (mut replies, mut commands) = tokio::io::split(client.stream.into_inner());
    let sending = tokio::spawn(async move {
        for port in 1..=65_535_u32 {
            let line = format!("PORT 127,0,0,1,{},{}\r\nRETR x\r\n", port >> 8, port & 255);
            commands.write_all(line.as_bytes()).await.unwrap();
        }
        commands
    });
    let (mut received, mut refused) = (String::new(), 0);
    while refused < 65_535 {
        let mut bytes = vec![0; 1 << 16];
        let read = tokio::io::AsyncReadExt::read(&mut replies, &mut bytes).await.unwrap();
        assert_ne!(read, 0, "the door hung up after {refused}");
        received.push_str(std::str::from_utf8(&bytes[..read]).unwrap());
        let end = received.rfind('\n').map_or(0, |end| end + 1);
        let whole: String = received.drain(..end).collect();
        refused += whole.lines().filter(|line| line.starts_with("502 ")).count();
        assert!(whole.lines().all(|line| line.starts_with("502 ") || line.starts_with("425 ")), "{whole}");
    }
    drop(sending.await.unwrap());
    for listener in listeners {
        let came = tokio::time::timeout(std::time::Duration::ZERO, listener.accept()).await;
        assert!(came.is_err(), "somebody came to {:?}", listener.local_addr());
    }
}

#[tokio::test]
async fn clients_hear_what_they_ask() {
    let fixture = Fixture::start(&[("a b/file.txt", b"12345")]).await;
    let mut client = fixture.anonymous().await;
    let features = client.ask("FEAT").await;
    for feature in ["AUTH TLS", "MLST type*;", "REST STREAM", "SIZE", "MDTM", "UTF8", "EPSV", "TVFS"] {
        assert!(features.contains(&format!("\r\n {feature}")), "{features}");
    }
    for (line, expected) in [
        ("SYST", "215 UNIX"),
        ("NOOP", "200 "),
        ("OPTS UTF8 ON", "200 "),
        ("OPTS MLST type;size;", "200 MLST OPTS type;size;modify;perm;"),
        ("OPTS HASH", "501 "),
        ("TYPE I", "200 "),
        ("TYPE A", "200 "),
        ("MODE S", "200 "),
        ("MODE Z", "504 "),
        ("STRU F", "200 "),
        ("STRU R", "504 "),
        ("PWD", "257 \"/\""),
        ("CWD s/a b", "250 "),
        ("PWD", "257 \"/s/a b\""),
        ("SIZE file.txt", "213 5\r\n"),
        ("SIZE /s", "550 "),
        ("SIZE nothing", "550 "),
        ("CWD file.txt", "550 "),
        ("CWD nothing", "550 "),
        ("CDUP", "250 "),
        ("PWD", "257 \"/s\""),
        ("CWD ../../../..", "250 "),
        ("PWD", "257 \"/\""),
        ("ACCT x", "200 "),
        ("STAT", "211 "),
        ("ABOR", "226 "),
        ("LIST", "425 "),
        ("HELP", "214-"),
        ("FOO", "500 "),
        ("", "500 "),
    ] {
        let reply = client.ask(line).await;
        assert!(reply.starts_with(expected), "{line}: {reply}");
    }
    let modified = client.ask("MDTM s/a b/file.txt").await;
    assert!(modified.starts_with("213 20") && modified.trim_end().len() == 18, "{modified}");
    let facts = client.ask("MLST s/a b/file.txt").await;
    assert!(
        facts.contains("\r\n type=file;size=5;modify=20") && facts.contains("; /s/a b/file.txt\r\n"),
        "{facts}"
    );
    assert!(client.ask("QUIT").await.starts_with("221 "));
    assert_eq!(client.reply().await, "");
}

#[tokio::test]
async fn nothing_is_told_before_a_login() {
    let fixture = Fixture::start(&[("file", b"text")]).await;
    let mut client = fixture.connect().await;
    for line in
        ["LIST", "RETR s/file", "SIZE s/file", "PASV", "EPSV", "CWD s", "PWD", "STOR x", "PORT 1,2,3,4,5,6"]
    {
        assert!(client.ask(line).await.starts_with("530 "), "{line}");
    }
    assert!(client.ask("PASS x").await.starts_with("503 "));
    for line in ["PBSZ 0", "PROT P"] {
        assert!(client.ask(line).await.starts_with("503 "), "{line}");
    }
}

#[tokio::test]
async fn tls_is_offered_only_where_it_is_on() {
    let fixture = Fixture::start_with(&[], Setting { tls: Tls::Off, ..Setting::default() }).await;
    let mut client = fixture.connect().await;
    assert!(client.ask("AUTH TLS").await.starts_with("502 "));
    assert!(!client.ask("FEAT").await.contains("TLS"));
}
