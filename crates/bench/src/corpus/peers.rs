//! Who has what: how many files each peer has, and which.
//!
//! Invariants: what a peer has can be told from its number alone. Every content and every name of one is somebody's: each peer is the
//! first to have a run of contents (`own`), under their usual names, and the first to have the other names of the run before
//! (`others`); the rest of its files are drawn by popularity, each content at most once.

use std::ops::Range;

use super::draws::{Draws, Purpose, Zipf, floor, index, mix, unit};
use super::names::other_names;

/// Contents that are about as popular as the most popular: one of a hundred peers has each of them, as it was at
/// Napster's peak, where a law without an offset would give the first one to everybody.
const OFFSET_MAX: f64 = 1_000.0;
/// The spread of the sizes of shares: the middle peer has 60 files of 200 on average, one of 2,000 has more than 10,000.
const SIZE_SPREAD: f64 = 1.55;
/// Files of the largest share.
const FILES_MAX: f64 = 200_000.0;
/// Of a hundred drawn contents that have other names, so many are had under one of them.
const UNUSUAL: u64 = 30;

/// How large a corpus is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    /// Distinct contents.
    pub(crate) contents: u64,
    /// Files of all peers.
    pub(crate) registrations: u64,
    /// Peers.
    pub(crate) peers: u64,
}

/// What one peer has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Listing {
    /// Contents that it is the first to have.
    pub(crate) own: Range<u64>,
    /// Contents under whose other names it is the first to have them.
    pub(crate) others: Range<u64>,
    /// Contents drawn by popularity.
    pub(crate) drawn: u64,
}

/// Everybody's shares.
pub(crate) struct Peers {
    seed: u64,
    size: Size,
    law: Zipf,
    /// Files of all peers before each, and in the end of all.
    before: Vec<u64>,
    /// Turns a rank into a content: coprime to the number of contents, so that every content has one rank.
    stride: u64,
}

impl Peers {
    /// The shares of a corpus.
    pub(crate) fn new(seed: u64, size: Size) -> Self {
        let contents = size.contents.max(1);
        let offset = (contents as f64 / 50.0).clamp(1.0, OFFSET_MAX);
        Self {
            seed,
            size,
            law: Zipf::new(contents, offset),
            before: sizes(seed, size),
            stride: stride(contents),
        }
    }

    /// Files of all peers together.
    pub(crate) fn registrations(&self) -> u64 {
        self.before.last().copied().unwrap_or(0)
    }

    /// What a peer of the corpus has.
    pub(crate) fn listing(&self, peer: u64) -> Listing {
        let files = self.before[index(peer) + 1] - self.before[index(peer)];
        let own = self.own(peer);
        let others = self.own(peer.checked_sub(1).unwrap_or(self.size.peers - 1));
        let names: u64 = others.clone().map(|content| u64::from(other_names(self.seed, content))).sum();
        let drawn = files.saturating_sub(own.end - own.start + names).min(self.size.contents / 2);
        Listing { own, others, drawn }
    }

    /// Contents are dealt out in proportion to files.
    fn own(&self, peer: u64) -> Range<u64> {
        let share = |files: u64| {
            let content =
                u128::from(files) * u128::from(self.size.contents) / u128::from(self.registrations().max(1));
            u64::try_from(content).unwrap_or(u64::MAX)
        };
        share(self.before[index(peer)])..share(self.before[index(peer) + 1])
    }

    /// Tells every file of a peer by content and variant.
    pub(crate) fn files(&self, peer: u64, listing: &Listing, mut tell: impl FnMut(u64, u8)) {
        listing.own.clone().for_each(|content| tell(content, 0));
        for content in listing.others.clone() {
            (1..=other_names(self.seed, content)).for_each(|variant| tell(content, variant));
        }
        let mut draws = Draws::new(self.seed, Purpose::Share, peer);
        let mut next = 0;
        for number in 0..listing.drawn {
            // One draw in each of so many equal parts: ranks ascend, so no content comes twice, and nothing is kept.
            let place = (number as f64 + draws.unit()) / listing.drawn as f64;
            let mut rank = self.law.rank(place).max(next);
            let mut content = self.by_rank(rank);
            while listing.own.contains(&content) || listing.others.contains(&content) {
                rank += 1;
                content = self.by_rank(rank);
            }
            if rank >= self.size.contents {
                return; // a corpus hardly larger than this share
            }
            next = rank + 1;
            tell(content, self.variant(peer, content));
        }
    }

    fn variant(&self, peer: u64, content: u64) -> u8 {
        let others = other_names(self.seed, content);
        let bits = mix(self.seed ^ peer.rotate_left(32) ^ content);
        if others == 0 || bits % 100 >= UNUSUAL {
            return 0;
        }
        1 + u8::try_from(bits / 100 % u64::from(others)).unwrap_or(0)
    }

    /// The content of a popularity rank: neighbours in rank are strangers otherwise.
    pub(crate) fn by_rank(&self, rank: u64) -> u64 {
        let content = u128::from(rank) * u128::from(self.stride) % u128::from(self.size.contents);
        u64::try_from(content).unwrap_or(0)
    }
}

/// Files before each peer: sizes by a log-normal law, scaled to the sum that is wanted.
fn sizes(seed: u64, size: Size) -> Vec<u64> {
    let most = FILES_MAX.min(size.registrations as f64 / 8.0).max(1.0);
    let raw = |peer: u64| {
        let mut draws = Draws::new(seed, Purpose::Size, peer);
        (SIZE_SPREAD * normal(draws.next(), draws.next())).exp()
    };
    let total: f64 = (0..size.peers).map(raw).sum();
    let scale = size.registrations as f64 / total.max(f64::MIN_POSITIVE);
    let mut before = Vec::with_capacity(index(size.peers) + 1);
    let mut sum = 0.0_f64;
    before.push(0);
    for peer in 0..size.peers {
        // Rounded as a running sum, so that nothing is lost over a million peers.
        sum += (raw(peer) * scale).clamp(1.0, most);
        before.push(floor(sum));
    }
    before
}

/// Two uniform numbers into a normal one (Box and Muller).
fn normal(one: u64, two: u64) -> f64 {
    let radius = (-2.0 * (1.0 - unit(one)).ln()).sqrt();
    radius * (std::f64::consts::TAU * unit(two)).cos()
}

/// A number coprime to `count`, near the golden section of it, which spreads best.
fn stride(count: u64) -> u64 {
    let start = floor(count as f64 * 0.618_033_988_749_894_9).max(1);
    (start..).find(|stride| divisor(*stride, count) == 1).unwrap_or(1)
}

const fn divisor(mut one: u64, mut two: u64) -> u64 {
    while two != 0 {
        (one, two) = (two, one % two);
    }
    one
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    const SIZE: Size = Size { contents: 20_000, registrations: 140_000, peers: 700 };

    fn all(peers: &Peers) -> Vec<Vec<(u64, u8)>> {
        let list = |peer| {
            let mut files = Vec::new();
            peers.files(peer, &peers.listing(peer), |content, variant| files.push((content, variant)));
            files
        };
        (0..SIZE.peers).map(list).collect()
    }

    #[test]
    fn every_content_and_name_is_somebodys_and_nobody_has_one_twice() {
        let peers = Peers::new(1, SIZE);
        let shares = all(&peers);
        let files: usize = shares.iter().map(Vec::len).sum();
        assert!((135_000..=141_000).contains(&files), "{files}");
        let names: HashSet<(u64, u8)> = shares.iter().flatten().copied().collect();
        let contents: HashSet<u64> = names.iter().map(|(content, _)| *content).collect();
        assert_eq!(contents.len(), 20_000);
        let ratio = names.len() as f64 / contents.len() as f64;
        assert!((1.2..=1.25).contains(&ratio), "{ratio}");
        assert!(shares.iter().all(|share| share.iter().collect::<HashSet<_>>().len() == share.len()));
    }

    #[test]
    fn popularity_and_sizes_are_spread() {
        let peers = Peers::new(1, Size { contents: 1_000_000, registrations: 7_000_000, peers: 35_000 });
        let sizes: Vec<u64> = peers.before.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let above = |least| sizes.iter().filter(|files| **files >= least).count();
        assert!((5..60).contains(&above(10_000)), "{}", above(10_000));
        assert!(above(60) > 15_000 && above(60) < 20_000, "{}", above(60));
        let top: HashSet<u64> = (0..10).map(|rank| peers.by_rank(rank)).collect();
        let mut holders = 0;
        for peer in 0..2_000 {
            peers
                .files(peer, &peers.listing(peer), |content, _| holders += u32::from(top.contains(&content)));
        }
        let each = f64::from(holders) / 10.0 / 2_000.0;
        assert!((0.003..0.05).contains(&each), "{each} of the peers have a popular content");
    }

    #[test]
    fn a_peer_is_the_same_again() {
        assert_eq!(all(&Peers::new(5, SIZE))[17], all(&Peers::new(5, SIZE))[17]);
        assert_ne!(all(&Peers::new(5, SIZE))[17], all(&Peers::new(6, SIZE))[17]);
    }
}
