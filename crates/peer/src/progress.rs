//! How far a download is and what it waits for: written by the download, polled by whoever shows it.
//!
//! Invariant: reading never blocks the download; bytes that turn out wrong are taken back.

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use peerage_wire::PeerName;

/// What a download is doing, or waiting for.
#[derive(Debug, Clone, PartialEq, Eq, Default, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// Nothing yet.
    #[default]
    Starting,
    /// Asking the index who has it.
    FindingSources,
    /// Hashing what is already on the disk.
    Checking,
    /// Fetching the piece list.
    FetchingList,
    /// A connection is being made, or waited for while other downloads use those to the same peer.
    Connecting(PeerName),
    /// Bytes arrive.
    Fetching,
    /// No source can be reached now; it is tried again.
    NoSource,
    /// A source serves others first.
    WaitingForSlot(PeerName),
    /// A source answers, but sends next to nothing.
    SlowSource(PeerName),
    /// The disk takes the bytes slower than they come.
    SlowDisk,
    /// Bringing the file to the disk.
    Finishing,
    /// There is a file, or an error.
    Done,
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let name = |name: &PeerName| peerage_wire::shown(name.as_str()).to_string();
        f.pad(&match self {
            Self::Starting => "starting".to_owned(),
            Self::FindingSources => "asking the index for sources".to_owned(),
            Self::Checking => "checking what is already here".to_owned(),
            Self::FetchingList => "fetching the piece list".to_owned(),
            Self::Connecting(peer) => format!("connecting to {}", name(peer)),
            Self::Fetching => "fetching".to_owned(),
            Self::NoSource => "no source can be reached, trying again".to_owned(),
            Self::WaitingForSlot(peer) => format!("waiting for a slot at {}", name(peer)),
            Self::SlowSource(peer) => format!("{} sends slowly", name(peer)),
            Self::SlowDisk => "the disk is slow".to_owned(),
            Self::Finishing => "writing to the disk".to_owned(),
            Self::Done => "done".to_owned(),
        })
    }
}

/// Shared between a download and its onlookers.
#[derive(Debug, Default)]
pub struct Progress {
    total_bytes: AtomicU64,
    proven_bytes: AtomicU64,
    flying_bytes: AtomicU64,
    resumed_bytes: AtomicU64,
    sources_active: AtomicUsize,
    stage: Mutex<Stage>,
}

/// A look at a [`Progress`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// Bytes of the content.
    pub total_bytes: u64,
    /// Bytes that are here, those that are not proven yet among them.
    pub done_bytes: u64,
    /// Bytes that an earlier download had left, part of `done_bytes`.
    pub resumed_bytes: u64,
    /// Peers that are sending.
    pub sources_active: usize,
    /// What it is doing.
    pub stage: Stage,
}

impl Progress {
    /// How things stand.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let total_bytes = self.total_bytes.load(Ordering::Relaxed);
        let done = self.proven_bytes.load(Ordering::Relaxed) + self.flying_bytes.load(Ordering::Relaxed);
        Snapshot {
            total_bytes,
            done_bytes: done.min(total_bytes), // a piece may be on its way twice
            resumed_bytes: self.resumed_bytes.load(Ordering::Relaxed),
            sources_active: self.sources_active.load(Ordering::Relaxed),
            stage: self.stage.lock().unwrap_or_else(PoisonError::into_inner).clone(),
        }
    }

    pub(crate) fn set_stage(&self, stage: Stage) {
        *self.stage.lock().unwrap_or_else(PoisonError::into_inner) = stage;
    }

    pub(crate) fn set_total(&self, bytes: u64) {
        self.total_bytes.store(bytes, Ordering::Relaxed);
    }

    pub(crate) fn set_sources_active(&self, sources: usize) {
        self.sources_active.store(sources, Ordering::Relaxed);
    }

    /// Bytes an earlier download had left.
    pub(crate) fn resumed(&self, bytes: u64) {
        self.resumed_bytes.store(bytes, Ordering::Relaxed);
        self.proven(bytes);
    }

    /// Bytes that are right and written.
    pub(crate) fn proven(&self, bytes: u64) {
        self.proven_bytes.fetch_add(bytes, Ordering::Relaxed);
    }

    /// Bytes that have come and prove nothing yet.
    pub(crate) fn set_flying(&self, bytes: u64) {
        self.flying_bytes.store(bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_that_prove_wrong_are_taken_back() {
        let progress = Progress::default();
        progress.set_total(100);
        progress.resumed(30);
        progress.set_flying(90);
        assert_eq!(progress.snapshot().done_bytes, 100);
        progress.set_flying(0);
        progress.proven(20);
        assert_eq!(progress.snapshot().done_bytes, 50);
        assert_eq!(progress.snapshot().resumed_bytes, 30);
    }

    #[test]
    fn a_strangers_name_is_shown_without_tricks() {
        let name: PeerName = "a\u{202e}b".parse().unwrap();
        assert_eq!(Stage::WaitingForSlot(name).to_string(), "waiting for a slot at a\u{fffd}b");
    }
}
