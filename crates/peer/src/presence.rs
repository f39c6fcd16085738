//! What others see of a peer: its open doors, and its registration with an index.
//!
//! Invariants: the doors are open before anything is registered, so whatever the index says is here can be fetched;
//! closing says quit first, so nobody is sent to a door that is closing. Dropping it closes all without a word.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;

use peerage_wire::api::{Doors, FtpDoor};
use peerage_wire::{PeerName, limits};

use crate::catalogue::Catalogue;
use crate::home::{Home, HomeError, HomeLock};
use crate::identity::Identity;
use crate::index_client::IndexClient;
use crate::register::{Backoff, Registrar, Registration};
use crate::serve::{self, Door};
use crate::uploads::Uploads;

/// How a peer appears.
#[derive(Debug, Clone)]
pub(crate) struct Appearance {
    pub(crate) index: IndexClient,
    pub(crate) name: PeerName,
    /// What all its doors share.
    pub(crate) uploads: Uploads,
    /// Its FTP door, where it has one.
    pub(crate) ftp: Option<FtpDoor>,
    /// Held until it has left the index, however it is closed.
    pub(crate) here: Option<mpsc::Sender<()>>,
}

/// Where its doors are open.
pub(crate) struct Listeners {
    pub(crate) native: TcpListener,
    /// For the folder door without TLS.
    pub(crate) http: Option<TcpListener>,
}

/// Whose presence it is.
pub(crate) struct Owner<'a> {
    pub(crate) home: &'a Home,
    pub(crate) lock: &'a Arc<HomeLock>,
    pub(crate) identity: &'a Arc<Identity>,
}

/// Open doors and a registration.
pub(crate) struct Presence {
    registration: watch::Receiver<Registration>,
    registrar: JoinHandle<()>,
    door: JoinHandle<io::Result<()>>,
    http: Option<JoinHandle<()>>,
    stop_registrar: watch::Sender<bool>,
    stop_doors: watch::Sender<bool>,
}

impl Presence {
    /// Opens the doors, and registers what is in the catalogue once `is_ready` is over.
    pub(crate) fn open(
        owner: &Owner<'_>,
        listeners: Listeners,
        catalogue: &Arc<Catalogue>,
        appearance: Appearance,
        is_ready: impl Future<Output = ()> + Send + 'static,
    ) -> Result<Self, HomeError> {
        let native = listeners.native.local_addr().map_or(0, |address| address.port());
        let first_epoch = owner.home.next_epoch(owner.lock)?;
        let (stop_doors, stopped) = watch::channel(false);
        let door = Door::new(Arc::clone(catalogue), Arc::clone(owner.identity), appearance.uploads);
        let door = Arc::new(door);
        let http = listeners.http.map(|listener| {
            tokio::spawn(serve::run_http(listener, Arc::clone(&door), asked_to_stop(stopped.clone())))
        });
        let door = tokio::spawn(serve::run(listeners.native, door, asked_to_stop(stopped)));
        let (state, registration) = watch::channel(Registration::Connecting);
        let (stop_registrar, registrar_stopped) = watch::channel(false);
        let registrar = Registrar {
            client: appearance.index,
            identity: Arc::clone(owner.identity),
            catalogue: Arc::clone(catalogue),
            name: appearance.name,
            doors: Doors { native, ftp: appearance.ftp },
            next_epoch: epochs(owner.home.clone(), Arc::clone(owner.lock), first_epoch),
            state,
            backoff: Backoff::default(),
            session: None,
        };
        let here = appearance.here;
        let registrar = tokio::spawn(async move {
            let _here = here;
            tokio::select! {
                () = is_ready => {}
                () = asked_to_stop(registrar_stopped.clone()) => return,
            }
            registrar.run(registrar_stopped).await;
        });
        Ok(Self { registration, registrar, door, http, stop_registrar, stop_doors })
    }

    /// How the registration stands.
    pub(crate) const fn registration(&self) -> &watch::Receiver<Registration> {
        &self.registration
    }

    /// Leaves the index, and lets running uploads end for a moment, at most `drain`.
    pub(crate) async fn close(self, drain: Duration) {
        self.stop_registrar.send_replace(true);
        let _ = self.registrar.await;
        self.stop_doors.send_replace(true);
        let closed = async {
            let _ = self.door.await;
            if let Some(http) = self.http {
                let _ = http.await;
            }
        };
        let _ = tokio::time::timeout(drain, closed).await;
    }
}

/// Where a peer serves unless it is told otherwise.
pub(crate) const USUAL: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::UNSPECIFIED), limits::PEER_PORT);

/// Opens the port that was asked for; where none was, the usual one or a free one. The error comes with the address.
pub(crate) async fn listen(
    asked: Option<SocketAddr>,
    usual: SocketAddr,
) -> Result<TcpListener, (SocketAddr, io::Error)> {
    let address = asked.unwrap_or(usual);
    match TcpListener::bind(address).await {
        Err(error) if asked.is_none() && error.kind() == io::ErrorKind::AddrInUse => {
            let any = SocketAddr::new(usual.ip(), 0);
            TcpListener::bind(any).await.map_err(|error| (any, error))
        }
        outcome => outcome.map_err(|error| (address, error)),
    }
}

async fn asked_to_stop(mut stop: watch::Receiver<bool>) {
    // A handle that is gone can't ask any more: the same as being asked.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Numbers for epochs: `first`, then higher ones, each kept in the home before it is used. Should the disk fail, memory
/// alone still gives higher ones for as long as this process lives.
fn epochs(home: Home, lock: Arc<HomeLock>, first: u64) -> Box<dyn FnMut() -> u64 + Send + Sync> {
    let mut last = None;
    Box::new(move || {
        let next = match last {
            None => first,
            Some(last) => home.next_epoch(&lock).unwrap_or(last + 1),
        };
        last = Some(next);
        next
    })
}
