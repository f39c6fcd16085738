//! Downloads as sources: who may say so, who is told, and when it is forgotten.

use http::Method;
use peerage_wire::ContentHash;
use peerage_wire::api::{Hit, Page, PartialSet};

use crate::fixture::{Ask, Door, Peer, add, file};

fn set(hashes: &[ContentHash]) -> PartialSet {
    PartialSet { hashes: hashes.to_vec() }
}

fn put(peer: &Peer, hashes: &[ContentHash]) -> Ask {
    peer.ask(Method::PUT, "/partials").json(&set(hashes))
}

#[tokio::test]
async fn a_download_is_named_after_the_sources_until_it_is_taken_back() {
    let door = Door::open().await;
    let (seed, getter) = (Peer::announced(&door, 1).await, Peer::announced(&door, 2).await);
    door.send(seed.batch(0, &[add("s/film")])).await;
    let hash = file("s/film").hash;
    let path = format!("/api/v1/contents/{hash}");
    let before: Hit = door.read(&path).await;
    assert_eq!(door.send(put(&getter, &[hash])).await.status, 204);

    let hit: Hit = door.read(&path).await;
    let sources: Vec<_> = hit.sources.iter().map(|source| (source.peer, source.partial)).collect();
    assert_eq!((hit.source_count, sources), (1, vec![(seed.id, false), (getter.id, true)]));
    assert_eq!(hit.sources[1].address.to_string(), "127.0.0.1:18965");
    let found: Page<Hit> = door.read("/api/v1/search?q=film").await;
    let highlights = vec![vec![[2, 6]]];
    assert_eq!(found.hits, [Hit { highlights, ..before.clone() }], "a search is about whole sources");

    assert_eq!(door.send(put(&getter, &[])).await.status, 204);
    assert_eq!(door.read::<Hit>(&path).await, before);
}

#[tokio::test]
async fn only_a_peer_that_is_here_says_what_it_downloads_and_not_too_much() {
    let door = Door::open().await;
    let (anna, ben) = (Peer::announced(&door, 1).await, Peer::announced(&door, 2).await);
    let hashes: Vec<_> = (0..101_u8).map(|number| ContentHash::of(&[number])).collect();
    assert_eq!(door.send(put(&anna, &hashes[..100])).await.status, 204);
    door.send(put(&anna, &hashes)).await.refused(413, "limit");
    let path = format!("/api/v1/peers/{}/partials", ben.id);
    let foreign = Ask::new(Method::PUT, &path).bearer(&anna.token).json(&set(&[]));
    door.send(foreign).await.refused(403, "forbidden");
    door.send(Ask::new(Method::PUT, &path).json(&set(&[]))).await.refused(401, "session");
    let garbled = ben.ask(Method::PUT, "/partials").json(&["x"]);
    door.send(garbled).await.refused(400, "bad_request");
    door.send(ben.ask(Method::DELETE, "")).await;
    door.send(put(&ben, &hashes[..1])).await.refused(404, "unknown_peer");
}
