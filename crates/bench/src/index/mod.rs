//! `index`: the index engine in this process, with a corpus of any size: filling, steady writing, classes of searches beside it,
//! new files, peers that leave and return, memory, a restart; and rivals with the same corpus and queries.
//!
//! Invariant: it uses nothing of the engine but `peerage_index::Index`.

mod churn;
mod classes;
mod fill;
mod fresh;
mod memory;
mod newcomers;
mod rates;
mod rivals;
mod search;
mod store;
mod writer;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;

use crate::corpus::{Corpus, Size};
use crate::latency::grouped;
use crate::report::{Facts, Section};
use crate::{machine, put, say};
pub(crate) use classes::{Class, Query, queries};
use newcomers::Newcomers;
use store::Store;
pub(crate) use store::{Saved, copy_store, saved};

/// The flags of `index`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Distinct contents.
    #[arg(long, default_value_t = 1_000_000, value_name = "N")]
    contents: u64,
    /// Files of all peers together; seven for each content when not given.
    #[arg(long, value_name = "N")]
    registrations: Option<u64>,
    /// Peers; one for each 200 files when not given.
    #[arg(long, value_name = "N")]
    peers: Option<u64>,
    /// What the corpus is made from: the same number, the same corpus.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Real names instead of made ones: a folder, or a list with a path a line.
    #[arg(long, value_name = "PATH")]
    names: Option<PathBuf>,
    /// Keep the index here, and restart it. Where it holds this corpus already, nothing is filled.
    #[arg(long, value_name = "DIR")]
    store: Option<PathBuf>,
    /// Fill the store and stop.
    #[arg(long, requires = "store")]
    fill_only: bool,
    /// Only these classes of searches; otherwise all but known files.
    #[arg(long, value_delimiter = ',', value_enum, value_name = "CLASS")]
    class: Vec<Class>,
    /// Searches of each class.
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    searches: usize,
    /// No class is searched for longer than this.
    #[arg(long, default_value_t = 60, value_name = "SECONDS")]
    class_secs: u64,
    /// Registrations a second meanwhile; 0 for none.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    writing: u64,
    /// Threads that register when as much as possible is registered.
    #[arg(long, default_value_t = 4, value_name = "N")]
    writers: usize,
    /// Files registered in turn by each measurement of rates.
    #[arg(long, default_value_t = 400_000, value_name = "N")]
    rate_files: u64,
    /// New files that are searched for at once.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    fresh: u64,
    /// Files of the peer that leaves and returns.
    #[arg(long, default_value_t = 10_000, value_name = "N")]
    churn_files: u64,
    /// Measure tantivy, SQLite FTS5 and PostgreSQL as well (needs `--features rivals`).
    #[arg(long)]
    rivals: bool,
    /// Only rivals whose names contain one of these words.
    #[arg(long, value_delimiter = ',', value_name = "WORD")]
    only: Vec<String>,
    /// Few searches and short phases: does everything work?
    #[arg(long)]
    quick: bool,
    /// Write a report in Markdown as well.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
    /// Where rivals keep their files.
    #[arg(long, default_value = "/var/tmp", value_name = "DIR")]
    scratch: PathBuf,
}

/// How to read the tables.
const ABOUT: &str = "Everything runs in one process on the machine above, the engine with what registers and searches. MiB and GiB are \
     powers of two.\nA search asks for the 50 contents with the most live sources among those that match.\n";

/// What every measurement is given.
pub(crate) struct Setting<'a> {
    pub(crate) corpus: &'a Corpus,
    /// The numbers of peers and contents that are not of the corpus.
    pub(crate) newcomers: &'a Newcomers,
    /// Threads that register.
    pub(crate) writers: usize,
    /// Registrations a second beside the searches.
    pub(crate) writing: u64,
}

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(!args.rivals || rivals::ARE_BUILT_IN, "rivals are not built in: build with `--features rivals`");
    let args = &args.quickened();
    let started = Instant::now();
    let corpus = args.corpus()?;
    let mut report = Report::default();
    report.add(&about_corpus(&corpus, started.elapsed()));
    let (mut store, found) = Store::open(args.store.as_deref(), &args.identity(), &corpus)?;
    let newcomers = Newcomers::new(&corpus);
    let setting = Setting {
        corpus: &corpus,
        newcomers: &newcomers,
        writers: args.writers.max(1),
        writing: args.writing,
    };
    let memory = memory::Before::fill();
    report.add(&match found {
        store::Found::Empty => fill::run(&setting, &store)?,
        store::Found::Corpus => store.all_return(&setting)?,
    });
    store.filled()?;
    if !args.fill_only {
        measure(args, &setting, &memory, &mut store, &mut report)?;
    }
    report.add(&store.restart(&setting)?);
    report.write(args)
}

fn measure(
    args: &Args,
    setting: &Setting<'_>,
    memory: &memory::Before,
    store: &mut Store,
    report: &mut Report,
) -> Result<()> {
    let index = store.index();
    report.add(&memory.after(&index, "memory after filling")?);
    let classes = if args.class.is_empty() { Class::APART.to_vec() } else { args.class.clone() };
    let queries = classes::queries(setting.corpus, &classes, args.searches);
    let ours = search::run(setting, &index, &queries, Duration::from_secs(args.class_secs))?;
    report.add(&search::section(&ours));
    report.add(&fresh::run(setting, &index, args.fresh)?);
    report.add(&churn::run(setting, &index, args.churn_files)?);
    // After the searches: what so many registrations in a second leave to be merged is not what the writer beside them leaves.
    report.add(&rates::run(setting, &index, args.rate_files)?);
    report.add(&memory.after(&index, "memory in the end")?);
    if args.rivals {
        rivals::run(setting, &queries, &ours, args)?.iter().for_each(|section| report.add(section));
    }
    Ok(())
}

impl Args {
    /// What a quick run comes to.
    fn quickened(&self) -> Self {
        let few = |many: u64, few: u64| if self.quick { many.min(few) } else { many };
        Self {
            contents: self.contents,
            registrations: self.registrations,
            peers: self.peers,
            seed: self.seed,
            names: self.names.clone(),
            store: self.store.clone(),
            fill_only: self.fill_only,
            class: self.class.clone(),
            searches: if self.quick { self.searches.min(20) } else { self.searches },
            class_secs: few(self.class_secs, 2),
            writing: self.writing,
            writers: self.writers,
            rate_files: few(self.rate_files, 2_000),
            fresh: few(self.fresh, 20),
            churn_files: self.churn_files,
            rivals: self.rivals,
            only: self.only.clone(),
            quick: self.quick,
            report: self.report.clone(),
            scratch: self.scratch.clone(),
        }
    }

    fn size(&self) -> Size {
        let registrations = self.registrations.unwrap_or(7 * self.contents);
        Size {
            contents: self.contents,
            registrations,
            peers: self.peers.unwrap_or(registrations / 200).max(2),
        }
    }

    fn corpus(&self) -> Result<Corpus> {
        let size = self.size();
        ensure!(size.contents >= 100, "a corpus has at least 100 contents");
        ensure!(size.registrations >= size.contents, "every content is registered at least once");
        ensure!(size.contents <= u64::from(u32::MAX), "a corpus has at most 2^32 contents");
        match &self.names {
            Some(path) => Corpus::real(self.seed, size, path),
            None => Ok(Corpus::made(self.seed, size)),
        }
    }

    /// What tells whether a store holds this corpus.
    fn identity(&self) -> store::Identity {
        store::Identity { seed: self.seed, size: self.size(), names: self.names.clone() }
    }

    /// Whether a rival takes part.
    #[cfg(feature = "rivals")]
    pub(crate) fn wants(&self, rival: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|word| rival.contains(word.as_str()))
    }

    /// Where rivals keep their files.
    #[cfg(feature = "rivals")]
    pub(crate) fn scratch(&self) -> &std::path::Path {
        &self.scratch
    }

    /// How long a class may be searched.
    #[cfg(feature = "rivals")]
    pub(crate) fn class_limit(&self) -> Duration {
        Duration::from_secs(self.class_secs)
    }
}

/// Tables, printed as soon as they are there.
#[derive(Default)]
struct Report {
    text: String,
}

impl Report {
    fn add(&mut self, section: &Section) {
        put(section.plain());
        self.text.push_str(&section.markdown());
    }

    fn write(self, args: &Args) -> Result<()> {
        let Some(path) = &args.report else { return Ok(()) };
        let head = machine::head("The index engine", ABOUT, &rivals::tools(args));
        std::fs::write(path, head + &self.text)
            .with_context(|| format!("can't write `{}`", path.display()))?;
        say(format_args!("the report is in `{}`", path.display()));
        Ok(())
    }
}

/// What is registered, and how fast it can be made.
fn about_corpus(corpus: &Corpus, made_in: Duration) -> Section {
    let (files, time) = fill::making(corpus);
    let (chosen, choosing) = fill::choosing(corpus);
    let size = corpus.size();
    let sample = classes::Sample::of(corpus);
    let per =
        |time: Duration, count: u64| format!("{:.3} µs", time.as_secs_f64() * 1e6 / count.max(1) as f64);
    Section::Facts(Facts {
        title: "corpus".to_owned(),
        about: "What is registered. Making it is part of the time to fill, but of no other figure."
            .to_owned(),
        rows: vec![
            ("contents".to_owned(), grouped(size.contents)),
            ("files of all peers".to_owned(), grouped(corpus.registrations())),
            ("peers".to_owned(), grouped(size.peers)),
            ("bytes a path".to_owned(), format!("{:.1}", sample.bytes_mean())),
            ("words a path".to_owned(), format!("{:.1}", sample.words_mean())),
            ("ready after".to_owned(), format!("{:.2} s", made_in.as_secs_f64())),
            ("choosing a peer's contents, each".to_owned(), per(choosing, chosen)),
            ("making a file's entry, each".to_owned(), per(time, files)),
        ],
    })
}
