//! Numbers that look random and are the same on every run: a stream for each (seed, purpose, number), and ranks that
//! follow Zipf's law. Pure.
//!
//! Invariant: a stream depends on nothing but what it was made from, so anything can be made again alone.

/// What a stream is for, so that no two purposes share one.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// A folder of contents: who made it, in which language.
    Folder = 1,
    /// A content's own name.
    Content,
    /// A content's bytes: hash, size, time.
    Bytes,
    /// How many names a content has.
    Names,
    /// What a peer has.
    Share,
    /// How much a peer has.
    Size,
    /// A peer's key.
    Key,
    /// Which folder of real names stands where.
    Order,
    /// Queries.
    Query,
}

/// A stream of numbers (SplitMix64, by Steele, Lea and Flood).
#[derive(Debug, Clone)]
pub(crate) struct Draws {
    state: u64,
}

impl Draws {
    /// The stream of one thing.
    pub(crate) const fn new(seed: u64, purpose: Purpose, number: u64) -> Self {
        Self { state: mix(mix(seed.wrapping_add((purpose as u64) << 56)) ^ number) }
    }

    /// The next 64 bits.
    pub(crate) const fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.state)
    }

    /// Below `end`, each alike but for what 64 bits can't tell apart. Zero where `end` is zero.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        scaled(self.next(), end)
    }

    /// From zero to one, one excluded.
    pub(crate) fn unit(&mut self) -> f64 {
        unit(self.next())
    }

    /// True in so many of a hundred cases.
    pub(crate) fn percent(&mut self, of_hundred: u64) -> bool {
        self.below(100) < of_hundred
    }

    /// One of several.
    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        let last = of.len() - 1;
        &of[index(self.below(of.len() as u64)).min(last)]
    }
}

/// Ranks of `count` things by Zipf's law with an offset (Mandelbrot's): rank *r* is drawn in proportion to about
/// 1 / (r + `offset`). With an offset the first ones are all alike popular, so that none is everywhere.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Zipf {
    count: u64,
    offset: f64,
    log: f64,
}

impl Zipf {
    /// The law for so many things.
    pub(crate) fn new(count: u64, offset: f64) -> Self {
        Self { count, offset, log: (count as f64 / offset).ln_1p() }
    }

    /// The rank at a place between zero and one: ascending.
    pub(crate) fn rank(&self, unit: f64) -> u64 {
        floor(self.offset * (self.log * unit).exp_m1()).min(self.count.saturating_sub(1))
    }
}

/// From zero to one, one excluded.
pub(crate) fn unit(bits: u64) -> f64 {
    (bits >> 11) as f64 / (1_u64 << 53) as f64
}

/// The whole part of what is not negative.
pub(crate) fn floor(figure: f64) -> u64 {
    #[expect(clippy::cast_possible_truncation, reason = "the whole part is what is wanted; `as` saturates")]
    let whole = figure as u64;
    whole
}

/// As a place in memory; what does not fit would be beyond any.
pub(crate) fn index(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

/// Every bit of the outcome depends on every bit of the number (the finalizer of SplitMix64).
pub(crate) const fn mix(number: u64) -> u64 {
    let mixed = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn scaled(bits: u64, end: u64) -> u64 {
    let wide = (u128::from(bits) * u128::from(end)) >> 64;
    u64::try_from(wide).unwrap_or(0) // it is below `end`
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_are_the_same_again_and_differ_by_purpose() {
        let first = |purpose, number| Draws::new(7, purpose, number).next();
        assert_eq!(first(Purpose::Share, 3), first(Purpose::Share, 3));
        assert_ne!(first(Purpose::Share, 3), first(Purpose::Share, 4));
        assert_ne!(first(Purpose::Share, 3), first(Purpose::Size, 3));
        let mut draws = Draws::new(7, Purpose::Query, 0);
        assert!((0..1_000).all(|_| draws.below(10) < 10 && draws.unit() < 1.0));
        assert_eq!(draws.below(0), 0);
    }

    #[test]
    fn low_ranks_are_drawn_most() {
        let zipf = Zipf::new(600_000, 1.0);
        let mut draws = Draws::new(1, Purpose::Query, 0);
        let ranks: Vec<u64> = (0..100_000).map(|_| zipf.rank(draws.unit())).collect();
        let share = |end: u64| ranks.iter().filter(|rank| **rank < end).count();
        assert!((4_000..7_000).contains(&share(1)), "{}", share(1));
        assert!((45_000..58_000).contains(&share(800)), "{}", share(800));
        assert!(ranks.iter().any(|rank| *rank > 500_000) && ranks.iter().all(|rank| *rank < 600_000));
        assert_eq!(Zipf::new(1, 1.0).rank(0.999), 0);
    }
}
