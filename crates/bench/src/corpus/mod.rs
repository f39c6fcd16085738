//! A corpus: peers with files whose names, contents and popularity are like those of people, made from a seed, as fast as an index
//! can take them.
//!
//! Invariants: everything is told from (seed, number) alone, so a peer can leave, come back and be checked without being kept.
//! Contents are numbered from 0; those of the corpus end at `size.contents`, and beyond are contents nobody has yet.

mod draws;
mod names;
mod peers;
mod real;
mod words;

use std::ops::Range;
use std::path::Path;

use anyhow::Result;
use ed25519_dalek::SigningKey;
use peerage_wire::api::Change;
use peerage_wire::{ContentHash, FileEntry, PeerId, PeerName, ShareDigest, SharePath, limits};

use draws::Purpose;
pub(crate) use draws::{Draws, floor, index};
use names::{Names, RealNames};
use peers::Peers;
pub(crate) use peers::{Listing, Size};

/// The first second of what files were changed in: 2001-09-09; the last is twenty years later.
const MODIFIED: (i64, u64) = (1_000_000_000, 630_000_000);

/// Peers and their files.
pub(crate) struct Corpus {
    seed: u64,
    size: Size,
    peers: Peers,
    names: Source,
}

enum Source {
    Made(Names),
    Real(RealNames),
}

impl Corpus {
    /// Made names.
    pub(crate) fn made(seed: u64, size: Size) -> Self {
        Self { seed, size, peers: Peers::new(seed, size), names: Source::Made(Names::new(seed)) }
    }

    /// Names from a folder (every file in it) or from a list (a path a line).
    ///
    /// # Errors
    /// When it can't be read, or has no names.
    pub(crate) fn real(seed: u64, size: Size, path: &Path) -> Result<Self> {
        let names = RealNames::new(real::read(path, seed)?);
        Ok(Self { seed, size, peers: Peers::new(seed, size), names: Source::Real(names) })
    }

    /// How large it is.
    pub(crate) fn size(&self) -> Size {
        self.size
    }

    /// Files of all peers, as near to what was asked for as the sizes of shares allow.
    pub(crate) fn registrations(&self) -> u64 {
        self.peers.registrations()
    }

    /// A peer's key.
    pub(crate) fn key(&self, peer: u64) -> SigningKey {
        let mut draws = Draws::new(self.seed, Purpose::Key, peer);
        SigningKey::from_bytes(&bytes(&mut draws))
    }

    /// A peer's id.
    pub(crate) fn id(&self, peer: u64) -> PeerId {
        PeerId::from_bytes(self.key(peer).verifying_key().to_bytes())
    }

    /// A peer's name for people.
    pub(crate) fn name(peer: u64) -> PeerName {
        PeerName::from_host(&format!("peer{peer}"))
    }

    /// What a peer of the corpus has.
    pub(crate) fn listing(&self, peer: u64) -> Listing {
        self.peers.listing(peer)
    }

    /// What a peer has that is not of the corpus: so many known contents, and these new ones.
    pub(crate) fn newcomer(&self, known: u64, new: Range<u64>) -> Listing {
        Listing { own: new, others: 0..0, drawn: known.min(self.size.contents / 2) }
    }

    /// Every file of a peer.
    pub(crate) fn files(&self, peer: u64, listing: &Listing) -> Vec<FileEntry> {
        let mut files = Vec::with_capacity(index(listing.own.end - listing.own.start + listing.drawn));
        let mut path = String::with_capacity(limits::COMPONENT_BYTES_MAX);
        self.peers
            .files(peer, listing, |content, variant| files.push(self.entry(content, variant, &mut path)));
        files
    }

    /// Which contents a peer has, and under which of their names.
    pub(crate) fn contents(&self, peer: u64, listing: &Listing, tell: impl FnMut(u64, u8)) {
        self.peers.files(peer, listing, tell);
    }

    /// A file by content and variant; `path` is room to write in.
    pub(crate) fn entry(&self, content: u64, variant: u8, path: &mut String) -> FileEntry {
        self.path(content, variant, path);
        let mut draws = Draws::new(self.seed, Purpose::Bytes, content);
        let hash = bytes(&mut draws);
        // From a KiB to some GiB, and as many between 1 and 2 MiB as between 2 and 4.
        let size = (1 << (10 + draws.below(22))) + draws.below(1 << 20);
        let (first, span) = MODIFIED;
        let modified = first + i64::try_from(draws.below(span)).unwrap_or(0);
        FileEntry { path: parse(path), size, hash: ContentHash::from_bytes(hash), modified }
    }

    /// Writes a path by content and variant.
    pub(crate) fn path(&self, content: u64, variant: u8, path: &mut String) {
        match &self.names {
            Source::Made(names) => names.write(content, variant, path),
            Source::Real(names) => names.write(content, variant, path),
        }
    }

    /// How many names a content has besides its usual one.
    #[cfg(feature = "rivals")]
    pub(crate) fn other_names(&self, content: u64) -> u8 {
        names::other_names(self.seed, content)
    }

    /// A stream for queries.
    pub(crate) fn draws(&self, number: u64) -> Draws {
        Draws::new(self.seed, Purpose::Query, number)
    }
}

/// Files as batches of changes.
pub(crate) fn batches(files: Vec<FileEntry>) -> Vec<Vec<Change>> {
    let mut batches = Vec::with_capacity(files.len() / limits::BATCH_CHANGES_MAX + 1);
    let mut changes = files.into_iter().map(Change::Add).peekable();
    while changes.peek().is_some() {
        batches.push(changes.by_ref().take(limits::BATCH_CHANGES_MAX).collect());
    }
    batches
}

/// The digest of some files.
pub(crate) fn digest(files: &[FileEntry]) -> ShareDigest {
    let mut digest = ShareDigest::default();
    files.iter().for_each(|file| digest.add(file));
    digest
}

/// Everything that is written here is a valid path; what a list of real names has was checked when it was read.
fn parse(path: &str) -> SharePath {
    SharePath::parse(path)
        .unwrap_or_else(|error| panic!("a name of the corpus is no path ({error}): {path:?}"))
}

fn bytes(draws: &mut Draws) -> [u8; 32] {
    let mut bytes = [0; 32];
    for chunk in bytes.chunks_exact_mut(8) {
        chunk.copy_from_slice(&draws.next().to_le_bytes());
    }
    bytes
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use peerage_index::terms;

    use super::*;

    const SIZE: Size = Size { contents: 50_000, registrations: 200_000, peers: 1_000 };

    #[test]
    fn names_are_as_long_and_wordy_as_peoples() {
        let corpus = Corpus::made(1, SIZE);
        let (mut bytes, mut words, mut path) = (0, 0, String::new());
        let paths: HashSet<String> = (0..20_000)
            .map(|content| {
                let entry = corpus.entry(content, 0, &mut path);
                bytes += path.len();
                words += terms::split(entry.path.as_str()).len();
                path.clone()
            })
            .collect();
        let (bytes, words) = (bytes as f64 / 20_000.0, words as f64 / 20_000.0);
        assert!((55.0..=60.0).contains(&bytes), "{bytes} bytes a path");
        assert!((9.0..=10.5).contains(&words), "{words} words a path");
        assert!(paths.len() > 19_990, "{}", paths.len());
        let has =
            |from: char, to: char| paths.iter().any(|path| path.contains(|c: char| c >= from && c <= to));
        assert!(has('а', 'я') && has('é', 'é') && has('\u{4e00}', '\u{9fff}'), "several scripts");
    }

    #[test]
    fn names_of_a_content_differ_and_are_storable() {
        let corpus = Corpus::made(1, SIZE);
        let mut path = String::new();
        for content in 0..5_000 {
            let entries: Vec<FileEntry> =
                (0..4).map(|variant| corpus.entry(content, variant, &mut path)).collect();
            let paths: HashSet<&SharePath> = entries.iter().map(|entry| &entry.path).collect();
            assert_eq!(paths.len(), 4, "{entries:?}");
            assert!(
                entries.iter().all(|entry| entry.hash == entries[0].hash && entry.size == entries[0].size)
            );
            assert!(entries.iter().all(|entry| entry.path.check_storable().is_ok()), "{entries:?}");
        }
    }

    #[test]
    fn a_peer_is_the_same_again_and_another_is_not() {
        let (one, two) = (Corpus::made(1, SIZE), Corpus::made(1, SIZE));
        let files = |corpus: &Corpus, peer| corpus.files(peer, &corpus.listing(peer));
        assert_eq!(files(&one, 3), files(&two, 3));
        assert_eq!(one.id(3), two.id(3));
        assert_ne!(one.id(3), one.id(4));
        assert_ne!(digest(&files(&one, 3)), digest(&files(&one, 4)));
        let changes: usize = batches(files(&one, 3)).iter().map(Vec::len).sum();
        assert_eq!(changes, files(&one, 3).len());
    }

    #[test]
    fn newcomers_bring_what_nobody_has() {
        let corpus = Corpus::made(1, SIZE);
        let listing = corpus.newcomer(30, 50_000..50_010);
        let mut contents = Vec::new();
        corpus.contents(5_000, &listing, |content, _| contents.push(content));
        assert_eq!(contents.iter().filter(|content| **content >= 50_000).count(), 10);
        assert_eq!(contents.len(), 40);
    }

    #[test]
    fn real_names_come_from_lists_and_folders() {
        let dir = tempfile::tempdir().unwrap();
        let list = dir.path().join("list.txt");
        std::fs::write(&list, "music/a/b.mp3\n\nc d.txt\n/abs/olute.bin\nbad\u{7}name\nmusic/a/b.mp3\n")
            .unwrap();
        let corpus = Corpus::real(1, SIZE, &list).unwrap();
        let mut path = String::new();
        let mut paths = HashSet::new();
        for content in 0..9 {
            corpus.entry(content, 0, &mut path);
            paths.insert(path.clone());
        }
        assert_eq!(paths.len(), 9);
        assert!(
            paths.contains("music/a/b.mp3")
                && paths.contains("files/c d.txt")
                && paths.contains("abs/olute.bin")
        );

        std::fs::create_dir(dir.path().join("sub")).unwrap();
        std::fs::write(dir.path().join("sub/x.bin"), "").unwrap();
        assert!(Corpus::real(1, SIZE, dir.path()).is_ok());
        assert!(Corpus::real(1, SIZE, &dir.path().join("nothing")).is_err());
    }
}
