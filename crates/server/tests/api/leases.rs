//! The clock: a peer that says nothing leaves within a second of its lease. Time is tokio's and turned by hand.

use std::future::pending;
use std::time::Duration;

use peerage_index::{Index, Moment};
use peerage_server::{Config, run};
use peerage_wire::api::{Announcement, Doors};
use peerage_wire::{PeerId, ShareDigest, limits};
use tokio::net::TcpListener;
use tokio::time::sleep;

#[tokio::test(start_paused = true)]
async fn a_silent_peer_leaves_with_its_lease() {
    let index = Index::embedded();
    let (peer, now) = (PeerId::from_bytes([1; 32]), Moment::from_millis(0));
    let what = Announcement {
        name: "silent".parse().unwrap(),
        doors: Doors::native(1),
        epoch: 1,
        digest: ShareDigest::default(),
    };
    index.announce(peer, &what, [127, 0, 0, 1].into(), now).unwrap();

    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    tokio::spawn(run(listener, index.clone(), Config::default(), pending()));
    sleep(limits::LEASE - Duration::from_secs(1)).await;
    assert!(index.peer(peer).unwrap().is_some());
    sleep(Duration::from_secs(2)).await;
    assert!(index.peer(peer).unwrap().is_none());
}
