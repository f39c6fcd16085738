//! The life of one want: found, given its turn, fetched, tried again, over.
//!
//! Invariant: it leaves the queue on the disk exactly when everything is there or can't ever be.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::StreamExt;
use peerage_wire::PIECE_BYTES;

use super::admit::Admitted;
use super::board::Board;
use super::items::{self, Fetching};
use super::news::{FileDone, News};
use super::resolve::{Item, Order, resolve};
use super::retry::{Attempts, Brought};
use super::store::Entry;
use super::trouble::{Cause, Trouble, is_passing, of_failures};
use super::{HEAVY_TURNS, Shared};
use crate::download::{Done, DownloadError};
use crate::index_client::IndexClient;
use crate::part::OutFolder;

/// Files in a row that can fail for a passing reason before the others are no longer tried: where the one source of
/// a folder of 10,000 files has gone, each would be waited for in vain.
const MISSES_MAX: usize = 8;

/// Sees one want through.
pub(super) async fn run(shared: &Arc<Shared>, board: &Board, mut admitted: Admitted) {
    let (want, id) = (admitted.want, admitted.id);
    let trouble = fulfil(shared, board, &mut admitted).await.err();
    let is_over = trouble.as_ref().is_none_or(|trouble| !trouble.stays);
    if is_over {
        let store = shared.store.clone();
        let _ = tokio::task::spawn_blocking(move || store.remove(id)).await;
    }
    board.tell(News::Over { want, trouble }).await;
}

async fn fulfil(shared: &Arc<Shared>, board: &Board, admitted: &mut Admitted) -> Result<(), Trouble> {
    let index = shared.client(&admitted.entry.ask.index)?;
    let order = find(board, &index, admitted).await?;
    let files = order.items.len();
    let bytes = order.items.iter().map(|item| item.size).sum();
    let resolved =
        News::Resolved { want: admitted.want, folder: order.folder.clone(), files: files as u64, bytes };
    remember(shared, &mut admitted.entry, &order).await?;
    board.tell(resolved).await;
    let output = admitted.entry.ask.output.clone();
    let folder = tokio::task::spawn_blocking(move || OutFolder::open(&output))
        .await
        .map_err(Trouble::failed)?
        .map_err(|error| Trouble::failed(error).hint("choose another folder with `-o`"))?;
    let with = Fetching {
        shared,
        board,
        want: admitted.want,
        index,
        folder,
        overwrite: admitted.entry.ask.overwrite,
        is_retry: false,
    };
    fetch_all(with, &order.items).await
}

/// What the words mean. What was never found is told at once, what was is looked for again.
async fn find(board: &Board, index: &IndexClient, admitted: &Admitted) -> Result<Order, Trouble> {
    let entry = &admitted.entry;
    let what = entry.pinned.as_ref().filter(|_| admitted.again).unwrap_or(&entry.ask.what);
    let mut attempts = Attempts::begin(Instant::now());
    loop {
        let trouble = match resolve(index, what).await {
            Ok(order) => return Ok(order),
            Err(trouble) => trouble,
        };
        if !entry.found {
            return Err(trouble);
        }
        let is_passing = matches!(trouble.cause, Cause::NotFound | Cause::Unreachable);
        let trouble = if is_passing { trouble.staying() } else { trouble };
        match attempts.failed(Brought::Nothing, chance(), Instant::now()) {
            Some(pause) if is_passing => wait(board, admitted.want, pause, &trouble.message).await,
            _ => return Err(trouble),
        }
    }
}

/// Keeps what the words mean, so that they mean the same when they are resumed.
async fn remember(shared: &Arc<Shared>, entry: &mut Entry, order: &Order) -> Result<(), Trouble> {
    let pinned = order.pin();
    if entry.found && entry.pinned == pinned {
        return Ok(());
    }
    entry.found = true;
    entry.pinned = pinned;
    let (store, entry) = (shared.store.clone(), entry.clone());
    tokio::task::spawn_blocking(move || store.put(&[entry])).await.map_err(Trouble::failed)?
}

async fn fetch_all(mut with: Fetching<'_>, items: &[Item]) -> Result<(), Trouble> {
    let mut left: BTreeSet<usize> = (0..items.len()).collect();
    let mut lost = Vec::new();
    let mut attempts = Attempts::begin(Instant::now());
    loop {
        let turn = with.shared.turns.acquire_many(turns_of(items)).await.map_err(Trouble::failed)?;
        let Attempt { missed, came_bytes } = attempt(&with, items, &mut left, &mut lost).await;
        drop(turn);
        let Some((_, last)) = missed.last() else { break };
        let brought = if came_bytes > 0 { Brought::Something } else { Brought::Nothing };
        let Some(pause) = attempts.failed(brought, chance(), Instant::now()) else {
            let untried = left.len() - missed.len();
            lost.extend(missed);
            return over(&lost, untried, items.len());
        };
        wait(with.board, with.want, pause, &last.to_string()).await;
        with.is_retry = true;
    }
    over(&lost, 0, items.len())
}

fn over(lost: &[(&Item, DownloadError)], untried: usize, files: usize) -> Result<(), Trouble> {
    of_failures(lost, untried, files).map_or(Ok(()), Err)
}

/// What one attempt left behind.
struct Attempt<'a> {
    /// Failed for a reason that may pass.
    missed: Vec<(&'a Item, DownloadError)>,
    came_bytes: u64,
}

/// Tries what is left. Files that are there, or can't ever be, are no longer left; the latter are `lost`.
async fn attempt<'a>(
    with: &Fetching<'_>,
    items: &'a [Item],
    left: &mut BTreeSet<usize>,
    lost: &mut Vec<(&'a Item, DownloadError)>,
) -> Attempt<'a> {
    let mut attempt = Attempt { missed: Vec::new(), came_bytes: 0 };
    let mut misses = 0;
    let mut results = std::pin::pin!(items::fetch(with, items, left.iter().copied().collect()));
    while let Some(items::Result { file, result, came_bytes }) = results.next().await {
        attempt.came_bytes += came_bytes;
        let (want, item) = (with.want, &items[file]);
        match result {
            Ok(done) => {
                misses = 0;
                left.remove(&file);
                with.board.tell(News::Done { want, file, done: told(item, done) }).await;
                continue;
            }
            Err(error) if is_passing(&error) => {
                misses += 1;
                attempt.missed.push((item, error));
            }
            Err(error) => {
                left.remove(&file);
                lost.push((item, error));
            }
        }
        with.board.tell(News::Stopped { want, file }).await;
        if misses >= MISSES_MAX {
            break;
        }
    }
    attempt
}

fn told(item: &Item, done: Done) -> FileDone {
    FileDone {
        path: done.path,
        size: done.size,
        hash: item.hash,
        seconds: done.elapsed.as_secs_f64(),
        sources_used: done.sources_used,
        resumed_bytes: done.resumed_bytes,
        already_there: done.already_there,
    }
}

fn turns_of(items: &[Item]) -> u32 {
    match items {
        [item] if item.size <= PIECE_BYTES => 1,
        _ => HEAVY_TURNS,
    }
}

async fn wait(board: &Board, want: usize, pause: Duration, why: &str) {
    let wait_millis = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
    board
        .tell(News::Retry { want, wait_millis, why: why.lines().next().unwrap_or_default().to_owned() })
        .await;
    tokio::time::sleep(pause).await;
}

/// Only spreads retries, so that a poor one does no harm.
fn chance() -> u32 {
    getrandom::u32().unwrap_or(u32::MAX / 2)
}
