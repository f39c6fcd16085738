//! Registrations beside a rival's searches: peers come and leave as at our own index, and with each file the live sources of a content
//! change, which is what its searches are ordered by.
//!
//! What a rival has taken in is found once it commits, which costs it more the oftener it does: at most once a second. Ours is found at once.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use anyhow::Result;

use super::documents::{Document, Maker};
use crate::corpus::{Corpus, index};
use crate::index::Setting;
use crate::index::writer::{Host, KNOWN_FILES, NEW_FILES};

/// Between two commits, at least.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// What a rival is written to by.
pub(super) trait Writer: Send {
    /// Takes a content as it is now, whether it was here or not.
    ///
    /// # Errors
    /// When it is refused.
    fn put(&mut self, content: Changed<'_>) -> Result<()>;
    /// Gives a content up that nobody has any more.
    ///
    /// # Errors
    /// When that is refused.
    fn forget(&mut self, id: u64) -> Result<()>;
    /// Lets searches find what was written since the last time.
    ///
    /// # Errors
    /// When it can't.
    fn commit(&mut self) -> Result<()>;
}

/// A content whose live sources changed; what else it has is made where it is wanted.
pub(super) struct Changed<'a> {
    pub(super) id: u64,
    /// Live sources.
    pub(super) live: u32,
    corpus: &'a Corpus,
    maker: &'a mut Maker,
}

impl Changed<'_> {
    pub(super) fn document(&mut self) -> Document<'_> {
        self.maker.document(self.corpus, self.id, self.live)
    }
}

/// A rival as a host of peers. However often a content changes between two commits, it is written once, before the second.
pub(super) struct Registry<'a> {
    setting: &'a Setting<'a>,
    writer: Box<dyn Writer>,
    /// Live sources of the corpus when the rival was built, and of what changed since.
    built: &'a [u32],
    changed: HashMap<u64, u32>,
    unwritten: HashSet<u64>,
    maker: Maker,
    committed: Instant,
}

impl<'a> Registry<'a> {
    pub(super) fn new(setting: &'a Setting<'a>, built: &'a [u32], writer: Box<dyn Writer>) -> Self {
        let (changed, unwritten, maker) = (HashMap::new(), HashSet::new(), Maker::default());
        Self { setting, writer, built, changed, unwritten, maker, committed: Instant::now() }
    }

    /// A content has one live source more or less.
    fn count(&mut self, content: u64, is_more: bool) {
        let built = || self.built.get(index(content)).copied().unwrap_or(0);
        let live = self.changed.entry(content).or_insert_with(built);
        *live = if is_more { *live + 1 } else { live.saturating_sub(1) };
        self.unwritten.insert(content);
    }

    fn commit_in_time(&mut self) -> Result<()> {
        if self.committed.elapsed() < COMMIT_EVERY {
            return Ok(());
        }
        let Self { setting, writer, changed, unwritten, maker, .. } = self;
        for id in unwritten.drain() {
            match changed.get(&id).copied().unwrap_or(0) {
                0 => writer.forget(id)?,
                live => writer.put(Changed { id, live, corpus: setting.corpus, maker })?,
            }
        }
        writer.commit()?;
        self.committed = Instant::now();
        Ok(())
    }
}

impl Host for Registry<'_> {
    /// Its contents.
    type Guest = Vec<u64>;

    fn guest(&mut self) -> Vec<u64> {
        let Setting { corpus, newcomers, .. } = self.setting;
        let mut contents = Vec::new();
        let listing = corpus.newcomer(KNOWN_FILES, newcomers.contents(NEW_FILES));
        corpus.contents(newcomers.peer(), &listing, |content, _| contents.push(content));
        contents
    }

    fn come(&mut self, guest: &mut Vec<u64>) -> Result<u64> {
        guest.iter().for_each(|content| self.count(*content, true));
        self.commit_in_time()?;
        Ok(guest.len() as u64)
    }

    fn leave(&mut self, guest: Vec<u64>) -> Result<()> {
        guest.into_iter().for_each(|content| self.count(content, false));
        self.commit_in_time()
    }
}
