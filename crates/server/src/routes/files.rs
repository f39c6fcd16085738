//! `GET /api/v1/files` and `GET /api/v1/peers/{id}/files`: what is registered, file by file.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use peerage_wire::PeerId;
use peerage_wire::api::{ErrorBody, FileRow, ListParams, Page};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Path, Query};
use crate::routes::peers;

/// List every registered file, a page at a time, by peer and path.
#[utoipa::path(
    get, path = "/api/v1/files", tag = "find", params(ListParams),
    responses(
        (status = 200, description = "one page", body = Page<FileRow>),
        (status = 400, description = "a parameter can't be read, or there is no such parameter", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn files(
    State(app): State<Arc<App>>,
    Query(params): Query<ListParams>,
) -> Result<Reply<Page<FileRow>>, ApiError> {
    app.ask(move |index, _now| index.files(&params)).await.map(Reply)
}

/// Browse one peer's share, a page at a time, by path.
///
/// `peer` is ignored here: the path says whose files these are.
#[utoipa::path(
    get, path = "/api/v1/peers/{id}/files", tag = "find",
    params(("id" = PeerId, Path, description = "Whose files."), ListParams),
    responses(
        (status = 200, description = "one page", body = Page<FileRow>),
        (status = 400, description = "a parameter can't be read, or there is no such parameter", body = ErrorBody),
        (status = 404, description = "the peer is not here", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn peer_files(
    State(app): State<Arc<App>>,
    Path(peer): Path<PeerId>,
    Query(params): Query<ListParams>,
) -> Result<Reply<Page<FileRow>>, ApiError> {
    let params = ListParams { peer: Some(peer.to_string()), ..params };
    let rows = app.ask(move |index, _now| {
        index.peer(peer)?.ok_or_else(|| peers::not_here(&peer))?;
        index.files(&params).map_err(ApiError::from)
    });
    rows.await.map(Reply)
}
