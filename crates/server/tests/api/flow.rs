//! The whole life of a peer: session, announcement, files, search, list, quit.

use http::{Method, StatusCode};
use peerage_wire::api::{
    Announced, Applied, FileRow, Heartbeat, HeartbeatReply, Hit, Matched, Page, PeerRow, Stats,
};

use crate::fixture::{Door, Peer, add, file};

#[tokio::test]
async fn a_peer_comes_is_found_and_goes() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let batch = [add("music/Blue Train.flac"), add("docs/train timetable.pdf"), add("docs/notes.txt")];
    let applied: Applied = door.send(peer.batch(0, &batch)).await.json();
    assert_eq!(applied.files, 3);

    let found: Page<Hit> = door.read("/api/v1/search?q=train&type=audio").await;
    assert_eq!((found.total.value, found.total.exact, found.matched), (1, true, Some(Matched::Exact)));
    let hit = &found.hits[0];
    assert_eq!((hit.hash, hit.source_count), (file("music/Blue Train.flac").hash, 1));
    assert_eq!((hit.sources[0].peer, hit.sources[0].name.as_str()), (peer.id, "peer-1"));
    assert_eq!(hit.sources[0].address.to_string(), "127.0.0.1:18965");

    let same: Hit = door.read(&format!("/api/v1/contents/{}", hit.hash)).await;
    assert_eq!(hit.highlights, [[[11, 16]]]);
    assert_eq!(same, Hit { highlights: Vec::new(), ..hit.clone() });
    let filtered: Page<Hit> = door.read("/api/v1/search?q=tra+type:audio+peer:peer-1").await;
    assert_eq!(filtered.hits.len(), 1);
    let files: Page<FileRow> = door.read("/api/v1/files").await;
    assert_eq!(files.hits.len(), 3);
    for under in ["docs", "docs/"] {
        let path = format!("/api/v1/peers/{}/files?under={under}", peer.id);
        let below: Page<FileRow> = door.read(&path).await;
        assert_eq!(below.hits.len(), 2, "{under}");
    }
    let row: PeerRow = door.read(&format!("/api/v1/peers/{}", peer.id)).await;
    let rows: Page<PeerRow> = door.read("/api/v1/peers").await;
    assert_eq!((rows.hits, row.files), (vec![row.clone()], 3));
    assert_eq!(door.read::<Stats>("/api/v1/stats").await.contents, 3);

    let gone = door.send(peer.ask(Method::DELETE, "")).await;
    assert_eq!((gone.status, gone.body.len()), (StatusCode::NO_CONTENT, 0));
    assert!(door.read::<Page<Hit>>("/api/v1/search?q=train").await.hits.is_empty());
    let stats: Stats = door.read("/api/v1/stats").await;
    // What is remembered of it, for when it is back, takes memory.
    assert_eq!(stats, Stats { memory: stats.memory, ..Stats::default() });
    door.get(&format!("/api/v1/contents/{}", hit.hash)).await.refused(404, "not_found");
    let again = door.send(peer.ask(Method::DELETE, "")).await;
    assert_eq!(again.status, StatusCode::NO_CONTENT, "every write may be repeated");
}

#[tokio::test]
async fn a_heartbeat_compares_digests() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    assert_eq!(door.send(peer.batch(0, &[add("s/a")])).await.status, StatusCode::OK);

    let mut digest = peerage_wire::ShareDigest::default();
    digest.add(&file("s/a"));
    for (sent, resync) in [(Some(digest), false), (None, false), (Some(<_>::default()), true)] {
        let beat = Heartbeat { epoch: 1, digest: sent };
        let reply: HeartbeatReply = door.send(peer.ask(Method::POST, "/heartbeat").json(&beat)).await.json();
        assert_eq!((reply.lease_secs, reply.resync), (90, resync), "{sent:?}");
    }
    let stale = Heartbeat { epoch: 0, digest: None };
    door.send(peer.ask(Method::POST, "/heartbeat").json(&stale)).await.refused(409, "stale_epoch");
    let back: Announced = peer.announce(&door, 2, &[file("s/a")]).await.json();
    assert!(!back.resync, "what the index holds agrees");
}

#[tokio::test]
async fn every_page_of_a_list_is_reached_by_its_cursor() {
    let door = Door::open().await;
    let peer = Peer::announced(&door, 1).await;
    let batch: Vec<_> = (0..25).map(|number| add(&format!("s/{number:02}"))).collect();
    door.send(peer.batch(0, &batch)).await;
    let (mut paths, mut cursor) = (Vec::new(), String::new());
    loop {
        let page: Page<FileRow> = door.read(&format!("/api/v1/files?limit=10{cursor}")).await;
        assert!(page.hits.len() <= 10 && page.total.value == 25);
        paths.extend(page.hits.into_iter().map(|row| row.file.path.to_string()));
        let Some(next) = page.cursor else { break };
        cursor = format!("&cursor={next}");
    }
    let all: Vec<_> = (0..25).map(|number| format!("s/{number:02}")).collect();
    assert_eq!(paths, all);
}
