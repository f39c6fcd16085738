//! Who may write: only the holder of the key, for its own host, once a challenge.

use http::{Method, StatusCode};
use peerage_wire::ShareDigest;
use peerage_wire::api::{Announcement, Doors, Heartbeat, Stats};

use crate::fixture::{Ask, Door, Peer, add, lines};

#[tokio::test]
async fn a_challenge_is_answered_once() {
    let door = Door::open().await;
    let peer = Peer::new(1);
    let host = door.address.to_string();
    let challenge = peer.challenge(&door).await;
    assert_eq!(peer.answer(&door, &host, &challenge).await.status, StatusCode::OK);
    peer.answer(&door, &host, &challenge).await.refused(401, "session");
}

#[tokio::test]
async fn a_signature_for_another_host_or_key_is_refused() {
    let door = Door::open().await;
    let peer = Peer::new(1);
    let challenge = peer.challenge(&door).await;
    peer.answer(&door, "other.example:18964", &challenge).await.refused(403, "forbidden");
    let host = door.address.to_string();
    Peer::new(2).answer(&door, &host, &challenge).await.refused(401, "session");
    let mut impostor = Peer::new(2);
    impostor.id = peer.id;
    impostor.answer(&door, &host, &challenge).await.refused(403, "forbidden");
    peer.answer(&door, &host, &"0".repeat(64)).await.refused(401, "session");
    assert_eq!(peer.answer(&door, &host, &challenge).await.status, StatusCode::OK, "failures use nothing up");
}

#[tokio::test]
async fn nobody_writes_for_another_peer() {
    let door = Door::open().await;
    let victim = Peer::announced(&door, 1).await;
    let other = Peer::announced(&door, 2).await;
    door.send(victim.batch(0, &[add("s/a")])).await;

    for ask in writes(&victim) {
        door.send(ask.bearer(&other.token)).await.refused(403, "forbidden");
    }
    for token in ["", "x", &"0".repeat(64)] {
        for ask in writes(&victim) {
            door.send(ask.bearer(token)).await.refused(401, "session");
        }
    }
    for ask in writes(&victim) {
        let answer = door.send(ask).await;
        answer.refused(401, "session");
        assert_eq!(answer.header("www-authenticate"), "Bearer");
    }
    for ask in writes(&victim) {
        door.send(ask.header("authorization", &format!("Basic {}", victim.token)))
            .await
            .refused(401, "session");
    }
    let stats: Stats = door.get("/api/v1/stats").await.json();
    assert_eq!((stats.peers, stats.files), (2, 1), "nothing changed");
}

/// Every write on a peer, without a token.
fn writes(peer: &Peer) -> [Ask; 4] {
    let below = |method, below: &str| Ask::new(method, &format!("/api/v1/peers/{}{below}", peer.id));
    let what = Announcement {
        name: "evil".parse().unwrap(),
        doors: Doors::native(1),
        epoch: 9,
        digest: ShareDigest::default(),
    };
    [
        below(Method::PUT, "").json(&what),
        below(Method::POST, "/files?epoch=1&seq=1").body(lines(&[add("s/b")])),
        below(Method::POST, "/heartbeat").json(&Heartbeat { epoch: 1, digest: None }),
        below(Method::DELETE, ""),
    ]
}

#[tokio::test]
async fn a_peer_may_hold_more_than_one_token() {
    let door = Door::open().await;
    let mut peer = Peer::announced(&door, 1).await;
    let first = peer.token.clone();
    peer.token = peer.open_session(&door).await;
    assert_ne!(first, peer.token);
    let beat = Heartbeat { epoch: 1, digest: None };
    for token in [first, peer.token.clone()] {
        peer.token = token;
        let answer = door.send(peer.ask(Method::POST, "/heartbeat").json(&beat)).await;
        assert_eq!(answer.status, StatusCode::OK);
    }
}
