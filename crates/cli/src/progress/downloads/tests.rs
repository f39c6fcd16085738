//! What a person sees of downloads, moment by moment.

use super::*;

const SECOND: Duration = Duration::from_secs(1);
const MIB: u64 = 1 << 20;

fn look(file: usize, done_bytes: u64, stage: Stage) -> Look {
    Look { want: 0, file, done_bytes, resumed_bytes: 0, stage }
}

/// Two files of 100 MiB, begun at `now`.
fn two(now: Instant) -> Downloads {
    let mut downloads = Downloads::default();
    downloads.resolved(0, 2, 200 * MIB);
    downloads.began((0, 0), "Album/one.flac", 100 * MIB, now);
    downloads.began((0, 1), "Album/two.flac", 100 * MIB, now);
    downloads
}

#[test]
fn a_line_a_file_and_one_for_all() {
    let now = Instant::now();
    let mut downloads = two(now);
    for step in 0..=20_u32 {
        let bytes = u64::from(step) * 5 * MIB;
        let looks = [look(0, bytes, Stage::Fetching), look(1, 0, Stage::Checking)];
        downloads.looked(&looks, now + SECOND * step / 2);
    }
    let then = now + 10 * SECOND;
    downloads.looked(&[look(1, 0, Stage::Checking)], then);
    let lines = downloads.lines(100, then);
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert!(lines[0].starts_with("one.flac [================] 100 MiB of 100 MiB, "), "{lines:?}");
    assert!(lines[1].ends_with("checking what is already here"), "{lines:?}");
    assert!(
        lines[2].starts_with("0 of 2 files, 100 MiB of 200 MiB, ") && lines[2].ends_with("10 s left"),
        "{lines:?}"
    );

    downloads.done((0, 0), 100 * MIB, 100 * MIB);
    let lines = downloads.lines(100, then);
    assert!(lines.len() == 2 && lines[1].starts_with("1 of 2 files, 100 MiB of 200 MiB"), "{lines:?}");
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let now = Instant::now();
    let mut downloads = two(now);
    downloads.began((0, 2), &"長い名前".repeat(20), 1, now);
    downloads.paused(1, &"x".repeat(300), &"y".repeat(300), SECOND, now);
    for width in [1, 20, 40, 80, 200] {
        for line in downloads.lines(width, now) {
            assert!(line.width() <= width, "{width}: {line}");
        }
    }
}

#[test]
fn a_stall_is_named_after_three_seconds_and_once() {
    let now = Instant::now();
    let mut downloads = two(now);
    let slot = || Stage::WaitingForSlot("studio".parse().unwrap());
    let mut said = Vec::new();
    for step in 0..40_u32 {
        let then = now + SECOND * step / 4;
        let moving = u64::from(step) * MIB;
        downloads.looked(&[look(0, moving, Stage::Fetching), look(1, 5, slot())], then);
        said.extend(downloads.new_stalls(then).into_iter().map(|line| (step, line)));
    }
    assert_eq!(said, [(13, "two.flac: waiting for a slot at studio".to_owned())]);
    let lines = downloads.lines(120, now + 10 * SECOND);
    assert!(lines[1].ends_with("waiting for a slot at studio"), "{lines:?}");

    // It moves, and stops again.
    let later = now + 20 * SECOND;
    downloads.looked(&[look(0, 90 * MIB, Stage::Fetching), look(1, MIB, Stage::Fetching)], later);
    assert!(downloads.new_stalls(later).is_empty());
    let stopped = later + 4 * SECOND;
    downloads.looked(&[look(0, 95 * MIB, Stage::Fetching), look(1, MIB, slot())], stopped);
    assert_eq!(downloads.new_stalls(stopped).len(), 1);
}

#[test]
fn a_trickle_is_a_stall_and_hashing_is_none() {
    let now = Instant::now();
    let mut downloads = two(now);
    for step in 0..10_u32 {
        let looks = [look(0, u64::from(step), Stage::Fetching), look(1, 0, Stage::Checking)];
        downloads.looked(&looks, now + SECOND * step);
    }
    let said = downloads.new_stalls(now + 9 * SECOND);
    assert_eq!(said, ["one.flac: its sources send next to nothing"]);
}

#[test]
fn files_that_stall_together_are_told_once() {
    let now = Instant::now();
    let mut downloads = two(now);
    downloads.looked(&[look(0, 0, Stage::NoSource), look(1, 0, Stage::NoSource)], now);
    assert_eq!(downloads.new_stalls(now + 4 * SECOND).len(), 1);
    assert!(downloads.new_stalls(now + 5 * SECOND).is_empty());
    let connecting = Stage::Connecting("studio".parse().unwrap());
    for (stage, told) in [(connecting.clone(), 1), (Stage::NoSource, 0), (connecting, 0)] {
        downloads.looked(&[look(0, 0, stage.clone()), look(1, 0, stage)], now + 5 * SECOND);
        assert_eq!(downloads.new_stalls(now + 6 * SECOND).len(), told);
    }
}

#[test]
fn a_pause_is_counted_down_in_place_of_its_files() {
    let now = Instant::now();
    let mut downloads = two(now);
    downloads.paused(0, "studio/Album", "no source can be reached", 4 * SECOND, now);
    let lines = downloads.lines(120, now + SECOND);
    assert_eq!(lines[0], "studio/Album: trying again in 4 s: no source can be reached");
    assert_eq!(lines.len(), 2);
    downloads.began((0, 0), "Album/one.flac", MIB, now + 4 * SECOND);
    assert!(downloads.lines(120, now).iter().all(|line| !line.contains("again")));
}

#[test]
fn what_was_here_before_is_progress_but_no_rate() {
    let now = Instant::now();
    let mut downloads = two(now);
    for step in 0..=8_u32 {
        let resumed_bytes = if step < 4 { 0 } else { 60 * MIB };
        let stage = Stage::Fetching;
        let look = Look { want: 0, file: 0, done_bytes: resumed_bytes, resumed_bytes, stage };
        downloads.looked(&[look], now + SECOND * step / 4);
    }
    let lines = downloads.lines(120, now + 2 * SECOND);
    assert!(lines[0].ends_with("60 MiB of 100 MiB"), "{lines:?}");
    assert!(lines[2].ends_with("60 MiB of 200 MiB"), "{lines:?}");
}
