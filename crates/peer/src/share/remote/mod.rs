//! Folders on FTP servers that this peer does not run: listed, hashed once and served through, as if they were here.
//!
//! `url` and `login` say where and as whom; `line` is one connection and `pool` the few there are; `entry` reads a line
//! of a listing, `list` all of them; `hash` reads each file once, `file` reads ranges for others; `keep` decides what to
//! look at. Invariants: a server is a stranger: what it sends has limits, what it calls things is checked, and what it
//! lets us wait for ends; its files are in the catalogue only while it can be reached; everything that waits for it
//! is on threads of its own, or on those for blocking work.

mod bell;
mod entry;
mod failure;
mod file;
mod hash;
mod keep;
mod line;
mod list;
mod login;
mod memory;
mod pool;
mod proven;
mod standing;
#[cfg(test)]
mod tests;
mod tls;
mod url;

use std::collections::HashMap;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::engine::{Engine, Holding};
use super::origin::Origin;
use super::queue::Queue;
use super::root::{FileKey, Stamp};
use super::thread;
use crate::catalogue::ShareId;
use failure::Failure;
use line::Account;
use pool::{Pool, Purpose};
use tls::Connector;

pub(crate) use file::RemoteFile;
pub use login::{FtpLogin, FtpLogins, Password};
pub use proven::ProvenFile;
pub use url::{FtpUrl, UrlError};

/// Servers that one peer may bring in: each has three threads and up to four connections.
pub(super) const SERVERS_MAX: usize = 16;
/// Threads that hash a server's files, each on a connection of its own.
const HASHERS: usize = 2;
/// Files that are listed and not given which are remembered, 60 bytes each, and for how long.
const REFUSED_MAX: usize = 100_000;
const REFUSED_REST: Duration = Duration::from_secs(600);
/// How long the end waits for threads; one that is connecting can't be woken, and is left to end by itself.
const JOIN_MAX: Duration = Duration::from_secs(1);
/// How often it looks.
const JOIN_STEP: Duration = Duration::from_millis(5);

/// A shared folder on an FTP server.
#[derive(Debug)]
pub(crate) struct Server {
    name: String,
    url: FtpUrl,
    pool: Arc<Pool>,
    /// What waits to be hashed; its own, so that a slow server keeps nobody else waiting.
    pub(super) queue: Queue,
    bell: bell::Bell,
    /// What it lists and does not give, so that it is not asked for at every look.
    refused: Mutex<HashMap<FileKey, (Stamp, Instant)>>,
    /// Whether its files are in the catalogue.
    is_here: AtomicBool,
    /// Whether it was looked at once, to whatever end.
    is_looked_at: AtomicBool,
}

impl Server {
    /// A server's folder as the share `name`; nothing is asked of it yet.
    pub(super) fn new(name: &str, url: &FtpUrl, logins: &FtpLogins) -> Result<Self, rustls::Error> {
        let (user, password) = logins.of(url);
        let tls = url.is_tls().then(Connector::new).transpose()?;
        let pool = Arc::new(Pool::new(Account { url: url.clone(), user, password, tls }));
        let (name, url) = (name.to_owned(), url.clone());
        let (queue, bell, refused, is_here, is_looked_at) = Default::default();
        Ok(Self { name, url, pool, queue, bell, refused, is_here, is_looked_at })
    }

    /// The share's name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// The cache's key for the file at `disk`, a path below the shared folder.
    pub(super) fn key(&self, disk: &str) -> FileKey {
        FileKey::of(Path::new(&self.url.to_string()), disk)
    }

    /// The file at `disk`, if it is still as `stamp` says. Blocks on the network.
    ///
    /// # Errors
    /// The server's trouble, which says nothing about the file.
    pub(crate) fn open(self: &Arc<Self>, disk: &str, stamp: Stamp) -> std::io::Result<Option<RemoteFile>> {
        let asked = Instant::now();
        match self.stamp(disk) {
            Ok(found) if found == stamp => {
                Ok(Some(RemoteFile::new(self, disk, stamp, Purpose::Serve).checked(asked)))
            }
            Ok(_) | Err(Failure::Refused(_)) => Ok(None),
            Err(failure) => Err(failure.into()),
        }
    }

    /// Look at a file soon: it is not what it was.
    pub(crate) fn touch(&self, disk: &str) {
        self.bell.touch(disk);
    }

    /// Closes what lies idle and cuts what dribbles.
    pub(super) fn tend(&self) {
        self.pool.tend();
    }

    /// Whether the first look is over.
    pub(super) fn is_looked_at(&self) -> bool {
        self.is_looked_at.load(Ordering::Acquire)
    }

    fn stamp(&self, disk: &str) -> Result<Stamp, Failure> {
        let stamp = self.pool.with(Purpose::Look, |line| line.stamp(disk));
        stamp.inspect_err(|failure| self.failed(failure))
    }

    /// It does not give a file.
    fn refuse(&self, disk: &str, stamp: Stamp) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < REFUSED_MAX {
            refused.insert(self.key(disk), (stamp, Instant::now()));
        }
    }

    /// Whether it did not give the file a while ago; who may read it can change without a trace.
    fn is_refused(&self, disk: &str, stamp: Stamp) -> bool {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.is_empty() {
            return false;
        }
        let key = self.key(disk);
        let is_known = refused
            .get(&key)
            .is_some_and(|(earlier, when)| *earlier == stamp && when.elapsed() < REFUSED_REST);
        if !is_known {
            refused.remove(&key);
        }
        is_known
    }

    /// What one request met with may be met with by all.
    fn failed(&self, failure: &Failure) {
        if matches!(failure, Failure::Lost(_) | Failure::Login(_)) {
            self.bell.probe();
        }
    }

    /// Whether its listings tell times that can be relied on.
    fn tells_times(&self) -> bool {
        self.pool.shape().is_some_and(|shape| shape.has_mlsd)
    }

    fn is_here(&self) -> bool {
        self.is_here.load(Ordering::Relaxed)
    }
}

/// A server and the threads that keep it.
#[derive(Debug)]
pub(super) struct Kept {
    server: Arc<Server>,
    threads: Vec<JoinHandle<()>>,
}

impl Kept {
    /// Begins to list and hash what is there.
    pub(super) fn start(
        engine: &Arc<Engine>,
        share: ShareId,
        server: &Arc<Server>,
        poll_every: Duration,
    ) -> std::io::Result<Self> {
        let mut kept = Self { server: Arc::clone(server), threads: Vec::new() };
        for _ in 0..HASHERS {
            let (engine, server) = (Arc::clone(engine), Arc::clone(server));
            kept.threads.push(thread("share-ftp-hash", move || hash::run(&engine, &server))?);
        }
        let holding = Holding { share, origin: Origin::Server(Arc::clone(server)) };
        let keeper = keep::Keeper::new(Arc::clone(engine), holding, Arc::clone(server), poll_every);
        kept.threads.push(thread("share-ftp-keep", move || keeper.run())?);
        Ok(kept)
    }

    /// Says that it is over, and waits for nothing.
    pub(super) fn end(&self) {
        self.server.queue.close();
        self.server.bell.stop();
        self.server.pool.close();
    }

    /// Waits for the threads of all, but not for long.
    pub(super) fn join(all: Vec<Self>) {
        let until = Instant::now() + JOIN_MAX;
        for thread in all.into_iter().flat_map(|kept| kept.threads) {
            while !thread.is_finished() && Instant::now() < until {
                std::thread::sleep(JOIN_STEP);
            }
            if thread.is_finished() {
                // A thread that panicked has said so already.
                let _ = thread.join();
            }
        }
    }
}
