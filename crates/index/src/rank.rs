//! The orders of a search: where a hit stands in its list, and which of a content's names comes first. Pure.
//!
//! Invariant: each order ends in the content hash, so no two hits stand at the same place and every order is the
//! same each time it is asked for.

use std::cmp::{Ordering, Reverse};

use peerage_wire::api::Sort;
use peerage_wire::{ContentHash, SharePath};
use serde::{Deserialize, Serialize};

use crate::query::Place;

/// A hit's place in a list; smaller comes first.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Standing {
    /// Best match, then most live sources.
    Rank(Place, Reverse<u64>, ContentHash),
    /// Largest first.
    Size(Reverse<u64>, ContentHash),
    /// By first name.
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
}

/// A path in the order in which people look for names: by the file's own name without regard to case, then by the
/// whole path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ByName(pub(crate) SharePath);

impl Ord for ByName {
    fn cmp(&self, other: &Self) -> Ordering {
        let (own, others) = (self.0.file_name(), other.0.file_name());
        let by_name = if own.is_ascii() && others.is_ascii() {
            // The same order, several times as fast.
            lower_case_ascii(own).cmp(lower_case_ascii(others))
        } else {
            lower_case(own).cmp(lower_case(others))
        };
        by_name.then_with(|| self.0.cmp(&other.0))
    }
}

fn lower_case_ascii(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().map(|byte| byte.to_ascii_lowercase())
}

fn lower_case(name: &str) -> impl Iterator<Item = char> {
    name.chars().flat_map(char::to_lowercase)
}

impl PartialOrd for ByName {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Where one of a content's names stands among the others: best match first, then the one most live peers use (so
/// that one stranger can't rename what many have), then by path.
pub(crate) fn name_order(place: Place, holders: u64, path: &str) -> (Place, Reverse<u64>, &str) {
    (place, Reverse(holders), path)
}
