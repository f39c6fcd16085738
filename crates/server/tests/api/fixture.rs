//! A running index on a free port, a client that sends what it is told, and peers with keys.
//!
//! Dropping a [`Door`] ends it.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use data_encoding::HEXLOWER;
use ed25519_dalek::{Signer, SigningKey};
use http::{HeaderMap, Method, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use peerage_index::Index;
use peerage_server::{Config, Opening, RunError, run};
use peerage_wire::api::{
    Announced, Announcement, Change, Doors, ErrorBody, SessionAnswer, SessionReply, SessionRequest,
};
use peerage_wire::{ContentHash, FileEntry, PeerId, ShareDigest, SharePath, session};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What something that must happen may take on a machine that is busy with other work.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// A running index.
pub(crate) struct Door {
    pub(crate) address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    running: JoinHandle<Result<(), RunError>>,
}

impl Door {
    pub(crate) async fn open() -> Self {
        Self::with(Config::default()).await
    }

    pub(crate) async fn with(config: Config) -> Self {
        Self::over(Index::embedded(), config).await
    }

    /// Another door of the same index, where what is prepared must not meet what is tested.
    pub(crate) async fn over(index: impl Into<Opening> + Send + 'static, config: Config) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel();
        let shutdown = async move { stopped.await.unwrap_or_default() };
        let running = tokio::spawn(run(listener, index, config, shutdown));
        Self { address, stop: Some(stop), running }
    }

    /// Asks the door to end.
    pub(crate) fn stop(&mut self) {
        drop(self.stop.take());
    }

    /// Waits until it has.
    pub(crate) async fn stopped(&mut self) {
        self.ended().await.expect("without an error");
    }

    /// Waits until it has ended, and tells how.
    pub(crate) async fn ended(&mut self) -> Result<(), RunError> {
        let ended = tokio::time::timeout(PATIENCE, &mut self.running).await;
        ended.expect("the door ends").expect("without a panic")
    }

    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends one request on a connection of its own.
    pub(crate) async fn send(&self, ask: Ask) -> Answer {
        let (mut sender, connection) = http1::handshake(TokioIo::new(self.connect().await)).await.unwrap();
        let connection = tokio::spawn(connection);
        let response = sender.send_request(ask.into_request(self.address)).await.unwrap();
        let (head, body) = response.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        connection.abort();
        Answer { status: head.status, headers: head.headers, body }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Ask::new(Method::GET, path)).await
    }

    /// A path's JSON, where it is a success.
    pub(crate) async fn read<T: DeserializeOwned>(&self, path: &str) -> T {
        let answer = self.get(path).await;
        assert_eq!(answer.status, StatusCode::OK, "{path}: {}", answer.text());
        answer.json()
    }
}

/// A request in the making.
pub(crate) struct Ask {
    method: Method,
    path: String,
    headers: Vec<(String, String)>,
    body: Bytes,
}

impl Ask {
    pub(crate) fn new(method: Method, path: &str) -> Self {
        Self { method, path: path.to_owned(), headers: Vec::new(), body: Bytes::new() }
    }

    pub(crate) fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.to_owned(), value.to_owned()));
        self
    }

    pub(crate) fn bearer(self, token: &str) -> Self {
        self.header("authorization", &format!("Bearer {token}"))
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }

    pub(crate) fn json(self, body: &impl Serialize) -> Self {
        self.header("content-type", "application/json").body(serde_json::to_vec(body).unwrap())
    }

    fn into_request(self, address: SocketAddr) -> Request<Full<Bytes>> {
        let mut request = Request::builder().method(self.method).uri(self.path);
        if !self.headers.iter().any(|(name, _)| name == "host") {
            request = request.header("host", address.to_string());
        }
        for (name, value) in self.headers {
            request = request.header(name, value);
        }
        request.body(Full::new(self.body)).unwrap()
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    pub(crate) fn json<T: DeserializeOwned>(&self) -> T {
        serde_json::from_slice(&self.body).unwrap_or_else(|error| panic!("{error}: {}", self.text()))
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Checks that this is a refusal in the API's shape, with every part of it filled.
    pub(crate) fn refused(&self, status: u16, code: &str) {
        assert_eq!(self.status.as_u16(), status, "{}", self.text());
        let ErrorBody { error } = self.json();
        assert_eq!(error.code, code, "{}", self.text());
        assert!(!error.message.is_empty() && !error.hint.is_empty(), "{}", self.text());
    }
}

/// A peer: a key and, once it has one, a token.
pub(crate) struct Peer {
    pub(crate) key: SigningKey,
    pub(crate) id: PeerId,
    pub(crate) token: String,
    name: String,
}

impl Peer {
    /// A peer without a session; `seed` makes its key.
    pub(crate) fn new(seed: u8) -> Self {
        let key = SigningKey::from_bytes(&[seed; 32]);
        let id = PeerId::from_bytes(key.verifying_key().to_bytes());
        Self { key, id, token: String::new(), name: format!("peer-{seed}") }
    }

    /// A peer that has opened a session and announced itself in epoch 1.
    pub(crate) async fn announced(door: &Door, seed: u8) -> Self {
        let mut peer = Self::new(seed);
        peer.token = peer.open_session(door).await;
        let announced: Announced = peer.announce(door, 1, &[]).await.json();
        assert_eq!(announced.address, SocketAddr::from(([127, 0, 0, 1], 18_965)));
        peer
    }

    pub(crate) async fn open_session(&self, door: &Door) -> String {
        let challenge = self.challenge(door).await;
        let answer = self.answer(door, &door.address.to_string(), &challenge).await;
        let SessionReply::Token { token, .. } = answer.json() else { panic!("{}", answer.text()) };
        token
    }

    pub(crate) async fn challenge(&self, door: &Door) -> String {
        let request = SessionRequest { peer: self.id, answer: None };
        let answer = door.send(Ask::new(Method::POST, "/api/v1/session").json(&request)).await;
        let SessionReply::Challenge { challenge, .. } = answer.json() else { panic!("{}", answer.text()) };
        challenge
    }

    /// Signs a challenge for `host` and sends the answer.
    pub(crate) async fn answer(&self, door: &Door, host: &str, challenge: &str) -> Answer {
        let signature = self.key.sign(&session::message(host, &self.id, challenge)).to_bytes();
        let answer = SessionAnswer { challenge: challenge.into(), signature: HEXLOWER.encode(&signature) };
        let request = SessionRequest { peer: self.id, answer: Some(answer) };
        door.send(Ask::new(Method::POST, "/api/v1/session").json(&request)).await
    }

    pub(crate) async fn announce(&self, door: &Door, epoch: u64, files: &[FileEntry]) -> Answer {
        let mut digest = ShareDigest::default();
        files.iter().for_each(|file| digest.add(file));
        let doors = Doors::native(18_965);
        let what = Announcement { name: self.name.parse().unwrap(), doors, epoch, digest };
        door.send(self.ask(Method::PUT, "").json(&what)).await
    }

    /// A request to a path of the peer's own, with its token.
    pub(crate) fn ask(&self, method: Method, below: &str) -> Ask {
        Ask::new(method, &format!("/api/v1/peers/{}{below}", self.id)).bearer(&self.token)
    }

    /// Batch `seq` of epoch 1.
    pub(crate) fn batch(&self, seq: u64, changes: &[Change]) -> Ask {
        self.ask(Method::POST, &format!("/files?epoch=1&seq={seq}")).body(lines(changes))
    }
}

/// A file whose content is its own path.
pub(crate) fn file(path: &str) -> FileEntry {
    let (path, hash) = (SharePath::parse(path).unwrap(), ContentHash::of(path.as_bytes()));
    FileEntry { size: path.as_str().len() as u64, path, hash, modified: 1_700_000_000 }
}

pub(crate) fn add(path: &str) -> Change {
    Change::Add(file(path))
}

pub(crate) fn lines(changes: &[Change]) -> Vec<u8> {
    let lines: Vec<String> = changes.iter().map(|change| serde_json::to_string(change).unwrap()).collect();
    lines.join("\n").into_bytes()
}
