//! Who runs a home's downloads: this process when the home is free, otherwise the one that holds it.
//!
//! Invariants: the control door is open as long as the lock is held; when the holder ends, whoever handed it
//! downloads takes the home itself, or hands them to the next holder.

use std::sync::Arc;
use std::time::Duration;

use tokio::net::UnixStream;
use tokio::sync::mpsc;
use tokio::time::Instant;

use super::ask::Request;
use super::hand_over::{Ended, Left, hand_over, tell};
use super::news::News;
use super::trouble::Trouble;
use super::{Control, Queue};
use crate::home::{Home, HomeError, HomeLock};
use crate::identity::Identity;

/// How long to wait for a process that holds the home and opens no door: it may be starting, or ending.
const DOOR_WAIT: Duration = Duration::from_secs(5);
/// How often to look meanwhile.
const DOOR_POLL: Duration = Duration::from_millis(50);
/// Times that the downloads of one request go on elsewhere: more means that every holder dies of them.
const MOVES_MAX: u32 = 16;

/// What makes a process its home's: the lock, the queue, and the door for other commands.
///
/// A process that only downloads has no more than this. Where its downloads last, this is the place from which a
/// [`crate::peer::Peer`] could be started under the same lock, so that what is fetched is served as well.
pub struct Host {
    _control: Option<Control>,
    queue: Queue,
    lock: Arc<HomeLock>,
}

impl Host {
    /// Opens the queue and the door of a home.
    #[must_use]
    pub fn open(home: &Home, lock: HomeLock, identity: Arc<Identity>) -> Self {
        let queue = Queue::open(home, identity);
        let control = Control::open(home, queue.clone());
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

/// Sees that a request is fetched, here or by the process that holds the home, and tells the news.
///
/// # Errors
/// [`Trouble`] when neither is possible. What becomes of the wants is told by the news.
pub async fn fetch(
    home: &Home,
    identity: Arc<Identity>,
    request: Request,
    news: mpsc::Sender<News>,
) -> Result<(), Trouble> {
    let mut left = Left::of(request);
    for _ in 0..MOVES_MAX {
        match find_place(home).await? {
            Place::Here(lock) => {
                let host = Host::open(home, lock, identity);
                host.queue().run(left.request(), news).await;
                return Ok(());
            }
            Place::There(stream) => match hand_over(stream, &mut left, &news).await? {
                Ended::Whole => return Ok(()),
                Ended::HostWent => tell(&news, News::Moved).await,
            },
        }
    }
    Err(Trouble::failed("every process that took this home's downloads ended early")
        .hint("`peerage get --resume` goes on; if it ends again, please report it"))
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
            Err(HomeError::Busy { pid }) => pid,
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
