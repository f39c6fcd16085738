//! Measures the text index over names of Zipf's kind: what a name costs in time and memory, and what a query.
//!
//! `PEERAGE_MEASURE_NAMES=2000000 cargo test --release -p peerage-index measure -- --ignored --nocapture`

#![expect(clippy::cast_possible_truncation, reason = "numbers for people, all of them small")]

use std::fmt::Write as _;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, Instant};

use peerage_wire::Kind;
use peerage_wire::api::Matched;

use super::*;
use crate::query::Query;
use crate::terms::NameTerms;

const WORDS: usize = 600_000;
const TABLE: usize = 32_768;
const FAN: usize = 4;

#[test]
#[ignore = "measurement: takes a minute or more, and only says something in release"]
fn measure_the_text_index() {
    let names =
        std::env::var("PEERAGE_MEASURE_NAMES").ok().and_then(|names| names.parse().ok()).unwrap_or(1_000_000);
    let mut world = World::new();
    let mut times = Times::default();
    let (table, segment) = index(&mut world, names, &mut times);
    let per_name = |time: Duration, names: usize| time.as_secs_f64() * 1e6 / names as f64;
    println!("{names} names, {} B a path", world.bytes / names as usize);
    println!(
        "terms {:.2} us a name, memtable add {:.2}, build {:.2}, merges {:.2} (the last {:.2?})",
        per_name(times.terms, names as usize),
        per_name(times.add, names as usize),
        per_name(times.build, names as usize),
        per_name(times.merge, names as usize),
        times.last_merge
    );
    println!("memtable: {} names, {} B a name", table.len(), table.memory_bytes() / table.len());
    print_memory(&segment);
    print_disk(&segment);
    print_raise(&segment);
    let only = std::env::var("PEERAGE_MEASURE_ONLY").unwrap_or_default();
    for (class, queries) in world.queries().into_iter().filter(|(class, _)| class.contains(&only)) {
        print_queries(class, "segment", &queries, &segment, |query| segment.plan(query, None));
        print_queries(class, "memtable", &queries, &segment, |query| table.plan(query, None));
    }
}

#[derive(Default)]
struct Times {
    terms: Duration,
    add: Duration,
    build: Duration,
    merge: Duration,
    last_merge: Duration,
}

/// What this thread has worked so far: other work on the machine does not count.
fn busy() -> Duration {
    let stat = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(stat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

fn timed<T>(time: &mut Duration, work: impl FnOnce() -> T) -> T {
    let start = busy();
    let done = work();
    *time += busy() - start;
    done
}

/// Fills tables, makes pieces of them and merges four to one; at the end all to one, but for the last table.
fn index(world: &mut World, names: u32, times: &mut Times) -> (Memtable, Segment) {
    let mut tiers = Vec::<Vec<Arc<Segment>>>::new();
    let mut next = 0;
    let mut terms = NameTerms::default();
    loop {
        let paths: Vec<String> = (next..names).take(TABLE).map(|_| world.path()).collect();
        timed(&mut times.terms, || paths.iter().for_each(|path| terms.read(path)));
        let mut table = Memtable::default();
        timed(&mut times.add, || {
            for (name, path) in (next..).zip(&paths) {
                terms.read(path);
                table.add(name, (name, 0), Kind::ALL[name as usize % 3], &terms);
            }
        });
        next += table.len() as u32;
        if next == names {
            times.add -= times.terms;
            let all: Vec<_> = tiers.into_iter().rev().flatten().collect();
            return (table, timed(&mut times.last_merge, || merge(world, &all)));
        }
        let standings = world.standings(table.names());
        let built = timed(&mut times.build, || Segment::build(&table, &standings));
        push(world, &mut tiers, 0, built, times);
    }
}

fn push(world: &World, tiers: &mut Vec<Vec<Arc<Segment>>>, tier: usize, segment: Segment, times: &mut Times) {
    tiers.resize_with(tiers.len().max(tier + 1), Vec::new);
    tiers[tier].push(Arc::new(segment));
    if tiers[tier].len() == FAN {
        let pieces = std::mem::take(&mut tiers[tier]);
        let merged = timed(&mut times.merge, || merge(world, &pieces));
        push(world, tiers, tier + 1, merged, times);
    }
}

fn merge(world: &World, pieces: &[Arc<Segment>]) -> Segment {
    let standings: Vec<_> = pieces.iter().map(|piece| world.standings(piece.names())).collect();
    Segment::merge(pieces, standings, &AtomicBool::new(false)).unwrap()
}

fn print_memory(segment: &Segment) {
    let names = segment.names().len();
    let each = |bytes: usize| bytes as f64 / names as f64;
    let terms = segment.dictionary.len();
    let count_of = |list: u32| segment.postings.list(list).count;
    let postings: usize = (0..terms).map(count_of).sum();
    let ready: usize = (terms..).take(segment.ready.ranges.len()).map(count_of).sum();
    println!(
        "segment: {names} names, {:.2} B a name: members {:.2}, automaton {:.2}, texts {:.2}, triples {:.2}, lists {:.2} \
        (starts {:.2}, bitmaps {:.2})",
        each(segment.memory_bytes()),
        each(segment.members.memory_bytes()),
        each(segment.dictionary.map_bytes().len()),
        each(segment.dictionary.text_bytes().len()),
        each(segment.triples.memory_bytes()),
        each(segment.postings.memory_bytes()),
        each(segment.postings.starts.len() * 4),
        each(segment.postings.maps.len() * 8)
    );
    let place = |list: u32| segment.postings.place(list);
    let [ready_bytes, ready_maps] = [0, 1].map(|part| {
        let (start, end) = (place(terms), place(u32::MAX));
        if part == 0 { end.0 - start.0 } else { end.1 - start.1 }
    });
    println!(
        "{terms} terms, {:.2} postings a name; {} ready beginnings, {:.2} postings a name, {:.2} B a name in lists and {:.2} in bitmaps",
        each(postings),
        segment.ready.ranges.len(),
        each(ready),
        each(ready_bytes),
        each(ready_maps)
    );
}

fn print_disk(segment: &Segment) {
    let mut bytes = Vec::new();
    let start = Instant::now();
    segment.encode(&mut bytes).unwrap();
    let (encoded, start) = (start.elapsed(), Instant::now());
    let decoded = Segment::decode(&bytes).unwrap();
    println!("encoded in {encoded:.2?} to {} MB, decoded in {:.2?}", bytes.len() >> 20, start.elapsed());
    assert_eq!(decoded.names(), segment.names());
}

fn print_raise(segment: &Segment) {
    let mut random = Random(5);
    let start = Instant::now();
    let found = (0..100_000)
        .filter(|_| {
            let standing = Standing { live: 1, hash_prefix: 0, is_used: true, is_sole: true, size_class: 0 };
            segment.tell(random.below(segment.names().len()) as u32, standing, false)
        })
        .count();
    println!("raise {:.2?} ({found} of 100000 here)", start.elapsed() / 100_000);
}

fn print_queries<'a>(
    class: &str,
    place: &str,
    queries: &[(String, Matched)],
    segment: &Segment,
    plan_of: impl Fn(&Query) -> Option<Plan<'a>>,
) {
    let [mut plans, mut firsts, mut alls] = [const { Vec::new() }; 3];
    let (mut found, mut checks) = (0_u64, 0_u64);
    let (mut bits, mut scratch) = (Bits::default(), Scratch::default());
    for (text, how) in queries {
        let query = Query::parse(text).unwrap();
        let Some(query) = query.read_as(*how) else { continue };
        let start = Instant::now();
        let plan = plan_of(&query);
        plans.push(start.elapsed());
        let Some(mut plan) = plan else { continue };
        let start = Instant::now();
        let (mut at, mut hits) = (0, 0);
        while let Some(window) = plan.next(at) {
            at = window + 1;
            plan.fill(window, Which::All, &mut bits, &mut scratch);
            hits += bits.anywhere.iter().map(|word| word.count_ones()).sum::<u32>();
            if hits > 50 {
                break;
            }
        }
        firsts.push(start.elapsed());
        plan.rewind();
        let start = Instant::now();
        at = 0;
        while let Some(window) = plan.next(at) {
            at = window + 1;
            if plan.fill(window, Which::All, &mut bits, &mut scratch) {
                let ones = |bits: &Window| bits.iter().map(|word| u64::from(word.count_ones())).sum::<u64>();
                (found, checks) = (found + ones(&bits.anywhere), checks + ones(&bits.check));
            }
        }
        alls.push(start.elapsed());
    }
    let show = |times: &mut Vec<Duration>| {
        times.sort_unstable();
        let at = |part: f64| times.get((times.len() as f64 * part) as usize).copied().unwrap_or_default();
        format!("{:>9.1?} / {:>9.1?}", at(0.5), at(0.99))
    };
    let (plans, firsts, alls) = (show(&mut plans), show(&mut firsts), show(&mut alls));
    let of = queries.len() as u64;
    println!(
        "{class:>24} {place:>8}: plan {plans}, first 50 {firsts}, all {alls} ({} found, {} to check, of {})",
        found / of,
        checks / of,
        segment.names().len()
    );
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, most: usize) -> usize {
        usize::try_from(self.next() % most as u64).unwrap()
    }

    fn part(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }
}

struct World {
    random: Random,
    words: Vec<String>,
    bytes: usize,
}

impl World {
    fn new() -> Self {
        let mut random = Random(1);
        let mut words = std::collections::BTreeSet::new();
        while words.len() < WORDS {
            words.insert(word(&mut random));
        }
        let mut words: Vec<String> = words.into_iter().collect();
        for at in (1..words.len()).rev() {
            words.swap(at, random.below(at + 1));
        }
        Self { random, words, bytes: 0 }
    }

    /// A word by Zipf's law.
    fn word(&mut self) -> &str {
        let rank = (WORDS as f64).powf(self.random.part());
        &self.words[rank as usize - 1]
    }

    fn path(&mut self) -> String {
        let mut path = String::from("share");
        for _ in 0..2 {
            let word = self.word().to_owned();
            let _ = write!(path, "/{word} {}", self.word());
        }
        let _ = write!(path, "/{:02} ", self.random.below(20));
        for _ in 0..self.random.below(4) {
            let _ = write!(path, "{} ", self.word());
        }
        let ending = ["mp3", "flac", "jpg"][self.random.below(3)];
        let _ = write!(path, "{}.{ending}", self.word());
        self.bytes += path.len();
        path
    }

    /// Few contents have many sources. How a content stands depends on nothing but its number.
    fn standings(&self, names: &[u32]) -> Vec<Option<Standing>> {
        let standing = |name: &u32| {
            let mut random = Random(u64::from(*name) << 20);
            let live = (1.0 / random.part().max(1e-5)) as u32;
            Some(Standing {
                live,
                hash_prefix: (random.next() >> 32) as u32,
                is_used: live > 0,
                is_sole: true,
                size_class: 0,
            })
        };
        names.iter().map(standing).collect()
    }

    fn queries(&mut self) -> Vec<(&'static str, Vec<(String, Matched)>)> {
        let mut many = |how: Matched, text: &dyn Fn(&mut Self) -> String| -> Vec<(String, Matched)> {
            (0..200).map(|_| (text(self), how)).collect()
        };
        let any = |world: &mut Self| {
            let at = world.random.below(WORDS);
            world.words[at].clone()
        };
        let common = |world: &mut Self| {
            let at = world.random.below(40);
            world.words[at].clone()
        };
        let part = |world: &mut Self, letters: usize| loop {
            let word = any(world);
            if word.len() >= letters {
                let start = world.random.below(word.len() - letters + 1);
                return word[start..start + letters].to_owned();
            }
        };
        let exact = Matched::Exact;
        vec![
            ("rare word", many(exact, &|world| format!("{} ", any(world)))),
            ("rare two words", many(exact, &|world| format!("\"{}\" \"{}\"", any(world), common(world)))),
            ("common word", many(exact, &|world| format!("\"{}\"", common(world)))),
            (
                "three common words",
                many(exact, &|world| {
                    format!("\"{}\" \"{}\" \"{}\"", common(world), common(world), common(world))
                }),
            ),
            ("phrase of two", many(exact, &|world| format!("\"{} {}\"", common(world), common(world)))),
            ("mp3", many(exact, &|_| "mp3".into())),
            ("prefix of 1", many(exact, &|world| any(world)[..1].to_owned())),
            ("prefix of 2", many(exact, &|world| any(world)[..2].to_owned())),
            ("prefix of 3", many(exact, &|world| any(world)[..3].to_owned())),
            (
                "prefix of 4",
                many(exact, &|world| {
                    let word = any(world);
                    word[..4.min(word.len())].to_owned()
                }),
            ),
            (
                "prefix of 5",
                many(exact, &|world| {
                    let word = any(world);
                    word[..5.min(word.len())].to_owned()
                }),
            ),
            ("substring of 3", many(Matched::Substring, &|world| part(world, 3))),
            ("substring of 4", many(Matched::Substring, &|world| part(world, 4))),
            ("substring of 5", many(Matched::Substring, &|world| part(world, 5))),
            ("substring of 8", many(Matched::Substring, &|world| part(world, 8))),
            (
                "one typo",
                many(Matched::Typo, &|world| {
                    let mut word = part(world, 7);
                    let at = world.random.below(6);
                    word.replace_range(at..=at, "x");
                    word
                }),
            ),
        ]
    }
}

/// Syllables as words have them, some letters much more often than others.
fn word(random: &mut Random) -> String {
    const STARTS: [&str; 24] = [
        "", "s", "t", "c", "m", "b", "p", "d", "l", "r", "n", "f", "g", "h", "st", "tr", "ch", "k", "v", "w",
        "pr", "j", "z", "qu",
    ];
    const MIDDLES: [&str; 9] = ["e", "a", "i", "o", "u", "ea", "ou", "y", "io"];
    const ENDS: [&str; 12] = ["", "n", "r", "s", "t", "l", "nd", "m", "ng", "st", "ck", "x"];
    let mut pick = |of: &[&'static str]| {
        let part = random.part();
        of[(part * part * of.len() as f64) as usize]
    };
    let mut word = String::new();
    let syllables = 2 + pick(&["", "1", "22"]).len();
    for _ in 0..syllables {
        word.push_str(pick(&STARTS));
        word.push_str(pick(&MIDDLES));
        word.push_str(pick(&ENDS));
    }
    word
}
