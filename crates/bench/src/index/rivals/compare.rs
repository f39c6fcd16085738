//! The comparison: each rival is built from the same documents, then asked the same queries, class by class.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::documents::{self, Document};
use super::{postgres, sqlite, tantivy};
use crate::corpus::Corpus;
use crate::index::Args;
use crate::index::classes::{Class, Query};
use crate::index::search::Searched;
use crate::latency::{Latencies, Sorted};
use crate::place::Place;
use crate::report::{Section, Table, mebibytes};
use crate::say;
use crate::tools::Tool;

/// A search engine of documents.
pub(super) trait Rival {
    /// Does searches of one class until the time is over; none where it can't do them.
    ///
    /// # Errors
    /// When one fails.
    fn search(&mut self, class: Class, queries: &[&Query], limit: Duration) -> Result<Option<Latencies>>;
    /// Bytes that it takes, on disk or in memory.
    ///
    /// # Errors
    /// When it can't be told.
    fn bytes(&self) -> Result<u64>;
}

/// Where a rival's documents come from.
pub(super) struct Documents<'a> {
    corpus: &'a Corpus,
    live: Vec<u32>,
}

impl Documents<'_> {
    /// How many there are.
    pub(super) fn len(&self) -> u64 {
        self.live.len() as u64
    }

    /// Tells every one.
    ///
    /// # Errors
    /// The first of `tell`.
    pub(super) fn each(&self, tell: impl FnMut(&Document<'_>) -> Result<()>) -> Result<()> {
        documents::each(self.corpus, &self.live, tell)
    }
}

type Build = fn(&Documents<'_>, &Place) -> Result<Box<dyn Rival>>;

/// Everyone there is.
const RIVALS: [(&str, Build); 3] =
    [("tantivy", tantivy::build), ("SQLite FTS5", sqlite::build), ("PostgreSQL", postgres::build)];

/// Does the searches one at a time, as the engines in this process do them.
///
/// # Errors
/// The first of `search`.
pub(super) fn one_by_one(
    queries: &[&Query],
    limit: Duration,
    mut search: impl FnMut(&Query) -> Result<usize>,
) -> Result<Option<Latencies>> {
    let (mut times, started) = (Latencies::default(), Instant::now());
    for query in queries {
        times.time(|| search(query))?;
        if started.elapsed() > limit {
            break;
        }
    }
    Ok(Some(times))
}

/// Builds and asks every rival that is wanted.
///
/// # Errors
/// When there is no room for them; never because of one of them.
pub(crate) fn run(corpus: &Corpus, queries: &[Query], ours: &Searched, args: &Args) -> Result<Section> {
    say("rivals: counting sources");
    let documents = Documents { corpus, live: documents::live_sources(corpus) };
    let (mut columns, mut notes) = (Vec::new(), Vec::new());
    for (name, build) in RIVALS.into_iter().filter(|(name, _)| args.wants(name)) {
        say(format_args!("rivals: {name}"));
        match measure(build, &documents, queries, args) {
            Ok((times, built)) => {
                notes.push(format!("{name}: {built}"));
                columns.push((name, times));
            }
            Err(error) => notes.push(format!("{name}: {error:#}")),
        }
    }
    let mut heading = vec!["class".to_owned(), "ours p50 ms".to_owned(), "p99 ms".to_owned()];
    for (name, _) in &columns {
        heading.extend([format!("{name} p50 ms"), "p99 ms".to_owned(), "ours is, at p99".to_owned()]);
    }
    let row = |(class, times, _): &(Class, Sorted, _)| {
        let mut row = vec![class.title().to_owned()];
        row.extend(times.cells().into_iter().take(2));
        columns.iter().for_each(|(_, theirs)| row.extend(cells(theirs.get(class), times)));
        row
    };
    Ok(Section::Table(Table {
        title: "rivals".to_owned(),
        about: "The same corpus and queries, top 50 by live sources. Ours are the figures from above, with files registered meanwhile; a \
                rival stands still and has nothing else to do. A rival's last word is no prefix."
            .to_owned(),
        heading,
        rows: ours.classes.iter().map(row).collect(),
        notes,
    }))
}

type Times = HashMap<Class, Sorted>;

fn measure(
    build: Build,
    documents: &Documents<'_>,
    queries: &[Query],
    args: &Args,
) -> Result<(Times, String)> {
    let place = Place::new(args.scratch())?;
    let started = Instant::now();
    let mut rival = build(documents, &place)?;
    let built = format!("built in {:.1} s, {}", started.elapsed().as_secs_f64(), mebibytes(rival.bytes()?));
    let mut times = Times::new();
    for class in Class::ALL {
        let own: Vec<&Query> = queries.iter().filter(|query| query.class == class).collect();
        if own.is_empty() {
            continue;
        }
        if let Some(latencies) = rival.search(class, &own, args.class_limit())? {
            times.insert(class, latencies.sorted());
        }
    }
    Ok((times, built))
}

fn cells(theirs: Option<&Sorted>, ours: &Sorted) -> Vec<String> {
    let Some(theirs) = theirs else { return vec!["–".to_owned(); 3] };
    let ratio = match (theirs.percentile(99), ours.percentile(99)) {
        (Some(theirs), Some(ours)) => format!("{:.1} ×", theirs.as_secs_f64() / ours.as_secs_f64().max(1e-9)),
        _ => "–".to_owned(),
    };
    theirs.cells().into_iter().take(2).chain([ratio]).collect()
}

/// The programs that take part; libraries are in the lock file.
pub(crate) fn tools(args: &Args) -> Vec<Tool> {
    if args.rivals && args.wants("PostgreSQL") { vec![postgres::tool()] } else { Vec::new() }
}
