//! Many small contents from one source in one answer.
//!
//! Invariants: no byte is written that was not proven; a source that sends one wrong content is not believed for the rest;
//! whatever does not come this way is left for a download of its own, which has other sources, patience and words.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use http::StatusCode;
use http::header::RETRY_AFTER;
use peerage_wire::api::Source;
use peerage_wire::{ContentHash, bundle, limits};

use super::answer::{AnswerError, Body, ask};
use super::pool::{Lease, Origin, Pool};
use crate::download::Want;
use crate::part::{Bundle, OutFolder};

/// How long a bundle may take: what is slower is fetched one by one, where it can be seen.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How often a busy source is asked again.
const ATTEMPTS_MAX: usize = 5;
/// The longest that a busy source is believed when it says to come back later.
const BUSY_WAIT_MAX: Duration = Duration::from_secs(5);

/// What came: the numbers of the wants, and where their files are.
pub(crate) type Came = Vec<(usize, PathBuf)>;

/// How far a bundle came on one line.
enum Fetched {
    Came(Came),
    Busy(Duration),
    /// The line was kept from before and had been closed meanwhile.
    Stale(Box<Lease>),
}

/// What is asked for, of whom, and where it goes.
pub(crate) struct Errand {
    pub(crate) source: Source,
    pub(crate) wants: Vec<Want>,
    pub(crate) folder: OutFolder,
    pub(crate) pool: Arc<Pool>,
}

impl Errand {
    /// Fetches what can be fetched. Dropping the future cuts the line.
    pub(crate) async fn run(self) -> Came {
        Arc::new(self).fetch().await.unwrap_or_default()
    }

    async fn fetch(self: &Arc<Self>) -> Option<Came> {
        let place = (self.source.peer, self.source.address);
        for _ in 0..ATTEMPTS_MAX {
            let mut lease = self.pool.lease(place).await.ok()?;
            let busy = loop {
                let (errand, cutter) = (Arc::clone(self), lease.line.cutter());
                let mut fetching = tokio::task::spawn_blocking(move || errand.fetch_over(lease));
                let Ok(fetched) = tokio::time::timeout(TIMEOUT, &mut fetching).await else {
                    // What has come by now is put into its place and told all the same.
                    drop(cutter);
                    return match fetching.await.ok()?? {
                        Fetched::Came(came) => Some(came),
                        Fetched::Busy(_) | Fetched::Stale(_) => None,
                    };
                };
                cutter.spare();
                match fetched.ok()?? {
                    Fetched::Came(came) => return Some(came),
                    Fetched::Busy(retry_after) => break retry_after,
                    Fetched::Stale(stale) => lease = *stale,
                }
                lease.renew().await.ok()?;
            };
            tokio::time::sleep(busy.min(BUSY_WAIT_MAX)).await;
        }
        None
    }

    /// Asks for what is not there yet, and puts what comes into its place. Blocks.
    fn fetch_over(&self, mut lease: Lease) -> Option<Fetched> {
        let mut places = Bundle::new(&self.folder, self.wants.iter().any(|want| want.overwrite));
        let is_open = |want: &Want| want.path.check_storable().is_ok();
        let numbered = self.wants.iter().enumerate();
        let asked: Vec<(usize, &Want)> =
            numbered.filter(|(_, want)| is_open(want) && places.is_free(&want.path)).collect();
        let bytes: u64 = asked.iter().map(|(_, want)| want.size).sum();
        if asked.is_empty() || !places.has_room(bytes) {
            return Some(Fetched::Came(Came::new()));
        }
        let request = self.request(asked.iter().map(|(_, want)| &want.hash));
        let head = match ask(&mut lease, &request) {
            Err(AnswerError::Cut(_)) if lease.origin == Origin::Kept => {
                return Some(Fetched::Stale(Box::new(lease)));
            }
            head => head.ok()?,
        };
        let secs = head.headers.get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
        match head.status {
            StatusCode::OK => {}
            StatusCode::SERVICE_UNAVAILABLE => {
                return Some(Fetched::Busy(Duration::from_secs(secs.unwrap_or(1))));
            }
            _ => return None,
        }
        let longest = bytes + (asked.len() * bundle::LENGTH_BYTES) as u64;
        let len = head.content_length().filter(|len| *len <= longest)?;
        let received = AtomicU64::new(0);
        let mut body = Body::new(lease, &head, len, &received);
        if take(&mut body, &asked, &mut places).is_some() {
            body.end();
        }
        Some(Fetched::Came(places.finish()))
    }

    fn request<'a>(&self, hashes: impl Iterator<Item = &'a ContentHash>) -> Vec<u8> {
        let body = bundle::request(hashes);
        let head = format!(
            "POST /v1/blobs HTTP/1.1\r\nhost: {}\r\ncontent-type: text/plain\r\ncontent-length: {}\r\n\r\n",
            self.source.address,
            body.len()
        );
        (head + &body).into_bytes()
    }
}

/// Takes entry by entry; `None` where one is not what it should be, after which nothing is believed.
fn take(body: &mut Body<'_>, asked: &[(usize, &Want)], places: &mut Bundle<'_>) -> Option<()> {
    let mut room = Vec::new();
    for (number, want) in asked {
        let mut length = [0; bundle::LENGTH_BYTES];
        body.fill(&mut length, usize::MAX, |_| {}).ok()?;
        match u64::from_be_bytes(length) {
            bundle::ABSENT | bundle::NO_ROOM => continue,
            length if length != want.size || length > limits::BUNDLE_BYTES_MAX as u64 => return None,
            _ => {}
        }
        room.resize(usize::try_from(want.size).ok()?, 0);
        body.fill(&mut room, usize::MAX, |_| {}).ok()?;
        if ContentHash::of(&room) != want.hash {
            tracing::debug!(hash = %want.hash.short(), "a source sent a wrong content in a bundle");
            return None;
        }
        places.put(*number, &want.path, want.hash, &room);
    }
    Some(())
}
