//! The native door: HTTP/1.1 over TLS 1.3, contents by their hash, to other peers and to `curl`.
//!
//! Invariants: every wait has a limit (handshake, header, slot, slow reader, end), and so has every count
//! (connections in all and from one address, slots, queue); who asks is known by a key or by an address only.

mod blobs;
mod body;
mod bundle;
pub(crate) mod gate;
mod host;
mod meter;
mod range;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use peerage_wire::limits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::catalogue::Catalogue;
use crate::identity::Identity;
use crate::tls;
use crate::uploads::{Receiver, Uploads};
use blobs::{Caller, answer, misdirected};
use body::DoorBody;
use gate::{Gate, Pass};
use host::Hosts;
use meter::{Meter, Metered};

/// Plaintext that TLS may hold for one connection: a whole read of a file, so that it is sent in one go.
const TLS_BUFFER_BYTES: usize = 256 << 10;
/// Bytes of a response that HTTP may hold for one connection before it waits for the network.
const HTTP_BUFFER_BYTES: usize = 64 << 10;
/// How long to wait when the process has no descriptor left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a door serves, as whom, and to how many.
pub struct Door {
    catalogue: Arc<Catalogue>,
    identity: Arc<Identity>,
    uploads: Uploads,
    hosts: Hosts,
}

impl Door {
    /// With the slots, rate and counters that all doors of the peer share.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, identity: Arc<Identity>, uploads: Uploads) -> Self {
        Self { catalogue, identity, uploads, hosts: Hosts::of_this_machine() }
    }
}

/// Serves until `shutdown` is done, then lets running answers end for [`limits::DRAIN_TIMEOUT`].
///
/// # Errors
/// When this peer's certificate can't be made.
pub async fn run(listener: TcpListener, door: Door, shutdown: impl Future<Output = ()>) -> io::Result<()> {
    let config = tls::server_config(&door.identity).map_err(io::Error::other)?;
    let acceptor = TlsAcceptor::from(config);
    let (door, gate) = (Arc::new(door), Arc::new(Gate::new()));
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => if let Some(pass) = gate.enter(address.ip()) {
                    let guest = Guest { address, pass, stopped: stopped.clone() };
                    connections.spawn(welcome(acceptor.clone(), stream, guest, Arc::clone(&door)));
                },
                Err(error) => pause(&error).await,
            },
        }
    }
    drop(listener);
    stop.send_replace(true);
    let drained = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(limits::DRAIN_TIMEOUT, drained).await.is_err() {
        tracing::debug!(left = connections.len(), "cutting the connections that did not end in time");
    }
    connections.shutdown().await;
    Ok(())
}

/// One connection's circumstances.
struct Guest {
    address: SocketAddr,
    pass: Pass,
    stopped: watch::Receiver<bool>,
}

/// A connection that failed before it was accepted is the other's trouble; a lack of descriptors is ours.
async fn pause(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::warn!(%error, "can't accept connections");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn welcome(acceptor: TlsAcceptor, stream: TcpStream, guest: Guest, door: Arc<Door>) {
    // Answers are written whole, so waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let meter = Arc::new(Meter::default());
    let stream = Metered { stream, meter: Arc::clone(&meter) };
    let shaken = acceptor.accept_with(stream, |tls| tls.set_buffer_limit(Some(TLS_BUFFER_BYTES)));
    match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, shaken).await {
        Ok(Ok(stream)) => serve(stream, guest, meter, door).await,
        Ok(Err(error)) => tracing::debug!(address = %guest.address, %error, "no handshake"),
        Err(_) => tracing::debug!(address = %guest.address, "the handshake took too long"),
    }
}

async fn serve(stream: TlsStream<Metered<TcpStream>>, guest: Guest, meter: Arc<Meter>, door: Arc<Door>) {
    let Guest { address, pass: _pass, mut stopped } = guest;
    let caller = Arc::new(Caller { receiver: receiver(&stream, address), meter: Arc::clone(&meter) });
    let service = service_fn(move |request| respond(Arc::clone(&door), Arc::clone(&caller), request));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits::HEADER_TIMEOUT)
        .max_header_size(limits::HEADER_BYTES_MAX)
        .max_buf_size(HTTP_BUFFER_BYTES)
        .serve_connection(TokioIo::new(stream), service);
    tokio::pin!(connection);
    let mut is_stopping = false;
    loop {
        tokio::select! {
            ended = &mut connection => {
                if let Err(error) = ended {
                    tracing::debug!(%address, %error, "a connection ended early");
                }
                return;
            }
            () = meter.too_slow() => {
                tracing::debug!(%address, "cut: it takes less than 4 KiB a second");
                return;
            }
            _ = stopped.wait_for(|stop| *stop), if !is_stopping => {
                is_stopping = true;
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

fn receiver(stream: &TlsStream<Metered<TcpStream>>, address: SocketAddr) -> Receiver {
    let (_, session) = stream.get_ref();
    let certificate = session.peer_certificates().and_then(|chain| chain.first());
    match certificate.and_then(tls::peer_id_of) {
        Some(peer) => Receiver::peer(peer),
        None => Receiver::address(address.ip()),
    }
}

async fn respond(
    door: Arc<Door>,
    caller: Arc<Caller>,
    request: Request<Incoming>,
) -> Result<Response<DoorBody>, Infallible> {
    if !door.hosts.accept(&request) {
        return Ok(misdirected());
    }
    let (head, body) = request.into_parts();
    Ok(match (&head.method, head.uri.path()) {
        (&Method::POST, bundle::PATH) => bundle::answer(&door, &caller, body).await,
        _ => answer(&door, &caller, &head).await,
    })
}

#[cfg(test)]
mod tests;
