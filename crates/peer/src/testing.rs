//! Sources for tests, over real sockets: an honest one that shares a real folder, and one that plays a trick.
//!
//! Invariant: everything ends and is removed when its handle is dropped.

mod trickster;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use peerage_wire::api::{Doors, Source};
use peerage_wire::{ContentHash, PIECE_BYTES, PieceHasher, PieceList, piece_count, piece_len};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::catalogue::Catalogue;
use crate::identity::Identity;
use crate::serve::{self, Door};
use crate::share::{Audience, Location, ShareOptions, ShareSpec, Sharing, Watching};
use crate::uploads::Uploads;

pub(crate) use trickster::{Trick, Trickster};

pub(crate) const MIB: usize = 1 << 20;

/// Bytes that look random and are the same each time.
pub(crate) fn content(bytes: usize) -> Vec<u8> {
    let mut content = vec![0; bytes];
    blake3::Hasher::new().update(&bytes.to_le_bytes()).finalize_xof().fill(&mut content);
    content
}

/// A piece of a content, by its number.
pub(crate) fn piece_of(content: &[u8], index: u64) -> &[u8] {
    let start = usize::try_from(index * PIECE_BYTES).unwrap();
    let len = usize::try_from(piece_len(content.len() as u64, index)).unwrap();
    &content[start..start + len]
}

/// A content's piece list, computed.
pub(crate) fn list_of(content: &[u8]) -> PieceList {
    let size = content.len() as u64;
    let value = |index| {
        let mut hasher = PieceHasher::new(size, index);
        hasher.update(piece_of(content, index));
        hasher.finish()
    };
    PieceList::from_values(size, (0..piece_count(size)).map(value).collect()).unwrap()
}

/// How the index would name a peer at `address`.
pub(crate) fn source(identity: &Identity, address: SocketAddr) -> Source {
    let name = format!("peer {}", identity.peer_id().short()).parse().unwrap();
    let doors = Doors::native(address.port());
    Source { peer: identity.peer_id(), name, address, doors, path: None, ftp: None, partial: false }
}

/// An honest source: the real door over a real share.
pub(crate) struct Honest {
    pub(crate) source: Source,
    pub(crate) folder: PathBuf,
    door: AbortHandle,
    catalogue: Arc<Catalogue>,
    identity: Arc<Identity>,
    _sharing: Sharing,
    _temporary: tempfile::TempDir,
}

/// A file that was not touched for an hour: the share looks twice at one that was written just before it was hashed,
/// and a test that changes it must not race with that second look.
fn write_long_ago(path: &std::path::Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    let file = std::fs::File::options().write(true).open(path).unwrap();
    file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(3_600)).unwrap();
}

impl Honest {
    /// Shares the given files, and returns once they can be fetched.
    pub(crate) async fn start(files: &[(&str, &[u8])]) -> Self {
        Self::start_with(files, Uploads::default()).await
    }

    /// The same with slots and a rate of one's own making.
    pub(crate) async fn start_with(files: &[(&str, &[u8])], uploads: Uploads) -> Self {
        Self::start_for(Audience::Members, files, uploads).await
    }

    /// The same for an audience.
    pub(crate) async fn start_for(audience: Audience, files: &[(&str, &[u8])], uploads: Uploads) -> Self {
        let temporary = tempfile::tempdir().unwrap();
        let folder = temporary.path().canonicalize().unwrap();
        for (name, bytes) in files {
            let path = folder.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            write_long_ago(&path, bytes);
        }
        let catalogue = Arc::new(Catalogue::new());
        let location = Location::Folder(folder.clone());
        let spec = ShareSpec { name: "share".to_owned(), location, audience };
        let options = ShareOptions { watching: Watching::Poll, hashers: Some(1), ..ShareOptions::default() };
        let sharing = Sharing::start(vec![spec], &options, Arc::clone(&catalogue)).unwrap();
        sharing.first_scan_done().await;
        let identity = Arc::new(Identity::generate().unwrap());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let source = source(&identity, listener.local_addr().unwrap());
        let door = Arc::new(Door::new(Arc::clone(&catalogue), Arc::clone(&identity), uploads));
        let door = tokio::spawn(serve::run(listener, door, std::future::pending())).abort_handle();
        Self { source, folder, door, catalogue, identity, _sharing: sharing, _temporary: temporary }
    }

    /// What it shares, and what it downloads.
    pub(crate) const fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// A second door of the same peer, not running yet.
    pub(crate) fn another_door(&self) -> Arc<Door> {
        self.another_door_with(Uploads::default())
    }

    /// The same with these slots.
    pub(crate) fn another_door_with(&self, uploads: Uploads) -> Arc<Door> {
        Arc::new(Door::new(Arc::clone(&self.catalogue), Arc::clone(&self.identity), uploads))
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        Path::new(&self.folder).join(name)
    }

    /// Cuts every connection and closes the port.
    pub(crate) fn kill(&self) {
        self.door.abort();
    }
}

impl Drop for Honest {
    fn drop(&mut self) {
        self.kill();
    }
}

/// The hash of a content.
pub(crate) fn hash(content: &[u8]) -> ContentHash {
    ContentHash::of(content)
}
