//! How long the engine takes in processor time (so that a busy machine does not count) with half a million names: prints, asserts only that answers are right.
//!
//! `cargo test --release -p peerage-index --test scale -- --ignored --nocapture`

#![expect(clippy::unwrap_used, reason = "a test's fixtures fail the test by panicking")]
#![expect(clippy::print_stdout, reason = "what is measured is for reading")]

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use peerage_index::{Index, Moment};
use peerage_wire::api::{Announcement, BatchOrder, Change, Doors, SearchParams, Sort};
use peerage_wire::{ContentHash, FileEntry, PeerId, ShareDigest, SharePath, limits};

const NAMES: u64 = 500_000;
const FILES_PER_PEER: u64 = 50_000;
const VOCABULARY: u64 = 200_000;
const SEEN_IP: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

#[test]
#[ignore = "measures; it takes half a minute and means something only with --release"]
fn half_a_million_names() {
    let index = Index::embedded();
    let (mut slowest, mut total) = (0, 0);
    for peer in 0..NAMES / FILES_PER_PEER {
        announce(&index, peer, 1, ShareDigest::default());
        for seq in 0..FILES_PER_PEER / limits::BATCH_CHANGES_MAX as u64 {
            let first = peer * FILES_PER_PEER + seq * limits::BATCH_CHANGES_MAX as u64;
            let changes =
                (first..first + limits::BATCH_CHANGES_MAX as u64).map(|n| Change::Add(file(n))).collect();
            let batch = Clock::start();
            index.apply(id(peer), BatchOrder { epoch: 1, seq }, changes).unwrap();
            let millis = batch.spent().as_millis();
            (slowest, total) = (slowest.max(millis), total + millis);
        }
    }
    println!("{NAMES} names in {total} ms; slowest batch of 10,000: {slowest} ms");
    assert_eq!(index.stats().unwrap().files, NAMES);
    let texts =
        ["w7 w9", "w3", "\"w3 w5\"", "mp3", "*17*99*", "*199*", "s", "w12345x", "share -w3", "nosuchword"];
    for text in texts {
        for sort in [Sort::Rank, Sort::Name, Sort::Newest] {
            time_search(&index, text, sort);
        }
    }
    let digest = (0..FILES_PER_PEER).fold(ShareDigest::default(), |mut digest, number| {
        digest.add(&file(number));
        digest
    });
    let left = Clock::start();
    index.quit(id(0)).unwrap();
    println!("a peer of {FILES_PER_PEER} files leaves: {:?}", left.spent());
    let back = Clock::start();
    announce(&index, 0, 2, digest);
    println!("and is back: {:?}", back.spent());
    assert_eq!(index.stats().unwrap().files, NAMES);
}

/// Processor time of this thread where the system tells it, otherwise time as it passes.
struct Clock {
    on_cpu: Option<Duration>,
    wall: Instant,
}

impl Clock {
    fn start() -> Self {
        Self { on_cpu: Self::on_cpu(), wall: Instant::now() }
    }

    fn spent(&self) -> Duration {
        match (Self::on_cpu(), self.on_cpu) {
            (Some(now), Some(then)) => now - then,
            _ => self.wall.elapsed(),
        }
    }

    fn on_cpu() -> Option<Duration> {
        let stat = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
        stat.split(' ').next()?.parse().ok().map(Duration::from_nanos)
    }
}

fn time_search(index: &Index, text: &str, sort: Sort) {
    let params = SearchParams { q: text.into(), sort: Some(sort), ..SearchParams::default() };
    let begun = Clock::start();
    let found = index.search(&params).map(|page| (page.total, page.matched));
    println!("{text:>12} {sort:?}: {:?} {found:?}", begun.spent());
}

fn announce(index: &Index, peer: u64, epoch: u64, digest: ShareDigest) {
    let what = Announcement { name: "peer".parse().unwrap(), doors: Doors::native(1), epoch, digest };
    assert!(!index.announce(id(peer), &what, SEEN_IP, Moment::from_millis(0)).unwrap().resync);
}

fn id(peer: u64) -> PeerId {
    PeerId::from_bytes(*ContentHash::of(&peer.to_le_bytes()).as_bytes())
}

/// A name of nine words or so; low word numbers are common, as in any language.
fn file(number: u64) -> FileEntry {
    let bits = *ContentHash::of(&number.to_le_bytes()).as_bytes();
    let (draws, _) = bits.as_chunks::<4>();
    let word = |at: usize| {
        let draw = f64::from(u32::from_le_bytes(draws[at])) / f64::from(u32::MAX);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            clippy::cast_precision_loss,
            reason = "a draw"
        )]
        let rank = (VOCABULARY as f64).powf(draw) as u64;
        format!("w{rank}{}", if rank > 1_000 { "x" } else { "" }).replace(['1', '2'], "q")
    };
    let words: Vec<String> = (0..7).map(word).collect();
    let path = format!("share/{}/{} {number}.mp3", words[..3].join(" "), words[3..].join(" "));
    FileEntry {
        path: SharePath::parse(&path).unwrap(),
        size: number,
        hash: ContentHash::of(path.as_bytes()),
        modified: 0,
    }
}
