//! Filling: every peer of the corpus comes and registers all it has, on several threads.
//!
//! Invariant: a peer's files are made, registered and dropped before the thread's next one's, so that memory holds the index and nothing
//! else.

use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};

use super::Setting;
use super::newcomers::Guest;
use super::store::Store;
use crate::corpus::Corpus;
use crate::latency::{grouped, rate};
use crate::report::{Facts, Section};
use crate::say;

/// How often it tells how far it is.
const NEWS: Duration = Duration::from_secs(10);
/// Files made to see how fast that goes.
const MADE: u64 = 200_000;

/// Fills the index with the whole corpus.
///
/// # Errors
/// When the index refuses something.
pub(crate) fn run(setting: &Setting<'_>, store: &Store) -> Result<Section> {
    let (corpus, index) = (setting.corpus, store.index());
    let peers = corpus.size().peers;
    let done = AtomicU64::new(0);
    let news = News::new(corpus.registrations());
    let started = Instant::now();
    each_peer(setting.writers, peers, |number| {
        let files = corpus.files(number, &corpus.listing(number));
        let mut guest = Guest::new(corpus.id(number), number, files);
        guest.come(&index)?;
        store.note(number, guest.id, guest.digest)?;
        news.tell(done.fetch_add(guest.files, Ordering::Relaxed) + guest.files);
        Ok(())
    })?;
    let (time, files) = (started.elapsed(), done.load(Ordering::Relaxed));
    let stats = index.stats()?;
    if stats.peers < peers || stats.files + files / 1_000 < files {
        bail!("the index holds {} files of {} peers after {files} of {peers}", stats.files, stats.peers);
    }
    Ok(Section::Facts(Facts {
        title: "fill".to_owned(),
        about: format!(
            "An empty index takes the whole corpus from {} threads, which make the files as well; rarely seen contents and known \
             ones as they come.",
            setting.writers
        ),
        rows: vec![
            ("files registered".to_owned(), grouped(files)),
            ("contents".to_owned(), grouped(stats.contents)),
            ("time".to_owned(), format!("{:.1} s", time.as_secs_f64())),
            ("files a second".to_owned(), rate(files, time)),
        ],
    }))
}

/// Does something for each peer, on several threads, until one fails.
///
/// # Errors
/// The first failure.
pub(crate) fn each_peer(threads: usize, peers: u64, act: impl Fn(u64) -> Result<()> + Sync) -> Result<()> {
    let next = AtomicU64::new(0);
    let work = || {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= peers {
                return Ok(());
            }
            if let Err(error) = act(number) {
                next.store(peers, Ordering::Relaxed); // the others stop as well
                return Err(error);
            }
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        threads.into_iter().try_for_each(|thread| match thread.join() {
            Ok(outcome) => outcome,
            Err(_) => bail!("a thread panicked"),
        })
    })
}

/// How long it takes to make some files' entries, without registering them.
pub(crate) fn making(corpus: &Corpus) -> (u64, Duration) {
    let (mut files, started) = (0, Instant::now());
    for peer in 0..corpus.size().peers {
        files += corpus.files(peer, &corpus.listing(peer)).len() as u64;
        if files >= MADE {
            break;
        }
    }
    (files, started.elapsed())
}

/// How long it takes to choose some peers' contents, without naming them.
pub(crate) fn choosing(corpus: &Corpus) -> (u64, Duration) {
    let (mut chosen, started) = (0, Instant::now());
    for peer in 0..corpus.size().peers {
        corpus.contents(peer, &corpus.listing(peer), |content, variant| {
            std::hint::black_box((content, variant));
            chosen += 1;
        });
        if chosen >= MADE {
            break;
        }
    }
    (chosen, started.elapsed())
}

/// Says now and then how far it is.
struct News {
    all: u64,
    started: Instant,
    last: Mutex<(Instant, u64)>,
}

impl News {
    fn new(all: u64) -> Self {
        let now = Instant::now();
        Self { all, started: now, last: Mutex::new((now, 0)) }
    }

    fn tell(&self, done: u64) {
        // Who finds it locked leaves it to the other.
        let Ok(mut last) = self.last.try_lock() else { return };
        let (then, before) = *last;
        if then.elapsed() < NEWS {
            return;
        }
        let now = rate(done.saturating_sub(before), then.elapsed());
        let mean = rate(done, self.started.elapsed());
        say(format_args!(
            "fill: {} of {} files, {now}/s now, {mean}/s so far",
            grouped(done),
            grouped(self.all)
        ));
        *last = (Instant::now(), done);
    }
}
