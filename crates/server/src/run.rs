//! The door as a whole: the accept loop, the opening of the index, and the clock that ends leases, for as long as the
//! caller wants and the store holds.
//!
//! Invariant: once a write to the store has failed nothing more is accepted, and [`run`] ends with the cause: what is on
//! the disk is known again only when the index is opened anew.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use peerage_index::Error as IndexError;
use tokio::net::TcpListener;
use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::config::Config;
use crate::error::Fault;
use crate::opening::{Opening, Source, Standing};
use crate::{accept, routes};

/// How often leases are looked at: twice a second, so that a peer is gone within a second of its lease.
const TICK: Duration = Duration::from_millis(500);

/// Why the door ended by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The system gave no socket, no thread or no random numbers.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The store can't be opened, was not written, or can't be closed.
    #[error("{message}")]
    Store {
        /// What failed, on which file.
        message: String,
        /// What to do about it.
        hint: String,
        /// Whether a file there is not what was written.
        is_damaged: bool,
    },
}

impl From<Fault> for RunError {
    fn from(Fault { message, hint }: Fault) -> Self {
        Self::Store { message, hint, is_damaged: false }
    }
}

impl From<IndexError> for RunError {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Store { message, hint, is_damaged } => Self::Store { message, hint, is_damaged },
            other => Self::Io(io::Error::other(other)),
        }
    }
}

/// Serves an index, or an [`Opening`] of one, on `listener` until `shutdown` completes and the running requests have
/// ended, or [`Config::drain_timeout`] has passed; then closes it. While it is being opened the door says so.
///
/// # Errors
/// When the index can't be opened or closed, when a write to its store fails, or when the listener has no address or the
/// system no random numbers. A failing connection ends nothing.
pub async fn run(
    listener: TcpListener,
    index: impl Into<Opening>,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let Opening { source, standing } = index.into();
    let app = Arc::new(App::new(standing, &config)?);
    let opened = match source {
        Source::Ready(index) => {
            app.open(index);
            None
        }
        Source::Later(open) => Some(open),
    };
    let opened = async {
        let Some(open) = opened else { return Ok(()) };
        let standing = app.standing();
        let tell = move |phase| {
            standing.send_replace(Standing::Reading(phase));
        };
        let index = spawn_blocking(move || open(&tell)).await.map_err(io::Error::other)??;
        app.open(index);
        Ok(())
    };
    serve(listener, &app, &config, opened, shutdown).await
}

async fn serve(
    listener: TcpListener,
    app: &Arc<App>,
    config: &Config,
    opened: impl Future<Output = Result<(), RunError>> + Send,
    shutdown: impl Future<Output = ()> + Send,
) -> Result<(), RunError> {
    let address = listener.local_addr()?;
    let router = routes::router(app);
    tracing::info!(%address, "the door is open");
    let mut cause = None;
    let ended = async {
        tokio::select! {
            () = shutdown => {}
            error = mind(app, opened) => {
                tracing::error!(%error, "the index ends");
                cause = Some(error);
            }
        }
    };
    accept::serve(listener, router, config, &app.slots, ended).await;
    let closed = close(app).await;
    tracing::info!(%address, "the door is closed");
    cause.map_or(closed, Err)
}

/// Waits for the index, then keeps its leases; ends when it can't go on.
async fn mind(app: &App, opened: impl Future<Output = Result<(), RunError>>) -> RunError {
    if let Err(error) = opened.await {
        return error;
    }
    let mut ticks = interval(TICK);
    // After a stall one look is enough: it sees every lease that ended meanwhile.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            fault = app.broken() => return fault.into(),
            _ = ticks.tick() => app.expire().await,
        }
    }
}

/// Writes what is still to be written. Where the index is still being opened there is nothing.
async fn close(app: &App) -> Result<(), RunError> {
    let Ok(index) = app.index() else { return Ok(()) };
    let index = index.clone();
    let close = move || {
        let closed = index.close();
        if let Some(failure) = index.snapshot_failure() {
            tracing::warn!("a snapshot could not be written, so the next start takes longer: {failure}");
        }
        closed
    };
    spawn_blocking(close).await.map_err(io::Error::other)?.map_err(RunError::from)
}

#[cfg(test)]
mod tests {
    use peerage_index::Index;
    use std::future::{pending, ready};
    use tokio::sync::watch;

    use super::*;

    #[tokio::test]
    async fn a_store_that_fails_ends_the_door() {
        let app = Arc::new(App::new(watch::Sender::new(Standing::Opening), &Config::default()).unwrap());
        app.open(Index::embedded());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let config = Config::default();
        let serving = serve(listener, &app, &config, ready(Ok(())), pending());
        let failing = async {
            let error = || IndexError::Store {
                message: "the disk is full".into(),
                hint: "make room".into(),
                is_damaged: false,
            };
            let answer = app.ask(move |_, _| Err::<(), _>(error())).await;
            assert_eq!(answer.unwrap_err().status.as_u16(), 500);
        };
        let (served, ()) = tokio::join!(serving, failing);
        let Err(RunError::Store { message, hint, .. }) = served else { panic!("{served:?}") };
        assert_eq!((message.as_str(), hint.as_str()), ("the disk is full", "make room"));
    }
}
