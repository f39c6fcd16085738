//! How far the share is: counters for a progress display.
//!
//! Invariants: the counters are written by many threads and read by one; each is right by itself, and all of
//! them together once the share is idle.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use super::queue::{Job, Why};

/// Counters since the start. What waits to be hashed is `found - known - hashed`.
#[derive(Debug, Default)]
pub struct ShareProgress {
    /// Files found that are new or changed, or that the cache knew.
    pub files_found: AtomicU64,
    /// Their bytes.
    pub bytes_found: AtomicU64,
    /// Files hashed.
    pub files_hashed: AtomicU64,
    /// Bytes hashed, counted piece by piece.
    pub bytes_hashed: AtomicU64,
    /// Files whose hash the cache knew.
    pub files_known: AtomicU64,
    /// Their bytes.
    pub bytes_known: AtomicU64,
    /// Files hashed a second time, since they were written so shortly before the first that a later write
    /// could have left size and time as they were.
    pub files_checked_again: AtomicU64,
    /// Whether the first walk over all folders has ended.
    pub scan_finished: AtomicBool,
    /// Whether nothing is being walked, hashed or waited for.
    pub idle: AtomicBool,
    /// Notes given so far, read or not.
    pub notes: AtomicU64,
}

impl ShareProgress {
    pub(super) fn found(&self, why: Why, bytes: u64) {
        if why == Why::Found {
            add(&self.files_found, 1);
            add(&self.bytes_found, bytes);
        }
    }

    /// A file that was found will not be hashed after all.
    pub(super) fn unfound(&self, why: Why, bytes: u64) {
        if why == Why::Found {
            self.files_found.fetch_sub(1, Ordering::Relaxed);
            self.bytes_found.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// The cache knew a file that was found.
    pub(super) fn recalled(&self, bytes: u64) {
        self.found(Why::Found, bytes);
        add(&self.files_known, 1);
        add(&self.bytes_known, bytes);
    }

    pub(super) fn lost(&self, job: &Job) {
        self.unfound(job.why, job.stamp.size);
    }

    pub(super) fn hashed(&self, job: &Job) {
        add(if job.why == Why::Found { &self.files_hashed } else { &self.files_checked_again }, 1);
    }

    pub(super) fn hashed_bytes(&self, job: &Job, bytes: u64) {
        if job.why == Why::Found {
            add(&self.bytes_hashed, bytes);
        }
    }

    /// A file is given up of which so many bytes had been hashed.
    pub(super) fn unhashed_bytes(&self, job: &Job, bytes: u64) {
        if job.why == Why::Found {
            self.bytes_hashed.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

pub(super) fn add(counter: &AtomicU64, more: u64) {
    counter.fetch_add(more, Ordering::Relaxed);
}
