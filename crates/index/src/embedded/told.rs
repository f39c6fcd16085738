//! When the names of contents changed last: the latest time that any known peer, here or away, ever told for each.
//!
//! Invariant: a name is here exactly while the manifest of some known peer has it.

use std::collections::HashMap;

use peerage_wire::{ContentHash, FileEntry, SharePath};

/// The time of every name.
#[derive(Debug, Default)]
pub(super) struct Told {
    names: HashMap<(ContentHash, SharePath), Name>,
}

#[derive(Debug)]
struct Name {
    manifests: u32,
    newest: i64,
}

impl Told {
    /// One more manifest has a file.
    pub(super) fn add(&mut self, file: &FileEntry) {
        let fresh = Name { manifests: 0, newest: file.modified };
        let name = self.names.entry((file.hash, file.path.clone())).or_insert(fresh);
        name.manifests += 1;
        name.newest = name.newest.max(file.modified);
    }

    /// One manifest less has a file.
    pub(super) fn remove(&mut self, file: &FileEntry) {
        let key = (file.hash, file.path.clone());
        if let Some(name) = self.names.get_mut(&key) {
            name.manifests -= 1;
            if name.manifests == 0 {
                self.names.remove(&key);
            }
        }
    }

    /// The latest change of a name.
    pub(super) fn newest(&self, hash: ContentHash, path: &SharePath) -> Option<i64> {
        self.names.get(&(hash, path.clone())).map(|name| name.newest)
    }
}
