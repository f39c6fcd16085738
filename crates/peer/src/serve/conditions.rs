//! Whether a request is about the version there is: RFC 9110, section 13.
//!
//! Invariants: tags go before dates, and what must be there before what need not be sent again (section 13.2.2); a date
//! that is no date is as if it were not there. A date is given out only once its second is over, so that it names one version.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use http::header::{AsHeaderName, IF_MATCH, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, IF_UNMODIFIED_SINCE};
use http::{HeaderMap, HeaderName};
use peerage_wire::ContentHash;

/// The first second of the year 10000, which no HTTP date can name.
const YEAR_10000_SECS: u64 = 253_402_300_800;

/// What tells one version of a file from another.
#[derive(Debug, Clone)]
pub(crate) struct Version {
    /// With its quotes.
    etag: String,
    /// In whole seconds.
    modified: Option<SystemTime>,
}

/// What follows from a request's preconditions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is answered as if it had none.
    Go,
    /// The asker has it: 304.
    NotModified,
    /// The asker means another version: 412.
    Failed,
}

impl Version {
    /// Of a content, whatever it is called.
    pub(crate) fn of(hash: &ContentHash) -> Self {
        Self { etag: format!("\"{hash}\""), modified: None }
    }

    /// Of a file that was changed at some second since 1970.
    pub(crate) fn dated(hash: &ContentHash, modified_secs: i64, now: SystemTime) -> Self {
        let secs = u64::try_from(modified_secs).ok().filter(|secs| *secs < YEAR_10000_SECS);
        let modified = secs.map(|secs| UNIX_EPOCH + Duration::from_secs(secs));
        let is_over = |modified: &SystemTime| *modified + Duration::from_secs(1) <= now;
        Self { modified: modified.filter(is_over), ..Self::of(hash) }
    }

    /// The entity tag: a strong one, since equal hashes are equal bytes.
    pub(crate) fn etag(&self) -> &str {
        &self.etag
    }

    /// The date of the last change, as HTTP writes it.
    pub(crate) fn last_modified(&self) -> Option<String> {
        self.modified.map(httpdate::fmt_http_date)
    }
}

/// Weighs a GET's or HEAD's preconditions.
pub(crate) fn judge(headers: &HeaderMap, version: &Version) -> Verdict {
    let is_meant = if headers.contains_key(IF_MATCH) {
        names(headers, &IF_MATCH, |tag| tag == version.etag)
    } else {
        let date = version.modified.zip(date(headers, IF_UNMODIFIED_SINCE));
        date.is_none_or(|(modified, date)| modified <= date)
    };
    if !is_meant {
        return Verdict::Failed;
    }
    let is_known = if headers.contains_key(IF_NONE_MATCH) {
        // Compared weakly (section 13.1.2).
        names(headers, &IF_NONE_MATCH, |tag| tag.strip_prefix("W/").unwrap_or(tag) == version.etag)
    } else {
        let date = version.modified.zip(date(headers, IF_MODIFIED_SINCE));
        date.is_some_and(|(modified, date)| modified <= date)
    };
    if is_known { Verdict::NotModified } else { Verdict::Go }
}

/// Whether a range may be sent: not where it is asked for of another version (section 13.1.5).
pub(crate) fn is_still(headers: &HeaderMap, version: &Version) -> bool {
    let Some(value) = headers.get(IF_RANGE) else { return true };
    value.as_bytes() == version.etag.as_bytes()
        || version.modified.is_some_and(|modified| date(headers, IF_RANGE) == Some(modified))
}

/// Whether a list of tags has such a one, or is `*`.
fn names(headers: &HeaderMap, name: &HeaderName, is_it: impl Fn(&str) -> bool) -> bool {
    let values = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    values.flat_map(|value| value.split(',')).map(str::trim).any(|tag| tag == "*" || is_it(tag))
}

fn date(headers: &HeaderMap, name: impl AsHeaderName) -> Option<SystemTime> {
    let mut values = headers.get_all(name).iter();
    let (value, None) = (values.next()?, values.next()) else { return None };
    httpdate::parse_http_date(value.to_str().ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    const MODIFIED: &str = "Sun, 06 Nov 1994 08:49:37 GMT";
    const MODIFIED_SECS: i64 = 784_111_777;
    const BEFORE: &str = "Sun, 06 Nov 1994 08:49:36 GMT";
    const AFTER: &str = "Sun, 06 Nov 1994 08:49:38 GMT";

    fn version() -> Version {
        let version = Version::dated(&ContentHash::of(b""), MODIFIED_SECS, SystemTime::now());
        Version { etag: "\"abc\"".to_owned(), ..version }
    }

    fn with(headers: &[(HeaderName, &str)]) -> HeaderMap {
        let pair = |(name, value): &(HeaderName, &str)| (name.clone(), HeaderValue::from_str(value).unwrap());
        headers.iter().map(pair).collect()
    }

    #[test]
    fn each_condition_is_weighed_as_the_rfc_says() {
        let (tag, weak, other) = ("\"abc\"", "W/\"abc\"", "\"x\"");
        let cases: &[(&[(HeaderName, &str)], Verdict)] = &[
            (&[], Verdict::Go),
            (&[(IF_MATCH, tag)], Verdict::Go),
            (&[(IF_MATCH, "\"x\", \"abc\"")], Verdict::Go),
            (&[(IF_MATCH, "*")], Verdict::Go),
            (&[(IF_MATCH, weak)], Verdict::Failed),
            (&[(IF_MATCH, other)], Verdict::Failed),
            (&[(IF_UNMODIFIED_SINCE, MODIFIED)], Verdict::Go),
            (&[(IF_UNMODIFIED_SINCE, AFTER)], Verdict::Go),
            (&[(IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Failed),
            (&[(IF_UNMODIFIED_SINCE, "yesterday")], Verdict::Go),
            (&[(IF_MATCH, tag), (IF_UNMODIFIED_SINCE, BEFORE)], Verdict::Go),
            (&[(IF_NONE_MATCH, tag)], Verdict::NotModified),
            (&[(IF_NONE_MATCH, "\"x\", W/\"abc\"")], Verdict::NotModified),
            (&[(IF_NONE_MATCH, "*")], Verdict::NotModified),
            (&[(IF_NONE_MATCH, other)], Verdict::Go),
            (&[(IF_NONE_MATCH, "abc")], Verdict::Go),
            (&[(IF_MODIFIED_SINCE, MODIFIED)], Verdict::NotModified),
            (&[(IF_MODIFIED_SINCE, AFTER)], Verdict::NotModified),
            (&[(IF_MODIFIED_SINCE, BEFORE)], Verdict::Go),
            (&[(IF_MODIFIED_SINCE, "Sunday, 06-Nov-94 08:49:37 GMT")], Verdict::NotModified),
            (&[(IF_MODIFIED_SINCE, "1994-11-06")], Verdict::Go),
            (&[(IF_MODIFIED_SINCE, AFTER), (IF_MODIFIED_SINCE, AFTER)], Verdict::Go),
            (&[(IF_NONE_MATCH, other), (IF_MODIFIED_SINCE, AFTER)], Verdict::Go),
            (&[(IF_MATCH, other), (IF_NONE_MATCH, tag)], Verdict::Failed),
            (&[(IF_MATCH, tag), (IF_NONE_MATCH, tag)], Verdict::NotModified),
        ];
        for (headers, expected) in cases {
            assert_eq!(judge(&with(headers), &version()), *expected, "{headers:?}");
        }
    }

    #[test]
    fn a_range_of_another_version_is_not_sent() {
        let cases = [
            ("\"abc\"", true),
            (MODIFIED, true),
            ("W/\"abc\"", false),
            ("\"other\"", false),
            (BEFORE, false),
            (AFTER, false),
            ("", false),
        ];
        for (value, expected) in cases {
            assert_eq!(is_still(&with(&[(IF_RANGE, value)]), &version()), expected, "{value}");
        }
        assert!(is_still(&HeaderMap::new(), &version()));
    }

    #[test]
    fn without_a_date_dates_say_nothing() {
        let version = Version { modified: None, ..version() };
        for name in [IF_MODIFIED_SINCE, IF_UNMODIFIED_SINCE] {
            assert_eq!(judge(&with(&[(name, AFTER)]), &version), Verdict::Go);
        }
        assert!(!is_still(&with(&[(IF_RANGE, MODIFIED)]), &version));
    }

    #[test]
    fn a_date_is_told_only_where_it_is_one_and_its_second_is_over() {
        let (hash, now) = (ContentHash::of(b""), UNIX_EPOCH + Duration::from_secs(1_000));
        let told = |secs| Version::dated(&hash, secs, now).last_modified();
        assert_eq!(told(999).as_deref(), Some("Thu, 01 Jan 1970 00:16:39 GMT"));
        for secs in [1_000, 2_000, -1, i64::MAX, i64::MIN, 253_402_300_800] {
            assert_eq!(told(secs), None, "{secs}");
        }
    }
}
