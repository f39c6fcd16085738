//! Who has a content, whole or in part, and how a peer says that it has a part.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Doors;
use crate::{ContentHash, PeerId, PeerName};

/// A live peer that has a content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Source {
    /// Its key: pin it.
    pub peer: PeerId,
    /// Its name for people.
    pub name: PeerName,
    /// Its native door.
    #[schema(value_type = String, example = "192.168.1.7:18965")]
    pub address: SocketAddr,
    /// Every door's port.
    pub doors: Doors,
    /// It is still downloading the content itself, and gives the pieces that it has: ask it which.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

/// `PUT /api/v1/peers/{id}/partials`: the contents a peer is downloading and can give pieces of, all of them.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct PartialSet {
    /// At most 100.
    pub hashes: Vec<ContentHash>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde hands out references")]
const fn is_false(is_it: &bool) -> bool {
    !*is_it
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_partial_source_says_so() {
        let whole = Source {
            peer: PeerId::from_bytes([1; 32]),
            name: "anna".parse().unwrap(),
            address: ([127, 0, 0, 1], 1).into(),
            doors: Doors { native: 1 },
            partial: false,
        };
        let partial = Source { partial: true, ..whole.clone() };
        let json = |source: &Source| serde_json::to_string(source).unwrap();
        assert!(!json(&whole).contains("partial"), "{}", json(&whole));
        for source in [whole, partial] {
            assert_eq!(serde_json::from_str::<Source>(&json(&source)).unwrap(), source);
        }
    }
}
