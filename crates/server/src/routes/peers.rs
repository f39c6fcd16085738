//! `GET /api/v1/peers` and `GET /api/v1/peers/{id}`: who is here.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use peerage_wire::PeerId;
use peerage_wire::api::{ErrorBody, ListParams, Page, PeerRow};

use crate::address::Ends;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Path, Query};

/// List the live peers, a page at a time.
#[utoipa::path(
    get, path = "/api/v1/peers", tag = "find", params(ListParams),
    responses(
        (status = 200, description = "one page", body = Page<PeerRow>),
        (status = 400, description = "a parameter can't be read, or there is no such parameter", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn peers(
    State(app): State<Arc<App>>,
    ends: Ends,
    Query(params): Query<ListParams>,
) -> Result<Reply<Page<PeerRow>>, ApiError> {
    let page = app.ask(move |index, _now| index.peers(&params)).await?;
    Ok(Reply(Page { hits: ends.localised(page.hits), ..page }))
}

/// Find one live peer.
#[utoipa::path(
    get, path = "/api/v1/peers/{id}", tag = "find",
    params(("id" = PeerId, Path, description = "The peer.")),
    responses(
        (status = 200, description = "the peer", body = PeerRow),
        (status = 404, description = "it is not here", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn peer(
    State(app): State<Arc<App>>,
    ends: Ends,
    Path(peer): Path<PeerId>,
) -> Result<Reply<PeerRow>, ApiError> {
    let row = app.ask(move |index, _now| index.peer(peer)).await?;
    Ok(Reply(ends.localised(row.ok_or_else(|| not_here(&peer))?)))
}

/// Why a peer is not found.
pub(super) fn not_here(peer: &PeerId) -> ApiError {
    ApiError::not_found(format_args!("the peer `{peer}` is not here"), "see `/api/v1/peers` for who is")
}
