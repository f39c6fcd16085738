//! The doors of HTTP/1.1: the native one over TLS 1.3, for other peers, `curl` and browsers, and a plain one for this machine.
//!
//! Over TLS there are contents by their hash and the folder door; without it there is the folder door alone. Invariants: all
//! of a peer's doors count connections, slots and rate together; no request is looked at before its `Host` was.

mod accept;
mod answer;
mod blobs;
mod body;
mod bundle;
mod conditions;
mod folder;
pub(crate) mod gate;
mod host;
mod local;
mod meter;
mod range;
mod refusal;

use std::io;
use std::sync::Arc;

use http::{Method, Request, Response};
use hyper::body::Incoming;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::catalogue::Catalogue;
use crate::identity::Identity;
use crate::tls;
use crate::uploads::Uploads;
use accept::Entry;
use answer::Caller;
use body::DoorBody;
use gate::Gate;
use host::Hosts;
use refusal::Refusal;

pub use local::{HttpListen, NotLocal};

/// What a peer's doors serve, as whom, and to how many.
pub struct Door {
    catalogue: Arc<Catalogue>,
    identity: Arc<Identity>,
    uploads: Uploads,
    hosts: Hosts,
    gate: Arc<Gate>,
}

impl Door {
    /// With the slots, rate and counters that all doors of the peer share.
    #[must_use]
    pub fn new(catalogue: Arc<Catalogue>, identity: Arc<Identity>, uploads: Uploads) -> Self {
        let (hosts, gate) = (Hosts::of_this_machine(), Arc::new(Gate::new()));
        Self { catalogue, identity, uploads, hosts, gate }
    }
}

/// By which door a request came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Way {
    Native,
    Http,
}

/// Serves over TLS until `shutdown` is done, then lets running answers end for a moment.
///
/// # Errors
/// When this peer's certificate can't be made.
pub async fn run(
    listener: TcpListener,
    door: Arc<Door>,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()> {
    let config = tls::server_config(&door.identity).map_err(io::Error::other)?;
    accept::run(listener, door, Entry::Tls(TlsAcceptor::from(config)), shutdown).await;
    Ok(())
}

/// Serves the folder door without TLS; the listener must be this machine's own, as [`HttpListen`] opens it.
pub async fn run_http(listener: TcpListener, door: Arc<Door>, shutdown: impl Future<Output = ()>) {
    accept::run(listener, door, Entry::Plain, shutdown).await;
}

async fn respond(door: &Door, caller: &Caller, way: Way, request: Request<Incoming>) -> Response<DoorBody> {
    if !door.hosts.accept(&request) {
        return Refusal::misdirected().to_response();
    }
    let (head, body) = request.into_parts();
    if folder::is_at(head.uri.path()) {
        return folder::answer(door, caller, &head).await;
    }
    let answer = match (way, &head.method, head.uri.path()) {
        (Way::Http, _, _) => Err(Refusal::not_found()),
        (Way::Native, &Method::POST, bundle::PATH) => bundle::answer(door, caller, body).await,
        (Way::Native, ..) => blobs::answer(door, caller, &head).await,
    };
    answer.unwrap_or_else(|refusal| refusal.to_response())
}

#[cfg(test)]
mod tests;
