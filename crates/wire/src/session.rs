//! How a peer proves to an index that it holds its key: what is signed, and nothing else.
//!
//! The index sends a challenge; the peer signs it together with the host it believes it speaks to. An index
//! that passes another index's challenge on gets a signature for its own host, which the other refuses.

use crate::PeerId;

/// The bytes a peer signs with its Ed25519 key: a fixed label, the host as the peer dialled it (`host:port`,
/// the request's `Host`), its own id, and the challenge as the index wrote it, each ended by a NUL.
#[must_use]
pub fn message(host: &str, peer: &PeerId, challenge: &str) -> Vec<u8> {
    let host = host.to_ascii_lowercase();
    format!("peerage index session v1\0{host}\0{peer}\0{challenge}\0").into_bytes()
}
