//! Tells a person, or a program, how their downloads go: from the queue's news to lines, bars and an exit code.
//!
//! Invariant: a want's outcome is told when it is over, whatever the others do; its files go to stdout, all else to
//! stderr.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use peerage_peer::queue::{Ask, FileDone, News, Trouble};
use peerage_wire::{ContentHash, format_bytes, shown};
use serde::Serialize;
use tokio::sync::mpsc;

use crate::failure::{Failure, Outcome, without_number};
use crate::print::{put, put_json, say};
use crate::progress::{Bars, Downloads};

/// What a want came to.
#[derive(Debug, Clone)]
pub(crate) struct Fetched {
    /// The file, or the folder that holds them.
    pub(crate) path: PathBuf,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Row<'a> {
    path: &'a Path,
    size: u64,
    hash: Option<ContentHash>,
    seconds: f64,
    sources_used: usize,
    /// Bytes that were there from before.
    #[serde(skip_serializing_if = "Option::is_none")]
    resumed_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
}

/// The onlooker of one request.
pub(crate) struct Watch {
    /// The output folder, and as it was typed: paths are told the way they were asked for.
    output: (PathBuf, PathBuf),
    json: bool,
    wants: BTreeMap<usize, Want>,
    downloads: Downloads,
    bars: Bars,
}

/// One want, as far as it was told.
struct Want {
    ask: Ask,
    folder: Option<String>,
    began: Instant,
    sum: Sum,
    over: Option<Result<Fetched, Failure>>,
}

/// The files of a want that are there.
#[derive(Default)]
struct Sum {
    new: usize,
    there: usize,
    bytes: u64,
    resumed_bytes: u64,
    sources_used: usize,
    path: Option<PathBuf>,
}

impl Watch {
    pub(crate) fn new(output: &Path, typed: &Path, json: bool) -> Self {
        let output = (output.to_owned(), typed.to_owned());
        Self { output, json, wants: BTreeMap::new(), downloads: Downloads::default(), bars: Bars::new() }
    }

    /// Follows the news to their end.
    pub(crate) async fn watch(mut self, mut news: mpsc::Receiver<News>) -> Outcome<Vec<Fetched>> {
        while let Some(news) = news.recv().await {
            self.hear(news)?;
        }
        self.outcome()
    }

    fn hear(&mut self, news: News) -> Outcome {
        let now = Instant::now();
        match news {
            News::Note { text } => self.say(&format!("note: {}", shown(&text))),
            News::Queued { want, ask } => self.queued(want, ask),
            News::Resolved { want, folder, files, bytes } => {
                self.downloads.resolved(want, files, bytes);
                if let Some(want) = self.wants.get_mut(&want) {
                    *want = Want { folder, ..Want::new(want.ask.clone()) };
                }
            }
            News::Began { want, file, name, size } => self.downloads.began((want, file), &name, size, now),
            News::Looks { files } => {
                self.downloads.looked(&files, now);
                self.show(now);
            }
            News::Done { want, file, done } => {
                let here_bytes = if done.already_there { done.size } else { done.resumed_bytes };
                self.downloads.done((want, file), done.size, done.size.saturating_sub(here_bytes));
                return self.file_done(want, &done);
            }
            News::Stopped { want, file } => self.downloads.stopped((want, file)),
            News::Retry { want, wait_millis, why } => {
                self.retry(want, Duration::from_millis(wait_millis), &why, now);
            }
            News::Over { want, trouble } => {
                self.downloads.over(want);
                return self.over(want, trouble);
            }
            News::Moved { text } => {
                self.downloads.moved();
                self.say(&format!("note: {}", shown(&text)));
            }
            News::Refused { trouble } => return Err(trouble.into()),
            News::End => {}
        }
        Ok(())
    }

    fn queued(&mut self, want: usize, ask: Ask) {
        self.wants.entry(want).or_insert_with(|| Want::new(ask));
    }

    fn show(&mut self, now: Instant) {
        let stalls = self.downloads.new_stalls(now);
        if self.bars.is_drawn() {
            self.bars.draw(&self.downloads.lines(Bars::width(), now));
        } else {
            stalls.iter().for_each(say);
        }
    }

    fn retry(&mut self, want: usize, pause: Duration, why: &str, now: Instant) {
        let Some(known) = self.wants.get(&want) else { return };
        let (what, why) = (known.ask.what.clone(), &without_number(why));
        self.downloads.paused(want, &what, why, pause, now);
        if !self.bars.is_drawn() {
            let seconds = pause.as_secs_f64();
            say(format_args!("{}: trying again in {seconds:.1} s: {}", shown(&what), shown(why)));
        }
    }

    fn file_done(&mut self, want: usize, done: &FileDone) -> Outcome {
        let path = self.typed(&done.path);
        if self.json {
            let &FileDone { size, hash, seconds, sources_used, resumed_bytes, .. } = done;
            let (hash, resumed_bytes) = (Some(hash), Some(resumed_bytes));
            let row = Row { path: &path, size, hash, seconds, sources_used, resumed_bytes, files: None };
            self.bars.above(|| put_json(&row))?;
        }
        if let Some(want) = self.wants.get_mut(&want) {
            want.sum.add(done, path);
        }
        Ok(())
    }

    /// A path below the output folder, the way that was typed.
    fn typed(&self, path: &Path) -> PathBuf {
        let (output, typed) = &self.output;
        path.strip_prefix(output).map_or_else(|_| path.to_owned(), |below| typed.join(below))
    }

    fn over(&mut self, number: usize, trouble: Option<Trouble>) -> Outcome {
        let Some(want) = self.wants.get(&number) else { return Ok(()) };
        let path = match (&want.folder, &want.sum.path) {
            (None, Some(path)) => path.clone(),
            (folder, _) => self.typed(&want.ask.output.join(folder.as_deref().unwrap_or_default())),
        };
        let told = want.tell(&path, self.json);
        self.bars.above(|| told.put())?;
        let outcome = trouble.map_or(Ok(Fetched { path }), |trouble| Err(Failure::from(trouble)));
        // A single failure is the command's own, and told by it.
        if let Err(failure) = &outcome
            && self.wants.len() > 1
        {
            self.say(&failure.to_string());
        }
        if let Some(want) = self.wants.get_mut(&number) {
            want.over = Some(outcome);
        }
        Ok(())
    }

    fn say(&self, line: &str) {
        self.bars.above(|| say(line));
    }

    fn outcome(self) -> Outcome<Vec<Fetched>> {
        self.bars.clear();
        let all = self.wants.len();
        let (mut fetched, mut failures) = (Vec::new(), Vec::new());
        for outcome in self.wants.into_values().filter_map(|want| want.over) {
            match outcome {
                Ok(one) => fetched.push(one),
                Err(failure) => failures.push(failure),
            }
        }
        match failures.len() {
            0 => Ok(fetched),
            1 if all == 1 => Err(failures.remove(0)),
            failed => {
                Err(Failure::new(failures[0].exit, format!("{failed} of {all} wants were not fetched whole")))
            }
        }
    }
}

impl Want {
    fn new(ask: Ask) -> Self {
        Self { ask, folder: None, began: Instant::now(), sum: Sum::default(), over: None }
    }

    /// What there is to tell of the files that are there.
    fn tell(&self, path: &Path, json: bool) -> Told {
        let files = self.sum.new + self.sum.there;
        let seconds = self.began.elapsed().as_secs_f64();
        match (files, json, &self.folder) {
            (0, false, _) | (_, true, None) => Told::Nothing,
            (_, true, Some(_)) => Told::Folder {
                path: path.to_owned(),
                size: self.sum.bytes,
                seconds,
                sources_used: self.sum.sources_used,
                files,
            },
            (_, false, folder) => Told::Words(
                self.sum.summary(folder.is_some(), seconds),
                shown(&path.to_string_lossy()).to_string(),
            ),
        }
    }
}

/// The last words on a want.
enum Told {
    Nothing,
    Words(String, String),
    Folder { path: PathBuf, size: u64, seconds: f64, sources_used: usize, files: usize },
}

impl Told {
    fn put(&self) -> Outcome {
        match self {
            Self::Nothing => Ok(()),
            Self::Words(summary, path) => {
                say(summary);
                put(path)
            }
            Self::Folder { path, size, seconds, sources_used, files } => put_json(&Row {
                path,
                size: *size,
                hash: None,
                seconds: *seconds,
                sources_used: *sources_used,
                resumed_bytes: None,
                files: Some(*files),
            }),
        }
    }
}

impl Sum {
    fn add(&mut self, done: &FileDone, path: PathBuf) {
        if done.already_there {
            self.there += 1;
        } else {
            self.new += 1;
        }
        self.bytes += done.size;
        self.resumed_bytes += done.resumed_bytes;
        self.sources_used = self.sources_used.max(done.sources_used);
        self.path.get_or_insert(path);
    }

    fn summary(&self, is_folder: bool, seconds: f64) -> String {
        let Self { new, there, .. } = self;
        let size = format_bytes(self.bytes);
        let time = humane(seconds);
        let resumed = match self.resumed_bytes {
            0 => String::new(),
            bytes => format!(", {} of it were here from before", format_bytes(bytes)),
        };
        let sources =
            if self.sources_used == 1 { "1 source" } else { &format!("{} sources", self.sources_used) };
        match (is_folder, there) {
            (false, 1) => format!("already here and proven: {size}"),
            (false, _) => format!("fetched and proven: {size} in {time} from {sources}{resumed}"),
            (true, 0) => format!("fetched and proven: {new} files, {size} in {time}{resumed}"),
            (true, there) => {
                format!("fetched and proven: {new} files; {there} were already here; {size} in all, {time}")
            }
        }
    }
}

fn humane(seconds: f64) -> String {
    match seconds {
        s if s < 10.0 => format!("{s:.2} s"),
        s if s < 120.0 => format!("{s:.0} s"),
        s => format!("{:.0} min", Duration::from_secs_f64(s).as_secs_f64() / 60.0),
    }
}
