//! Limits: files of a peer, memory of all, and who is forgotten for it.

use peerage_wire::api::{Doors, SearchParams};
use peerage_wire::{ContentHash, FileEntry, SharePath};

use super::super::state::State;
use super::*;
use crate::Options;

fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1_000)
}

fn id(number: u32) -> PeerId {
    PeerId::from_bytes(*ContentHash::of(&number.to_le_bytes()).as_bytes())
}

fn announce(inner: &Inner, number: u32, digest: ShareDigest, now: Moment) {
    let what = Announcement { name: "a".parse().unwrap(), doors: Doors::native(1), epoch: 1, digest };
    inner.announce(id(number), &what, [127, 0, 0, 1].into(), now).unwrap();
}

fn file(name: &str) -> FileEntry {
    let path = SharePath::parse(name).unwrap();
    FileEntry { path, size: 1, hash: ContentHash::of(name.as_bytes()), modified: 0 }
}

fn add(inner: &Inner, number: u32, seq: u64, names: &[&str]) -> Result<Applied> {
    let changes = names.iter().map(|name| Change::Add(file(name))).collect();
    inner.apply(id(number), BatchOrder { epoch: 1, seq }, changes)
}

fn inner(memory_max_bytes: Option<u64>) -> Inner {
    Inner::new(State::default(), None, &Options { memory_max_bytes, ..Options::default() })
}

#[test]
fn a_batch_beyond_the_limit_changes_nothing_and_may_be_sent_smaller() {
    let mut inner = inner(None);
    inner.peer_files_max = 2;
    announce(&inner, 0, ShareDigest::default(), at(0));
    assert_eq!(add(&inner, 0, 0, &["s/a"]), Ok(Applied { files: 1 }));
    assert_eq!(add(&inner, 0, 1, &["s/b", "s/c"]), Err(Error::TooManyFiles));
    assert_eq!(inner.state.read().files, 1);
    let swap = vec![
        Change::Add(file("s/b")),
        Change::Add(file("s/c")),
        Change::Remove { path: SharePath::parse("s/a").unwrap() },
    ];
    assert_eq!(inner.apply(id(0), BatchOrder { epoch: 1, seq: 1 }, swap), Ok(Applied { files: 2 }));
}

#[test]
fn above_the_ceiling_nothing_is_added_but_removed_and_searched() {
    let mut inner = inner(None);
    announce(&inner, 0, ShareDigest::default(), at(0));
    add(&inner, 0, 0, &["s/a"]).unwrap();
    inner.memory_max_bytes = Some(1);
    assert!(matches!(add(&inner, 0, 1, &["s/b"]), Err(Error::Full { max_bytes: 1, .. })));
    let gone = vec![Change::Remove { path: SharePath::parse("s/a").unwrap() }];
    assert_eq!(inner.apply(id(0), BatchOrder { epoch: 1, seq: 1 }, gone), Ok(Applied { files: 0 }));
}

#[test]
fn those_away_are_forgotten_for_memory_a_lease_after_the_start_and_no_more_than_needed() {
    let mut inner = inner(None);
    let (one, two) = (ShareDigest::default(), ShareDigest::default());
    announce(&inner, 1, one, at(0));
    add(&inner, 1, 0, &["s/a"]).unwrap();
    announce(&inner, 2, two, at(0));
    add(&inner, 2, 0, &["s/b"]).unwrap();
    inner.quit(id(1)).unwrap();
    inner.quit(id(2)).unwrap();
    let used = inner.state.read().memory().total_bytes;
    inner.memory_max_bytes = Some(used);
    let known = |inner: &Inner| inner.state.read().peers.len();
    for secs in [1, 90] {
        assert_eq!(inner.expire(at(secs)), Ok(vec![]));
        assert_eq!(known(&inner), 2, "all may still come back");
    }
    inner.expire(at(91)).unwrap();
    assert_eq!(known(&inner), 1, "one was enough");
    assert!(inner.state.read().peers.key(id(2)).is_some());
}

#[test]
fn a_heartbeat_that_need_not_wait_is_as_any_other() {
    let inner = inner(None);
    let beat = |epoch| Heartbeat { epoch, digest: Some(ShareDigest::default()) };
    assert_eq!(inner.heartbeat_now(id(1), beat(1), at(0)), None, "a stranger");
    announce(&inner, 1, ShareDigest::default(), at(0));
    assert_eq!(inner.heartbeat_now(id(1), beat(1), at(60)), Some(Ok(heartbeat_reply(false))));
    let stale = Error::StaleEpoch { current: 1, found: 0 };
    assert_eq!(inner.heartbeat_now(id(1), beat(0), at(60)), Some(Err(stale)));
    add(&inner, 1, 0, &["s/a"]).unwrap();
    assert_eq!(inner.heartbeat_now(id(1), beat(1), at(61)), Some(Ok(heartbeat_reply(true))));

    let change = inner.state.write();
    assert_eq!(inner.heartbeat_now(id(1), beat(1), at(62)), None, "something is being changed");
    drop(change);
    assert_eq!(inner.expire(at(61 + 89)), Ok(vec![]));
    assert_eq!(inner.expire(at(61 + 90)), Ok(vec![id(1)]));
    assert_eq!(inner.heartbeat_now(id(1), beat(1), at(152)), None, "only a return brings it back");
}

#[test]
fn a_heartbeat_just_before_its_end_keeps_a_lease() {
    let inner = inner(None);
    announce(&inner, 1, ShareDigest::default(), at(0));
    let key = inner.state.read().peers.key(id(1)).unwrap();
    assert_eq!(inner.state.read().peers.leases.ended(at(90)).0, [key]);
    inner.heartbeat(id(1), Heartbeat { epoch: 1, digest: None }, at(90)).unwrap();
    assert!(!inner.end_when_over(key, at(90)), "the heartbeat came after they were asked for");
    assert!(inner.end_when_over(key, at(180)));
}

#[test]
fn while_its_only_source_leaves_a_content_is_in_no_answer() {
    let inner = inner(None);
    for number in [1, 2] {
        announce(&inner, number, ShareDigest::default(), at(0));
    }
    add(&inner, 1, 0, &["s/lone song", "s/shared song"]).unwrap();
    add(&inner, 2, 0, &["s/shared song"]).unwrap();
    let mut state = inner.state.write();
    let key = state.peers.key(id(1)).unwrap();
    state.peers.leases.end(key); // its files are still counted
    let page = state.search(&SearchParams { q: "song".into(), ..SearchParams::default() }).unwrap();
    let names: Vec<_> = page.hits.iter().map(|hit| (hit.names[0].as_str(), hit.sources.len())).collect();
    assert_eq!(names, [("s/shared song", 1)]);
    assert_eq!(state.content(ContentHash::of(b"s/lone song"), 0), None);
}

#[test]
fn who_quits_while_it_is_away_is_not_brought_back_by_a_heartbeat() {
    let inner = inner(None);
    announce(&inner, 1, ShareDigest::default(), at(0));
    let beat = Heartbeat { epoch: 1, digest: Some(ShareDigest::default()) };
    assert_eq!(inner.expire(at(90)), Ok(vec![id(1)]));
    assert_eq!(inner.heartbeat(id(1), beat, at(91)), Ok(heartbeat_reply(false)), "it only was away");
    assert_eq!(inner.expire(at(181)), Ok(vec![id(1)]));
    inner.quit(id(1)).unwrap();
    inner.quit(id(1)).unwrap();
    assert_eq!(inner.heartbeat(id(1), beat, at(182)), Err(Error::UnknownPeer));
    announce(&inner, 1, ShareDigest::default(), at(183));
    assert_eq!(inner.heartbeat(id(1), beat, at(184)), Ok(heartbeat_reply(false)));
}
