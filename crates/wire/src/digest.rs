//! The share digest: 32 bytes that two sides can compare to know whether they hold the same list of files.
//!
//! It does not depend on order and is kept up to date in constant time a change: the BLAKE3 of each entry is
//! added, lane by lane, modulo 2^64. It tells accidents from agreement. It is no proof against a peer that
//! forges its own share, and need not be: a peer may register what it likes under its own key.

use crate::{ContentHash, FileEntry};

/// The digest of a set of files; the empty share's is all zeros.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, utoipa::ToSchema)]
#[schema(value_type = String)]
pub struct ShareDigest([u64; 4]);

impl ShareDigest {
    /// Takes the 32 bytes as they are.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        let (lanes, _) = bytes.as_chunks::<8>();
        Self(std::array::from_fn(|lane| u64::from_le_bytes(lanes[lane])))
    }

    /// The 32 bytes.
    #[must_use]
    pub fn to_bytes(self) -> [u8; 32] {
        let mut bytes = [0; 32];
        for (chunk, lane) in bytes.chunks_exact_mut(8).zip(self.0) {
            chunk.copy_from_slice(&lane.to_le_bytes());
        }
        bytes
    }

    /// Takes a file in.
    pub fn add(&mut self, file: &FileEntry) {
        for (lane, more) in self.0.iter_mut().zip(lanes(file)) {
            *lane = lane.wrapping_add(more);
        }
    }

    /// Takes a file out that was taken in before.
    pub fn remove(&mut self, file: &FileEntry) {
        for (lane, less) in self.0.iter_mut().zip(lanes(file)) {
            *lane = lane.wrapping_sub(less);
        }
    }

    /// Takes in what another digest holds.
    pub fn add_all(&mut self, other: Self) {
        for (lane, more) in self.0.iter_mut().zip(other.0) {
            *lane = lane.wrapping_add(more);
        }
    }

    /// Takes out what another digest holds, which was taken in before.
    pub fn remove_all(&mut self, other: Self) {
        for (lane, less) in self.0.iter_mut().zip(other.0) {
            *lane = lane.wrapping_sub(less);
        }
    }
}

fn lanes(file: &FileEntry) -> [u64; 4] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&file.size.to_le_bytes());
    hasher.update(&file.modified.to_le_bytes());
    hasher.update(file.hash.as_bytes());
    hasher.update(file.path.as_str().as_bytes());
    let hash = hasher.finalize();
    let (lanes, _) = hash.as_bytes().as_chunks::<8>();
    std::array::from_fn(|lane| u64::from_le_bytes(lanes[lane]))
}

impl serde::Serialize for ShareDigest {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        ContentHash::from_bytes(self.to_bytes()).serialize(serializer)
    }
}

impl<'de> serde::Deserialize<'de> for ShareDigest {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        ContentHash::deserialize(deserializer).map(|hash| Self::from_bytes(*hash.as_bytes()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SharePath;

    fn file(path: &str, size: u64) -> FileEntry {
        FileEntry { path: SharePath::parse(path).unwrap(), size, hash: ContentHash::of(b"x"), modified: -1 }
    }

    #[test]
    fn order_does_not_matter_and_removal_undoes() {
        let (a, b, c) = (file("s/a", 1), file("s/b", 2), file("s/b", 3));
        let mut one = ShareDigest::default();
        let mut two = ShareDigest::default();
        [&a, &b].into_iter().for_each(|file| one.add(file));
        [&c, &b, &a].into_iter().for_each(|file| two.add(file));
        assert_ne!(one, two);
        two.remove(&c);
        assert_eq!(one, two);
        let json = serde_json::to_string(&one).unwrap();
        assert_eq!(serde_json::from_str::<ShareDigest>(&json).unwrap(), one);
        [&a, &b].into_iter().for_each(|file| one.remove(file));
        assert_eq!(one, ShareDigest::default());
    }
}
