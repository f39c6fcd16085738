//! Seconds since 1970 as a date that people read.

use std::fmt;

/// Seconds of a day.
const DAY_SECS: i64 = 86_400;
/// The dates that are written with four digits of a year: 0000-01-01 to 9999-12-31.
const SHOWN_SECS: std::ops::Range<i64> = -62_167_219_200..253_402_300_800;

/// A point in time in UTC, to the minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Utc {
    year: i64,
    month: i64,
    day: i64,
    hour: i64,
    minute: i64,
}

impl Utc {
    /// `None` outside the years 0 to 9999.
    pub(super) fn of(secs: i64) -> Option<Self> {
        if !SHOWN_SECS.contains(&secs) {
            return None;
        }
        let (days, second) = (secs.div_euclid(DAY_SECS), secs.rem_euclid(DAY_SECS));
        let (year, month, day) = civil(days);
        Some(Self { year, month, day, hour: second / 3_600, minute: second / 60 % 60 })
    }
}

/// Year, month and day of a number of days since 1970-01-01. Years begin in March, so that the leap day comes last.
/// Source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", `civil_from_days`.
const fn civil(days: i64) -> (i64, i64, i64) {
    let days = days + 719_468;
    let (era, day_of_era) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * from_march + 2) / 5 + 1;
    let month = if from_march < 10 { from_march + 3 } else { from_march - 9 };
    let january = if month <= 2 { 1 } else { 0 };
    (year_of_era + era * 400 + january, month, day)
}

/// `2026-11-03 14:02`; with `#` as machines read it, `2026-11-03T14:02Z`.
impl fmt::Display for Utc {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { year, month, day, hour, minute } = self;
        let (between, end) = if f.alternate() { ("T", "Z") } else { (" ", "") };
        write!(f, "{year:04}-{month:02}-{day:02}{between}{hour:02}:{minute:02}{end}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_those_of_the_calendar() {
        for (secs, expected) in [
            (0, "1970-01-01 00:00"),
            (-1, "1969-12-31 23:59"),
            (951_827_696, "2000-02-29 12:34"),
            (1_709_251_199, "2024-02-29 23:59"),
            (4_107_542_400, "2100-03-01 00:00"),
            (253_402_300_799, "9999-12-31 23:59"),
            (-62_167_219_200, "0000-01-01 00:00"),
        ] {
            assert_eq!(Utc::of(secs).map(|utc| utc.to_string()).as_deref(), Some(expected));
        }
        assert_eq!(format!("{:#}", Utc::of(0).unwrap()), "1970-01-01T00:00Z");
        for secs in [i64::MIN, i64::MAX, 253_402_300_800, -62_167_219_201] {
            assert_eq!(Utc::of(secs), None);
        }
    }
}
