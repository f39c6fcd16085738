//! A whole peer in one handle: its share, its doors and its registration, started and stopped together.
//!
//! Invariants: one process a home (the lock is held as long as the handle lives); the doors are open before anything is
//! registered, so whatever the index says is here can be fetched; stopping says quit first, so nobody is sent to a
//! door that is closing.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use peerage_wire::api::FtpDoor;
use peerage_wire::{PeerId, PeerName, limits};

use crate::catalogue::Catalogue;
use crate::home::{Home, HomeError};
use crate::identity::{Identity, IdentityError};
use crate::index_client::{IndexClient, IndexError};
use crate::partials::Partials;
use crate::presence::{Appearance, Listeners, Owner, Presence, USUAL, listen};
use crate::queue::{self, Host, Queue, Standing};
use crate::rate::RateLimits;
use crate::register::Registration;
use crate::serve::HttpListen;
use crate::share::{Phase, ShareArg, ShareError, ShareOptions, ShareProgress, ShareSpec, Sharing};
use crate::uploads::Uploads;

/// How long the first announcement waits for the first look over the folders. An unchanged share is then announced
/// whole and nothing needs to be sent; one that takes longer is registered as it is found.
const FIRST_SCAN_WAIT: Duration = Duration::from_secs(5);
/// How long uploads may take to end when the peer stops.
const DRAIN: Duration = limits::DRAIN_TIMEOUT;

/// The file of the home that remembers hashes.
const CACHE_FILE: &str = "hashes.redb";

/// What a peer is made of.
#[derive(Debug, Clone)]
pub struct PeerConfig {
    /// Where it keeps its key and its caches.
    pub home: PathBuf,
    /// The index to register with.
    pub index: IndexClient,
    /// Its name for people.
    pub name: PeerName,
    /// Where to serve; `None` for the default port, or a free one where that is taken.
    pub listen: Option<SocketAddr>,
    /// Where to open the folder door without TLS as well, for this machine.
    pub http: Option<HttpListen>,
    /// Its FTP door, to be announced; whoever opens it runs it.
    pub ftp: Option<FtpDoor>,
    /// The folders to share.
    pub shares: Vec<ShareSpec>,
    /// How fast it may send and receive.
    pub limits: RateLimits,
    /// How to share them; where hashes are remembered and that the home is never shared is seen to here.
    pub options: ShareOptions,
}

/// Why a peer can't start.
#[derive(Debug, thiserror::Error)]
pub enum PeerError {
    /// The home can't be used.
    #[error(transparent)]
    Home(#[from] HomeError),
    /// The key can't be used.
    #[error(transparent)]
    Identity(#[from] IdentityError),
    /// A folder can't be shared.
    #[error(transparent)]
    Share(#[from] ShareError),
    /// The index's address can't be used.
    #[error(transparent)]
    Index(#[from] IndexError),
    /// The port can't be opened.
    #[error(
        "can't serve on {address}: {source}\nhint: give another address or port with `--listen ADDR:PORT`"
    )]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
    /// The port for plain HTTP can't be opened.
    #[error("can't serve HTTP on {address}: {source}\nhint: give another port with `--http ADDR:PORT`")]
    ListenHttp {
        /// What was asked for.
        address: SocketAddr,
        /// The system's words.
        source: std::io::Error,
    },
}

/// A running peer. Dropping it stops it without saying quit; [`Peer::stop`] is the polite way.
pub struct Peer {
    identity: Arc<Identity>,
    address: SocketAddr,
    http: Option<SocketAddr>,
    catalogue: Arc<Catalogue>,
    uploads: Uploads,
    sharing: Sharing,
    notes: Option<mpsc::Receiver<String>>,
    presence: Presence,
    host: Host,
}

impl Peer {
    /// Starts serving, sharing and registering. What takes time (scanning, hashing, reaching the index) goes on after
    /// this returns.
    ///
    /// # Errors
    /// [`PeerError`].
    pub async fn start(config: PeerConfig) -> Result<Self, PeerError> {
        let home = Home::open(&config.home)?;
        let lock = queue::take(&home).await?;
        let identity = Arc::new(Identity::load_or_create(home.path())?);
        let host = Host::open(&home, lock, Arc::clone(&identity), Standing::Peer, config.limits.down);
        let listeners = open_ports(config.listen, config.http).await?;
        let address = address_of(&listeners.native)?;
        let http = listeners.http.as_ref().map(address_of).transpose()?;
        let catalogue = Arc::new(Catalogue::with_partials(host.queue().partials().clone()));
        let mut options = config.options;
        options.cache = Some(home.state_file(CACHE_FILE));
        options.private.push(home.path().to_owned());
        let sharing = Sharing::start(config.shares, &options, Arc::clone(&catalogue))?;
        let mut phase = sharing.phase();
        let is_walked = async move {
            // A share that is not walked in time is registered as it is found.
            let walked = phase.wait_for(|phase| *phase >= Phase::Hashing);
            let _ = tokio::time::timeout(FIRST_SCAN_WAIT, walked).await;
        };
        let owner = Owner { home: &home, lock: host.lock(), identity: &identity };
        let uploads = Uploads::new(config.limits.up);
        let (index, name, ftp) = (config.index, config.name, config.ftp);
        let appearance = Appearance { index, name, uploads: uploads.clone(), ftp, here: None };
        let presence = Presence::open(&owner, listeners, &catalogue, appearance, is_walked)?;
        let notes = sharing.take_notes();
        Ok(Self { identity, address, http, catalogue, uploads, notes, sharing, presence, host })
    }

    /// Who it is.
    #[must_use]
    pub fn id(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Its key, for doors that show it.
    #[must_use]
    pub const fn identity(&self) -> &Arc<Identity> {
        &self.identity
    }

    /// The slots, the rate and the counters of all its doors.
    #[must_use]
    pub const fn uploads(&self) -> &Uploads {
        &self.uploads
    }

    /// Where its native door is open.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its folder door is open without TLS.
    #[must_use]
    pub const fn http_address(&self) -> Option<SocketAddr> {
        self.http
    }

    /// What it shares.
    #[must_use]
    pub const fn catalogue(&self) -> &Arc<Catalogue> {
        &self.catalogue
    }

    /// Its downloads, and those that other commands of its home hand in.
    #[must_use]
    pub const fn queue(&self) -> &Queue {
        self.host.queue()
    }

    /// Where downloads of this peer publish their pieces, as those of its queue do: given to
    /// [`crate::download::download`], they are a source from the first proven piece on.
    #[must_use]
    pub fn partials(&self) -> Partials {
        self.catalogue.partials().clone()
    }

    /// How far scanning and hashing are.
    #[must_use]
    pub fn progress(&self) -> Arc<ShareProgress> {
        self.sharing.progress()
    }

    /// How far the first look at the folders is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.sharing.phase().borrow()
    }

    /// Whether the index has acknowledged everything there was when the folders were looked at first, and all since.
    #[must_use]
    pub fn is_registered(&self) -> bool {
        let (files, _) = self.catalogue.counts();
        let registration = self.presence.registration().borrow();
        let is_acknowledged = matches!(*registration, Registration::Registered { files: known, complete: true, .. } if known == files);
        self.phase() == Phase::Done && self.catalogue.is_drained() && is_acknowledged
    }

    /// Shares one more folder.
    ///
    /// # Errors
    /// [`ShareError`]; what was shared stays shared.
    pub fn add(&self, folder: ShareArg) -> Result<ShareSpec, ShareError> {
        self.sharing.add(folder)
    }

    /// The next thing the person should know about the folders; waits for as long as there is none.
    pub async fn note(&mut self) -> String {
        if let Some(notes) = &mut self.notes
            && let Some(note) = notes.recv().await
        {
            return note;
        }
        self.notes = None;
        std::future::pending().await
    }

    /// How the registration stands.
    #[must_use]
    pub fn registration(&self) -> watch::Receiver<Registration> {
        self.presence.registration().clone()
    }

    /// Leaves the index, lets running uploads end for a moment, and gives the home back.
    pub async fn stop(self) {
        self.presence.close(DRAIN).await;
        let mut sharing = self.sharing;
        let _ = tokio::task::spawn_blocking(move || sharing.stop()).await;
    }
}

async fn open_ports(native: Option<SocketAddr>, http: Option<HttpListen>) -> Result<Listeners, PeerError> {
    let failed = |(address, source)| PeerError::Listen { address, source };
    let native = listen(native, USUAL).await.map_err(failed)?;
    let Some(http) = http else { return Ok(Listeners { native, http: None }) };
    let failed = |(address, source)| PeerError::ListenHttp { address, source };
    Ok(Listeners { native, http: Some(http.open().await.map_err(failed)?) })
}

fn address_of(listener: &TcpListener) -> Result<SocketAddr, PeerError> {
    listener.local_addr().map_err(|source| PeerError::Listen { address: UNKNOWN, source })
}

/// Stands for an address that the system would not tell.
const UNKNOWN: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), 0);
