//! The engines that the suite is run against, and a place for each test's index to live in.

use std::path::Path;

use peerage_index::{Index, Options};
use tempfile::TempDir;

/// An engine as a test needs it.
pub(crate) struct Engine {
    pub(crate) name: &'static str,
    open: fn(&Path) -> Index,
    /// Whether what was registered is there again when the index is opened anew.
    pub(crate) keeps: bool,
    /// Whether all work of the background is done after each step.
    pub(crate) settles: bool,
}

/// Every engine.
pub(crate) const ENGINES: [Engine; 3] = [
    Engine { name: "embedded", open: |_| Index::embedded(), keeps: false, settles: false },
    Engine {
        name: "embedded, flushed and merged after each step",
        open: |_| Index::in_memory(&Options { memtable_names: Some(1), ..Options::default() }),
        keeps: false,
        settles: true,
    },
    Engine { name: "embedded, with a store", open: open_store, keeps: true, settles: false },
];

fn open_store(dir: &Path) -> Index {
    let options = Options { memtable_names: Some(3), ..Options::default() };
    Index::open(dir, &options, &|_| {}).unwrap()
}

/// An index and where it lives.
pub(crate) struct Home {
    pub(crate) index: Index,
    engine: &'static Engine,
    dir: TempDir,
}

impl Home {
    /// An empty index.
    pub(crate) fn new(engine: &'static Engine) -> Self {
        // In memory where the system has such a place: what a disk does is tested elsewhere.
        let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        Self { index: (engine.open)(dir.path()), engine, dir }
    }

    /// Ends the index and opens it again.
    pub(crate) fn restart(&mut self) {
        self.index.close().unwrap();
        self.index = Index::embedded(); // lets the store go
        self.index = (self.engine.open)(self.dir.path());
    }
}
