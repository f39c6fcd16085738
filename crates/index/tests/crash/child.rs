//! The process that is killed: it opens the store, and then each peer has a thread that does one thing after the other,
//! while another takes snapshots, merges and searches.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use peerage_index::{Error, Index, Options};
use peerage_wire::api::{Heartbeat, SearchParams};
use serde::{Deserialize, Serialize};

use crate::fixture::{SEEN_IP, at, query};
use crate::journal::Journal;
use crate::share::{Dice, Op, PEERS, Standing, id};

/// Where a child finds its orders.
const ORDERS: &str = "PEERAGE_CRASH_ORDERS";

/// What a child is to do.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) store: PathBuf,
    pub(crate) journal: PathBuf,
    pub(crate) seed: u64,
    /// Whether the disk may fail under it.
    pub(crate) disk_fails: bool,
    pub(crate) peers: [Vec<u8>; PEERS],
}

impl Orders {
    pub(crate) fn read(path: &Path) -> Self {
        serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap()
    }

    /// How each peer stands when the child starts.
    pub(crate) fn peers(&self) -> [Standing; PEERS] {
        self.peers.each_ref().map(|peer| serde_json::from_slice(peer).unwrap())
    }

    /// Starts a child. What it says goes to a file beside the journal.
    pub(crate) fn start(&self, peers: &[Standing; PEERS], dir: &Path) -> Child {
        let orders = Self {
            peers: peers.each_ref().map(|peer| serde_json::to_vec(peer).unwrap()),
            store: self.store.clone(),
            journal: self.journal.clone(),
            ..*self
        };
        let path = dir.join("orders");
        std::fs::write(&path, serde_json::to_vec(&orders).unwrap()).unwrap();
        let words = std::fs::File::create(dir.join("words")).unwrap();
        Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_process", "--ignored", "--nocapture"])
            .env(ORDERS, path)
            .stdin(Stdio::null())
            .stdout(words.try_clone().unwrap())
            .stderr(words)
            .spawn()
            .unwrap()
    }
}

pub(crate) fn run() {
    let Some(path) = std::env::var_os(ORDERS) else { return };
    let orders = Orders::read(Path::new(&path));
    let mut dice = Dice::new(orders.seed);
    let memtable_names = Some([1, 3, 30][usize::try_from(dice.below(3)).unwrap()]);
    let options = Options { memtable_names, ..Options::default() };
    let journal = Journal::append(&orders.journal);
    match Index::open(&orders.store, &options, &|_| {}) {
        Ok(index) => use_store(&index, &journal, &orders, &mut dice),
        Err(why) => done(&why, &orders),
    }
    // The disk failed, and the end is yet to come.
    thread::sleep(Duration::from_secs(60));
}

fn use_store(index: &Index, journal: &Journal, orders: &Orders, dice: &mut Dice) {
    thread::scope(|scope| {
        for (peer, standing) in orders.peers().into_iter().enumerate() {
            let dice = Dice::new(dice.roll());
            let life = Life { index, journal, peer, standing, dice };
            scope.spawn(|| done(&life.live(), orders));
        }
        let dice = Dice::new(dice.roll());
        scope.spawn(|| done(&keep_house(index, dice), orders));
    });
}

/// What ends a thread ends the process, unless it was to be expected.
fn done(why: &Error, orders: &Orders) {
    if !(orders.disk_fails && matches!(why, Error::Store { .. })) {
        eprintln!("failed: {why}");
        std::process::abort();
    }
}

struct Life<'a> {
    index: &'a Index,
    journal: &'a Journal,
    peer: usize,
    standing: Standing,
    dice: Dice,
}

impl Life<'_> {
    fn live(mut self) -> Error {
        if self.standing.is_here() {
            let beat = Heartbeat { epoch: self.standing.epoch, digest: Some(self.standing.digest()) };
            if let Err(error) = self.index.heartbeat(id(self.peer), beat, at(0)) {
                return error;
            }
        }
        loop {
            let op = self.standing.next(self.peer, &mut self.dice);
            self.journal.begins(self.peer, &op);
            if let Err(error) = self.act(&op) {
                return error;
            }
            self.journal.is_done(self.peer);
            self.standing.take(&op);
        }
    }

    fn act(&self, op: &Op) -> Result<(), Error> {
        let id = id(self.peer);
        match op {
            Op::Announce { keeps } => {
                let what = self.standing.announcement(self.peer, *keeps);
                let resync = self.index.announce(id, &what, SEEN_IP, at(0))?.resync;
                assert_eq!(resync, !keeps);
            }
            Op::Batch { changes } => {
                let applied = self.index.apply(id, self.standing.order(), changes.clone())?;
                let mut after = self.standing.clone();
                after.take(op);
                assert_eq!(applied.files, after.files.len() as u64);
            }
            Op::Quit => self.index.quit(id)?,
        }
        Ok(())
    }
}

fn keep_house(index: &Index, mut dice: Dice) -> Error {
    loop {
        thread::sleep(Duration::from_micros(dice.below(8_000)));
        let kept = match dice.below(6) {
            0..3 => index.snapshot(),
            3 => index.settle(),
            _ => index.search(&SearchParams { limit: Some(20), ..query("s yellow") }).map(drop),
        };
        if let Err(error) = kept {
            return error;
        }
    }
}
