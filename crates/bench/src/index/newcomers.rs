//! Peers and contents beyond the corpus: handed out once each, and how a peer comes and goes.

use std::net::{IpAddr, Ipv4Addr};
use std::ops::Range;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};
use peerage_index::{Index, Moment};
use peerage_wire::api::{Announced, Announcement, BatchOrder, Change, Doors};
use peerage_wire::{FileEntry, PeerId, ShareDigest, limits};

use crate::corpus::{Corpus, batches, digest};

/// Files of a usual peer.
pub(crate) const PEER_FILES: u64 = 200;

/// Numbers that are given out.
pub(crate) struct Newcomers {
    peer: AtomicU64,
    content: AtomicU64,
}

/// A peer with its files, ready to come.
pub(crate) struct Guest {
    pub(crate) id: PeerId,
    pub(crate) digest: ShareDigest,
    pub(crate) files: u64,
    number: u64,
    batches: Vec<Vec<Change>>,
}

impl Newcomers {
    /// Those beyond a corpus. A store that is kept remembers those of earlier runs, so each run has its own numbers.
    pub(crate) fn new(corpus: &Corpus) -> Self {
        /// Peers and contents that a run has room for.
        const PEERS: u64 = 1 << 20;
        const CONTENTS: u64 = 1 << 28;
        let size = corpus.size();
        let run = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .map_or(0, |now| u64::try_from(now.as_millis()).unwrap_or(0) % (1 << 32));
        Self {
            peer: AtomicU64::new(size.peers + run * PEERS),
            content: AtomicU64::new(size.contents + run * CONTENTS),
        }
    }

    /// The number of a peer that was not here yet.
    pub(crate) fn peer(&self) -> u64 {
        self.peer.fetch_add(1, Ordering::Relaxed)
    }

    /// Contents that nobody has had yet.
    pub(crate) fn contents(&self, count: u64) -> Range<u64> {
        let first = self.content.fetch_add(count, Ordering::Relaxed);
        first..first + count
    }

    /// A peer with so many known contents, and so many never seen.
    pub(crate) fn guest(&self, corpus: &Corpus, known: u64, new: u64) -> Guest {
        let number = self.peer();
        let files = corpus.files(number, &corpus.newcomer(known, self.contents(new)));
        Guest::new(corpus.id(number), number, files)
    }
}

impl Guest {
    /// A peer with files.
    pub(crate) fn new(id: PeerId, number: u64, mut files: Vec<FileEntry>) -> Self {
        // Made names are very seldom the same twice; an index has one file at a path.
        files.sort_by(|left, right| left.path.cmp(&right.path));
        files.dedup_by(|right, left| left.path == right.path);
        Self { id, digest: digest(&files), files: files.len() as u64, number, batches: batches(files) }
    }

    /// Announces itself and registers everything.
    ///
    /// # Errors
    /// When the index refuses.
    pub(crate) fn come(&mut self, index: &Index) -> Result<()> {
        announce(index, self.id, self.number, FIRST_EPOCH, ShareDigest::default())?;
        for (seq, changes) in std::mem::take(&mut self.batches).into_iter().enumerate() {
            let order = BatchOrder { epoch: FIRST_EPOCH, seq: seq as u64 };
            index.apply(self.id, order, changes).context("a batch was refused")?;
        }
        Ok(())
    }

    /// Announces itself again, with what it has; tells whether the index wants all of it again.
    ///
    /// # Errors
    /// When the index refuses.
    pub(crate) fn come_back(&self, index: &Index, epoch: u64) -> Result<bool> {
        Ok(announce(index, self.id, self.number, epoch, self.digest)?.resync)
    }
}

/// The epoch in which everybody comes first.
pub(crate) const FIRST_EPOCH: u64 = 1;

/// A peer says who it is.
///
/// # Errors
/// When the index refuses.
pub(crate) fn announce(
    index: &Index,
    id: PeerId,
    number: u64,
    epoch: u64,
    digest: ShareDigest,
) -> Result<Announced> {
    let doors = Doors::native(limits::PEER_PORT);
    let what = Announcement { name: Corpus::name(number), doors, epoch, digest };
    let ip = IpAddr::V4(Ipv4Addr::LOCALHOST);
    index.announce(id, &what, ip, now()).context("an announcement was refused")
}

/// Time since the first call.
pub(crate) fn now() -> Moment {
    static START: OnceLock<Instant> = OnceLock::new();
    let millis = START.get_or_init(Instant::now).elapsed().as_millis();
    Moment::from_millis(u64::try_from(millis).unwrap_or(u64::MAX))
}
