//! What a person asks for, as it is kept on the disk and handed from process to process.
//!
//! Invariant: a checked ask is absolute (an output folder, an index) and small, so it means the same in any process.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::trouble::Trouble;

/// The version of [`Request`] and of the news that answer it.
pub const VERSION: u32 = 1;
/// Wants of one request: as many as may wait in a queue, for all that waits may be handed over at once.
pub const WANTS_MAX: usize = 10_000;
/// The highest number of a want: a command's own wants are counted from 0, and those it resumes after them.
pub(super) const NUMBER_MAX: usize = 2 * WANTS_MAX;
/// Bytes of one want: a peer's id, a path of 4,096 bytes, and a link's percent signs around them.
const WHAT_BYTES_MAX: usize = 16 << 10;
/// Bytes of an output folder: what the kernel takes.
const OUTPUT_BYTES_MAX: usize = 4_096;
/// Bytes of an index's address: a host name has at most 253.
const INDEX_BYTES_MAX: usize = 512;

/// One want: the words, and what belongs to them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ask {
    /// A hash, a link, `PEER/share/path`, or words that find one file.
    pub what: String,
    /// The folder it goes to, absolute.
    pub output: PathBuf,
    /// Whether to replace a file that has the name.
    pub overwrite: bool,
    /// The index's address.
    pub index: String,
}

/// An ask, and the number by which its news are told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wanted {
    /// Chosen by the asker, different for each.
    pub want: usize,
    /// What is asked for.
    pub ask: Ask,
    /// Whether it was asked for before, so that the content it meant then is meant now.
    pub again: bool,
}

/// What a command wants of the home's queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Request {
    /// [`VERSION`].
    pub version: u32,
    /// What is asked for.
    pub wants: Vec<Wanted>,
    /// Whether everything that is left in the queue is wanted as well.
    pub resume: bool,
}

/// What may be said to the process that holds a home.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "ask", rename_all = "snake_case")]
pub(super) enum Message {
    /// Fetch this.
    Fetch(Request),
    /// Give the home to a peer that wants to start.
    Yield {
        /// [`VERSION`].
        version: u32,
    },
}

/// Tells one ask from another: the same words, folder and index are the same ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct AskId([u8; 16]);

impl Ask {
    /// What can't be kept or done is refused before anything is begun.
    pub(super) fn check(&self) -> Result<(), Trouble> {
        let sizes = [
            ("what is asked for", self.what.len(), WHAT_BYTES_MAX),
            ("the output folder", self.output.as_os_str().len(), OUTPUT_BYTES_MAX),
            ("the index's address", self.index.len(), INDEX_BYTES_MAX),
        ];
        if let Some((name, _, max)) = sizes.iter().find(|(_, size, max)| size > max) {
            return Err(Trouble::usage(format!("{name} is longer than {max} bytes")));
        }
        if !self.output.is_absolute() || self.output.to_str().is_none() {
            return Err(Trouble::usage(format!("can't use `{}` as output folder", self.output.display()))
                .hint("its name must be valid UTF-8"));
        }
        Ok(())
    }

    pub(super) fn id(&self) -> AskId {
        let mut hasher = blake3::Hasher::new();
        let output = self.output.to_string_lossy();
        for part in [self.what.as_str(), &output, &self.index, if self.overwrite { "1" } else { "0" }] {
            hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
        }
        let mut id = [0; 16];
        hasher.finalize_xof().fill(&mut id);
        AskId(id)
    }
}

impl std::fmt::Display for AskId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}
