//! What this peer shares: folders scanned, hashed, remembered and watched, into the catalogue.
//!
//! `keep` decides what to look at, `scan` walks, `hash` reads, `settle` draws the consequences; `debounce` and
//! `queue` say when and in which order. Invariants: files of the shares reach the catalogue only through
//! here; `remote` does the same for folders on servers; a share needs no runtime, only threads of its own, which end when [`Sharing`] is dropped.

mod spec;

mod debounce;
mod filter;
mod inbox;
mod notes;
mod origin;
mod progress;
mod root;

mod engine;
mod keep;
mod scan;
mod watch;

mod cache;
mod hash;
mod queue;
mod settle;

mod remote;

#[cfg(test)]
mod tests;

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use peerage_wire::shown;
use tokio::sync::{mpsc, watch as signal};

use crate::catalogue::{Catalogue, Hooks, ShareId};
use cache::Durable;
use debounce::{Look, Place};
use engine::Engine;
use filter::Filter;
use inbox::Inbox;
use keep::{Keeper, Pace};
use notes::Notes;
use queue::Queue;

pub(crate) use cache::HashCache;
pub(crate) use origin::Origin;
pub(crate) use root::{Root, Stamp};

pub use progress::ShareProgress;
pub use remote::{FtpLogin, FtpLogins, FtpUrl, Password, ProvenFile, UrlError};
pub use spec::{Audience, Location, SHARES_MAX, ShareArg, ShareSpec, SpecError, resolve_names};

/// Threads that hash: past them no disk keeps up.
const HASHERS_MAX: usize = 64;

/// Why sharing can't begin.
#[derive(Debug, thiserror::Error)]
pub enum ShareError {
    /// A folder can't be shared.
    #[error(transparent)]
    Spec(#[from] SpecError),
    /// A pattern to exclude is none.
    #[error("`{pattern}` is no pattern: {source}\nhint: patterns are like `*.tmp` or `cache/**`")]
    Exclude {
        /// As it was given.
        pattern: String,
        /// What is wrong with it.
        source: globset::Error,
    },
    /// Too many patterns to exclude.
    #[error("{count} patterns to exclude are more than {max}\nhint: join some as `{{a,b}}`")]
    Excludes {
        /// How many were given.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// The folder holds this peer's key.
    #[error("`{}` is this peer's own home\nhint: share another folder", dir.display())]
    Private {
        /// The folder.
        dir: PathBuf,
    },
    /// A user of a server has no password.
    #[error(
        "there is no password for `{}` at `{}`\nhint: put it into `PEERAGE_FTP_PASSWORD`, or into `config.toml` under \
         `[ftp-servers.\"{}\"]`",
        shown(user),
        shown(host),
        shown(host)
    )]
    NoPassword {
        /// Who is to log in.
        user: String,
        /// Where.
        host: String,
    },
    /// Too many servers.
    #[error(
        "{count} servers are more than the {max} that one peer can bring in\nhint: let another peer bring in some"
    )]
    Servers {
        /// How many there would be.
        count: usize,
        /// How many may be.
        max: usize,
    },
    /// TLS can't be had.
    #[error("can't prepare TLS: {0}")]
    Tls(#[source] rustls::Error),
    /// The catalogue is another share's.
    #[error("the catalogue is filled by another share already")]
    Twice,
    /// The system gives no thread.
    #[error("can't start sharing: {0}")]
    Thread(#[source] std::io::Error),
}

/// How to learn of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watching {
    /// The system tells, as long as it has watches; otherwise as [`Watching::Poll`].
    #[default]
    Auto,
    /// Only by walking the folders from time to time.
    Poll,
}

/// How to share.
#[derive(Debug, Clone)]
pub struct ShareOptions {
    /// Patterns of names, or of paths below a share where they have a slash, that are left out.
    pub exclude: Vec<String>,
    /// Folders never shared, wherever they lie: the peer's home.
    pub private: Vec<PathBuf>,
    /// Where hashes are remembered; `None` for nowhere.
    pub cache: Option<PathBuf>,
    /// How to learn of changes.
    pub watching: Watching,
    /// How often folders are walked that can't be watched, and servers asked. A walk costs some 3 µs a file.
    pub poll_every: Duration,
    /// How often folders are walked that are watched, in case something was missed.
    pub reconcile_every: Duration,
    /// Threads that hash; one a core where `None`.
    pub hashers: Option<usize>,
    /// Who logs in at servers.
    pub logins: FtpLogins,
}

impl Default for ShareOptions {
    fn default() -> Self {
        Self {
            exclude: Vec::new(),
            private: Vec::new(),
            cache: None,
            watching: Watching::Auto,
            poll_every: Duration::from_secs(30),
            reconcile_every: Duration::from_secs(600),
            hashers: None,
            logins: FtpLogins::default(),
        }
    }
}

/// How far the first look at the shares is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Phase {
    /// Folders are being walked; what the cache knows enters the catalogue now.
    Walking,
    /// All is found; what is new is being hashed and enters the catalogue file by file.
    Hashing,
    /// Everything is in the catalogue.
    Done,
}

/// Shares folders for as long as it lives.
#[derive(Debug)]
pub struct Sharing {
    engine: Arc<Engine>,
    phase: signal::Sender<Phase>,
    notes: Mutex<Option<mpsc::Receiver<String>>>,
    specs: Mutex<Vec<ShareSpec>>,
    servers: Mutex<Vec<remote::Kept>>,
    logins: FtpLogins,
    poll_every: Duration,
    threads: Vec<JoinHandle<()>>,
}

impl Sharing {
    /// Begins to share folders, none to begin with if so wished; returns at once.
    ///
    /// # Errors
    /// [`ShareError`].
    pub fn start(
        specs: Vec<ShareSpec>,
        options: &ShareOptions,
        catalogue: Arc<Catalogue>,
    ) -> Result<Self, ShareError> {
        let filter = Filter::new(&options.exclude, &options.private)?;
        let opened = |spec| open(spec, &filter, &options.logins);
        let origins: Vec<Origin> = specs.iter().map(opened).collect::<Result<_, _>>()?;
        let (engine, notes) = engine(filter, options.cache.as_deref(), catalogue)?;
        let mut sharing = Self {
            engine,
            phase: signal::Sender::new(Phase::Walking),
            notes: Mutex::new(Some(notes)),
            specs: Mutex::default(),
            servers: Mutex::default(),
            logins: options.logins.clone(),
            poll_every: options.poll_every,
            threads: Vec::new(),
        };
        for (spec, origin) in specs.into_iter().zip(origins) {
            sharing.join(spec, origin)?;
        }
        sharing.spawn(options).map_err(ShareError::Thread)?;
        Ok(sharing)
    }

    /// Shares one more folder, under a name that no other has.
    ///
    /// # Errors
    /// [`ShareError`]; what was shared stays shared.
    pub fn add(&self, arg: ShareArg) -> Result<ShareSpec, ShareError> {
        let specs = self.specs();
        let spec = spec::resolve_one(arg, &specs)?;
        let origin = open(&spec, &self.engine.filter, &self.logins)?;
        self.join(spec.clone(), origin)?;
        Ok(spec)
    }

    /// What is shared.
    #[must_use]
    pub fn specs(&self) -> Vec<ShareSpec> {
        self.specs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Counters for a progress display.
    #[must_use]
    pub fn progress(&self) -> Arc<ShareProgress> {
        Arc::clone(&self.engine.progress)
    }

    /// How far the first look at the shares is; back to [`Phase::Walking`] when a folder is added.
    #[must_use]
    pub fn phase(&self) -> signal::Receiver<Phase> {
        self.phase.subscribe()
    }

    /// Returns once everything there was at the start is in the catalogue.
    pub async fn first_scan_done(&self) {
        // An error means that the keeper has ended, and nothing more will come.
        let _ = self.phase().wait_for(|phase| *phase == Phase::Done).await;
    }

    /// Notes for people, each a line or two; for the first who asks.
    pub fn take_notes(&self) -> Option<mpsc::Receiver<String>> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Ends all threads and makes durable what was hashed; the catalogue stays as it is.
    pub fn stop(&mut self) {
        self.engine.is_stopping.store(true, Ordering::Relaxed);
        self.engine.inbox.stop();
        self.engine.queue.close();
        let servers = std::mem::take(&mut *self.servers.lock().unwrap_or_else(PoisonError::into_inner));
        servers.iter().for_each(remote::Kept::end);
        remote::Kept::join(servers);
        for thread in self.threads.drain(..) {
            // A thread that panicked has said so already.
            let _ = thread.join();
        }
        self.engine.cache.write(Durable::Now);
    }

    fn join(&self, spec: ShareSpec, origin: Origin) -> Result<(), ShareError> {
        let mut servers = self.servers.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(origin, Origin::Server(_)) && servers.len() >= remote::SERVERS_MAX {
            return Err(ShareError::Servers { count: servers.len() + 1, max: remote::SERVERS_MAX });
        }
        let mut specs = self.specs.lock().unwrap_or_else(PoisonError::into_inner);
        let share = ShareId(u16::try_from(specs.len()).unwrap_or(u16::MAX));
        self.engine.catalogue.admit(&spec.name, spec.audience);
        specs.push(spec);
        drop(specs);
        match origin {
            Origin::Folder(root) => {
                self.engine.catalogue.set_origin(share, Some(Arc::clone(&root).into()));
                self.engine.inbox.join(share, root);
            }
            Origin::Server(server) => {
                self.engine.add_server(&server);
                let kept = remote::Kept::start(&self.engine, share, &server, self.poll_every);
                servers.push(kept.map_err(ShareError::Thread)?);
            }
        }
        self.phase.send_replace(Phase::Walking);
        Ok(())
    }

    fn spawn(&mut self, options: &ShareOptions) -> std::io::Result<()> {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        for _ in 0..options.hashers.unwrap_or(cores).clamp(1, HASHERS_MAX) {
            let engine = Arc::clone(&self.engine);
            self.threads.push(thread("share-hash", move || hash::run(&engine))?);
        }
        let ShareOptions { watching, poll_every, reconcile_every, .. } = *options;
        let pace = Pace { watching, poll_every, reconcile_every };
        let keeper = Keeper::new(Arc::clone(&self.engine), pace, self.phase.clone());
        self.threads.push(thread("share-keep", move || keeper.run())?);
        Ok(())
    }
}

impl Drop for Sharing {
    fn drop(&mut self) {
        self.stop();
    }
}

fn thread(name: &str, run: impl FnOnce() + Send + 'static) -> std::io::Result<JoinHandle<()>> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run)
}

fn open(spec: &ShareSpec, filter: &Filter, logins: &FtpLogins) -> Result<Origin, ShareError> {
    let dir = match &spec.location {
        Location::Folder(dir) => dir,
        Location::Server(url) => {
            if let Some(user) = logins.lacks_password(url) {
                return Err(ShareError::NoPassword { user, host: url.host().to_owned() });
            }
            let server = remote::Server::new(&spec.name, url, logins).map_err(ShareError::Tls)?;
            return Ok(Origin::Server(Arc::new(server)));
        }
    };
    if filter.is_private(dir) {
        return Err(ShareError::Private { dir: dir.clone() });
    }
    let failed = |source| SpecError::Folder { dir: dir.clone(), source };
    Ok(Origin::Folder(Arc::new(Root::open(&spec.name, dir).map_err(failed)?)))
}

fn engine(
    filter: Filter,
    cache: Option<&std::path::Path>,
    catalogue: Arc<Catalogue>,
) -> Result<(Arc<Engine>, mpsc::Receiver<String>), ShareError> {
    let (cache, note) = HashCache::open(cache, today());
    let (cache, inbox) = (Arc::new(cache), Arc::new(Inbox::default()));
    let suspects = Arc::clone(&inbox);
    let suspect = Box::new(move |share, disk: &str| {
        suspects.touch(Place { share, relative: disk.into() }, Look::Always);
    });
    if !catalogue.connect(Hooks { cache: Arc::clone(&cache), suspect }) {
        return Err(ShareError::Twice);
    }
    let (notes, receiver) = Notes::new();
    let (queue, progress, is_stopping) = (Queue::default(), Arc::default(), AtomicBool::new(false));
    let servers = Mutex::default();
    let engine = Engine { catalogue, cache, inbox, queue, servers, progress, notes, filter, is_stopping };
    if let Some(note) = note {
        engine.notes.tell(&engine.progress, "cache", &note);
    }
    Ok((Arc::new(engine), receiver))
}

/// Days since 1970.
fn today() -> u32 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u32::try_from(since.as_secs() / 86_400).unwrap_or(u32::MAX)
}
