//! How large a content is, where peers disagree: what most live peers say, of equals the smaller.
//!
//! A hash has one true size, so whoever says another is mistaken or lying; a lone liar must not be able to hide what
//! others have from a size filter, or to mislead a download about its length. A peer has one vote for each size it
//! claims, however many paths it claims it under.
//!
//! Invariant: `order` holds exactly the sizes of `counts`, with their counts.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use super::arena::{ContentKey, PeerKey};

/// The sizes claimed for every content. Each step takes logarithmic time, whatever a stranger claims.
#[derive(Debug, Default)]
pub(super) struct Votes {
    claims: BTreeMap<(ContentKey, u64, PeerKey), u32>,
    counts: BTreeMap<(ContentKey, u64), u32>,
    order: BTreeSet<(ContentKey, u32, Reverse<u64>)>,
}

impl Votes {
    /// A peer claims a size under one more path.
    pub(super) fn cast(&mut self, content: ContentKey, size: u64, peer: PeerKey) {
        let paths = self.claims.entry((content, size, peer)).or_default();
        *paths = paths.saturating_add(1);
        if *paths == 1 {
            let count = self.counts.get(&(content, size)).copied().unwrap_or(0);
            self.recount(content, size, count, count.saturating_add(1));
        }
    }

    /// A peer claims a size under one path less.
    pub(super) fn withdraw(&mut self, content: ContentKey, size: u64, peer: PeerKey) {
        let Some(paths) = self.claims.get_mut(&(content, size, peer)) else { return };
        *paths -= 1;
        if *paths == 0 {
            self.claims.remove(&(content, size, peer));
            let count = self.counts.get(&(content, size)).copied().unwrap_or(0);
            self.recount(content, size, count, count.saturating_sub(1));
        }
    }

    /// The size that won; `None` where nobody claims any.
    pub(super) fn winner(&self, content: ContentKey) -> Option<u64> {
        let first = (content, 0, Reverse(u64::MAX));
        let last = (content, u32::MAX, Reverse(0));
        self.order.range(first..=last).next_back().map(|(_, _, Reverse(size))| *size)
    }

    fn recount(&mut self, content: ContentKey, size: u64, before: u32, after: u32) {
        self.order.remove(&(content, before, Reverse(size)));
        if after == 0 {
            self.counts.remove(&(content, size));
        } else {
            self.counts.insert((content, size), after);
            self.order.insert((content, after, Reverse(size)));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_peers_win_however_often_one_repeats_itself() {
        let (mut votes, content) = (Votes::default(), ContentKey::from(3));
        let [liar, one, two] = [0, 1, 2].map(PeerKey::from);
        (0..5).for_each(|_| votes.cast(content, 1, liar));
        votes.cast(content, 9, one);
        assert_eq!(votes.winner(content), Some(1)); // one against one: the smaller
        votes.cast(content, 9, two);
        votes.cast(ContentKey::from(4), 7, two);
        assert_eq!(votes.winner(content), Some(9));
        votes.withdraw(content, 9, one);
        votes.withdraw(content, 9, two);
        assert_eq!(votes.winner(content), Some(1));
        (0..5).for_each(|_| votes.withdraw(content, 1, liar));
        assert_eq!(votes.winner(content), None);
        votes.withdraw(content, 1, liar);
        assert!(votes.claims.len() == 1 && votes.counts.len() == 1 && votes.order.len() == 1);
    }
}
