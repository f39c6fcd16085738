//! Changes in a shared folder, told by the system or found by walking.

use std::fs;
use std::io::Write;

use peerage_wire::ContentHash;

use super::super::*;
use super::fixture::Fixture;

fn watched(fixture: &Fixture) -> ShareOptions {
    fixture.options()
}

/// Walks so often that a test need not wait.
fn polled(fixture: &Fixture) -> ShareOptions {
    ShareOptions { watching: Watching::Poll, poll_every: Duration::from_millis(50), ..fixture.options() }
}

/// Walks only when it is told to.
fn blind(fixture: &Fixture) -> ShareOptions {
    ShareOptions { watching: Watching::Poll, poll_every: Duration::from_secs(3_600), ..fixture.options() }
}

const BOTH: [fn(&Fixture) -> ShareOptions; 2] = [watched, polled];

#[test]
fn files_come_change_move_and_go() {
    for options in BOTH {
        let mut fixture = Fixture::new();
        fixture.write("d/a", "a");
        fixture.start(&options(&fixture));
        let hash = fixture.write("d/b", "b");
        fixture.wait_hash("d/b", hash);
        let hash = fixture.write("d/a", "another");
        fixture.wait_hash("d/a", hash);
        fs::rename(fixture.at("d/b"), fixture.at("c")).unwrap();
        fixture.wait_names(&["c", "d/a"]);
        let staged = fixture.outside().join("staged");
        fs::write(&staged, "put in its place").unwrap();
        fs::rename(staged, fixture.at("c")).unwrap();
        fixture.wait_hash("c", ContentHash::of(b"put in its place"));
        fs::remove_file(fixture.at("d/a")).unwrap();
        fixture.wait_names(&["c"]);
    }
}

#[test]
fn folders_come_move_and_go_with_all_that_is_in_them() {
    for options in BOTH {
        let mut fixture = Fixture::new();
        fixture.start(&options(&fixture));
        let outside = fixture.outside().join("tree");
        fs::create_dir_all(outside.join("x/y")).unwrap();
        fs::write(outside.join("x/y/1"), "1").unwrap();
        fs::write(outside.join("2"), "2").unwrap();
        fs::rename(&outside, fixture.at("tree")).unwrap();
        fixture.wait_names(&["tree/2", "tree/x/y/1"]);
        let hash = fixture.write("tree/x/y/new/3", "3");
        fixture.wait_hash("tree/x/y/new/3", hash);
        fs::rename(fixture.at("tree/x"), fixture.at("z")).unwrap();
        fixture.wait_names(&["tree/2", "z/y/1", "z/y/new/3"]);
        let hash = fixture.write("z/y/new/4", "4");
        fixture.wait_hash("z/y/new/4", hash);
        fs::rename(fixture.at("z"), fixture.outside().join("away")).unwrap();
        fixture.wait_names(&["tree/2"]);
        fs::remove_dir_all(fixture.at("tree")).unwrap();
        fixture.wait_names(&[]);
    }
}

#[test]
fn a_file_becomes_a_folder_and_back() {
    for options in BOTH {
        let mut fixture = Fixture::new();
        fixture.write("x", "file");
        fixture.start(&options(&fixture));
        fs::remove_file(fixture.at("x")).unwrap();
        fixture.write("x/inside", "file");
        fixture.wait_names(&["x/inside"]);
        fs::remove_dir_all(fixture.at("x")).unwrap();
        fixture.write("x", "file");
        fixture.wait_names(&["x"]);
    }
}

#[test]
fn what_is_left_out_stays_out_and_comes_when_it_is_renamed() {
    for options in BOTH {
        let mut fixture = Fixture::new();
        let exclude = vec!["skip".to_owned()];
        fixture.start(&ShareOptions { exclude, ..options(&fixture) });
        fixture.write("film.part", "film");
        fixture.write(".hidden/x", "x");
        fixture.write("skip/x", "x");
        fixture.write("marker", "1");
        fixture.wait_names(&["marker"]);
        fs::rename(fixture.at("film.part"), fixture.at("film")).unwrap();
        fs::rename(fixture.at(".hidden"), fixture.at("shown")).unwrap();
        fixture.wait_names(&["film", "marker", "shown/x"]);
        fs::rename(fixture.at("film"), fixture.at(".film")).unwrap();
        fs::rename(fixture.at("shown"), fixture.at("skip/shown")).unwrap();
        fixture.wait_names(&["marker"]);
    }
}

#[test]
fn the_other_spelling_takes_the_name_once_it_is_free() {
    for options in BOTH {
        let mut fixture = Fixture::new();
        fixture.write("e\u{301}", "decomposed");
        fixture.start(&options(&fixture));
        let hash = fixture.write("\u{e9}", "composed");
        fixture.wait_note("another file is shared as");
        fs::remove_file(fixture.at("e\u{301}")).unwrap();
        if options(&fixture).watching == Watching::Auto {
            // Nothing happens to the file that waits for the name, so only a walk finds it.
            fixture.wait_names(&[]);
            fixture.sharing().engine.inbox.rescan(ShareId(0));
        }
        fixture.wait_hash("\u{e9}", hash);
    }
}

#[test]
fn a_file_that_grows_is_only_ever_registered_as_it_was() {
    let mut fixture = Fixture::new();
    fixture.start(&watched(&fixture));
    let stream: Vec<u8> = (0..3_000_000_u32).map(|index| index.to_le_bytes()[index as usize % 3]).collect();
    let mut file = fs::File::create(fixture.at("log")).unwrap();
    for chunk in stream.chunks(7_001) {
        file.write_all(chunk).unwrap();
        let path = peerage_wire::SharePath::parse("s/log").unwrap();
        if let Some(entry) = fixture.catalogue.get(&path) {
            let size = usize::try_from(entry.size).unwrap();
            assert_eq!(entry.hash, ContentHash::of(&stream[..size]));
        }
    }
    fixture.wait_hash("log", ContentHash::of(&stream));
}

#[test]
fn a_file_found_changed_when_it_is_asked_for_is_hashed_again() {
    let mut fixture = Fixture::new();
    let old = fixture.write("a", "old");
    fixture.start(&blind(&fixture));
    fixture.wait_idle();
    let new = fixture.write("a", "new!");
    assert!(fixture.catalogue.open(&old).is_err());
    fixture.wait_hash("a", new);
    assert!(fixture.catalogue.open(&new).is_ok());
    fs::remove_file(fixture.at("a")).unwrap();
    assert!(fixture.catalogue.open(&new).is_err());
    fixture.wait_names(&[]);
}

#[test]
fn lost_events_and_missed_changes_are_made_up_for() {
    let mut fixture = Fixture::new();
    fixture.write("gone", "gone");
    fixture.start(&blind(&fixture));
    fixture.wait_idle();
    fs::remove_file(fixture.at("gone")).unwrap();
    fixture.write("come", "come");
    fixture.sharing().engine.inbox.rescan(ShareId(0));
    fixture.wait_names(&["come"]);

    let reconcile_every = Duration::from_millis(50);
    fixture.start(&ShareOptions { reconcile_every, ..watched(&fixture) });
    let walked = fixture.sharing().progress();
    assert!(walked.scan_finished.load(Ordering::Relaxed));
    fs::remove_file(fixture.at("come")).unwrap();
    fixture.wait_names(&[]);
}

#[test]
fn where_watches_run_out_the_folder_is_walked_instead() {
    let mut fixture = Fixture::new();
    let poll_every = Duration::from_millis(50);
    fixture.start(&ShareOptions { poll_every, ..watched(&fixture) });
    fixture.sharing().engine.inbox.unwatched(ShareId(0));
    fixture.wait_note("watches ran out: changes in `");
    let hash = fixture.write("d/e/later", "later");
    fixture.wait_hash("d/e/later", hash);
    fs::remove_dir_all(fixture.at("d")).unwrap();
    fixture.wait_names(&[]);
}

#[test]
fn a_folder_that_goes_takes_its_files_along_and_brings_them_back() {
    for options in BOTH {
        let mut fixture = Fixture::new();
        fixture.write("d/a", "a");
        fixture.start(&options(&fixture));
        fixture.wait_idle();
        let (shared, away) =
            (fixture.at("").components().collect::<std::path::PathBuf>(), fixture.outside().join("away"));
        fs::rename(&shared, &away).unwrap();
        fixture.wait_names(&[]);
        fixture.wait_note("is gone or was unmounted");
        // An empty mount point is not the share.
        fs::create_dir(&shared).unwrap();
        fixture.wait("a tick or two", |fixture| {
            fixture.names().is_empty() && fixture.sharing().progress().idle.load(Ordering::Relaxed)
        });
        fs::remove_dir(&shared).unwrap();
        fs::rename(&away, &shared).unwrap();
        fixture.wait_names(&["d/a"]);
        fixture.wait_note("is back");
        assert_eq!(fixture.counters(), [2, 1, 1], "remembered, not hashed again");
        let hash = fixture.write("d/b", "b");
        fixture.wait_hash("d/b", hash);
    }
}

#[test]
fn another_folder_with_files_in_its_place_is_shared_and_a_link_is_not() {
    let mut fixture = Fixture::new();
    fixture.write("a", "a");
    fixture.start(&watched(&fixture));
    let shared = fixture.at("").components().collect::<std::path::PathBuf>();
    fs::rename(&shared, fixture.outside().join("away")).unwrap();
    std::os::unix::fs::symlink("away", &shared).unwrap();
    fixture.wait_names(&[]);
    fixture.wait_idle();
    assert_eq!(fixture.names(), [""; 0]);
    fs::remove_file(&shared).unwrap();
    fixture.write("other", "other");
    fixture.wait_names(&["other"]);
}
