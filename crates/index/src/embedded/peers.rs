//! The peers that are known: who they are, and which of them somebody means.
//!
//! Invariant: a known peer is either live, by its lease, or remembered as away.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use peerage_wire::api::{Doors, PeerRow, Source};
use peerage_wire::{PeerId, PeerName, SharePath};

use super::arena::{Arena, NameKey, PeerKey};
use super::away::Away;
use super::leases::{Leases, Order};
use super::manifest::Manifest;
use super::names::Names;

/// Hex digits by which a peer can be meant: fewer are likely to be a word.
const ID_PREFIX_DIGITS_MIN: usize = 4;
/// Hex digits of an id.
const ID_DIGITS: usize = 64;

/// A peer.
#[derive(Debug)]
pub(super) struct Peer {
    pub(super) id: PeerId,
    pub(super) name: PeerName,
    /// Its native door as others are told to reach it.
    pub(super) address: SocketAddr,
    pub(super) doors: Doors,
    pub(super) order: Order,
    pub(super) manifest: Manifest,
    /// The last record of the log that is about this peer and whose outcome is in memory.
    pub(super) lsn: u64,
    /// Whether it said goodbye: then only an announcement brings it back.
    pub(super) has_left: bool,
}

impl Peer {
    pub(super) fn row(&self) -> PeerRow {
        PeerRow {
            peer: self.id,
            name: self.name.clone(),
            address: self.address,
            doors: self.doors,
            files: self.manifest.len() as u64,
            bytes: clamp_bytes(self.manifest.bytes),
        }
    }

    /// As a source of a content that goes by some of these names.
    pub(super) fn source(&self, names: &Names, of_content: &[NameKey]) -> Source {
        // Only a door that goes by names needs to know where the content lies.
        let its_own = |name: &&NameKey| self.manifest.has(names, **name);
        let own = self.doors.ftp.and_then(|_| of_content.iter().find(its_own));
        let path = own.and_then(|name| SharePath::parse(names.path(*name)).ok());
        Source {
            path,
            ftp: None,
            peer: self.id,
            name: self.name.clone(),
            address: self.address,
            doors: self.doors,
            partial: false,
        }
    }
}

/// A sum of bytes as an answer holds it: no honest one comes near the end.
pub(super) fn clamp_bytes(bytes: u128) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Every known peer.
#[derive(Debug, Default)]
pub(super) struct Peers {
    peers: Arena<PeerKey, Peer>,
    by_id: BTreeMap<PeerId, PeerKey>,
    pub(super) leases: Leases,
    pub(super) away: Away,
}

impl Peers {
    pub(super) fn get(&self, key: PeerKey) -> Option<&Peer> {
        self.peers.get(key)
    }

    pub(super) fn get_mut(&mut self, key: PeerKey) -> Option<&mut Peer> {
        self.peers.get_mut(key)
    }

    pub(super) fn key(&self, id: PeerId) -> Option<PeerKey> {
        self.by_id.get(&id).copied()
    }

    /// The key of a peer that is live.
    pub(super) fn live_key(&self, id: PeerId) -> Option<PeerKey> {
        self.key(id).filter(|key| self.leases.is_live(*key))
    }

    pub(super) fn insert(&mut self, peer: Peer) -> PeerKey {
        let id = peer.id;
        let key = self.peers.insert(peer);
        self.by_id.insert(id, key);
        key
    }

    pub(super) fn forget(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.remove(key) {
            self.by_id.remove(&peer.id);
        }
    }

    /// How many are known.
    pub(super) fn len(&self) -> usize {
        self.peers.len()
    }

    /// Every known peer, by id.
    pub(super) fn known(&self) -> Vec<(PeerId, PeerKey)> {
        self.by_id.iter().map(|(id, key)| (*id, *key)).collect()
    }

    /// Every known peer.
    pub(super) fn keys(&self) -> Vec<PeerKey> {
        self.by_id.values().copied().collect()
    }

    /// Bytes of memory, about: a peer's record and name, its place in the books of ids and leases.
    pub(super) fn bytes(&self) -> u64 {
        const BOOKS_BYTES: usize = 250;
        (self.by_id.len() * (size_of::<Peer>() + BOOKS_BYTES)) as u64
    }

    /// The live peers from an id on, by id.
    pub(super) fn live_from(&self, first: PeerId) -> impl Iterator<Item = (PeerKey, &Peer)> {
        let known = self.by_id.range(first..).map(|(_, key)| *key);
        known.filter(|key| self.leases.is_live(*key)).filter_map(|key| Some((key, self.get(key)?)))
    }

    /// The live peers that somebody means by a text, by id: the one of that id; otherwise all that go by that name,
    /// and the one whose id begins so, where it is one. A name is no proof of anything, so it neither hides the peer
    /// of an id nor is hidden by one.
    pub(super) fn meant(&self, text: &str) -> Vec<PeerKey> {
        if let Ok(id) = text.parse::<PeerId>() {
            return self.live_key(id).into_iter().collect();
        }
        let name = text.parse::<PeerName>().ok();
        let by_prefix = self.of_prefix(text);
        let all = self.live_from(PeerId::from_bytes([0; 32]));
        let meant = all.filter(|(key, peer)| Some(&peer.name) == name.as_ref() || Some(*key) == by_prefix);
        meant.map(|(key, _)| key).collect()
    }

    fn of_prefix(&self, digits: &str) -> Option<PeerKey> {
        if digits.len() < ID_PREFIX_DIGITS_MIN || digits.len() > ID_DIGITS {
            return None;
        }
        let first: PeerId = format!("{digits:0<ID_DIGITS$}").parse().ok()?;
        let last: PeerId = format!("{digits:f<ID_DIGITS$}").parse().ok()?;
        let mut peers = self.live_from(first).take_while(|(_, peer)| peer.id <= last);
        let (key, _) = peers.next()?;
        peers.next().is_none().then_some(key)
    }
}
