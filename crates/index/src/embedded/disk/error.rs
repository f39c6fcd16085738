//! What can be wrong with a store, each with the file and what to do about it.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

pub(crate) type DiskResult<T> = Result<T, DiskError>;

/// What to do about a store that can't be trusted any more: every peer knows its own share.
pub(crate) const START_ANEW: &str = "restore the directory from a copy, or move it away and start with an empty one: peers register again by themselves";

/// Bytes that are not what was written. Where they were is added by whoever read the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Damaged(pub(crate) &'static str);

impl Damaged {
    pub(crate) fn at(self, file: &Path, offset: u64) -> DiskError {
        DiskError::Damaged { file: file.to_owned(), offset, what: self.0 }
    }
}

/// Why the store did not do what it was asked to.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum DiskError {
    /// The system refused; after a write, what the file holds is not known.
    #[error("can't {doing} `{}`: {source}", file.display())]
    Io { doing: &'static str, file: PathBuf, source: Arc<io::Error> },
    /// A file is not what was written to it.
    #[error("`{}` is damaged at byte {offset}: {what}\nhint: {START_ANEW}", file.display())]
    Damaged { file: PathBuf, offset: u64, what: &'static str },
    /// A file that others refer to is not there.
    #[error("records {first} to {last} of the log are missing in `{}`\nhint: {START_ANEW}", dir.display())]
    Missing { dir: PathBuf, first: u64, last: u64 },
    /// A file that the snapshot names is not there.
    #[error("`{}` is missing\nhint: {START_ANEW}", file.display())]
    Gone { file: PathBuf },
    /// Another process has the store.
    #[error(
        "another process uses the index store `{}`\nhint: end it first, or give this one a directory of its own",
        dir.display()
    )]
    InUse { dir: PathBuf },
    /// A later version of the program wrote it.
    #[error(
        "`{}` is of format {found}, and this program knows formats up to {known}\nhint: use the newer program that wrote it",
        file.display()
    )]
    Newer { file: PathBuf, found: u64, known: u64 },
    /// No store, or one whose beginning is lost.
    #[error("`{}` is not the directory of an index: {what}\nhint: name another directory, or restore this one from a copy", dir.display())]
    NotAStore { dir: PathBuf, what: &'static str },
    /// More bytes than a record may have, or none.
    #[error("a record of {bytes} bytes can't be logged")]
    RecordSize { bytes: usize },
    /// Asked of a log that was closed.
    #[error("the log is closed")]
    Closed,
}

impl DiskError {
    /// For `map_err`: the system refused to do this to that file.
    pub(crate) fn io(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |source| Self::Io { doing, file: file.to_owned(), source: Arc::new(source) }
    }

    /// For `map_err` of what writes into or reads from a section: the store's own error, where it is one.
    pub(crate) fn of_section(doing: &'static str, file: &Path) -> impl FnOnce(io::Error) -> Self {
        move |error| match error.get_ref().and_then(|inner| inner.downcast_ref::<Self>()) {
            Some(own) => own.clone(),
            None => Self::io(doing, file)(error),
        }
    }
}
