//! `peerage:<hash>?name=…&size=…`: a content one can paste into a chat.

use std::fmt;
use std::str::FromStr;

use crate::{ContentHash, SharePath, percent};

/// Why a text is not a link.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("expected `peerage:` and a content hash of 64 hex digits")]
pub struct LinkError;

/// A content, and what its giver called it. The name and size are hearsay: only the hash is proven.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// The content.
    pub hash: ContentHash,
    /// A file name, already checked to be one plain component.
    pub name: Option<String>,
    /// Bytes.
    pub size: Option<u64>,
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "peerage:{}", self.hash)?;
        let mut mark = '?';
        if let Some(name) = &self.name {
            write!(f, "{mark}name={}", percent::encode(name))?;
            mark = '&';
        }
        if let Some(size) = self.size {
            write!(f, "{mark}size={size}")?;
        }
        Ok(())
    }
}

impl FromStr for Link {
    type Err = LinkError;

    fn from_str(text: &str) -> Result<Self, LinkError> {
        let rest = text.strip_prefix("peerage:").ok_or(LinkError)?;
        let (hash, query) = rest.split_once('?').unwrap_or((rest, ""));
        let hash = hash.parse().map_err(|_| LinkError)?;
        let value =
            |key: &str| query.split('&').filter_map(|pair| pair.split_once('=')).find(|(k, _)| *k == key);
        let name =
            value("name").and_then(|(_, value)| percent::decode(value)).filter(|name| is_one_component(name));
        let size = value("size").and_then(|(_, value)| value.parse().ok());
        Ok(Self { hash, name, size })
    }
}

fn is_one_component(name: &str) -> bool {
    SharePath::parse(name).is_ok_and(|path| path.components().count() == 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_survives_the_trip() {
        let link =
            Link { hash: ContentHash::of(b"x"), name: Some("été & co 100%.txt".into()), size: Some(1) };
        assert_eq!(link.to_string().parse(), Ok(link));
    }

    #[test]
    fn a_name_that_climbs_is_dropped_and_a_bad_hash_refused() {
        let hash = ContentHash::of(b"x");
        let link: Link = format!("peerage:{hash}?name=..%2F..%2Fetc&size=x").parse().unwrap();
        assert_eq!(link, Link { hash, name: None, size: None });
        assert_eq!("peerage:abc".parse::<Link>(), Err(LinkError));
        assert_eq!(hash.to_string().parse::<Link>(), Err(LinkError));
    }
}
