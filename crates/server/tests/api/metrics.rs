//! The numbers for Prometheus: well formed, bounded, and those of the index.

use std::collections::BTreeSet;

use http::Method;

use crate::fixture::{Ask, Door, Peer, add};

#[tokio::test]
async fn the_index_and_its_door_are_counted() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    assert_eq!(door.send(peer.batch(0, &[add("s/a.mp3"), add("s/b.mp3")])).await.status, 200);
    for path in ["/api/v1/search?q=a", "/api/v1/search?q=b", "/no/such/path", "/nor/this"] {
        door.get(path).await;
    }
    door.send(Ask::new(Method::from_bytes(b"BREW").unwrap(), "/api/v1/search")).await;
    let answer = door.get("/metrics").await;
    assert_eq!(answer.header("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    let text = answer.text();
    for line in [
        "peerage_ready 1",
        "peerage_peers 1",
        "peerage_files 2",
        "peerage_contents 2",
        "peerage_shared_bytes 14",
        "peerage_sessions 1",
        "peerage_connections_refused_total 0",
        r#"peerage_http_requests_total{route="/api/v1/search",method="GET",status="200"} 2"#,
        r#"peerage_http_requests_total{route="/api/v1/search",method="OTHER",status="405"} 1"#,
        r#"peerage_http_requests_total{route="/api/v1/peers/{id}/files",method="POST",status="200"} 1"#,
        r#"peerage_http_requests_total{route="none",method="GET",status="404"} 2"#,
        r#"peerage_http_request_duration_seconds_count{route="/api/v1/search",method="GET"} 2"#,
    ] {
        assert!(text.lines().any(|has| has == line), "{line} is not in\n{text}");
    }
    for part in ["contents", "names", "text", "sources", "shares", "peers"] {
        assert!(text.contains(&format!("peerage_memory_bytes{{part=\"{part}\"}} ")), "{part}\n{text}");
    }
    assert_well_formed(&text);
}

/// Every sample stands below the one `# TYPE` of its family, and none comes twice.
fn assert_well_formed(text: &str) {
    let (mut family, mut families, mut samples) = (String::new(), BTreeSet::new(), BTreeSet::new());
    for line in text.lines() {
        if let Some(typed) = line.strip_prefix("# TYPE ") {
            family = typed.split(' ').next().unwrap().to_owned();
            assert!(families.insert(family.clone()), "{family} comes twice");
        } else if !line.starts_with('#') {
            let (name, value) = line.rsplit_once(' ').unwrap();
            assert!(!family.is_empty() && name.starts_with(&family), "{line} below {family}");
            assert!(value.parse::<f64>().is_ok(), "{line}");
            assert!(samples.insert(name), "{name} comes twice");
        }
    }
    assert!(families.len() > 10);
}
