//! Keeps this peer registered: announces it, sends what changes, beats, and comes back by itself.
//!
//! Invariants: batches go out one at a time in the order of (epoch, seq); a batch whose fate is unknown is sent again
//! under its own number, which the index acknowledges without applying twice. Whenever the index and this peer may
//! disagree, a higher epoch is announced with the digest of all that is shared, and the index says whether it needs all
//! of it again. Every wait has jitter, so that two thousand peers do not return in the same second.

mod offer;

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
use offer::Offer;

/// Bytes of JSON after which a batch is closed: half of what an index takes, for one more line may follow.
const BATCH_BYTES: usize = limits::BATCH_BYTES_MAX / 2;
/// How long changes gather before they are sent, so that a thousand small files are one batch.
const GATHER: Duration = Duration::from_millis(150);
/// The first wait after a failure, and the longest: within two heartbeats of the index's return everybody is back.
const BACKOFF_FIRST: Duration = Duration::from_millis(500);
const BACKOFF_MAX: Duration = Duration::from_secs(20);

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
}

/// Waits that double, with jitter, until something works again.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: u32,
}

impl Backoff {
    fn next(&mut self) -> Duration {
        let wait = BACKOFF_FIRST.saturating_mul(1 << self.failures.min(10)).min(BACKOFF_MAX);
        self.failures = self.failures.saturating_add(1);
        jittered(wait)
    }

    fn reset(&mut self) {
        self.failures = 0;
    }
}

/// One announced epoch with an index.
struct Epoch {
    session: Session,
    number: u64,
    next_seq: u64,
    address: std::net::SocketAddr,
    files: u64,
    beat_every: Duration,
    next_beat: Instant,
    /// Batches cut but not yet acknowledged, oldest first: it has the number `next_seq`.
    outbox: VecDeque<Vec<u8>>,
    /// The downloads that the index knows of in this epoch.
    offer: Offer,
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
    Stop(Option<Session>),
    /// The index wants to hear everything from the start.
    Again,
    /// The index is out of reach or said no.
    Failed(IndexError),
}

impl Registrar {
    /// Registers until `stop` turns true, then says quit so that the peer's files leave every answer at once.
    pub async fn run(mut self, mut stop: watch::Receiver<bool>) {
        loop {
            match self.epoch(&mut stop).await {
                End::Stop(session) => return self.quit(session).await,
                End::Again => {}
                End::Failed(error) => self.tell_offline(&error),
            }
            tokio::select! {
                () = stopped(&mut stop) => return,
                () = tokio::time::sleep(self.backoff.next()) => {}
            }
        }
    }

    async fn epoch(&mut self, stop: &mut watch::Receiver<bool>) -> End {
        let mut epoch = tokio::select! {
            () = stopped(stop) => return End::Stop(None),
            announced = self.announce() => match announced {
                Ok(epoch) => epoch,
                Err(error) => return End::Failed(error),
            },
        };
        let mut changed = self.catalogue.changed();
        loop {
            if let Err(end) = self.send_changes(&mut epoch, stop).await {
                return end;
            }
            tokio::select! {
                () = stopped(stop) => return End::Stop(Some(epoch.session)),
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
                _ = changed.changed() => {
                    tokio::select! {
                        () = stopped(stop) => return End::Stop(Some(epoch.session)),
                        () = tokio::time::sleep(GATHER) => {}
                    }
                }
            }
        }
    }

    async fn announce(&mut self) -> Result<Epoch, IndexError> {
        let session = self.client.open_session(&self.identity).await?;
        let number = (self.next_epoch)();
        let (digest, mark) = self.catalogue.announce();
        let what = Announcement { name: self.name.clone(), doors: self.doors, epoch: number, digest };
        let announced: Announced = self.client.announce(&session, &what).await?;
        if announced.resync {
            self.catalogue.resend_all();
        } else {
            self.catalogue.confirm(mark);
        }
        let beat_every = Duration::from_secs(announced.heartbeat_secs.max(1));
        let files = if announced.resync { 0 } else { self.catalogue.counts().0 };
        let epoch = Epoch {
            session,
            number,
            next_seq: 0,
            address: announced.address,
            files,
            beat_every,
            next_beat: Instant::now() + jittered(beat_every),
            outbox: VecDeque::new(),
            offer: Offer::new(self.catalogue.partials()),
        };
        self.tell(&epoch, Complete::WhenDrained);
        Ok(epoch)
    }

    /// Sends until nothing is left to send; beats when it is time to.
    async fn send_changes(&mut self, epoch: &mut Epoch, stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        loop {
            if epoch.outbox.is_empty() {
                epoch.outbox = lines_of(&self.catalogue.take_changes(limits::BATCH_CHANGES_MAX));
            }
            let Some(lines) = epoch.outbox.pop_front() else { return Ok(()) };
            self.tell(epoch, Complete::No);
            let order = BatchOrder { epoch: epoch.number, seq: epoch.next_seq };
            let (client, session) = (self.client.clone(), epoch.session.clone());
            let applied =
                self.insist(&epoch.session, stop, || client.send_batch(&session, order, &lines)).await?;
            epoch.files = applied.files;
            epoch.next_seq += 1;
            self.tell(epoch, Complete::WhenDrained);
            if Instant::now() >= epoch.next_beat {
                self.beat(epoch, stop).await?;
            }
        }
    }

    /// Says which contents are being downloaded here, where the index does not know it.
    async fn tell_offer(&mut self, epoch: &mut Epoch, stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        let Some(set) = epoch.offer.news() else { return Ok(()) };
        let (client, session) = (self.client.clone(), epoch.session.clone());
        match self.insist(&epoch.session, stop, || client.put_partials(&session, &set)).await {
            // A registration is worth more than this offer: an older index does not know it.
            Err(End::Failed(error)) => tracing::debug!(%error, "the index takes no downloads as sources"),
            outcome => outcome?,
        }
        epoch.offer.told(set);
        Ok(())
    }

    async fn beat(&mut self, epoch: &mut Epoch, stop: &mut watch::Receiver<bool>) -> Result<(), End> {
        let digest = self.catalogue.drained_digest().filter(|_| epoch.outbox.is_empty());
        let beat = Heartbeat { epoch: epoch.number, digest };
        let (client, session) = (self.client.clone(), epoch.session.clone());
        let reply = self.insist(&epoch.session, stop, || client.heartbeat(&session, &beat)).await?;
        epoch.next_beat = Instant::now() + jittered(epoch.beat_every);
        self.backoff.reset();
        self.tell(epoch, Complete::WhenDrained);
        if reply.resync { Err(End::Again) } else { Ok(()) }
    }

    /// Calls until the index has answered: while it is out of reach the epoch stays what it is, and nothing that was
    /// acknowledged needs to be sent again.
    async fn insist<T, F>(
        &mut self,
        session: &Session,
        stop: &mut watch::Receiver<bool>,
        mut call: impl FnMut() -> F,
    ) -> Result<T, End>
    where
        F: Future<Output = Result<T, IndexError>>,
    {
        loop {
            let outcome = tokio::select! {
                () = stopped(stop) => return Err(End::Stop(Some(session.clone()))),
                outcome = call() => outcome,
            };
            match outcome {
                Ok(answer) => return Ok(answer),
                Err(error)
                    if matches!(
                        error.code(),
                        Some(codes::SESSION | codes::UNKNOWN_PEER | codes::OUT_OF_ORDER)
                    ) =>
                {
                    return Err(End::Again);
                }
                Err(error @ IndexError::Refused { .. }) => return Err(End::Failed(error)),
                Err(error) => self.tell_offline(&error),
            }
            tokio::select! {
                () = stopped(stop) => return Err(End::Stop(Some(session.clone()))),
                () = tokio::time::sleep(self.backoff.next()) => {}
            }
        }
    }

    fn tell_offline(&self, error: &IndexError) {
        self.state.send_replace(Registration::Offline { why: error.to_string(), hint: error.hint() });
    }

    fn tell(&self, epoch: &Epoch, complete: Complete) {
        let is_drained = epoch.outbox.is_empty() && self.catalogue.is_drained();
        let complete = complete == Complete::WhenDrained && is_drained;
        self.state.send_replace(Registration::Registered {
            address: epoch.address,
            files: epoch.files,
            complete,
        });
    }

    async fn quit(&self, session: Option<Session>) {
        if let Some(session) = session
            && let Err(error) = self.client.quit(&session).await
        {
            tracing::info!(%error, "could not say quit; the lease will run out");
        }
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

/// Between three quarters of a wait and all of it, evenly.
fn jittered(wait: Duration) -> Duration {
    let mut random = [0_u8; 2];
    if getrandom::fill(&mut random).is_err() {
        return wait; // no randomness is no reason to stop
    }
    wait.mul_f64(1.0 - f64::from(u16::from_le_bytes(random)) / f64::from(u16::MAX) / 4.0)
}

#[cfg(test)]
mod tests;
