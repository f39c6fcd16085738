//! Keeps this peer registered: announces it, sends what changes, beats, and comes back by itself.
//!
//! Invariants: batches go out one at a time in the order of (epoch, seq); a batch whose fate is unknown is sent again
//! under its own number, which the index acknowledges without applying twice. A session that the index does not know any
//! more is opened anew, and the first thing said in it is a heartbeat with the digest of what the index acknowledged: one
//! that was started again knows this peer's files by that, and nothing is sent twice. Only where the index and this peer
//! may disagree, a higher epoch is announced with the digest of all that is shared, and the index says whether it needs
//! all of it again. Every wait has jitter (`wait.rs`).

mod epoch;
mod offer;
mod wait;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use peerage_wire::api::{Announced, Announcement, BatchOrder, Change, Doors, Heartbeat, codes};
use peerage_wire::{PeerName, limits};

use crate::catalogue::Catalogue;
use crate::identity::Identity;
use crate::index_client::{IndexClient, IndexError, Session};
use epoch::Epoch;
use offer::Offer;

pub use wait::Backoff;

/// Bytes of JSON after which a batch is closed: half of what an index takes, for one more line may follow.
const BATCH_BYTES: usize = limits::BATCH_BYTES_MAX / 2;
/// How long changes gather before they are sent, so that a thousand small files are one batch.
const GATHER: Duration = Duration::from_millis(150);
/// Where the registration stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Registration {
    /// On the way to the index.
    Connecting,
    /// Announced; the index acknowledged so many files.
    Registered {
        /// How others reach this peer.
        address: std::net::SocketAddr,
        /// Files acknowledged.
        files: u64,
        /// Whether everything that is shared has been acknowledged.
        complete: bool,
    },
    /// Announced, but the index has no room for more; tried again by itself.
    Full {
        /// Files acknowledged.
        files: u64,
        /// In words for a person.
        why: String,
        /// What to do about it.
        hint: String,
    },
    /// Out of touch; tried again by itself.
    Offline {
        /// In words for a person.
        why: String,
        /// What to do about it.
        hint: String,
    },
}

/// What a registrar needs to do its work.
pub struct Registrar {
    /// The index.
    pub client: IndexClient,
    /// Who registers.
    pub identity: Arc<Identity>,
    /// What is shared.
    pub catalogue: Arc<Catalogue>,
    /// The name for people.
    pub name: PeerName,
    /// Where this peer serves.
    pub doors: Doors,
    /// Gives a number higher than any before, across restarts.
    pub next_epoch: Box<dyn FnMut() -> u64 + Send + Sync>,
    /// Told at every change of state.
    pub state: watch::Sender<Registration>,
    /// How long to wait before the next try.
    pub backoff: Backoff,
    /// The session, once there is one: it is kept from epoch to epoch, for as long as the index knows it.
    pub session: Option<Session>,
}

/// What may be said of the state.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Complete {
    /// A batch is on its way.
    No,
    /// Nothing is on its way, so it depends on what is left to take.
    WhenDrained,
}

/// Why an epoch ended.
enum End {
    /// Asked to stop.
    Stop,
    /// The index wants to hear everything from the start.
    Again,
    /// The index is out of reach or said no.
    Failed(IndexError),
}

impl Registrar {
    /// Registers until `stop` turns true, then says quit so that the peer's files leave every answer at once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            let mut asked = None;
            match self.epoch(&mut stop).await {
                End::Stop => return self.quit().await,
                End::Again => {}
                End::Failed(error) => {
                    asked = error.retry_after();
                    self.tell_failed(&error);
                }
            }
            tokio::select! {
                () = stopped(&mut stop) => return self.quit().await,
                () = tokio::time::sleep(self.backoff.next(asked)) => {}
            }
        }
    }

    async fn epoch(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        let announced = tokio::select! {
            () = stopped(stop) => return End::Stop,
            announced = self.announce() => announced,
        };
        let mut epoch = match announced {
            Ok(epoch) => epoch,
            Err(error) => return End::Failed(error),
        };
        let mut changed = self.catalogue.changed();
        loop {
            if let Err(end) = self.send_changes(&mut epoch, stop).await {
                return end;
            }
            tokio::select! {
                () = stopped(stop) => return End::Stop,
                () = tokio::time::sleep_until(epoch.next_beat) => {
                    if let Err(end) = self.beat(&mut epoch, stop).await {
                        return end;
                    }
                }
                () = epoch.offer.due() => {
                    if let Err(end) = self.tell_offer(&mut epoch, stop).await {
                        return end;
                    }
                }
                () = epoch::room(epoch.full.as_ref()) => {}
                _ = changed.changed() => {
                    tokio::select! {
                        () = stopped(stop) => return End::Stop,
                        () = tokio::time::sleep(GATHER) => {}
                    }
                }
            }
        }
    }

    /// In the session there is, or in a new one where the index does not know that any more.
    async fn announce(&mut self) -> Result<Epoch, IndexError> {
        let known = self.session.is_some();
        match self.announce_once().await {
            Err(error) if known && error.code() == Some(codes::SESSION) => {
                self.session = None;
                self.announce_once().await
            }
            outcome => outcome,
        }
    }

    async fn announce_once(&mut self) -> Result<Epoch, IndexError> {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => self.session.insert(self.client.open_session(&self.identity).await?).clone(),
        };
        let number = (self.next_epoch)();
        let (digest, mark) = self.catalogue.announce();
        let what = Announcement { name: self.name.clone(), doors: self.doors, epoch: number, digest };
        let announced: Announced = self.client.announce(&session, &what).await?;
        let mut epoch = Epoch::begin(number, digest, &announced, Offer::new(self.catalogue.partials()));
        if announced.resync {
            self.catalogue.resend_all();
        } else {
            self.catalogue.confirm(mark);
            epoch.files = self.catalogue.counts().0;
        }
        self.tell(&epoch, Complete::WhenDrained);
        Ok(epoch)
    }

    /// Sends until nothing is left to send, or the index has no room; beats when it is time to.
    async fn send_changes(&mut self, epoch: &mut Epoch, stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        while epoch.may_send() {
            if epoch.outbox.is_empty() {
                epoch.outbox = lines_of(&self.catalogue.take_changes(limits::BATCH_CHANGES_MAX));
            }
            let Some(lines) = epoch.outbox.pop_front() else { return Ok(()) };
            self.tell(epoch, Complete::No);
            let order = BatchOrder { epoch: epoch.number, seq: epoch.next_seq };
            let client = self.client.clone();
            let sent = self.insist(epoch, stop, |session| {
                let (client, lines) = (&client, &lines);
                async move { client.send_batch(&session, order, lines).await }
            });
            match sent.await {
                Ok(applied) => epoch.acknowledged(applied.files, self.catalogue.drained_digest()),
                Err(End::Failed(error)) if error.is_full() => epoch.refused(lines, &error),
                Err(end) => return Err(end),
            }
            self.tell(epoch, Complete::WhenDrained);
            if Instant::now() >= epoch.next_beat {
                self.beat(epoch, stop).await?;
            }
        }
        Ok(())
    }

    /// Says which contents are being downloaded here, where the index does not know it.
    async fn tell_offer(&mut self, epoch: &mut Epoch, stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        let Some(set) = epoch.offer.news() else { return Ok(()) };
        let client = self.client.clone();
        let told = self.insist(epoch, stop, |session| {
            let (client, set) = (&client, &set);
            async move { client.put_partials(&session, set).await }
        });
        match told.await {
            // A registration is worth more than this offer: an older index does not know it.
            Err(End::Failed(error)) => tracing::debug!(%error, "the index takes no downloads as sources"),
            outcome => outcome?,
        }
        epoch.offer.told(set);
        Ok(())
    }

    /// Beats until the index has answered.
    async fn beat(&mut self, epoch: &mut Epoch, stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        epoch.is_away = true; // so that the call itself is all there is to do
        self.insist(epoch, stop, |_| std::future::ready(Ok(()))).await
    }

    /// Keeps the lease; after a restart of the index it is this that brings the peer back.
    async fn beat_once(&mut self, session: &Session, epoch: &mut Epoch) -> Result<(), Miss> {
        let drained = self.catalogue.drained_digest().filter(|_| epoch.outbox.is_empty());
        let beat = Heartbeat { epoch: epoch.number, digest: epoch.held.or(drained) };
        let reply = self.client.heartbeat(session, &beat).await?;
        epoch.has_beaten();
        self.backoff.reset();
        self.tell(epoch, Complete::WhenDrained);
        if reply.resync { Err(Miss::Resync) } else { Ok(()) }
    }

    /// Calls until the index has answered: while it is out of reach the epoch stays what it is, and nothing that was
    /// acknowledged needs to be sent again.
    async fn insist<T, F>(
        &mut self,
        epoch: &mut Epoch,
        stop: &mut watch::Receiver<bool>,
        mut call: impl FnMut(Session) -> F,
    ) -> Result<T, End>
    where
        F: Future<Output = Result<T, IndexError>>,
    {
        let mut is_new_session = false;
        loop {
            let outcome = tokio::select! {
                () = stopped(stop) => return Err(End::Stop),
                outcome = self.attempt(epoch, &mut call) => outcome,
            };
            let error = match outcome {
                Ok(answer) => return Ok(answer),
                Err(Miss::Resync) => return Err(End::Again),
                Err(Miss::Error(error)) => error,
            };
            match error.code() {
                Some(codes::UNKNOWN_PEER | codes::OUT_OF_ORDER) => return Err(End::Again),
                Some(codes::SESSION) => {
                    self.session = None;
                    if !std::mem::replace(&mut is_new_session, true) {
                        continue;
                    }
                }
                _ if error.is_full() || !error.is_passing() => return Err(End::Failed(error)),
                _ => self.tell_failed(&error),
            }
            let wait = self.backoff.next(error.retry_after());
            tokio::select! {
                () = stopped(stop) => return Err(End::Stop),
                () = tokio::time::sleep(wait) => {}
            }
        }
    }

    /// One call, in a session that the index knows this peer to be here in.
    async fn attempt<T, F>(
        &mut self,
        epoch: &mut Epoch,
        call: &mut impl FnMut(Session) -> F,
    ) -> Result<T, Miss>
    where
        F: Future<Output = Result<T, IndexError>>,
    {
        let session = match &self.session {
            Some(session) => session.clone(),
            None => {
                let session = self.client.open_session(&self.identity).await?;
                epoch.returns();
                self.session.insert(session).clone()
            }
        };
        if epoch.is_away {
            self.beat_once(&session, epoch).await?;
        }
        Ok(call(session).await?)
    }

    fn tell_failed(&self, error: &IndexError) {
        let (why, hint) = (error.to_string(), error.hint());
        self.state.send_replace(if error.is_full() {
            Registration::Full { files: 0, why, hint }
        } else {
            Registration::Offline { why, hint }
        });
    }

    fn tell(&self, epoch: &Epoch, complete: Complete) {
        if let Some(full) = &epoch.full {
            let (why, hint) = (full.why.clone(), full.hint.clone());
            self.state.send_replace(Registration::Full { files: epoch.files, why, hint });
            return;
        }
        let is_drained = epoch.outbox.is_empty() && self.catalogue.is_drained();
        let complete = complete == Complete::WhenDrained && is_drained;
        self.state.send_replace(Registration::Registered {
            address: epoch.address,
            files: epoch.files,
            complete,
        });
    }

    async fn quit(&self) {
        if let Some(session) = &self.session
            && let Err(error) = self.client.quit(session).await
        {
            tracing::info!(%error, "could not say quit; the lease will run out");
        }
    }
}

/// Why a call was not answered as hoped.
enum Miss {
    /// The index holds something else than it acknowledged to this peer.
    Resync,
    Error(IndexError),
}

impl From<IndexError> for Miss {
    fn from(error: IndexError) -> Self {
        Self::Error(error)
    }
}

async fn stopped(stop: &mut watch::Receiver<bool>) {
    // A sender that is gone means that nobody can ask any more: the same as being asked.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// Cuts changes into batches that an index takes.
fn lines_of(changes: &[Change]) -> VecDeque<Vec<u8>> {
    let mut batches = VecDeque::new();
    let mut lines = Vec::new();
    for change in changes {
        // Writing our own types into memory can't fail; half a line would be refused as a whole by the index.
        if serde_json::to_writer(&mut lines, change).is_ok() {
            lines.push(b'\n');
        }
        if lines.len() >= BATCH_BYTES {
            batches.push_back(std::mem::take(&mut lines));
        }
    }
    if !lines.is_empty() {
        batches.push_back(lines);
    }
    batches
}

#[cfg(test)]
mod returning;
#[cfg(test)]
mod tests;
