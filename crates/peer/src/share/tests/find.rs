//! What a first look finds, and what it leaves out.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;

use peerage_wire::{ContentHash, PIECE_BYTES, piece_count};

use super::super::*;
use super::fixture::Fixture;

#[test]
fn every_plain_file_is_shared_by_its_content() {
    let mut fixture = Fixture::new();
    let mut expected = std::collections::BTreeMap::new();
    for name in ["a", "d/b", "d/e/f/c.txt", "d.part/x", "empty", "copy of a", "\u{fc}\u{4e2d} \u{1f3b5}.mp3"]
    {
        let content = if name.contains("empty") { "" } else { name.trim_start_matches("copy of ") };
        expected.insert(name.to_owned(), fixture.write(name, content));
    }
    fixture.start(&fixture.options());
    assert_eq!(fixture.files(), expected);
    assert_eq!(fixture.counters(), [7, 0, 7]);
    assert_eq!(fixture.hash_of("a"), fixture.hash_of("copy of a"));
    assert_eq!(fixture.catalogue.open(&ContentHash::of(b"")).unwrap().size, 0);
    assert_eq!(fixture.heard(), [""; 0]);
}

#[test]
fn hidden_unfinished_excluded_and_special_things_are_left_out() {
    let mut fixture = Fixture::new();
    for name in
        ["kept", ".hidden", ".git/config", "film.mkv.part", "a.tmp", "node_modules/x/y.js", "d/skip/z"]
    {
        fixture.write(name, name);
    }
    std::fs::write(fixture.outside().join("secret"), "secret").unwrap();
    symlink(fixture.outside().join("secret"), fixture.at("out")).unwrap();
    symlink("kept", fixture.at("in")).unwrap();
    symlink(fixture.outside(), fixture.at("up")).unwrap();
    rustix::fs::mkfifoat(rustix::fs::CWD, fixture.at("fifo"), rustix::fs::Mode::RWXU).unwrap();
    fixture.write("home/identity.key", "private");
    let exclude = ["*.tmp", "node_modules/", "d/skip"].map(str::to_owned).to_vec();
    let private = vec![fixture.at("home")];
    fixture.start(&ShareOptions { exclude, private, ..fixture.options() });
    assert_eq!(fixture.names(), ["kept"]);
    assert_eq!(fixture.heard(), [""; 0]);
}

#[test]
fn names_that_can_t_be_shared_are_skipped_with_a_note() {
    let mut fixture = Fixture::new();
    fixture.write("fine", "fine");
    fixture.write(OsStr::from_bytes(b"not-utf8-\xff"), "x");
    fixture.write(OsStr::from_bytes(b"dir-\xfe/inside"), "x");
    fixture.write("bell\x07", "x");
    fixture.write("back\\slash", "x");
    fixture.start(&fixture.options());
    assert_eq!(fixture.names(), ["fine"]);
    for part in ["`not-utf8-\u{fffd}`", "`dir-\u{fffd}`", "`bell\u{fffd}`", "`back\\slash`"] {
        fixture.wait_note(part);
    }
    assert!(fixture.heard().iter().all(|note| !note.contains('\x07')));
}

#[test]
fn many_troubles_are_summed_up() {
    let mut fixture = Fixture::new();
    (0..20).for_each(|index| _ = fixture.write(format!("bad\x01{index}"), ""));
    fixture.start(&fixture.options());
    fixture.wait_note("15 more files are not shared");
    assert_eq!(fixture.heard().len(), 6);
}

#[test]
fn one_trouble_more_is_one() {
    let mut fixture = Fixture::new();
    (0..6).for_each(|index| _ = fixture.write(format!("bad\x01{index}"), ""));
    fixture.start(&fixture.options());
    fixture.wait_note("1 more file is not shared, since it has a name");
}

#[test]
fn names_are_composed_and_of_two_spellings_one_is_shared() {
    let mut fixture = Fixture::new();
    let hash = fixture.write("cafe\u{301}/re\u{301}sume\u{301}", "nfd");
    fixture.write("e\u{301}", "one");
    fixture.write("\u{e9}", "two");
    fixture.start(&fixture.options());
    assert_eq!(fixture.names(), ["caf\u{e9}/r\u{e9}sum\u{e9}", "\u{e9}"]);
    assert!(fixture.catalogue.open(&hash).is_ok());
    let shared = fixture.hash_of("\u{e9}").unwrap();
    assert!(fixture.catalogue.open(&shared).is_ok());
    fixture.wait_note("another file is shared as");
}

#[test]
fn large_files_are_hashed_by_piece_in_one_pass() {
    let mut fixture = Fixture::new();
    let mib = usize::try_from(PIECE_BYTES).unwrap();
    let mut hashes = Vec::new();
    for (index, size) in [mib - 1, mib, mib + 1, 3 * mib, 5 * mib + 7].into_iter().enumerate() {
        let mut content = vec![0; size];
        blake3::Hasher::new().update(&index.to_le_bytes()).finalize_xof().fill(&mut content);
        hashes.push((size as u64, fixture.write(format!("{index}"), &content)));
    }
    fixture.start(&fixture.options());
    let all: u64 = hashes.iter().map(|(size, _)| size).sum();
    for (index, (size, hash)) in hashes.into_iter().enumerate() {
        assert_eq!(fixture.hash_of(&index.to_string()), Some(hash), "{size}");
        let list = fixture.catalogue.pieces(&hash).unwrap();
        assert_eq!((list.hash(), list.size(), list.count()), (hash, size, piece_count(size)));
    }
    let progress = fixture.sharing().progress();
    assert_eq!(progress.bytes_hashed.load(Ordering::Relaxed), all);
    assert_eq!(progress.bytes_found.load(Ordering::Relaxed), all);
}

#[test]
fn a_file_the_system_won_t_let_us_read_is_noted() {
    // Told by hand: whoever runs this may be allowed to read everything.
    let mut fixture = Fixture::new();
    fixture.write("a", "a");
    fixture.start(&fixture.options());
    let engine = &fixture.sharing().engine;
    let root = Arc::new(Root::open("s", &fixture.at("").canonicalize().unwrap()).unwrap());
    let path = peerage_wire::SharePath::parse("s/a").unwrap();
    let (share, why) = (ShareId(0), queue::Why::Found);
    let stamp = Stamp { size: 1, mtime_ns: 0, inode: 0 };
    let found = std::time::Instant::now();
    let job = queue::Job { share, origin: root.into(), path, odd_name: None, stamp, found, why };
    engine.progress.found(why, 1);
    let denied = std::io::Error::from(std::io::ErrorKind::PermissionDenied);
    engine.settle(&job, settle::Outcome::of_error(denied), Duration::ZERO);
    fixture.wait_note("can't read `s/a`, so it is not shared: permission denied");
    assert_eq!((fixture.names(), fixture.counters()), (vec![], [1, 0, 1]));
}

#[test]
fn folders_can_be_added_while_others_are_shared() {
    let mut fixture = Fixture::new();
    fixture.write("a", "a");
    fixture.start(&fixture.options());
    let more = fixture.outside().join("more/shared");
    std::fs::create_dir_all(&more).unwrap();
    std::fs::write(more.join("b"), "b").unwrap();
    let add = |name: &str, dir: &std::path::Path| {
        fixture.sharing().add(ShareArg { name: Some(name.to_owned()), ..ShareArg::folder(dir) })
    };
    assert!(matches!(add("s", &more), Err(ShareError::Spec(SpecError::SameName { .. }))));
    assert!(matches!(add("t", &fixture.at("")), Err(ShareError::Spec(SpecError::Overlap { .. }))));
    assert_eq!(add("t", &more).unwrap().name, "t");
    let path = peerage_wire::SharePath::parse("t/b").unwrap();
    fixture.wait("the second share is there", |fixture| fixture.catalogue.get(&path).is_some());
    assert!(fixture.hash_of("a").is_some());
    assert_eq!(fixture.sharing().specs().len(), 2);
}

#[test]
fn what_can_t_begin_says_why() {
    let fixture = Fixture::new();
    let spec = || {
        vec![ShareSpec {
            name: "s".to_owned(),
            location: Location::Folder(fixture.at("").components().collect()),
            audience: Audience::Members,
        }]
    };
    let start = |specs, options: ShareOptions, catalogue: &Arc<Catalogue>| {
        Sharing::start(specs, &options, Arc::clone(catalogue)).unwrap_err().to_string()
    };
    let fresh = Arc::default();
    let exclude = vec!["{".to_owned()];
    assert!(
        start(spec(), ShareOptions { exclude, ..fixture.options() }, &fresh).contains("`{` is no pattern")
    );
    let private = vec![fixture.at("")];
    assert!(start(spec(), ShareOptions { private, ..fixture.options() }, &fresh).contains("own home"));
    let missing = vec![ShareSpec {
        name: "s".to_owned(),
        location: Location::Folder(fixture.at("missing")),
        audience: Audience::Members,
    }];
    assert!(start(missing, fixture.options(), &fresh).contains("can't share"));
    let _first = Sharing::start(spec(), &fixture.options(), Arc::clone(&fresh)).unwrap();
    assert!(start(spec(), fixture.options(), &fresh).contains("another share"));
}

#[tokio::test]
async fn the_end_of_the_first_look_can_be_awaited() {
    let mut fixture = Fixture::new();
    (0..50).for_each(|index| _ = fixture.write(format!("{index}"), format!("{index}")));
    fixture.begin(&fixture.options());
    fixture.sharing().first_scan_done().await;
    assert_eq!(fixture.names().len(), 50);
    assert!(fixture.sharing().progress().scan_finished.load(Ordering::Relaxed));
}
