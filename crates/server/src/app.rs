//! What every handler shares: the index, the sessions, the clock, and the bounds on what runs at once.
//!
//! Invariant: the index is only ever called from a blocking thread, and at most [`CALLS_MAX`] calls run at a time.

use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use peerage_index::{Index, Moment};
use tokio::sync::Semaphore;
use tokio::time::Instant;

use crate::body::UploadRoom;
use crate::challenge::Challenger;
use crate::config::Config;
use crate::error::ApiError;
use crate::guard::Hosts;
use crate::session::Sessions;

/// Calls into the index at the same time. More would only wait for the same cores; each may hold a batch of
/// 10,000 changes. Those that wait are bounded by the connections.
const CALLS_MAX: usize = 32;

/// The state of the door.
pub(crate) struct App {
    pub(crate) challenger: Challenger,
    pub(crate) hosts: Hosts,
    pub(crate) upload_room: UploadRoom,
    index: Index,
    sessions: Mutex<Sessions>,
    started: Instant,
    calls: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(index: Index, config: &Config) -> io::Result<Self> {
        Ok(Self {
            challenger: Challenger::new(random()?),
            hosts: Hosts::new(&config.allowed_hosts, &machine_name()),
            upload_room: UploadRoom::default(),
            index,
            sessions: Mutex::default(),
            started: Instant::now(),
            calls: Arc::new(Semaphore::new(CALLS_MAX)),
        })
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
        let permit = Arc::clone(&self.calls).acquire_owned().await.map_err(ApiError::internal)?;
        let (index, now) = (self.index.clone(), self.moment());
        let answer = tokio::task::spawn_blocking(move || {
            let answer = call(&index, now);
            drop(permit);
            answer
        });
        answer.await.map_err(ApiError::internal)?.map_err(Into::into)
    }

    /// Lets ended leases and sessions go.
    pub(crate) async fn expire(&self) {
        self.sessions().sweep(self.elapsed());
        let (index, now) = (self.index.clone(), self.moment());
        // Not through `ask`: a crowd of searches must not hold up the end of a lease.
        match tokio::task::spawn_blocking(move || index.expire(now)).await {
            Ok(Ok(gone)) => gone.iter().for_each(|peer| tracing::debug!(peer = %peer.short(), "lease ended")),
            Ok(Err(error)) => tracing::error!(%error, "leases could not be ended"),
            Err(error) => tracing::error!(%error, "leases could not be ended"),
        }
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
