//! A temporary folder that is shared; waiting is for a condition, with a limit that only a failure reaches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use peerage_wire::api::Change;
use peerage_wire::{ContentHash, SharePath};

use super::super::*;

/// A whole minute: a loaded machine is slow, and a condition that holds returns at once.
const PATIENCE: Duration = Duration::from_secs(60);

pub(super) struct Fixture {
    folder: tempfile::TempDir,
    pub(super) catalogue: Arc<Catalogue>,
    pub(super) sharing: Option<Sharing>,
    notes: Option<mpsc::Receiver<String>>,
    heard: Vec<String>,
}

impl Fixture {
    pub(super) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("shared")).unwrap();
        Self { folder, catalogue: Arc::default(), sharing: None, notes: None, heard: Vec::new() }
    }

    /// The temporary folder, with the share's folder `shared` in it.
    pub(super) fn outside(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    pub(super) fn at(&self, name: impl AsRef<Path>) -> PathBuf {
        self.outside().join("shared").join(name)
    }

    pub(super) fn write(&self, name: impl AsRef<Path>, content: impl AsRef<[u8]>) -> ContentHash {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, &content).unwrap();
        ContentHash::of(content.as_ref())
    }

    /// The same, with a time so long ago that nobody doubts it.
    pub(super) fn write_old(&self, name: &str, content: impl AsRef<[u8]>) -> ContentHash {
        let hash = self.write(name, content);
        let file = std::fs::File::options().write(true).open(self.at(name)).unwrap();
        file.set_modified(SystemTime::now() - Duration::from_secs(1_000)).unwrap();
        hash
    }

    pub(super) fn options(&self) -> ShareOptions {
        ShareOptions {
            cache: Some(self.outside().join("hashes.redb")),
            hashers: Some(2),
            ..ShareOptions::default()
        }
    }

    /// Shares the folder as `s` and waits until all is in the catalogue.
    pub(super) fn start(&mut self, options: &ShareOptions) {
        self.begin(options);
        self.wait("the first look is done", |fixture| *fixture.sharing().phase().borrow() == Phase::Done);
    }

    pub(super) fn begin(&mut self, options: &ShareOptions) {
        self.sharing = None;
        self.catalogue = Arc::default();
        let spec = ShareSpec {
            name: "s".to_owned(),
            location: Location::Folder(self.at("").components().collect()),
            audience: Audience::Members,
        };
        let sharing = Sharing::start(vec![spec], options, Arc::clone(&self.catalogue)).unwrap();
        self.notes = sharing.take_notes();
        self.sharing = Some(sharing);
    }

    pub(super) fn sharing(&self) -> &Sharing {
        self.sharing.as_ref().unwrap()
    }

    /// Found, known and hashed files.
    pub(super) fn counters(&self) -> [u64; 3] {
        let progress = self.sharing().progress();
        [&progress.files_found, &progress.files_known, &progress.files_hashed]
            .map(|it| it.load(Ordering::Relaxed))
    }

    /// Waits until everything is done, what is checked a second time included.
    pub(super) fn wait_idle(&mut self) {
        self.wait("idle", |fixture| fixture.sharing().progress().idle.load(Ordering::Relaxed));
    }

    /// The names in the catalogue with their contents, the share's left out.
    pub(super) fn files(&self) -> BTreeMap<String, ContentHash> {
        self.catalogue.resend_all();
        let changes = self.catalogue.take_changes(usize::MAX).into_iter();
        changes
            .filter_map(|change| match change {
                Change::Add(entry) => {
                    Some((entry.path.as_str().strip_prefix("s/").unwrap().to_owned(), entry.hash))
                }
                Change::Remove { .. } => None, // it went between the two calls
            })
            .collect()
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    pub(super) fn hash_of(&self, name: &str) -> Option<ContentHash> {
        self.catalogue.get(&SharePath::parse(&format!("s/{name}")).unwrap()).map(|entry| entry.hash)
    }

    pub(super) fn wait_names(&mut self, names: &[&str]) {
        self.wait(&format!("{names:?}"), |fixture| fixture.names() == names);
    }

    pub(super) fn wait_hash(&mut self, name: &str, hash: ContentHash) {
        self.wait(name, |fixture| fixture.hash_of(name) == Some(hash));
    }

    pub(super) fn wait_note(&mut self, part: &str) {
        self.wait(part, |fixture| fixture.heard().iter().any(|note| note.contains(part)));
    }

    /// All notes so far.
    pub(super) fn heard(&mut self) -> &[String] {
        let notes = self.notes.as_mut().unwrap();
        self.heard.extend(std::iter::from_fn(|| notes.try_recv().ok()));
        &self.heard
    }

    pub(super) fn wait(&mut self, what: &str, mut holds: impl FnMut(&mut Self) -> bool) {
        let end = std::time::Instant::now() + PATIENCE;
        while !holds(self) {
            let so_far = (self.names(), self.counters());
            assert!(std::time::Instant::now() < end, "never: {what}; {so_far:?} {:?}", self.heard());
            std::thread::sleep(Duration::from_millis(10));
        }
    }
}
