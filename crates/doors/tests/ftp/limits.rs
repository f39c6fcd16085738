//! What the door outlasts: too many connections, lines without an end, clients that wait.

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{Fixture, Setting};
use peerage_peer::uploads::Uploads;

#[tokio::test]
async fn the_sixty_fifth_connection_is_told_so() {
    let fixture = Fixture::start(&[]).await;
    let mut clients = Vec::new();
    for _ in 0..64 {
        clients.push(fixture.connect().await);
    }
    let mut refused = tokio::net::TcpStream::connect(fixture.address).await.unwrap();
    let mut said = String::new();
    refused.read_to_string(&mut said).await.unwrap();
    assert!(said.starts_with("421 ") && said.ends_with("\r\n"), "{said:?}");
    let mut leaving = clients.pop().unwrap();
    leaving.ask("QUIT").await;
    assert_eq!(leaving.reply().await, "");
    // The place is free once the door has noticed, which is soon.
    loop {
        let mut stream = tokio::net::TcpStream::connect(fixture.address).await.unwrap();
        let mut code = [0; 4];
        stream.read_exact(&mut code).await.unwrap();
        if &code == b"220 " {
            break;
        }
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_line_without_an_end_ends_the_session() {
    let fixture = Fixture::start(&[]).await;
    let (plain, tls) = (fixture.connect().await, fixture.connect_tls().await);
    for mut client in [plain, tls] {
        let (chunk, mut sent) = (vec![b'x'; 1 << 16], 0_usize);
        while sent < 1 << 30 && client.stream.write_all(&chunk).await.is_ok() {
            sent += chunk.len();
        }
        assert!(sent < 1 << 28, "{sent} bytes were taken of one line");
    }
    let mut client = fixture.connect().await;
    client.stream.write_all(&[b'x'; 4_200]).await.unwrap();
    client.stream.flush().await.unwrap();
    assert!(client.reply().await.starts_with("421 "));
    assert!(fixture.connect().await.ask("NOOP").await.starts_with("200 "));
}

#[tokio::test]
async fn past_the_slots_one_is_told_to_come_back() {
    let content = vec![7; 64 << 20];
    let uploads = Uploads::with_slots(1, 1, None);
    let fixture = Fixture::start_with(
        &[("file", &content)],
        Setting { uploads: uploads.clone(), ..Setting::default() },
    )
    .await;
    let mut greedy = fixture.anonymous().await;
    let mut data = greedy.data().await;
    assert!(greedy.ask("RETR s/file").await.starts_with("150 "));
    data.read_exact(&mut [0; 1_000]).await.unwrap();
    let mut other = fixture.anonymous().await;
    let (_, end) = other.fetch("RETR s/file").await;
    assert!(end.starts_with("450 "), "{end}");
    assert_eq!(other.lines("NLST s").await, ["s/file"], "a listing needs no slot");
    drop((greedy, data));
    let (bytes, end) = other.fetch("RETR s/file").await;
    assert!(bytes == content && end.starts_with("226 "), "{end}");
    let (begun, sent) = uploads.counts();
    assert!(begun == 2 && sent >= content.len() as u64, "{begun} uploads of {sent} bytes");
}

#[tokio::test]
async fn who_says_nothing_is_not_waited_for() {
    let fixture = Fixture::start(&[]).await;
    let mut silent = fixture.connect().await;
    let (mut idle, mut stranger) = (fixture.anonymous().await, fixture.connect().await);
    tokio::time::pause(); // from here on a wait is over as soon as nothing else is to be done
    let begun = tokio::time::Instant::now();
    assert!(silent.reply().await.starts_with("421 "));
    let silent_secs = begun.elapsed().as_secs();
    assert!((9..=11).contains(&silent_secs), "{silent_secs} s to the first command");
    assert!(stranger.reply().await.starts_with("421 "));
    assert!(idle.reply().await.starts_with("421 "));
    let idle_secs = begun.elapsed().as_secs();
    assert!((299..=301).contains(&idle_secs), "{idle_secs} s of doing nothing");
}

#[tokio::test]
async fn a_pattern_made_to_be_slow_holds_up_nobody() {
    let name = |number: usize| format!("{}{number}", "ab".repeat(100));
    let names: Vec<String> = (0..2_000).map(name).collect();
    let files: Vec<(&str, &[u8])> = names.iter().map(|name| (name.as_str(), &b""[..])).collect();
    let fixture = Fixture::start(&files).await;
    let mut client = fixture.anonymous().await;
    for pattern in [format!("{}b*z", "*a?".repeat(60)), format!("{}a{}b*z", "*".repeat(500), "?".repeat(150))]
    {
        assert_eq!(client.lines(&format!("NLST s/{pattern}")).await, Vec::<String>::new());
    }
    assert_eq!(client.lines("NLST s/*b1999").await.len(), 1);
}

#[tokio::test]
async fn who_never_stops_talking_is_not_listened_to_for_ever() {
    let fixture = Fixture::start(&[]).await;
    let mut client = fixture.connect().await;
    tokio::time::pause();
    let begun = tokio::time::Instant::now();
    loop {
        if client.stream.write_all(b"NOOP\r\n").await.is_err() {
            break;
        }
        let reply = client.reply().await;
        if !reply.starts_with("200 ") {
            assert!(reply.is_empty() || reply.starts_with("421 "), "{reply}");
            break;
        }
        tokio::time::advance(std::time::Duration::from_secs(1)).await;
    }
    let secs = begun.elapsed().as_secs();
    assert!((59..=62).contains(&secs), "{secs} s without a login");
}
