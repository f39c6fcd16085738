//! What one peer has registered: its files by path, eight bytes each, and their digest, number and bytes, kept up to date.
//!
//! A file is the number of a name, which tells its path and content, and the time of its last change. What does not fit
//! (a size other than what the first said of the content, a time before 1970 or after 2106) is told apart, by name.
//!
//! Invariants: `names` is in the order of the paths; `changed` is parallel to it. `repeats` has every content that
//! the peer has under several paths or under an unlisted one, and perhaps some that it has under one listed path, with
//! the number of the paths. Digest and bytes are those of exactly the files held.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::ops::Range;

use peerage_wire::{ShareDigest, SharePath};

use super::arena::{ContentKey, NameKey};
use super::names::Names;

/// One peer's files.
#[derive(Debug, Default, Clone)]
pub(super) struct Manifest {
    pub(super) names: Vec<NameKey>,
    pub(super) changed: Vec<u32>,
    pub(super) rare: Option<Box<Rare>>,
    pub(super) digest: ShareDigest,
    pub(super) bytes: u128,
}

/// What few peers have any of.
#[derive(Debug, Default, Clone)]
pub(super) struct Rare {
    pub(super) odd: HashMap<NameKey, Odd>,
    pub(super) repeats: HashMap<ContentKey, u32>,
}

/// What of a file does not fit, where it does not.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Odd {
    pub(super) size: Option<u64>,
    pub(super) modified: Option<i64>,
}

/// One file's change in a manifest: the name it had at its place, and the one it has.
#[derive(Debug, Clone, Copy)]
pub(super) struct Edit {
    /// Its place in the manifest, or where it would stand.
    pub(super) at: usize,
    pub(super) is_replaced: bool,
    pub(super) after: Option<(NameKey, u32)>,
}

impl Manifest {
    /// Number of files.
    pub(super) fn len(&self) -> usize {
        self.names.len()
    }

    /// Where a path stands, or would stand.
    pub(super) fn find(&self, names: &Names, path: &str) -> Result<usize, usize> {
        self.names.binary_search_by(|name| names.path_bytes(*name).cmp(path.as_bytes()))
    }

    /// Whether a name is among the files.
    pub(super) fn has(&self, names: &Names, name: NameKey) -> bool {
        /// So many are looked through in less than a microsecond, and without reading a path.
        const FEW: usize = 4_096;
        if self.len() <= FEW {
            // In pieces without a decision within, so that the processor compares many at once.
            let is_in = |piece: &[NameKey]| piece.iter().fold(false, |is_in, other| is_in | (*other == name));
            return self.names.chunks(64).any(is_in);
        }
        self.find(names, names.path(name)).is_ok_and(|at| self.names.get(at) == Some(&name))
    }

    /// What of a file does not fit.
    pub(super) fn odd(&self, name: NameKey) -> Odd {
        self.rare.as_ref().and_then(|rare| rare.odd.get(&name)).copied().unwrap_or_default()
    }

    /// Under how many paths the peer has a content, where they are several or one of them is unlisted.
    pub(super) fn repeats(&self, content: ContentKey) -> Option<u32> {
        self.rare.as_ref().and_then(|rare| rare.repeats.get(&content)).copied()
    }

    pub(super) fn set_odd(&mut self, name: NameKey, odd: Odd) {
        if odd != Odd::default() {
            self.rare.get_or_insert_default().odd.insert(name, odd);
        } else if let Some(rare) = &mut self.rare {
            rare.odd.remove(&name);
        }
    }

    pub(super) fn set_repeats(&mut self, content: ContentKey, paths: Option<u32>) {
        if let Some(paths) = paths {
            self.rare.get_or_insert_default().repeats.insert(content, paths);
        } else if let Some(rare) = &mut self.rare {
            rare.repeats.remove(&content);
        }
    }

    /// The files after changes, which are in the order of their places.
    pub(super) fn edited(&self, edits: &[Edit]) -> (Vec<NameKey>, Vec<u32>) {
        let gone = edits.iter().filter(|edit| edit.is_replaced).count();
        let come = edits.iter().filter(|edit| edit.after.is_some()).count();
        let len = (self.len() + come).saturating_sub(gone);
        let (mut names, mut changed) = (Vec::with_capacity(len), Vec::with_capacity(len));
        let mut kept = 0;
        for edit in edits {
            names.extend_from_slice(&self.names[kept..edit.at]);
            changed.extend_from_slice(&self.changed[kept..edit.at]);
            kept = edit.at + usize::from(edit.is_replaced);
            if let Some((name, time)) = edit.after {
                names.push(name);
                changed.push(time);
            }
        }
        names.extend_from_slice(&self.names[kept..]);
        changed.extend_from_slice(&self.changed[kept..]);
        (names, changed)
    }

    /// The files at or below a path, as two places: that of the path itself, and those below it.
    pub(super) fn under(&self, names: &Names, under: &SharePath) -> (Option<usize>, Range<usize>) {
        let itself = self.find(names, under.as_str()).ok();
        let before = |end: &str| {
            self.names.partition_point(|name| names.path_bytes(*name).cmp(end.as_bytes()) == Ordering::Less)
        };
        // `0` is the character after the slash, so between the two are just the paths that begin with `under/`.
        (itself, before(&format!("{under}/"))..before(&format!("{under}0")))
    }
}
