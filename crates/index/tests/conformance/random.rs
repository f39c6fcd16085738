//! Random lives of a few peers, each step's answer compared with the model's, and then every list.

use peerage_index::Moment;
use peerage_wire::api::{
    Announcement, BatchOrder, Change, Doors, Heartbeat, ListParams, Matched, Page, SearchParams, Sort,
};
use peerage_wire::{ContentHash, FileEntry, Kind, PeerId, ShareDigest, SharePath};
use proptest::prelude::*;

use super::engine::{Engine, Home};
use super::fixture::{SEEN_IP, counts, digest_of, file};
use super::model::Model;

const PEERS: usize = 4;
/// Two of the same name, in even epochs of the same but for case and accents; one whose name is the beginning of another's
/// id.
const NAMES: [[&str; 2]; PEERS] = [["anna", "anna"], ["ben", "ben"], ["ben", "Bén"], ["cafe", "Café"]];
/// Who may be asked for: names, beginnings of one id, of two, of none, and too short ones.
const MEANT: [&str; 12] =
    ["anna", "ANNA", "ben", "Ben", "Bén", "cafe", "CAFE01", "cafe00", "0303", "030", "dddd", ""];

const SORTS: [Sort; 4] = [Sort::Rank, Sort::Size, Sort::Name, Sort::Newest];

const PATHS: &str = "(music|docs)/(live/)?(Yellow|Submarine|Subway submarine|été|東京都|🎵|-rf)( |-)?(mp3|2|live)?\\.(mp3|txt)";
/// Words that many names have, in several ways of asking for them.
const COMMON: &str = "music|docs|mp|mp3|mp3\\*|txt|\\*\\.mp3|yellow|Yel\\*|\\*ello\\*|sub|subm|\\*marine|ete|live|2|東京|都\
    |\"docs live\"|\"live mp\"|\"live mp3\"|\"yellow live|\"東京都\"|docs/yell";
/// Words that few names have, or that only a part or a typo finds, and words without a term.
const RARE: &str =
    "ello|bmar|ubm|marine|submarien|yelow|mussic|🎵|京|rf|-rf|\"live 2\"|\"submarine live\"|\"sub|o|&|-";
const SIZES: &str =
    "size:(>|>=|<|<=|)(0|9|10|700|701|1024|2100)|size:(0|512|700)?\\.\\.(1400|2047|4000)?|size:1k|-?size:x";
const KINDS: &str = "-?type:(audio|document|data|Audio|song)";

#[derive(Debug, Clone)]
enum Step {
    Announce { peer: usize, ahead: i64, digest: Digest },
    Batch { peer: usize, ahead: i64, seq_ahead: i64, changes: Vec<Change> },
    Heartbeat { peer: usize, ahead: i64, digest: Option<Digest> },
    Quit { peer: usize },
    Expire { after_millis: u64 },
    Settle,
    Snapshot,
    Restart,
    Search(Box<SearchParams>),
}

/// A digest as compared with what is registered.
#[derive(Debug, Clone, Copy)]
enum Digest {
    Held,
    Other,
    Empty,
}

pub(crate) fn lives_agree_with_the_model(engine: &'static Engine) {
    // As many as `PROPTEST_CASES` says.
    let config = ProptestConfig { failure_persistence: None, ..ProptestConfig::default() };
    proptest!(config, |(first in first_steps(), steps in prop::collection::vec(any_step(), 1..60))| {
        let mut life = Life { home: Home::new(engine), engine, model: Model::default(), now: 0 };
        for step in first.into_iter().chain(steps) {
            life.take(&step)?;
        }
        life.compare_lists()?;
    });
}

struct Life {
    home: Home,
    engine: &'static Engine,
    model: Model,
    now: u64,
}

type Checked = std::result::Result<(), TestCaseError>;

impl Life {
    fn take(&mut self, step: &Step) -> Checked {
        let now = Moment::from_millis(self.now);
        match step {
            Step::Announce { peer, ahead, digest } => {
                let epoch = self.epoch(*peer, *ahead);
                let said = Announcement {
                    name: NAMES[*peer][usize::from(epoch.is_multiple_of(2))].parse().unwrap(),
                    doors: Doors::native(1_000),
                    epoch,
                    digest: self.digest(*peer, *digest),
                };
                let (id, told) = (id(*peer), self.home.index.announce(id(*peer), &said, SEEN_IP, now));
                prop_assert_eq!(told, self.model.announce(id, &said, now));
            }
            Step::Batch { peer, ahead, seq_ahead, changes } => {
                let next = self.model.peers.get(&id(*peer)).map_or(0, |peer| peer.next_seq);
                let order = BatchOrder {
                    epoch: self.epoch(*peer, *ahead),
                    seq: next.saturating_add_signed(*seq_ahead),
                };
                let told = self.home.index.apply(id(*peer), order, changes.clone());
                prop_assert_eq!(told, self.model.apply(id(*peer), order, changes));
            }
            Step::Heartbeat { peer, ahead, digest } => {
                let digest = digest.map(|digest| self.digest(*peer, digest));
                let beat = Heartbeat { epoch: self.epoch(*peer, *ahead), digest };
                let told = self.home.index.heartbeat(id(*peer), beat, now);
                prop_assert_eq!(told, self.model.heartbeat(id(*peer), beat, now));
            }
            Step::Quit { peer } => {
                self.home.index.quit(id(*peer)).unwrap();
                self.model.quit(id(*peer));
            }
            Step::Expire { after_millis } => {
                self.now += after_millis;
                let now = Moment::from_millis(self.now);
                prop_assert_eq!(self.home.index.expire(now), Ok(self.model.expire(now)));
            }
            Step::Settle => self.home.index.settle().unwrap(),
            Step::Snapshot => self.home.index.snapshot().unwrap(),
            Step::Restart if self.engine.keeps => {
                self.home.restart();
                self.model.restart();
            }
            Step::Restart => {}
            Step::Search(params) => self.compare_search(params)?,
        }
        if self.engine.settles {
            self.home.index.settle().unwrap();
        }
        prop_assert_eq!(counts(&self.home.index), self.model.stats());
        Ok(())
    }

    fn epoch(&self, peer: usize, ahead: i64) -> u64 {
        self.model.peers.get(&id(peer)).map_or(5, |peer| peer.said.epoch).saturating_add_signed(ahead)
    }

    fn digest(&self, peer: usize, which: Digest) -> ShareDigest {
        match which {
            Digest::Held => self
                .model
                .peers
                .get(&id(peer))
                .map_or_else(ShareDigest::default, |peer| digest_of(peer.files.values())),
            Digest::Other => digest_of([&file("s/other", "other", 1)]),
            Digest::Empty => ShareDigest::default(),
        }
    }

    fn compare_search(&self, params: &SearchParams) -> Checked {
        let (matched, hits) = match self.model.search(params) {
            Ok(expected) => expected,
            Err(error) => {
                prop_assert_eq!(self.home.index.search(params), Err(error));
                return Ok(());
            }
        };
        let of = |cursor| self.home.index.search(&SearchParams { cursor, ..params.clone() }).unwrap();
        compare_pages(hits, Some(matched), of)
    }

    fn compare_lists(&self) -> Checked {
        for peer in std::iter::once(None).chain(MEANT.map(Some)) {
            let params = ListParams { peer: peer.map(Into::into), limit: Some(2), ..ListParams::default() };
            let of = |cursor| self.home.index.peers(&ListParams { cursor, ..params.clone() }).unwrap();
            compare_pages(self.model.peers(peer), None, of)?;
            for under in [None, Some("music"), Some("docs/live"), Some("docs/🎵.mp3")] {
                let under = under.map(|path| SharePath::parse(path).unwrap());
                let params = ListParams { under: under.clone(), ..params.clone() };
                let of = |cursor| self.home.index.files(&ListParams { cursor, ..params.clone() }).unwrap();
                compare_pages(self.model.files(peer, under.as_ref()), None, of)?;
            }
        }
        for number in 0..5 {
            let hash = content(number);
            prop_assert_eq!(self.home.index.content(hash), Ok(self.model.content(hash)));
        }
        let rows = self.model.peers(None);
        for peer in 0..PEERS {
            let row = rows.iter().find(|row| row.peer == id(peer)).cloned();
            prop_assert_eq!(self.home.index.peer(id(peer)), Ok(row));
        }
        Ok(())
    }
}

/// Reads a list page by page and compares it with all that it should be.
fn compare_pages<T: PartialEq + std::fmt::Debug>(
    expected: Vec<T>,
    matched: Option<Matched>,
    page_at: impl Fn(Option<String>) -> Page<T>,
) -> Checked {
    let (mut hits, mut cursor) = (Vec::new(), None);
    loop {
        let page = page_at(cursor);
        prop_assert_eq!((page.total.value, page.total.exact), (expected.len() as u64, true));
        prop_assert_eq!(page.matched, matched);
        hits.extend(page.hits);
        cursor = page.cursor;
        if cursor.is_none() || hits.len() > expected.len() {
            break;
        }
    }
    prop_assert_eq!(hits, expected);
    Ok(())
}

fn id(peer: usize) -> PeerId {
    let first: [[u8; 3]; PEERS] = [[0xca, 0xfe, 0x00], [0xca, 0xfe, 0x01], [3, 3, 3], [0xdd, 0xdd, 0xdd]];
    PeerId::from_bytes(std::array::from_fn(|at| first[peer][at % 3]))
}

fn content(number: u8) -> ContentHash {
    ContentHash::of(&[number])
}

/// Some peers come with some files, so that there is something to find.
fn first_steps() -> impl Strategy<Value = Vec<Step>> {
    let batch = || prop::collection::vec(any_change(), 0..12);
    prop::collection::vec(batch(), 0..PEERS).prop_map(|batches| {
        let steps = batches.into_iter().enumerate().flat_map(|(peer, changes)| {
            let announce = Step::Announce { peer, ahead: 0, digest: Digest::Other };
            [announce, Step::Batch { peer, ahead: 0, seq_ahead: 0, changes }]
        });
        steps.collect()
    })
}

fn any_step() -> impl Strategy<Value = Step> {
    let peer = 0..PEERS;
    let ahead = prop_oneof![8 => Just(0_i64), 1 => Just(1), 1 => Just(-1)];
    let newer = prop_oneof![4 => Just(1_i64), 2 => Just(0), 1 => Just(-1)];
    let digest = prop_oneof![4 => Just(Digest::Held), 1 => Just(Digest::Other), 1 => Just(Digest::Empty)];
    prop_oneof![
        4 => (peer.clone(), newer, digest.clone())
            .prop_map(|(peer, ahead, digest)| Step::Announce { peer, ahead, digest }),
        8 => (peer.clone(), ahead.clone(), ahead.clone(), prop::collection::vec(any_change(), 0..8)).prop_map(
            |(peer, ahead, seq_ahead, changes)| Step::Batch { peer, ahead, seq_ahead, changes }
        ),
        2 => (peer.clone(), ahead, prop::option::of(digest))
            .prop_map(|(peer, ahead, digest)| Step::Heartbeat { peer, ahead, digest }),
        1 => peer.prop_map(|peer| Step::Quit { peer }),
        1 => (0_u64..60_000).prop_map(|after_millis| Step::Expire { after_millis }),
        1 => Just(Step::Settle),
        1 => Just(Step::Snapshot),
        1 => Just(Step::Restart),
        6 => any_search().prop_map(|params| Step::Search(Box::new(params))),
    ]
}

fn any_change() -> impl Strategy<Value = Change> {
    let path = PATHS.prop_map(|path| SharePath::parse(&path).unwrap());
    (path, 0_u8..5, prop_oneof![5 => Just(None), 1 => (1_u64..4_000).prop_map(Some)], -2_i64..9, 0..5)
        .prop_map(|(path, number, lie, modified, dice)| {
            if dice == 0 {
                return Change::Remove { path };
            }
            let size = lie.unwrap_or(u64::from(number) * 700); // of several classes of sizes
            Change::Add(FileEntry { path, size, hash: content(number), modified })
        })
}

fn any_filter() -> impl Strategy<Value = String> {
    let peer = (any::<bool>(), prop::sample::select(MEANT.to_vec()))
        .prop_map(|(is_left_out, peer)| format!("{}peer:\"{peer}\"", if is_left_out { "-" } else { "" }));
    prop_oneof![KINDS, SIZES, peer, (0_u8..6).prop_map(|number| format!("hash:{}", content(number)))]
}

fn any_query() -> impl Strategy<Value = String> {
    let word = || prop_oneof![5 => COMMON, 2 => RARE];
    let either = (word(), word()).prop_map(|(left, right)| format!("{left} OR {right}"));
    let left_out = word().prop_map(|word| format!("-{word}"));
    let item =
        prop_oneof![12 => word(), 4 => either, 3 => left_out, 4 => any_filter(), 1 => Just("OR".to_owned())];
    prop_oneof![
        3 => item.clone(),
        4 => (item.clone(), item.clone()).prop_map(|(first, second)| format!("{first} {second}")),
        1 => prop::collection::vec(item, 3..5).prop_map(|items| items.join(" ")),
    ]
}

fn any_search() -> impl Strategy<Value = SearchParams> {
    let q = any_query();
    let peer = prop_oneof![6 => Just(None), 1 => prop::sample::select(MEANT.to_vec()).prop_map(Some)];
    let kind = prop_oneof![6 => Just(None), 1 => Just(Some(Kind::Audio)), 1 => Just(Some(Kind::Document))];
    let bound = || prop_oneof![6 => Just(None), 1 => (0_u64..4_500).prop_map(Some)];
    let sort = prop::option::of(prop::sample::select(SORTS.to_vec()));
    (q, kind, bound(), bound(), peer, sort, 1_usize..4).prop_map(
        |(q, kind, min_size, max_size, peer, sort, limit)| SearchParams {
            q,
            kind,
            min_size,
            max_size,
            peer: peer.map(Into::into),
            sort,
            limit: Some(limit),
            cursor: None,
        },
    )
}
