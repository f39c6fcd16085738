//! Fetches the items of an order, several at once, shows how far it is, and says what became of each.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, StreamExt, stream};
use serde::Serialize;

use peerage_peer::download::{Done, DownloadError, FindError, Sources, Want, download};
use peerage_peer::index_client::IndexClient;
use peerage_peer::part::OutFolder;
use peerage_peer::progress::Progress;
use peerage_peer::swarm::Pool;
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PIECE_BYTES, format_bytes, shown};

use super::Fetch;
use super::resolve::{Item, Order};
use crate::failure::{Exit, Failure, Outcome};
use crate::print::{put, put_json, say};
use crate::progress::Gauge;

/// Files fetched at the same time: as many as one source gives slots to one peer.
const AT_ONCE: usize = peerage_wire::limits::UPLOAD_SLOTS_PER_PEER;
/// Failures of a folder's files that are told one by one.
const FAILURES_TOLD: usize = 5;

/// What an order came to.
#[derive(Debug)]
pub(crate) struct Fetched {
    /// The file, or the folder that holds them.
    pub(crate) path: PathBuf,
    pub(crate) files: usize,
    pub(crate) bytes: u64,
    pub(crate) seconds: f64,
    pub(crate) sources_used: usize,
}

/// A line of `--json`.
#[derive(Serialize)]
struct Row<'a> {
    path: &'a std::path::Path,
    size: u64,
    hash: Option<ContentHash>,
    seconds: f64,
    sources_used: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    files: Option<usize>,
}

/// Fetches everything an order names. A file that fails does not stop the others.
pub(crate) async fn fetch(with: &Fetch, order: Order) -> Outcome<Fetched> {
    let started = Instant::now();
    let folder = Arc::new(
        OutFolder::open(&with.output)
            .map_err(|error| Failure::failed(error).hint("choose another folder with `-o`"))?,
    );
    let pool = Arc::new(Pool::new(Arc::clone(&with.identity)));
    let gauge = Gauge::start(order.items.len(), order.items.iter().map(|item| item.size).sum());
    let done: Mutex<Vec<(ContentHash, Done)>> = Mutex::default();
    let failures: Mutex<Vec<(Item, DownloadError)>> = Mutex::default();
    let work = stream::iter(order.items).map(|item| {
        let (pool, folder, gauge, done, failures) = (&pool, &folder, &gauge, &done, &failures);
        async move {
            let progress = gauge.begin(&item.path);
            match fetch_one(with, &item, pool, folder, &progress).await {
                Ok(file) => lock(done).push((item.hash, file)),
                Err(error) => lock(failures).push((item, error)),
            }
            gauge.end(&progress);
        }
    });
    work.buffer_unordered(AT_ONCE).for_each(|()| async {}).await;
    gauge.finish();
    let done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    let failures = failures.into_inner().unwrap_or_else(PoisonError::into_inner);
    let fetched = Fetched {
        path: match (&order.folder, done.first()) {
            (None, Some((_, file))) => file.path.clone(),
            (folder, _) => with.output.join(folder.as_deref().unwrap_or_default()),
        },
        files: done.len(),
        bytes: done.iter().map(|(_, file)| file.size).sum(),
        seconds: started.elapsed().as_secs_f64(),
        sources_used: done.iter().map(|(_, file)| file.sources_used).max().unwrap_or_default(),
    };
    tell(with, order.folder.is_some(), &done, &fetched)?;
    if failures.is_empty() { Ok(fetched) } else { Err(told(&failures, done.len())) }
}

async fn fetch_one(
    with: &Fetch,
    item: &Item,
    pool: &Arc<Pool>,
    folder: &OutFolder,
    progress: &Progress,
) -> Result<Done, DownloadError> {
    let want = Want { hash: item.hash, size: item.size, path: item.path.clone(), overwrite: with.overwrite };
    let sources = Known { first: Mutex::new(first_sources(item)), index: with.client.clone() };
    download(&want, &sources, pool, folder, progress).await
}

/// The owner that was named is enough for a small file. A larger one is worth a question for more sources.
fn first_sources(item: &Item) -> Option<Vec<Source>> {
    (item.size <= PIECE_BYTES && !item.sources.is_empty()).then(|| item.sources.clone())
}

/// Sources known from the listing first; the index when they are not enough.
struct Known {
    first: Mutex<Option<Vec<Source>>>,
    index: IndexClient,
}

impl Sources for Known {
    fn find<'a>(&'a self, hash: &'a ContentHash) -> BoxFuture<'a, Result<Vec<Source>, FindError>> {
        match lock(&self.first).take() {
            Some(sources) => std::future::ready(Ok(sources)).boxed(),
            None => self.index.find(hash),
        }
    }
}

fn tell(with: &Fetch, is_folder: bool, done: &[(ContentHash, Done)], fetched: &Fetched) -> Outcome {
    if with.json {
        for (hash, file) in done {
            put_json(&Row {
                path: &file.path,
                size: file.size,
                hash: Some(*hash),
                seconds: file.elapsed.as_secs_f64(),
                sources_used: file.sources_used,
                files: None,
            })?;
        }
        if is_folder {
            let Fetched { path, files, bytes, seconds, sources_used } = fetched;
            let (size, seconds, sources_used) = (*bytes, *seconds, *sources_used);
            put_json(&Row { path, size, hash: None, seconds, sources_used, files: Some(*files) })?;
        }
        return Ok(());
    }
    if done.is_empty() {
        return Ok(());
    }
    say(summary(is_folder, done, fetched));
    put(shown(&fetched.path.to_string_lossy()))
}

fn summary(is_folder: bool, done: &[(ContentHash, Done)], fetched: &Fetched) -> String {
    let there = done.iter().filter(|(_, file)| file.already_there).count();
    let new = done.len() - there;
    let size = format_bytes(fetched.bytes);
    let time = humane(fetched.seconds);
    let resumed: u64 = done.iter().map(|(_, file)| file.resumed_bytes).sum();
    let resumed = match resumed {
        0 => String::new(),
        bytes => format!(", {} of it were here from before", format_bytes(bytes)),
    };
    let sources =
        if fetched.sources_used == 1 { "1 source" } else { &format!("{} sources", fetched.sources_used) };
    match (is_folder, there) {
        (false, 1) => format!("already here and proven: {size}"),
        (false, _) => format!("fetched and proven: {size} in {time} from {sources}{resumed}"),
        (true, 0) => format!("fetched and proven: {new} files, {size} in {time}{resumed}"),
        (true, there) => {
            format!("fetched and proven: {new} files; {there} were already here; {size} in all, {time}")
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

/// The failures as one: each told up to a number, the exit code that of the gravest.
fn told(failures: &[(Item, DownloadError)], done: usize) -> Failure {
    let gravest = failures.iter().map(|(_, error)| error).max_by_key(|error| exit_of(error));
    let hint = gravest.map(DownloadError::hint).unwrap_or_default();
    let exit = gravest.map_or(Exit::Failed, exit_of);
    if let [(item, error)] = failures
        && done == 0
    {
        return Failure::new(exit, format!("`{}` was not fetched: {error}", shown(item.path.as_str())))
            .hint(hint);
    }
    let mut lines: Vec<String> = failures
        .iter()
        .take(FAILURES_TOLD)
        .map(|(item, error)| format!("{}: {error}", shown(item.path.as_str())))
        .collect();
    if failures.len() > FAILURES_TOLD {
        lines.push(format!("and {} more", failures.len() - FAILURES_TOLD));
    }
    let (failed, all) = (failures.len(), failures.len() + done);
    Failure::new(exit, format!("{failed} of {all} files were not fetched:\n{}", lines.join("\n"))).hint(hint)
}

fn exit_of(error: &DownloadError) -> Exit {
    match error {
        DownloadError::NoSource { .. } => Exit::NotFound,
        DownloadError::Index(_) | DownloadError::Unreachable { .. } | DownloadError::Busy { .. } => {
            Exit::Unreachable
        }
        DownloadError::Refused { .. } => Exit::Refused,
        DownloadError::Corrupt { .. } => Exit::Corrupt,
        DownloadError::Disk(_) | DownloadError::NotStorable(_) | DownloadError::Internal(_) => Exit::Failed,
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
