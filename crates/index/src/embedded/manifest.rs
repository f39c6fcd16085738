//! What one peer has registered: its files by path, and their digest, number and bytes, kept up to date.
//!
//! Invariant: digest and bytes are those of exactly the files held.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::ops::Bound;

use peerage_wire::api::Change;
use peerage_wire::{FileEntry, ShareDigest, SharePath};

/// One peer's files.
#[derive(Debug, Default)]
pub(super) struct Manifest {
    files: BTreeMap<SharePath, FileEntry>,
    digest: ShareDigest,
    bytes: u128,
}

/// What a batch comes to: for each path its last change, and only where that changes something.
#[derive(Debug)]
pub(super) struct Plan {
    net: BTreeMap<SharePath, Option<FileEntry>>,
    /// Files held once it is carried out.
    pub(super) files_after: u64,
}

/// One path's change as it was carried out.
pub(super) struct Replaced {
    /// What the path was.
    pub(super) before: Option<FileEntry>,
    /// What it is.
    pub(super) after: Option<FileEntry>,
}

impl Manifest {
    pub(super) fn digest(&self) -> ShareDigest {
        self.digest
    }

    /// Number of files.
    pub(super) fn len(&self) -> u64 {
        self.files.len() as u64
    }

    /// Bytes of all of them; wider than any answer, so that sizes made up by a stranger can't overflow it.
    pub(super) fn bytes(&self) -> u128 {
        self.bytes
    }

    /// The file at a path.
    pub(super) fn get(&self, path: &SharePath) -> Option<&FileEntry> {
        self.files.get(path)
    }

    /// Every file, by path.
    pub(super) fn iter(&self) -> impl Iterator<Item = &FileEntry> {
        self.files.values()
    }

    /// Works out what a batch changes, without changing it.
    pub(super) fn plan(&self, changes: Vec<Change>) -> Plan {
        let mut net = BTreeMap::new();
        for change in changes {
            match change {
                Change::Add(file) => net.insert(file.path.clone(), Some(file)),
                Change::Remove { path } => net.insert(path, None),
            };
        }
        net.retain(|path, after| self.files.get(path) != after.as_ref());
        let mut files_after = self.len();
        for (path, after) in &net {
            match (self.files.contains_key(path), after.is_some()) {
                (false, true) => files_after += 1,
                (true, false) => files_after -= 1,
                _ => {}
            }
        }
        Plan { net, files_after }
    }

    /// Carries a plan out and tells each change. The plan is of this manifest as it still is.
    pub(super) fn carry_out(&mut self, plan: Plan) -> Vec<Replaced> {
        plan.net.into_iter().map(|(path, after)| self.put(path, after)).collect()
    }

    fn put(&mut self, path: SharePath, after: Option<FileEntry>) -> Replaced {
        if let Some(file) = &after {
            self.digest.add(file);
            self.bytes += u128::from(file.size);
        }
        let before = match (self.files.entry(path), after.clone()) {
            (Entry::Occupied(mut slot), Some(file)) => Some(slot.insert(file)),
            (Entry::Occupied(slot), None) => Some(slot.remove()),
            (Entry::Vacant(slot), Some(file)) => {
                slot.insert(file);
                None
            }
            (Entry::Vacant(_), None) => None,
        };
        if let Some(file) = &before {
            self.digest.remove(file);
            self.bytes -= u128::from(file.size);
        }
        Replaced { before, after }
    }

    /// The files at or below a path (every file where there is none), by path, those after `after` only.
    pub(super) fn listed<'a>(
        &'a self,
        under: Option<&SharePath>,
        after: Option<&SharePath>,
    ) -> impl Iterator<Item = &'a FileEntry> {
        let at = under.and_then(|under| self.files.get(under)).filter(|file| Some(&file.path) > after);
        let (first, end) = match under {
            // `0` is the character after the slash, so these are just the paths that begin with `under/`.
            Some(under) => (format!("{under}/"), Some(format!("{under}0"))),
            None => (String::new(), None),
        };
        let start = match after.map(SharePath::as_str) {
            Some(after) if after >= first.as_str() => Bound::Excluded(after),
            _ => Bound::Included(first.as_str()),
        };
        let stop = end.as_deref().map_or(Bound::Unbounded, Bound::Excluded);
        // A range that ends before it starts would panic.
        let is_empty =
            matches!((start, stop), (Bound::Excluded(start), Bound::Excluded(stop)) if start >= stop);
        let below = (!is_empty).then(|| self.files.range::<str, _>((start, stop)));
        at.into_iter().chain(below.into_iter().flatten().map(|(_, file)| file))
    }
}

#[cfg(test)]
mod tests {
    use peerage_wire::ContentHash;

    use super::*;

    fn file(path: &str, size: u64) -> FileEntry {
        FileEntry { path: self::path(path), size, hash: ContentHash::of(path.as_bytes()), modified: 0 }
    }

    fn path(text: &str) -> SharePath {
        SharePath::parse(text).unwrap()
    }

    fn manifest(paths: &[&str]) -> Manifest {
        let mut manifest = Manifest::default();
        let plan = manifest.plan(paths.iter().map(|path| Change::Add(file(path, 1))).collect());
        manifest.carry_out(plan);
        manifest
    }

    #[test]
    fn a_batch_comes_to_its_last_word_on_each_path() {
        let mut manifest = manifest(&["s/a", "s/b"]);
        let plan = manifest.plan(vec![
            Change::Add(file("s/a", 1)), // as it is
            Change::Remove { path: path("s/b") },
            Change::Add(file("s/b", 7)),
            Change::Add(file("s/c", 1)),
            Change::Remove { path: path("s/c") },
            Change::Remove { path: path("s/none") },
            Change::Add(file("s/d", u64::MAX)),
        ]);
        assert_eq!(plan.files_after, 3);
        let replaced = manifest.carry_out(plan);
        let told: Vec<_> = replaced.iter().map(|r| (r.before.is_some(), r.after.is_some())).collect();
        assert_eq!(told, [(true, true), (false, true)]);
        assert_eq!((manifest.len(), manifest.bytes()), (3, u128::from(u64::MAX) + 8));
        let mut digest = ShareDigest::default();
        manifest.iter().for_each(|file| digest.add(file));
        assert_eq!(manifest.digest(), digest);
    }

    #[test]
    fn under_a_path_is_that_path_and_whole_components_below_it() {
        let manifest = manifest(&["s/a", "s/a b", "s/a/1", "s/a/2/x", "s/a0", "s/ab", "t"]);
        let listed = |under: Option<&str>, after: Option<&str>| {
            let (under, after) = (under.map(path), after.map(path));
            let files = manifest.listed(under.as_ref(), after.as_ref());
            files.map(|file| file.path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(listed(Some("s/a"), None), ["s/a", "s/a/1", "s/a/2/x"]);
        assert_eq!(listed(Some("s/a"), Some("s/a")), ["s/a/1", "s/a/2/x"]);
        assert_eq!(listed(Some("s/a"), Some("s/a b")), ["s/a/1", "s/a/2/x"]);
        assert_eq!(listed(Some("s/a"), Some("s/a/1")), ["s/a/2/x"]);
        assert!(listed(Some("s/a"), Some("s/a0")).is_empty());
        assert!(listed(Some("s/a"), Some("t")).is_empty());
        assert_eq!(listed(Some("t"), None), ["t"]);
        assert!(listed(Some("s/none"), None).is_empty());
        assert_eq!(listed(None, Some("s/ab")), ["t"]);
        assert_eq!(listed(None, None).len(), 7);
    }
}
