//! The peers that are known: who they are, and which of them somebody means.
//!
//! Invariants: a known peer is either live, by its lease, or remembered as away. Each is in the books of ids and of names
//! once, so that what is asked of a peer never looks at all of them.

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::net::SocketAddr;

use peerage_wire::api::{Doors, PeerRow, Source};
use peerage_wire::{PeerId, PeerName};

use super::arena::{Arena, Key, NameKey, PeerKey};
use super::away::Away;
use super::leases::{Leases, Order};
use super::manifest::Manifest;
use super::names::Names;
use crate::terms::fold;

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
        let path = own.and_then(|name| names.share_path(*name));
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
    /// By a keyed hash of the folded name; peers of several names may stand under one.
    by_name: BTreeSet<(u32, PeerKey)>,
    hasher: RandomState,
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
        let (id, name) = (peer.id, self.hash(&fold(peer.name.as_str())));
        let key = self.peers.insert(peer);
        self.by_id.insert(id, key);
        self.by_name.insert((name, key));
        key
    }

    /// Gives a peer another name.
    pub(super) fn rename(&mut self, key: PeerKey, name: &PeerName) {
        let Some(before) = self.get(key).map(|peer| peer.name.clone()).filter(|before| before != name) else {
            return;
        };
        self.by_name.remove(&(self.hash(&fold(before.as_str())), key));
        self.by_name.insert((self.hash(&fold(name.as_str())), key));
        if let Some(peer) = self.get_mut(key) {
            peer.name = name.clone();
        }
    }

    fn hash(&self, folded_name: &str) -> u32 {
        // Half of it does: few names fall together.
        let [a, b, c, d, ..] = self.hasher.hash_one(folded_name).to_le_bytes();
        u32::from_le_bytes([a, b, c, d])
    }

    pub(super) fn forget(&mut self, key: PeerKey) {
        if let Some(peer) = self.peers.remove(key) {
            self.by_id.remove(&peer.id);
            self.by_name.remove(&(self.hash(&fold(peer.name.as_str())), key));
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

    /// Bytes of memory, about: a peer's record and name, its place in the books of ids, names and leases.
    pub(super) fn bytes(&self) -> u64 {
        const BOOKS_BYTES: usize = 262;
        (self.by_id.len() * (size_of::<Peer>() + BOOKS_BYTES)) as u64
    }

    /// The live peers from an id on, by id.
    pub(super) fn live_from(&self, first: PeerId) -> impl Iterator<Item = (PeerKey, &Peer)> {
        let known = self.by_id.range(first..).map(|(_, key)| *key);
        known.filter(|key| self.leases.is_live(*key)).filter_map(|key| Some((key, self.get(key)?)))
    }

    /// The live peers that somebody means by a text, by id: the one of that id; otherwise all that go by that name, and
    /// the one whose id begins so, where it is one. A name is no proof of anything, so it neither hides the peer
    /// of an id nor is hidden by one. Where none is spelt so, case and accents don't count.
    pub(super) fn meant(&self, text: &str) -> Vec<PeerKey> {
        if let Ok(id) = text.parse::<PeerId>() {
            return self.live_key(id).into_iter().collect();
        }
        let mut meant = text.parse().map(|name| self.named(&name)).unwrap_or_default();
        meant.extend(self.of_prefix(text).filter(|key| !meant.contains(key)));
        meant.sort_unstable_by_key(|key| self.get(*key).map(|peer| peer.id));
        meant
    }

    /// The live peers of a name: those that spell it so, or else those that differ in case and accents.
    fn named(&self, name: &PeerName) -> Vec<PeerKey> {
        let folded = fold(name.as_str());
        let hash = self.hash(&folded);
        let under_it = self.by_name.range((hash, PeerKey::from(0))..=(hash, PeerKey::MAX));
        let live = under_it.map(|(_, key)| *key).filter(|key| self.leases.is_live(*key));
        let alike: Vec<_> = live
            .filter_map(|key| Some((key, &self.get(key)?.name)))
            .filter(|(_, other)| fold(other.as_str()) == folded)
            .collect();
        let spelt_so = alike.iter().filter(|(_, other)| *other == name).map(|(key, _)| *key);
        let spelt_so: Vec<_> = spelt_so.collect();
        if spelt_so.is_empty() { alike.into_iter().map(|(key, _)| key).collect() } else { spelt_so }
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
