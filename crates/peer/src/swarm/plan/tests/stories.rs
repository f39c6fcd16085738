//! Single cases, each with a number that must not get worse.

use super::nature::{Manner, Nature, Partial};
use super::sim::{Sim, peer};
use super::*;

const FAST: Nature = Nature::Honest { kib_per_sec: 20 << 10 };

#[test]
fn a_lone_liar_makes_it_corrupt_and_a_second_source_mends_it() {
    let liar = Nature::Lying { one_in: 1 };
    assert_eq!(Sim::new(1, 10, vec![liar.clone()]).run(10), Some(Err(Outcome::Corrupt)));
    assert_eq!(Sim::new(1, 10, vec![liar.clone(), liar.clone()]).run(10), Some(Err(Outcome::Corrupt)));
    assert_eq!(Sim::new(1, 10, vec![liar, FAST]).run(30), Some(Ok(())));
}

#[test]
fn sources_that_are_gone_or_empty_are_unreachable_after_some_attempts() {
    for nature in [Nature::Vanishing { at_secs: 0 }, Nature::Empty, Nature::Cutting { after_pieces: 0 }] {
        let mut sim = Sim::new(2, 10, vec![nature.clone()]);
        assert_eq!(sim.run(30), Some(Err(Outcome::Unreachable)), "{nature:?}");
        assert!(sim.took() >= Duration::from_secs(1), "{nature:?} deserves a second look");
    }
    assert_eq!(Sim::new(2, 10, vec![]).run(10), Some(Err(Outcome::NoSource)));
}

#[test]
fn a_source_that_is_always_busy_is_borne_for_ten_minutes() {
    let mut sim = Sim::new(3, 1, vec![Nature::Busy { until_secs: 10_000 }]);
    assert_eq!(sim.run(700), Some(Err(Outcome::Busy)));
    assert!(sim.took() >= BUSY_PATIENCE);
    assert_eq!(Sim::new(3, 10, vec![Nature::Busy { until_secs: 100 }]).run(120), Some(Ok(())));
}

#[test]
fn a_connection_cut_after_every_piece_still_brings_the_file() {
    let mut sim = Sim::new(4, 50, vec![Nature::Cutting { after_pieces: 1 }]);
    assert_eq!(sim.run(200), Some(Ok(())));
}

#[test]
fn a_stalled_source_costs_seconds_where_another_is_there() {
    for slow in [Nature::Stalling { after_pieces: 1 }, Nature::Silent, Nature::Dribbling] {
        let mut sim = Sim::new(5, 40, vec![slow.clone(), FAST]);
        assert_eq!(sim.run(60), Some(Ok(())));
        let took = sim.took();
        assert!(took < Duration::from_secs(8), "{slow:?}: 40 pieces at 20 a second took {took:?}");
    }
}

#[test]
fn the_last_pieces_do_not_wait_for_a_slow_source() {
    let slow = Nature::Honest { kib_per_sec: 50 };
    let mut sim = Sim::new(6, 40, vec![slow.clone(), slow, FAST]);
    assert_eq!(sim.run(60), Some(Ok(())));
    let took = sim.took();
    assert!(took < Duration::from_secs(6), "a slow source's piece alone takes 20 s, all took {took:?}");
}

#[test]
fn four_sources_share_the_work() {
    let mut sim = Sim::new(7, 200, vec![FAST; 4]);
    assert_eq!(sim.run(60), Some(Ok(())));
    let took = sim.took();
    assert!(took < Duration::from_secs(5), "one alone takes 10 s, four took {took:?}");
}

const HELPER: Partial =
    Partial { kib_per_sec: 20 << 10, percent: 100, percent_more: 0, order: 7, manner: Manner::Honest };
const SLOW: Nature = Nature::Honest { kib_per_sec: 1 << 10 };

#[test]
fn a_partial_source_gives_what_it_has() {
    let half = Nature::Partial(Partial { percent: 50, ..HELPER });
    let mut sim = Sim::new(8, 60, vec![SLOW, half]);
    assert_eq!(sim.run(100), Some(Ok(())));
    let theirs = sim.brought[&peer(2)];
    assert!((15..45).contains(&theirs), "about half are there: {theirs}");
    assert!(sim.took() < Duration::from_secs(50), "alone it takes a minute, both took {:?}", sim.took());
}

#[test]
fn partial_sources_alone_are_enough_where_each_piece_is_with_one() {
    let some = |order: u64| Nature::Partial(Partial { percent: 60, order: 2 * order + 1, ..HELPER });
    let mut sim = Sim::new(9, 40, (1..9).map(some).collect());
    assert_eq!(sim.run(100), Some(Ok(())));
    assert!(sim.took() < Duration::from_secs(10), "{:?}", sim.took());
    let growing = Nature::Partial(Partial { percent: 0, percent_more: 25, ..HELPER });
    let mut sim = Sim::new(9, 40, vec![growing]);
    assert_eq!(sim.run(100), Some(Ok(())));
    assert!(sim.took() < Duration::from_secs(50), "all of it is there after 40 s: {:?}", sim.took());
}

#[test]
fn where_a_piece_is_missing_everywhere_the_end_comes_within_two_minutes() {
    let most = Nature::Partial(Partial { percent: 90, ..HELPER });
    let mut sim = Sim::new(10, 40, vec![most.clone(), most]);
    assert_eq!(sim.run(600), Some(Err(Outcome::Unreachable)));
    let took = sim.took();
    assert!((Duration::from_secs(20)..Duration::from_secs(120)).contains(&took), "{took:?}");
    assert!(sim.unproven.len() < 20 && sim.asks >= u64::from(ASKS_IN_VAIN_AFTER_PROGRESS_MAX));
}

#[test]
fn a_partial_source_that_boasts_is_found_out_and_does_no_harm() {
    let boasting = Nature::Partial(Partial { percent: 20, manner: Manner::Boasting, ..HELPER });
    let mut sim = Sim::new(11, 60, vec![boasting, FAST]);
    assert_eq!(sim.run(60), Some(Ok(())));
    assert!(sim.took() < Duration::from_secs(8), "alone it takes 3 s: {:?}", sim.took());
}

#[test]
fn the_index_is_asked_for_company_soon_and_then_more_and_more_seldom() {
    let mut sim = Sim::new(12, 100, vec![SLOW]);
    assert_eq!(sim.run(200), Some(Ok(())));
    assert!((4..=8).contains(&sim.asks), "{} times in 100 s", sim.asks);
    let mut sim = Sim::new(12, 100, vec![SLOW, SLOW]);
    assert_eq!((sim.run(200), sim.asks), (Some(Ok(())), 0), "two are enough");
    let mut sim = Sim::new(12, 100, vec![SLOW, SLOW, Nature::Partial(Partial { percent: 10, ..HELPER })]);
    assert_eq!(sim.run(200), Some(Ok(())));
    assert!(sim.asks >= 3, "in a swarm there may be more");
}
