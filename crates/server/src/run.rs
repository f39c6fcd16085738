//! The door as a whole: the accept loop and the clock that ends leases, for as long as the caller wants.

use std::convert::Infallible;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use peerage_index::Index;
use tokio::net::TcpListener;
use tokio::time::{MissedTickBehavior, interval};

use crate::app::App;
use crate::config::Config;
use crate::{accept, routes};

/// How often leases are looked at: twice a second, so that a peer is gone within a second of its lease.
const TICK: Duration = Duration::from_millis(500);

/// Serves `index` on `listener` until `shutdown` completes and the running requests have ended, or
/// [`Config::drain_timeout`] has passed.
///
/// # Errors
/// When the listener has no address, or the system gives no random numbers. A failing connection ends nothing.
pub async fn run(
    listener: TcpListener,
    index: Index,
    config: Config,
    shutdown: impl Future<Output = ()> + Send,
) -> io::Result<()> {
    let address = listener.local_addr()?;
    let app = Arc::new(App::new(index, &config)?);
    let router = routes::router(&app);
    tracing::info!(%address, "the index is open");
    tokio::select! {
        () = accept::serve(listener, router, &config, shutdown) => {}
        never = keep_time(&app) => match never {},
    }
    tracing::info!(%address, "the index is closed");
    Ok(())
}

async fn keep_time(app: &App) -> Infallible {
    let mut ticks = interval(TICK);
    // After a stall one look is enough: it sees every lease that ended meanwhile.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        app.expire().await;
    }
}
