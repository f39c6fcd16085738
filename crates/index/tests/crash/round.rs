//! One round: a child is started, ended at a random moment, and what it left is looked at.

use std::path::{Path, PathBuf};
use std::process::Child;
use std::thread;
use std::time::Duration;

use peerage_index::{Checked, Error, Index, Options};
use peerage_wire::ContentHash;
use peerage_wire::api::{BatchOrder, Change, Heartbeat, ListParams, Page, SearchParams, Sort};
use tempfile::TempDir;

use crate::child::Orders;
use crate::fixture::{SEEN_IP, at, counts, query};
use crate::journal::Told;
use crate::model::Model;
use crate::share::{Dice, PEERS, Standing, id, said};

/// Milliseconds after which a child has ended at the latest.
const LIFE_MILLIS_MAX: u64 = 110;
const QUERIES: [&str; 9] = [
    "yellow",
    "s",
    "subm",
    "\"blue sky\" -live",
    "2024 mp3",
    "ellow",
    "都",
    "track07 OR été",
    "type:audio live",
];
const SORTS: [Sort; 4] = [Sort::Rank, Sort::Size, Sort::Name, Sort::Newest];

/// How a child ends, and where its store is.
pub(crate) trait End {
    fn dir(&self) -> &Path;
    /// Ends the child; what the disk then holds is in [`End::dir`] after it. Where the child may outlive its disk, the
    /// journal is told when that fails.
    fn end(&mut self, child: &mut Child, journal: &Path);
    fn disk_fails(&self) -> bool;
}

/// A process that is killed.
pub(crate) struct Killed(TempDir);

impl Killed {
    pub(crate) fn new() -> Self {
        Self(scratch())
    }
}

impl End for Killed {
    fn dir(&self) -> &Path {
        self.0.path()
    }

    fn end(&mut self, child: &mut Child, _journal: &Path) {
        kill(child);
    }

    fn disk_fails(&self) -> bool {
        false
    }
}

/// Kills a child, which must not have ended by itself.
pub(crate) fn kill(child: &mut Child) {
    child.kill().unwrap();
    let status = child.wait().unwrap();
    let signal = std::os::unix::process::ExitStatusExt::signal(&status);
    assert_eq!(signal, Some(9), "the child ended by itself: {status}");
}

/// A directory in memory where there is such a place.
pub(crate) fn scratch() -> TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| TempDir::new()).unwrap()
}

/// What was seen, in numbers.
#[derive(Debug, Default)]
pub(crate) struct Seen {
    pub(crate) acknowledged: u64,
    pub(crate) with_snapshot: u64,
    pub(crate) with_torn_log: u64,
    pub(crate) last_words_there: u64,
}

impl Seen {
    pub(crate) fn add(&mut self, other: &Self) {
        self.acknowledged += other.acknowledged;
        self.with_snapshot += other.with_snapshot;
        self.with_torn_log += other.with_torn_log;
        self.last_words_there += other.last_words_there;
    }
}

/// A store with its history.
pub(crate) struct Store {
    end: Box<dyn End>,
    peers: [Standing; PEERS],
    /// Orders, journal and words of the children.
    desk: TempDir,
}

impl Store {
    pub(crate) fn new(end: Box<dyn End>) -> Self {
        Self { end, peers: std::array::from_fn(|_| Standing::default()), desk: scratch() }
    }

    pub(crate) fn round(&mut self, dice: &mut Dice) -> Seen {
        let journal = self.desk.path().join("journal");
        let _ = std::fs::remove_file(&journal);
        let orders = Orders {
            store: self.dir(),
            journal: journal.clone(),
            seed: dice.roll(),
            disk_fails: self.end.disk_fails(),
            peers: Default::default(),
        };
        let mut child = orders.start(&self.peers, self.desk.path());
        thread::sleep(Duration::from_millis(3 + dice.below(LIFE_MILLIS_MAX)));
        let ended = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            self.end.end(&mut child, &journal);
        }));
        if ended.is_err() {
            let _ = (child.kill(), child.wait());
            let words = std::fs::read_to_string(self.desk.path().join("words"));
            panic!("the child said: {}", words.unwrap_or_default());
        }
        self.keep();
        self.judge(dice, &journal)
    }

    /// Compares what a child left with its journal.
    fn judge(&mut self, dice: &mut Dice, journal: &Path) -> Seen {
        let told = Told::read(journal);
        let mut seen = Seen { acknowledged: told.acknowledged(), ..Seen::default() };
        // Every other time the opening itself finds what was torn.
        let is_fresh = self.peers.iter().any(|peer| peer.epoch == 0);
        let checked = (dice.percent(50) || is_fresh).then(|| Index::check(&self.dir()).unwrap());
        let possible = told.possible(&self.peers);
        let lefts: Vec<_> = possible
            .iter()
            .enumerate()
            .map(|(peer, possible)| how_it_left(&self.dir(), peer, possible))
            .collect();
        let index = open(&self.dir());
        for ((peer, possible), left) in possible.iter().enumerate().zip(lefts) {
            let found = resolve(&index, peer, possible, left);
            seen.last_words_there += u64::from(found + 1 == possible.len() && found > 0);
            self.peers[peer] = possible[found].clone();
        }
        if let Some(checked) = &checked {
            self.leave_out_the_unknown(&possible, checked);
        }
        if let Some(checked) = checked {
            seen.with_snapshot = u64::from(checked.snapshot_bytes > 0);
            seen.with_torn_log = u64::from(checked.torn_bytes > 0);
            self.compare_counts(&checked);
        }
        self.call_back(&index);
        self.compare(&index, dice);
        index.close().unwrap();
        drop(index);
        self.compare_counts(&Index::check(&self.dir()).unwrap());
        seen
    }

    fn dir(&self) -> PathBuf {
        self.end.dir().join("store")
    }

    /// Judges once more what [`Store::keep`] kept.
    pub(crate) fn look_again(kept: &Path, dice: &mut Dice) {
        let end = Killed::new();
        let dir = end.dir().join("store");
        copy(kept, &dir);
        let peers = Orders::read(&kept.join("orders")).peers();
        let mut store = Self { end: Box::new(end), peers, desk: scratch() };
        store.judge(dice, &kept.join("journal"));
    }

    /// Copies what the child left to where `PEERAGE_CRASH_KEEP` says, in place of what the one before left: where the round
    /// fails, it can be looked at.
    fn keep(&self) {
        let Some(kept) = std::env::var_os("PEERAGE_CRASH_KEEP").map(PathBuf::from) else { return };
        let _ = std::fs::remove_dir_all(&kept);
        let desk = self.desk.path().to_owned();
        [self.dir(), desk].iter().filter(|dir| dir.is_dir()).for_each(|dir| copy(dir, &kept));
    }

    /// Who came for the first time in this round and left is refused as who never came: an index that has none of them,
    /// since it was killed before any of their words was written, tells so by how many it has.
    fn leave_out_the_unknown(&mut self, possible: &[Vec<Standing>; PEERS], checked: &Checked) {
        let may_be_unknown =
            |at: usize, peer: &Standing| possible[at][0].epoch == 0 && peer.epoch > 0 && !peer.is_here();
        let is_known = |(at, peer): &(usize, &Standing)| peer.epoch > 0 && !may_be_unknown(*at, peer);
        if checked.peers == self.peers.iter().enumerate().filter(is_known).count() as u64 {
            for (at, peer) in self.peers.iter_mut().enumerate().filter(|(at, peer)| may_be_unknown(*at, peer))
            {
                *peer = possible[at][0].clone();
            }
        }
    }

    fn compare_counts(&self, checked: &Checked) {
        let known = self.peers.iter().filter(|peer| peer.epoch > 0).count() as u64;
        let files = self.peers.iter().map(|peer| peer.files.len() as u64).sum::<u64>();
        assert_eq!((checked.peers, checked.files), (known, files));
    }

    /// Who left announces itself again, with all it had.
    fn call_back(&mut self, index: &Index) {
        for (peer, standing) in self.peers.iter_mut().enumerate().filter(|(_, peer)| !peer.is_here()) {
            let what = said(peer, standing.epoch + 1, standing.digest());
            assert!(!index.announce(id(peer), &what, SEEN_IP, at(0)).unwrap().resync);
            (standing.epoch, standing.next_seq, standing.has_left) = (standing.epoch + 1, 0, false);
        }
    }

    /// Every answer is the model's.
    fn compare(&self, index: &Index, dice: &mut Dice) {
        let mut model = Model::default();
        for (peer, standing) in self.peers.iter().enumerate() {
            let what = said(peer, standing.epoch, standing.digest());
            model.announce(id(peer), &what, at(0)).unwrap();
            let files: Vec<Change> = standing.files.values().cloned().map(Change::Add).collect();
            model.apply(id(peer), BatchOrder { epoch: standing.epoch, seq: 0 }, &files).unwrap();
        }
        assert_eq!(counts(index), model.stats());
        for q in QUERIES {
            let sort = Some(SORTS[usize::try_from(dice.below(4)).unwrap()]);
            let params = SearchParams { sort, limit: Some(200), ..query(q) };
            let (matched, hits) = model.search(&params).unwrap();
            let of = |cursor| index.search(&SearchParams { cursor, ..params.clone() }).unwrap();
            assert_eq!((Some(matched), hits), all(of), "{params:?}");
        }
        let of = |cursor| index.files(&ListParams { cursor, ..ListParams::default() }).unwrap();
        assert_eq!(model.files(None, None), all(of).1);
        let of = |cursor| index.peers(&ListParams { cursor, ..ListParams::default() }).unwrap();
        assert_eq!(model.peers(None), all(of).1);
        for number in 0..5_u64 {
            let hash = ContentHash::of(&number.to_le_bytes());
            assert_eq!(index.content(hash).unwrap(), model.content(hash));
        }
    }
}

fn open(dir: &Path) -> Index {
    let options = Options { memtable_names: Some(3), ..Options::default() };
    Index::open(dir, &options, &|_| {}).unwrap()
}

/// Copies the files of a folder to another, which is made where there is none.
fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for file in from.read_dir().unwrap().map(Result::unwrap).filter(|file| file.path().is_file()) {
        std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
    }
}

/// Where a peer may have left with several lists of files, which of them the store has. An index says of who left only whether it
/// may come back with a list: each is tried with a copy of the store. With no files it always may, so that is what is left.
fn how_it_left(store: &Path, peer: usize, possible: &[Standing]) -> Option<usize> {
    let lefts = || possible.iter().enumerate().rev().filter(|(_, standing)| !standing.is_here());
    let (_, last) = lefts().next()?;
    if lefts().all(|(_, standing)| standing.digest() == last.digest()) {
        return None;
    }
    let has = |standing: &Standing| {
        let scratch = scratch();
        let copied = scratch.path().join("store");
        copy(store, &copied);
        let index = open(&copied);
        let what = said(peer, u64::MAX, standing.digest());
        !index.announce(id(peer), &what, SEEN_IP, at(0)).unwrap().resync
    };
    let mut with_files = lefts().filter(|(_, standing)| !standing.files.is_empty());
    let found = with_files.find(|(_, standing)| has(standing));
    found.or_else(|| lefts().find(|(_, standing)| standing.files.is_empty())).map(|(at, _)| at)
}

/// Which of the ways a peer may stand is the one that the index knows; where it left, how.
fn resolve(index: &Index, peer: usize, possible: &[Standing], left: Option<usize>) -> usize {
    let mut refused = Vec::new();
    for standing in possible.iter().rev().filter(|standing| standing.is_here()) {
        let beat = Heartbeat { epoch: standing.epoch, digest: Some(standing.digest()) };
        match index.heartbeat(id(peer), beat, at(0)) {
            Ok(reply) => {
                assert!(!reply.resync);
                return of_order(index, peer, possible);
            }
            Err(error @ (Error::UnknownPeer | Error::StaleEpoch { .. })) => refused.push(error),
            Err(error) => panic!("{error}"),
        }
    }
    let away = || possible.iter().rposition(|standing| !standing.is_here());
    left.or_else(away).unwrap_or_else(|| {
        let stats = index.stats();
        panic!("peer {peer} stands as it never did ({refused:?}; {stats:?}). It may stand: {possible:#?}")
    })
}

/// The index tells the order that it is at when it is asked for nonsense.
fn of_order(index: &Index, peer: usize, possible: &[Standing]) -> usize {
    let nonsense = BatchOrder { epoch: u64::MAX, seq: u64::MAX };
    let told = index.apply(id(peer), nonsense, Vec::new());
    let Err(Error::OutOfOrder { expected_epoch, expected_seq, .. }) = told else {
        panic!("nonsense was not refused: {told:?}");
    };
    let row = index.peer(id(peer)).unwrap().unwrap();
    let is_it = |standing: &Standing| {
        standing.is_here()
            && (standing.epoch, standing.next_seq) == (expected_epoch, expected_seq)
            && standing.files.len() as u64 == row.files
    };
    let found = possible.iter().rposition(is_it);
    found.unwrap_or_else(|| {
        panic!("peer {peer} is at batch {expected_seq} of epoch {expected_epoch}: {possible:#?}")
    })
}

/// A list of all pages.
fn all<T>(page_at: impl Fn(Option<String>) -> Page<T>) -> (Option<peerage_wire::api::Matched>, Vec<T>) {
    let mut page = page_at(None);
    let (matched, mut hits) = (page.matched, std::mem::take(&mut page.hits));
    while page.cursor.is_some() {
        page = page_at(page.cursor.take());
        hits.append(&mut page.hits);
    }
    (matched, hits)
}
