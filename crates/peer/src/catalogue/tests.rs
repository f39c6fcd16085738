//! The catalogue's change log against a model, and which files it opens.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::PathBuf;
use std::sync::mpsc;

use proptest::prelude::*;

use super::*;
use crate::share::Root;

const SHARE: ShareId = ShareId(0);

/// A folder with files, each put into a catalogue as it is on the disk.
struct Fixture {
    _folder: tempfile::TempDir,
    dir: PathBuf,
    root: Arc<Root>,
    origin: Origin,
    catalogue: Catalogue,
}

impl Fixture {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let dir = folder.path().canonicalize().unwrap();
        let root = Arc::new(Root::open("s", &dir).unwrap());
        let catalogue = Catalogue::new();
        let origin = Origin::from(Arc::clone(&root));
        catalogue.set_origin(SHARE, Some(origin.clone()));
        Self { _folder: folder, dir, root, origin, catalogue }
    }

    fn write(&self, name: &str, content: &str) -> ContentHash {
        fs::write(self.dir.join(name), content).unwrap();
        let (_, stamp) = self.root.open_file(name).unwrap();
        let hash = ContentHash::of(content.as_bytes());
        assert_eq!(self.put(name, hash, stamp), Known::Same);
        hash
    }

    fn put(&self, name: &str, hash: ContentHash, stamp: Stamp) -> Known {
        let path = path(name);
        self.catalogue.put(&Hashed {
            share: SHARE,
            origin: &self.origin,
            path: &path,
            disk: name,
            hash,
            stamp,
        })
    }

    fn read(&self, hash: &ContentHash) -> String {
        let opened = self.catalogue.open(hash).unwrap();
        let mut bytes = vec![0; usize::try_from(opened.size).unwrap()];
        opened.content.read_exact_at(&mut bytes, 0).unwrap();
        String::from_utf8(bytes).unwrap()
    }
}

fn path(name: &str) -> SharePath {
    SharePath::parse(&format!("s/{name}")).unwrap()
}

fn stamp(size: u64) -> Stamp {
    Stamp { size, mtime_ns: 5_000_000_000, inode: 1 }
}

#[test]
fn a_content_is_read_from_any_place_that_still_has_it() {
    let fixture = Fixture::new();
    let hash = fixture.write("a", "same");
    fixture.write("b", "same");
    fixture.write("c", "other");
    assert_eq!(fixture.read(&hash), "same");
    fs::write(fixture.dir.join("a"), "changed").unwrap();
    assert_eq!(fixture.read(&hash), "same");
    fs::remove_file(fixture.dir.join("b")).unwrap();
    assert!(matches!(fixture.catalogue.open(&hash), Err(OpenError::Changed)));
    fixture.catalogue.remove(&path("a"), "a");
    fixture.catalogue.remove(&path("b"), "b");
    assert!(matches!(fixture.catalogue.open(&hash), Err(OpenError::Absent)));
}

#[test]
fn what_was_put_in_a_files_place_is_not_read() {
    let swaps: [fn(&PathBuf); 4] = [
        |file| symlink(file.with_extension("secret"), file).unwrap(),
        |file| rustix::fs::mkfifoat(rustix::fs::CWD, file, rustix::fs::Mode::RWXU).unwrap(),
        |file| fs::create_dir(file).unwrap(),
        |file| fs::copy(file.with_extension("secret"), file).map(|_| ()).unwrap(),
    ];
    for swap in swaps {
        let fixture = Fixture::new();
        let hash = fixture.write("file", "content");
        fs::write(fixture.dir.join("file.secret"), "outside").unwrap();
        fs::remove_file(fixture.dir.join("file")).unwrap();
        swap(&fixture.dir.join("file"));
        assert!(matches!(fixture.catalogue.open(&hash), Err(OpenError::Changed)));
    }
}

#[test]
fn a_changed_file_is_reported_once_until_it_is_hashed_again() {
    let fixture = Fixture::new();
    let (sender, reports) = mpsc::channel();
    let cache = Arc::new(HashCache::open(None, 0).0);
    let suspect = Box::new(move |share, disk: &str| sender.send((share, disk.to_owned())).unwrap());
    assert!(fixture.catalogue.connect(Hooks { cache, suspect }));
    let old = fixture.write("file", "old");
    fs::write(fixture.dir.join("file"), "newer").unwrap();
    for _ in 0..3 {
        assert!(matches!(fixture.catalogue.open(&old), Err(OpenError::Changed)));
    }
    assert_eq!(reports.try_iter().collect::<Vec<_>>(), [(SHARE, "file".to_owned())]);
    let new = fixture.write("file", "newer");
    assert_eq!(fixture.read(&new), "newer");
    assert!(matches!(fixture.catalogue.open(&old), Err(OpenError::Absent)));
}

#[test]
fn the_list_of_a_small_content_is_its_hash_and_an_absent_one_has_none() {
    let fixture = Fixture::new();
    let (small, empty) = (fixture.write("a", "abc"), fixture.write("b", ""));
    assert_eq!(fixture.catalogue.pieces(&small).map(|list| (list.hash(), list.size())), Some((small, 3)));
    assert_eq!(fixture.catalogue.pieces(&empty).map(|list| (list.hash(), list.size())), Some((empty, 0)));
    assert_eq!(fixture.catalogue.pieces(&ContentHash::of(b"absent")), None);
}

#[test]
fn two_spellings_of_a_name_are_one_name_and_the_first_has_it() {
    let fixture = Fixture::new();
    let hash = ContentHash::of(b"x");
    let (nfd, nfc) = ("e\u{301}", "\u{e9}");
    assert_eq!(fixture.put(nfd, hash, stamp(1)), Known::Same);
    assert_eq!(fixture.put(nfc, hash, stamp(2)), Known::Taken);
    assert_eq!(fixture.catalogue.see(&path(nfc), nfc, stamp(2)), Known::Taken);
    fixture.catalogue.remove(&path(nfc), nfc);
    assert_eq!(fixture.catalogue.counts(), (1, 1));
    fixture.catalogue.remove(&path(nfd), nfd);
    assert_eq!(fixture.put(nfc, hash, stamp(2)), Known::Same);
    assert_eq!(fixture.catalogue.counts(), (1, 2));
}

#[test]
fn a_folder_that_was_replaced_takes_nothing_more_in() {
    let fixture = Fixture::new();
    fixture.catalogue.set_origin(SHARE, None);
    assert_eq!(fixture.put("late", ContentHash::of(b""), stamp(0)), Known::No);
    let again = Arc::new(Root::open("s", &fixture.dir).unwrap());
    fixture.catalogue.set_origin(SHARE, Some(again.into()));
    assert_eq!(fixture.put("late", ContentHash::of(b""), stamp(0)), Known::No);
    assert_eq!(fixture.catalogue.counts(), (0, 0));
}

#[test]
fn only_what_the_index_sees_is_a_change() {
    let fixture = Fixture::new();
    let hash = ContentHash::of(b"x");
    fixture.put("a", hash, stamp(1));
    let mut wakes = fixture.catalogue.changed();
    assert_eq!(fixture.catalogue.take_changes(9).len(), 1);
    let moved = Stamp { inode: 2, mtime_ns: 5_000_000_001, ..stamp(1) };
    fixture.put("a", hash, moved);
    assert!(fixture.catalogue.is_drained() && !wakes.has_changed().unwrap());
    assert_eq!(fixture.catalogue.see(&path("a"), "a", moved), Known::Same);
    fixture.put("a", hash, Stamp { mtime_ns: 6_000_000_000, ..moved });
    assert!(!fixture.catalogue.is_drained() && wakes.has_changed().unwrap());
    wakes.mark_unchanged();
    fixture.catalogue.remove(&path("nothing"), "nothing");
    assert!(!wakes.has_changed().unwrap());
}

#[derive(Debug, Clone, Copy)]
enum Step {
    Put(usize, u8),
    Remove(usize),
    ClearBelow(usize),
    /// Scans all, seeing only the paths whose bit is set.
    Sweep(u8),
    Take(usize),
    Resend,
    /// A new session, to which the index says that it holds the digest, after some more puts.
    Confirm(usize, u8),
}

const NAMES: [&str; 8] = ["a", "d/a", "d/b", "d/e/f", "d-x", "e\u{301}/x", "z", "d e"];

fn step() -> impl Strategy<Value = Step> {
    let name = 0..NAMES.len();
    prop_oneof![
        6 => (name.clone(), 0..4_u8).prop_map(|(name, content)| Step::Put(name, content)),
        2 => name.clone().prop_map(Step::Remove),
        1 => name.clone().prop_map(Step::ClearBelow),
        1 => any::<u8>().prop_map(Step::Sweep),
        3 => (0..4_usize).prop_map(Step::Take),
        1 => Just(Step::Resend),
        1 => (name, 0..4_u8).prop_map(|(name, content)| Step::Confirm(name, content)),
    ]
}

/// What the catalogue should hold, and what an index would that was told of its changes.
struct Model {
    fixture: Fixture,
    present: BTreeMap<SharePath, FileEntry>,
    index: BTreeMap<SharePath, FileEntry>,
}

impl Model {
    fn put(&mut self, name: usize, content: u8) {
        let hash = ContentHash::of(&[content / 2]);
        let stamp = stamp(u64::from(content));
        self.fixture.put(NAMES[name], hash, stamp);
        let entry = FileEntry { path: path(NAMES[name]), size: stamp.size, hash, modified: 5 };
        self.present.insert(entry.path.clone(), entry);
    }

    fn take(&mut self, max: usize) {
        let changes = self.fixture.catalogue.take_changes(max);
        assert!(changes.len() <= max);
        for change in changes {
            match change {
                Change::Add(entry) => _ = self.index.insert(entry.path.clone(), entry),
                Change::Remove { path } => _ = self.index.remove(&path),
            }
        }
    }

    fn apply(&mut self, step: Step) {
        let catalogue = &self.fixture.catalogue;
        match step {
            Step::Put(name, content) => self.put(name, content),
            Step::Remove(name) => {
                catalogue.remove(&path(NAMES[name]), NAMES[name]);
                self.present.remove(&path(NAMES[name]));
            }
            Step::ClearBelow(name) => {
                catalogue.clear_below(&path(NAMES[name]), NAMES[name]);
                self.present.retain(|file, _| file.below(&path(NAMES[name])).is_none());
            }
            Step::Sweep(seen) => {
                let scan = catalogue.begin_scan();
                let is_seen = |name: usize| seen & (1 << name) != 0;
                (0..NAMES.len()).filter(|name| is_seen(*name)).for_each(|name| {
                    catalogue.see(&path(NAMES[name]), NAMES[name], stamp(0));
                });
                catalogue.sweep(&SharePath::parse("s").unwrap(), "", scan);
                let unseen = (0..NAMES.len()).filter(|name| !is_seen(*name));
                unseen.for_each(|name| _ = self.present.remove(&path(NAMES[name])));
            }
            Step::Take(max) => self.take(max),
            Step::Resend => {
                catalogue.resend_all();
                self.index.clear();
            }
            Step::Confirm(name, content) => {
                let (digest, mark) = catalogue.announce();
                assert_eq!(digest, digest_of(&self.present));
                self.index = self.present.clone();
                self.put(name, content);
                self.fixture.catalogue.confirm(mark);
            }
        }
    }

    fn check(&self) {
        let catalogue = &self.fixture.catalogue;
        assert_eq!(catalogue.digest(), digest_of(&self.present));
        let bytes = self.present.values().map(|entry| entry.size).sum();
        assert_eq!(catalogue.counts(), (self.present.len() as u64, bytes));
        assert_eq!(catalogue.is_drained(), catalogue.drained_digest().is_some());
        if let Some(digest) = catalogue.drained_digest() {
            assert_eq!((&self.index, digest), (&self.present, digest_of(&self.index)));
        }
        for content in 0..2 {
            let hash = ContentHash::of(&[content]);
            assert_eq!(catalogue.has(&hash), self.present.values().any(|entry| entry.hash == hash));
        }
    }
}

fn digest_of(files: &BTreeMap<SharePath, FileEntry>) -> ShareDigest {
    let mut digest = ShareDigest::default();
    files.values().for_each(|entry| digest.add(entry));
    digest
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
    #[test]
    fn changes_taken_and_applied_give_what_is_present(steps in prop::collection::vec(step(), 0..60)) {
        let mut model = Model { fixture: Fixture::new(), present: BTreeMap::new(), index: BTreeMap::new() };
        for step in steps {
            model.apply(step);
            model.check();
        }
        model.take(usize::MAX);
        prop_assert!(model.fixture.catalogue.is_drained());
        model.check();
    }
}
