//! Peers and files to tell stories with.

use std::net::IpAddr;

use peerage_index::{Index, Moment, Result};
use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, Change, Doors, Heartbeat, HeartbeatReply, Hit, ListParams,
    Memory, Page, SearchParams, Stats,
};
use peerage_wire::{ContentHash, FileEntry, PeerId, ShareDigest, SharePath};

/// Where every peer is seen to come from.
pub(crate) const SEEN_IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 168, 1, 7));

/// So many seconds after the beginning.
pub(crate) fn at(secs: u64) -> Moment {
    Moment::from_millis(secs * 1_000)
}

/// A file whose content is told by a word.
pub(crate) fn file(path: &str, content: &str, size: u64) -> FileEntry {
    FileEntry { path: self::path(path), size, hash: hash(content), modified: 0 }
}

pub(crate) fn path(text: &str) -> SharePath {
    SharePath::parse(text).unwrap()
}

pub(crate) fn hash(content: &str) -> ContentHash {
    ContentHash::of(content.as_bytes())
}

pub(crate) fn digest_of<'a>(files: impl IntoIterator<Item = &'a FileEntry>) -> ShareDigest {
    let mut digest = ShareDigest::default();
    files.into_iter().for_each(|file| digest.add(file));
    digest
}

/// A peer as it sees itself.
pub(crate) struct Peer {
    pub(crate) id: PeerId,
    pub(crate) name: &'static str,
    pub(crate) epoch: u64,
    pub(crate) next_seq: u64,
    pub(crate) files: Vec<FileEntry>,
}

impl Peer {
    pub(crate) fn new(first_byte: u8, name: &'static str) -> Self {
        Self { id: PeerId::from_bytes([first_byte; 32]), name, epoch: 1, next_seq: 0, files: Vec::new() }
    }

    /// A peer that has announced itself at the beginning and registered its files.
    pub(crate) fn joined(index: &Index, first_byte: u8, name: &'static str, files: &[FileEntry]) -> Self {
        let mut peer = Self::new(first_byte, name);
        peer.announce(index, at(0)).unwrap();
        peer.register(index, files).unwrap();
        peer
    }

    pub(crate) fn digest(&self) -> ShareDigest {
        digest_of(&self.files)
    }

    pub(crate) fn announce(&self, index: &Index, now: Moment) -> Result<Announced> {
        let what = Announcement {
            name: self.name.parse().unwrap(),
            doors: Doors::native(18_965),
            epoch: self.epoch,
            digest: self.digest(),
        };
        index.announce(self.id, &what, SEEN_IP, now)
    }

    /// The next process of the same peer: a higher epoch, batches from 0.
    pub(crate) fn restart(&mut self) {
        (self.epoch, self.next_seq) = (self.epoch + 1, 0);
    }

    pub(crate) fn send(&self, index: &Index, seq: u64, files: &[FileEntry]) -> Result<Applied> {
        let changes = files.iter().cloned().map(Change::Add).collect();
        index.apply(self.id, BatchOrder { epoch: self.epoch, seq }, changes)
    }

    pub(crate) fn register(&mut self, index: &Index, files: &[FileEntry]) -> Result<Applied> {
        let applied = self.send(index, self.next_seq, files)?;
        self.next_seq += 1;
        self.files.extend_from_slice(files);
        Ok(applied)
    }

    pub(crate) fn beat(&self, index: &Index, now: Moment) -> Result<HeartbeatReply> {
        index.heartbeat(self.id, Heartbeat { epoch: self.epoch, digest: Some(self.digest()) }, now)
    }
}

/// What the index counts, whatever memory it takes.
pub(crate) fn counts(index: &Index) -> Stats {
    Stats { memory: Memory::default(), ..index.stats().unwrap() }
}

pub(crate) fn query(text: &str) -> SearchParams {
    SearchParams { q: text.into(), ..SearchParams::default() }
}

pub(crate) fn search(index: &Index, text: &str) -> Page<Hit> {
    index.search(&query(text)).unwrap()
}

/// The first names of what a search finds, in order.
pub(crate) fn found(index: &Index, params: &SearchParams) -> Vec<String> {
    index.search(params).unwrap().hits.iter().map(|hit| hit.names[0].to_string()).collect()
}

/// The paths of a list of files.
pub(crate) fn listed(index: &Index, params: &ListParams) -> Vec<String> {
    index.files(params).unwrap().hits.iter().map(|row| row.file.path.to_string()).collect()
}
