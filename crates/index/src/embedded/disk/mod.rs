//! The index's store: what an acknowledged change is written to, and what is read at the next start.
//!
//! A store is one directory, for one process at a time. Its log takes every change before it is acknowledged; from
//! time to time all that is in memory is written as a snapshot, and the logs before it go.
//!
//! - `store`: the directory, its lock and its format, over `files` (the calls that change a disk, which tests let fail);
//! - `record`: one change as bytes, over `bytes` (numbers and texts);
//! - `log`: many writers, one `fdatasync`; `frame` is what its files hold, `replay` reads them again;
//! - `container`: named sections in checksummed blocks, for snapshots and segments; `sections` reads them.
//!
//! Architecture invariants: whatever has been acknowledged is either read again or named as damaged, never passed
//! over. A file is whole under its name or not there: all but a log's end is written under a temporary name first.
//! Nothing read from a file is believed before its checksum was, and nothing then before the wire's types took it.

mod error;
mod files;
mod store;

mod bytes;
mod record;

mod frame;
mod log;
mod replay;

mod container;
mod sections;

#[cfg(test)]
pub(super) mod faults;
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) mod fuzzing;

pub(super) use container::{Container, ContainerWriter};
pub(super) use error::{Damaged, DiskError, DiskResult};
pub(super) use log::Log;
pub(super) use record::Record;
pub(super) use replay::{Replayed, replay};
pub(super) use sections::SectionReader;
pub(super) use store::{StoreDir, StoreFile};
