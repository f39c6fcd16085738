//! Batches: in order, once, packed or not, and never larger than allowed.

use std::io::Cursor;

use http::{Method, StatusCode};
use peerage_wire::api::{Applied, Change, Stats};
use peerage_wire::{SharePath, limits};

use crate::fixture::{Door, Peer, add, lines};

#[tokio::test]
async fn a_repeated_batch_is_acknowledged_and_not_applied_again() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let first = [add("s/a"), add("s/b")];
    let second = [Change::Remove { path: SharePath::parse("s/a").unwrap() }];
    for (seq, changes, files) in [(0, &first[..], 2), (0, &first, 2), (1, &second, 1), (0, &first, 1)] {
        let applied: Applied = door.send(peer.batch(seq, changes)).await.json();
        assert_eq!(applied.files, files, "batch {seq}");
    }
    door.send(peer.batch(3, &first)).await.refused(409, "out_of_order");
    let other_epoch = peer.ask(Method::POST, "/files?epoch=7&seq=2").body(lines(&first));
    door.send(other_epoch).await.refused(409, "out_of_order");
}

#[tokio::test]
async fn a_batch_may_come_packed() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let changes: Vec<_> = (0..limits::BATCH_CHANGES_MAX).map(|n| add(&format!("s/{n}"))).collect();
    let packed = zstd::encode_all(Cursor::new(lines(&changes)), 3).unwrap();
    let ask = |coding| peer.batch(0, &[]).header("content-encoding", coding).body(packed.clone());
    door.send(ask("br")).await.refused(415, "bad_request");
    door.send(ask("identity")).await.refused(400, "bad_request");
    let applied: Applied = door.send(ask("zstd")).await.json();
    assert_eq!(applied.files, 10_000);
}

#[tokio::test]
async fn a_batch_too_large_is_refused_whole() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let many: Vec<_> = (0..=limits::BATCH_CHANGES_MAX).map(|n| add(&format!("s/{n}"))).collect();
    door.send(peer.batch(0, &many)).await.refused(413, "limit");
    let long = vec![b'\n'; limits::BATCH_BYTES_MAX + 1];
    door.send(peer.batch(0, &[]).body(long.clone())).await.refused(413, "limit");
    let bomb = zstd::encode_all(Cursor::new(long), 19).unwrap();
    let ask = peer.batch(0, &[]).header("content-encoding", "zstd").body(bomb);
    door.send(ask).await.refused(413, "limit");
    assert_eq!(door.read::<Stats>("/api/v1/stats").await.files, 0);
}

#[tokio::test]
async fn a_batch_with_one_bad_line_is_refused_whole() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let mut body = lines(&[add("s/a")]);
    body.extend_from_slice(b"\n{\"add\":{\"path\":\"../etc/passwd\"}}");
    let answer = door.send(peer.batch(0, &[]).body(body)).await;
    answer.refused(400, "bad_request");
    assert!(answer.text().contains("line 2"), "{}", answer.text());
    assert_eq!(door.read::<Stats>("/api/v1/stats").await.files, 0);
    assert_eq!(door.send(peer.batch(0, &[add("s/a")])).await.status, StatusCode::OK);
}

#[tokio::test]
async fn a_peer_that_was_not_announced_is_told_to() {
    let door = Door::open().await;
    let mut peer = Peer::new(1);
    peer.token = peer.open_session(&door).await;
    door.send(peer.batch(0, &[add("s/a")])).await.refused(404, "unknown_peer");
}
