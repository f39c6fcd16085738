//! An index that is started again, still starts, or is full: what a registrar says to it, in which order.
//!
//! The index here does as the test tells it and writes down what it hears; its heartbeats come every second.

use std::sync::Mutex;

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use peerage_wire::api::{Applied, ErrorBody, ErrorDetail, HeartbeatReply, SessionReply, SessionRequest};
use peerage_wire::{ContentHash, ShareDigest, SharePath};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use super::*;
use crate::catalogue::{Hashed, ShareId};
use crate::share::{Origin, Root};

/// What an index heard, in the order in which it did.
#[derive(Debug, Clone, PartialEq)]
enum Heard {
    Session,
    Announce { epoch: u64 },
    Batch(BatchOrder),
    Refused(BatchOrder),
    Beat { epoch: u64, digest: Option<ShareDigest> },
    Quit,
}

/// How it answers.
#[derive(Default)]
struct Manner {
    /// The token of now; what had another is told so.
    token: u32,
    is_starting: bool,
    is_full: bool,
    knows_nobody: bool,
    files: u64,
}

struct Scripted {
    manner: Arc<Mutex<Manner>>,
    heard: watch::Receiver<Vec<Heard>>,
    state: watch::Receiver<Registration>,
    catalogue: Arc<Catalogue>,
    origin: Origin,
    stop: watch::Sender<bool>,
    tasks: [AbortHandle; 2],
    folder: tempfile::TempDir,
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.tasks.iter().for_each(AbortHandle::abort);
    }
}

impl Scripted {
    /// A peer with one file, registered at an index that knew nobody.
    async fn registered(manner: Manner) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let catalogue = Arc::new(Catalogue::new());
        let origin = Origin::from(Arc::new(Root::open("s", &folder.path().canonicalize().unwrap()).unwrap()));
        catalogue.set_origin(ShareId(0), Some(origin.clone()));
        let (listener, manner) =
            (TcpListener::bind("127.0.0.1:0").await.unwrap(), Arc::new(Mutex::new(manner)));
        let client = IndexClient::new(&listener.local_addr().unwrap().to_string()).unwrap();
        let (told, heard) = watch::channel(Vec::new());
        let index = tokio::spawn(listen(listener, Arc::clone(&manner), Arc::new(told)));
        let (state, registration) = watch::channel(Registration::Connecting);
        let (stop, stopped) = watch::channel(false);
        let mut epoch = 6;
        let registrar = Registrar {
            client,
            identity: Arc::new(Identity::generate().unwrap()),
            catalogue: Arc::clone(&catalogue),
            name: "anna".parse().unwrap(),
            doors: Doors::native(1),
            next_epoch: Box::new(move || {
                epoch += 1;
                epoch
            }),
            state,
            backoff: Backoff::default(),
            session: None,
        };
        let mut scripted = Self {
            manner,
            heard,
            state: registration,
            catalogue,
            origin,
            stop,
            tasks: [index.abort_handle(), index.abort_handle()],
            folder,
        };
        scripted.add("a");
        scripted.tasks[1] = tokio::spawn(registrar.run(stopped)).abort_handle();
        scripted
    }

    fn add(&self, name: &str) {
        std::fs::write(self.folder.path().join(name), name).unwrap();
        let root = Root::open("s", &self.folder.path().canonicalize().unwrap()).unwrap();
        let (_, stamp) = root.open_file(name).unwrap();
        self.catalogue.put(&Hashed {
            share: ShareId(0),
            origin: &self.origin,
            path: &SharePath::parse(&format!("s/{name}")).unwrap(),
            disk: name,
            hash: ContentHash::of(name.as_bytes()),
            stamp,
        });
    }

    fn manner(&self, change: impl FnOnce(&mut Manner)) {
        change(&mut self.manner.lock().unwrap());
    }

    /// The index is started again: it knows no session.
    fn restart(&self) {
        self.manner(|manner| manner.token += 1);
    }

    /// Waits until it has heard this, and gives what it heard from then on, this included.
    async fn hears(&mut self, from: usize, is_it: impl Fn(&Heard) -> bool) -> (usize, Heard) {
        let heard = self.heard.wait_for(|heard| heard[from..].iter().any(&is_it));
        let heard = tokio::time::timeout(Duration::from_secs(30), heard).await.expect("it is heard").unwrap();
        let position = from + heard[from..].iter().position(is_it).unwrap();
        (position, heard[position].clone())
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.borrow().clone()
    }

    async fn is(&mut self, is_it: impl FnMut(&Registration) -> bool) -> Registration {
        let state = tokio::time::timeout(Duration::from_secs(30), self.state.wait_for(is_it)).await;
        state.expect("it comes to that").unwrap().clone()
    }

    async fn is_complete(&mut self, count: u64) {
        let is_it = |state: &Registration| matches!(state, Registration::Registered { files, complete: true, .. } if *files == count);
        self.is(is_it).await;
    }
}

async fn listen(listener: TcpListener, manner: Arc<Mutex<Manner>>, told: Arc<watch::Sender<Vec<Heard>>>) {
    while let Ok((stream, _)) = listener.accept().await {
        let (manner, told) = (Arc::clone(&manner), Arc::clone(&told));
        let service = service_fn(move |request: Request<Incoming>| {
            let (manner, told) = (Arc::clone(&manner), Arc::clone(&told));
            async move {
                let (head, body) = request.into_parts();
                let body = body.collect().await.unwrap().to_bytes();
                let (heard, answer) = answer(&mut manner.lock().unwrap(), &head, &body);
                if let Some(heard) = heard {
                    told.send_modify(|all| all.push(heard));
                }
                Ok::<_, std::convert::Infallible>(answer)
            }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

type Answer = (Option<Heard>, Response<Full<Bytes>>);

fn answer(manner: &mut Manner, head: &http::request::Parts, body: &[u8]) -> Answer {
    let path = head.uri.path();
    if manner.is_starting {
        return (None, refusal(503, codes::STARTING, "the index is starting: reading the snapshot, 43 %"));
    }
    if path == "/api/v1/session" {
        return match read::<SessionRequest>(body).answer {
            None => (None, json(&SessionReply::Challenge { challenge: "0".repeat(64), expires_secs: 30 })),
            Some(_) => {
                let token = manner.token.to_string();
                (Some(Heard::Session), json(&SessionReply::Token { token, expires_secs: 900 }))
            }
        };
    }
    if head.headers[header::AUTHORIZATION] != format!("Bearer {}", manner.token) {
        return (None, refusal(401, codes::SESSION, "the token is not known (any more)"));
    }
    if path.ends_with("/files") {
        let order: BatchOrder = serde_urlencoded::from_str(head.uri.query().unwrap()).unwrap();
        if manner.is_full {
            return (Some(Heard::Refused(order)), refusal(507, codes::FULL, "the index is full"));
        }
        manner.files += 1;
        return (Some(Heard::Batch(order)), json(&Applied { files: manner.files }));
    }
    if path.ends_with("/heartbeat") {
        let Heartbeat { epoch, digest } = read(body);
        let answer = if manner.knows_nobody {
            refusal(404, codes::UNKNOWN_PEER, "not here")
        } else {
            json(&HeartbeatReply { lease_secs: 90, resync: false })
        };
        return (Some(Heard::Beat { epoch, digest }), answer);
    }
    if head.method == Method::DELETE {
        return (Some(Heard::Quit), Response::builder().status(204).body(Full::default()).unwrap());
    }
    manner.knows_nobody = false;
    manner.files = 0;
    let address = ([127, 0, 0, 1], 1).into();
    let announced = Announced { lease_secs: 90, heartbeat_secs: 1, address, resync: true };
    (Some(Heard::Announce { epoch: read::<Announcement>(body).epoch }), json(&announced))
}

fn read<T: DeserializeOwned>(body: &[u8]) -> T {
    serde_json::from_slice(body).unwrap()
}

fn json(value: &impl Serialize) -> Response<Full<Bytes>> {
    Response::new(Full::from(serde_json::to_vec(value).unwrap()))
}

fn refusal(status: u16, code: &str, message: &str) -> Response<Full<Bytes>> {
    let error = ErrorDetail { code: code.to_owned(), message: message.to_owned(), hint: "wait".to_owned() };
    let body = Full::from(serde_json::to_vec(&ErrorBody { error }).unwrap());
    let status = StatusCode::from_u16(status).unwrap();
    Response::builder().status(status).header(header::RETRY_AFTER, 0).body(body).unwrap()
}

const fn is_announce(heard: &Heard) -> bool {
    matches!(heard, Heard::Announce { .. })
}

const fn is_beat(heard: &Heard) -> bool {
    matches!(heard, Heard::Beat { .. })
}

#[tokio::test]
async fn after_a_restart_the_first_word_is_a_heartbeat_with_the_digest() {
    let mut index = Scripted::registered(Manner::default()).await;
    index.is_complete(1).await;
    let (position, _) = index.hears(0, is_beat).await;
    index.restart();
    let (session, _) = index.hears(position, |heard| *heard == Heard::Session).await;
    let (beat, heard) = index.hears(session, is_beat).await;
    assert_eq!(beat, session + 1, "{:?}", index.heard());
    assert_eq!(heard, Heard::Beat { epoch: 7, digest: Some(index.catalogue.digest()) });
    index.hears(beat + 1, is_beat).await;
    assert_eq!(index.heard().iter().filter(|heard| is_announce(heard)).count(), 1, "{:?}", index.heard());
    index.stop.send_replace(true);
    index.hears(beat, |heard| *heard == Heard::Quit).await;
}

#[tokio::test]
async fn an_index_that_lost_everything_hears_everything_again() {
    let mut index = Scripted::registered(Manner::default()).await;
    index.is_complete(1).await;
    let (position, _) = index.hears(0, is_beat).await;
    index.manner(|manner| manner.knows_nobody = true);
    index.restart();
    let (session, _) = index.hears(position, |heard| *heard == Heard::Session).await;
    let (announce, heard) = index.hears(session, is_announce).await;
    assert_eq!(heard, Heard::Announce { epoch: 8 });
    assert!(is_beat(&index.heard()[session + 1]), "{:?}", index.heard());
    let (_, batch) = index.hears(announce, |heard| matches!(heard, Heard::Batch(_))).await;
    assert_eq!(batch, Heard::Batch(BatchOrder { epoch: 8, seq: 0 }));
    index.is_complete(1).await;
    let sessions = index.heard().iter().filter(|heard| **heard == Heard::Session).count();
    assert_eq!(sessions, 2, "the new session is kept: {:?}", index.heard());
}

#[tokio::test]
async fn what_changed_while_the_index_was_away_is_sent_and_nothing_else() {
    let mut index = Scripted::registered(Manner::default()).await;
    index.is_complete(1).await;
    let (position, _) = index.hears(0, is_beat).await;
    let held = index.catalogue.digest();
    index.manner(|manner| manner.is_starting = true);
    index.add("b");
    let state = index.is(|state| matches!(state, Registration::Offline { .. })).await;
    let Registration::Offline { why, .. } = state else { panic!("{state:?}") };
    assert!(why.contains("is starting: reading the snapshot, 43 %"), "{why}");
    index.restart();
    index.manner(|manner| manner.is_starting = false);
    let (session, _) = index.hears(position, |heard| *heard == Heard::Session).await;
    index.is_complete(2).await;
    let after = index.heard().split_off(session + 1);
    assert_eq!(after[0], Heard::Beat { epoch: 7, digest: Some(held) }, "what it acknowledged: {after:?}");
    assert_eq!(after[1], Heard::Batch(BatchOrder { epoch: 7, seq: 1 }), "{after:?}");
}

#[tokio::test]
async fn a_full_index_is_told_that_the_peer_is_here_and_asked_again_later() {
    let mut index = Scripted::registered(Manner { is_full: true, ..Manner::default() }).await;
    let state = index.is(|state| matches!(state, Registration::Full { .. })).await;
    let Registration::Full { files, why, hint } = state else { panic!("{state:?}") };
    assert!(files == 0 && why.contains("is full") && !hint.is_empty(), "{why}");
    let (beat, _) = index.hears(0, is_beat).await;
    index.hears(beat + 1, is_beat).await;
    let (refused, _) = index.hears(beat, |heard| matches!(heard, Heard::Refused(_))).await;
    assert!(matches!(*index.state.borrow(), Registration::Full { .. }), "beats do not hide it");
    index.manner(|manner| manner.is_full = false);
    let (_, batch) = index.hears(refused, |heard| matches!(heard, Heard::Batch(_))).await;
    assert_eq!(batch, Heard::Batch(BatchOrder { epoch: 7, seq: 0 }));
    index.is_complete(1).await;
    let of_a_kind = |kind: fn(&Heard) -> bool| index.heard().iter().filter(|heard| kind(heard)).count();
    assert_eq!((of_a_kind(is_announce), of_a_kind(|heard| *heard == Heard::Session)), (1, 1));
}
