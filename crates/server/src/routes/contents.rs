//! `GET /api/v1/contents/{hash}`: who has one content.

use std::sync::Arc;

use axum::Json as Reply;
use axum::extract::State;
use peerage_wire::ContentHash;
use peerage_wire::api::{ErrorBody, Hit};

use crate::address::Ends;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::Path;

/// Find the sources of one content.
#[utoipa::path(
    get, path = "/api/v1/contents/{hash}", tag = "find",
    params(("hash" = ContentHash, Path, description = "The content.")),
    responses(
        (status = 200, description = "its names and sources", body = Hit),
        (status = 404, description = "no live peer has it", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn content(
    State(app): State<Arc<App>>,
    ends: Ends,
    Path(hash): Path<ContentHash>,
) -> Result<Reply<Hit>, ApiError> {
    let hit = app.ask(move |index, _now| index.content(hash)).await?;
    let hit = hit.ok_or_else(|| {
        ApiError::not_found(
            format_args!("no peer here has the content `{hash}`"),
            "its owners may be away; try later",
        )
    })?;
    Ok(Reply(ends.localised(hit)))
}
