//! How large a content is, where peers disagree: what most live peers say, of equals the smaller.
//!
//! A hash has one true size, so whoever says another is mistaken or lying; a lone liar must not be able to hide what
//! others have from a size filter, or to mislead a download about its length. A peer has one vote for each size it
//! claims, however many paths it claims it under.
//!
//! Nearly always all agree, so only the contents are here about which somebody ever said another size than the first
//! who registered it.
//!
//! Invariant: a content is here exactly while a known peer claims another size than the first.

use std::collections::{BTreeMap, HashMap};

use super::arena::{ContentKey, PeerKey};

/// What is claimed of disputed contents.
#[derive(Debug, Default)]
pub(super) struct Claims {
    contents: HashMap<ContentKey, Dispute>,
}

#[derive(Debug)]
struct Dispute {
    /// What the first said, and everybody who is not in `others`.
    first: u64,
    /// Under how many paths a peer claims another size.
    others: BTreeMap<(PeerKey, u64), u32>,
}

impl Claims {
    /// What the first said, where it is disputed.
    pub(super) fn first(&self, content: ContentKey) -> Option<u64> {
        self.contents.get(&content).map(|dispute| dispute.first)
    }

    /// A peer claims another size than the first under one more path.
    pub(super) fn add(&mut self, content: ContentKey, first: u64, peer: PeerKey, size: u64) {
        let dispute =
            self.contents.entry(content).or_insert_with(|| Dispute { first, others: BTreeMap::new() });
        *dispute.others.entry((peer, size)).or_default() += 1;
    }

    /// A peer claims another size than the first under one path less. Gives what the first said where all agree now.
    pub(super) fn remove(&mut self, content: ContentKey, peer: PeerKey, size: u64) -> Option<u64> {
        let dispute = self.contents.get_mut(&content)?;
        if let Some(paths) = dispute.others.get_mut(&(peer, size)) {
            *paths -= 1;
            if *paths == 0 {
                dispute.others.remove(&(peer, size));
            }
        }
        let first = dispute.first;
        dispute.others.is_empty().then(|| {
            self.contents.remove(&content);
            first
        })
    }

    /// The size that most live peers claim. `paths` tells under how many paths a live peer has the content, and `None`
    /// of one that is not here; `live` is the number of live peers that have it.
    pub(super) fn winner(
        &self,
        content: ContentKey,
        live: u32,
        mut paths: impl FnMut(PeerKey) -> Option<u32>,
    ) -> Option<u64> {
        let dispute = self.contents.get(&content)?;
        let mut votes: BTreeMap<u64, u32> = BTreeMap::new();
        let mut for_first = live;
        let mut others = dispute.others.iter().peekable();
        while let Some(((peer, size), count)) = others.next() {
            let mut claimed = *count;
            let mut sizes = vec![*size];
            while let Some(((_, size), count)) = others.next_if(|((other, _), _)| other == peer) {
                sizes.push(*size);
                claimed += count;
            }
            let Some(all) = paths(*peer) else { continue };
            sizes.into_iter().for_each(|size| *votes.entry(size).or_default() += 1);
            if claimed >= all {
                for_first = for_first.saturating_sub(1);
            }
        }
        if for_first > 0 {
            votes.insert(dispute.first, for_first);
        }
        let most = votes.values().copied().max();
        votes.into_iter().find(|(_, count)| Some(*count) == most).map(|(size, _)| size)
    }

    /// Bytes of memory, about.
    pub(super) fn bytes(&self) -> u64 {
        let others: usize = self.contents.values().map(|dispute| dispute.others.len()).sum();
        (self.contents.capacity() * 56 + others * 40) as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_peers_win_however_often_one_repeats_itself() {
        let (mut claims, content) = (Claims::default(), ContentKey::from(3));
        let [liar, two] = [0, 2].map(PeerKey::from);
        // The liar has five paths, all of size 1; the first said 9.
        (0..5).for_each(|_| claims.add(content, 9, liar, 1));
        let paths = |peer| Some(if peer == liar { 5 } else { 1 });
        assert_eq!(claims.winner(content, 2, paths), Some(1)); // one against one: the smaller
        assert_eq!(claims.winner(content, 3, paths), Some(9));
        claims.add(content, 9, two, 1);
        assert_eq!(claims.winner(content, 3, paths), Some(1));
        assert_eq!(claims.winner(content, 2, |peer| (peer == liar).then_some(5)), Some(1));
        assert_eq!(claims.remove(content, two, 1), None);
        // A peer that says both has a vote for both.
        assert_eq!(claims.winner(content, 2, |_| Some(6)), Some(9));
        (0..4).for_each(|_| assert_eq!(claims.remove(content, liar, 1), None));
        assert_eq!(claims.remove(content, liar, 1), Some(9));
        assert_eq!((claims.first(content), claims.winner(content, 1, |_| Some(1))), (None, None));
    }
}
