//! How long calls took: percentiles of all of them, none left out and none guessed.

use std::time::{Duration, Instant};

/// The times of calls of one kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Latencies {
    nanos: Vec<u64>,
}

impl Latencies {
    /// Takes a time in.
    pub(crate) fn add(&mut self, time: Duration) {
        self.nanos.push(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX));
    }

    /// Takes in what a call takes, and gives what it gives.
    pub(crate) fn time<T>(&mut self, call: impl FnOnce() -> T) -> T {
        let started = Instant::now();
        let outcome = call();
        self.add(started.elapsed());
        outcome
    }

    /// Takes in all of another's.
    pub(crate) fn merge(&mut self, other: Self) {
        self.nanos.extend(other.nanos);
    }

    /// How many calls.
    pub(crate) fn len(&self) -> usize {
        self.nanos.len()
    }

    /// Sorted, for reading.
    pub(crate) fn sorted(mut self) -> Sorted {
        self.nanos.sort_unstable();
        Sorted { nanos: self.nanos }
    }
}

/// Times from the shortest to the longest.
#[derive(Debug, Clone)]
pub(crate) struct Sorted {
    nanos: Vec<u64>,
}

impl Sorted {
    /// The time that so many of a hundred calls stayed within; none where there was no call.
    pub(crate) fn percentile(&self, of_hundred: usize) -> Option<Duration> {
        let last = self.nanos.len().checked_sub(1)?;
        let at = (self.nanos.len() * of_hundred).div_ceil(100).saturating_sub(1).min(last);
        Some(Duration::from_nanos(self.nanos[at]))
    }

    /// p50, p99 and the longest, in milliseconds.
    pub(crate) fn cells(&self) -> Vec<String> {
        [50, 99, 100].map(|percent| self.percentile(percent).map_or_else(|| "–".to_owned(), millis)).to_vec()
    }
}

/// Milliseconds with three digits or so.
pub(crate) fn millis(time: Duration) -> String {
    let millis = time.as_secs_f64() * 1e3;
    match millis {
        ..1.0 => format!("{millis:.3}"),
        ..10.0 => format!("{millis:.2}"),
        ..100.0 => format!("{millis:.1}"),
        _ => format!("{millis:.0}"),
    }
}

/// So many in that time, a second, with blanks for no one to miscount the digits.
pub(crate) fn rate(count: u64, time: Duration) -> String {
    grouped(crate::corpus::floor(count as f64 / time.as_secs_f64().max(1e-9)))
}

/// A number with a comma after each three digits.
pub(crate) fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_all_calls() {
        let mut times = Latencies::default();
        (1..=200).rev().for_each(|millis| times.add(Duration::from_millis(millis)));
        let sorted = times.sorted();
        assert_eq!(sorted.percentile(50), Some(Duration::from_millis(100)));
        assert_eq!(sorted.percentile(99), Some(Duration::from_millis(198)));
        assert_eq!(sorted.percentile(100), Some(Duration::from_millis(200)));
        assert_eq!(sorted.cells(), ["100", "198", "200"]);
        assert_eq!(Latencies::default().sorted().percentile(50), None);
    }

    #[test]
    fn figures_are_readable() {
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(grouped(12), "12");
        assert_eq!(rate(5_000, Duration::from_millis(500)), "10,000");
        assert_eq!(millis(Duration::from_micros(1_234)), "1.23");
    }
}
