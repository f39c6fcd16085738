//! What a plan finds is what `Query::find` says, in tables and pieces made in every way.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use peerage_wire::api::Matched;
use peerage_wire::{Kind, SharePath};
use proptest::prelude::*;

use super::neighbours::{Neighbours, PLANES, PLANES_BEFORE};
use super::*;
use crate::query::{Place, Query};
use crate::terms::NameTerms;

const PATHS: &str = "(s|a b|ab/c|m3)/([abcm]{1,5}[ .13]{0,2}|東京都|été){1,3}(\\.mp3|m3| m 3)?";
const QUERY: &str = "(-?\"?\\*?([abcm13]{1,3}|mp3|m3|東京|ab*)[. ]?[abc]{0,5}\\*?\"?( |  OR )?){1,3}";

#[derive(Debug)]
struct Known {
    path: SharePath,
    kind: Kind,
    standing: Option<Standing>,
}

type Corpus = BTreeMap<u32, Known>;

fn corpus(names: usize) -> impl Strategy<Value = Corpus> {
    let live = prop_oneof![Just(0_u32), 1_u32..4, any::<u32>()];
    let standing = prop::option::weighted(0.8, (live, 0_u32..9));
    let name = (PATHS, 0_usize..7, standing);
    prop::collection::vec(name, 1..names).prop_map(|names| {
        let known = (0_u32..).map(|number| number * 7 % 120).zip(names);
        let known = known.filter_map(|(number, (path, kind, standing))| {
            let standing = standing.map(|(live, hash_prefix)| self::standing(live, hash_prefix));
            Some((number, Known { path: SharePath::parse(&path).ok()?, kind: Kind::ALL[kind], standing }))
        });
        known.collect()
    })
}

fn table<'a>(names: impl IntoIterator<Item = (&'a u32, &'a Known)>) -> Memtable {
    let mut table = Memtable::default();
    for (number, known) in names {
        table.add(*number, (number + 7, 0), known.kind, &NameTerms::of(&known.path));
    }
    table
}

fn standings(names: &[u32], corpus: &Corpus) -> Vec<Option<Standing>> {
    names.iter().map(|name| corpus[name].standing).collect()
}

/// Three tables' pieces merged in two steps, the first as all stood then, and the second as pieces were once written.
fn merged(corpus: &Corpus) -> Segment {
    merged_with(corpus, |part, piece| match part {
        1 => written_once(piece),
        2 => written_before(piece),
        _ => piece,
    })
}

fn merged_with(corpus: &Corpus, written: impl Fn(u32, Segment) -> Segment) -> Segment {
    let part = |part: u32| {
        let table = table(corpus.iter().filter(|(number, _)| **number % 3 == part));
        let then = Some(standing(part, 1));
        let piece = Segment::build(&table, &vec![then; table.len()]);
        Arc::new(written(part, piece))
    };
    let merge = |pieces: &[Arc<Segment>]| {
        let standings: Vec<_> = pieces.iter().map(|piece| standings(piece.names(), corpus)).collect();
        Segment::merge(pieces, standings, &AtomicBool::new(false)).unwrap()
    };
    merge(&[Arc::new(merge(&[part(0), part(1)])), part(2)])
}

fn decoded(segment: &Segment) -> Segment {
    let mut bytes = Vec::new();
    segment.encode(&mut bytes).unwrap();
    Segment::decode(&bytes).unwrap()
}

/// A piece as one is read whose names have signatures of fewer bits.
fn written_before(piece: Segment) -> Segment {
    let planes = piece.neighbours.planes();
    let fewer = &planes[..planes.len() / PLANES * PLANES_BEFORE];
    let neighbours = Neighbours::of(fewer.into(), piece.members.len()).unwrap();
    decoded(&Segment { neighbours, ..piece })
}

/// A piece as one is read that tells neither which terms stand side by side nor of which kinds the names of a list are.
fn written_once(piece: Segment) -> Segment {
    /// Parts before that of the neighbours, each after its length.
    const PARTS_BEFORE: usize = 8;
    let piece = Segment { neighbours: Neighbours::default(), ..piece };
    let mut bytes = Vec::new();
    piece.encode(&mut bytes).unwrap();
    let mut at = 8;
    for _ in 0..PARTS_BEFORE {
        at += 8 + usize::try_from(u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())).unwrap();
    }
    assert_eq!(bytes.drain(at..at + 8).collect::<Vec<_>>(), [0; 8]);
    bytes.truncate(bytes.len() - piece.postings.len() - 8);
    bytes[..8].copy_from_slice(b"PRGTEXT1");
    Segment::decode(&bytes).unwrap()
}

/// The names that a plan finds, as a search would ask it, with bits that other plans were asked with.
fn found(
    plan: Option<Plan<'_>>,
    used: &mut (Bits, Scratch),
    names: &[u32],
    query: &Query,
    corpus: &Corpus,
) -> BTreeMap<u32, Place> {
    let Some(mut plan) = plan else { return BTreeMap::new() };
    let by_next = found_by(&mut plan, used, (true, Which::All), names, query, corpus);
    plan.rewind();
    assert_eq!(by_next, found_by(&mut plan, used, (false, Which::All), names, query, corpus));
    for skips in [true, false] {
        plan.rewind();
        let anywhere = found_by(&mut plan, used, (skips, Which::Anywhere), names, query, corpus);
        assert!(anywhere.keys().eq(by_next.keys()));
        plan.rewind();
        let mut in_file = found_by(&mut plan, used, (skips, Which::InFile), names, query, corpus);
        in_file.retain(|_, place| *place == Place::File);
        assert!(in_file.iter().eq(by_next.iter().filter(|(_, place)| **place == Place::File)));
    }
    by_next
}

fn found_by(
    plan: &mut Plan<'_>,
    used: &mut (Bits, Scratch),
    (skips, which): (bool, Which),
    names: &[u32],
    query: &Query,
    corpus: &Corpus,
) -> BTreeMap<u32, Place> {
    let (mut found, mut window, (bits, scratch)) = (BTreeMap::new(), 0, used);
    while let Some(next) =
        if skips { plan.next(window) } else { Some(window).filter(|at| *at < plan.windows()) }
    {
        window = next + 1;
        if !plan.fill(next, which, bits, scratch) {
            continue;
        }
        assert!(!bits.is_sure || bits.check.iter().all(|word| *word == 0));
        for (at, name) in names[next * WINDOW..].iter().take(WINDOW).enumerate() {
            let is_set = |bits: &Window| bits[at / 64] >> (at % 64) & 1 == 1;
            let (is_any, in_file) = (is_set(&bits.anywhere), plan.in_file(at / 64, bits));
            assert!(is_any || !is_set(&bits.check));
            let place = if in_file >> (at % 64) & 1 == 1 { Place::File } else { Place::Folder };
            let place = if is_set(&bits.check) {
                query.find(&NameTerms::of(&corpus[name].path))
            } else {
                Some(place)
            };
            found.extend(place.filter(|_| is_any).map(|place| (*name, place)));
        }
    }
    found
}

/// In the right order, whatever merging did.
fn is_in_order(segment: &Segment, corpus: &Corpus) -> bool {
    let keys = segment.names().iter().map(|name| {
        let standing = corpus[name].standing.unwrap();
        (std::cmp::Reverse(standing.live), standing.hash_prefix)
    });
    keys.is_sorted()
        && segment.names().iter().zip(segment.contents()).all(|(name, content)| name + 7 == *content)
}

fn assert_bounds(segment: &Segment, live: impl Fn(u32) -> Standing) {
    for (at, name) in segment.names().iter().enumerate() {
        let (bound, standing) = (segment.bound(at / BLOCK), live(*name));
        assert!(u64::from(standing.live) < 1 << bound.class && standing.hash_prefix >= bound.min_hash);
        assert!(bound.class <= segment.window_class(at / WINDOW));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, ..ProptestConfig::default() })]
    #[test]
    fn what_is_found_is_what_the_query_says(
        corpus in corpus(24), queries in prop::collection::vec(QUERY, 1..6), kind in prop::option::of(0_usize..7),
    ) {
        let kind = kind.map(|kind| Kind::ALL[kind]);
        let (table, merged) = (table(&corpus), merged(&corpus));
        let built = Segment::build(&table, &standings(table.names(), &corpus));
        let (built_again, merged_again) = (decoded(&built), decoded(&merged));
        let pieces = [&built, &merged, &built_again, &merged_again];
        prop_assert!(pieces.iter().all(|piece| is_in_order(piece, &corpus)));
        let mut used = (Bits::default(), Scratch::default());
        for query in queries.iter().filter_map(|query| Query::parse(query).ok()) {
            for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
                let Some(query) = query.read_as(how) else { continue };
                let has_kind = |known: &Known| kind.is_none_or(|kind| known.kind == kind);
                let all = corpus.iter().filter(|(_, known)| has_kind(known));
                let all = all.filter_map(|(name, known)| Some((*name, query.find(&NameTerms::of(&known.path))?)));
                let all: BTreeMap<u32, Place> = all.collect();
                prop_assert_eq!(&found(table.plan(&query, kind), &mut used, table.names(), &query, &corpus), &all);
                let kept = all.into_iter().filter(|(name, _)| corpus[name].standing.is_some()).collect();
                for piece in pieces {
                    let found = found(piece.plan(&query, kind), &mut used, piece.names(), &query, &corpus);
                    prop_assert_eq!(&found, &kept, "{:?}", query);
                }
            }
        }
    }

    #[test]
    fn bounds_stay_above_what_is_told(
        corpus in corpus(40), raised in prop::collection::vec((0_u32..120, any::<u32>(), 0_u32..32), 0..40),
    ) {
        let segment = merged(&corpus);
        let standing = |name: u32| corpus.get(&name).and_then(|known| known.standing);
        let mut live: BTreeMap<u32, Standing> =
            segment.names().iter().map(|name| (*name, standing(*name).unwrap())).collect();
        assert_bounds(&segment, |name| live[&name]);
        for (name, sources, shift) in raised {
            prop_assert_eq!(segment.tell(name, self::standing(sources >> shift, 0), false), live.contains_key(&name));
            live.entry(name).and_modify(|standing| standing.live = sources >> shift);
        }
        assert_bounds(&segment, |name| live[&name]);
    }

    #[test]
    fn new_names_with_so_many_sources_are_left(
        live in prop::collection::vec(0_u32..70, 1..130),
        told in prop::collection::vec((0_u32..150, any::<u32>(), 0_u32..32), 0..40),
        asked in any::<u32>(), shift in 0_u32..32, names: u64,
    ) {
        let asked = asked >> shift;
        let (mut table, mut most) = (Memtable::default(), live.clone());
        let terms = NameTerms::of(&SharePath::parse("s/x").unwrap());
        (0..).zip(&live).for_each(|(name, live)| table.add(name * 7, (name, *live), Kind::Data, &terms));
        for (name, live, shift) in told {
            let live = live >> shift;
            table.tell(name * 7, live);
            most.get_mut(name as usize).into_iter().for_each(|most| *most = live.max(*most));
        }
        for word in [0, 1] {
            let left = table.with_sources(word, names, asked);
            prop_assert_eq!(left & !names, 0);
            for (bit, most) in most.iter().skip(word * 64).take(64).enumerate().filter(|(bit, _)| names >> bit & 1 == 1) {
                let is_left = left >> bit & 1 == 1;
                prop_assert!(is_left || *most < asked);
                prop_assert!(!is_left || class_of(*most) >= class_of(asked).min(16));
            }
        }
    }

    #[test]
    fn damaged_bytes_are_refused_or_read_without_a_panic(
        corpus in corpus(40), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..9),
        cut in prop::option::of(any::<prop::sample::Index>()), query in QUERY,
    ) {
        let mut bytes = Vec::new();
        merged(&corpus).encode(&mut bytes).unwrap();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let Ok(segment) = Segment::decode(&bytes) else { return Ok(()) };
        ask_everything(&segment, &query);
    }
}

fn ask_everything(segment: &Segment, query: &str) {
    let Ok(query) = Query::parse(query) else { return };
    for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
        let Some(query) = query.read_as(how) else { continue };
        let Some(mut plan) = segment.plan(&query, Some(Kind::Audio)) else { continue };
        let (mut bits, mut scratch) = (Bits::default(), Scratch::default());
        for window in 0..plan.windows() {
            plan.next(window);
            for which in [Which::InFile, Which::Anywhere, Which::All] {
                if plan.fill(window, which, &mut bits, &mut scratch) {
                    bits.words().for_each(|word| _ = plan.in_file(word, &bits));
                }
            }
        }
    }
    segment.tell(3, standing(4, 0), true);
    let standings = vec![Some(standing(1, 2)); segment.names().len()];
    let mut bytes = Vec::new();
    segment.encode(&mut bytes).unwrap();
    let again = Arc::new(Segment::decode(&bytes).unwrap());
    Segment::merge(&[Arc::clone(&again), again], vec![standings.clone(), standings], &AtomicBool::new(false));
}

/// What a piece of many names is asked.
const ASKED_OF_MANY: [(&str, Option<Kind>); 30] = [
    ("qa", Some(Kind::Audio)),
    ("qa", Some(Kind::Video)),
    ("common q", Some(Kind::Audio)),
    ("abc", Some(Kind::Image)),
    ("common", None),
    ("common other", None),
    ("x17 ", None),
    ("w1a", Some(Kind::Video)),
    ("mp3", None),
    ("w", None),
    ("w1* x2* -other", None),
    ("x17 OR common w", None),
    ("\"x 17 z\"", None),
    ("\"x 17 z\" OR \"other common\"", None),
    ("\"other common\" OR \"common w\"", None),
    ("w*", None),
    ("peer:x", None),
    ("peer:x", Some(Kind::Image)),
    ("comon", None),
    ("omo", None),
    // Of these the names of a small list are joined with others'.
    ("common qabc", None),
    ("common other", None),
    ("qab* common -other", None),
    ("common other", Some(Kind::Audio)),
    ("common qab*", Some(Kind::Audio)),
    ("qab* common -mp3", Some(Kind::Audio)),
    ("qab* -\"mp 3\" m* qa*", Some(Kind::Image)),
    ("\"common w\" qabc", None),
    ("\"z qabcd\" common", None),
    ("qab* m* mp* v* u* t* z* y* x* w* s* o* c* co* *omm*", None),
];

/// Names enough for several windows, packed lists, bitmaps and ready beginnings, each with its words at its own pace.
#[test]
fn a_piece_of_many_names_finds_them_as_well() {
    let path = |number: u32| {
        let common = if number.is_multiple_of(3) { "common" } else { "other" };
        // These are of one type only.
        let letters = || -> String {
            number.to_string().bytes().map(|digit| char::from(digit - b'0' + b'a')).collect()
        };
        let audio = if number.is_multiple_of(5) { ["qa", &letters()].concat() } else { String::new() };
        // Some have most of their words in a folder's name.
        let border = if number.is_multiple_of(4) { '/' } else { ' ' };
        let text = format!(
            "s/{common} w{:x}z x{:o} z{number} y{number} {audio}{border}v{number}u{number}t{number}.mp3",
            number % 5_003,
            number % 640
        );
        SharePath::parse(&text).unwrap()
    };
    let known = |number: u32| {
        let standing = self::standing(number.wrapping_mul(2_654_435_761) >> 20, number);
        let kind = Kind::ALL[number as usize % 5];
        Known { path: path(number), kind, standing: (number % 7 != 5).then_some(standing) }
    };
    let corpus: Corpus = (0..45_000).map(|number| (number, known(number))).collect();
    let merged = merged(&corpus);
    assert!(merged.ready.ranges.len() > 2, "{:?}", merged.ready);
    assert!(merged.ready.long.len() > 2, "{:?}", merged.ready);
    assert!(merged.postings.maps.len() > merged.postings.map_words * 4);
    assert!(!merged.dictionary.map_bytes().is_empty(), "{:?}", merged.dictionary);
    let decoded = decoded(&merged);
    let told = merged_with(&corpus, |_, piece| piece);
    let lists = (0..).take(told.postings.len());
    let of_audio = lists.skip(told.dictionary.len() as usize).filter(|list| {
        [Some(0), None].iter().all(|kind| told.postings.may_have(*list, *kind))
            && !told.postings.may_have(*list, Some(1))
    });
    assert_eq!(of_audio.count(), 1, "the ready list of `qa`");
    let mut used = (Bits::default(), Scratch::default());
    for (text, kind) in ASKED_OF_MANY {
        for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
            let Some(query) = Query::parse(text).unwrap().read_as(how) else { continue };
            let all = corpus.iter().filter(|(_, known)| known.standing.is_some());
            let all = all.filter(|(_, known)| kind.is_none_or(|kind| known.kind == kind));
            let all = all.filter_map(|(name, known)| Some((*name, query.find(&NameTerms::of(&known.path))?)));
            let all: BTreeMap<u32, Place> = all.collect();
            for piece in [&merged, &decoded, &told] {
                assert!(
                    found(piece.plan(&query, kind), &mut used, piece.names(), &query, &corpus) == all,
                    "{text} {how:?}"
                );
            }
        }
    }
}

/// Two words that no name has both of leave nothing behind of what was asked of them.
#[test]
fn a_window_of_which_nothing_is_left_leaves_no_bits() {
    let names = u32::try_from(3 * WINDOW).unwrap();
    let mut table = Memtable::default();
    for number in 0..names {
        let common = if number.is_multiple_of(2) { "common" } else { "other" };
        let few = if number < 9_000 && number.is_multiple_of(64) { "few" } else { "" };
        let path = SharePath::parse(&format!("s/{common} {few}/x")).unwrap();
        table.add(number, (number, 0), Kind::Audio, &NameTerms::of(&path));
    }
    let standings: Vec<_> = (0..names).map(|number| Some(standing(1, number))).collect();
    let segment = Segment::build(&table, &standings);
    let plan = |text: &str| segment.plan(&Query::parse(text).unwrap(), None).unwrap();
    let (mut bits, mut scratch) = (Bits::default(), Scratch::default());
    let mut joined = plan("common few");
    assert!(joined.is_gathered() && joined.fill(0, Which::All, &mut bits, &mut scratch));
    assert!(!joined.fill(1, Which::All, &mut bits, &mut scratch));
    assert!(!plan("common other").fill(0, Which::All, &mut bits, &mut scratch));
    let mut joined = plan("common few");
    assert!(joined.fill(0, Which::All, &mut bits, &mut scratch));
    assert!((0..WINDOW / 64).all(|word| joined.in_file(word, &bits) == 0), "all are in a folder's name");
}

#[test]
fn a_merge_that_is_stopped_gives_nothing() {
    let table = Memtable::default();
    assert!(table.plan(&Query::parse("a").unwrap(), None).is_none());
    let nothing = Segment::build(&table, &[]);
    assert!(
        nothing.plan(&Query::parse("a").unwrap(), None).is_none()
            && !nothing.tell(1, self::standing(1, 0), false)
    );
    assert!(Segment::merge(&[Arc::new(nothing)], vec![Vec::new()], &AtomicBool::new(true)).is_none());
}

/// Only names with the pair are known to have `mp3` as one word; the others are for `Query::find`.
#[test]
fn a_glued_pair_is_answered_without_looking_at_names() {
    let paths = ["s/a.mp3", "s/mp 3", "mp3/mp/3", "s/mp30", "s/mp", "mp3/x"];
    let mut table = Memtable::default();
    for (number, path) in (0..).zip(paths) {
        table.add(number, (number, 0), Kind::Audio, &NameTerms::of(&SharePath::parse(path).unwrap()));
    }
    let standing = Some(self::standing(1, 1));
    let segment = Segment::build(&table, &[standing; 6]);
    let query = Query::parse("mp3").unwrap();
    for mut plan in [table.plan(&query, None).unwrap(), segment.plan(&query, None).unwrap()] {
        let mut bits = Bits::default();
        assert!(plan.fill(0, Which::All, &mut bits, &mut Scratch::default()));
        assert_eq!((bits.anywhere[0], bits.in_file[0], bits.check[0]), (0b10_1111, 0b00_1011, 0b00_0010));
    }
}

fn standing(live: u32, hash_prefix: u32) -> Standing {
    Standing { live, hash_prefix, is_used: live > 0, is_sole: true, size_class: 0 }
}
