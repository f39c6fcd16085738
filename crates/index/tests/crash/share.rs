//! What peers do, by dice: who they are, what they share, and how what they share comes from what they did.

use std::collections::BTreeMap;

use peerage_wire::api::{Announcement, BatchOrder, Change, Doors};
use peerage_wire::{ContentHash, FileEntry, PeerId, ShareDigest, SharePath};
use serde::{Deserialize, Serialize};

use crate::fixture::digest_of;

pub(crate) const PEERS: usize = 4;
const NAMES: [&str; PEERS] = ["anna", "ben", "cleo", "dora"];
const WORDS: [&str; 8] = ["Yellow", "Submarine", "été", "live", "東京都", "blue sky", "2024", "track07"];
const ENDINGS: [&str; 4] = ["mp3", "txt", "flac", "iso"];
/// Paths there are.
const PATHS: u64 = 120;
/// Contents that go by many of these paths, each by fewer than are listed of a content.
const POPULAR: u64 = 5;
const POPULAR_PATHS: u64 = 40;

/// Random numbers that a seed tells (splitmix64).
#[derive(Debug)]
pub(crate) struct Dice(u64);

impl Dice {
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    pub(crate) fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Less than `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.roll() % end
    }

    pub(crate) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}

/// What a peer does.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) enum Op {
    /// It says who it is, in the next epoch; of its files the index keeps all or none.
    Announce { keeps: bool },
    /// It changes its files.
    Batch { changes: Vec<Change> },
    /// It leaves.
    Quit,
}

/// How a peer stands after what it did.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(crate) struct Standing {
    /// 0 where it never said who it is.
    pub(crate) epoch: u64,
    pub(crate) next_seq: u64,
    pub(crate) has_left: bool,
    /// Whether all its files were dropped and none came since.
    pub(crate) was_emptied: bool,
    pub(crate) files: BTreeMap<SharePath, FileEntry>,
}

impl Standing {
    pub(crate) fn is_here(&self) -> bool {
        self.epoch > 0 && !self.has_left
    }

    pub(crate) fn digest(&self) -> ShareDigest {
        digest_of(self.files.values())
    }

    pub(crate) const fn order(&self) -> BatchOrder {
        BatchOrder { epoch: self.epoch, seq: self.next_seq }
    }

    /// What it says of itself when it does [`Op::Announce`].
    pub(crate) fn announcement(&self, peer: usize, keeps: bool) -> Announcement {
        let digest = if keeps { self.digest() } else { digest_of([&file(peer, PATHS, 0, false)]) };
        said(peer, self.epoch + 1, digest)
    }

    pub(crate) fn take(&mut self, op: &Op) {
        match op {
            Op::Announce { keeps } => {
                (self.epoch, self.next_seq, self.has_left) = (self.epoch + 1, 0, false);
                if !keeps {
                    self.files.clear();
                    self.was_emptied = true;
                }
            }
            Op::Batch { changes } => {
                self.next_seq += 1;
                self.was_emptied = false;
                for change in changes {
                    match change {
                        Change::Add(file) => self.files.insert(file.path.clone(), file.clone()),
                        Change::Remove { path } => self.files.remove(path),
                    };
                }
            }
            Op::Quit => self.has_left = true,
        }
    }

    /// What it does next.
    pub(crate) fn next(&self, peer: usize, dice: &mut Dice) -> Op {
        match dice.below(100) {
            _ if !self.is_here() => Op::Announce { keeps: true },
            // Followed by a batch, so that what may be lost of a peer's last words tells no two of its lists of files.
            0..2 if !self.was_emptied => Op::Announce { keeps: false },
            2..7 if !self.was_emptied => Op::Quit,
            7..10 if !self.was_emptied => Op::Announce { keeps: true },
            _ => Op::Batch { changes: self.changes(peer, dice) },
        }
    }

    fn changes(&self, peer: usize, dice: &mut Dice) -> Vec<Change> {
        let count = match dice.below(10) {
            0..6 => dice.below(8),
            6..9 => 8 + dice.below(40),
            _ => 60 + dice.below(100),
        };
        let removed = [10, 40, 90][usize::try_from(dice.below(3)).unwrap()];
        let change = |dice: &mut Dice| {
            let path = dice.below(PATHS);
            if dice.percent(removed) {
                return Change::Remove { path: self::path(path) };
            }
            let content = match dice.below(10) {
                0..4 if path < POPULAR_PATHS => dice.below(POPULAR),
                // Of these each is under one path, and few are met again.
                0..8 => 1_000 + path * 4 + dice.below(4),
                _ => 1_000_000 + path * 1_000 + dice.below(1_000),
            };
            Change::Add(file(peer, path, content, dice.percent(10)))
        };
        (0..count).map(|_| change(dice)).collect()
    }
}

pub(crate) fn id(peer: usize) -> PeerId {
    PeerId::from_bytes([u8::try_from(peer).unwrap() + 1; 32])
}

/// What a peer says of itself.
pub(crate) fn said(peer: usize, epoch: u64, digest: ShareDigest) -> Announcement {
    Announcement { name: NAMES[peer].parse().unwrap(), doors: Doors::native(1_000), epoch, digest }
}

fn path(number: u64) -> SharePath {
    let word = |of: u64| WORDS[usize::try_from(of % 8).unwrap()];
    let ending = ENDINGS[usize::try_from(number % 4).unwrap()];
    let text = format!("s/{}/{} {} {number}.{ending}", word(number / 24), word(number), word(number / 8));
    SharePath::parse(&text).unwrap()
}

/// A file. A name's time is always the same one, so that it does not matter who told it first.
fn file(peer: usize, path: u64, content: u64, lies: bool) -> FileEntry {
    let size = content % 97 * 1_000 + if lies { 1 + peer as u64 } else { 0 };
    let modified = i64::try_from(content % 1_000 * 7 + path).unwrap() - 50;
    FileEntry { path: self::path(path), size, hash: ContentHash::of(&content.to_le_bytes()), modified }
}
