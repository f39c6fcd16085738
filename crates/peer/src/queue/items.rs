//! Where the files of one want are fetched: a list of items in, a result for each out, as it comes.
//!
//! Invariant: this is the only place that calls [`download`] and [`download_bundles`].

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PeerId};

use super::board::Board;
use super::news::News;
use super::resolve::Item;
use super::{Shared, lock};
use crate::download::{
    Done, DownloadError, FindError, SMALL_BYTES_MAX, Sources, Want, download, download_bundles,
};
use crate::index_client::IndexClient;
use crate::part::OutFolder;

/// Files of one want that are fetched at the same time: as many as one source gives slots to one peer.
const FILES_AT_ONCE: usize = peerage_wire::limits::UPLOAD_SLOTS_PER_PEER;

/// What the items of a want have in common.
pub(super) struct Fetching<'a> {
    pub(super) shared: &'a Shared,
    pub(super) board: &'a Board,
    pub(super) want: usize,
    pub(super) index: IndexClient,
    pub(super) folder: OutFolder,
    pub(super) overwrite: bool,
    /// Whether who was named with an item has failed before, so that the index is asked first.
    pub(super) is_retry: bool,
}

/// How one item went.
pub(super) struct Result {
    /// Its number in the order.
    pub(super) file: usize,
    pub(super) result: std::result::Result<Done, DownloadError>,
    /// Bytes that came, whether or not it is finished.
    pub(super) came_bytes: u64,
}

/// Fetches the items with these numbers: the small ones of one source many at a time, and the others, with whatever did not
/// come that way, one by one. Dropping the stream stops what is not finished, and keeps its parts.
pub(super) fn fetch<'a>(
    with: &'a Fetching<'a>,
    items: &'a [Item],
    files: Vec<usize>,
) -> impl Stream<Item = Result> + 'a {
    let (small, single) = sort(with, items, files);
    let bundles = stream::iter(small).flat_map(move |(source, files)| {
        let wants = files.into_iter().map(|file| (file, wanted(with, &items[file]))).collect();
        download_bundles(wants, source, Arc::clone(&with.shared.pool), with.folder.clone())
    });
    bundles
        .flat_map(stream::iter)
        .chain(stream::iter(single).map(|file| (file, None)))
        .map(move |(file, done)| settle(with, file, &items[file], done))
        .buffer_unordered(FILES_AT_ONCE)
}

/// What is fetched together, by source, and what is fetched alone.
fn sort(with: &Fetching<'_>, items: &[Item], files: Vec<usize>) -> (Vec<(Source, Vec<usize>)>, Vec<usize>) {
    let mut small: BTreeMap<PeerId, (Source, Vec<usize>)> = BTreeMap::new();
    let mut single = Vec::new();
    for file in files {
        match first_sources(with, &items[file]).as_deref().and_then(<[Source]>::first) {
            Some(source) => {
                small.entry(source.peer).or_insert_with(|| (source.clone(), Vec::new())).1.push(file);
            }
            None => single.push(file),
        }
    }
    let (alone, together): (Vec<_>, Vec<_>) = small.into_values().partition(|(_, files)| files.len() == 1);
    single.extend(alone.into_iter().flat_map(|(_, files)| files));
    (together, single)
}

/// Says what came of an item in a bundle, or fetches it.
async fn settle(with: &Fetching<'_>, file: usize, item: &Item, done: Option<Done>) -> Result {
    let Some(done) = done else { return fetch_one(with, file, item).await };
    with.board.tell(began(with, file, item)).await;
    Result { file, result: Ok(done), came_bytes: item.size }
}

async fn fetch_one(with: &Fetching<'_>, file: usize, item: &Item) -> Result {
    let place = with.board.begin(with.want, file);
    with.board.tell(began(with, file, item)).await;
    let sources = Known { first: Mutex::new(first_sources(with, item)), index: with.index.clone() };
    let want = wanted(with, item);
    let result = download(&want, &sources, &with.shared.pool, &with.folder, &place.progress).await;
    let snapshot = place.progress.snapshot();
    Result { file, result, came_bytes: snapshot.done_bytes.saturating_sub(snapshot.resumed_bytes) }
}

fn began(with: &Fetching<'_>, file: usize, item: &Item) -> News {
    News::Began { want: with.want, file, name: item.path.as_str().to_owned(), size: item.size }
}

fn wanted(with: &Fetching<'_>, item: &Item) -> Want {
    Want { hash: item.hash, size: item.size, path: item.path.clone(), overwrite: with.overwrite }
}

/// The owner that was named is enough for a small file. A larger one is worth a question for more sources.
fn first_sources(with: &Fetching<'_>, item: &Item) -> Option<Arc<[Source]>> {
    let is_enough = item.size <= SMALL_BYTES_MAX && !item.sources.is_empty() && !with.is_retry;
    is_enough.then(|| Arc::clone(&item.sources))
}

/// Sources known from the listing first; the index when they are not enough.
struct Known {
    first: Mutex<Option<Arc<[Source]>>>,
    index: IndexClient,
}

impl Sources for Known {
    fn find<'a>(
        &'a self,
        hash: &'a ContentHash,
    ) -> BoxFuture<'a, std::result::Result<Vec<Source>, FindError>> {
        match lock(&self.first).take() {
            Some(sources) => std::future::ready(Ok(sources.to_vec())).boxed(),
            None => self.index.find(hash),
        }
    }
}
