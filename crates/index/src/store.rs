//! What a caller chooses about a store, and what it is told about one.

/// How an index with a store behaves.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// Bytes of memory above which registrations are refused ([`crate::Error::Full`]) while searches go on. No ceiling
    /// where there is none.
    pub memory_max_bytes: Option<u64>,
    /// Names that are searched one by one before they are made into a segment; what fits best where left out. Tests
    /// choose few, so that flushes and merges happen all the time.
    pub memtable_names: Option<usize>,
}

/// How far the opening of a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Phase {
    /// The snapshot is being read.
    Reading {
        /// Bytes read.
        done_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
    /// What was registered after the snapshot is being read.
    Replaying {
        /// Bytes of the log read.
        done_bytes: u64,
        /// Bytes in all.
        total_bytes: u64,
    },
}

/// What a proof of a store found in it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Checked {
    /// Known peers, here or not.
    pub peers: u64,
    /// Registrations of all of them.
    pub files: u64,
    /// Distinct contents.
    pub contents: u64,
    /// Distinct paths of contents.
    pub names: u64,
    /// Bytes of the snapshot with its segments.
    pub snapshot_bytes: u64,
    /// Records of the log that the snapshot does not hold.
    pub log_records: u64,
    /// Bytes of the log.
    pub log_bytes: u64,
    /// Bytes at the end of the log that were being written when the process ended; they were never acknowledged.
    pub torn_bytes: u64,
}
