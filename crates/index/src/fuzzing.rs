//! Everything here that reads bytes, for fuzz targets and for the replay of their seeds. Not for programs.
//!
//! Invariants: each function takes any bytes and returns; what it finds wrong in our own code it panics over.

use peerage_wire::SharePath;
use peerage_wire::api::Matched;

use crate::query::Query;
use crate::terms::NameTerms;

pub use crate::embedded::fuzzing::{log, record, snapshot};

/// A query, a line feed, and a path that it is looked for in.
pub fn query(bytes: &[u8]) {
    let text = String::from_utf8_lossy(bytes);
    let (query, path) = text.split_once('\n').unwrap_or((&text, "share/Some Folder/Track 01.mp3"));
    let Ok(query) = Query::parse(query) else { return };
    let path = SharePath::parse(path).ok();
    let name = path.as_ref().map(NameTerms::of);
    for how in [Matched::Exact, Matched::Substring, Matched::Typo] {
        let Some(query) = query.read_as(how) else { continue };
        assert!(query.read_as(Matched::Exact).is_some_and(|same| same == query), "read as it was");
        let _ = name.as_ref().and_then(|name| query.find(name));
    }
}
