//! What holds whoever the sources are.

use proptest::prelude::*;

use super::nature::{Nature, any_nature, partial, whole};
use super::sim::Sim;

/// Seeds of one property; there are several, so that they run beside each other.
const SEEDS: u32 = 2_500;

/// An honest source among others: the download ends and is complete.
fn ends(seed: u64, pieces: u64, natures: Vec<Nature>) -> Result<(), TestCaseError> {
    let mut sim = Sim::new(seed, pieces, natures);
    // The honest one alone takes at most a minute; the others may waste many times as much.
    prop_assert_eq!(sim.run(600), Some(Ok(())));
    Ok(())
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: SEEDS, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn it_ends_while_one_honest_whole_source_stays(
        seed: u64,
        pieces in 1_u64..40,
        mut natures in proptest::collection::vec(whole(), 0..8),
        at in any::<prop::sample::Index>(),
        kib_per_sec in 800_u64..50_000,
    ) {
        natures.insert(at.index(natures.len() + 1), Nature::Honest { kib_per_sec });
        ends(seed, pieces, natures)?;
    }

    #[test]
    fn it_ends_while_one_honest_whole_source_stays_among_partial_ones(
        seed: u64,
        pieces in 1_u64..40,
        mut natures in proptest::collection::vec(partial(), 0..8),
        at in any::<prop::sample::Index>(),
        kib_per_sec in 800_u64..50_000,
    ) {
        natures.insert(at.index(natures.len() + 1), Nature::Honest { kib_per_sec });
        ends(seed, pieces, natures)?;
    }

    #[test]
    fn it_ends_while_one_honest_whole_source_stays_among_all_kinds(
        seed: u64,
        pieces in 1_u64..40,
        mut natures in proptest::collection::vec(any_nature(), 0..10),
        at in any::<prop::sample::Index>(),
        kib_per_sec in 800_u64..50_000,
    ) {
        natures.insert(at.index(natures.len() + 1), Nature::Honest { kib_per_sec });
        ends(seed, pieces, natures)?;
    }

    #[test]
    fn it_ends_whoever_the_sources_are(
        seed: u64,
        pieces in 1_u64..20,
        natures in proptest::collection::vec(any_nature(), 0..6),
    ) {
        let mut sim = Sim::new(seed, pieces, natures);
        let outcome = sim.run(3_600);
        prop_assert!(outcome.is_some(), "it never ends");
        prop_assert_eq!(outcome == Some(Ok(())), sim.unproven.is_empty());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn the_same_seed_gives_the_same_story(seed: u64, natures in proptest::collection::vec(any_nature(), 1..6)) {
        let story = |mut sim: Sim| (sim.run(600), sim.took(), sim.liars, sim.brought);
        let (one, two) = (Sim::new(seed, 20, natures.clone()), Sim::new(seed, 20, natures));
        prop_assert_eq!(story(one), story(two));
    }
}
