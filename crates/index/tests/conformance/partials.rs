//! The story of downloads that are sources: told of after the whole sources, and never longer than their peer is here.

use peerage_index::{Error, Index};
use peerage_wire::api::PartialSet;
use peerage_wire::{ContentHash, PeerId};

use super::fixture::*;

fn put(index: &Index, peer: &Peer, contents: &[&str]) -> peerage_index::Result<()> {
    index.put_partials(peer.id, PartialSet { hashes: contents.iter().map(|content| hash(content)).collect() })
}

/// The sources of a content, whole ones and partial ones.
fn sources(index: &Index, content: &str) -> (Vec<PeerId>, Vec<PeerId>) {
    let Some(hit) = index.content(hash(content)).unwrap() else { return <_>::default() };
    assert_eq!(hit.source_count, hit.sources.iter().filter(|source| !source.partial).count() as u64);
    assert!(hit.sources.is_sorted_by_key(|source| source.partial), "whole sources come first");
    let (partial, whole): (Vec<_>, Vec<_>) = hit.sources.iter().partition(|source| source.partial);
    (whole.iter().map(|source| source.peer).collect(), partial.iter().map(|source| source.peer).collect())
}

pub(crate) fn a_download_is_a_source_while_its_peer_says_so(index: &Index) {
    let anna = Peer::joined(index, 1, "anna", &[file("s/film", "film", 9), file("s/song", "song", 7)]);
    let mut ben = Peer::joined(index, 2, "ben", &[]);
    let cleo = Peer::new(3, "cleo");
    assert_eq!(put(index, &cleo, &["film"]), Err(Error::UnknownPeer));
    let (stats, before) = (counts(index), search(index, "film"));
    put(index, &ben, &["film", "nobody has it"]).unwrap();
    assert_eq!(sources(index, "film"), (vec![anna.id], vec![ben.id]));
    assert_eq!(index.content(hash("nobody has it")), Ok(None));
    assert_eq!((counts(index), search(index, "film")), (stats, before), "it counts nowhere");

    put(index, &ben, &["song"]).unwrap();
    assert_eq!(sources(index, "film"), (vec![anna.id], vec![]));
    assert_eq!(sources(index, "song"), (vec![anna.id], vec![ben.id]));
    ben.register(index, &[file("t/song", "song", 7)]).unwrap();
    assert_eq!(sources(index, "song"), (vec![anna.id, ben.id], vec![]), "who has all is named once");
    let too_many = PartialSet { hashes: (0..101_u8).map(|number| ContentHash::of(&[number])).collect() };
    assert_eq!(index.put_partials(ben.id, too_many), Err(Error::TooManyPartials));
}

pub(crate) fn a_download_is_forgotten_with_its_peer(index: &Index) {
    let anna = Peer::joined(index, 1, "anna", &[file("s/film", "film", 9)]);
    let mut ben = Peer::joined(index, 2, "ben", &[]);
    for leave in [
        |index: &Index, ben: &Peer| index.quit(ben.id).unwrap(),
        |index: &Index, ben: &Peer| assert_eq!(index.expire(at(140)), Ok(vec![ben.id])),
        |_: &Index, _: &Peer| {},
    ] {
        put(index, &ben, &["film"]).unwrap();
        assert_eq!(sources(index, "film"), (vec![anna.id], vec![ben.id]));
        anna.beat(index, at(99)).unwrap();
        leave(index, &ben);
        ben.restart();
        ben.announce(index, at(50)).unwrap();
        assert_eq!(sources(index, "film"), (vec![anna.id], vec![]), "it has to say so again");
    }
}
