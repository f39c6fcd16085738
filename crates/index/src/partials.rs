//! Who is downloading what and gives pieces of it: soft state beside the engine, never kept and never counted.
//!
//! Invariants: what a peer says replaces what it said before; nothing is held of a peer that is not here, for it
//! goes with a quit, with the lease, and with a new announcement, after which a peer says it again. Only whoever
//! asks for one content by its hash is told.

use std::collections::{BTreeSet, HashMap};
use std::ops::Bound;

use peerage_wire::{ContentHash, PeerId, limits};

/// Every content that somebody is downloading.
#[derive(Debug, Default)]
pub(crate) struct Partials {
    contents: HashMap<ContentHash, Swarm>,
    peers: HashMap<PeerId, BTreeSet<ContentHash>>,
}

/// Who downloads one content.
#[derive(Debug, Default)]
struct Swarm {
    peers: BTreeSet<PeerId>,
    /// Named last: the next to ask is told of those after it, so that a large swarm mixes.
    last: Option<PeerId>,
}

impl Partials {
    /// A peer gives pieces of just these.
    pub(crate) fn replace(&mut self, peer: PeerId, hashes: BTreeSet<ContentHash>) {
        self.forget(&peer);
        for hash in &hashes {
            self.contents.entry(*hash).or_default().peers.insert(peer);
        }
        if !hashes.is_empty() {
            self.peers.insert(peer, hashes);
        }
    }

    /// A peer gives nothing any more.
    pub(crate) fn forget(&mut self, peer: &PeerId) {
        for hash in self.peers.remove(peer).unwrap_or_default() {
            let Some(swarm) = self.contents.get_mut(&hash) else { continue };
            swarm.peers.remove(peer);
            if swarm.peers.is_empty() {
                self.contents.remove(&hash);
            }
        }
    }

    /// Some of those who give pieces of a content, others each time where there are many.
    pub(crate) fn some(&mut self, hash: &ContentHash) -> Vec<PeerId> {
        let Some(swarm) = self.contents.get_mut(hash) else { return Vec::new() };
        let last = swarm.last.unwrap_or(PeerId::from_bytes([0; 32]));
        let later = swarm.peers.range((Bound::Excluded(last), Bound::Unbounded));
        let named = later.chain(swarm.peers.range(..=last)).take(limits::PARTIAL_SOURCES_MAX);
        let named: Vec<PeerId> = named.copied().collect();
        swarm.last = named.last().copied();
        named
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> PeerId {
        PeerId::from_bytes([number; 32])
    }

    #[test]
    fn of_a_large_swarm_everybody_is_named_in_turn() {
        let (mut partials, hash) = (Partials::default(), ContentHash::of(b"a"));
        (1..=120).for_each(|number| partials.replace(peer(number), BTreeSet::from([hash])));
        let mut named = BTreeSet::new();
        for _ in 0..3 {
            let some = partials.some(&hash);
            assert_eq!(some.len(), limits::PARTIAL_SOURCES_MAX);
            named.extend(some);
        }
        assert_eq!(named.len(), 120);
    }

    #[test]
    fn nothing_is_left_of_who_has_gone() {
        let mut partials = Partials::default();
        let hashes: BTreeSet<_> = (0..9_u8).map(|number| ContentHash::of(&[number])).collect();
        (1..5).for_each(|number| partials.replace(peer(number), hashes.clone()));
        partials.replace(peer(1), BTreeSet::new());
        (2..5).for_each(|number| partials.forget(&peer(number)));
        assert!(partials.contents.is_empty() && partials.peers.is_empty());
    }
}
