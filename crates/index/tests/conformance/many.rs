//! So many names that a search stops counting and leaves most of them out: its pages are compared with what they should be,
//! worked out from all names.
//!
//! Of the kinds of things that matter then: contents of two names of which one needs a folder's words, live counts of many
//! sizes, names that nobody uses any more, new names beside settled ones.

use std::cmp::Reverse;

use peerage_index::query::{Place, Query};
use peerage_index::terms::NameTerms;
use peerage_index::{Index, Options};
use peerage_wire::api::{Matched, SearchParams};
use peerage_wire::{ContentHash, FileEntry, Kind, limits};

use super::fixture::{Peer, at, path};

const CONTENTS: usize = 30_000;
const PEERS: usize = 24;
/// What is registered last, when the rest has settled.
const LATE: usize = 1_000;
const COLOURS: [&str; 7] = ["red", "blue", "green", "grey", "black", "white", "pink"];
const PLACES: [&str; 5] = ["house", "garden", "street", "river", "hill"];

/// Words in many ways, each with how they will be read.
const QUERIES: [(&str, Matched); 21] = [
    ("common", Matched::Exact),
    ("common ", Matched::Exact),
    ("co", Matched::Exact),
    ("common red", Matched::Exact),
    ("common gre", Matched::Exact),
    ("common house mp3", Matched::Exact),
    ("common g", Matched::Exact),
    ("live", Matched::Exact),
    ("live common", Matched::Exact),
    ("\"red house\"", Matched::Exact),
    ("\"red house\" OR \"house red\"", Matched::Exact),
    ("\"house red\" OR \"blue hill\" OR \"garden\"", Matched::Exact),
    ("common -red", Matched::Exact),
    ("red OR blue common", Matched::Exact),
    ("*ommo*", Matched::Exact),
    ("*ree* common", Matched::Exact),
    ("common size:>1M", Matched::Exact),
    ("common size:300k..9M type:audio", Matched::Exact),
    ("type:document common", Matched::Exact),
    ("arde", Matched::Substring),
    ("strete common", Matched::Typo),
];

struct World {
    index: Index,
    members: Vec<Member>,
    contents: Vec<Content>,
}

/// A peer, which has registered what it has of the contents before a number.
struct Member {
    peer: Peer,
    is_here: bool,
    registered: usize,
}

struct Content {
    hash: ContentHash,
    size: u64,
    names: Vec<(FileEntry, NameTerms)>,
}

/// By which of its names a peer has a content, if it has it.
fn has(peer: usize, number: usize, names: usize) -> Option<usize> {
    number.is_multiple_of(peer + 1).then_some(peer % names)
}

fn content(number: usize) -> Content {
    let (colour, place) = (COLOURS[number % 7], PLACES[number % 5]);
    let ending = ["mp3", "txt", "flac"][number % 3];
    let own = format!("s/live/{colour} {place} common {number}.{ending}");
    let of_folder = format!("s/common/{colour} {place} live {number}.{ending}");
    let texts = match number % 4 {
        0 => vec![own, of_folder],
        1 => vec![of_folder],
        _ => vec![own],
    };
    let (hash, size) = (ContentHash::of(&number.to_le_bytes()), number as u64 * 1_000);
    let file = |text: &String| FileEntry { path: path(text), size, hash, modified: 0 };
    let names = texts.iter().map(|text| (file(text), NameTerms::of(&path(text)))).collect();
    Content { hash, size, names }
}

impl World {
    fn new(memtable_names: usize) -> Self {
        let index = Index::in_memory(&Options { memtable_names: Some(memtable_names), ..Options::default() });
        let contents: Vec<Content> = (1..=CONTENTS).map(content).collect();
        let member = |number: usize| {
            let peer = Peer::new(u8::try_from(number + 1).unwrap(), "p");
            peer.announce(&index, at(0)).unwrap();
            Member { peer, is_here: true, registered: 1 }
        };
        let members = (0..PEERS).map(member).collect();
        let mut world = Self { members, index, contents };
        world.register(CONTENTS - LATE);
        world
    }

    /// Whoever is here registers what it has of the contents before a number.
    fn register(&mut self, end: usize) {
        let Self { index, members, contents } = self;
        for (at, member) in members.iter_mut().enumerate().filter(|(_, member)| member.is_here) {
            let names = |number: usize| &contents[number - 1].names;
            let name_of = |number: usize| Some(&names(number)[has(at, number, names(number).len())?].0);
            let files: Vec<FileEntry> = (member.registered..end).filter_map(name_of).cloned().collect();
            for batch in files.chunks(limits::BATCH_CHANGES_MAX) {
                member.peer.register(index, batch).unwrap();
            }
            member.registered = end;
        }
    }

    fn quit(&mut self, number: usize) {
        let member = &mut self.members[number];
        self.index.quit(member.peer.id).unwrap();
        member.is_here = false;
    }

    /// What a search should find, in order: hashes and how many have each.
    fn expected(&self, text: &str, how: Matched) -> Vec<(ContentHash, u64)> {
        let query = Query::parse(text).unwrap().read_as(how).unwrap();
        let mut found: Vec<(Place, Reverse<u64>, ContentHash)> = Vec::new();
        for (number, content) in (1..).zip(&self.contents) {
            let mut used = vec![0_u64; content.names.len()];
            let here = self.members.iter().enumerate();
            for (at, _) in here.filter(|(_, member)| member.is_here && number < member.registered) {
                if let Some(name) = has(at, number, used.len()) {
                    used[name] += 1;
                }
            }
            let filters = query.filters();
            let names = content.names.iter().zip(&used).filter(|(_, used)| **used > 0);
            let places = names.filter_map(|((file, terms), _)| {
                let kind = Kind::of_name(file.path.file_name());
                query.find(terms).filter(|_| filters.takes_kind(kind))
            });
            if let Some(place) = places.min().filter(|_| filters.takes_size(content.size)) {
                found.push((place, Reverse(used.iter().sum()), content.hash));
            }
        }
        found.sort_unstable();
        found.into_iter().map(|(_, Reverse(live), hash)| (hash, live)).collect()
    }

    fn compare(&self, when: &str) {
        for (text, how) in QUERIES {
            let expected = self.expected(text, how);
            let total = expected.len() as u64;
            assert!(total > 0, "{text}");
            let (mut rows, mut cursor) = (expected.as_slice(), None);
            for limit in [50, 300, 50] {
                let params =
                    SearchParams { q: text.into(), limit: Some(limit), cursor, ..SearchParams::default() };
                let page = self.index.search(&params).unwrap();
                let found: Vec<_> = page.hits.iter().map(|hit| (hit.hash, hit.source_count)).collect();
                let (here, rest) = rows.split_at(limit.min(rows.len()));
                assert!(found == here, "{text}, {when}: {} rows before", expected.len() - rows.len());
                assert_eq!(page.matched, Some(how), "{text}, {when}");
                let is_exact = total <= limits::TOTAL_EXACT_MAX;
                let told = (page.total.value, page.total.exact);
                assert_eq!(told, (total.min(limits::TOTAL_EXACT_MAX), is_exact), "{text}, {when}");
                (rows, cursor) = (rest, page.cursor);
                assert_eq!(cursor.is_none(), rows.is_empty(), "{text}, {when}");
                if rows.is_empty() {
                    break;
                }
            }
        }
    }
}

pub(crate) fn pages_of_many_names_are_the_best_of_them(memtable_names: usize) {
    let mut world = World::new(memtable_names);
    world.compare("as registered");
    world.index.settle().unwrap();
    world.compare("settled");
    // Names that only the others use are left, and new ones come that are in no segment.
    (1..PEERS).step_by(2).for_each(|peer| world.quit(peer));
    world.register(CONTENTS + 1);
    world.compare("when half had left and more had come");
    world.index.settle().unwrap();
    world.compare("when that had settled");
}
