//! Batches and waits, and what an index hears of downloads.
//!
//! The index here only writes down what it is told: the real one is met in the end-to-end tests.

use std::sync::Mutex;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use peerage_wire::api::{ErrorBody, ErrorDetail, HeartbeatReply, PartialSet, SessionReply, SessionRequest};
use peerage_wire::{ContentHash, SharePath};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::*;
use crate::have::Have;
use crate::part::{Opened, OutFolder, Part};
use crate::partials::Published;
use crate::peer::{Peer, PeerConfig};
use crate::share::ShareOptions;
use crate::testing::{content, hash, list_of};

#[test]
fn batches_are_cut_before_the_limit() {
    let long = vec!["x".repeat(250); 16].join("/");
    let changes: Vec<Change> = (0..5_000)
        .map(|n| Change::Remove { path: SharePath::parse(&format!("{n}/{long}")).unwrap() })
        .collect();
    let batches = lines_of(&changes);
    assert!(batches.len() > 1);
    assert!(batches.iter().all(|lines| lines.len() < limits::BATCH_BYTES_MAX));
    let lines = Vec::from(batches).concat();
    assert_eq!(lines.iter().filter(|byte| **byte == b'\n').count(), changes.len());
    assert!(lines_of(&[]).is_empty());
}

/// An index that writes down what it is told of downloads.
struct Scribe {
    client: IndexClient,
    heard: watch::Receiver<Vec<PartialSet>>,
    /// How many such messages it answers as if it had been restarted.
    forgets: Arc<Mutex<usize>>,
    task: AbortHandle,
}

impl Scribe {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let client = IndexClient::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let (told, heard) = watch::channel(Vec::new());
        let (told, forgets) = (Arc::new(told), Arc::new(Mutex::new(0)));
        let forgetting = Arc::clone(&forgets);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (told, forgets) = (Arc::clone(&told), Arc::clone(&forgetting));
                let service =
                    service_fn(move |request| answer(request, Arc::clone(&told), Arc::clone(&forgets)));
                let serving = hyper::server::conn::http1::Builder::new();
                tokio::spawn(serving.serve_connection(TokioIo::new(stream), service));
            }
        });
        Self { client, heard, forgets, task: task.abort_handle() }
    }

    /// Waits until it has heard just this last.
    async fn hears(&mut self, hashes: &[ContentHash]) {
        let is_it = |heard: &Vec<PartialSet>| heard.last().is_some_and(|set| set.hashes == hashes);
        self.heard.wait_for(is_it).await.unwrap();
    }
}

impl Drop for Scribe {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn json(value: &impl serde::Serialize) -> Response<Full<Bytes>> {
    Response::new(Full::from(serde_json::to_vec(value).unwrap()))
}

async fn answer(
    request: Request<Incoming>,
    told: Arc<watch::Sender<Vec<PartialSet>>>,
    forgets: Arc<Mutex<usize>>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.unwrap().to_bytes();
    let path = head.uri.path();
    Ok(match (head.method, path) {
        (Method::POST, "/api/v1/session") => {
            match serde_json::from_slice::<SessionRequest>(&body).unwrap().answer {
                None => json(&SessionReply::Challenge { challenge: "0".repeat(64), expires_secs: 30 }),
                Some(_) => json(&SessionReply::Token { token: "t".to_owned(), expires_secs: 900 }),
            }
        }
        (Method::PUT, path) if path.ends_with("/partials") => {
            let mut forgets = forgets.lock().unwrap();
            if *forgets > 0 {
                *forgets -= 1;
                return Ok(forgotten());
            }
            told.send_modify(|heard| heard.push(serde_json::from_slice(&body).unwrap()));
            Response::builder().status(StatusCode::NO_CONTENT).body(Full::default()).unwrap()
        }
        (Method::PUT, _) => json(&Announced {
            lease_secs: 90,
            heartbeat_secs: 30,
            address: ([127, 0, 0, 1], 1).into(),
            resync: false,
        }),
        (Method::POST, _) => json(&HeartbeatReply { lease_secs: 90, resync: false }),
        _ => Response::builder().status(StatusCode::NO_CONTENT).body(Full::default()).unwrap(),
    })
}

fn forgotten() -> Response<Full<Bytes>> {
    let error =
        ErrorDetail { code: codes::SESSION.to_owned(), message: "m".to_owned(), hint: "h".to_owned() };
    let body = serde_json::to_vec(&ErrorBody { error }).unwrap();
    Response::builder().status(StatusCode::UNAUTHORIZED).body(Full::from(body)).unwrap()
}

/// A peer that shares nothing, in a home of its own.
async fn idle_peer(client: &IndexClient) -> (Peer, tempfile::TempDir) {
    let home = tempfile::tempdir().unwrap();
    let config = PeerConfig {
        home: home.path().join("home"),
        index: client.clone(),
        name: "idle".parse().unwrap(),
        listen: Some(([127, 0, 0, 1], 0).into()),
        http: None,
        ftp: None,
        shares: Vec::new(),
        limits: crate::rate::RateLimits::default(),
        options: ShareOptions::default(),
    };
    (Peer::start(config).await.unwrap(), home)
}

fn publish(peer: &Peer, folder: &tempfile::TempDir, content: &[u8]) -> (Part, Published) {
    let out = OutFolder::open(folder.path()).unwrap();
    let path = SharePath::parse(&format!("s/{}", content.len())).unwrap();
    let opened = Part::open(&out, &path, (hash(content), content.len() as u64), false).unwrap();
    let Opened::Part(part) = opened else { panic!("it was there") };
    let list = Arc::new(list_of(content));
    let published = peer.partials().publish(&part, &list, Have::none(list.count())).unwrap();
    (part, published)
}

#[tokio::test]
async fn an_index_hears_of_a_download_from_its_first_piece_to_its_end() {
    let mut scribe = Scribe::start().await;
    let (peer, folder) = idle_peer(&scribe.client).await;
    let (one, two) = (content(2 << 20), content(3 << 20));
    let (_part, first) = publish(&peer, &folder, &one);
    let (_other, second) = publish(&peer, &folder, &two);
    first.proven(0);
    scribe.hears(&[hash(&one)]).await;
    // The index is restarted just now: it hears all of it again.
    *scribe.forgets.lock().unwrap() = 1;
    second.proven(1);
    let mut both = [hash(&one), hash(&two)];
    both.sort_unstable();
    scribe.hears(&both).await;
    assert_eq!(*scribe.forgets.lock().unwrap(), 0);
    drop(first);
    scribe.hears(&[hash(&two)]).await;
    drop(second);
    scribe.hears(&[]).await;
    peer.stop().await;
}
