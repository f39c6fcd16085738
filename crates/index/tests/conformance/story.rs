//! The story, a chapter a function: a peer joins, is found, is joined by others, leaves, and comes back.

use std::collections::HashSet;

use peerage_index::{Error, Index};
use peerage_wire::api::{BatchOrder, Change, Heartbeat, Hit, ListParams, Matched, SearchParams, Sort, Stats};
use peerage_wire::{Kind, SharePath, limits};

use super::fixture::*;

pub(crate) fn a_peer_joins_and_its_files_are_found(index: &Index) {
    assert_eq!(counts(index), Stats::default());
    let mut anna = Peer::new(1, "anna");
    let announced = anna.announce(index, at(0)).unwrap();
    assert_eq!(announced.address.to_string(), "192.168.1.7:18965");
    assert_eq!((announced.lease_secs, announced.heartbeat_secs, announced.resync), (90, 30, false));
    let song = file("music/Beatles/Yellow Submarine.flac", "song", 7);
    assert_eq!(anna.register(index, std::slice::from_ref(&song)).unwrap().files, 1);

    let page = search(index, "beatles yell");
    assert_eq!((page.total.value, page.total.exact, page.matched), (1, true, Some(Matched::Exact)));
    let hit = &page.hits[0];
    assert_eq!((hit.hash, hit.size, hit.kind), (song.hash, 7, Kind::Audio));
    assert_eq!((hit.names.as_slice(), hit.source_count), ([song.path.clone()].as_slice(), 1));
    assert_eq!((hit.sources[0].peer, hit.sources[0].name.as_str()), (anna.id, "anna"));
    assert_eq!(hit.highlights, [[[6, 13], [14, 18]]]);
    let by_hash = index.content(song.hash).unwrap();
    assert_eq!(by_hash, Some(Hit { highlights: Vec::new(), ..hit.clone() }));
    assert_eq!(index.content(hash("other")), Ok(None));
    let row = index.peer(anna.id).unwrap().unwrap();
    assert_eq!((row.files, row.bytes, row.address), (1, 7, announced.address));
    assert_eq!(counts(index), Stats { peers: 1, files: 1, contents: 1, bytes: 7, ..Stats::default() });
    assert!(!anna.beat(index, at(30)).unwrap().resync);
}

pub(crate) fn the_same_content_is_one_hit_with_every_source(index: &Index) {
    let anna =
        Peer::joined(index, 1, "anna", &[file("a/song one.mp3", "song", 7), file("a/copy.mp3", "song", 7)]);
    let ben = Peer::joined(
        index,
        2,
        "ben",
        &[file("b/song one.mp3", "song", 7), file("a/song one.mp3", "song", 7)],
    );
    let page = search(index, "song");
    assert_eq!((page.total.value, page.hits[0].source_count), (1, 2));
    let sources: Vec<_> = page.hits[0].sources.iter().map(|source| source.peer).collect();
    assert_eq!(sources, [anna.id, ben.id]);
    // The name that more peers use is first.
    assert_eq!(page.hits[0].names, [path("a/song one.mp3"), path("b/song one.mp3")]);
    assert_eq!(counts(index), Stats { peers: 2, files: 4, contents: 1, bytes: 28, ..Stats::default() });
}

pub(crate) fn a_peer_quits_and_is_gone_at_once(index: &Index) {
    let anna =
        Peer::joined(index, 1, "anna", &[file("s/only.mp3", "only", 1), file("s/both.mp3", "both", 1)]);
    let _ben = Peer::joined(index, 2, "ben", &[file("t/both.mp3", "both", 1)]);
    index.quit(anna.id).unwrap();
    index.quit(anna.id).unwrap();
    assert_eq!(found(index, &query("mp3")), ["t/both.mp3"]);
    assert_eq!(listed(index, &ListParams::default()), ["t/both.mp3"]);
    assert_eq!((index.peer(anna.id), index.content(hash("only"))), (Ok(None), Ok(None)));
    assert_eq!(index.stats().unwrap().files, 1);
    assert_eq!(anna.beat(index, at(1)), Err(Error::UnknownPeer));
    assert_eq!(anna.send(index, 1, &[]), Err(Error::UnknownPeer));
}

pub(crate) fn a_lease_runs_out_and_heartbeats_keep_it(index: &Index) {
    let anna = Peer::joined(index, 1, "anna", &[file("s/a", "a", 1)]);
    let ben = Peer::joined(index, 2, "ben", &[file("s/b", "b", 1)]);
    ben.beat(index, at(30)).unwrap();
    assert_eq!(index.expire(at(89)), Ok(vec![]));
    assert_eq!(index.expire(at(90)), Ok(vec![anna.id]));
    assert_eq!(index.expire(at(90)), Ok(vec![]));
    assert_eq!(listed(index, &ListParams::default()), ["s/b"]);
    assert_eq!(index.expire(at(1_000)), Ok(vec![ben.id]));
    assert_eq!(counts(index), Stats::default());
}

pub(crate) fn a_lease_that_ran_out_is_taken_up_by_a_heartbeat(index: &Index) {
    let anna = Peer::joined(index, 1, "anna", &[file("s/a", "a", 1)]);
    assert_eq!(index.expire(at(90)), Ok(vec![anna.id]));
    let unsure = Heartbeat { epoch: anna.epoch, digest: None };
    assert_eq!(index.heartbeat(anna.id, unsure, at(91)), Err(Error::UnknownPeer));
    let other = Heartbeat { epoch: anna.epoch, digest: Some(digest_of([&file("s/b", "b", 1)])) };
    assert_eq!(index.heartbeat(anna.id, other, at(91)), Err(Error::UnknownPeer));
    assert!(!anna.beat(index, at(91)).unwrap().resync);
    assert_eq!((search(index, "a").total.value, counts(index).files), (1, 1));
    assert_eq!(index.expire(at(180)), Ok(vec![]));
    // After a goodbye a late heartbeat brings nobody back.
    index.quit(anna.id).unwrap();
    assert_eq!(anna.beat(index, at(181)), Err(Error::UnknownPeer));
    assert_eq!(counts(index), Stats::default());
}

pub(crate) fn a_peer_returns_with_the_same_digest_and_sends_nothing(index: &Index) {
    let files = [file("s/a.txt", "a", 1), file("s/b.txt", "b", 2)];
    let mut anna = Peer::joined(index, 1, "anna", &files);
    for leave in
        [|index: &Index, id| index.quit(id).unwrap(), |index: &Index, _| drop(index.expire(at(9_000)))]
    {
        leave(index, anna.id);
        assert_eq!(search(index, "txt").total.value, 0);
        anna.restart();
        assert!(!anna.announce(index, at(0)).unwrap().resync);
        assert_eq!(listed(index, &ListParams::default()), ["s/a.txt", "s/b.txt"]);
        assert_eq!(search(index, "txt").total.value, 2);
    }
    let more = anna.register(index, &[file("s/c.txt", "c", 3)]).unwrap();
    assert_eq!((more.files, anna.beat(index, at(1)).unwrap().resync), (3, false));
}

pub(crate) fn a_peer_returns_changed_and_sends_all(index: &Index) {
    let mut anna = Peer::joined(index, 1, "anna", &[file("s/old", "old", 1)]);
    anna.files = vec![file("s/new", "new", 1)];
    assert!(anna.beat(index, at(1)).unwrap().resync);
    assert_eq!(listed(index, &ListParams::default()), ["s/old"]); // a heartbeat changes nothing
    anna.restart();
    assert!(anna.announce(index, at(2)).unwrap().resync);
    assert!(listed(index, &ListParams::default()).is_empty());
    let files = std::mem::take(&mut anna.files);
    anna.register(index, &files).unwrap();
    assert_eq!(listed(index, &ListParams::default()), ["s/new"]);
    assert!(!anna.beat(index, at(3)).unwrap().resync);
    // One that shares nothing any more has nothing to send.
    anna.restart();
    anna.files.clear();
    assert!(!anna.announce(index, at(4)).unwrap().resync);
    assert_eq!(counts(index), Stats { peers: 1, ..Stats::default() });
}

pub(crate) fn batches_are_applied_once_and_in_order(index: &Index) {
    let mut anna = Peer::joined(index, 1, "anna", &[file("s/a", "a", 1)]);
    let remove = |name: &str| vec![Change::Remove { path: path(name) }];
    let order = |epoch, seq| BatchOrder { epoch, seq };
    assert_eq!(index.apply(anna.id, order(1, 0), remove("s/a")).unwrap().files, 1); // sent again: not applied
    for (epoch, seq) in [(1, 2), (0, 1), (2, 0)] {
        let refused =
            Error::OutOfOrder { expected_epoch: 1, expected_seq: 1, found_epoch: epoch, found_seq: seq };
        assert_eq!(index.apply(anna.id, order(epoch, seq), remove("s/a")), Err(refused));
    }
    assert_eq!(listed(index, &ListParams::default()), ["s/a"]);
    anna.register(index, &[file("s/a", "changed", 5), file("s/b", "b", 1)]).unwrap();
    assert_eq!(
        (index.content(hash("a")), index.content(hash("changed")).unwrap().unwrap().size),
        (Ok(None), 5)
    );
    assert_eq!(index.apply(anna.id, order(1, 2), remove("s/a")).unwrap().files, 1);
    assert_eq!(index.apply(anna.id, order(1, 3), remove("s/none")).unwrap().files, 1);
    assert_eq!(listed(index, &ListParams::default()), ["s/b"]);
}

pub(crate) fn a_repeated_announcement_destroys_nothing(index: &Index) {
    let mut anna = Peer::new(1, "anna");
    anna.files = vec![file("s/a", "a", 1), file("s/b", "b", 1)];
    assert!(anna.announce(index, at(0)).unwrap().resync);
    assert!(anna.announce(index, at(1)).unwrap().resync);
    let [a, b] = [anna.files[0].clone(), anna.files[1].clone()];
    anna.send(index, 0, std::slice::from_ref(&a)).unwrap();
    assert!(anna.announce(index, at(2)).unwrap().resync); // a late copy: the batch stays
    assert_eq!(listed(index, &ListParams::default()), ["s/a"]);
    assert_eq!(anna.send(index, 1, std::slice::from_ref(&b)).unwrap().files, 2);
    assert!(!anna.announce(index, at(3)).unwrap().resync); // all there by now
    assert_eq!(index.expire(at(92)), Ok(vec![])); // and each was a sign of life
    assert_eq!(index.expire(at(93)), Ok(vec![anna.id]));
}

pub(crate) fn an_old_process_of_a_peer_is_refused(index: &Index) {
    let mut anna = Peer::joined(index, 1, "anna", &[file("s/a", "a", 1)]);
    let old = Peer { files: vec![], ..Peer::new(1, "anna") };
    anna.restart();
    anna.announce(index, at(1)).unwrap();
    let stale = Error::StaleEpoch { current: 2, found: 1 };
    assert_eq!(old.announce(index, at(2)), Err(stale.clone()));
    assert_eq!(old.beat(index, at(2)), Err(stale));
    assert!(matches!(old.send(index, 1, &[]), Err(Error::OutOfOrder { expected_epoch: 2, .. })));
    assert_eq!(index.expire(at(91)), Ok(vec![anna.id])); // nothing of it kept the lease
    anna.restart();
    assert_eq!(anna.beat(index, at(92)), Err(Error::UnknownPeer));
}

pub(crate) fn a_size_is_what_most_peers_say(index: &Index) {
    let lies: Vec<_> = (0..5).map(|number| file(&format!("s/song {number}.mp3"), "song", 1)).collect();
    let _liar = Peer::joined(index, 1, "liar", &lies);
    let _anna = Peer::joined(index, 2, "anna", &[file("s/song.mp3", "song", 70)]);
    let ben = Peer::joined(index, 3, "ben", &[file("s/song.mp3", "song", 70)]);
    assert_eq!(search(index, "song").hits[0].size, 70);
    let large = SearchParams { min_size: Some(70), ..query("song") };
    assert_eq!(index.search(&large).unwrap().total.value, 1);
    index.quit(ben.id).unwrap();
    assert_eq!(search(index, "song").hits[0].size, 1); // one against one: the smaller
}

pub(crate) fn hits_are_ranked_filtered_and_sorted(index: &Index) {
    let stamped =
        |path, content, size, modified| peerage_wire::FileEntry { modified, ..file(path, content, size) };
    let files = [
        stamped("s/yellow.mp3", "one", 10, 5),
        stamped("s/Yellow.txt", "two", 30, 9),
        stamped("yellow/x.mp3", "three", 20, 7),
    ];
    let _anna = Peer::joined(index, 0xa1, "anna", &files);
    let ben = Peer::joined(index, 0xb2, "ben", &files[1..]);
    let with = |params: SearchParams| found(index, &SearchParams { q: "yellow".into(), ..params });
    let none = SearchParams::default;
    assert_eq!(with(none()), ["s/Yellow.txt", "s/yellow.mp3", "yellow/x.mp3"]);
    let sorted = |sort| with(SearchParams { sort: Some(sort), ..none() });
    assert_eq!(sorted(Sort::Size), ["s/Yellow.txt", "yellow/x.mp3", "s/yellow.mp3"]);
    assert_eq!(sorted(Sort::Newest), ["s/Yellow.txt", "yellow/x.mp3", "s/yellow.mp3"]);
    assert_eq!(sorted(Sort::Name), ["yellow/x.mp3", "s/yellow.mp3", "s/Yellow.txt"]);
    assert_eq!(with(SearchParams { kind: Some(Kind::Audio), ..none() }), ["s/yellow.mp3", "yellow/x.mp3"]);
    assert_eq!(with(SearchParams { min_size: Some(20), max_size: Some(20), ..none() }), ["yellow/x.mp3"]);
    for peer in ["ben", "Ben", &ben.id.to_string(), "b2b2", "B2B2b"] {
        let his = with(SearchParams { peer: Some(peer.into()), ..none() });
        assert_eq!(his, ["s/Yellow.txt", "yellow/x.mp3"], "{peer}");
    }
    for peer in ["b2b", "be", "Bem", ""] {
        assert!(with(SearchParams { peer: Some(peer.into()), ..none() }).is_empty(), "{peer:?}");
    }
}

pub(crate) fn a_query_says_itself_what_else_is_asked(index: &Index) {
    let files =
        [file("s/yellow.mp3", "one", 10), file("s/Yellow.txt", "two", 30), file("s/red.mp3", "three", 20)];
    let _anna = Peer::joined(index, 0xa1, "anna b", &files);
    let _ben = Peer::joined(index, 0xb2, "ben", &files[1..]);
    let with = |q: &str| found(index, &query(q));
    assert_eq!(with("yell type:audio"), ["s/yellow.mp3"]);
    assert_eq!(with("yell -type:audio"), ["s/Yellow.txt"]);
    assert_eq!(with("size:10..20 mp3 -size"), with("mp3"));
    assert_eq!(with("yellow size:>10"), ["s/Yellow.txt"]);
    assert_eq!(with("yellow peer:\"anna b\" -peer:b2b2"), ["s/yellow.mp3"]);
    assert_eq!(with("peer:nobody peer:ben type:audio"), ["s/red.mp3"]);
    assert_eq!(with(&format!("hash:{} hash:{}", hash("two"), hash("none"))), ["s/Yellow.txt"]);
    assert_eq!(with("size:>=30"), ["s/Yellow.txt"]);
    // What the parameters ask is asked as well.
    let params = SearchParams { kind: Some(Kind::Audio), peer: Some("ben".into()), ..query("yellow") };
    assert!(found(index, &params).is_empty());
    assert!(search(index, "peer:ben").hits.iter().all(|hit| hit.highlights.is_empty()));
    assert!(with("yellow peer:nobody").is_empty());
}

pub(crate) fn a_type_is_asked_of_each_name(index: &Index) {
    let files =
        [file("s/song a.mp3", "one", 1), file("s/song b.txt", "one", 1), file("s/song c.txt", "two", 1)];
    let _anna = Peer::joined(index, 1, "anna", &files);
    let page = search(index, "song type:document");
    let names: Vec<_> = page.hits.iter().map(|hit| (hit.names.clone(), hit.kind)).collect();
    let only = |name: &str| (vec![path(name)], Kind::Document);
    assert!(names.contains(&only("s/song b.txt")) && names.contains(&only("s/song c.txt")));
    assert_eq!(search(index, "song type:audio").total.value, 1);
}

pub(crate) fn many_names_of_several_types_are_all_counted(index: &Index) {
    let name = |number: u32| format!("s/песня {number}.{}", ["mp3", "mkv"][number as usize % 2]);
    let files: Vec<_> = (0..3_000).map(|number| file(&name(number), &number.to_string(), 1)).collect();
    let _anna = Peer::joined(index, 1, "anna", &files);
    for asked in ["песня type:audio type:video", "песня size:<9", "песня"] {
        let total = search(index, asked).total;
        assert_eq!((total.value, total.exact), (3_000, true), "{asked}");
    }
}

pub(crate) fn the_orders_look_at_every_name_that_matches(index: &Index) {
    let stamped = |path, content, modified| peerage_wire::FileEntry { modified, ..file(path, content, 1) };
    let anna =
        Peer::joined(index, 1, "anna", &[stamped("s/x song b", "one", 5), stamped("s/x song c", "two", 7)]);
    let _ben =
        Peer::joined(index, 2, "ben", &[stamped("s/x song b", "one", 9), stamped("s/x song d", "one", 1)]);
    let _cleo =
        Peer::joined(index, 3, "cleo", &[stamped("s/x song d", "one", 1), stamped("s/A other", "two", 99)]);
    let sorted = |sort| found(index, &SearchParams { sort: Some(sort), ..query("song") });
    // The first name is the one of most peers, but by name it is the one that comes first.
    assert_eq!(sorted(Sort::Name), ["s/x song b", "s/x song c"]);
    assert_eq!(sorted(Sort::Newest), ["s/x song b", "s/x song c"]);
    index.quit(anna.id).unwrap();
    assert_eq!(found(index, &query("x")), ["s/x song d"]);
    assert_eq!(found(index, &SearchParams { sort: Some(Sort::Name), ..query("x") }), ["s/x song b"]);
}

pub(crate) fn the_first_name_is_the_first_owners(index: &Index) {
    let many = 20;
    let others: Vec<_> = (1..=many)
        .map(|number| Peer::joined(index, number, "other", &[file("s/beach.jpg", "photo", 1)]))
        .collect();
    let _same = Peer::joined(index, many + 1, "same", &[file("s/sea", "other", 1)]);
    let names =
        [file("nas/Beach 7.jpg", "photo", 1), file("nas/beach 8.jpg", "photo", 1), file("nas/x", "x", 1)];
    let nas = Peer::joined(index, many + 2, "NÁS", &names);
    let first = |params: &SearchParams| {
        let hit = index.search(params).unwrap().hits.remove(0);
        (hit.names[0].to_string(), hit.sources[0].name.to_string(), hit.sources.len())
    };
    let told = |name: &str, owner: &str| (name.to_owned(), owner.to_owned(), limits::SEARCH_SOURCES_MAX);
    assert_eq!(first(&query("beach")), told("s/beach.jpg", "other"));
    assert_eq!(first(&query("beach peer:nas")), told("nas/Beach 7.jpg", "NÁS"));
    let hers = SearchParams { peer: Some("nas".into()), sort: Some(Sort::Name), ..query("beach") };
    assert_eq!(first(&hers), told("nas/Beach 7.jpg", "NÁS"));
    // Where words say which name is meant, somebody who has it stands first.
    assert_eq!(first(&query("8.jpg")), told("nas/beach 8.jpg", "other"), "too many others were looked at");
    others.iter().take(10).for_each(|other| index.quit(other.id).unwrap());
    assert_eq!(first(&query("8.jpg")), told("nas/beach 8.jpg", "NÁS"));
    index.quit(nas.id).unwrap();
    assert_eq!(first(&query("beach")), told("s/beach.jpg", "other"));
    // Of five who are asked for, four are shown, and their names: the first by id, whoever came last.
    let _last = Peer::joined(index, 0xf5, "five", &[file("five/a beach.jpg", "photo", 1)]);
    for number in (0xf1..=0xf4).rev() {
        Peer::joined(index, number, "five", &[file(&format!("five/beach {number}.jpg"), "photo", 1)]);
    }
    let theirs = SearchParams { sort: Some(Sort::Name), ..query("beach peer:five") };
    assert_eq!(first(&theirs), told("five/beach 241.jpg", "five"));
}

pub(crate) fn words_are_read_more_loosely_only_where_nothing_matches(index: &Index) {
    let _anna =
        Peer::joined(index, 1, "anna", &[file("s/Submarine.mp3", "s", 1), file("s/marine.mp3", "m", 1)]);
    let read = |text: &str| {
        let page = search(index, text);
        (page.matched, page.total.value)
    };
    assert_eq!(read("marine"), (Some(Matched::Exact), 1));
    assert_eq!(read("arine"), (Some(Matched::Substring), 2));
    assert_eq!(read("submarien"), (Some(Matched::Typo), 1));
    assert_eq!(read("\"arine\""), (Some(Matched::Exact), 0));
    assert_eq!(read("nothing such"), (Some(Matched::Exact), 0));
}

pub(crate) fn pages_stay_good_while_things_change(index: &Index) {
    let name = |number: u64| format!("s/song {number}.mp3");
    let files: Vec<_> = (0..9).map(|number| file(&name(number), &name(number), 100 - number)).collect();
    let anna = Peer::joined(index, 1, "anna", &files);
    let by_size = |cursor| SearchParams { sort: Some(Sort::Size), limit: Some(4), cursor, ..query("song") };
    let first = index.search(&by_size(None)).unwrap();
    // One before and one after the border go, one comes before it: the rest is neither skipped nor repeated.
    let gone = [1, 5].map(|number| Change::Remove { path: path(&name(number)) });
    index.apply(anna.id, BatchOrder { epoch: 1, seq: 1 }, gone.to_vec()).unwrap();
    anna.send(index, 2, &[file("s/song new.mp3", "new", 500)]).unwrap();
    let second = index.search(&by_size(first.cursor)).unwrap();
    let sizes: Vec<_> = second.hits.iter().map(|hit| hit.size).collect();
    assert_eq!((sizes, second.total.value, second.cursor.is_some()), (vec![96, 94, 93, 92], 8, false));
    // Later pages read the words as the first did.
    let part = |cursor| SearchParams { limit: Some(1), cursor, ..query("ong") };
    let first = index.search(&part(None)).unwrap();
    anna.send(index, 3, &[file("s/ong.mp3", "ong", 1)]).unwrap();
    let second = index.search(&part(first.cursor)).unwrap();
    assert_eq!((second.matched, second.total.value), (Some(Matched::Substring), 9));
}

pub(crate) fn later_pages_come_to_all_that_match(index: &Index) {
    const CONTENTS: usize = 1_200;
    // Each name has to be read, letters beyond ASCII take longest, and each content has several.
    let names = (0..CONTENTS).flat_map(|content| (0..3).map(move |name| (content, name)));
    let named = |(content, name): (usize, usize)| {
        file(&format!("s/thé énd {name} of {content}.mp3"), &content.to_string(), 1)
    };
    let _anna = Peer::joined(index, 1, "anna", &names.map(named).collect::<Vec<_>>());
    for limit in [300, 1_000] {
        let (mut seen, mut cursor) = (std::collections::BTreeSet::new(), None);
        loop {
            let params = SearchParams { limit: Some(limit), cursor, ..query("\"the end\"") };
            let page = index.search(&params).unwrap();
            assert!(page.hits.iter().all(|hit| seen.insert(hit.hash)), "{limit} a page");
            cursor = page.cursor;
            if cursor.is_none() {
                break;
            }
        }
        assert_eq!(seen.len(), CONTENTS, "{limit} a page");
    }
}

pub(crate) fn lists_show_what_was_asked_for(index: &Index) {
    let anna =
        Peer::joined(index, 1, "same", &[file("s/a/1", "1", 1), file("s/a b", "2", 1), file("s/a", "3", 1)]);
    let _ben = Peer::joined(index, 2, "same", &[file("s/a/2", "1", 1), file("t", "4", 1)]);
    assert_eq!(listed(index, &ListParams::default()), ["s/a", "s/a b", "s/a/1", "s/a/2", "t"]);
    let under = ListParams { under: Some(path("s/a")), peer: Some("same".into()), ..ListParams::default() };
    assert_eq!(listed(index, &under), ["s/a", "s/a/1", "s/a/2"]);
    let hers = ListParams { peer: Some(anna.id.short()), limit: Some(1), ..ListParams::default() };
    let page = index.files(&hers).unwrap();
    assert_eq!((page.total.value, page.hits.len(), page.matched), (3, 1, None));
    let rest = ListParams { cursor: page.cursor, limit: None, ..hers };
    assert_eq!(listed(index, &rest), ["s/a b", "s/a/1"]);
    let peers = index.peers(&ListParams { limit: Some(1), ..ListParams::default() }).unwrap();
    assert_eq!((peers.total.value, peers.hits[0].peer), (2, anna.id));
    let next = index.peers(&ListParams { cursor: peers.cursor, ..ListParams::default() }).unwrap();
    assert_eq!((next.hits.len(), next.hits[0].files, next.cursor), (1, 2, None));
}

pub(crate) fn names_in_every_script_are_found(index: &Index) {
    let names = [
        "Café del Mar – Été.mp3",
        "Ærø Straße.txt",
        "東京都の地図.pdf",
        "한국어 노래.flac",
        "🎵🎶.mp3",
        "🏳️‍🌈",
        "-rf",
        "--- live ---",
        "\"Heroes\" (12\" mix).mp3",
        "!!!",
        "a OR b",
        "*star*.c",
        "हिन्दी.txt",
        "Ωμέγας",
    ];
    let files: Vec<_> = names.iter().map(|name| file(&format!("s/{name}"), name, 1)).collect();
    let _anna = Peer::joined(index, 1, "anna", &files);
    for name in names {
        let hits = search(index, &peerage_index::query::quoted(name)).hits;
        assert!(hits.iter().any(|hit| hit.hash == hash(name)), "{name}");
    }
    for (text, name) in
        [("cafe ete", names[0]), ("AERO strasse", names[1]), ("京都", names[2]), ("국어", names[3])]
    {
        assert_eq!(search(index, text).hits[0].hash, hash(name), "{text}");
    }
}

pub(crate) fn a_content_with_too_many_names_is_still_listed_whole(index: &Index) {
    let count = limits::CONTENT_NAMES_MAX + 6;
    let files: Vec<_> = (0..count).map(|number| file(&format!("s/empty {number}"), "", 0)).collect();
    let anna = Peer::joined(index, 1, "anna", &files);
    assert_eq!(index.files(&ListParams::default()).unwrap().total.value, count as u64);
    let hit = index.content(hash("")).unwrap().unwrap();
    assert_eq!((hit.names.len(), hit.source_count), (limits::HIT_NAMES_MAX, 1));
    assert_eq!(search(index, "empty").total.value, 1);
    let searched = |number: usize| search(index, &format!("\"empty {number}\"")).total.value;
    assert_eq!((0..count).map(searched).sum::<u64>(), limits::CONTENT_NAMES_MAX as u64);
    // Once others are gone, the rest are searched as well.
    let gone = (0..6).map(|number| Change::Remove { path: path(&format!("s/empty {number}")) }).collect();
    index.apply(anna.id, BatchOrder { epoch: 1, seq: 1 }, gone).unwrap();
    assert_eq!((6..count).map(searched).sum::<u64>(), limits::CONTENT_NAMES_MAX as u64);
}

pub(crate) fn what_can_not_be_read_is_refused(index: &Index) {
    let _anna = Peer::joined(index, 1, "anna", &[file("s/a1", "1", 1), file("s/a2", "2", 1)]);
    for text in ["", "-a", "a OR", &"x".repeat(257)] {
        assert!(matches!(index.search(&query(text)), Err(Error::BadQuery(_))), "{text:?}");
    }
    let files = ListParams { limit: Some(1), ..ListParams::default() };
    let of_files = index.files(&files).unwrap().cursor;
    assert!(of_files.is_some());
    for cursor in [of_files, Some("garbage".into()), Some(String::new())] {
        let params = SearchParams { cursor: cursor.clone(), ..query("a") };
        assert_eq!(index.search(&params), Err(Error::BadCursor), "{cursor:?}");
        assert_eq!(index.peers(&ListParams { cursor, ..files.clone() }), Err(Error::BadCursor));
    }
    let of_search = index.search(&SearchParams { limit: Some(1), ..query("a") }).unwrap().cursor;
    let other_sort = SearchParams { sort: Some(Sort::Size), cursor: of_search.clone(), ..query("a") };
    assert_eq!(index.search(&other_sort), Err(Error::BadCursor));
    let other_words = SearchParams { cursor: of_search.clone(), ..query("s") };
    assert_eq!(index.search(&other_words), Err(Error::BadCursor));
    let longer_page = SearchParams { limit: Some(7), cursor: of_search.clone(), ..query("a") };
    assert_eq!(index.search(&longer_page).map(|page| page.hits.len()), Ok(1));
    assert_eq!(index.files(&ListParams { cursor: of_search, ..files }), Err(Error::BadCursor));
    for rows in [0, limits::PAGE_ROWS_MAX + 1, usize::MAX] {
        let (limit, list) = (Some(rows), ListParams { limit: Some(rows), ..ListParams::default() });
        assert_eq!(index.search(&SearchParams { limit, ..query("a") }), Err(Error::BadLimit(rows)));
        assert_eq!(index.files(&list), Err(Error::BadLimit(rows)));
        assert_eq!(index.peers(&list), Err(Error::BadLimit(rows)));
    }
}

/// Contents of [`old_photos`].
const OLD_PHOTOS: usize = 700;

/// Contents of very many names, registered by the first peer: reading them all is more than a search does for its first page.
fn old_photos(index: &Index) -> (Peer, SearchParams) {
    let names = |content: usize| {
        let name = move |number: usize| format!("s/old photos/{content}/{number}.txt");
        (0..50).map(move |number| file(&name(number), &content.to_string(), 1))
    };
    let files: Vec<_> = (0..OLD_PHOTOS).flat_map(names).collect();
    let mut anna = Peer::new(1, "anna");
    anna.announce(index, at(0)).unwrap();
    for batch in files.chunks(limits::BATCH_CHANGES_MAX) {
        anna.register(index, batch).unwrap();
    }
    index.settle().unwrap();
    let photos = query("\"old photos\"");
    assert!(!index.search(&photos).unwrap().total.exact, "it is cut short");
    (anna, photos)
}

pub(crate) fn a_new_file_is_found_where_a_search_is_cut_short(index: &Index) {
    let (mut anna, photos) = old_photos(index);
    for sort in [Sort::Newest, Sort::Name] {
        let total = index.search(&SearchParams { sort: Some(sort), ..photos.clone() }).unwrap().total;
        assert_eq!((total.value, total.exact), (OLD_PHOTOS as u64, true), "an order reads more");
    }
    anna.register(index, &[file("s/new/old photos.txt", "new", 1)]).unwrap();
    assert!(!index.search(&photos).unwrap().total.exact, "it still is");
    assert_eq!(found(index, &photos)[0], "s/new/old photos.txt");
}

/// What a first page left out that was cut short is on the next, before what stands behind it; nothing comes twice.
pub(crate) fn pages_after_one_that_is_cut_short_have_all_the_rest(index: &Index) {
    /// More than a page.
    const MORE: usize = 60;
    let (mut anna, mut photos) = old_photos(index);
    let more: Vec<_> = (0..MORE)
        .map(|number| file(&format!("s/more/old photos {number}.txt"), &format!("+{number}"), 1))
        .collect();
    anna.register(index, &more).unwrap();
    index.settle().unwrap();
    let mut shown = Vec::new();
    loop {
        let page = index.search(&photos).unwrap();
        let is_first = shown.is_empty();
        assert_eq!(page.total.exact, !is_first);
        assert!(is_first || page.total.value == (OLD_PHOTOS + MORE) as u64);
        shown.extend(page.hits.into_iter().map(|hit| hit.names[0].clone()));
        photos.cursor = page.cursor;
        if photos.cursor.is_none() {
            break;
        }
    }
    let is_of_more = |name: &SharePath| name.as_str().starts_with("s/more/");
    let first = limits::HITS_DEFAULT;
    let best = shown.iter().filter(|name| is_of_more(name)).count();
    assert_eq!((shown.len(), best), (OLD_PHOTOS + MORE, MORE));
    let on_first = shown[..first].iter().filter(|name| is_of_more(name)).count();
    assert!(on_first < first, "the first page does not know the best");
    assert!(
        shown[first..first + MORE - on_first].iter().all(is_of_more),
        "the best come as soon as they are known"
    );
    assert_eq!(shown.iter().collect::<HashSet<_>>().len(), shown.len());
}

/// So many names as a later page reads are all read where each content has several, so that no page is cut short.
pub(crate) fn contents_of_several_names_have_each_read_once(index: &Index) {
    const CONTENTS: usize = 3_000;
    let of_content = |number: usize| {
        ["a", "b"].map(|own| file(&format!("s/東京都/{number}{own}.txt"), &format!("{number}"), 1))
    };
    Peer::joined(index, 1, "anna", &(0..CONTENTS).flat_map(of_content).collect::<Vec<_>>());
    let mut params = SearchParams { q: "東京都".into(), limit: Some(1_000), ..SearchParams::default() };
    let mut shown = HashSet::new();
    loop {
        let page = index.search(&params).unwrap();
        assert_eq!((page.total.value, page.total.exact), (CONTENTS as u64, true));
        shown.extend(page.hits.into_iter().map(|hit| hit.hash));
        params.cursor = page.cursor;
        if params.cursor.is_none() {
            break;
        }
    }
    assert_eq!(shown.len(), CONTENTS);
}
