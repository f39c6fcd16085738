//! A snapshot that is taken while things change, and what is read of it.

use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use peerage_wire::api::{BatchOrder, Change, Doors, SearchParams};
use peerage_wire::{ContentHash, FileEntry, ShareDigest, SharePath};

use super::*;
use crate::embedded::recovery;
use crate::{Moment, Options};

const HERE: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

fn open(dir: &Path) -> Inner {
    recovery::open(dir, &Options { memtable_names: Some(2), ..Options::default() }, &|_| {}).unwrap()
}

fn id(peer: u8) -> PeerId {
    PeerId::from_bytes([peer; 32])
}

fn file(name: &str, content: &str, size: u64) -> FileEntry {
    let path = SharePath::parse(&format!("s/{name}")).unwrap();
    FileEntry { path, size, hash: ContentHash::of(content.as_bytes()), modified: 0 }
}

fn announce(inner: &Inner, peer: u8) {
    let (name, doors, digest) = ("anna".parse().unwrap(), Doors::native(1), ShareDigest::default());
    let what = Announcement { name, doors, epoch: 1, digest };
    inner.announce(id(peer), &what, HERE, Moment::from_millis(0)).unwrap();
}

fn apply(inner: &Inner, peer: u8, seq: u64, changes: Vec<Change>) {
    inner.apply(id(peer), BatchOrder { epoch: 1, seq }, changes).unwrap();
}

/// A new peer with files of these names.
fn join(inner: &Inner, peer: u8, names: &[&str]) {
    announce(inner, peer);
    apply(inner, peer, 0, names.iter().map(|name| Change::Add(file(name, name, 1))).collect());
}

fn found(inner: &Inner, q: &str) -> u64 {
    let params = SearchParams { q: q.into(), ..SearchParams::default() };
    inner.state.read().search(&params).unwrap().total.value
}

#[test]
fn segments_of_a_snapshot_that_was_not_ended_are_no_later_ones() {
    let dir = tempfile::tempdir().unwrap();
    let inner = open(dir.path());
    join(&inner, 1, &["one", "two"]);
    inner.settle();
    let segments = inner.state.read().text.segments.clone();
    segments.iter().for_each(|held| inner.save_segment(held).unwrap());
    drop(inner);
    let inner = open(dir.path());
    join(&inner, 2, &["three", "four"]);
    inner.settle();
    inner.snapshot().unwrap();
    drop(inner);
    let inner = open(dir.path());
    inner.state.read().prove(dir.path()).unwrap();
    join(&inner, 3, &["one", "two", "three", "four"]);
    assert_eq!(["one", "two", "three", "four"].map(|name| found(&inner, name)), [1; 4]);
}

#[test]
fn a_peer_that_takes_anothers_number_is_not_written_twice() {
    let dir = tempfile::tempdir().unwrap();
    let inner = open(dir.path());
    join(&inner, 1, &["one"]);
    join(&inner, 2, &["two"]);
    let known = inner.state.read().peers.known();
    known.iter().for_each(|(_, key)| inner.forget(*key));
    join(&inner, 1, &["one"]);
    assert_eq!(inner.state.read().peers.key(id(1)), Some(known[1].1), "it has the other's number");
    let mut written = Vec::new();
    inner.save_peers(&known, &mut written).unwrap();
    assert!(written.is_empty(), "the log has it");
    let known = inner.state.read().peers.known();
    inner.save_peers(&known, &mut written).unwrap();
    assert!(!written.is_empty());
}

#[test]
fn a_size_stays_the_first_ones_while_a_snapshot_is_taken() {
    let inner = Inner::new(State::default(), None, &Options::default());
    announce(&inner, 1);
    announce(&inner, 2);
    apply(&inner, 1, 0, vec![Change::Add(file("one", "same", 10))]);
    inner.state.write().keeps_sizes = true; // and the first peer is written
    apply(&inner, 1, 1, vec![Change::Remove { path: file("one", "", 0).path }]);
    apply(&inner, 2, 0, vec![Change::Add(file("two", "same", 20))]);
    let state = inner.state.read();
    let key = state.contents.find(&ContentHash::of(b"same")).unwrap();
    assert_eq!((state.said_first(key), state.contents.get(key).unwrap().size), (10, 20));
    let manifest = &state.peers.get(state.peers.key(id(2)).unwrap()).unwrap().manifest;
    assert_eq!(state.file_of(manifest, 0), Some(file("two", "same", 20)));
}

#[test]
fn a_snapshot_ends_with_the_engine_and_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let inner = open(dir.path());
    join(&inner, 1, &["one", "two", "three"]);
    inner.settle();
    inner.workers.stop();
    assert!(matches!(inner.snapshot(), Err(DiskError::Closed)));
    inner.settle(); // ends too
    let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
    let names: Vec<String> = names.map(|name| name.into_string().unwrap()).collect();
    assert!(names.iter().all(|name| !name.ends_with(".tmp") && !name.ends_with(".snap")), "{names:?}");
    assert!(inner.disk.as_ref().is_some_and(|disk| disk.log.failure().is_none()));
}

#[test]
fn a_store_is_proved_to_have_paths_that_can_be_shared() {
    let dir = tempfile::tempdir().unwrap();
    let inner = open(dir.path());
    join(&inner, 1, &["one"]);
    inner.state.read().prove(dir.path()).unwrap();
    let climbs = FileEntry { path: SharePath::kept("s/../two"), ..file("two", "two", 1) };
    apply(&inner, 1, 1, vec![Change::Add(climbs)]);
    let error = inner.state.read().prove(dir.path()).unwrap_err();
    assert!(error.to_string().contains("a file's path is none that can be shared"), "{error}");
}
