//! What goes over a data connection: a file from an offset on, or a folder's listing.
//!
//! Invariants: a file is sent only by who holds an upload slot of the peer, within its rate; a listing is made and sent a
//! page at a time, so a folder of any size takes the memory of one; a file that ends early ends in an error.

use std::io;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use peerage_peer::catalogue::{Catalogue, Child, Listing, Node, OpenError, OpenedContent};
use peerage_peer::reading::{READ_BYTES, Reading};
use peerage_peer::uploads::{Busy, Receiver, Uploads};
use peerage_wire::ContentHash;
use tokio_rustls::TlsAcceptor;

use super::command::Style;
use super::data::{Data, Passive};
use super::listing::line;
use super::pattern::Pattern;
use super::reply::Reply;

/// Where what is sent goes to.
pub(super) struct Way {
    pub(super) passive: Passive,
    pub(super) acceptor: Option<TlsAcceptor>,
}

/// Why a transfer ended early.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The client did not connect, or shook no hands.
    NoConnection(io::Error),
    /// It went away, or took too little.
    Cut(io::Error),
    /// The file can't be read to its end.
    Unreadable(io::Error),
    /// Every upload slot is taken, and stays so.
    Busy(Busy),
}

impl Trouble {
    pub(super) fn reply(&self) -> Reply {
        match self {
            Self::NoConnection(error) => {
                tracing::debug!(%error, "no FTP data connection");
                Reply::new(425, "no data connection was made")
            }
            Self::Cut(error) => {
                tracing::debug!(%error, "an FTP data connection ended early");
                Reply::new(426, "the data connection was cut")
            }
            Self::Unreadable(error) => {
                tracing::debug!(%error, "a file could not be sent to its end");
                Reply::new(451, "the file can't be read to its end")
            }
            Self::Busy(busy) => {
                let secs = busy.retry_after.as_secs();
                Reply::new(450, format!("every upload slot is taken: come back in {secs} s"))
            }
        }
    }
}

impl Way {
    async fn open(self) -> Result<Data, Trouble> {
        self.passive.accept(self.acceptor.as_ref()).await.map_err(Trouble::NoConnection)
    }
}

/// Opens a content, away from the connection's thread.
pub(super) async fn open(catalogue: &Arc<Catalogue>, hash: ContentHash) -> Result<OpenedContent, Reply> {
    let catalogue = Arc::clone(catalogue);
    match tokio::task::spawn_blocking(move || catalogue.open(&hash)).await {
        Ok(Ok(opened)) => Ok(opened),
        Ok(Err(OpenError::Absent)) => Err(absent()),
        Ok(Err(OpenError::Changed)) => {
            Err(Reply::new(450, "the file was changed: it is shared anew in a moment"))
        }
        Ok(Err(OpenError::Unreadable(_))) | Err(_) => Err(Reply::new(450, "the file can't be read now")),
    }
}

pub(super) fn absent() -> Reply {
    Reply::new(550, "there is no such file or folder")
}

/// Sends a file's bytes from `offset` on. Who does not come for them holds no slot.
pub(super) async fn send_file(
    way: Way,
    opened: OpenedContent,
    offset: u64,
    (uploads, receiver): (Uploads, Receiver),
) -> Result<(), Trouble> {
    let mut data = way.open().await?;
    let mut upload = uploads.begin(receiver).await.map_err(Trouble::Busy)?;
    let OpenedContent { content, size } = opened;
    let mut reading = Reading::new(content, offset..size, upload.step(READ_BYTES));
    loop {
        upload.ready().await;
        let Some(bytes) = reading.next().await else { break };
        let bytes = bytes.map_err(Trouble::Unreadable)?;
        upload.sent(bytes.len());
        data.send(&bytes).await.map_err(Trouble::Cut)?;
    }
    data.finish().await.map_err(Trouble::Cut)
}

/// What a listing shows.
pub(super) enum Shown {
    /// What is in a folder; where there is a pattern, only the names it matches.
    Folder(Listing, Option<Pattern>),
    /// One file.
    File(Child),
}

/// Sends a listing; `prefix` stands before bare names.
pub(super) async fn send_listing(
    way: Way,
    catalogue: Arc<Catalogue>,
    mut shown: Shown,
    style: Style,
    prefix: String,
) -> Result<(), Trouble> {
    let mut data = way.open().await?;
    let now = now_secs();
    loop {
        let mut text = String::new();
        match &mut shown {
            Shown::File(child) => line(style, child, &prefix, now, &mut text),
            Shown::Folder(listing, pattern) => {
                let page = listing.next_page(&catalogue);
                if page.is_empty() {
                    break;
                }
                let is_meant =
                    |child: &&Child| pattern.as_ref().is_none_or(|pattern| pattern.fits(&child.name));
                page.iter().filter(is_meant).for_each(|child| line(style, child, &prefix, now, &mut text));
            }
        }
        data.send(text.as_bytes()).await.map_err(Trouble::Cut)?;
        // Where nothing on a page fits, nothing was waited for.
        tokio::task::yield_now().await;
        if matches!(shown, Shown::File(_)) {
            break;
        }
    }
    data.finish().await.map_err(Trouble::Cut)
}

/// A file by itself, as its folder would list it.
pub(super) fn alone(name: &str, node: Node) -> Shown {
    Shown::File(Child { name: name.to_owned(), node })
}

fn now_secs() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}
