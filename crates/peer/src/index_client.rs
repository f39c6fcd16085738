//! The index's API seen from a peer: one method an operation, typed both ways.
//!
//! Invariants: every request has a deadline and every answer a size limit; an answer is believed only as far as its
//! types go, for the hashes it names are proven later by the bytes.

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::{HeaderMap, Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use serde::Serialize;
use serde::de::DeserializeOwned;

use peerage_wire::api::{
    Announced, Announcement, Applied, BatchOrder, ErrorBody, ErrorDetail, FileRow, Heartbeat, HeartbeatReply,
    Hit, ListParams, Page, PartialSet, PeerRow, SearchParams, SessionAnswer, SessionReply, SessionRequest,
    Source, Stats, codes,
};
use peerage_wire::{ContentHash, PeerId, session};

use crate::download::{FindError, Sources};
use crate::identity::Identity;

/// Connecting to an index on a LAN takes milliseconds; a machine that is off is told within this.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A whole request: a batch of 10,000 over a slow link fits.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(30);
/// Saying quit must not keep a person waiting.
const QUIT_TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer: a page of 1,000 rows, each with 64 sources, stays below.
const ANSWER_BYTES_MAX: usize = 64 << 20;
/// Light compression: names repeat a lot, and more effort than this costs more than it saves on a LAN.
const ZSTD_LEVEL: i32 = 1;

/// Why a call to the index failed.
#[derive(Debug, thiserror::Error)]
pub enum IndexError {
    /// The text given for the index's address can't be one.
    #[error("`{url}` is not an index's address: {why}")]
    BadUrl {
        /// As given.
        url: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Nobody answers there.
    #[error("the index at {url} can't be reached: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// The system's words.
        why: String,
    },
    /// The index answered and said no.
    #[error("the index at {url} refused: {}", .detail.message)]
    Refused {
        /// Where.
        url: String,
        /// The status it gave.
        status: StatusCode,
        /// Its own words.
        detail: ErrorDetail,
        /// When it may be asked again, where it says so.
        retry_after: Option<Duration>,
    },
    /// The index is there and still reads its store.
    #[error("{} ({url})", .detail.message)]
    Starting {
        /// Where.
        url: String,
        /// Its own words: how far it is.
        detail: ErrorDetail,
        /// When it may be asked again, where it says so.
        retry_after: Option<Duration>,
    },
    /// Something answered that does not speak the index's API.
    #[error("what answers at {url} is not an index: {why}")]
    NotAnIndex {
        /// Where.
        url: String,
        /// What was wrong with the answer.
        why: String,
    },
}

impl IndexError {
    /// The code of a refusal.
    #[must_use]
    pub fn code(&self) -> Option<&str> {
        match self {
            Self::Refused { detail, .. } | Self::Starting { detail, .. } => Some(&detail.code),
            _ => None,
        }
    }

    /// When the index may be asked again, where it said so.
    #[must_use]
    pub const fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Refused { retry_after, .. } | Self::Starting { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    /// Whether the index has no room for more registrations.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.code() == Some(codes::FULL)
    }

    /// Whether the same request may go better later: nothing is wrong with it.
    #[must_use]
    pub fn is_passing(&self) -> bool {
        match self {
            Self::BadUrl { .. } => false,
            Self::Unreachable { .. } | Self::NotAnIndex { .. } | Self::Starting { .. } => true,
            Self::Refused { status, .. } => {
                status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS
            }
        }
    }

    /// What a person can do about it.
    #[must_use]
    pub fn hint(&self) -> String {
        match self {
            Self::BadUrl { .. } => "give it as `http://HOST:18964`".into(),
            Self::Unreachable { .. } => {
                "start one with `peerage index`, or name another with `--index http://HOST:18964`".into()
            }
            Self::Refused { detail, .. } | Self::Starting { detail, .. } => detail.hint.clone(),
            Self::NotAnIndex { .. } => "look at the host and port given with `--index`".into(),
        }
    }
}

/// A bearer token of one peer at one index.
#[derive(Clone)]
pub struct Session {
    token: String,
    peer: PeerId,
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("peer", &self.peer).finish_non_exhaustive()
    }
}

/// A handle on one index. Cheap to clone; connections are kept and shared.
#[derive(Clone, Debug)]
pub struct IndexClient {
    authority: String,
    http: Client<HttpConnector, Full<Bytes>>,
}

impl IndexClient {
    /// A client for the index at `http://HOST[:PORT]`; connects on the first call.
    ///
    /// # Errors
    /// [`IndexError::BadUrl`].
    pub fn new(url: &str) -> Result<Self, IndexError> {
        let authority = authority_of(url).map_err(|why| IndexError::BadUrl { url: url.to_owned(), why })?;
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(CONNECT_TIMEOUT));
        connector.set_nodelay(true);
        let http = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(Duration::from_secs(8))
            .build(connector);
        Ok(Self { authority, http })
    }

    /// The index's address.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.authority)
    }

    /// One page of a search.
    ///
    /// # Errors
    /// Any [`IndexError`] but `BadUrl`, as for every call.
    pub async fn search(&self, params: &SearchParams) -> Result<Page<Hit>, IndexError> {
        self.get("search", params).await
    }

    /// One page of the registered files.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn files(&self, params: &ListParams) -> Result<Page<FileRow>, IndexError> {
        self.get("files", params).await
    }

    /// One page of the live peers.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn peers(&self, params: &ListParams) -> Result<Page<PeerRow>, IndexError> {
        self.get("peers", params).await
    }

    /// Who has a content; `None` when nobody here does.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn content(&self, hash: ContentHash) -> Result<Option<Hit>, IndexError> {
        match self.get(&format!("contents/{hash}"), &()).await {
            Err(error) if error.code() == Some(codes::NOT_FOUND) => Ok(None),
            other => other.map(Some),
        }
    }

    /// The index in numbers.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn stats(&self) -> Result<Stats, IndexError> {
        self.get("stats", &()).await
    }

    /// Proves the identity to the index and gets a token for it.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn open_session(&self, identity: &Identity) -> Result<Session, IndexError> {
        let peer = identity.peer_id();
        let request = SessionRequest { peer, answer: None };
        let SessionReply::Challenge { challenge, .. } = self.post("session", &request).await? else {
            return Err(self.not_an_index("a token came where a challenge belongs"));
        };
        let signature = identity.sign(&session::message(&self.authority, &peer, &challenge));
        let signature = data_encoding::HEXLOWER.encode(&signature);
        let request = SessionRequest { peer, answer: Some(SessionAnswer { challenge, signature }) };
        match self.post("session", &request).await? {
            SessionReply::Token { token, .. } => Ok(Session { token, peer }),
            SessionReply::Challenge { .. } => {
                Err(self.not_an_index("a challenge came where a token belongs"))
            }
        }
    }

    /// Says who the peer is and what it holds.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn announce(&self, session: &Session, what: &Announcement) -> Result<Announced, IndexError> {
        let path = format!("peers/{}", session.peer);
        let body = json(what);
        self.call(self.request(Method::PUT, &path, Some(session)), body, REQUEST_TIMEOUT).await
    }

    /// Registers a batch: one JSON [`peerage_wire::api::Change`] a line.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn send_batch(
        &self,
        session: &Session,
        order: BatchOrder,
        lines: &[u8],
    ) -> Result<Applied, IndexError> {
        let path = format!("peers/{}/files?epoch={}&seq={}", session.peer, order.epoch, order.seq);
        let mut request = self
            .request(Method::POST, &path, Some(session))
            .header(header::CONTENT_TYPE, "application/x-ndjson");
        let body = match zstd::bulk::compress(lines, ZSTD_LEVEL) {
            Ok(packed) => {
                request = request.header(header::CONTENT_ENCODING, "zstd");
                Bytes::from(packed)
            }
            Err(_) => Bytes::copy_from_slice(lines),
        };
        self.call(request, body, REQUEST_TIMEOUT).await
    }

    /// Keeps the lease.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn heartbeat(&self, session: &Session, beat: &Heartbeat) -> Result<HeartbeatReply, IndexError> {
        let path = format!("peers/{}/heartbeat", session.peer);
        let request = self.request(Method::POST, &path, Some(session));
        self.call(request.header(header::CONTENT_TYPE, "application/json"), json(beat), REQUEST_TIMEOUT).await
    }

    /// Says which contents the peer is downloading and can give pieces of, instead of what it said before.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn put_partials(&self, session: &Session, set: &PartialSet) -> Result<(), IndexError> {
        let path = format!("peers/{}/partials", session.peer);
        self.send(self.request(Method::PUT, &path, Some(session)), json(set), REQUEST_TIMEOUT).await.map(drop)
    }

    /// Leaves: the peer's files are gone from every answer.
    ///
    /// # Errors
    /// As [`Self::search`].
    pub async fn quit(&self, session: &Session) -> Result<(), IndexError> {
        let request = self.request(Method::DELETE, &format!("peers/{}", session.peer), Some(session));
        self.send(request, Bytes::new(), QUIT_TIMEOUT).await.map(drop)
    }

    async fn get<Q: Serialize, T: DeserializeOwned>(&self, path: &str, query: &Q) -> Result<T, IndexError> {
        let query = serde_urlencoded::to_string(query).unwrap_or_default();
        let path = if query.is_empty() { path.to_owned() } else { format!("{path}?{query}") };
        self.call(self.request(Method::GET, &path, None), Bytes::new(), REQUEST_TIMEOUT).await
    }

    async fn post<B: Serialize, T: DeserializeOwned>(&self, path: &str, body: &B) -> Result<T, IndexError> {
        self.call(self.request(Method::POST, path, None), json(body), REQUEST_TIMEOUT).await
    }

    fn request(&self, method: Method, path: &str, session: Option<&Session>) -> http::request::Builder {
        let request =
            Request::builder().method(method).uri(format!("http://{}/api/v1/{path}", self.authority));
        match session {
            Some(session) => request.header(header::AUTHORIZATION, format!("Bearer {}", session.token)),
            None => request,
        }
    }

    async fn call<T: DeserializeOwned>(
        &self,
        request: http::request::Builder,
        body: Bytes,
        deadline: Duration,
    ) -> Result<T, IndexError> {
        let answer = self.send(request, body, deadline).await?;
        serde_json::from_slice(&answer).map_err(|error| self.not_an_index(error))
    }

    async fn send(
        &self,
        mut request: http::request::Builder,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, IndexError> {
        let has_type =
            request.headers_ref().is_some_and(|headers| headers.contains_key(header::CONTENT_TYPE));
        if !body.is_empty() && !has_type {
            request = request.header(header::CONTENT_TYPE, "application/json");
        }
        let request = request.body(Full::new(body)).map_err(|error| self.not_an_index(error))?;
        let exchange = async {
            let answer = self.http.request(request).await.map_err(|error| self.unreachable(&error))?;
            let status = answer.status();
            let retry_after = retry_after(answer.headers());
            let body = Limited::new(answer.into_body(), ANSWER_BYTES_MAX).collect().await;
            Ok((status, retry_after, body.map_err(|error| self.not_an_index(error))?.to_bytes()))
        };
        let (status, retry_after, answer) = match tokio::time::timeout(deadline, exchange).await {
            Ok(outcome) => outcome?,
            Err(_) => {
                let why = format!("no answer within {} s", deadline.as_secs());
                return Err(IndexError::Unreachable { url: self.url(), why });
            }
        };
        if status.is_success() { Ok(answer) } else { Err(self.refusal(status, retry_after, &answer)) }
    }

    fn refusal(&self, status: StatusCode, retry_after: Option<Duration>, answer: &[u8]) -> IndexError {
        let url = self.url();
        match serde_json::from_slice::<ErrorBody>(answer) {
            Ok(ErrorBody { error: detail }) if detail.code == codes::STARTING => {
                IndexError::Starting { url, detail, retry_after }
            }
            Ok(ErrorBody { error: detail }) => IndexError::Refused { url, status, detail, retry_after },
            Err(_) => self.not_an_index(format!("it answered {status}")),
        }
    }

    /// The deepest cause says it best: "connection refused", "failed to lookup address".
    fn unreachable(&self, error: &dyn std::error::Error) -> IndexError {
        let mut cause = error;
        while let Some(deeper) = cause.source() {
            cause = deeper;
        }
        IndexError::Unreachable { url: self.url(), why: cause.to_string() }
    }

    fn not_an_index(&self, why: impl fmt::Display) -> IndexError {
        IndexError::NotAnIndex { url: self.url(), why: why.to_string() }
    }
}

impl Sources for IndexClient {
    fn find<'a>(&'a self, hash: &'a ContentHash) -> BoxFuture<'a, Result<Vec<Source>, FindError>> {
        Box::pin(async move {
            let found = self.content(*hash).await.map_err(|error| Box::new(error) as FindError)?;
            Ok(found.map(|hit| hit.sources).unwrap_or_default())
        })
    }
}

/// RFC 9110, 10.2.3, in seconds; a date, which no index of ours sends, says nothing.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

fn json<T: Serialize>(value: &T) -> Bytes {
    // Our own types have string keys only, so this can't fail; an empty body would be refused by the index.
    serde_json::to_vec(value).map(Bytes::from).unwrap_or_default()
}

/// `host:port` of an `http` URL; the index's own port where it names none.
fn authority_of(url: &str) -> Result<String, &'static str> {
    let with_scheme = if url.contains("://") { url.to_owned() } else { format!("http://{url}") };
    let uri: Uri = with_scheme.parse().map_err(|_| "it can't be read")?;
    match uri.scheme_str() {
        Some("http") => {}
        Some("https") => return Err("an index speaks plain HTTP only, so far"),
        _ => return Err("it must begin with `http://`"),
    }
    if !matches!(uri.path(), "" | "/") || uri.query().is_some() {
        return Err("it must end after the port");
    }
    let host = uri.host().filter(|host| !host.is_empty()).ok_or("it names no host")?;
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err("it must not hold a password");
    }
    match uri.port_u16().unwrap_or(peerage_wire::limits::INDEX_PORT) {
        80 => Ok(host.to_owned()), // a `Host` never names the scheme's own port, and the host is what is signed
        port => Ok(format!("{host}:{port}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_read_as_people_write_it() {
        let cases = [
            ("http://127.0.0.1:18964", Ok("127.0.0.1:18964")),
            ("http://nas.local/", Ok("nas.local:18964")),
            ("nas:1", Ok("nas:1")),
            ("http://[::1]:7", Ok("[::1]:7")),
            ("http://nas:80", Ok("nas")),
            ("https://nas", Err(())),
            ("ftp://nas", Err(())),
            ("http://nas/api", Err(())),
            ("http://u:p@nas", Err(())),
            ("http://", Err(())),
            ("", Err(())),
            ("a b", Err(())),
        ];
        for (url, expected) in cases {
            assert_eq!(authority_of(url).as_deref().map_err(drop), expected, "{url}");
        }
    }

    #[tokio::test]
    async fn an_index_that_is_not_there_is_told_with_a_hint() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let error = IndexClient::new(&format!("http://{address}")).unwrap().stats().await.unwrap_err();
        assert!(matches!(error, IndexError::Unreachable { .. }), "{error}");
        assert!(error.hint().contains("peerage index"));
    }
}
