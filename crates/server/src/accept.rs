//! The accept loop: one task a connection, each within the bounds of [`Slots`], each with hyper's timers on.
//!
//! Invariants: no failing connection and no lack of descriptors ends the loop or makes it spin. A connection
//! holds its slot until its socket is closed. After `shutdown` nothing is accepted, connections without a request
//! are closed, running requests may end.

use std::convert::Infallible;
use std::io::{self, Write};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::response::Response;
use hyper::Request;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use peerage_wire::limits;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};
use tower::ServiceExt;

use crate::address::Ends;
use crate::config::{Config, Slowest};
use crate::descriptors;
use crate::pace::PacedBody;
use crate::slots::{Bounds, Slot, Slots};
use crate::stall::Stall;

/// How long to leave the listener alone when the system has no descriptor or memory for another socket: long
/// enough not to spin, short enough that nobody notices.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a connection above a bound is told, as far as it listens.
const FULL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\n\
content-type: application/json\r\ncontent-length: 126\r\nretry-after: 1\r\nconnection: close\r\n\r\n\
{\"error\":{\"code\":\"limit\",\"message\":\"too many connections\",\"hint\":\"close those you do not use, \
or try again in a few seconds\"}}";

/// Serves until `shutdown`, then lets running requests end for [`Config::drain_timeout`].
pub(crate) async fn serve(
    listener: TcpListener,
    router: Router,
    config: &Config,
    slots: &Arc<Slots>,
    shutdown: impl Future<Output = ()> + Send,
) {
    let (stop, stopping) = watch::channel(());
    let talk = Talk { router, header_timeout: config.header_timeout, slowest: config.slowest, stopping };
    let mut open = JoinSet::new();
    let mut shutdown = pin!(shutdown);
    loop {
        tokio::select! {
            () = &mut shutdown => break,
            Some(_) = open.join_next() => {}
            accepted = accept(&listener) => admit(accepted, slots, &talk, &mut open),
        }
    }
    drop((listener, talk));
    stop.send_replace(());
    let drained = timeout(config.drain_timeout, async { while open.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        tracing::warn!(connections = open.len(), "requests were still running and are cut off");
        open.shutdown().await;
    }
}

/// How many connections there may be.
pub(crate) fn bounds(config: &Config) -> Bounds {
    Bounds {
        all_max: descriptors::connections_max(config.connections_max),
        per_origin_max: config.connections_per_address_max,
        loopback_max: config.connections_loopback_max,
    }
}

async fn accept(listener: &TcpListener) -> (TcpStream, Ends) {
    loop {
        match listener.accept().await {
            Ok((stream, remote)) => {
                if let Ok(local) = stream.local_addr() {
                    return (stream, Ends::new(remote, local));
                }
            }
            Err(error) if is_about_one_connection(&error) => tracing::debug!(%error, "a client left early"),
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted for now");
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_about_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset, Interrupted};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset | Interrupted)
}

fn admit((stream, ends): (TcpStream, Ends), slots: &Arc<Slots>, talk: &Talk, open: &mut JoinSet<()>) {
    if let Some(slot) = slots.take(ends.remote.ip()) {
        open.spawn(talk.clone().converse(stream, ends, slot));
    } else {
        tracing::debug!(remote = %ends.remote, "a connection above the bound is refused");
        refuse(stream);
    }
}

/// Says so without waiting: the bytes fit into a new socket's empty buffer.
fn refuse(stream: TcpStream) {
    let told = stream.into_std().and_then(|mut stream| stream.write_all(FULL));
    if let Err(error) = told {
        tracing::trace!(%error, "a refused client could not be told");
    }
}

/// What every connection needs.
#[derive(Clone)]
struct Talk {
    router: Router,
    header_timeout: Duration,
    slowest: Slowest,
    stopping: watch::Receiver<()>,
}

impl Talk {
    async fn converse(self, stream: TcpStream, ends: Ends, _slot: Slot) {
        // Small answers go out at once; where that can't be set the connection works all the same.
        let _ = stream.set_nodelay(true);
        let asked = AtomicBool::new(false);
        let service = service_fn(|request| {
            asked.store(true, Ordering::Relaxed);
            self.answer(request, ends)
        });
        let io = TokioIo::new(Stall::new(stream, self.slowest));
        let mut connection = pin!(self.protocol().serve_connection(io, service));
        let mut stopping = self.stopping.clone();
        let ended = tokio::select! {
            ended = connection.as_mut() => ended,
            _ = stopping.changed() => {
                if !asked.load(Ordering::Relaxed) {
                    return; // hyper would wait for the rest of its headers
                }
                connection.as_mut().graceful_shutdown();
                connection.await
            }
        };
        if let Err(error) = ended {
            tracing::debug!(remote = %ends.remote, %error, "a connection failed");
        }
    }

    fn protocol(&self) -> http1::Builder {
        let mut protocol = http1::Builder::new();
        protocol
            .timer(TokioTimer::new())
            .header_read_timeout(self.header_timeout)
            .max_buf_size(limits::HEADER_BYTES_MAX)
            .max_header_size(limits::HEADER_BYTES_MAX);
        protocol
    }

    fn answer(
        &self,
        request: Request<Incoming>,
        ends: Ends,
    ) -> impl Future<Output = Result<Response, Infallible>> + Send + use<> {
        let slowest = self.slowest;
        let mut request = request.map(|body| Body::new(PacedBody::new(body, slowest)));
        request.extensions_mut().insert(ends);
        self.router.clone().oneshot(request)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_one_connections_own_errors_are_passed_over() {
        let of = |number| is_about_one_connection(&io::Error::from_raw_os_error(number));
        assert!(of(103) && of(104), "ECONNABORTED, ECONNRESET");
        assert!(!of(24) && !of(23) && !of(12), "EMFILE, ENFILE, ENOMEM");
    }

    #[test]
    fn the_refusal_is_a_whole_answer() {
        let text = std::str::from_utf8(FULL).unwrap();
        let (head, body) = text.split_once("\r\n\r\n").unwrap();
        assert!(head.contains(&format!("content-length: {}", body.len())), "{}", body.len());
        let body: peerage_wire::api::ErrorBody = serde_json::from_str(body).unwrap();
        assert_eq!(body.error.code, "limit");
    }
}
