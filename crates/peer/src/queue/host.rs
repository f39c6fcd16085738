//! Who runs a home's downloads: this process when the home is free, otherwise the one that holds it.
//!
//! Invariants: the control door is open as long as the lock is held; when the holder ends, whoever handed it
//! downloads takes the home itself, or hands them to the next holder; a process that only downloads never keeps a peer
//! from starting.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::{Notify, mpsc};
use tokio::time::Instant;

use super::ask::Request;
use super::control::{NEWS_MAX, Standing};
use super::hand_over::{Ended, Left, ask_to_yield, hand_over, tell};
use super::news::News;
use super::trouble::Trouble;
use super::{Control, Queue};
use peerage_wire::PeerName;

use crate::catalogue::Catalogue;
use crate::home::{Home, HomeError, HomeLock};
use crate::identity::Identity;
use crate::index_client::IndexClient;
use crate::presence::{Appearance, Listeners, Owner, Presence, USUAL, listen};
use crate::rate::{RateLimit, RateLimits};
use crate::uploads::Uploads;

/// How long to wait for a process that holds the home and opens no door: it may be starting, or ending.
const DOOR_WAIT: Duration = Duration::from_secs(5);
/// How often to look meanwhile.
const DOOR_POLL: Duration = Duration::from_millis(50);
/// How long a process that goes on with another's downloads waits first, so that a peer that wants the home has it.
const MOVE_PAUSE: Duration = Duration::from_millis(300);
/// Times that the downloads of one request go on elsewhere: more means that every holder dies of them.
const MOVES_MAX: u32 = 16;

/// How long downloads last before the process that does them becomes a source: a shorter one is over before anybody has
/// heard of it.
const LASTING: Duration = Duration::from_secs(1);
/// How long others may go on fetching from a process whose own downloads are over: they have other sources.
const PASSING_DRAIN: Duration = Duration::from_millis(500);

/// What a process that only downloads is for others while it does.
#[derive(Debug, Clone)]
pub struct Passing {
    /// The index it registers with.
    pub index: IndexClient,
    /// Its name for people.
    pub name: PeerName,
    /// How fast it may send and receive.
    pub limits: RateLimits,
    /// Held until it has left the index, also where its downloads were dropped: who ends the process waits for that.
    pub here: mpsc::Sender<()>,
}

/// What makes a process its home's: the lock, the queue, and the door for other commands.
///
/// A process that only downloads has no more than this.
pub struct Host {
    _control: Option<Control>,
    queue: Queue,
    lock: Arc<HomeLock>,
}

impl Host {
    /// Opens the queue and the door of a home; `limit` is for what its downloads receive together.
    #[must_use]
    pub fn open(
        home: &Home,
        lock: HomeLock,
        identity: Arc<Identity>,
        standing: Standing,
        limit: Option<RateLimit>,
    ) -> Self {
        let queue = Queue::open(home, identity, limit);
        let control = Control::open(home, queue.clone(), standing);
        if let Err(error) = &control {
            tracing::warn!(%error, home = %home.path().display(), "no control socket: other commands can't hand in downloads");
        }
        Self { _control: control.ok(), queue, lock: Arc::new(lock) }
    }

    /// Its downloads.
    #[must_use]
    pub const fn queue(&self) -> &Queue {
        &self.queue
    }

    /// The right that it holds.
    #[must_use]
    pub const fn lock(&self) -> &Arc<HomeLock> {
        &self.lock
    }
}

/// Sees that a request is fetched, here as `passing`, or by the process that holds the home, and tells the news.
///
/// # Errors
/// [`Trouble`] when neither is possible. What becomes of the wants is told by the news.
pub async fn fetch(
    home: &Home,
    identity: Arc<Identity>,
    request: Request,
    passing: Passing,
    news: mpsc::Sender<News>,
) -> Result<(), Trouble> {
    let mut left = Left::of(request);
    for _ in 0..MOVES_MAX {
        let text = match find_place(home).await? {
            Place::Here(lock) => {
                match fetch_here(home, lock, (&identity, &passing), &mut left, &news).await {
                    Ended::Whole => return Ok(()),
                    Ended::HostWent => "a peer starts in this home and goes on with this",
                }
            }
            Place::There(stream) => match hand_over(stream, &mut left, &news).await? {
                Ended::Whole => return Ok(()),
                Ended::HostWent => "the peer that fetched this ended; another goes on",
            },
        };
        tell(&news, News::Moved { text: text.to_owned() }).await;
        tokio::time::sleep(MOVE_PAUSE).await;
    }
    Err(Trouble::failed("every process that took this home's downloads ended early")
        .hint("`peerage get --resume` goes on; if it ends again, please report it"))
}

/// Does the downloads in this process, until they are over or a peer wants the home. While they last it is a peer too.
async fn fetch_here(
    home: &Home,
    lock: HomeLock,
    (identity, passing): (&Arc<Identity>, &Passing),
    left: &mut Left,
    news: &mpsc::Sender<News>,
) -> Ended {
    let asked = Arc::new(Notify::new());
    let standing = Standing::Passing(Arc::clone(&asked));
    let host = Host::open(home, lock, Arc::clone(identity), standing, passing.limits.down.clone());
    let owner = Owner { home, lock: host.lock(), identity };
    let (sender, mut heard) = mpsc::channel(NEWS_MAX);
    let run = host.queue().run(left.request(), sender);
    // Told first and noted then: a want that was stopped in between is done again rather than lost.
    let pass_on = async {
        while let Some(one) = heard.recv().await {
            tell(news, one.clone()).await;
            left.note(&one);
        }
    };
    let mut present = None;
    let ended = tokio::select! {
        _ = async { tokio::join!(run, pass_on) } => Ended::Whole,
        () = asked.notified() => Ended::HostWent,
        () = appear(&owner, host.queue(), passing, &mut present) => Ended::Whole,
    };
    if let Some(presence) = present {
        presence.close(PASSING_DRAIN).await;
    }
    ended
}

/// Makes this process a source once its downloads have lasted [`LASTING`] and have a piece that others may want. Never
/// returns: a source that can't be is a loss to others only.
async fn appear(owner: &Owner<'_>, queue: &Queue, passing: &Passing, present: &mut Option<Presence>) {
    tokio::time::sleep(LASTING).await;
    let partials = queue.partials();
    let mut changed = partials.changed();
    while partials.offered().is_empty() && changed.changed().await.is_ok() {}
    match open_door(owner, queue, passing).await {
        Ok(presence) => *present = Some(presence),
        Err(error) => tracing::warn!(%error, "others can't fetch from this download"),
    }
    std::future::pending::<()>().await;
}

async fn open_door(owner: &Owner<'_>, queue: &Queue, passing: &Passing) -> Result<Presence, String> {
    let listener =
        listen(None, USUAL).await.map_err(|(address, error)| format!("can't serve on {address}: {error}"))?;
    let catalogue = Arc::new(Catalogue::with_partials(queue.partials().clone()));
    let (index, name) = (passing.index.clone(), passing.name.clone());
    let uploads = Uploads::new(passing.limits.up.clone());
    let appearance = Appearance { index, name, uploads, ftp: None, here: Some(passing.here.clone()) };
    let listeners = Listeners { native: listener, http: None };
    Presence::open(owner, listeners, &catalogue, appearance, std::future::ready(()))
        .map_err(|error| error.to_string())
}

/// Takes a home for a peer: at once where it is free, and from a process that only downloads, which hands its
/// downloads to this one then.
///
/// # Errors
/// [`HomeError`]; `Busy` where a peer runs already.
pub async fn take(home: &Home) -> Result<HomeLock, HomeError> {
    let began = Instant::now();
    loop {
        let busy = match home.lock() {
            Err(busy @ HomeError::Busy { .. }) => busy,
            other => return other,
        };
        let yields = match super::socket::connect(home).await {
            Ok(stream) => ask_to_yield(stream).await,
            Err(_) => true, // it is starting or ending, which takes a moment
        };
        if !yields || began.elapsed() > DOOR_WAIT {
            return Err(busy);
        }
        tokio::time::sleep(DOOR_POLL).await;
    }
}

enum Place {
    Here(HomeLock),
    There(UnixStream),
}

async fn find_place(home: &Home) -> Result<Place, Trouble> {
    let began = Instant::now();
    loop {
        let pid = match home.lock() {
            Ok(lock) => return Ok(Place::Here(lock)),
            Err(HomeError::Busy { pid, .. }) => pid,
            Err(error) => return Err(Trouble::failed(error)),
        };
        match super::socket::connect(home).await {
            Ok(stream) => return Ok(Place::There(stream)),
            Err(_) if began.elapsed() < DOOR_WAIT => tokio::time::sleep(DOOR_POLL).await,
            Err(error) => {
                let process = pid.map(|pid| format!(", process {pid},")).unwrap_or_default();
                let message = format!("the peer of this home{process} takes no downloads: {error}");
                return Err(Trouble::failed(message).hint("stop it, or use another home with `--home DIR`"));
            }
        }
    }
}
