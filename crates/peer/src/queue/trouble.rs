//! Why a want did not end well, in words that survive the way to another process.
//!
//! Invariant: the message may have several lines; whatever strangers chose in it was shown through `wire::shown`.

use peerage_wire::shown;
use serde::{Deserialize, Serialize};

use super::resolve::Item;
use crate::download::DownloadError;
use crate::index_client::IndexError;
use crate::part::DiskError;

/// Failures of a folder's files that are told one by one.
const FAILURES_TOLD: usize = 5;

/// What kind of failure it is; the gravest last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause {
    /// Something here failed: a disk, a port, a file.
    Failed,
    /// It was asked in a way that means nothing.
    Usage,
    /// Nothing by that name, or nobody has it.
    NotFound,
    /// The index or every source is out of reach.
    Unreachable,
    /// Not allowed.
    Refused,
    /// No source could prove the content.
    Corrupt,
}

/// Why a want did not end well.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, thiserror::Error)]
#[error("{message}")]
pub struct Trouble {
    /// Of what kind.
    pub cause: Cause,
    /// What happened.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
    /// Whether the want stays in the queue.
    pub stays: bool,
}

impl Trouble {
    /// A final one, without a hint.
    #[must_use]
    pub fn new(cause: Cause, message: impl std::fmt::Display) -> Self {
        Self { cause, message: message.to_string(), hint: String::new(), stays: false }
    }

    /// Something here failed.
    #[must_use]
    pub fn failed(message: impl std::fmt::Display) -> Self {
        Self::new(Cause::Failed, message)
    }

    /// It was asked wrongly.
    #[must_use]
    pub fn usage(message: impl std::fmt::Display) -> Self {
        Self::new(Cause::Usage, message)
    }

    /// With something to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = hint.into();
        self
    }

    /// The want is worth another try later.
    #[must_use]
    pub(super) const fn staying(mut self) -> Self {
        self.stays = true;
        self
    }
}

impl From<IndexError> for Trouble {
    fn from(error: IndexError) -> Self {
        let cause = match &error {
            IndexError::BadUrl { .. } => Cause::Usage,
            IndexError::Unreachable { .. } | IndexError::NotAnIndex { .. } | IndexError::Starting { .. } => {
                Cause::Unreachable
            }
            IndexError::Refused { status, .. } => match status.as_u16() {
                400 => Cause::Usage,
                401 | 403 => Cause::Refused,
                404 => Cause::NotFound,
                _ => Cause::Failed,
            },
        };
        Self { stays: cause == Cause::Unreachable, ..Self::new(cause, &error).hint(error.hint()) }
    }
}

/// Whether another try in a few seconds may go better.
pub(super) const fn is_passing(error: &DownloadError) -> bool {
    matches!(
        error,
        DownloadError::NoSource { .. }
            | DownloadError::Index(_)
            | DownloadError::Unreachable { .. }
            | DownloadError::Busy { .. }
            | DownloadError::Disk(DiskError::Locked { .. })
    )
}

/// Whether the same want may be fulfilled one day.
const fn stays(error: &DownloadError) -> bool {
    is_passing(error) || matches!(error, DownloadError::Disk(_) | DownloadError::Internal(_))
}

const fn cause_of(error: &DownloadError) -> Cause {
    match error {
        DownloadError::NoSource { .. } => Cause::NotFound,
        DownloadError::Index(_) | DownloadError::Unreachable { .. } | DownloadError::Busy { .. } => {
            Cause::Unreachable
        }
        DownloadError::Refused { .. } => Cause::Refused,
        DownloadError::Corrupt { .. } => Cause::Corrupt,
        DownloadError::Disk(_) | DownloadError::NotStorable(_) | DownloadError::Internal(_) => Cause::Failed,
    }
}

/// The failures of a want as one: each told up to a number, the cause that of the gravest. `files` counts all files of
/// the want, `untried` those that were not asked for any more after these failures.
pub(super) fn of_failures(
    failures: &[(&Item, DownloadError)],
    untried: usize,
    files: usize,
) -> Option<Trouble> {
    let (_, gravest) = failures.iter().max_by_key(|(_, error)| cause_of(error))?;
    let stays = untried > 0 || failures.iter().any(|(_, error)| stays(error));
    let trouble =
        |message| Trouble { stays, ..Trouble::new(cause_of(gravest), message).hint(gravest.hint()) };
    if let [(item, error)] = failures
        && files == 1
    {
        return Some(trouble(format!("`{}` was not fetched: {error}", shown(item.path.as_str()))));
    }
    let told = failures.iter().take(FAILURES_TOLD);
    let mut lines: Vec<String> =
        told.map(|(item, error)| format!("{}: {error}", shown(item.path.as_str()))).collect();
    if failures.len() > FAILURES_TOLD {
        lines.push(format!("and {} more", failures.len() - FAILURES_TOLD));
    }
    if untried > 0 {
        lines.push(format!("after these, {untried} more were not tried"));
    }
    let missing = failures.len() + untried;
    Some(trouble(format!("{missing} of {files} files were not fetched:\n{}", lines.join("\n"))))
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_wire::{ContentHash, SharePath};

    fn item(path: &str) -> Item {
        let hash = ContentHash::of(path.as_bytes());
        Item { hash, size: 1, path: SharePath::parse(path).unwrap(), sources: [].into() }
    }

    #[test]
    fn one_failure_is_told_by_its_name_and_many_up_to_a_number() {
        assert_eq!(of_failures(&[], 0, 3), None);
        let items: Vec<Item> = (0..9).map(|n| item(&format!("f/{n}"))).collect();
        let gone = |item: &Item| DownloadError::NoSource { hash: item.hash };
        let one = of_failures(&[(&items[0], gone(&items[0]))], 0, 1).unwrap();
        assert!(one.message.starts_with("`f/0` was not fetched: no peer has"), "{one}");
        let all: Vec<_> = items.iter().map(|item| (item, gone(item))).collect();
        let many = of_failures(&all, 90, 200).unwrap();
        assert_eq!(many.message.lines().count(), 1 + FAILURES_TOLD + 2, "{many}");
        assert!(
            many.message.starts_with("99 of 200 files") && many.message.contains("90 more were not tried")
        );
    }

    #[test]
    fn the_gravest_gives_the_cause_and_any_that_may_pass_keeps_the_want() {
        let (a, b) = (item("a"), item("b"));
        let corrupt = || DownloadError::Corrupt { hash: a.hash, faults: Vec::new() };
        let away = || DownloadError::Unreachable { hash: b.hash, faults: Vec::new() };
        let both = of_failures(&[(&a, corrupt()), (&b, away())], 0, 2).unwrap();
        assert_eq!((both.cause, both.stays), (Cause::Corrupt, true));
        let corrupt = of_failures(&[(&a, corrupt())], 0, 2).unwrap();
        assert_eq!((corrupt.cause, corrupt.stays), (Cause::Corrupt, false));
        let away = of_failures(&[(&b, away())], 0, 1).unwrap();
        assert_eq!((away.cause, away.stays), (Cause::Unreachable, true));
    }
}
