//! Searches in two threads beside searches in one: their answers must be the same.

use std::net::{IpAddr, Ipv4Addr};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use peerage_wire::api::{Announcement, BatchOrder, Change, Doors, SearchParams};
use peerage_wire::{ContentHash, FileEntry, PeerId, ShareDigest, SharePath, limits};

use super::super::Inner;
use super::*;
use crate::{Moment, Options};

/// So many that a memtable's worth of them is a step, and a search that reads all names is cut short.
const CONTENTS: u64 = 12_000;
const MEMTABLE_NAMES: usize = 771;
const PEERS: u8 = 8;

/// Contents of one or two names, the more shared the smaller their number's divisors; the last are in no segment yet.
fn filled() -> Inner {
    let options = Options { memtable_names: Some(MEMTABLE_NAMES), ..Options::default() };
    let inner = Inner::new(State::default(), None, &options);
    for peer in 1..=PEERS {
        register(&inner, peer, (1..=CONTENTS).filter(|number| number.is_multiple_of(peer.into())));
    }
    inner
}

/// A peer comes with some contents.
fn register(inner: &Inner, peer: u8, contents: impl Iterator<Item = u64>) {
    let files = contents.map(|number| {
        let folder = if number.is_multiple_of(3) && peer.is_multiple_of(2) { "live common" } else { "live" };
        let path = SharePath::parse(&format!("s/{folder}/old common song {number}.mp3")).unwrap();
        let hash = ContentHash::of(&number.to_le_bytes());
        FileEntry { path, size: number * 1_000, hash, modified: 0 }
    });
    register_files(inner, peer, files);
}

/// A peer comes with some files.
fn register_files(inner: &Inner, peer: u8, files: impl Iterator<Item = FileEntry>) {
    let (id, doors) = (PeerId::from_bytes([peer; 32]), Doors::native(1));
    let name = "anna".parse().unwrap();
    let what = Announcement { name, doors, epoch: 1, digest: ShareDigest::default() };
    inner.announce(id, &what, IpAddr::V4(Ipv4Addr::LOCALHOST), Moment::from_millis(0)).unwrap();
    let files: Vec<Change> = files.map(Change::Add).collect();
    for (seq, batch) in (0..).zip(files.chunks(1_000)) {
        inner.apply(id, BatchOrder { epoch: 1, seq }, batch.to_vec()).unwrap();
    }
    while inner.state.read().text.frozen.len() > 2 {
        inner.flush();
    }
}

#[test]
fn two_threads_find_what_one_finds() {
    let inner = filled();
    let mut state = inner.state.write();
    assert!(
        state.text.segments.len() > 5 && state.text.memtable.len() > 0,
        "there is much to do, and something new"
    );
    for (q, most) in [
        ("common -12", 1_000),
        ("common -12", 10),
        ("common live", 50),
        ("comm -12", 50),
        ("*ommo* -12", 50),
        ("live common song -12", 300),
        ("size:>300k common", 50),
        ("size:3M..5M song type:audio", 50),
        ("\"common live\" OR song", 50),
        ("\"song 1\" OR \"live old\" common", 1_000),
    ] {
        let mut params = SearchParams { q: q.into(), limit: Some(most), ..SearchParams::default() };
        for turn in 0..4 {
            let [alone, beside] = [1, 2].map(|cores| {
                state.cores = Cores::of(cores);
                let page = state.search(&params).unwrap();
                assert_eq!(state.cores.has_helped(), cores > 1, "{q}");
                page
            });
            assert_eq!(alone, beside, "{q}, page {turn}");
            params.cursor = alone.cursor;
            if params.cursor.is_none() {
                break;
            }
        }
    }
}

/// What the first windows have is found in one thread, sooner than another would be awake.
#[test]
fn a_search_that_ends_soon_asks_for_no_help() {
    let inner = filled();
    inner.settle(); // the most shared in a few segments
    register(&inner, PEERS + 1, CONTENTS + 1..=CONTENTS + 8 * MEMTABLE_NAMES as u64);
    let mut state = inner.state.write();
    for (q, most, wants_help) in [
        ("common", 50, false),
        ("comm", 50, false),
        ("*ommo*", 50, false),
        ("common", 200, true), // for the page
        ("common song", 50, true),
        ("common OR old", 50, true),
        ("\"common song\"", 50, true),
        ("common type:audio", 50, true),
        ("common size:>1M", 50, true),
    ] {
        state.cores = Cores::of(2);
        let params = SearchParams { q: q.into(), limit: Some(most), ..SearchParams::default() };
        let page = state.search(&params).unwrap();
        assert_eq!((page.hits.len(), state.cores.has_helped()), (most, wants_help), "{q}, {most}");
    }
}

/// A word that all names have, those of contents of two names among them, is counted until there are enough and no further.
#[test]
fn totals_are_exact_up_to_their_limit() {
    let inner = filled();
    let state = inner.state.read();
    let total =
        |q: &str| state.search(&SearchParams { q: q.into(), ..SearchParams::default() }).unwrap().total;
    assert_eq!(total("song"), Total { value: limits::TOTAL_EXACT_MAX, exact: false });
    assert_eq!(total("\"live common\""), Total { value: CONTENTS / 6, exact: true });
    let least = CONTENTS - limits::TOTAL_EXACT_MAX + 1;
    assert_eq!(total(&format!("song size:>={}", least * 1_000)).value, limits::TOTAL_EXACT_MAX);
    assert!(total(&format!("song size:>={}", least * 1_000)).exact);
    assert!(!total(&format!("song size:>={}", (least - 1) * 1_000)).exact);
}

/// The last word of a search is a beginning, and may be that of several words of one name.
#[test]
fn a_name_that_has_a_beginning_several_times_is_one_hit() {
    let options = Options { memtable_names: Some(MEMTABLE_NAMES), ..Options::default() };
    let inner = Inner::new(State::default(), None, &options);
    let names =
        ["s/blue trance track.mp3", "s/trance/blue track.mp3", "s/track trance/blue.mp3", "s/red track.mp3"];
    let files = names.iter().map(|name| FileEntry {
        path: SharePath::parse(name).unwrap(),
        size: 1,
        hash: ContentHash::of(name.as_bytes()),
        modified: 0,
    });
    register_files(&inner, 1, files);
    inner.settle();
    assert!(inner.state.read().text.segments.len() == 1, "they are gathered");
    for (q, hits) in [("blue tra", 3), ("blue *tra*", 3), ("red tra", 1), ("mp3 t", 4), ("tra blue mp", 3)] {
        let mut params = SearchParams { q: q.into(), limit: Some(1), ..SearchParams::default() };
        let mut found = Vec::new();
        loop {
            let page = inner.state.read().search(&params).unwrap();
            assert_eq!(page.total, Total { value: hits, exact: true }, "{q}");
            found.extend(page.hits.into_iter().flat_map(|hit| hit.names));
            params.cursor = page.cursor;
            if params.cursor.is_none() {
                break;
            }
        }
        assert_eq!(found.len() as u64, hits, "{q}: {found:?}");
        found.sort();
        found.dedup();
        assert_eq!(found.len() as u64, hits, "{q}: {found:?}");
    }
}

#[test]
fn a_core_is_given_back_whatever_happens_on_it() {
    let cores = Cores::of(2);
    let search = cores.enter();
    let helper = cores.try_enter().unwrap();
    assert!(cores.try_enter().is_none(), "both are taken");
    let (mut own, mut theirs) = (None, None);
    helper.work_beside(|| own = Some(thread::current().id()), || theirs = Some(thread::current().id()));
    assert!(own.is_some() && theirs.is_some() && own != theirs);
    let panics = || helper.work_beside(|| {}, || panic!("on purpose"));
    assert!(catch_unwind(AssertUnwindSafe(panics)).is_err());
    drop(helper);
    assert!(cores.try_enter().is_some());
    drop(search);
    assert!(Cores::of(1).try_enter().is_some(), "nobody searches");
}
