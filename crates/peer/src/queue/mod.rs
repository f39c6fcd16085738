//! The queue of a home's downloads: what was asked for is kept until it is there, and several are fetched at once.
//!
//! Invariants: a want is on the disk before its first byte is asked for, and goes when its files are there or can't
//! ever be; one process a home runs the queue, and others hand it theirs over the home's control socket; dropping
//! [`Queue::run`] at any time leaves what was not finished for later.

mod ask;
mod news;
mod trouble;

mod store;

mod admit;
mod board;
mod items;
mod resolve;
mod retry;
mod want;

mod control;
mod hand_over;
mod host;
mod socket;

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use futures_util::{StreamExt, stream};
use tokio::sync::{Semaphore, mpsc};

use crate::home::Home;
use crate::identity::Identity;
use crate::index_client::{IndexClient, IndexError};
use crate::partials::Partials;
use crate::rate::RateLimit;
use crate::swarm::Pool;

pub use ask::{Ask, Request, VERSION, WANTS_MAX, Wanted};
pub use control::{Control, Standing};
pub use host::{Host, Passing, fetch, take};
pub use news::{FileDone, Look, News};
pub use resolve::{Item, Order, resolve};
pub use store::{Entry, Store};
pub use trouble::{Cause, Trouble};

use ask::AskId;
use board::Board;

/// Wants of one command that are looked up or fetched at the same time; the others wait in the order they were given.
const WANTS_AT_ONCE: usize = 16;
/// Turns that all wants of a process share: a want of one small file takes one, any other takes [`HEAVY_TURNS`].
const TURNS: usize = 16;
/// So at most four large files or folders are fetched at once: more only share the same link and the same slots.
const HEAVY_TURNS: u32 = 4;
/// Index clients that are kept, with their connections: a home rarely asks more than one or two.
const CLIENTS_MAX: usize = 16;

/// The one place in a process where downloads are run. Cheap to clone.
#[derive(Clone)]
pub struct Queue {
    shared: Arc<Shared>,
}

/// What all wants of a process share.
struct Shared {
    store: Store,
    pool: Arc<Pool>,
    /// Where a peer's door finds what is being downloaded.
    partials: Partials,
    turns: Semaphore,
    active: Mutex<HashSet<AskId>>,
    clients: Mutex<HashMap<String, IndexClient>>,
}

impl Queue {
    /// The queue of a home. The caller holds the home's lock, so that only one process runs it.
    #[must_use]
    pub fn open(home: &Home, identity: Arc<Identity>, limit: Option<RateLimit>) -> Self {
        let shared = Shared {
            store: Store::of(home),
            pool: Arc::new(Pool::new(identity).with_limit(limit)),
            partials: Partials::new(),
            turns: Semaphore::new(TURNS),
            active: Mutex::default(),
            clients: Mutex::default(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Its downloads as a peer's door gives them to others: see [`crate::catalogue::Catalogue::with_partials`].
    #[must_use]
    pub fn partials(&self) -> &Partials {
        &self.shared.partials
    }

    /// Fetches what is asked for, telling `news`, and returns when each want is over. Whoever reads the news slowly
    /// slows these downloads down; whoever drops the future stops them, and they stay for a later request to resume.
    pub async fn run(&self, request: Request, news: mpsc::Sender<News>) {
        let board = Board::new(news);
        let admitted = admit::admit(&self.shared, request, &board).await;
        let work = stream::iter(admitted)
            .map(|admitted| want::run(&self.shared, &board, admitted))
            .buffer_unordered(WANTS_AT_ONCE)
            .for_each(|()| async {});
        tokio::select! {
            () = work => {}
            () = board.look_on() => {}
        }
        board.tell(News::End).await;
    }
}

impl Shared {
    fn client(&self, url: &str) -> Result<IndexClient, IndexError> {
        let mut clients = lock(&self.clients);
        if let Some(client) = clients.get(url) {
            return Ok(client.clone());
        }
        let client = IndexClient::new(url)?;
        if clients.len() >= CLIENTS_MAX {
            clients.clear(); // those in use live on by themselves
        }
        clients.insert(url.to_owned(), client.clone());
        Ok(client)
    }

    /// Marks a want as being fetched; `None` while it already is.
    fn activate(self: &Arc<Self>, id: AskId) -> Option<Active> {
        lock(&self.active).insert(id).then(|| Active { shared: Arc::clone(self), id })
    }
}

/// A want that is being fetched, for as long as this lives.
struct Active {
    shared: Arc<Shared>,
    id: AskId,
}

impl Drop for Active {
    fn drop(&mut self) {
        lock(&self.shared.active).remove(&self.id);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
