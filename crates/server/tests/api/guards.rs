//! A foreign page in somebody's browser gets nothing and changes nothing.

use http::{Method, StatusCode};
use peerage_server::Config;
use peerage_wire::api::Heartbeat;

use crate::fixture::{Ask, Door, Peer};

#[tokio::test]
async fn only_names_of_ours_are_answered() {
    let allowed_hosts = vec!["peers.example.org".to_owned()];
    let door = Door::with(Config { allowed_hosts, ..Config::default() }).await;
    let stats = |host: &str| Ask::new(Method::GET, "/api/v1/stats").header("host", host);
    for host in ["127.0.0.1", "localhost:80", "[::1]:18964", "192.0.2.1", "PEERS.example.org:1"] {
        assert_eq!(door.send(stats(host)).await.status, StatusCode::OK, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example", "peers.example.org.evil.example:18964"] {
        for path in ["/", "/api", "/api/v1/stats", "/nothing", "/healthz"] {
            let answer = door.send(Ask::new(Method::GET, path).header("host", host)).await;
            answer.refused(421, "forbidden");
            assert!(answer.text().contains("--allow-host"), "{}", answer.text());
        }
    }
    door.send(stats("")).await.refused(400, "bad_request");
    door.send(stats("localhost").header("host", "localhost")).await.refused(400, "bad_request");
}

#[tokio::test]
async fn another_sites_page_changes_nothing() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let ours = format!("http://{}", door.address);
    let beat = || peer.ask(Method::POST, "/heartbeat").json(&Heartbeat { epoch: 1, digest: None });
    for (name, value) in [
        ("origin", "http://evil.example"),
        ("origin", "null"),
        ("origin", "http://127.0.0.1:1"),
        ("sec-fetch-site", "cross-site"),
        ("sec-fetch-site", "same-site"),
    ] {
        door.send(beat().header(name, value)).await.refused(403, "forbidden");
        let quit = peer.ask(Method::DELETE, "").header(name, value);
        door.send(quit).await.refused(403, "forbidden");
    }
    for (name, value) in
        [("origin", ours.as_str()), ("sec-fetch-site", "same-origin"), ("sec-fetch-site", "none")]
    {
        assert_eq!(door.send(beat().header(name, value)).await.status, StatusCode::OK, "{name} {value}");
    }
}

#[tokio::test]
async fn every_answer_is_hardened_and_none_is_shared_across_origins() {
    let door = Door::open().await;
    for path in ["/", "/api", "/api/v1/stats", "/nothing", "/style.css"] {
        let answer = door.send(Ask::new(Method::GET, path).header("origin", "http://evil.example")).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.contains("default-src 'none'") && policy.contains("frame-ancestors 'none'"), "{path}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), "", "{path}");
    }
}
