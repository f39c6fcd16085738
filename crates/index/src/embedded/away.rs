//! Peers that left and may be back: how much is remembered of them. Pure.
//!
//! A peer that left keeps its manifest, so that nothing is sent again when it returns with the same digest, and its
//! order, so that a late message of an old epoch is still refused. Both are given up, those away the longest first,
//! when there are more than [`AWAY_PEERS_MAX`] of them or they hold more than [`AWAY_FILES_MAX`] files: then a peer
//! that returns is a new one and sends all. There is no limit by age, since a quit carries no time and memory is the
//! only cost.

use std::collections::{BTreeMap, HashMap};

use super::arena::PeerKey;

/// Peers remembered while they are away: some 30 MB of names and ids.
pub(super) const AWAY_PEERS_MAX: usize = 100_000;
/// Files remembered of all of them together: some 150 MB.
pub(super) const AWAY_FILES_MAX: u64 = 1_000_000;

/// Who is away, the longest first.
#[derive(Debug, Default)]
pub(super) struct Away {
    queue: BTreeMap<u64, Absence>,
    turns: HashMap<PeerKey, u64>,
    next_turn: u64,
    files: u64,
}

#[derive(Debug)]
struct Absence {
    peer: PeerKey,
    files: u64,
}

impl Away {
    /// A peer left with so many files registered.
    pub(super) fn leave(&mut self, peer: PeerKey, files: u64) {
        self.back(peer);
        self.queue.insert(self.next_turn, Absence { peer, files });
        self.turns.insert(peer, self.next_turn);
        self.next_turn += 1;
        self.files += files;
    }

    /// A peer is back.
    pub(super) fn back(&mut self, peer: PeerKey) {
        if let Some(absence) = self.turns.remove(&peer).and_then(|turn| self.queue.remove(&turn)) {
            self.files -= absence.files;
        }
    }

    /// The next peer to forget, where there is more than is remembered. Ask until there is none.
    pub(super) fn forget(&mut self) -> Option<PeerKey> {
        if self.queue.len() <= AWAY_PEERS_MAX && self.files <= AWAY_FILES_MAX {
            return None;
        }
        let peer = self.queue.values().next()?.peer;
        self.back(peer);
        Some(peer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_away_the_longest_are_forgotten_first_and_no_more_than_needed() {
        let (mut away, [a, b, c]) = (Away::default(), [0, 1, 2].map(PeerKey::from));
        away.leave(a, AWAY_FILES_MAX / 2);
        away.leave(b, AWAY_FILES_MAX / 2);
        assert_eq!(away.forget(), None);
        away.back(a);
        away.leave(a, AWAY_FILES_MAX / 2);
        away.leave(c, 1);
        assert_eq!((away.forget(), away.forget()), (Some(b), None));
        away.leave(b, AWAY_FILES_MAX + 1);
        assert_eq!((away.forget(), away.forget()), (Some(a), Some(c)));
        assert_eq!((away.forget(), away.forget(), away.files), (Some(b), None, 0));
    }

    #[test]
    fn peers_without_files_are_bounded_as_well() {
        let mut away = Away::default();
        let peers = u32::try_from(AWAY_PEERS_MAX).unwrap() + 1;
        (0..peers).for_each(|number| away.leave(PeerKey::from(number), 0));
        assert_eq!((away.forget(), away.forget()), (Some(PeerKey::from(0)), None));
    }
}
