//! Cursors: where the next page begins, as text that a client passes back unread.
//!
//! A cursor holds the *place* of the last row (its key in the list's order), not a count of rows, so it stays good
//! while rows come and go: no row is skipped or seen twice because of others. It is not signed: whoever makes one up
//! begins somewhere else in a list that they may read anyway.

use data_encoding::BASE64URL_NOPAD;
use peerage_wire::api::Matched;
use peerage_wire::{PeerId, SharePath, limits};
use serde::{Deserialize, Serialize};

use crate::rank::Standing;
use crate::{Error, Result};

/// Bytes of a cursor's text: one with the longest path, every character of it escaped.
const CURSOR_BYTES_MAX: usize = 4 * limits::PATH_BYTES_MAX;

/// The last row of a page. A list takes only its own kind.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Cursor {
    /// Of a search: how its words were read, so that later pages read them in the same way, and the hit's standing.
    Search(Matched, Standing),
    /// Of the files.
    File(PeerId, SharePath),
    /// Of the peers.
    Peer(PeerId),
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
        serde_json::from_slice(&json).map_err(|_| Error::BadCursor)
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Reverse;

    use peerage_wire::ContentHash;
    use proptest::prelude::*;

    use super::*;
    use crate::query::Place;
    use crate::rank::ByName;

    #[test]
    fn every_cursor_survives_the_trip() {
        let hash = ContentHash::of(b"x");
        let longest = SharePath::parse(&vec!["\"".repeat(255); 16].join("/")).unwrap();
        let cursors = [
            Cursor::Search(Matched::Typo, Standing::Rank(Place::Folder, Reverse(u64::MAX), hash)),
            Cursor::Search(Matched::Exact, Standing::Size(Reverse(0), hash)),
            Cursor::Search(Matched::Exact, Standing::Newest(Reverse(i64::MIN), hash)),
            Cursor::Search(Matched::Substring, Standing::Name(ByName(longest.clone()), hash)),
            Cursor::File(PeerId::from_bytes([7; 32]), longest),
            Cursor::Peer(PeerId::from_bytes([255; 32])),
        ];
        for cursor in cursors {
            assert_eq!(Cursor::parse(&cursor.to_text().unwrap()), Ok(cursor));
        }
    }

    proptest! {
        #[test]
        fn garbage_is_refused(text in "\\PC{0,40}", bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            prop_assert_eq!(Cursor::parse(&text), Err(Error::BadCursor));
            prop_assert_eq!(Cursor::parse(&BASE64URL_NOPAD.encode(&bytes)), Err(Error::BadCursor));
        }
    }
}
