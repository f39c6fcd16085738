//! One want becomes one file: the types a caller needs, and the order of the steps.
//!
//! Invariants: a finished file is the content that was asked for, or there is an error and no file; dropping
//! the future at any time leaves a part that the same want resumes.

mod bundle;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, PathError, PeerName, PieceList, SharePath, piece_count, piece_len, shown};

use crate::have::Have;
use crate::part::{DiskError, Opened, OutFolder, Part};
use crate::partials::Partials;
use crate::progress::{Progress, Stage};
use crate::swarm::{End, Outcome, Ranges, Swarm};

pub use crate::swarm::Pool;
pub use bundle::{SMALL_BYTES_MAX, download_bundles};

/// A content, and the place below the output folder that it should have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// The content.
    pub hash: ContentHash,
    /// Bytes, as the index says.
    pub size: u64,
    /// Folders and the name.
    pub path: SharePath,
    /// Whether to replace a file that has the name.
    pub overwrite: bool,
}

/// A finished file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// Where it is: the name may have got a number.
    pub path: PathBuf,
    /// Bytes.
    pub size: u64,
    /// Peers that sent at least one piece that was right.
    pub sources_used: usize,
    /// Bytes that an earlier download had left.
    pub resumed_bytes: u64,
    /// Whether the file was there before, so that nothing was fetched.
    pub already_there: bool,
    /// How long it took.
    pub elapsed: Duration,
}

/// What became of one source, for an error's reader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SourceFault {
    /// Its name for people.
    pub name: PeerName,
    /// Where it was asked.
    pub address: SocketAddr,
    /// What went wrong, as half a sentence.
    pub fault: String,
}

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The index knows no source.
    #[error("no peer has {}", .hash.short())]
    NoSource {
        /// The content.
        hash: ContentHash,
    },
    /// The index could not be asked.
    #[error("can't ask the index for sources: {0}")]
    Index(FindError),
    /// No source could be reached, or each went away.
    #[error("no source of {} can be reached{}", .hash.short(), listed(.faults))]
    Unreachable {
        /// The content.
        hash: ContentHash,
        /// What became of each.
        faults: Vec<SourceFault>,
    },
    /// Every source that answered refused.
    #[error("access to {} was refused{}", .hash.short(), listed(.faults))]
    Refused {
        /// The content.
        hash: ContentHash,
        /// What became of each.
        faults: Vec<SourceFault>,
    },
    /// Every source stayed busy with other peers.
    #[error("every source of {} is busy{}", .hash.short(), listed(.faults))]
    Busy {
        /// The content.
        hash: ContentHash,
        /// What became of each.
        faults: Vec<SourceFault>,
    },
    /// Every source that answered sent something else.
    #[error("no source could prove {}{}", .hash.short(), listed(.faults))]
    Corrupt {
        /// The content.
        hash: ContentHash,
        /// What became of each.
        faults: Vec<SourceFault>,
    },
    /// The file can't be written.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The name can't be stored on every system.
    #[error(transparent)]
    NotStorable(#[from] PathError),
    /// A fault of our own: a thread that ended early.
    #[error("the download broke down: {0}")]
    Internal(String),
}

impl DownloadError {
    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoSource { .. } => "`peerage search` shows what is shared now",
            Self::Index(_) => "is the index running, and `--index` right?",
            Self::Unreachable { .. } => "search again, for its owners may have changed or withdrawn it",
            Self::Refused { .. } => "ask the owner to share it with you",
            Self::Busy { .. } => "they serve others first: try again in a minute",
            Self::Corrupt { .. } => "its owner may have changed the file: search again, or tell them",
            Self::Disk(DiskError::Full { .. }) => "make room or choose another folder with `-o`",
            Self::Disk(DiskError::Locked { .. }) => "wait for the other download, or stop it",
            Self::Disk(_) => "choose another folder with `-o`",
            Self::NotStorable(_) => {
                "give it another name: `peerage get 'peerage:HASH?name=NEW'`, with the hash from `peerage search --json`"
            }
            Self::Internal(_) => "this is a bug: please report it",
        }
    }
}

fn listed(faults: &[SourceFault]) -> String {
    /// More say nothing new.
    const SHOWN_MAX: usize = 4;
    let mut text = String::new();
    for (position, SourceFault { name, address, fault }) in faults.iter().take(SHOWN_MAX).enumerate() {
        let mark = if position == 0 { ": " } else { "; " };
        text.push_str(&format!("{mark}{} ({address}) {fault}", shown(name.as_str())));
    }
    if let Some(more) = faults.len().checked_sub(SHOWN_MAX).filter(|more| *more > 0) {
        text.push_str(&format!("; and {more} more"));
    }
    text
}

/// Why the index gave no answer.
pub type FindError = Box<dyn std::error::Error + Send + Sync>;

/// Whoever knows the sources of a content now: the index, or a list in a test.
pub trait Sources: Send + Sync {
    /// The live sources, none where nobody has it.
    fn find<'a>(&'a self, hash: &'a ContentHash) -> BoxFuture<'a, Result<Vec<Source>, FindError>>;
}

impl Sources for Vec<Source> {
    fn find<'a>(&'a self, _hash: &'a ContentHash) -> BoxFuture<'a, Result<Vec<Source>, FindError>> {
        Box::pin(std::future::ready(Ok(self.clone())))
    }
}

/// Fetches one content, proves it, and puts it into its place. Several may run at once over one `pool`. Where
/// `partials` is given, those of a running peer, its pieces can be had from there as they come.
///
/// # Errors
/// [`DownloadError`]. What was proven by then stays in the part; a part without any is removed.
pub async fn download(
    want: &Want,
    sources: &dyn Sources,
    pool: &Arc<Pool>,
    folder: &OutFolder,
    progress: &Progress,
    partials: Option<&Partials>,
) -> Result<Done, DownloadError> {
    let started = Instant::now();
    want.path.check_storable()?;
    progress.set_total(want.size);
    progress.set_stage(Stage::Checking);
    let (place, path, content) = (folder.clone(), want.path.clone(), (want.hash, want.size));
    let overwrite = want.overwrite;
    let part = match blocking(move || Part::open(&place, &path, content, overwrite)).await? {
        Opened::Part(part) => Arc::new(part),
        Opened::AlreadyThere(path) => {
            progress.resumed(want.size);
            return Ok(done(want, path, progress, started, 0));
        }
    };
    let result = fetch(want, sources, pool, &part, (progress, partials)).await;
    progress.set_flying(0);
    let has_something = progress.snapshot().done_bytes > 0;
    match result {
        Ok(sources_used) => {
            progress.set_stage(Stage::Finishing);
            let path = blocking(move || part.finish(overwrite)).await?;
            Ok(Done { already_there: false, ..done(want, path, progress, started, sources_used) })
        }
        Err(error) => {
            if !has_something {
                blocking(move || {
                    part.discard();
                    Ok(())
                })
                .await?;
            }
            Err(error)
        }
    }
}

fn done(want: &Want, path: PathBuf, progress: &Progress, started: Instant, sources_used: usize) -> Done {
    progress.set_stage(Stage::Done);
    let resumed_bytes = progress.snapshot().resumed_bytes;
    Done {
        path,
        size: want.size,
        sources_used,
        resumed_bytes,
        already_there: true,
        elapsed: started.elapsed(),
    }
}

/// Fills the part; how many peers it took.
async fn fetch(
    want: &Want,
    sources: &dyn Sources,
    pool: &Arc<Pool>,
    part: &Arc<Part>,
    (progress, partials): (&Progress, Option<&Partials>),
) -> Result<usize, DownloadError> {
    progress.set_stage(Stage::FindingSources);
    let named = sources.find(&want.hash).await.map_err(DownloadError::Index)?;
    if named.is_empty() {
        return Err(DownloadError::NoSource { hash: want.hash });
    }
    let mut swarm = Swarm::new((&want.hash, want.size), named, sources, Arc::clone(pool), progress);
    match fill(&mut swarm, want, part, (progress, partials)).await {
        Ok(()) => Ok(swarm.sources_used()),
        Err(Stop::Swarm(end)) => Err(error_of(end, want.hash, swarm.faults())),
        Err(Stop::Error(error)) => Err(error),
    }
}

/// Why a part was not filled.
enum Stop {
    Swarm(End),
    Error(DownloadError),
}

impl From<End> for Stop {
    fn from(end: End) -> Self {
        Self::Swarm(end)
    }
}

impl From<DownloadError> for Stop {
    fn from(error: DownloadError) -> Self {
        Self::Error(error)
    }
}

async fn fill(
    swarm: &mut Swarm<'_>,
    want: &Want,
    part: &Arc<Part>,
    (progress, partials): (&Progress, Option<&Partials>),
) -> Result<(), Stop> {
    let list = if piece_count(want.size) == 1 {
        Arc::new(PieceList::single(want.hash, want.size))
    } else {
        progress.set_stage(Stage::FetchingList);
        swarm.fetch_list().await?
    };
    let mut missing = Ranges::from(0..list.count());
    let mut have = Have::none(list.count());
    if part.is_resumed() {
        progress.set_stage(Stage::Checking);
        let (part, list) = (Arc::clone(part), Arc::clone(&list));
        let proven = blocking(move || part.prove(&list)).await?;
        let proven = (0..).zip(proven).filter_map(|(index, is_proven)| is_proven.then_some(index));
        let mut resumed_bytes = 0;
        for index in proven {
            missing.remove(index);
            have.insert(index);
            resumed_bytes += piece_len(want.size, index);
        }
        progress.resumed(resumed_bytes);
    }
    progress.set_stage(Stage::Fetching);
    let published = partials.and_then(|partials| partials.publish(part, &list, have));
    Ok(swarm.fetch_pieces(list, Arc::clone(part), missing, published).await?)
}

fn error_of(end: End, hash: ContentHash, faults: Vec<SourceFault>) -> DownloadError {
    match end {
        End::Disk(error) => DownloadError::Disk(error),
        End::GaveUp(Outcome::NoSource) => DownloadError::NoSource { hash },
        End::GaveUp(Outcome::Unreachable) => DownloadError::Unreachable { hash, faults },
        End::GaveUp(Outcome::Refused) => DownloadError::Refused { hash, faults },
        End::GaveUp(Outcome::Busy) => DownloadError::Busy { hash, faults },
        End::GaveUp(Outcome::Corrupt) => DownloadError::Corrupt { hash, faults },
    }
}

/// Does something slow with the disk away from the threads that serve connections.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, DiskError> + Send + 'static,
) -> Result<T, DownloadError> {
    let done = tokio::task::spawn_blocking(work).await;
    Ok(done.map_err(|error| DownloadError::Internal(error.to_string()))??)
}

#[cfg(test)]
mod tests;
