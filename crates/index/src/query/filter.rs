//! Filters: what a query asks beside its words, written `name:value` ([`super`] has the grammar and what they mean).
//!
//! Invariants: a left-out kind is taken off the kinds asked for, so only [`Filters::kinds`] is to be looked at; the
//! kinds are in [`Kind::ALL`]'s order, each once.

use peerage_wire::{ContentHash, Kind, parse_bytes};

use super::refuse;
use crate::{Result, terms};

/// What a query asks beside its words. Several of one kind are alternatives; different kinds must all be met.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Filters {
    /// Only names of these kinds; of any where empty.
    pub kinds: Vec<Kind>,
    /// Only contents of at least so many bytes.
    pub min_size: Option<u64>,
    /// Only contents of at most so many bytes.
    pub max_size: Option<u64>,
    /// Only contents that one of these live peers has, each told by a name or an id; any where empty.
    pub peers: Vec<String>,
    /// Only contents that none of these live peers has.
    pub without_peers: Vec<String>,
    /// Only these contents; any where empty.
    pub hashes: Vec<ContentHash>,
}

impl Filters {
    /// Whether a name of this kind can match.
    #[must_use]
    pub fn takes_kind(&self, kind: Kind) -> bool {
        self.kinds.is_empty() || self.kinds.contains(&kind)
    }

    /// Whether a content of so many bytes can match.
    #[must_use]
    pub fn takes_size(&self, bytes: u64) -> bool {
        self.min_size.is_none_or(|min| bytes >= min) && self.max_size.is_none_or(|max| bytes <= max)
    }

    /// Whether this content can match, as far as its hash goes.
    #[must_use]
    pub fn takes_hash(&self, hash: &ContentHash) -> bool {
        self.hashes.is_empty() || self.hashes.contains(hash)
    }

    pub(super) fn of(asked: Vec<Filter>) -> Result<Self> {
        let mut filters = Self::default();
        let (mut kinds, mut without_kinds) = (Vec::new(), Vec::new());
        for filter in asked {
            match filter {
                Filter::Kind(kind) => kinds.push(kind),
                Filter::NotKind(kind) => without_kinds.push(kind),
                Filter::Size(min, max) => {
                    filters.min_size = filters.min_size.max(min);
                    filters.max_size = [filters.max_size, max].into_iter().flatten().min();
                }
                Filter::Peer(peer) => filters.peers.push(peer),
                Filter::NotPeer(peer) => filters.without_peers.push(peer),
                Filter::Hash(hash) => filters.hashes.push(hash),
            }
        }
        if !(kinds.is_empty() && without_kinds.is_empty()) {
            let is_asked = |kind: &Kind| kinds.is_empty() || kinds.contains(kind);
            let left = Kind::ALL.into_iter().filter(|kind| is_asked(kind) && !without_kinds.contains(kind));
            filters.kinds = left.collect();
            if filters.kinds.is_empty() {
                return refuse("every type it asks for is left out again");
            }
        }
        Ok(filters)
    }
}

/// One filter as written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Filter {
    Kind(Kind),
    NotKind(Kind),
    Size(Option<u64>, Option<u64>),
    Peer(String),
    NotPeer(String),
    Hash(ContentHash),
}

impl Filter {
    /// Whether it only leaves out.
    pub(super) const fn leaves_out(&self) -> bool {
        matches!(self, Self::NotKind(_) | Self::NotPeer(_))
    }
}

/// Where the text begins with a filter: its name, its value, and what comes after.
pub(super) fn split(text: &str) -> Option<(&'static str, &str, &str)> {
    let (word, rest) = text.split_once(':')?;
    let name = ["type", "size", "peer", "hash"].into_iter().find(|name| word.eq_ignore_ascii_case(name))?;
    let (value, after) = match rest.strip_prefix(terms::is_quote) {
        Some(inner) => inner.split_once(terms::is_quote).unwrap_or((inner, "")),
        None => rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len())),
    };
    Some((name, value.trim(), after))
}

/// Reads a filter's value.
pub(super) fn read(name: &str, value: &str, is_left_out: bool) -> Result<Filter> {
    if value.is_empty() {
        return refuse(format!(
            "`{name}:` needs {} directly after it; the word itself goes in quotes",
            match name {
                "type" => "a type such as `audio`",
                "size" => "a size such as `>10M`",
                "peer" => "a peer's name or id",
                _ => "a content's 64 hex digits",
            }
        ));
    }
    match name {
        "type" => read_kind(value, is_left_out),
        "peer" if is_left_out => Ok(Filter::NotPeer(value.to_owned())),
        "peer" => Ok(Filter::Peer(value.to_owned())),
        "size" if is_left_out => {
            refuse("sizes can't be left out: write the other side, such as `size:<10M` for `-size:>=10M`")
        }
        "size" => read_size(value),
        _ if is_left_out => refuse("`hash:` can't be left out: leave out a word of the name instead"),
        _ => match value.parse() {
            Ok(hash) => Ok(Filter::Hash(hash)),
            Err(error) => refuse(format!("`hash:` tells a content by its whole hash: {error}")),
        },
    }
}

fn read_kind(value: &str, is_left_out: bool) -> Result<Filter> {
    match value.to_ascii_lowercase().parse() {
        Ok(kind) if is_left_out => Ok(Filter::NotKind(kind)),
        Ok(kind) => Ok(Filter::Kind(kind)),
        Err(error) => refuse(format!("`type:`: {error}")),
    }
}

fn read_size(value: &str) -> Result<Filter> {
    let size = |text: &str| match parse_bytes(text) {
        Ok(bytes) => Ok(bytes),
        Err(error) => refuse(format!("`size:`: {error}, or `>10M`, `<=1G`, `10M..1G`")),
    };
    let end = |text: &str| if text.trim().is_empty() { Ok(None) } else { size(text).map(Some) };
    if let Some((from, to)) = value.split_once("..") {
        return match (end(from)?, end(to)?) {
            (None, None) => size("").map(|_| Filter::Size(None, None)),
            (Some(min), Some(max)) if min > max => {
                refuse("`size:`: the smaller size comes first, as in `10M..1G`")
            }
            (min, max) => Ok(Filter::Size(min, max)),
        };
    }
    if let Some(text) = value.strip_prefix(">=") {
        return Ok(Filter::Size(Some(size(text)?), None));
    }
    if let Some(text) = value.strip_prefix("<=") {
        return Ok(Filter::Size(None, Some(size(text)?)));
    }
    if let Some(text) = value.strip_prefix('>') {
        return Ok(Filter::Size(Some(size(text)?.saturating_add(1)), None));
    }
    if let Some(text) = value.strip_prefix('<') {
        return match size(text)?.checked_sub(1) {
            Some(max) => Ok(Filter::Size(None, Some(max))),
            None => refuse("`size:`: nothing is smaller than 0 bytes"),
        };
    }
    let bytes = size(value)?;
    let (min, max) = rounded(value, bytes);
    Ok(Filter::Size(Some(min), Some(max)))
}

/// The sizes that a size stands for: those that round to it in the digits it is written with.
fn rounded(text: &str, bytes: u64) -> (u64, u64) {
    let digits_end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(digits_end);
    let decimals = number.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    let step = u32::try_from(decimals).ok().and_then(|decimals| 10_u64.checked_pow(decimals));
    let unit_bytes = parse_bytes(&format!("1{unit}")).unwrap_or(1);
    // Half of the last digit's worth each way: below a byte that is the size itself.
    let half = step.map_or(0, |step| unit_bytes / step / 2);
    (bytes.saturating_sub(half), bytes.saturating_add(half.saturating_sub(1)).max(bytes))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::Error;
    use crate::query::{Place, Query, quoted};
    use crate::terms::NameTerms;

    const M: u64 = 1 << 20;
    const G: u64 = 1 << 30;

    fn filters(text: &str) -> Filters {
        Query::parse(text).unwrap().filters().clone()
    }

    #[test]
    fn sizes_are_from_and_to() {
        let cases = [
            ("size:>10M", Some(10 * M + 1), None),
            ("size:>=10M", Some(10 * M), None),
            ("SIZE:<1g", None, Some(G - 1)),
            ("size:<=1GiB", None, Some(G)),
            ("size:10M..1.5G", Some(10 * M), Some(3 * G / 2)),
            ("size:10M..", Some(10 * M), None),
            ("size:..1k", None, Some(1024)),
            ("size:\"10 MiB..1 GiB\"", Some(10 * M), Some(G)),
            ("size:>1M size:..9M size:<7M", Some(M + 1), Some(7 * M - 1)),
            // What is shown as this.
            ("size:700M", Some(699 * M + M / 2), Some(700 * M + M / 2 - 1)),
            ("size:1.5G", Some(3 * G / 2 - G / 10 / 2), Some(3 * G / 2 + G / 10 / 2 - 1)),
            ("size:500", Some(500), Some(500)),
            ("size:0", Some(0), Some(0)),
            ("size:0M", Some(0), Some(M / 2 - 1)),
        ];
        for (text, min, max) in cases {
            let found = filters(text);
            assert_eq!((found.min_size, found.max_size), (min, max), "{text}");
        }
    }

    #[test]
    fn filters_stand_beside_words() {
        let found = filters("yellow type:video -type:data peer:nas type:Audio peer:\"my nas\" subm");
        assert_eq!(found.kinds, [Kind::Audio, Kind::Video]);
        assert_eq!(found.peers, ["nas", "my nas"]);
        assert_eq!(filters("a -type:audio").kinds, Kind::ALL[1..]);
        assert_eq!(filters("a -peer:\u{201c}b c\u{201d}d").without_peers, ["b c"]);
        let hash = ContentHash::of(b"x");
        assert_eq!(filters(&format!("hash:{hash}")).hashes, [hash]);
        assert!(found.takes_kind(Kind::Audio) && !found.takes_kind(Kind::Data));
        assert!(Filters::default().takes_kind(Kind::Data) && Filters::default().takes_hash(&hash));
    }

    #[test]
    fn the_last_word_before_filters_is_still_a_beginning() {
        let find = |query: &str, path: &str| {
            let mut terms = NameTerms::default();
            terms.read(path);
            Query::parse(query).unwrap().find(&terms)
        };
        assert_eq!(find("yell type:audio -peer:\"x y\"", "s/yellow"), Some(Place::File));
        assert_eq!(find("yell type:audio x", "s/yellow x"), None);
        assert_eq!(find("peer:nas", "s/anything"), Some(Place::File));
        assert_eq!(find("-live size:>1", "s/live"), None);
        assert_eq!(find("--- type:audio", "s/---"), Some(Place::File));
        for word in ["http://x", "foo:bar", "(type:audio)", "--type:audio", "\"type:audio\"", "mytype:audio"]
        {
            assert_eq!(filters(word), Filters::default(), "{word}");
        }
    }

    #[test]
    fn what_can_not_be_read_is_refused_with_what_to_write() {
        let cases = [
            ("type:", "such as `audio`"),
            ("type: audio", "such as `audio`"),
            ("type:music", "expected one of audio, video"),
            ("type:audio -type:audio", "left out again"),
            ("size:", "such as `>10M`"),
            ("size:big", "`10M..1G`"),
            ("size:>", "`10M..1G`"),
            ("size:..", "`10M..1G`"),
            ("size:1G..10M", "smaller size comes first"),
            ("size:<0", "nothing is smaller"),
            ("a -size:>1M", "the other side"),
            ("peer:\"\"", "name or id"),
            ("hash:abc", "64 hex digits, found 3"),
            ("a -hash:abc", "can't be left out"),
            ("-type:audio", "only leaves out"),
            ("-peer:nas -live", "only leaves out"),
            ("a OR type:audio", "filters of one name"),
            ("type:audio OR type:video", "filters of one name"),
        ];
        for (text, reason) in cases {
            match Query::parse(text) {
                Err(Error::BadQuery(why)) => assert!(why.contains(reason), "{text:?}: {why}"),
                other => panic!("{text:?} gave {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(-?(type|size|peer|hash):[-<>=.0-9kMGa\" ]{0,9} ?){1,4}") {
            if let Ok(query) = Query::parse(&text) {
                let Filters { min_size, max_size, .. } = query.filters();
                prop_assert!(min_size.is_none_or(|min| i64::try_from(min).is_ok() || max_size.is_some()));
            }
        }

        #[test]
        fn quoted_text_holds_no_filter(text in "(-?(type|size|peer|hash):[-<>=.0-9kMGa\" ]{0,9} ?){1,4}") {
            prop_assert_eq!(filters(&quoted(&format!("a {text}"))), Filters::default());
        }
    }
}
