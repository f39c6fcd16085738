//! Who has a content, whole or in part, and how a peer says that it has a part.

use std::net::SocketAddr;

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::{Doors, PeerRow};
use crate::{ContentHash, PeerId, PeerName, SharePath, percent};

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
    /// Where in its shares it has the content, if it has a door that goes by names.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<SharePath>,
    /// The same as a URL of its FTP door. What is not public there asks for a name and a password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schema(example = "ftp://192.168.1.7:2121/music/Artist/Song.flac")]
    pub ftp: Option<String>,
    /// It is still downloading the content itself, and gives the pieces that it has: ask it which.
    #[serde(default, skip_serializing_if = "is_false")]
    pub partial: bool,
}

/// A peer as a whole source, without a word of where.
impl From<PeerRow> for Source {
    fn from(row: PeerRow) -> Self {
        let PeerRow { peer, name, address, doors, .. } = row;
        Self { peer, name, address, doors, path: None, ftp: None, partial: false }
    }
}

impl Source {
    /// The URL of its FTP door, as somebody at this distance reaches it, for where it has the content.
    #[must_use]
    pub fn ftp_url(&self) -> Option<String> {
        let (door, path) = (self.doors.ftp?, self.path.as_ref()?);
        let address = SocketAddr::new(self.address.ip(), door.port);
        Some(format!("ftp://{address}/{}", percent::encode_path(path.as_str())))
    }
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
            doors: Doors::native(1),
            path: None,
            ftp: None,
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
