//! `GET /api/v1/stats`, `/healthz` and `/readyz`: the index in numbers, and whether it works.

use std::sync::Arc;
use std::time::Duration;

use axum::Json as Reply;
use axum::extract::State;
use peerage_wire::api::{ErrorBody, Stats};
use tokio::time::timeout;

use crate::app::App;
use crate::error::ApiError;

/// An index that needs longer than this for its own numbers is no use to a balancer.
const READY_TIMEOUT: Duration = Duration::from_secs(2);

/// The index in numbers, live peers only.
#[utoipa::path(
    get, path = "/api/v1/stats", tag = "status",
    responses(
        (status = 200, description = "the numbers", body = Stats),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn stats(State(app): State<Arc<App>>) -> Result<Reply<Stats>, ApiError> {
    read(&app).await.map(Reply)
}

/// Is the process alive?
#[utoipa::path(
    get, path = "/healthz", tag = "status",
    responses((status = 200, description = "it is", body = str, content_type = "text/plain"))
)]
pub(crate) async fn alive() -> &'static str {
    "ok\n"
}

/// Does the index answer?
///
/// While it reads its store the answer is 503 and its message tells how far it is.
#[utoipa::path(
    get, path = "/readyz", tag = "status",
    responses(
        (status = 200, description = "it does", body = str, content_type = "text/plain"),
        (status = 503, description = "not now; `code` is `starting` while the store is read", body = ErrorBody),
    )
)]
pub(crate) async fn ready(State(app): State<Arc<App>>) -> Result<&'static str, ApiError> {
    app.index()?;
    within_time(&app).await.map(|_| "ready\n")
}

/// The numbers, or that the index needs too long for them.
pub(super) async fn within_time(app: &App) -> Result<Stats, ApiError> {
    match timeout(READY_TIMEOUT, read(app)).await {
        Ok(Ok(stats)) => Ok(stats),
        Ok(Err(_)) | Err(_) => Err(ApiError::busy("the index does not answer")),
    }
}

/// The numbers now.
pub(super) async fn read(app: &App) -> Result<Stats, ApiError> {
    app.ask(|index, _now| index.stats()).await
}
