//! `PUT /api/v1/peers/{id}/partials`: what a peer is downloading and gives pieces of.

use std::sync::Arc;

use axum::extract::State;
use http::StatusCode;
use peerage_wire::PeerId;
use peerage_wire::api::{ErrorBody, PartialSet};

use crate::app::App;
use crate::error::ApiError;
use crate::extract::{Json, Owner};

/// Say which contents a peer is downloading and can give pieces of.
///
/// Replaces what it said before. Whoever asks for such a content by its hash is told of the peer, as a partial
/// source, until the peer leaves or announces itself anew.
#[utoipa::path(
    put, path = "/api/v1/peers/{id}/partials", tag = "peers", request_body = PartialSet,
    params(("id" = PeerId, Path, description = "The peer's own id.")),
    security(("token" = [])),
    responses(
        (status = 204, description = "known"),
        (status = 401, description = "no token, or one that ended", body = ErrorBody),
        (status = 403, description = "another peer's token", body = ErrorBody),
        (status = 404, description = "the peer has no lease: announce it", body = ErrorBody),
        (status = 413, description = "more than 100 contents", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn put_partials(
    State(app): State<Arc<App>>,
    owner: Owner,
    Json(set): Json<PartialSet>,
) -> Result<StatusCode, ApiError> {
    let peer = owner.peer;
    app.ask(move |index, _now| index.put_partials(peer, set)).await?;
    Ok(StatusCode::NO_CONTENT)
}
