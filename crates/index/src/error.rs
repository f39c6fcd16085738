//! What an index refuses, typed where a caller decides on it.

use peerage_wire::limits;

/// The outcome of a call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a call was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The peer has no lease: it must announce itself.
    #[error("the peer is not announced")]
    UnknownPeer,
    /// The batch is not the next one of the announced epoch.
    #[error(
        "batch {found_seq} of epoch {found_epoch} came where batch {expected_seq} of epoch {expected_epoch} belongs"
    )]
    OutOfOrder {
        /// The announced epoch.
        expected_epoch: u64,
        /// The next batch.
        expected_seq: u64,
        /// What came.
        found_epoch: u64,
        /// What came.
        found_seq: u64,
    },
    /// Another process announced a higher epoch for the same peer.
    #[error("epoch {found} came after epoch {current} of the same peer")]
    StaleEpoch {
        /// The highest announced.
        current: u64,
        /// What came.
        found: u64,
    },
    /// The peer's share would be larger than allowed.
    #[error("a peer registers at most {} files", limits::PEER_FILES_MAX)]
    TooManyFiles,
    /// The peer says that it downloads more than is allowed.
    #[error("a peer names at most {} contents that it is downloading", limits::PARTIALS_MAX)]
    TooManyPartials,
    /// The index holds as much as its memory ceiling allows.
    #[error("the index is full: it uses {used_bytes} of {max_bytes} bytes of memory")]
    Full {
        /// Bytes in use.
        used_bytes: u64,
        /// The ceiling.
        max_bytes: u64,
    },
    /// The store failed: what, on which file, and what to do.
    #[error("{message}")]
    Store {
        /// What failed, on which file.
        message: String,
        /// What to do about it.
        hint: String,
        /// Whether a file there is not what was written, so that trying again is of no use.
        is_damaged: bool,
    },
    /// The query can't be read.
    #[error("the query can't be read: {0}")]
    BadQuery(String),
    /// The cursor is not one of this list's, or of this search's.
    #[error("the cursor is not one of this list's")]
    BadCursor,
    /// More rows are asked for than a page has, or none.
    #[error("`limit` is {0}, and a page has 1 to {most} rows", most = limits::PAGE_ROWS_MAX)]
    BadLimit(usize),
}
