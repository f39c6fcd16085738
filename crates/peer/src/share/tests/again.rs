//! What a second start knows from the first.

use peerage_wire::ContentHash;

use super::super::*;
use super::fixture::Fixture;

#[test]
fn an_unchanged_share_starts_without_hashing() {
    let mut fixture = Fixture::new();
    (0..300).for_each(|index| _ = fixture.write(format!("d{}/{index}", index % 7), format!("{index}")));
    let large = fixture.write("large", vec![7; 3 << 20]);
    fixture.start(&fixture.options());
    fixture.wait_idle();
    assert_eq!(fixture.counters(), [301, 0, 301]);
    let (digest, files) = (fixture.catalogue.digest(), fixture.files());
    let pieces = fixture.catalogue.pieces(&large).unwrap();

    fixture.start(&fixture.options());
    assert_eq!(fixture.counters(), [301, 301, 0]);
    assert_eq!((fixture.catalogue.digest(), fixture.files()), (digest, files));
    assert_eq!(fixture.catalogue.pieces(&large), Some(pieces));

    let changed = fixture.write("d1/1", "another");
    std::fs::remove_file(fixture.at("d2/2")).unwrap();
    fixture.start(&fixture.options());
    assert_eq!(fixture.counters(), [300, 299, 1]);
    assert_eq!(fixture.hash_of("d1/1"), Some(changed));
}

#[test]
fn a_file_written_just_before_it_was_hashed_is_hashed_again_before_it_is_remembered() {
    let mut fixture = Fixture::new();
    fixture.write("old", "old");
    fixture.write_old("old", "old");
    fixture.write("to come", "x");
    let file = std::fs::File::options().write(true).open(fixture.at("to come")).unwrap();
    file.set_modified(SystemTime::now() + Duration::from_secs(86_400)).unwrap();
    fixture.start(&fixture.options());
    fixture.wait_idle();
    let progress = fixture.sharing().progress();
    assert_eq!(progress.files_checked_again.load(Ordering::Relaxed), 1);
    fixture.start(&fixture.options());
    assert_eq!(fixture.counters(), [2, 1, 1], "a time to come is never trusted");
}

#[test]
fn a_damaged_memory_is_set_aside_and_nothing_else_happens() {
    let mut fixture = Fixture::new();
    let hash = fixture.write_old("a", "a");
    fixture.start(&fixture.options());
    fixture.wait_idle();
    fixture.sharing = None;
    std::fs::write(fixture.outside().join("hashes.redb"), "no database").unwrap();
    fixture.start(&fixture.options());
    assert_eq!((fixture.hash_of("a"), fixture.counters()), (Some(hash), [1, 0, 1]));
    fixture.wait_note("set aside");
    fixture.wait_idle();
    fixture.start(&fixture.options());
    assert_eq!(fixture.counters(), [1, 1, 0]);
}

#[test]
fn without_a_memory_everything_is_hashed_and_served() {
    let mut fixture = Fixture::new();
    let large = fixture.write_old("large", vec![1; 2 << 20]);
    let options = ShareOptions { cache: None, ..fixture.options() };
    for _ in 0..2 {
        fixture.start(&options);
        assert_eq!(fixture.counters(), [1, 0, 1]);
        assert!(fixture.catalogue.pieces(&large).is_some());
    }
    let nowhere = ShareOptions { cache: Some(fixture.at("large/hashes.redb")), ..options };
    fixture.start(&nowhere);
    assert_eq!(fixture.hash_of("large"), Some(large));
    fixture.wait_note("hashes can't be remembered");
}

#[test]
fn stopping_in_the_middle_loses_nothing_but_time() {
    let mut fixture = Fixture::new();
    (0..40).for_each(|index| _ = fixture.write_old(&format!("{index}"), vec![index; 1 << 20]));
    fixture.begin(&fixture.options());
    fixture.wait("some are hashed", |fixture| fixture.counters()[2] > 0);
    fixture.sharing = None;
    fixture.start(&fixture.options());
    let [found, known, hashed] = fixture.counters();
    assert_eq!((found, known + hashed), (40, 40));
    assert!(known > 0);
    assert_eq!(fixture.hash_of("39"), Some(ContentHash::of(&[39; 1 << 20])));
}
