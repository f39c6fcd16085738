//! What is told in the end: tables in a terminal or as Markdown, with medians and ratios. Pure.
//!
//! Invariants: a ratio is always of medians of the same run; what did not run is in the table with its reason.

use std::fmt::Write as _;
use std::time::Duration;

use crate::measure::{Sample, Usage};

/// What was measured: who it was measured with, and how.
pub(crate) enum Section {
    /// Contenders side by side.
    Race(Race),
    /// Figures of our own.
    Facts(Facts),
    /// Figures of several kinds, of ours and of others.
    Table(Table),
}

/// Contenders that did the same work, ours first.
pub(crate) struct Race {
    /// The work's name.
    pub(crate) title: String,
    /// What was done, and what is to be reached.
    pub(crate) about: String,
    /// What its speed is counted in.
    pub(crate) scale: Scale,
    /// Bytes moved, for CPU time per GiB.
    pub(crate) bytes: u64,
    /// One for each contender.
    pub(crate) rows: Vec<Row>,
}

/// How a time is shown.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Scale {
    /// So much in that time.
    Rate {
        /// How much.
        amount: f64,
        /// Of what, a second.
        unit: &'static str,
    },
    /// As a multiple of this many seconds.
    Multiple {
        /// The seconds.
        of_secs: f64,
    },
    /// As seconds.
    Seconds,
}

/// One contender.
pub(crate) struct Row {
    /// Its name.
    pub(crate) name: String,
    /// What came of it.
    pub(crate) outcome: Outcome,
}

/// What came of one contender.
pub(crate) enum Outcome {
    /// At least one round.
    Ran(Vec<Sample>),
    /// It is not here: which program lacks.
    NotInstalled(String),
    /// Why it did not work; its rounds do not count.
    Failed(String),
}

/// Named figures, each in words.
pub(crate) struct Facts {
    /// The work's name.
    pub(crate) title: String,
    /// What was done, and what is to be reached.
    pub(crate) about: String,
    /// What, and how much.
    pub(crate) rows: Vec<(String, String)>,
}

/// Rows under a heading of their own.
pub(crate) struct Table {
    /// The work's name.
    pub(crate) title: String,
    /// What was done, and what is to be reached.
    pub(crate) about: String,
    /// What each column is; every row has as many.
    pub(crate) heading: Vec<String>,
    /// The rows.
    pub(crate) rows: Vec<Vec<String>>,
    /// What is to be said below it, a line each.
    pub(crate) notes: Vec<String>,
}

/// The middle of some figures; between the two middle ones where they are even in number.
pub(crate) fn median(mut figures: Vec<f64>) -> Option<f64> {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    match figures.len() {
        0 => None,
        count if count % 2 == 1 => Some(figures[middle]),
        _ => Some(f64::midpoint(figures[middle - 1], figures[middle])),
    }
}

/// A size for people.
pub(crate) fn mebibytes(bytes: u64) -> String {
    let mebibytes = approximate(bytes) / f64::from(1 << 20);
    if mebibytes < 10.0 { format!("{mebibytes:.1} MiB") } else { format!("{mebibytes:.0} MiB") }
}

/// A count as a figure; above 2^53 it is rounded, which no table shows.
pub(crate) fn approximate(count: u64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "figures in tables have three digits")]
    let figure = count as f64;
    figure
}

impl Section {
    /// As a terminal shows it.
    pub(crate) fn plain(&self) -> String {
        let (title, about, cells) = self.parts();
        let widths = widths(&cells);
        let mut text = format!("\n== {title}\n{about}\n");
        for row in &cells {
            let padded = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
                if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
            });
            let _ = writeln!(text, "{}", padded.collect::<Vec<_>>().join("  ").trim_end());
        }
        for reason in self.reasons() {
            let _ = writeln!(text, "{reason}");
        }
        text
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let (title, about, cells) = self.parts();
        let mut text = format!("\n## {title}\n\n{about}\n\n");
        for (number, row) in cells.iter().enumerate() {
            let _ = writeln!(text, "| {} |", row.join(" | "));
            if number == 0 {
                let _ = writeln!(text, "|---|{}", "---:|".repeat(row.len() - 1));
            }
        }
        let reasons = self.reasons();
        if !reasons.is_empty() {
            text.push('\n');
        }
        for reason in &reasons {
            let _ = writeln!(text, "- {reason}");
        }
        text
    }

    fn parts(&self) -> (&str, &str, Vec<Vec<String>>) {
        match self {
            Self::Race(race) => (&race.title, &race.about, race.cells()),
            Self::Facts(facts) => (&facts.title, &facts.about, facts.cells()),
            Self::Table(table) => (&table.title, &table.about, table.cells()),
        }
    }

    fn reasons(&self) -> Vec<String> {
        let race = match self {
            Self::Race(race) => race,
            Self::Facts(_) => return Vec::new(),
            Self::Table(table) => return table.notes.clone(),
        };
        let reason = |row: &Row| match &row.outcome {
            Outcome::Ran(_) => None,
            Outcome::NotInstalled(what) => Some(format!("{}: not installed ({what})", row.name)),
            Outcome::Failed(why) => Some(format!("{}: failed: {why}", row.name)),
        };
        race.rows.iter().filter_map(reason).collect()
    }
}

fn widths(cells: &[Vec<String>]) -> Vec<usize> {
    let columns = cells.first().map_or(0, Vec::len);
    let width = |column: usize| cells.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    (0..columns).map(width).collect()
}

impl Facts {
    fn cells(&self) -> Vec<Vec<String>> {
        let heading = vec!["what".to_owned(), "measured".to_owned()];
        let rows = self.rows.iter().map(|(what, measured)| vec![what.clone(), measured.clone()]);
        std::iter::once(heading).chain(rows).collect()
    }
}

impl Table {
    fn cells(&self) -> Vec<Vec<String>> {
        std::iter::once(&self.heading).chain(&self.rows).cloned().collect()
    }
}

/// The medians of one contender.
struct Middle {
    secs: f64,
    fastest: f64,
    slowest: f64,
    server_cpu: f64,
    client_cpu: f64,
    cpu: f64,
    server_peak: u64,
    client_peak: u64,
}

impl Middle {
    fn of(samples: &[Sample]) -> Option<Self> {
        let all = |figure: fn(&Sample) -> Duration| -> Vec<f64> {
            samples.iter().map(|sample| figure(sample).as_secs_f64()).collect()
        };
        let peak = |side: fn(&Sample) -> Usage| samples.iter().map(|one| side(one).peak_bytes).max();
        let times = all(|sample| sample.time);
        Some(Self {
            fastest: times.iter().copied().fold(f64::INFINITY, f64::min),
            slowest: times.iter().copied().fold(0.0, f64::max),
            secs: median(times)?,
            server_cpu: median(all(|sample| sample.server.cpu))?,
            client_cpu: median(all(|sample| sample.client.cpu))?,
            cpu: median(all(|sample| sample.server.cpu + sample.client.cpu))?,
            server_peak: peak(|sample| sample.server)?,
            client_peak: peak(|sample| sample.client)?,
        })
    }
}

impl Row {
    fn middle(&self) -> Option<Middle> {
        let Outcome::Ran(samples) = &self.outcome else { return None };
        Middle::of(samples)
    }
}

impl Race {
    fn cells(&self) -> Vec<Vec<String>> {
        let heading = [
            "contender",
            &self.scale.heading(),
            "slowest to fastest",
            "ours is",
            "CPU s/GiB",
            "serving",
            "fetching",
            "our CPU is",
            "peak serving",
            "peak fetching",
        ];
        let ours = self.rows.first().and_then(Row::middle);
        let rows = self.rows.iter().map(|row| self.row(row, ours.as_ref()));
        std::iter::once(heading.map(str::to_owned).to_vec()).chain(rows).collect()
    }

    fn row(&self, row: &Row, ours: Option<&Middle>) -> Vec<String> {
        let Some(middle) = row.middle() else {
            return std::iter::once(row.name.clone()).chain(std::iter::repeat_n("–".to_owned(), 9)).collect();
        };
        let gib = approximate(self.bytes) / f64::from(1 << 30);
        let ratio = |figure: Option<f64>| figure.map_or("–".to_owned(), |ratio| format!("{ratio:.2} ×"));
        vec![
            row.name.clone(),
            self.scale.shown(middle.secs),
            format!("{} to {}", self.scale.shown(middle.slowest), self.scale.shown(middle.fastest)),
            ratio(ours.map(|ours| middle.secs / ours.secs)),
            format!("{:.2}", middle.cpu / gib),
            format!("{:.2}", middle.server_cpu / gib),
            format!("{:.2}", middle.client_cpu / gib),
            ratio(ours.filter(|_| middle.cpu > 0.0).map(|ours| ours.cpu / middle.cpu)),
            mebibytes(middle.server_peak),
            mebibytes(middle.client_peak),
        ]
    }
}

impl Scale {
    /// So many bytes, in MB/s.
    pub(crate) fn of_bytes(bytes: u64) -> Self {
        Self::Rate { amount: approximate(bytes) / 1e6, unit: "MB/s" }
    }

    /// So many files, in files/s.
    pub(crate) fn of_files(files: usize) -> Self {
        Self::Rate { amount: approximate(files as u64), unit: "files/s" }
    }

    fn heading(self) -> String {
        match self {
            Self::Rate { unit, .. } => unit.to_owned(),
            Self::Multiple { of_secs } => format!("× {of_secs:.1} s"),
            Self::Seconds => "seconds".to_owned(),
        }
    }

    fn shown(self, secs: f64) -> String {
        match self {
            Self::Rate { amount, .. } => format!("{:.0}", amount / secs.max(1e-9)),
            Self::Multiple { of_secs } => format!("{:.2}", secs / of_secs),
            Self::Seconds => format!("{secs:.2}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(secs: f64, cpu: f64) -> Sample {
        let usage = |cpu| Usage { cpu: Duration::from_secs_f64(cpu), peak_bytes: 5 << 20 };
        Sample { time: Duration::from_secs_f64(secs), server: usage(cpu), client: usage(2.0 * cpu) }
    }

    fn race() -> Section {
        let row = |name: &str, outcome| Row { name: name.to_owned(), outcome };
        Section::Race(Race {
            title: "one".to_owned(),
            about: "A file.".to_owned(),
            scale: Scale::Rate { amount: 2_000.0, unit: "MB/s" },
            bytes: 2 << 30,
            rows: vec![
                row("us", Outcome::Ran(vec![sample(4.0, 1.0), sample(2.0, 1.0), sample(1.0, 1.0)])),
                row("them", Outcome::Ran(vec![sample(5.0, 4.0), sample(3.0, 2.0)])),
                row("away", Outcome::NotInstalled("ncdc".to_owned())),
                row("broken", Outcome::Failed("it hung".to_owned())),
            ],
        })
    }

    #[test]
    fn medians_are_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
        assert_eq!(median(Vec::new()), None);
    }

    #[test]
    fn ratios_are_of_medians() {
        let text = race().markdown();
        let us = "| us | 1000 | 500 to 2000 | 1.00 × | 1.50 | 0.50 | 1.00 | 1.00 × | 5.0 MiB | 5.0 MiB |";
        let them = "| them | 500 | 400 to 667 | 2.00 × | 4.50 | 1.50 | 3.00 | 0.33 × | 5.0 MiB | 5.0 MiB |";
        assert!(text.contains(us), "{text}");
        assert!(text.contains(them), "{text}");
    }

    #[test]
    fn what_did_not_run_says_why() {
        for text in [race().plain(), race().markdown()] {
            assert!(text.contains("away: not installed (ncdc)"), "{text}");
            assert!(text.contains("broken: failed: it hung"), "{text}");
        }
    }

    #[test]
    fn without_us_there_is_no_ratio() {
        let Section::Race(mut race) = race() else { unreachable!() };
        race.rows[0].outcome = Outcome::Failed("no binary".to_owned());
        let text = Section::Race(race).markdown();
        assert!(text.contains("| them | 500 | 400 to 667 | – |"), "{text}");
    }

    #[test]
    fn figures_stand_under_each_other() {
        let facts = Facts {
            title: "t".to_owned(),
            about: "a".to_owned(),
            rows: vec![("x".to_owned(), "1".to_owned()), ("long".to_owned(), "22".to_owned())],
        };
        let text = Section::Facts(facts).plain();
        assert!(text.contains("x            1\nlong        22\n"), "{text}");
    }
}
