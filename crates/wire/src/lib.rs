//! The words both sides of Peerage speak: ids, paths, files, pieces, the API's types and every limit.
//!
//! Architecture invariants: no I/O, no async, no clock. Everything here is parsed once at a door and carries
//! its check in its type from then on, so nothing past a door handles a naked string.

mod id;
mod path;

mod digest;
mod file;
mod link;
mod name;
mod piece;
mod shown;
mod size;
mod text;

pub mod api;
pub mod bundle;
pub mod html;
pub mod limits;
pub mod percent;
pub mod session;

pub use digest::ShareDigest;
pub use file::{FileEntry, Kind};
pub use id::{ContentHash, IdError, PeerId};
pub use link::{Link, LinkError};
pub use name::{NameError, PeerName};
pub use path::{PathError, SharePath};
pub use piece::{PIECE_BYTES, PieceError, PieceHasher, PieceList, piece_count, piece_len};
pub use shown::{Shown, shown};
pub use size::{SizeError, format_bytes, parse_bytes};
