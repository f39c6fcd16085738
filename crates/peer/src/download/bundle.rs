//! Many small wants of one source, fetched several at a time in one answer each.
//!
//! Invariants: a want that is told as done is there and proven; one that is not told is for
//! [`download`](super::download), which knows other sources and says what is wrong.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use futures_util::{Stream, StreamExt, stream};
use peerage_wire::api::Source;
use peerage_wire::{PIECE_BYTES, limits};

use super::{Done, Pool, Want};
use crate::part::OutFolder;
use crate::swarm::BundleErrand;

/// The largest content that is bundled: one piece, which needs no list.
pub const SMALL_BYTES_MAX: u64 = PIECE_BYTES;
/// Contents asked for at once: what a slow disk finds in a second or two.
const CONTENTS_MAX: usize = 256;
/// Bytes asked for at once, so that several bundles come side by side and none holds a slot for long.
const BYTES_MAX: u64 = 1 << 20;
/// Folders that the files of one bundle go to: each is a descriptor.
const FOLDERS_MAX: usize = 64;
/// Bundles at the same time: as many as one source gives slots to one peer.
const BUNDLES_AT_ONCE: usize = limits::UPLOAD_SLOTS_PER_PEER;

/// A bundle that took so long and brought nothing says that the source has gone: the others are not tried.
const PATIENCE: Duration = Duration::from_secs(2);

/// Fetches small wants from `source`, each with the caller's number. What comes of the stream are whole bundles: for each
/// of its wants the number, and the finished file where it came. Every want is told once, in no order.
pub fn download_bundles(
    wants: Vec<(usize, Want)>,
    source: Source,
    pool: Arc<Pool>,
    folder: OutFolder,
) -> impl Stream<Item = Vec<(usize, Option<Done>)>> {
    let is_gone = Arc::new(AtomicBool::new(false));
    let fetch = move |bundle: Vec<(usize, Want)>| {
        let (numbers, wants): (Vec<usize>, Vec<Want>) = bundle.into_iter().unzip();
        let sizes: Vec<u64> = wants.iter().map(|want| want.size).collect();
        let errand =
            BundleErrand { source: source.clone(), wants, folder: folder.clone(), pool: Arc::clone(&pool) };
        let is_gone = Arc::clone(&is_gone);
        async move {
            let started = Instant::now();
            let mut done: Vec<(usize, Option<Done>)> =
                numbers.into_iter().map(|number| (number, None)).collect();
            if is_gone.load(Ordering::Relaxed) {
                return done;
            }
            for (position, path) in errand.run().await {
                done[position].1 = Some(finished(path, sizes[position], started));
            }
            if started.elapsed() >= PATIENCE && done.iter().all(|(_, done)| done.is_none()) {
                is_gone.store(true, Ordering::Relaxed);
            }
            done
        }
    };
    stream::iter(bundles(wants)).map(fetch).buffer_unordered(BUNDLES_AT_ONCE)
}

fn finished(path: PathBuf, size: u64, started: Instant) -> Done {
    let elapsed = started.elapsed();
    Done { path, size, sources_used: 1, resumed_bytes: 0, already_there: false, elapsed }
}

/// Cuts a list into bundles, in its order.
fn bundles(wants: Vec<(usize, Want)>) -> Vec<Vec<(usize, Want)>> {
    let mut bundles = Vec::new();
    let mut open: Vec<(usize, Want)> = Vec::new();
    let (mut bytes, mut folders) = (0, 0);
    for (number, want) in wants {
        let is_new_folder = open.last().is_none_or(|(_, last)| folder_of(last) != folder_of(&want));
        let is_full = open.len() >= CONTENTS_MAX || bytes + want.size > BYTES_MAX || folders >= FOLDERS_MAX;
        if is_full && !open.is_empty() {
            bundles.push(std::mem::take(&mut open));
            (bytes, folders) = (0, 0);
        }
        bytes += want.size;
        folders += usize::from(is_new_folder);
        open.push((number, want));
    }
    bundles.extend((!open.is_empty()).then_some(open));
    bundles
}

fn folder_of(want: &Want) -> &str {
    want.path.as_str().rsplit_once('/').map_or("", |(folder, _)| folder)
}
