//! Which bytes a request asks for: RFC 9110, section 14, one range only.
//!
//! Invariant: what is malformed, of another unit, or asks for several ranges is ignored as the RFC allows, and
//! the whole content is the answer.

use std::ops::Range;

use http::HeaderMap;
use http::header::RANGE;

/// What to send of a content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Asked {
    /// All of it: 200.
    Whole,
    /// These bytes, at least one: 206.
    Part(Range<u64>),
    /// Nothing that is there: 416.
    Unsatisfiable,
}

/// Reads a GET's headers for a content of `size` bytes.
pub(crate) fn asked(headers: &HeaderMap, size: u64) -> Asked {
    let mut ranges = headers.get_all(RANGE).iter();
    match (ranges.next(), ranges.next()) {
        (Some(range), None) => range.to_str().map_or(Asked::Whole, |range| resolve(range, size)),
        _ => Asked::Whole,
    }
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

    fn with(range: &str) -> HeaderMap {
        HeaderMap::from_iter([(RANGE, HeaderValue::from_str(range).unwrap())])
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
            assert_eq!(asked(&with(header), 100), expected, "{header}");
        }
        assert_eq!(asked(&HeaderMap::new(), 100), Asked::Whole);
    }

    #[test]
    fn an_empty_content_has_no_part() {
        for (header, expected) in [
            ("bytes=0-", Asked::Unsatisfiable),
            ("bytes=0-0", Asked::Unsatisfiable),
            ("bytes=-5", Asked::Whole),
        ] {
            assert_eq!(asked(&with(header), 0), expected, "{header}");
        }
    }
}
