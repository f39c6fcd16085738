//! The orders of a search: where a hit stands in its list, and which of a content's names comes first. Pure.
//!
//! Invariant: each order ends in the content hash, so no two hits stand at the same place and every order is the
//! same each time it is asked for.

use std::cmp::{Ordering, Reverse};

use peerage_wire::api::Sort;
use peerage_wire::{ContentHash, SharePath};
use serde::{Deserialize, Serialize};

use crate::query::Place;
use crate::terms::fold;

/// A hit's place in a list; smaller comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Best match, then most live sources.
    Rank(Place, Reverse<u64>, ContentHash),
    /// Largest first.
    Size(Reverse<u64>, ContentHash),
    /// By the name that is shown first.
    Name(ByName, ContentHash),
    /// Last changed first: by the newest of the names that match.
    Newest(Reverse<i64>, ContentHash),
}

impl Standing {
    /// The order that this standing belongs to.
    pub(crate) const fn sort(&self) -> Sort {
        match self {
            Self::Rank(..) => Sort::Rank,
            Self::Size(..) => Sort::Size,
            Self::Name(..) => Sort::Name,
            Self::Newest(..) => Sort::Newest,
        }
    }

    /// Of which content.
    pub(crate) const fn hash(&self) -> &ContentHash {
        match self {
            Self::Rank(_, _, hash) | Self::Size(_, hash) | Self::Name(_, hash) | Self::Newest(_, hash) => {
                hash
            }
        }
    }
}

/// A path in the order in which people look for names: by the file's own name without regard to case and accents, then
/// by the whole path.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(from = "SharePath", into = "SharePath")]
pub(crate) struct ByName {
    path: SharePath,
    /// The file's own name, folded, where lower-casing it as ASCII would not do.
    folded: Option<Box<str>>,
}

impl ByName {
    /// The letters that are compared first.
    fn letters(&self) -> impl Iterator<Item = u8> {
        let name = self.folded.as_deref().unwrap_or_else(|| self.path.file_name());
        name.bytes().map(|byte| byte.to_ascii_lowercase())
    }
}

impl From<SharePath> for ByName {
    fn from(path: SharePath) -> Self {
        let name = path.file_name();
        let folded = (!name.is_ascii()).then(|| fold(name).into());
        Self { path, folded }
    }
}

impl From<ByName> for SharePath {
    fn from(name: ByName) -> Self {
        name.path
    }
}

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        self.letters().cmp(other.letters()).then_with(|| self.path.cmp(&other.path))
    }
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for ByName {
    fn eq(&self, other: &Self) -> bool {
        self.path == other.path
    }
}

impl Eq for ByName {}

/// Where one of a content's names stands among the others: best match first, then the one most live peers use (so
/// that one stranger can't rename what many have), then by path, byte by byte.
pub(crate) const fn name_order(place: Place, holders: u64, path: &[u8]) -> (Place, Reverse<u64>, &[u8]) {
    (place, Reverse(holders), path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stand_where_people_look_for_them() {
        let paths = ["x/abba.mp3", "a/Ábel.mp3", "a/été.mp3", "a/eva.mp3", "b/Eva.mp3", "a/Zoe.mp3"];
        let mut names: Vec<_> =
            paths.iter().map(|path| ByName::from(SharePath::parse(path).unwrap())).collect();
        names.reverse();
        names.sort();
        let sorted: Vec<_> = names.into_iter().map(SharePath::from).collect();
        assert!(sorted.iter().map(SharePath::as_str).eq(paths), "{sorted:?}");
    }
}
