//! The FTP door (RFC 959, with 2389, 2428, 2640, 3659 and 4217): reading only, passive only.
//!
//! [`run`] accepts and guards; each connection is a `session`, which reads lines (`line`), understands them
//! (`command`), and answers (`reply`); what it sends beside that goes over `data`. Invariants: every wait and every
//! count has a limit; a data connection is taken from the client's own address only.

mod command;
mod control;
mod data;
mod guard;
mod line;
mod listing;
mod pattern;
mod place;
mod ports;
mod reply;
mod session;
mod transfer;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use peerage_peer::catalogue::Catalogue;
use peerage_peer::identity::Identity;
use peerage_peer::tls;
use peerage_peer::uploads::{Uploads, owner_of};
use peerage_wire::limits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::users::Users;
use guard::{Guard, Refusal};
use session::Session;

pub use ports::{PortRange, PortRangeError};

/// The port of an FTP door where it is free: above those that only root may open.
pub const FTP_PORT: u16 = 2_121;
/// How long to wait when the process has no descriptor left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// How long a connection that is turned away may take to hear why.
const REFUSAL_TIMEOUT: Duration = Duration::from_secs(1);

/// When clients must speak TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tls {
    /// Before they log in, and for all data.
    Required,
    /// When they ask for it.
    Optional,
    /// Never: it is not offered.
    Off,
}

/// How a door behaves.
#[derive(Debug, Clone)]
pub struct FtpConfig {
    /// When clients must speak TLS.
    pub tls: Tls,
    /// The ports of data connections; any dynamic one where `None`.
    pub passive: Option<PortRange>,
    /// The address that `PASV` names, where clients reach this machine by another than its own.
    pub advertise: Option<Ipv4Addr>,
    /// Who may see more than everybody.
    pub users: Users,
}

/// What a door serves, as whom, and how.
pub struct FtpDoor {
    catalogue: Arc<Catalogue>,
    uploads: Uploads,
    acceptor: Option<TlsAcceptor>,
    config: FtpConfig,
    guard: Arc<Guard>,
}

impl FtpDoor {
    /// A door of a peer.
    ///
    /// # Errors
    /// When this peer's certificate can't be made.
    pub fn new(
        catalogue: Arc<Catalogue>,
        uploads: Uploads,
        identity: &Identity,
        config: FtpConfig,
    ) -> io::Result<Self> {
        let acceptor = match config.tls {
            Tls::Off => None,
            Tls::Optional | Tls::Required => {
                Some(TlsAcceptor::from(tls::plain_server_config(identity).map_err(io::Error::other)?))
            }
        };
        Ok(Self { catalogue, uploads, acceptor, config, guard: Arc::new(Guard::new()) })
    }
}

/// Serves until `shutdown` is done, then lets running transfers end for [`limits::DRAIN_TIMEOUT`].
pub async fn run(listener: TcpListener, door: FtpDoor, shutdown: impl Future<Output = ()>) {
    let door = Arc::new(door);
    let (stop, stopped) = watch::channel(false);
    let mut sessions = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = sessions.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    sessions.spawn(welcome(Arc::clone(&door), stream, address, stopped.clone()));
                }
                Err(error) => pause(&error).await,
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while sessions.join_next().await.is_some() {} };
    if tokio::time::timeout(limits::DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::debug!(left = sessions.len(), "cutting the FTP sessions that did not end in time");
    }
    sessions.shutdown().await;
}

async fn welcome(door: Arc<FtpDoor>, stream: TcpStream, address: SocketAddr, stopped: watch::Receiver<bool>) {
    // Replies are written whole, so waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let pass = match door.guard.enter(owner_of(address.ip())) {
        Ok(pass) => pass,
        Err(refusal) => return turn_away(stream, refusal).await,
    };
    let outcome = match Session::new(door, stream, address) {
        Ok(session) => session.run(stopped).await,
        Err(error) => Err(error),
    };
    if let Err(error) = outcome {
        tracing::debug!(%address, %error, "an FTP session ended early");
    }
    drop(pass);
}

async fn turn_away(mut stream: TcpStream, refusal: Refusal) {
    use tokio::io::AsyncWriteExt;
    let reply = refusal.reply().to_bytes();
    let _ = tokio::time::timeout(REFUSAL_TIMEOUT, async {
        stream.write_all(&reply).await?;
        stream.shutdown().await
    })
    .await;
}

/// A connection that failed before it was accepted is the other's trouble; a lack of descriptors is ours.
async fn pause(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::warn!(%error, "can't accept FTP connections");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}
