//! Cursors: where the next page begins, as text that a client passes back unread.
//!
//! A cursor holds the *place* of the last row (its key in the list's order), not a count of rows, so it stays good
//! while rows come and go: no row is skipped or seen twice because of others. A search's also says which search it is of,
//! and what its first page showed where that was not sure to be the best.
//! It is not signed: whoever makes one up begins somewhere else in a list that they may read anyway.

use data_encoding::BASE64URL_NOPAD;
use peerage_wire::api::{Matched, SearchParams};
use peerage_wire::{ContentHash, PeerId, SharePath, limits};
use serde::{Deserialize, Serialize};

use crate::rank::Standing;
use crate::{Error, Result};

/// Bytes of a cursor's text: one with the longest path, every character of it escaped.
const CURSOR_BYTES_MAX: usize = 4 * limits::PATH_BYTES_MAX;

/// The last row of a page, or what else tells what is left. A list takes only its own kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cursor {
    /// Of a search: of which, how its words were read, so that later pages read them in the same way, and which hits are left.
    Search(Asked, Matched, Rest),
    /// Of the files.
    File(PeerId, SharePath),
    /// Of the peers.
    Peer(PeerId),
}

/// What a search asked for, in short: a cursor of another one begins at a place that means nothing here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Asked(u32);

/// The hits of a search that are left for later pages.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rest {
    /// Those that stand behind this one, all where there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) after: Option<Standing>,
    /// But for these.
    #[serde(default, skip_serializing_if = "Shown::is_empty")]
    pub(crate) shown: Shown,
}

/// Contents that a first page showed which was cut short: others may belong before them. Marks of their hashes, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub(crate) struct Shown(Vec<Mark>);

/// What tells a page's contents from all others: the beginning of a hash of the content's hash. Beginnings of the contents' own
/// hashes could be had for nothing, by whoever registers hashes that there are no contents of, to hide others' contents.
type Mark = [u8; 8];

impl Shown {
    pub(crate) fn of<'a>(hashes: impl Iterator<Item = &'a ContentHash>) -> Self {
        let mut marks: Vec<_> = hashes.filter_map(mark_of).collect();
        marks.sort_unstable();
        Self(marks)
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn has(&self, hash: &ContentHash) -> bool {
        !self.is_empty() && mark_of(hash).is_some_and(|mark| self.0.binary_search(&mark).is_ok())
    }
}

fn mark_of(hash: &ContentHash) -> Option<Mark> {
    ContentHash::of(hash.as_bytes()).as_bytes().first_chunk().copied()
}

impl From<Shown> for String {
    fn from(shown: Shown) -> Self {
        BASE64URL_NOPAD.encode(shown.0.as_flattened())
    }
}

impl TryFrom<String> for Shown {
    type Error = Error;

    fn try_from(text: String) -> Result<Self> {
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Error::BadCursor)?;
        let (marks, rest) = bytes.as_chunks();
        let is_good = rest.is_empty()
            && marks.len() <= limits::HITS_DEFAULT
            && marks.is_sorted_by(|one, next| one < next);
        if is_good { Ok(Self(marks.to_vec())) } else { Err(Error::BadCursor) }
    }
}

impl Asked {
    /// The same on every page, however long each is.
    pub(crate) fn of(params: &SearchParams) -> Self {
        let sort = Some(params.sort.unwrap_or_default());
        let all = serde_json::to_vec(&SearchParams { sort, limit: None, cursor: None, ..params.clone() });
        let [a, b, c, d, ..] = *ContentHash::of(&all.unwrap_or_default()).as_bytes();
        Self(u32::from_be_bytes([a, b, c, d]))
    }
}

impl Cursor {
    pub(crate) fn to_text(&self) -> Option<String> {
        serde_json::to_vec(self).ok().map(|json| BASE64URL_NOPAD.encode(&json))
    }

    pub(crate) fn parse(text: &str) -> Result<Self> {
        if text.len() > CURSOR_BYTES_MAX {
            return Err(Error::BadCursor);
        }
        let json = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| Error::BadCursor)?;
        match serde_json::from_slice(&json) {
            Ok(Self::Search(_, _, rest)) if rest == Rest::default() => Err(Error::BadCursor), // of all there is no cursor
            read => read.map_err(|_| Error::BadCursor),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use proptest::prelude::*;

    use super::*;
    use crate::query::Place;

    #[test]
    fn every_cursor_survives_the_trip() {
        let hash = ContentHash::of(b"x");
        let longest = SharePath::parse(&vec!["\"".repeat(255); 16].join("/")).unwrap();
        let asked = Asked::of(&SearchParams::default());
        let rank = Some(Standing::Rank(Place::Folder, Reverse(u64::MAX), hash));
        let hashes: Vec<_> = (0..limits::HITS_DEFAULT).map(|at| ContentHash::of(&at.to_le_bytes())).collect();
        let shown = Shown::of(hashes.iter());
        assert!(hashes.iter().all(|hash| shown.has(hash)) && !shown.has(&hash));
        let after = |standing| Rest { after: Some(standing), shown: Shown::default() };
        let cursors = [
            Cursor::Search(asked, Matched::Typo, Rest { after: rank.clone(), shown: Shown::default() }),
            Cursor::Search(asked, Matched::Typo, Rest { after: rank, shown: shown.clone() }),
            Cursor::Search(asked, Matched::Exact, Rest { after: None, shown }),
            Cursor::Search(asked, Matched::Exact, after(Standing::Size(Reverse(0), hash))),
            Cursor::Search(asked, Matched::Exact, after(Standing::Newest(Reverse(i64::MIN), hash))),
            Cursor::Search(asked, Matched::Substring, after(Standing::Name(longest.clone().into(), hash))),
            Cursor::File(PeerId::from_bytes([7; 32]), longest),
            Cursor::Peer(PeerId::from_bytes([255; 32])),
        ];
        for cursor in cursors {
            assert_eq!(Cursor::parse(&cursor.to_text().unwrap()), Ok(cursor));
        }
    }

    #[test]
    fn cursors_that_no_page_gives_are_refused() {
        let hash = ContentHash::of(b"x");
        let twice = BASE64URL_NOPAD.encode(&[7; 16]);
        let many = (0..=limits::HITS_DEFAULT as u64).flat_map(u64::to_be_bytes).collect::<Vec<_>>();
        let many = BASE64URL_NOPAD.encode(&many);
        for rest in [
            r#"{"rank":["file",5,"HASH"]}"#,
            "{}",
            "[]",
            r#"{"after":null}"#,
            r#"{"shown":""}"#,
            r#"{"shown":"AAAA"}"#,
            &format!(r#"{{"shown":"{twice}"}}"#),
            &format!(r#"{{"shown":"{many}"}}"#),
        ] {
            let json = format!(r#"{{"search":[7,"exact",{}]}}"#, rest.replace("HASH", &hash.to_string()));
            assert_eq!(
                Cursor::parse(&BASE64URL_NOPAD.encode(json.as_bytes())),
                Err(Error::BadCursor),
                "{json}"
            );
        }
        let good = format!(r#"{{"search":[7,"exact",{{"after":{{"rank":["file",5,"{hash}"]}}}}]}}"#);
        assert!(Cursor::parse(&BASE64URL_NOPAD.encode(good.as_bytes())).is_ok());
    }

    proptest! {
        #[test]
        fn garbage_is_refused(text in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(Cursor::parse(&text), Err(Error::BadCursor));
            prop_assert_eq!(Cursor::parse(&BASE64URL_NOPAD.encode(&bytes)), Err(Error::BadCursor));
        }
    }
}
