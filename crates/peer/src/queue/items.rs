//! Where the files of one want are fetched: a list of items in, a result for each out, as it comes.
//!
//! Invariant: this is the only place that calls [`download`] and [`download_bundles`], so another way to fetch some of
//! the items needs to be known here only.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PIECE_BYTES};

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

/// Fetches the items with these numbers: the small ones of a source many in one answer, the others one by one beside
/// them. Dropping the stream stops what is not finished, and keeps its parts.
pub(super) fn fetch<'a>(
    with: &'a Fetching<'a>,
    items: &'a [Item],
    files: Vec<usize>,
) -> impl Stream<Item = Result> + 'a {
    let (small, others) = small_of_one_source(items, files);
    let left = Arc::new(Mutex::new(small.iter().copied().collect::<BTreeSet<usize>>()));
    let bundled = fetch_bundled(with, items, small).inspect({
        let left = Arc::clone(&left);
        move |result| {
            lock(&left).remove(&result.file);
        }
    });
    // Bundles are never kept waiting by a single download: each holds, or stands in line for, a connection that the single
    // one may need.
    let alone = stream::once(async move { std::mem::take(&mut *lock(&left)) }).flat_map(stream::iter);
    let alone = bundled.chain(one_by_one(with, items, alone));
    stream::select(alone, one_by_one(with, items, stream::iter(others)))
}

fn one_by_one<'a>(
    with: &'a Fetching<'a>,
    items: &'a [Item],
    files: impl Stream<Item = usize> + 'a,
) -> impl Stream<Item = Result> + 'a {
    files.map(move |file| fetch_one(with, file, &items[file])).buffer_unordered(FILES_AT_ONCE)
}

/// Small items that are known to be at the same source, and the others.
fn small_of_one_source(items: &[Item], files: Vec<usize>) -> (Vec<usize>, Vec<usize>) {
    let first = files.first().map(|file| Arc::clone(&items[*file].sources)).unwrap_or_default();
    let is_small =
        |item: &Item| item.size <= SMALL_BYTES_MAX && !first.is_empty() && Arc::ptr_eq(&item.sources, &first);
    let (small, others): (Vec<usize>, Vec<usize>) = files.iter().partition(|file| is_small(&items[**file]));
    // One alone comes as fast by itself, and shows how far it is.
    if small.len() > 1 { (small, others) } else { (Vec::new(), files) }
}

/// Those of the small items that came many in one answer.
fn fetch_bundled<'a>(
    with: &'a Fetching<'a>,
    items: &'a [Item],
    small: Vec<usize>,
) -> impl Stream<Item = Result> + 'a {
    let source = small.first().and_then(|file| items[*file].sources.first().cloned());
    let wants: Vec<(usize, Want)> =
        small.into_iter().map(|file| (file, wanted(with, &items[file]))).collect();
    let bundles = source.map(|source| {
        let (pool, folder) = (Arc::clone(&with.shared.pool), with.folder.clone());
        download_bundles(wants, source, pool, folder)
    });
    stream::iter(bundles).flatten().flat_map(stream::iter).filter_map(|(file, done)| async move {
        done.map(|done| Result { file, came_bytes: done.size, result: Ok(done) })
    })
}

fn wanted(with: &Fetching<'_>, item: &Item) -> Want {
    Want { hash: item.hash, size: item.size, path: item.path.clone(), overwrite: with.overwrite }
}

async fn fetch_one(with: &Fetching<'_>, file: usize, item: &Item) -> Result {
    let place = with.board.begin(with.want, file);
    let name = item.path.as_str().to_owned();
    with.board.tell(News::Began { want: with.want, file, name, size: item.size }).await;
    let want = wanted(with, item);
    let sources = Known { first: Mutex::new(first_sources(with, item)), index: with.index.clone() };
    let (pool, partials) = (&with.shared.pool, Some(&with.shared.partials));
    let result = download(&want, &sources, pool, &with.folder, &place.progress, partials).await;
    let snapshot = place.progress.snapshot();
    Result { file, result, came_bytes: snapshot.done_bytes.saturating_sub(snapshot.resumed_bytes) }
}

/// The owner that was named is enough for a small file. A larger one is worth a question for more sources.
fn first_sources(with: &Fetching<'_>, item: &Item) -> Option<Arc<[Source]>> {
    let is_enough = item.size <= PIECE_BYTES && !item.sources.is_empty() && !with.is_retry;
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
