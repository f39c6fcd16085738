//! The accept loop of every door of HTTP, over TLS or over nothing: one task a connection, each within its limits.
//!
//! Invariants: every wait has a limit (handshake, header, slow reader, end), and so has every count (connections in all and
//! from one address); who asks is known by a key or by an address only.

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use peerage_wire::limits;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use super::answer::Caller;
use super::gate::Pass;
use super::meter::{Meter, Metered};
use super::{Door, Way, respond};
use crate::tls;
use crate::uploads::Receiver;

/// Plaintext that TLS may hold for one connection: a whole read of a file, so that it is sent in one go.
const TLS_BUFFER_BYTES: usize = 256 << 10;
/// Bytes of a response that HTTP may hold for one connection before it waits for the network.
const HTTP_BUFFER_BYTES: usize = 64 << 10;
/// How long to wait when the process has no descriptor left for a new connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// How a connection begins.
#[derive(Clone)]
pub(super) enum Entry {
    /// With a handshake; then everything is served.
    Tls(TlsAcceptor),
    /// At once; then the folder door alone is served.
    Plain,
}

/// One connection's circumstances.
struct Guest {
    address: SocketAddr,
    pass: Pass,
    stopped: watch::Receiver<bool>,
}

/// Serves until `shutdown` is done, then lets running answers end for [`limits::DRAIN_TIMEOUT`].
pub(super) async fn run(
    listener: TcpListener,
    door: Arc<Door>,
    entry: Entry,
    shutdown: impl Future<Output = ()>,
) {
    let (stop, stopped) = watch::channel(false);
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept() => match accepted {
                Ok((stream, address)) => {
                    let (entry, door, stopped) = (entry.clone(), Arc::clone(&door), stopped.clone());
                    connections.spawn(async move {
                        if let Some(pass) = door.gate.admit(address.ip()).await {
                            welcome(entry, stream, Guest { address, pass, stopped }, door).await;
                        }
                    });
                }
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
}

/// A connection that failed before it was accepted is the other's trouble; a lack of descriptors is ours.
async fn pause(error: &io::Error) {
    if !matches!(error.kind(), io::ErrorKind::ConnectionAborted | io::ErrorKind::ConnectionReset) {
        tracing::warn!(%error, "can't accept connections");
        tokio::time::sleep(ACCEPT_PAUSE).await;
    }
}

async fn welcome(entry: Entry, stream: TcpStream, guest: Guest, door: Arc<Door>) {
    // Answers are written whole, so waiting to fill a packet would only delay them.
    let _ = stream.set_nodelay(true);
    let meter = Arc::new(Meter::default());
    let stream = Metered { stream, meter: Arc::clone(&meter) };
    let address = guest.address;
    let Entry::Tls(acceptor) = entry else {
        let caller = Caller { receiver: Receiver::address(address.ip()), meter };
        return serve(stream, guest, caller, Way::Http, door).await;
    };
    let shaken = acceptor.accept_with(stream, |tls| tls.set_buffer_limit(Some(TLS_BUFFER_BYTES)));
    match tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, shaken).await {
        Ok(Ok(stream)) => {
            let caller = Caller { receiver: receiver(&stream, address), meter };
            serve(stream, guest, caller, Way::Native, door).await;
        }
        Ok(Err(error)) => tracing::debug!(%address, %error, "no handshake"),
        Err(_) => tracing::debug!(%address, "the handshake took too long"),
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

async fn serve<S>(stream: S, guest: Guest, caller: Caller, way: Way, door: Arc<Door>)
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let Guest { address, pass: _pass, mut stopped } = guest;
    let (meter, caller) = (Arc::clone(&caller.meter), Arc::new(caller));
    let service = service_fn(move |request| {
        let (door, caller) = (Arc::clone(&door), Arc::clone(&caller));
        async move { Ok::<_, Infallible>(respond(&door, &caller, way, request).await) }
    });
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
