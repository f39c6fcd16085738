//! The comparison: each rival is built from the same documents, then asked the same queries, class by class.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::Result;

use super::documents::{self, Document, Maker};
use super::writing::{Registry, Writer};
use super::{postgres, sqlite, tantivy};
use crate::corpus::Corpus;
use crate::index::classes::{Class, Query};
use crate::index::search::Searched;
use crate::index::writer::beside_at;
use crate::index::{Args, Setting};
use crate::latency::{Latencies, Sorted, grouped};
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
    /// What writes to it while it is searched; none where there is nothing.
    ///
    /// # Errors
    /// When that can't be set up.
    fn writer(&mut self) -> Result<Option<Box<dyn Writer>>> {
        Ok(None)
    }
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
    pub(super) fn each(&self, mut tell: impl FnMut(&Document<'_>) -> Result<()>) -> Result<()> {
        let mut maker = Maker::default();
        (0..).zip(&self.live).try_for_each(|(id, live)| tell(&maker.document(self.corpus, id, *live)))
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
pub(crate) fn run(
    setting: &Setting<'_>,
    queries: &[Query],
    ours: &Searched,
    args: &Args,
) -> Result<Vec<Section>> {
    say("rivals: counting sources");
    let documents = Documents { corpus: setting.corpus, live: documents::live_sources(setting.corpus) };
    let (mut still, mut written) = (Compared::default(), Compared::default());
    for (name, build) in RIVALS.into_iter().filter(|(name, _)| args.wants(name)) {
        say(format_args!("rivals: {name}"));
        match measure((name, build), setting, &documents, (queries, args), [&mut still, &mut written]) {
            Ok(()) => {}
            Err(error) => still.notes.push(format!("{name}: {error:#}")),
        }
    }
    let still = still.section(
        ours,
        "rivals",
        "The same corpus and queries, top 50 by live sources. Ours are the figures from above, with what is registered there; a \
         rival stands still and has nothing else to do. A rival's last word is no prefix.",
    );
    let written = written.section(
        ours,
        "rivals that are written to",
        "The same while peers come and leave as they do beside our own searches. What is registered is found after a rival's next \
         commit, at most one a second, and in ours at once. A rival is asked one class after the other, so that of the last \
         more has come and gone.",
    );
    Ok(if setting.writing > 0 { vec![still, written] } else { vec![still] })
}

type Times = HashMap<Class, Sorted>;

/// What rivals took beside ours.
#[derive(Default)]
struct Compared {
    columns: Vec<(&'static str, Times)>,
    notes: Vec<String>,
}

impl Compared {
    fn section(self, ours: &Searched, title: &str, about: &str) -> Section {
        let Self { columns, notes } = self;
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
        let rows = ours.classes.iter().map(row).collect();
        Section::Table(Table { title: title.to_owned(), about: about.to_owned(), heading, rows, notes })
    }
}

/// Builds one rival, and asks it everything while it stands still, and while it is written to.
fn measure(
    (name, build): (&'static str, Build),
    setting: &Setting<'_>,
    documents: &Documents<'_>,
    (queries, args): (&[Query], &Args),
    [still, written]: [&mut Compared; 2],
) -> Result<()> {
    let place = Place::new(args.scratch())?;
    let started = Instant::now();
    let mut rival = build(documents, &place)?;
    let bytes = mebibytes(rival.bytes()?);
    still.notes.push(format!("{name}: built in {:.1} s, {bytes}", started.elapsed().as_secs_f64()));
    still.columns.push((name, ask(&mut *rival, queries, args)?));
    if setting.writing == 0 {
        return Ok(());
    }
    let Some(writer) = rival.writer()? else {
        written.notes.push(format!("{name}: is not written to"));
        return Ok(());
    };
    let registry = Registry::new(setting, &documents.live, writer);
    match beside_at(registry, setting.writing, || ask(&mut *rival, queries, args)) {
        Ok((times, registered)) => {
            let files = grouped(registered.files);
            written
                .notes
                .push(format!("{name}: {files} files were registered meanwhile, {}", registered.told()));
            written.columns.push((name, times));
        }
        Err(error) => written.notes.push(format!("{name}: {error:#}")),
    }
    Ok(())
}

/// Asks a rival all queries, class by class.
fn ask(rival: &mut dyn Rival, queries: &[Query], args: &Args) -> Result<Times> {
    let mut times = Times::new();
    for class in Class::APART {
        let own: Vec<&Query> = queries.iter().filter(|query| query.class == class).collect();
        if own.is_empty() {
            continue;
        }
        if let Some(latencies) = rival.search(class, &own, args.class_limit())? {
            times.insert(class, latencies.sorted());
        }
    }
    Ok(times)
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
