//! Connections to peers, kept for the next request: one pool for all the downloads of a process.
//!
//! Invariants: never more than [`PEER_CONNECTIONS_MAX`] requests run against one peer at a time, whoever asks,
//! and they get their turn in the order they came; a connection goes back only after its answer was read to
//! the end, so the next answer on it is the next request's.

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use peerage_wire::PeerId;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::line::{Cutter, Line, LineError};
use crate::identity::Identity;
use crate::rate::RateLimit;
use crate::tls;

/// Requests at the same time to one peer: what its door grants one peer, and what fills a fast link.
pub(crate) const PEER_CONNECTIONS_MAX: usize = 4;
/// A connection's TCP handshake, and after it the TLS handshake.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// How long an idle connection is kept: a little less than a door waits for the next request.
const IDLE_MAX: Duration = Duration::from_secs(8);

/// A peer and where it was reached.
type Place = (PeerId, SocketAddr);

/// Why a connection could not be made.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("can't be reached: {0}")]
    Dial(#[source] io::Error),
    #[error("did not answer within 5 s")]
    Timeout,
    #[error("another peer answers at its address")]
    WrongKey,
    #[error("does not speak the protocol: {0}")]
    Handshake(String),
}

/// Open connections, by peer and address.
pub struct Pool {
    identity: Arc<Identity>,
    limit: Option<RateLimit>,
    peers: Mutex<HashMap<Place, Kept>>,
}

struct Kept {
    permits: Arc<Semaphore>,
    idle: Vec<(Line, Instant)>,
}

impl Pool {
    /// No connections yet; those it makes show this peer's key.
    #[must_use]
    pub fn new(identity: Arc<Identity>) -> Self {
        Self { identity, limit: None, peers: Mutex::default() }
    }

    /// The same within a limit on what all its connections receive together.
    #[must_use]
    pub fn with_limit(self, limit: Option<RateLimit>) -> Self {
        Self { limit, ..self }
    }

    /// Waits for a turn at `peer` and gives a kept connection, or a new one.
    pub(crate) async fn lease(self: &Arc<Self>, place: Place) -> Result<Lease, ConnectError> {
        let permits = self.permits(place);
        let permit =
            permits.acquire_owned().await.map_err(|error| ConnectError::Handshake(error.to_string()))?;
        match self.take_idle(place) {
            Some(line) => Ok(self.lease_of(place, line, permit, Origin::Kept)),
            None => Ok(self.lease_of(place, self.connect(place).await?, permit, Origin::New)),
        }
    }

    /// Whose key it shows.
    pub(crate) fn own(&self) -> PeerId {
        self.identity.peer_id()
    }

    /// Connections that wait for the next request.
    #[cfg(test)]
    pub(crate) fn idle_connections(&self) -> usize {
        self.lock().values().map(|kept| kept.idle.len()).sum()
    }

    fn lease_of(
        self: &Arc<Self>,
        place: Place,
        line: Line,
        permit: OwnedSemaphorePermit,
        origin: Origin,
    ) -> Lease {
        Lease { pool: Arc::clone(self), place, line, origin, _permit: permit }
    }

    fn permits(&self, place: Place) -> Arc<Semaphore> {
        let mut peers = self.lock();
        let now = Instant::now();
        peers.retain(|_, kept| {
            kept.idle.retain(|(line, since)| is_usable(line, *since, now));
            !kept.idle.is_empty() || Arc::strong_count(&kept.permits) > 1
        });
        let new = || Kept { permits: Arc::new(Semaphore::new(PEER_CONNECTIONS_MAX)), idle: Vec::new() };
        Arc::clone(&peers.entry(place).or_insert_with(new).permits)
    }

    fn take_idle(&self, place: Place) -> Option<Line> {
        self.lock().get_mut(&place)?.idle.pop().map(|(line, _)| line)
    }

    async fn connect(&self, (peer, address): Place) -> Result<Line, ConnectError> {
        let config = tls::client_config(&self.identity, peer);
        let config = config.map_err(|error| ConnectError::Handshake(error.to_string()))?;
        let dialled = tokio::time::timeout(CONNECT_TIMEOUT, TcpStream::connect(address)).await;
        let stream = dialled.map_err(|_| ConnectError::Timeout)?.map_err(ConnectError::Dial)?;
        let stream = Arc::new(blocking(stream).map_err(ConnectError::Dial)?);
        let cutter = Cutter::new(Arc::clone(&stream));
        let (name, limit) = (ServerName::IpAddress(address.ip().into()), self.limit.clone());
        let shaking = tokio::task::spawn_blocking(move || Line::open(stream, config, name, limit));
        let line = tokio::time::timeout(CONNECT_TIMEOUT, shaking).await.map_err(|_| ConnectError::Timeout)?;
        let line = line.map_err(|error| ConnectError::Handshake(error.to_string()))?;
        let line = line.map_err(|error| refused(&error))?;
        cutter.spare();
        Ok(line)
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Place, Kept>> {
        self.peers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// For the thread that will read it.
fn blocking(stream: TcpStream) -> io::Result<std::net::TcpStream> {
    // Requests are written whole, so waiting to fill a packet would only delay them.
    stream.set_nodelay(true)?;
    let stream = stream.into_std()?;
    stream.set_nonblocking(false)?;
    Ok(stream)
}

fn is_usable(line: &Line, since: Instant, now: Instant) -> bool {
    line.is_quiet() && now.saturating_duration_since(since) < IDLE_MAX
}

/// A key that is not the expected one is told from a stranger's garbage.
fn refused(error: &LineError) -> ConnectError {
    use rustls::{CertificateError, Error};
    match error {
        LineError::Tls(Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure)) => {
            ConnectError::WrongKey
        }
        error => ConnectError::Handshake(error.to_string()),
    }
}

/// Whether a connection has served before: the other side may have closed it meanwhile.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Origin {
    Kept,
    New,
}

/// A turn at a peer, with a connection. Dropping it closes the connection.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    place: Place,
    pub(crate) line: Line,
    pub(crate) origin: Origin,
    _permit: OwnedSemaphorePermit,
}

impl Lease {
    /// Keeps the connection for the next request; its answer must have been read to the end.
    pub(crate) fn give_back(self) {
        let Self { pool, place, line, .. } = self;
        line.release();
        if let Some(kept) = pool.lock().get_mut(&place) {
            kept.idle.push((line, Instant::now()));
        }
    }

    /// Replaces a kept connection that turned out to be closed.
    pub(crate) async fn renew(&mut self) -> Result<(), ConnectError> {
        self.line = self.pool.connect(self.place).await?;
        self.origin = Origin::New;
        Ok(())
    }
}
