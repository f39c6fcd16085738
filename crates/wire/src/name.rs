//! A peer's name, for people. Names may repeat; only a [`crate::PeerId`] says who somebody is.
//!
//! Invariants: 1 to [`limits::PEER_NAME_BYTES_MAX`] bytes, NFC, no control character, no slash (so that
//! `PEER/share/folder` has one reading), no blank at either end.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use unicode_normalization::UnicodeNormalization;

use crate::{limits, text};

/// Why a text is not a peer's name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a name is 1 to {} bytes without slashes or control characters", limits::PEER_NAME_BYTES_MAX)]
pub struct NameError;

/// A validated name. Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, utoipa::ToSchema)]
#[schema(value_type = String, example = "studio-nas")]
pub struct PeerName(Arc<str>);

impl PeerName {
    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The nearest valid name to what a machine calls itself, or `peer`.
    #[must_use]
    pub fn from_host(host: &str) -> Self {
        host.parse().unwrap_or_else(|_| Self("peer".into()))
    }
}

impl FromStr for PeerName {
    type Err = NameError;

    fn from_str(text: &str) -> Result<Self, NameError> {
        if text.len() > 4 * limits::PEER_NAME_BYTES_MAX {
            return Err(NameError);
        }
        let normal: String = text.nfc().collect();
        let valid = !normal.is_empty()
            && normal.len() <= limits::PEER_NAME_BYTES_MAX
            && normal.trim() == normal
            && !normal.contains(|c: char| c.is_control() || c == '/' || c == '\\');
        if valid { Ok(Self(normal.into())) } else { Err(NameError) }
    }
}

impl fmt::Display for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl fmt::Debug for PeerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

impl serde::Serialize for PeerName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> serde::Deserialize<'de> for PeerName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        text::read(deserializer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_could_be_mistaken_are_refused() {
        for text in ["", " a", "a ", "a/b", "a\\b", "a\nb", "\u{1b}[31m", &"a".repeat(65)] {
            assert_eq!(text.parse::<PeerName>(), Err(NameError), "{text:?}");
        }
        assert_eq!("Zoë's NAS".parse::<PeerName>().map(|name| name.to_string()), Ok("Zoë's NAS".into()));
        assert_eq!(PeerName::from_host("").as_str(), "peer");
    }
}
