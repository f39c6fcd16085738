//! The bodies of the index's HTTP API: what goes over the wire, field by field.
//!
//! Every list has one outer shape, [`Page`]. Unknown fields are ignored, so that either side may be newer.

mod folder;
mod highlight;
mod source;

use std::net::SocketAddr;

use serde::{Deserialize, Deserializer, Serialize, de};
use utoipa::{IntoParams, ToSchema};

use crate::{ContentHash, FileEntry, Kind, PeerId, PeerName, ShareDigest, SharePath};

pub use folder::{FolderRow, RowKind};
pub use source::{PartialSet, Source};

/// Every error's body.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorBody {
    /// The error itself.
    pub error: ErrorDetail,
}

/// What failed and what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct ErrorDetail {
    /// A word for programs; see [`codes`].
    pub code: String,
    /// A sentence for people: what failed, on what.
    pub message: String,
    /// What to do about it.
    pub hint: String,
}

/// The error codes that a client acts on.
pub mod codes {
    /// No bearer token, or one the index does not know (any more): open a new session.
    pub const SESSION: &str = "session";
    /// The index does not know the peer: announce it.
    pub const UNKNOWN_PEER: &str = "unknown_peer";
    /// The batch does not follow the last one: announce a higher epoch, and send all where told to.
    pub const OUT_OF_ORDER: &str = "out_of_order";
    /// A process with a higher epoch speaks for this peer.
    pub const STALE_EPOCH: &str = "stale_epoch";
    /// Nothing by that name, hash or id.
    pub const NOT_FOUND: &str = "not_found";
    /// The request breaks a rule; repeating it changes nothing.
    pub const BAD_REQUEST: &str = "bad_request";
    /// A limit is reached.
    pub const LIMIT: &str = "limit";
    /// The index still reads its store: ask again in a few seconds.
    pub const STARTING: &str = "starting";
    /// The index has no memory for more registrations: keep the session, go on beating, register later.
    pub const FULL: &str = "full";
    /// Not yours to change.
    pub const FORBIDDEN: &str = "forbidden";
    /// A peer's file is not what it registered any more.
    pub const CHANGED: &str = "changed";
    /// Nothing the asker did.
    pub const INTERNAL: &str = "internal";
}

/// `POST /api/v1/session`: without `answer` it asks for a challenge, with it for a token.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionRequest {
    /// Who asks.
    pub peer: PeerId,
    /// The signed challenge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub answer: Option<SessionAnswer>,
}

/// A challenge and the signature over [`crate::session::message`].
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
pub struct SessionAnswer {
    /// The challenge as it was given.
    pub challenge: String,
    /// An Ed25519 signature, 128 hex digits.
    pub signature: String,
}

/// What a session request gets.
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[serde(untagged)]
pub enum SessionReply {
    /// First step: sign this.
    Challenge {
        /// 64 hex digits, for one use.
        challenge: String,
        /// How long it may wait for its answer.
        expires_secs: u64,
    },
    /// Second step: a bearer token.
    Token {
        /// Goes into `Authorization: Bearer …`.
        token: String,
        /// How long it is good for without a heartbeat.
        expires_secs: u64,
    },
}

/// The ports at which a peer can be reached, at the address the index sees it come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Doors {
    /// HTTP over TLS 1.3.
    #[schema(example = 18965)]
    pub native: u16,
    /// FTP, where the peer has such a door.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ftp: Option<FtpDoor>,
}

impl Doors {
    /// A native door alone.
    #[must_use]
    pub const fn native(port: u16) -> Self {
        Self { native: port, ftp: None }
    }
}

/// An FTP door.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FtpDoor {
    /// Its port.
    #[schema(example = 2121)]
    pub port: u16,
    /// Whether only the peer's own machine reaches it: nobody else is told of it.
    #[serde(default)]
    pub local: bool,
    /// Whether clients must use TLS (`AUTH TLS`).
    #[serde(default)]
    pub tls: bool,
    /// Whether clients must log in with a name and a password to see anything.
    #[serde(default)]
    pub login: bool,
}

/// `PUT /api/v1/peers/{id}`: who a peer is and what it holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Announcement {
    /// Its name for people.
    pub name: PeerName,
    /// Where it serves.
    pub doors: Doors,
    /// Its process and sequence: higher than any it used before. Batches count from 0 in each epoch.
    pub epoch: u64,
    /// The digest of what it shares now.
    pub digest: ShareDigest,
}

/// What an announcement gets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Announced {
    /// How long the registration lives without a heartbeat.
    pub lease_secs: u64,
    /// How often to send one.
    pub heartbeat_secs: u64,
    /// How others are told to reach the native door.
    #[schema(value_type = String, example = "192.168.1.7:18965")]
    pub address: SocketAddr,
    /// Whether the index holds something else than the digest says: it has dropped that, and the peer must send
    /// every file, from batch 0 of the announced epoch. Otherwise only changes since are sent, from batch 0.
    pub resync: bool,
}

/// Where a batch stands in its peer's order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub struct BatchOrder {
    /// The announced epoch.
    pub epoch: u64,
    /// 0, 1, 2, … within the epoch. A number that was applied before is acknowledged again and not applied.
    pub seq: u64,
}

/// One line of a batch.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// The file is here, new or changed: it replaces what the path meant before.
    Add(FileEntry),
    /// The file is gone; nothing happens where it was not known.
    Remove {
        /// The path it had.
        path: SharePath,
    },
}

/// What a batch gets once it is registered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Applied {
    /// Files the peer has registered now.
    pub files: u64,
}

/// `POST /api/v1/peers/{id}/heartbeat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Heartbeat {
    /// The announced epoch.
    pub epoch: u64,
    /// What the peer shares; left out while batches are on their way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub digest: Option<ShareDigest>,
}

/// What a heartbeat gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct HeartbeatReply {
    /// How long the registration lives from now without another.
    pub lease_secs: u64,
    /// Whether the digest differs from what the index holds: announce again with a higher epoch.
    pub resync: bool,
}

/// How a search is ordered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sort {
    /// Best match first, then most live sources.
    #[default]
    Rank,
    /// Largest first.
    Size,
    /// By the first of the names, without regard to case and accents.
    Name,
    /// Last changed first.
    Newest,
}

/// `GET /api/v1/search`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct SearchParams {
    /// Words, `"phrases"`, `-not`, `a OR b`, `*part*`, and filters: `type:audio`, `size:>10M`, `peer:NAME`, `hash:HEX`.
    pub q: String,
    /// Only this kind.
    #[serde(rename = "type", default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub kind: Option<Kind>,
    /// At least so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_size: Option<u64>,
    /// At most so many bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_size: Option<u64>,
    /// Only what this peer has: a name or an id. Where none is spelt so, case and accents don't count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// The order; best match first where left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(inline)]
    pub sort: Option<Sort>,
    /// Hits on a page, 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000, default = 50)]
    pub limit: Option<usize>,
    /// From the page before of the same search.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// `GET /api/v1/files`, `/api/v1/peers` and `/api/v1/peers/{id}/files`.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub struct ListParams {
    /// Only this peer: a name or an id. Where none is spelt so, case and accents don't count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
    /// Only what is at or below this path (files only); a slash at its end makes no difference.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "folder")]
    pub under: Option<SharePath>,
    /// Rows on a page, 1 to 1,000.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[param(minimum = 1, maximum = 1000, default = 100)]
    pub limit: Option<usize>,
    /// From the page before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cursor: Option<String>,
}

/// Reads a folder's path as people write it: with a slash at its end, or without.
fn folder<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<SharePath>, D::Error> {
    let text = String::deserialize(deserializer)?;
    SharePath::parse(text.trim_end_matches('/')).map(Some).map_err(de::Error::custom)
}

/// How many there are in all.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Total {
    /// So many, or at least so many.
    pub value: u64,
    /// Whether there are no more than `value`.
    pub exact: bool,
}

/// One page of any list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Page<T> {
    /// How many there are on all pages.
    pub total: Total,
    /// This page's rows.
    pub hits: Vec<T>,
    /// Asks for the next page; `null` on the last.
    pub cursor: Option<String>,
    /// How a search's words were read; left out elsewhere.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub matched: Option<Matched>,
}

/// How the words of a search had to be read to find something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Matched {
    /// As written.
    Exact,
    /// As parts of longer words: nothing matched as written.
    Substring,
    /// With one typo a word forgiven: nothing matched otherwise.
    Typo,
}

/// A content that a search found, or that was asked for by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Hit {
    /// The content.
    pub hash: ContentHash,
    /// Bytes.
    pub size: u64,
    /// What its first name says it is.
    #[serde(rename = "type")]
    pub kind: Kind,
    /// Share paths it goes by, best match first, at most eight. Those of a peer that was asked for come before others, and
    /// in the order by name the one that comes first there.
    pub names: Vec<SharePath>,
    /// For each of `names`, in their order, the parts that the query's words matched, for showing them: each from a
    /// character to before another, `[0, 6]` being the first six. Counted in characters (Unicode code points; neither
    /// bytes nor UTF-16 units), in order and apart from each other. Left out where no words were asked for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub highlights: Vec<Vec<[u32; 2]>>,
    /// Live peers that have it.
    pub source_count: u64,
    /// Live peers that have it: at most four in a search, at most 64 where it is asked for by its hash, and then peers
    /// that have a part of it after them. The first of a search has it by the first of `names`, where one of these four does
    /// or there are no more than sixteen; then come peers that were asked for, and then others.
    pub sources: Vec<Source>,
}

/// A registered file and who has it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct FileRow {
    /// The file.
    #[serde(flatten)]
    pub file: FileEntry,
    /// Whose it is.
    pub peer: PeerId,
    /// Its owner's name for people.
    pub name: PeerName,
}

/// A live peer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PeerRow {
    /// Its key.
    pub peer: PeerId,
    /// Its name for people.
    pub name: PeerName,
    /// Its native door.
    #[schema(value_type = String, example = "192.168.1.7:18965")]
    pub address: SocketAddr,
    /// Every door's port.
    pub doors: Doors,
    /// Files registered.
    pub files: u64,
    /// Bytes of all of them together.
    pub bytes: u64,
}

/// `GET /api/v1/stats`: the index in numbers, live peers only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Stats {
    /// Live peers.
    pub peers: u64,
    /// Registrations: a file of a peer.
    pub files: u64,
    /// Distinct contents among them.
    pub contents: u64,
    /// Bytes of all registrations.
    pub bytes: u64,
    /// What the index needs for that.
    #[serde(default)]
    pub memory: Memory,
}

/// Memory the index uses, by part, with what it remembers of peers that are not here.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, ToSchema)]
pub struct Memory {
    /// Contents: hashes, sizes, counts, and the table that finds them.
    pub contents_bytes: u64,
    /// Names: share paths and what they belong to.
    pub names_bytes: u64,
    /// The words of names.
    pub text_bytes: u64,
    /// Which peers have which content.
    pub sources_bytes: u64,
    /// Which files each peer has.
    pub shares_bytes: u64,
    /// The peers themselves.
    pub peers_bytes: u64,
    /// All of these.
    pub total_bytes: u64,
    /// Above this registrations are refused, where there is such a ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_bytes: Option<u64>,
    /// Registrations like the present ones that still fit below the ceiling.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub room_files: Option<u64>,
}
