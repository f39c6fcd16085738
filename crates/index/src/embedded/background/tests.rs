//! Segments made and merged while names are registered, forgotten and registered again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;

use peerage_wire::api::{Announcement, BatchOrder, Change, Doors, SearchParams};
use peerage_wire::{ContentHash, FileEntry, PeerId, ShareDigest, SharePath};

use super::*;
use crate::{Moment, Options};

const PEER: PeerId = PeerId::from_bytes([1; 32]);

/// An engine without threads, with a peer.
fn engine(memtable_names: usize) -> Inner {
    let options = Options { memtable_names: Some(memtable_names), ..Options::default() };
    let inner = Inner::new(State::default(), None, &options);
    let (name, doors, digest) = ("anna".parse().unwrap(), Doors::native(1), ShareDigest::default());
    let what = Announcement { name, doors, epoch: 1, digest };
    inner.announce(PEER, &what, IpAddr::V4(Ipv4Addr::LOCALHOST), Moment::from_millis(0)).unwrap();
    inner
}

fn apply(inner: &Inner, seq: u64, changes: Vec<Change>) {
    inner.apply(PEER, BatchOrder { epoch: 1, seq }, changes).unwrap();
}

fn path(number: u64) -> SharePath {
    SharePath::parse(&format!("s/song {number}")).unwrap()
}

fn add(number: u64, content: u64) -> Change {
    let hash = ContentHash::of(&content.to_le_bytes());
    Change::Add(FileEntry { path: path(number), size: 1, hash, modified: 0 })
}

fn found(inner: &Inner) -> u64 {
    let params = SearchParams { q: "song".into(), ..SearchParams::default() };
    inner.state.read().search(&params).unwrap().total.value
}

#[test]
fn two_that_flush_flush_each_memtable_once() {
    let inner = engine(1);
    apply(&inner, 0, (0..600).map(|number| add(number, number)).collect());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !inner.state.read().text.frozen.is_empty() {
                    inner.flush();
                }
            });
        }
    });
    inner.state.read().prove(Path::new("memory")).unwrap();
    assert_eq!(inner.state.read().text.segments.len(), 600);
    assert_eq!(found(&inner), 600);
}

#[test]
fn answers_hold_while_segments_are_made() {
    let inner = Arc::new(engine(1));
    start(&inner);
    let mut dice = 7_u64;
    let mut roll = move |end: u64| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (dice >> 33) % end
    };
    let mut held: BTreeMap<u64, u64> = BTreeMap::new();
    for seq in 0..1_000 {
        let mut changes = Vec::new();
        for _ in 0..roll(8) {
            let (number, content) = (roll(30), roll(5));
            if roll(2) == 0 {
                held.remove(&number);
                changes.push(Change::Remove { path: path(number) });
            } else {
                held.insert(number, content);
                changes.push(add(number, content));
            }
        }
        apply(&inner, seq, changes);
        let contents: BTreeSet<u64> = held.values().copied().collect();
        assert_eq!(found(&inner), contents.len() as u64, "after batch {seq}");
    }
    inner.settle();
    inner.workers.stop();
    inner.state.read().prove(Path::new("memory")).unwrap();
}

#[test]
fn a_name_that_comes_back_while_it_is_dropped_counts_once() {
    let inner = engine(9);
    apply(&inner, 0, vec![add(1, 1)]);
    inner.settle();
    apply(&inner, 1, vec![Change::Remove { path: path(1) }]);
    // A merge is about to put a segment without it in the place of the one with it.
    let name = NameKey::from(inner.state.read().text.segments[0].segment.names()[0]);
    let replacing = inner.replacing.lock();
    inner.state.write().text.is_replacing = true;
    inner.state.write().drop_from_text(&[name]);
    inner.state.write().text.limbo.push(name); // from an earlier time
    assert!(!inner.give_back(), "the segment still has it");
    apply(&inner, 2, vec![add(1, 1)]);
    assert_eq!(found(&inner), 1);
    drop(replacing);
    inner.state.write().text.is_replacing = false;
    assert!(inner.give_back() && !inner.give_back());
    assert_eq!(inner.state.read().path(name), Some(path(1)));
}
