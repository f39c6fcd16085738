//! Registrations beside a rival's searches: peers come and leave as at our own index, and with each file the live sources of a content
//! change, which is what its searches are ordered by.
//!
//! What a rival has taken in is found once it commits, which costs it more the oftener it does: once a second. Ours is found at once.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::documents::{Document, Maker};
use crate::corpus::index;
use crate::index::Setting;
use crate::index::writer::{Host, KNOWN_FILES, NEW_FILES};

/// Between two commits.
const COMMIT_EVERY: Duration = Duration::from_secs(1);

/// What a rival is written to by.
pub(super) trait Writer: Send {
    /// Takes a content as it is now, whether it was here or not.
    ///
    /// # Errors
    /// When it is refused.
    fn put(&mut self, document: &Document<'_>) -> Result<()>;
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

/// A rival as a host of peers.
pub(super) struct Registry<'a> {
    setting: &'a Setting<'a>,
    writer: Box<dyn Writer>,
    /// Live sources of the corpus when the rival was built, and of what changed since.
    built: &'a [u32],
    changed: HashMap<u64, u32>,
    maker: Maker,
    committed: Instant,
}

impl<'a> Registry<'a> {
    pub(super) fn new(setting: &'a Setting<'a>, built: &'a [u32], writer: Box<dyn Writer>) -> Self {
        let (changed, maker) = (HashMap::new(), Maker::default());
        Self { setting, writer, built, changed, maker, committed: Instant::now() }
    }

    /// A content has one live source more or less.
    fn count(&mut self, content: u64, is_more: bool) -> Result<()> {
        let built = || self.built.get(index(content)).copied().unwrap_or(0);
        let live = self.changed.entry(content).or_insert_with(built);
        *live = if is_more { *live + 1 } else { live.saturating_sub(1) };
        let live = *live;
        if live == 0 {
            self.changed.remove(&content);
            return self.writer.forget(content);
        }
        self.writer.put(&self.maker.document(self.setting.corpus, content, live))
    }

    fn commit_in_time(&mut self) -> Result<()> {
        if self.committed.elapsed() >= COMMIT_EVERY {
            self.writer.commit()?;
            self.committed = Instant::now();
        }
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
        guest.iter().try_for_each(|content| self.count(*content, true))?;
        self.commit_in_time()?;
        Ok(guest.len() as u64)
    }

    fn leave(&mut self, guest: Vec<u64>) -> Result<()> {
        guest.into_iter().try_for_each(|content| self.count(content, false))?;
        self.commit_in_time()
    }
}
