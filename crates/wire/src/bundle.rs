//! `POST /v1/blobs`: many small contents in one answer.
//!
//! The request's body is text, one content hash a line. The answer has for each of them, in that order, eight bytes with
//! its length (big endian) and then so many bytes; where the length is [`ABSENT`] or [`NO_ROOM`] none follow.
//!
//! Invariant: an answer has exactly one entry for each line of the request.

use std::str::FromStr;

use crate::{ContentHash, limits};

/// Bytes before each content.
pub const LENGTH_BYTES: usize = 8;
/// Stands for a length: it is not shared here, or not to you.
pub const ABSENT: u64 = u64::MAX;
/// Stands for a length: it is there, and too much for this answer; ask for it by itself or in another.
pub const NO_ROOM: u64 = u64::MAX - 1;

/// The body that asks for these contents.
#[must_use]
pub fn request<'a>(hashes: impl IntoIterator<Item = &'a ContentHash>) -> String {
    hashes.into_iter().fold(String::new(), |text, hash| text + &hash.to_string() + "\n")
}

/// Why a request's body can't be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BundleError {
    /// A line is no hash.
    #[error("line {line} is no content hash")]
    NoHash {
        /// From 1.
        line: usize,
    },
    /// Too many lines.
    #[error("more than {} contents are asked for at once", limits::BUNDLE_CONTENTS_MAX)]
    TooMany,
}

/// The contents a body asks for.
///
/// # Errors
/// [`BundleError`].
pub fn parse(body: &str) -> Result<Vec<ContentHash>, BundleError> {
    if body.lines().count() > limits::BUNDLE_CONTENTS_MAX {
        return Err(BundleError::TooMany);
    }
    let parsed = |(index, line): (usize, &str)| {
        ContentHash::from_str(line).map_err(|_| BundleError::NoHash { line: index + 1 })
    };
    body.lines().enumerate().map(parsed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let hashes = [ContentHash::of(b"a"), ContentHash::of(b"b"), ContentHash::of(b"a")];
        assert_eq!(parse(&request(&hashes)), Ok(hashes.to_vec()));
        assert_eq!(parse(""), Ok(vec![]));
    }

    #[test]
    fn bad_lines_and_too_many_are_told() {
        let good = request(&[ContentHash::of(b"a")]);
        assert_eq!(parse(&format!("{good}zz\n")), Err(BundleError::NoHash { line: 2 }));
        assert_eq!(parse(&format!("{good}\n")), Err(BundleError::NoHash { line: 2 }));
        assert_eq!(parse(&good.repeat(limits::BUNDLE_CONTENTS_MAX + 1)), Err(BundleError::TooMany));
        assert!(parse(&good.repeat(limits::BUNDLE_CONTENTS_MAX)).is_ok());
    }
}
