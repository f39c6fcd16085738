//! Which bytes a request asks for: RFC 9110, section 14 (Range) and section 13.1 (preconditions), one range only.
//!
//! Invariant: what is malformed, of another unit, or asks for several ranges is ignored as the RFC allows, and
//! the whole content is the answer.

use std::ops::Range;

use http::HeaderMap;
use http::header::{IF_NONE_MATCH, IF_RANGE, RANGE};

/// What to send of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it: 200.
    Whole,
    /// These bytes, at least one: 206.
    Part(Range<u64>),
    /// Nothing that is there: 416.
    Unsatisfiable,
    /// Nothing, the asker has it: 304.
    NotModified,
}

/// Reads a GET's headers for a content of `size` bytes whose entity tag, quotes and all, is `etag`.
pub(crate) fn asked(headers: &HeaderMap, size: u64, etag: &str) -> Asked {
    if has_it_already(headers, etag) {
        return Asked::NotModified;
    }
    let is_stale = headers.get(IF_RANGE).is_some_and(|value| value.as_bytes() != etag.as_bytes());
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) if !is_stale => range.to_str().map_or(Asked::Whole, |range| resolve(range, size)),
        _ => Asked::Whole,
    }
}

/// Section 13.1.2: a list of tags, compared weakly.
fn has_it_already(headers: &HeaderMap, etag: &str) -> bool {
    let values = headers.get_all(IF_NONE_MATCH).iter().filter_map(|value| value.to_str().ok());
    let mut tags = values.flat_map(|value| value.split(',')).map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

fn resolve(header: &str, size: u64) -> Asked {
    let range = header.split_once('=').filter(|(unit, _)| unit.trim().eq_ignore_ascii_case("bytes"));
    let Some((first, last)) = range.and_then(|(_, range)| range.trim().split_once('-')) else {
        return Asked::Whole;
    };
    match (first, number(first), last, number(last)) {
        ("", _, _, Some(suffix)) => of_suffix(suffix, size),
        (_, Some(first), "", _) => of_bytes(first, u64::MAX, size),
        (_, Some(first), _, Some(last)) if first <= last => of_bytes(first, last, size),
        _ => Asked::Whole,
    }
}

/// Digits alone; more than 64 bits hold are as good as the largest number.
fn number(text: &str) -> Option<u64> {
    let is_number = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    is_number.then(|| text.parse().unwrap_or(u64::MAX))
}

fn of_bytes(first: u64, last: u64, size: u64) -> Asked {
    if first < size { Asked::Part(first..last.saturating_add(1).min(size)) } else { Asked::Unsatisfiable }
}

/// Section 14.1.2: a suffix longer than the content is all of it; of an empty one there is no part to name.
fn of_suffix(suffix: u64, size: u64) -> Asked {
    match (suffix, size) {
        (0, _) => Asked::Unsatisfiable,
        (_, 0) => Asked::Whole,
        _ => Asked::Part(size.saturating_sub(suffix)..size),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const ETAG: &str = "\"abc\"";

    fn with(headers: &[(http::HeaderName, &str)]) -> HeaderMap {
        headers.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).unwrap())).collect()
    }

    #[test]
    fn ranges_are_read_as_the_rfc_says() {
        let cases = [
            ("bytes=0-0", Asked::Part(0..1)),
            ("bytes=0-99", Asked::Part(0..100)),
            ("bytes=0-100000", Asked::Part(0..100)),
            ("BYTES = 10-19", Asked::Part(10..20)),
            ("bytes=99-", Asked::Part(99..100)),
            ("bytes=-1", Asked::Part(99..100)),
            ("bytes=-1000", Asked::Part(0..100)),
            ("bytes=5-99999999999999999999999", Asked::Part(5..100)),
            ("bytes=100-", Asked::Unsatisfiable),
            ("bytes=100-200", Asked::Unsatisfiable),
            ("bytes=99999999999999999999999-", Asked::Unsatisfiable),
            ("bytes=-0", Asked::Unsatisfiable),
            ("bytes=20-10", Asked::Whole),
            ("bytes=0-1,5-6", Asked::Whole),
            ("bytes=a-b", Asked::Whole),
            ("bytes=+1-2", Asked::Whole),
            ("bytes=-", Asked::Whole),
            ("bytes=1", Asked::Whole),
            ("bytes", Asked::Whole),
            ("pieces=0-1", Asked::Whole),
            ("", Asked::Whole),
        ];
        for (header, expected) in cases {
            assert_eq!(asked(&with(&[(RANGE, header)]), 100, ETAG), expected, "{header}");
        }
        assert_eq!(asked(&HeaderMap::new(), 100, ETAG), Asked::Whole);
    }

    #[test]
    fn an_empty_content_has_no_part() {
        for (header, expected) in [
            ("bytes=0-", Asked::Unsatisfiable),
            ("bytes=0-0", Asked::Unsatisfiable),
            ("bytes=-5", Asked::Whole),
        ] {
            assert_eq!(asked(&with(&[(RANGE, header)]), 0, ETAG), expected, "{header}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_not_sent() {
        let range = (RANGE, "bytes=0-1");
        for (tag, expected) in [
            (ETAG, Asked::Part(0..2)),
            ("W/\"abc\"", Asked::Whole),
            ("\"other\"", Asked::Whole),
            ("Sun, 06 Nov 1994 08:49:37 GMT", Asked::Whole),
        ] {
            assert_eq!(asked(&with(&[range.clone(), (IF_RANGE, tag)]), 100, ETAG), expected, "{tag}");
        }
    }

    #[test]
    fn who_has_it_need_not_fetch_it() {
        for (tags, expected) in [
            ("\"x\", W/\"abc\"", Asked::NotModified),
            ("*", Asked::NotModified),
            ("\"x\"", Asked::Whole),
            ("abc", Asked::Whole),
        ] {
            assert_eq!(asked(&with(&[(IF_NONE_MATCH, tags)]), 100, ETAG), expected, "{tags}");
        }
    }
}
