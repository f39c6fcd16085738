//! `load`: a real `peerage index` under the sessions of many peers and the searches of many clients, over HTTP.
//!
//! Invariant: what the clients send is made, signed as far as it can be, and packed before the clock starts, since they share the machine with
//! the index; what they used of it is told beside what the index used.

mod line;
mod people;
mod phases;

use std::path::PathBuf;
use std::rc::Rc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use clap::Args as ClapArgs;
use tokio::task::LocalSet;

use crate::contender::peerage;
use crate::corpus::{Corpus, Size, index};
use crate::daemon::Daemon;
use crate::family::binary;
use crate::index::{Class, queries};
use crate::latency::{Latencies, grouped, rate};
use crate::place::Place;
use crate::report::{Facts, Section, Table, mebibytes};
use crate::tools::Tool;
use crate::{machine, process, put, say};
use people::People;
use phases::{Crowd, Outcome, Steady};

/// The flags of `load`.
#[derive(Debug, ClapArgs)]
pub(crate) struct Args {
    /// Peers that come.
    #[arg(long, default_value_t = 5_000, value_name = "N")]
    peers: u64,
    /// Files of each on average.
    #[arg(long, default_value_t = 200, value_name = "N")]
    files: u64,
    /// Distinct contents; a seventh of all files when not given.
    #[arg(long, value_name = "N")]
    contents: Option<u64>,
    /// How long searches last, and heartbeats.
    #[arg(long, default_value_t = 30, value_name = "SECONDS")]
    secs: u64,
    /// Clients that search, each on a connection of its own, as fast as they are answered.
    #[arg(long, default_value_t = 32, value_name = "N")]
    clients: usize,
    /// Connections that the peers use.
    #[arg(long, default_value_t = 64, value_name = "N")]
    connections: usize,
    /// Registrations a second while searches last.
    #[arg(long, default_value_t = 20_000, value_name = "N")]
    writing: u64,
    /// Hits that a search asks for.
    #[arg(long, default_value_t = peerage_wire::limits::HITS_DEFAULT, value_name = "N")]
    hits: usize,
    /// Only these classes of searches, all at once; otherwise the ten others, and then known files alone.
    #[arg(long, value_delimiter = ',', value_enum, value_name = "CLASS")]
    class: Vec<Class>,
    /// What the corpus is made from.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// The folder of a store that `index --store` filled: a copy of it is served, in the scratch folder. Its peers return with
    /// heartbeats, as many as asked for at most, and register nothing.
    #[arg(long, value_name = "DIR")]
    saved: Option<PathBuf>,
    /// Another argument for `peerage index`; may be given several times.
    #[arg(long, value_name = "ARG", allow_hyphen_values = true)]
    index_arg: Vec<String>,
    /// The binary to measure; built from this source when not given.
    #[arg(long, value_name = "PATH")]
    peerage: Option<PathBuf>,
    /// Where the index's home is.
    #[arg(long, default_value = "/var/tmp", value_name = "DIR")]
    scratch: PathBuf,
    /// Write a report in Markdown as well.
    #[arg(long, value_name = "FILE")]
    report: Option<PathBuf>,
}

/// How to read the tables.
const ABOUT: &str = "The index and its clients share the machine above; the clients are one thread of the bench. MiB are powers of two.\n";
/// Searches of each class that are made before and then sent again and again; of known files alone as many as of the ten others.
const SEARCHES: usize = 500;

pub(crate) fn run(args: &Args) -> Result<()> {
    ensure!(
        args.peers > 1 && args.files > 0 && args.connections > 0,
        "there must be peers with files and connections"
    );
    let program = binary(args.peerage.as_deref())?;
    let place = Place::new(&args.scratch)?;
    say("load: making what is sent");
    let made = Instant::now();
    let (corpus, people) = args.people()?;
    let mixes = args.mixes(&corpus);
    drop(corpus);
    let made = made.elapsed();
    let home = place.folder(peerage::INDEX_HOME)?;
    if let Some(dir) = &args.saved {
        say("load: copying the store");
        crate::index::copy_store(dir, &home.join("index"))?;
    }
    let extra: Vec<&str> = args.index_arg.iter().map(String::as_str).collect();
    let (index, url) = peerage::index_with(&program, "127.0.0.1:0", place.path(), &extra)?;
    let authority = url.strip_prefix("http://").context("the index tells another URL")?.to_owned();
    let crowd = Rc::new(Crowd { authority, people, connections: args.connections });
    let mut book = Book::new(&index);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    LocalSet::new().block_on(&runtime, drive(args, &crowd, mixes, &mut book))?;
    let sections = [book.table(), book.facts(&crowd, made)];
    sections.iter().for_each(|section| put(section.plain()));
    let Some(path) = &args.report else { return Ok(()) };
    let head = machine::head("The index over HTTP", ABOUT, &[Tool::new(&program, "--version")]);
    let text: String = sections.iter().map(Section::markdown).collect();
    std::fs::write(path, head + &text).with_context(|| format!("can't write `{}`", path.display()))
}

async fn drive(args: &Args, crowd: &Rc<Crowd>, mixes: Vec<Mix>, book: &mut Book) -> Result<()> {
    let secs = Duration::from_secs(args.secs);
    say("load: sessions");
    book.note("sessions opened (two requests each)", phases::sessions(crowd).await?);
    if args.saved.is_some() {
        say("load: returning");
        book.note("peers back by a heartbeat", phases::heartbeats(crowd, None).await?);
    } else {
        say("load: registering");
        let registered = phases::register(crowd, crowd.people.first()).await?;
        book.note_files("files registered (times are of batches)", registered.batches, registered.files);
        book.note_part("– announcements meanwhile", registered.announced);
    }
    book.look("after that");
    let mut newcomers = crowd.people.later();
    for Mix { title, searches } in mixes {
        say(format!("load: {title}"));
        let come = newcomers.start..newcomers.end.min(newcomers.start + args.newcomers());
        newcomers.start = come.end;
        let steady =
            Steady { clients: args.clients, time: secs, searches, writing: args.writing, newcomers: come };
        book.note_searches(title, phases::steady(crowd, &steady).await?);
    }
    say("load: heartbeats");
    book.note("heartbeats", phases::heartbeats(crowd, Some(secs.min(MOST_BEATING))).await?);
    book.look("in the end");
    say("load: leaving");
    book.note("peers left", phases::leave(crowd).await?);
    Ok(())
}

/// Heartbeats as fast as they are answered need not last longer to be known.
const MOST_BEATING: Duration = Duration::from_secs(10);

impl Args {
    /// How many come in all while others search: their sessions are opened with everybody's.
    fn later(&self) -> u64 {
        let mixes = if self.class.is_empty() { 2 } else { 1 };
        (self.newcomers() * mixes) as u64
    }

    fn people(&self) -> Result<(Corpus, People)> {
        if let Some(dir) = &self.saved {
            let saved = crate::index::saved(dir)?;
            let corpus = saved.corpus()?;
            let people = People::saved(&corpus, &saved, (self.peers, self.later()))?;
            return Ok((corpus, people));
        }
        let registrations = self.peers * self.files;
        let contents = self.contents.unwrap_or(registrations / 7).max(100);
        ensure!(contents <= registrations, "there are more contents than files");
        let corpus = Corpus::made(self.seed, Size { contents, registrations, peers: self.peers });
        let people = People::made(&corpus, self.later())?;
        Ok((corpus, people))
    }

    /// How many come while others search for something.
    fn newcomers(&self) -> usize {
        index((self.writing * self.secs).div_ceil(people::LATER_FILES))
    }

    /// What is searched for, one after the other.
    fn mixes(&self, corpus: &Corpus) -> Vec<Mix> {
        let mix = |title, classes: &[Class], searches| Mix {
            title,
            searches: Rc::new(self.searches(corpus, classes, searches)),
        };
        match self.class.as_slice() {
            [] => vec![
                mix("searches of ten classes", &Class::APART, SEARCHES),
                mix("searches for known files", &[Class::KnownFile], SEARCHES * Class::APART.len()),
            ],
            classes => vec![mix("searches", classes, SEARCHES)],
        }
    }

    /// Requests for so many searches of each class, ready to be sent.
    fn searches(&self, corpus: &Corpus, classes: &[Class], count: usize) -> Vec<(Class, String)> {
        let with_hits = |params: peerage_wire::api::SearchParams| peerage_wire::api::SearchParams {
            limit: Some(self.hits),
            ..params
        };
        let target = |query: &crate::index::Query| {
            let params = serde_urlencoded::to_string(with_hits(query.params())).unwrap_or_default();
            (query.class, format!("/api/v1/search?{params}"))
        };
        queries(corpus, classes, count).iter().map(target).collect()
    }
}

/// Searches that are sent again and again.
struct Mix {
    title: &'static str,
    searches: Rc<Vec<(Class, String)>>,
}

/// Requests of one kind, one after the other on several connections.
#[derive(Default)]
pub(crate) struct Tally {
    pub(crate) times: Latencies,
    pub(crate) time: Duration,
}

/// What was done, and what it cost.
struct Book {
    index: u32,
    rows: Vec<Vec<String>>,
    facts: Vec<(String, String)>,
    index_cpu: Duration,
    own_cpu: Duration,
}

impl Book {
    fn new(index: &Daemon) -> Self {
        let mut book = Self {
            index: index.id(),
            rows: Vec::new(),
            facts: Vec::new(),
            index_cpu: Duration::ZERO,
            own_cpu: Duration::ZERO,
        };
        book.spent();
        book.look("before");
        book
    }

    /// CPU time of the index and of the clients since it was asked last.
    fn spent(&mut self) -> (Duration, Duration) {
        let (index, all) = (process::cpu(&[self.index]), process::cpu(&[std::process::id()]));
        let own = all.saturating_sub(index);
        let spent = (index.saturating_sub(self.index_cpu), own.saturating_sub(self.own_cpu));
        (self.index_cpu, self.own_cpu) = (index, own);
        spent
    }

    fn note(&mut self, what: &str, tally: Tally) {
        let count = tally.times.len() as u64;
        self.note_files(what, tally, count);
    }

    /// With another count than that of the requests.
    fn note_files(&mut self, what: &str, tally: Tally, count: u64) {
        let (index, own) = self.spent();
        let mut row = vec![what.to_owned(), grouped(count), rate(count, tally.time)];
        row.extend(tally.times.sorted().cells());
        row.extend([index, own].map(|cpu| format!("{:.2}", cpu.as_secs_f64())));
        self.rows.push(row);
    }

    /// A part of the requests of the row before.
    fn note_part(&mut self, what: &str, times: Latencies) {
        let mut row = vec![what.to_owned(), grouped(times.len() as u64), String::new()];
        row.extend(times.sorted().cells());
        row.extend([String::new(), String::new()]);
        self.rows.push(row);
    }

    /// Searches, and what went on meanwhile.
    fn note_searches(&mut self, title: &str, outcome: Outcome) {
        let bytes = outcome.answer_bytes / outcome.searches.times.len().max(1) as u64;
        let time = outcome.searches.time;
        self.facts.extend([
            (format!("{title}: bytes of an answer, mean"), grouped(bytes)),
            (format!("{title}: files registered meanwhile, a second"), rate(outcome.files, time)),
            (format!("{title}: heartbeats meanwhile, a second"), rate(outcome.beats, time)),
        ]);
        self.note(title, outcome.searches);
        if outcome.classes.len() > 1 {
            for (class, times) in outcome.classes {
                self.note_part(&format!("– {}", class.title()), times);
            }
        }
    }

    fn look(&mut self, when: &str) {
        let resident = process::resident_bytes(&[self.index]);
        self.facts.push((format!("memory of the index, {when}"), mebibytes(resident)));
    }

    fn table(&self) -> Section {
        let heading = [
            "what",
            "count",
            "a second",
            "p50 ms",
            "p99 ms",
            "max ms",
            "CPU s of the index",
            "of the clients",
        ];
        Section::Table(Table {
            title: "load".to_owned(),
            about: "Phases one after the other. Goals: 100,000 files a second; 15,000 searches a second, p99 10 ms.".to_owned(),
            heading: heading.map(str::to_owned).to_vec(),
            rows: self.rows.clone(),
            notes: Vec::new(),
        })
    }

    fn facts(mut self, crowd: &Crowd, made: Duration) -> Section {
        self.facts.extend([
            ("peers".to_owned(), grouped(crowd.people.len() as u64)),
            ("what is sent was made in".to_owned(), format!("{:.1} s", made.as_secs_f64())),
            ("bytes of a file in a packed batch".to_owned(), format!("{:.1}", crowd.people.packed_mean())),
        ]);
        Section::Facts(Facts {
            title: "load, more".to_owned(),
            about: "Memory of the index's process, and what was sent.".to_owned(),
            rows: self.facts,
        })
    }
}
