//! Opening a content by its hash: each place that has it is tried, and what changed is reported.

use std::io;
use std::sync::Arc;

use peerage_wire::{ContentHash, PieceList, SharePath};
use rustix::io::Errno;

use super::{Catalogue, ShareId};
use crate::reading::Content;
use crate::share::{Origin, ProvenFile, Root, Stamp};

/// Places of one content that are tried: where the first sixteen all changed, the rest will be found so too.
const PLACES_MAX: usize = 16;

/// A content ready to be read.
#[derive(Debug)]
pub struct OpenedContent {
    /// Its bytes: they were that content when time, size and inode of the file were compared, just now.
    pub content: Content,
    /// Bytes.
    pub size: u64,
}

/// Why a content can't be read here.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// It is not shared.
    #[error("that content is not shared here")]
    Absent,
    /// Every file that had it has changed; they are being hashed again.
    #[error("the file has changed since it was hashed")]
    Changed,
    /// The system won't open it now.
    #[error("the file can't be opened: {0}")]
    Unreadable(#[source] io::Error),
}

struct Place {
    path: SharePath,
    disk: Box<str>,
    share: ShareId,
    origin: Origin,
    stamp: Stamp,
}

impl Catalogue {
    /// Opens a file that has the content.
    ///
    /// # Errors
    /// [`OpenError`]; a place that was found changed is not tried again until it has been hashed again.
    pub fn open(&self, hash: &ContentHash) -> Result<OpenedContent, OpenError> {
        let mut outcome = OpenError::Absent;
        for place in self.places_of(hash)? {
            outcome = match place.open(|| self.pieces(hash)) {
                Ok(content) => return Ok(OpenedContent { content, size: place.stamp.size }),
                Err(Shut::Passing(error)) => OpenError::Unreadable(error),
                Err(Shut::Changed) => self.report(&place, OpenError::Changed),
                Err(Shut::Forbidden(error)) => self.report(&place, OpenError::Unreadable(error)),
            };
        }
        Err(outcome)
    }

    /// The places to try, copied out so that no file is opened under the lock.
    fn places_of(&self, hash: &ContentHash) -> Result<Vec<Place>, OpenError> {
        let state = self.lock();
        let mut records = state.places(hash).peekable();
        if records.peek().is_none() {
            return Err(OpenError::Absent);
        }
        let fit = records.filter(|(_, record)| !record.is_suspect);
        let places = fit.filter_map(|(path, record)| {
            let origin = state.origin(record.share)?.clone();
            let disk = state.disk_name(path).into();
            Some(Place { path: path.clone(), disk, share: record.share, origin, stamp: record.stamp })
        });
        let mut places: Vec<Place> = places.take(PLACES_MAX).collect();
        // What is here needs no network.
        places.sort_by_key(|place| matches!(place.origin, Origin::Server(_)));
        if places.is_empty() { Err(OpenError::Changed) } else { Ok(places) }
    }

    fn report(&self, place: &Place, outcome: OpenError) -> OpenError {
        let is_first = self.lock().suspect(&place.path, place.stamp);
        match &place.origin {
            _ if !is_first => {}
            Origin::Server(server) => server.touch(&place.disk),
            Origin::Folder(_) => {
                if let Some(hooks) = self.hooks.get() {
                    (hooks.suspect)(place.share, &place.disk);
                }
            }
        }
        outcome
    }
}

/// Why a place does not open.
enum Shut {
    /// The process, the machine or the network is in trouble, which says nothing about the file.
    Passing(io::Error),
    /// It is not what it was.
    Changed,
    /// It may not be read any more.
    Forbidden(io::Error),
}

impl Place {
    /// What a server sends is proven by `pieces`, its content's list.
    fn open(&self, pieces: impl FnOnce() -> Option<Arc<PieceList>>) -> Result<Content, Shut> {
        match &self.origin {
            Origin::Folder(root) => self.open_in(root),
            Origin::Server(server) => match server.open(&self.disk, self.stamp) {
                Ok(Some(file)) => match pieces() {
                    Some(list) => Ok(Content::Remote(Box::new(ProvenFile::new(file, list)))),
                    None => Err(Shut::Changed), // its list is lost, so it is hashed again
                },
                Ok(None) => Err(Shut::Changed),
                Err(error) => Err(Shut::Passing(error)),
            },
        }
    }

    fn open_in(&self, root: &Root) -> Result<Content, Shut> {
        match root.open_file(&self.disk) {
            Ok((file, stamp)) if stamp == self.stamp => Ok(Content::Disk(file)),
            Err(error) if is_passing(&error) => Err(Shut::Passing(error)),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(Shut::Forbidden(error)),
            Ok(_) | Err(_) => Err(Shut::Changed),
        }
    }
}

/// Whether the trouble is the process's or the machine's and says nothing about the file.
fn is_passing(error: &io::Error) -> bool {
    let passing = [Errno::MFILE, Errno::NFILE, Errno::NOMEM, Errno::IO, Errno::INTR, Errno::STALE];
    passing.iter().any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}
