//! Peers with all they will say: keys, announcements and batches, made and packed beforehand.

use std::cell::RefCell;

use anyhow::Result;
use ed25519_dalek::SigningKey;
use peerage_wire::api::{Announcement, Doors, Heartbeat};
use peerage_wire::{FileEntry, PeerId, ShareDigest, limits};

use crate::corpus::{Corpus, batches, digest};
use crate::index::Saved;

/// Files of a peer that comes while others search.
pub(crate) const LATER_FILES: u64 = 200;
/// As our own peers pack.
const ZSTD_LEVEL: i32 = 1;
/// The epoch in which everybody comes.
pub(crate) const EPOCH: u64 = 1;

/// One peer.
pub(crate) struct Person {
    pub(crate) key: SigningKey,
    pub(crate) id: PeerId,
    /// The announcement's body.
    pub(crate) announcement: Vec<u8>,
    /// The heartbeat's body, with its digest.
    pub(crate) heartbeat: Vec<u8>,
    /// Packed batches, and how many files are in each.
    pub(crate) batches: Vec<(Vec<u8>, u64)>,
}

/// All of them, and their tokens once they have some.
pub(crate) struct People {
    pub(crate) all: Vec<Person>,
    pub(crate) tokens: RefCell<Vec<String>>,
    /// How many come before anything else.
    first: usize,
}

impl People {
    /// The peers of a corpus, and so many that come later.
    ///
    /// # Errors
    /// When something can't be packed.
    pub(crate) fn made(corpus: &Corpus, later: u64) -> Result<Self> {
        let make = |number| Person::made(corpus, number, corpus.files(number, &corpus.listing(number)));
        let first = (0..corpus.size().peers).map(make).collect::<Result<_>>()?;
        Self::of(corpus, first, later)
    }

    /// Peers of a store, at most so many, and so many others that come later.
    ///
    /// # Errors
    /// When the store does not know them, or something can't be packed.
    pub(crate) fn saved(corpus: &Corpus, saved: &Saved, (most, later): (u64, u64)) -> Result<Self> {
        let make = |number| Person::new(corpus, number, saved.digest(number)?, Vec::new());
        let first = (0..corpus.size().peers.min(most)).map(make).collect::<Result<_>>()?;
        Self::of(corpus, first, later)
    }

    /// Those who come first, and so many that come later, each with some files that nobody has yet.
    fn of(corpus: &Corpus, mut all: Vec<Person>, later: u64) -> Result<Self> {
        let (peers, contents) = (corpus.size().peers, corpus.size().contents);
        let new = LATER_FILES / 8;
        let make = |newcomer: u64| {
            let (number, own) = (peers + newcomer, contents + newcomer * new);
            let listing = corpus.newcomer(LATER_FILES - new, own..own + new);
            Person::made(corpus, number, corpus.files(number, &listing))
        };
        let first = all.len();
        for newcomer in 0..later {
            all.push(make(newcomer)?);
        }
        let tokens = RefCell::new(vec![String::new(); all.len()]);
        Ok(Self { all, tokens, first })
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Who comes before anything else.
    pub(crate) fn first(&self) -> std::ops::Range<usize> {
        0..self.first
    }

    /// Who comes while others search.
    pub(crate) fn later(&self) -> std::ops::Range<usize> {
        self.first..self.all.len()
    }

    /// A person's token.
    pub(crate) fn token(&self, number: usize) -> String {
        self.tokens.borrow()[number].clone()
    }

    /// Bytes that a file takes in a packed batch.
    pub(crate) fn packed_mean(&self) -> f64 {
        let batches = || self.all.iter().flat_map(|person| &person.batches);
        let bytes: usize = batches().map(|(packed, _)| packed.len()).sum();
        bytes as f64 / batches().map(|(_, files)| files).sum::<u64>().max(1) as f64
    }
}

impl Person {
    fn made(corpus: &Corpus, number: u64, files: Vec<FileEntry>) -> Result<Self> {
        let digest = digest(&files);
        let mut packed = Vec::new();
        for changes in batches(files) {
            let mut lines = Vec::new();
            for change in &changes {
                serde_json::to_writer(&mut lines, change)?;
                lines.push(b'\n');
            }
            packed.push((zstd::bulk::compress(&lines, ZSTD_LEVEL)?, changes.len() as u64));
        }
        Self::new(corpus, number, digest, packed)
    }

    fn new(corpus: &Corpus, number: u64, digest: ShareDigest, batches: Vec<(Vec<u8>, u64)>) -> Result<Self> {
        let key = corpus.key(number);
        let announcement = Announcement {
            name: Corpus::name(number),
            doors: Doors::native(limits::PEER_PORT),
            epoch: EPOCH,
            digest: ShareDigest::default(),
        };
        Ok(Self {
            id: PeerId::from_bytes(key.verifying_key().to_bytes()),
            key,
            announcement: serde_json::to_vec(&announcement)?,
            heartbeat: serde_json::to_vec(&Heartbeat { epoch: EPOCH, digest: Some(digest) })?,
            batches,
        })
    }
}
