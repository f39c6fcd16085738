//! What every handler shares: the index, the sessions, the clock, and the bounds on what runs at once.
//!
//! Invariants: the index is only ever called from a thread that may block: searches at the [`Desk`], all else from at most
//! [`CALLS_MAX`] blocking threads, but for what it can do without waiting. Who waits for either is bounded by the connections.
//! It is called by nobody before it is open. The first failure of its store is kept, for whoever ends the process.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use peerage_index::{Error as IndexError, Index, Moment};
use tokio::sync::{Semaphore, watch};
use tokio::time::Instant;

use crate::accept;
use crate::body::UploadRoom;
use crate::challenge::Challenger;
use crate::config::Config;
use crate::desk::Desk;
use crate::error::{ApiError, Fault};
use crate::guard::Hosts;
use crate::metrics::Metrics;
use crate::opening::Standing;
use crate::session::Sessions;
use crate::slots::Slots;

/// What to do when a write to the store failed and the index says no more than that.
const FAULT_HINT: &str =
    "look at the disk (is it full?), then start the index again: what was acknowledged is on it";

/// Calls into the index at the same time. More would only wait for the same cores; each may hold a batch of
/// 10,000 changes. Those that wait are bounded by the connections.
const CALLS_MAX: usize = 32;

/// The state of the door.
pub(crate) struct App {
    pub(crate) challenger: Challenger,
    pub(crate) hosts: Hosts,
    pub(crate) upload_room: UploadRoom,
    pub(crate) slots: Arc<Slots>,
    pub(crate) metrics: Metrics,
    index: OnceLock<Index>,
    standing: watch::Sender<Standing>,
    fault: watch::Sender<Option<Fault>>,
    sessions: Mutex<Sessions>,
    started: Instant,
    calls: Arc<Semaphore>,
    desk: Desk,
    /// Why the last snapshot failed, as it was told.
    snapshot_failure: Mutex<Option<String>>,
}

impl App {
    /// A door without an index yet; `standing` is told of it.
    pub(crate) fn new(standing: watch::Sender<Standing>, config: &Config) -> io::Result<Self> {
        Ok(Self {
            challenger: Challenger::new(random()?),
            hosts: Hosts::new(&config.allowed_hosts, &machine_name()),
            upload_room: UploadRoom::default(),
            slots: Slots::new(accept::bounds(config)),
            metrics: Metrics::default(),
            index: OnceLock::new(),
            standing,
            fault: watch::Sender::new(None),
            sessions: Mutex::default(),
            started: Instant::now(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
            desk: Desk::new()?,
            snapshot_failure: Mutex::default(),
        })
    }

    /// The index is whole: from now on it is asked.
    pub(crate) fn open(&self, index: Index) {
        if self.index.set(index).is_ok() {
            self.standing.send_replace(Standing::Ready);
        }
    }

    /// The index, or the refusal that says how far it is.
    pub(crate) fn index(&self) -> Result<&Index, ApiError> {
        self.index.get().ok_or_else(|| ApiError::starting(*self.standing.borrow()))
    }

    /// Where to tell how far the opening is.
    pub(crate) fn standing(&self) -> watch::Sender<Standing> {
        self.standing.clone()
    }

    /// Asks the index on a blocking thread. The call runs to its end even when the asker has gone.
    pub(crate) async fn ask<T, E>(
        &self,
        call: impl FnOnce(&Index, Moment) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let index = self.index()?.clone();
        let permit = Arc::clone(&self.calls).acquire_owned().await.map_err(ApiError::internal)?;
        let now = self.moment();
        let answer = tokio::task::spawn_blocking(move || {
            let answer = call(&index, now);
            drop(permit);
            answer
        });
        self.minded(answer.await.map_err(ApiError::internal)?)
    }

    /// Asks the index for what it only has to look up in memory, at the desk: there such calls are in nobody's way and
    /// wait for nobody but each other.
    pub(crate) async fn look<T, E>(
        &self,
        call: impl FnOnce(&Index) -> Result<T, E> + Send + 'static,
    ) -> Result<T, ApiError>
    where
        T: Send + 'static,
        E: Into<ApiError> + Send + 'static,
    {
        let index = self.index()?.clone();
        let answer = self.desk.ask(move || call(&index)).await;
        self.minded(answer.ok_or_else(|| ApiError::internal("a search panicked"))?)
    }

    /// Asks the index for what it can tell at once, in the caller's own thread; `None` where it would have to wait.
    pub(crate) fn ask_now<T>(
        &self,
        call: impl FnOnce(&Index, Moment) -> Option<Result<T, IndexError>>,
    ) -> Result<Option<T>, ApiError> {
        self.minded(call(self.index()?, self.moment()).transpose())
    }

    fn minded<T>(&self, answer: Result<T, impl Into<ApiError>>) -> Result<T, ApiError> {
        answer.map_err(Into::into).inspect_err(|error| {
            if let Some(fault) = error.fault() {
                self.fail(fault.clone());
            }
        })
    }

    /// Resolves once the store has failed.
    pub(crate) async fn broken(&self) -> Fault {
        let mut fault = self.fault.subscribe();
        match fault.wait_for(Option::is_some).await.ok().and_then(|fault| fault.clone()) {
            Some(fault) => fault,
            None => std::future::pending().await, // the sender lives as long as this does
        }
    }

    /// The store failed; the first failure is the one that is told.
    fn fail(&self, fault: Fault) {
        self.fault.send_if_modified(|first| {
            let is_first = first.is_none();
            first.get_or_insert(fault);
            is_first
        });
    }

    /// Lets ended leases and sessions go.
    pub(crate) async fn expire(&self) {
        self.sessions().sweep(self.elapsed());
        let Ok(index) = self.index() else { return };
        let (index, now) = (index.clone(), self.moment());
        // Not through `ask`: a crowd of searches must not hold up the end of a lease.
        let look = move || (index.expire(now), index.failure(), index.snapshot_failure());
        let looked = tokio::task::spawn_blocking(look).await;
        let (expired, failure, snapshot_failure) = match looked {
            Ok(looked) => looked,
            Err(error) => return tracing::error!(%error, "leases could not be ended"),
        };
        match expired {
            Ok(gone) => gone.iter().for_each(|peer| tracing::debug!(peer = %peer.short(), "lease ended")),
            Err(IndexError::Store { message, hint, .. }) => self.fail(Fault { message, hint }),
            Err(error) => tracing::error!(%error, "leases could not be ended"),
        }
        if let Some(message) = failure {
            self.fail(Fault { message, hint: FAULT_HINT.to_owned() });
        }
        self.tell_of_snapshot(snapshot_failure);
    }

    /// Says once that a snapshot failed, and once that one was taken after all.
    fn tell_of_snapshot(&self, failure: Option<String>) {
        let mut told = self.snapshot_failure.lock().unwrap_or_else(PoisonError::into_inner);
        match (&*told, &failure) {
            (before, Some(message)) if before.as_ref() != Some(message) => tracing::warn!(
                "a snapshot could not be written, so the log grows on and the next start takes longer: {message}"
            ),
            (Some(_), None) => tracing::info!("a snapshot was written after all"),
            _ => {}
        }
        *told = failure;
    }

    /// The book of sessions. It is never held across an await.
    pub(crate) fn sessions(&self) -> MutexGuard<'_, Sessions> {
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Time since the door opened, on a clock that never goes back.
    pub(crate) fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    fn moment(&self) -> Moment {
        Moment::from_millis(u64::try_from(self.elapsed().as_millis()).unwrap_or(u64::MAX))
    }
}

/// Unpredictable bytes from the system.
pub(crate) fn random<const N: usize>() -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(io::Error::other)?;
    Ok(bytes)
}

fn machine_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}
