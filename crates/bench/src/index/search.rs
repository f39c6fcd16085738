//! Searches of every class in turn, while files are registered.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use peerage_index::Index;

use super::Setting;
use super::classes::{Class, Query};
use super::writer::{Written, beside};
use crate::latency::{Latencies, Sorted, grouped};
use crate::report::{Section, Table};
use crate::say;

/// Searches of each class before any counts.
const WARM_UP: usize = 5;

/// What the searches of a run took.
pub(crate) struct Searched {
    /// By class, in the order of the tables.
    pub(crate) classes: Vec<(Class, Sorted, Found)>,
    written: Written,
}

/// What the searches of a class found.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Found {
    searches: usize,
    hits: usize,
    capped: usize,
}

/// Does all the queries, as far as no class takes longer than `limit`.
///
/// # Errors
/// When a search or a registration is refused.
pub(crate) fn run(
    setting: &Setting<'_>,
    index: &Index,
    queries: &[Query],
    limit: Duration,
) -> Result<Searched> {
    let (times, written) = beside(setting, index, || search(index, queries, limit))?;
    let classes = Class::all().filter_map(|class| {
        let (latencies, found) = times.get(&class)?.clone();
        Some((class, latencies.sorted(), found))
    });
    Ok(Searched { classes: classes.collect(), written })
}

type Times = HashMap<Class, (Latencies, Found)>;

fn search(index: &Index, queries: &[Query], limit: Duration) -> Result<Times> {
    let mut times = Times::new();
    let mut spent: HashMap<Class, Duration> = HashMap::new();
    let mut warm: HashMap<Class, usize> = HashMap::new();
    for query in queries {
        let params = query.params();
        let spent = spent.entry(query.class).or_default();
        if *spent > limit {
            continue;
        }
        let started = Instant::now();
        let page = index.search(&params).with_context(|| format!("`{}`", params.q))?;
        let time = started.elapsed();
        *spent += time;
        let warmed = warm.entry(query.class).or_default();
        *warmed += 1;
        // Where a class runs out of time before it is warm, what there is counts.
        let (latencies, found) = times.entry(query.class).or_default();
        if *warmed == WARM_UP + 1 {
            (*latencies, *found) = Default::default();
        }
        latencies.add(time);
        found.searches += 1;
        found.hits += page.hits.len();
        found.capped += usize::from(!page.total.exact);
    }
    for (class, spent) in spent.iter().filter(|(_, spent)| **spent > limit) {
        say(format_args!("{}: ended after {:.0} s", class.title(), spent.as_secs_f64()));
    }
    Ok(times)
}

/// The table of a run.
pub(crate) fn section(searched: &Searched) -> Section {
    let rows = searched.classes.iter().map(|(class, times, found)| {
        let mean = found.hits as f64 / found.searches.max(1) as f64;
        let mut row = vec![class.title().to_owned()];
        row.extend(times.cells());
        row.extend([grouped(found.searches as u64), format!("{mean:.1}"), grouped(found.capped as u64)]);
        row
    });
    let heading = ["class", "p50 ms", "p99 ms", "max ms", "searches", "hits on a page", "totals not exact"];
    Section::Table(Table {
        title: "searches".to_owned(),
        about: format!(
            "One thread searches, the classes taking turns; the last word of a query is a prefix as well. Registered meanwhile: {}.",
            searched.written.told()
        ),
        heading: heading.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        notes: Vec::new(),
    })
}
