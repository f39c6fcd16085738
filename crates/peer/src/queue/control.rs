//! The control door of a home: other commands of the same home and user hand their wants in here.
//!
//! Invariants: one request a connection, then news until its end; a connection that goes takes its downloads with it,
//! and they stay in the queue; nothing that comes in can end the process or another's downloads.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use tokio::io::AsyncReadExt;
use tokio::net::unix::OwnedReadHalf;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::task::{JoinHandle, JoinSet};

use super::Queue;
use super::ask::{Message, NUMBER_MAX, VERSION, WANTS_MAX};
use super::news::News;
use super::socket::{self, Lines};
use super::trouble::Trouble;
use crate::home::Home;

/// Commands that may hand in their wants at the same time: more than a person has terminals.
const CONNECTIONS_MAX: usize = 64;
/// Bytes of a request: ten thousand wants of five times the usual length.
const REQUEST_BYTES_MAX: usize = 16 << 20;
/// How long a request may take to come: it is written at once.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);
/// News that may wait for a slow reader before its downloads do.
pub(super) const NEWS_MAX: usize = 256;
/// The pause after a connection could not be taken, so that a lack of descriptors does not become a busy loop.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why a process holds its home.
#[derive(Debug, Clone)]
pub enum Standing {
    /// It is a peer, and stays one.
    Peer,
    /// It only downloads, and gives the home to a peer that wants to start: then this is notified.
    Passing(Arc<Notify>),
}

/// What a connection can reach.
#[derive(Clone)]
struct Desk {
    queue: Queue,
    standing: Standing,
}

/// An open control door; closed on drop, with all its connections.
pub struct Control {
    path: PathBuf,
    serving: JoinHandle<()>,
}

impl Control {
    /// Opens the door of a home whose lock the caller holds.
    ///
    /// # Errors
    /// When the socket can't be made.
    pub fn open(home: &Home, queue: Queue, standing: Standing) -> io::Result<Self> {
        let (listener, path) = socket::bind(home)?;
        Ok(Self { path, serving: tokio::spawn(serve(listener, Desk { queue, standing })) })
    }
}

impl Drop for Control {
    fn drop(&mut self) {
        self.serving.abort();
        // One that stays says nothing: whoever finds the lock free replaces it.
        let _ = std::fs::remove_file(&self.path);
    }
}

async fn serve(listener: UnixListener, desk: Desk) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let mut connections = JoinSet::new();
    loop {
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(error) => {
                tracing::warn!(%error, "the control socket can't take a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (desk, place) = (desk.clone(), Arc::clone(&places).try_acquire_owned());
        connections.spawn(async move {
            let ended = match place {
                Ok(_place) => converse(stream, &desk).await,
                Err(_) => refuse(stream, Trouble::failed("too many commands wait for downloads")).await,
            };
            if let Err(error) = ended {
                tracing::debug!(%error, "a command's connection ended");
            }
        });
        while connections.try_join_next().is_some() {} // those that ended are only let go of
    }
}

async fn refuse(mut stream: UnixStream, trouble: Trouble) -> io::Result<()> {
    socket::write_line(&mut stream, &News::Refused { trouble }).await
}

async fn converse(stream: UnixStream, desk: &Desk) -> io::Result<()> {
    socket::check_user(&stream)?;
    let (read, mut write) = stream.into_split();
    let mut lines = Lines::new(read, REQUEST_BYTES_MAX);
    let request = match message(&mut lines).await {
        Ok(Message::Fetch(request)) => request,
        Ok(Message::Yield { .. }) => return socket::write_line(&mut write, &desk.give_up()).await,
        Err(trouble) => return socket::write_line(&mut write, &News::Refused { trouble }).await,
    };
    let (sender, mut news) = mpsc::channel(NEWS_MAX);
    let forward = async {
        while let Some(news) = news.recv().await {
            socket::write_line(&mut write, &news).await?;
        }
        Ok(())
    };
    let work = async { tokio::join!(desk.queue.run(request, sender), forward).1 };
    tokio::select! {
        ended = work => ended,
        () = gone(lines.into_inner()) => Ok(()),
    }
}

impl Desk {
    /// A peer wants to start in this home.
    fn give_up(&self) -> News {
        match &self.standing {
            Standing::Passing(asked) => {
                asked.notify_one();
                News::End
            }
            Standing::Peer => News::Refused { trouble: Trouble::failed("this home's peer already runs") },
        }
    }
}

/// Nothing comes after a request: an end, an error or another byte all say that nobody waits any more.
async fn gone(mut read: impl tokio::io::AsyncRead + Unpin) {
    let _ = read.read(&mut [0; 1]).await;
}

/// Read before everything else, so that another version is told from nonsense.
#[derive(Deserialize)]
struct Version {
    version: u32,
}

async fn message(lines: &mut Lines<OwnedReadHalf>) -> Result<Message, Trouble> {
    let nonsense = |why: &dyn std::fmt::Display| Trouble::usage(format!("can't read the request: {why}"));
    let line = tokio::time::timeout(REQUEST_TIMEOUT, lines.next()).await;
    let line = line.map_err(|_| nonsense(&"it does not come"))?.map_err(|error| nonsense(&error))?;
    let line = line.ok_or_else(|| nonsense(&"it ends early"))?;
    let Version { version } = socket::parse(&line).map_err(|error| nonsense(&error))?;
    if version != VERSION {
        let message = format!(
            "the peer that runs in this home speaks version {VERSION} of the control door, not {version}"
        );
        return Err(Trouble::failed(message).hint("restart it, so that both are the same program"));
    }
    let message = socket::parse(&line).map_err(|error| nonsense(&error))?;
    match message {
        Message::Fetch(request) if request.wants.len() > WANTS_MAX => {
            Err(Trouble::usage(format!("more than {WANTS_MAX} wants at once"))
                .hint("ask for fewer at a time"))
        }
        Message::Fetch(request) if request.wants.iter().any(|wanted| wanted.want > NUMBER_MAX) => {
            Err(nonsense(&format_args!("a want has a number above {NUMBER_MAX}")))
        }
        message => Ok(message),
    }
}
