//! What a queue tells whoever asked: the same in this process and over the control socket.
//!
//! Invariant: [`News::Queued`] comes first for every want, [`News::Over`] last, and nothing after [`News::End`].

use std::path::PathBuf;

use peerage_wire::ContentHash;
use serde::{Deserialize, Serialize};

use super::ask::Ask;
use super::trouble::Trouble;
use crate::progress::Stage;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "news", rename_all = "snake_case")]
pub enum News {
    /// Something the person should know.
    Note {
        /// In words.
        text: String,
    },
    /// A want is in the queue.
    Queued {
        /// Which.
        want: usize,
        /// What it is.
        ask: Ask,
    },
    /// It is known what the words mean.
    Resolved {
        /// Which.
        want: usize,
        /// The folder's name below the output folder, when a folder was asked for.
        folder: Option<String>,
        /// Files to fetch.
        files: u64,
        /// Bytes in all of them.
        bytes: u64,
    },
    /// A file is begun.
    Began {
        /// Of which want.
        want: usize,
        /// Which file of it, from 0.
        file: usize,
        /// Its path below the output folder.
        name: String,
        /// Its bytes.
        size: u64,
    },
    /// How the files that are being fetched stand; told several times a second, whether or not there are any.
    Looks {
        /// Each of them.
        files: Vec<Look>,
    },
    /// A file is there.
    Done {
        /// Of which want.
        want: usize,
        /// Which file of it.
        file: usize,
        /// How it went.
        done: FileDone,
    },
    /// A file stopped, for now or for good: [`News::Over`] tells why.
    Stopped {
        /// Of which want.
        want: usize,
        /// Which file of it.
        file: usize,
    },
    /// A want is tried again after a pause.
    Retry {
        /// Which.
        want: usize,
        /// The pause.
        wait_millis: u64,
        /// Why.
        why: String,
    },
    /// A want is over.
    Over {
        /// Which.
        want: usize,
        /// Why not everything is there, if so.
        trouble: Option<Trouble>,
    },
    /// The process that ran the downloads does so no more, and what is left goes on elsewhere.
    Moved {
        /// In words.
        text: String,
    },
    /// The request itself can't be served.
    Refused {
        /// Why.
        trouble: Trouble,
    },
    /// Everything is over.
    End,
}

/// How one file stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Look {
    /// Of which want.
    pub want: usize,
    /// Which file of it.
    pub file: usize,
    /// Bytes that are here.
    pub done_bytes: u64,
    /// Those of them that an earlier download had left.
    pub resumed_bytes: u64,
    /// What it does, or waits for.
    pub stage: Stage,
}

/// A file that is there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct FileDone {
    /// Where: the name may have got a number.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// The content.
    pub hash: ContentHash,
    /// How long it took.
    pub seconds: f64,
    /// Peers that sent something right.
    pub sources_used: usize,
    /// Bytes that an earlier download had left.
    pub resumed_bytes: u64,
    /// Whether it was there before.
    pub already_there: bool,
}
