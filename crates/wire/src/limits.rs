//! Every limit of the protocol in one place: each a named constant with its unit and its reason.

use std::time::Duration;

/// Bytes of a whole share path: `PATH_MAX` of Linux, so that any registered path can be opened.
pub const PATH_BYTES_MAX: usize = 4_096;
/// Bytes of one component: `NAME_MAX` of every common file system.
pub const COMPONENT_BYTES_MAX: usize = 255;
/// Components of a path: deeper trees are mistakes or attacks.
pub const PATH_DEPTH_MAX: usize = 64;
/// Bytes of a peer's name: one table column.
pub const PEER_NAME_BYTES_MAX: usize = 64;
/// Doors a peer may announce: native, ftp, http and some to grow.
pub const DOORS_MAX: usize = 8;

/// Changes in one batch: about a megabyte of JSON, applied in a few milliseconds.
pub const BATCH_CHANGES_MAX: usize = 10_000;
/// Bytes of a batch after decompression.
pub const BATCH_BYTES_MAX: usize = 8 << 20;
/// Bytes of any other request body: the largest honest one is below 1 KiB.
pub const BODY_BYTES_MAX: usize = 16 << 10;
/// Files one peer may register, so that one peer can't fill the index.
pub const PEER_FILES_MAX: u64 = 5_000_000;
/// Contents that one peer may say it is downloading: more than anybody downloads at a time.
pub const PARTIALS_MAX: usize = 100;
/// Partial sources named with one content: each is asked what it has, and more add nothing to a download's speed.
pub const PARTIAL_SOURCES_MAX: usize = 50;
/// Distinct names remembered for one content, so that no peer can bloat its answers.
pub const CONTENT_NAMES_MAX: usize = 64;

/// Rows on one page of any list.
pub const PAGE_ROWS_MAX: usize = 1_000;
/// Rows on a page when nothing is asked for: a few screens.
pub const PAGE_ROWS_DEFAULT: usize = 100;
/// Hits of a search when nothing is asked for.
pub const HITS_DEFAULT: usize = 50;
/// Names shown with one hit.
pub const HIT_NAMES_MAX: usize = 8;
/// Sources given with a content that is asked for by its hash: more add nothing to a download's speed.
pub const HIT_SOURCES_MAX: usize = 64;
/// Sources given with each hit of a search: enough to begin with. All of them with fifty hits would be most of an answer,
/// and a download asks for the content anyway.
pub const SEARCH_SOURCES_MAX: usize = 4;
/// Up to here a search's total is counted exactly.
pub const TOTAL_EXACT_MAX: u64 = 10_000;
/// Bytes of a query: a long file name fits.
pub const QUERY_BYTES_MAX: usize = 256;
/// Words of a query: each costs a posting list.
pub const QUERY_WORDS_MAX: usize = 16;

/// How long a registration lives without a heartbeat.
pub const LEASE: Duration = Duration::from_secs(90);
/// How often a peer says that it is still here; three may be lost within a lease.
pub const HEARTBEAT: Duration = Duration::from_secs(30);
/// How long a bearer token is good for without a heartbeat.
pub const TOKEN: Duration = Duration::from_secs(15 * 60);
/// How long a challenge may wait for its answer: one slow round trip.
pub const CHALLENGE: Duration = Duration::from_secs(30);

/// From a connection's first byte to the end of a request's headers.
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A whole TLS handshake.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a request's headers.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// Open connections from one address.
pub const CONNECTIONS_PER_ADDRESS_MAX: usize = 32;
/// Open connections in all where the file limit allows more.
pub const CONNECTIONS_MAX: usize = 16_384;
/// How long running requests may take to end after the process was asked to stop.
pub const DRAIN_TIMEOUT: Duration = Duration::from_secs(5);

/// Uploads at the same time: enough to fill a link, few enough that each is fast.
pub const UPLOAD_SLOTS: usize = 8;
/// Uploads at the same time to one peer, so that nobody takes every slot.
pub const UPLOAD_SLOTS_PER_PEER: usize = 4;
/// Contents asked for in one `POST /v1/blobs`: their hashes, 65 bytes each, are read at once.
pub const BUNDLE_CONTENTS_MAX: usize = 1_024;
/// Bytes of the contents in one answer to it: what a door holds in memory for one slot.
pub const BUNDLE_BYTES_MAX: usize = 4 << 20;
/// The largest content: 16 TiB, whose piece list is 512 MiB.
pub const CONTENT_BYTES_MAX: u64 = 16 << 40;

/// The index's port on every machine, as in the report.
pub const INDEX_PORT: u16 = 18_964;
/// The port of a peer's native door where it is free.
pub const PEER_PORT: u16 = 18_965;
/// The port of a peer's folder door over plain HTTP, for its own machine, where it is free.
pub const HTTP_PORT: u16 = 18_966;
