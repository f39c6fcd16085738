//! Where the files of one want are fetched: a list of items in, a result for each out, as it comes.
//!
//! Invariant: this is the only place that calls [`download`], so another way to fetch some of the items (many small
//! ones of one source in one answer, say) needs to be known here only.

use std::sync::{Arc, Mutex};

use futures_util::future::BoxFuture;
use futures_util::{FutureExt, Stream, StreamExt, stream};
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PIECE_BYTES};

use super::board::Board;
use super::news::News;
use super::resolve::Item;
use super::{Shared, lock};
use crate::download::{Done, DownloadError, FindError, Sources, Want, download};
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

/// Fetches the items with these numbers. Dropping the stream stops what is not finished, and keeps its parts.
pub(super) fn fetch<'a>(
    with: &'a Fetching<'a>,
    items: &'a [Item],
    files: Vec<usize>,
) -> impl Stream<Item = Result> + 'a {
    stream::iter(files).map(|file| fetch_one(with, file, &items[file])).buffer_unordered(FILES_AT_ONCE)
}

async fn fetch_one(with: &Fetching<'_>, file: usize, item: &Item) -> Result {
    let place = with.board.begin(with.want, file);
    let name = item.path.as_str().to_owned();
    with.board.tell(News::Began { want: with.want, file, name, size: item.size }).await;
    let want = Want { hash: item.hash, size: item.size, path: item.path.clone(), overwrite: with.overwrite };
    let sources = Known { first: Mutex::new(first_sources(with, item)), index: with.index.clone() };
    let result = download(&want, &sources, &with.shared.pool, &with.folder, &place.progress).await;
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
