//! `GET /api/v1/search`: contents by their names.

use std::sync::Arc;

use axum::extract::State;
use peerage_wire::api::{ErrorBody, Hit, Page, SearchParams};

use crate::address::Ends;
use crate::app::App;
use crate::encoded::Encoded;
use crate::error::ApiError;
use crate::extract::Query;

/// Search: one page of the contents whose names match.
///
/// All words must match, the last one as a prefix; `type:audio`, `size:>10M` and the like ask for more than words. Hits
/// are grouped by content; each tells how many live peers have it, and of at most four of them where they are reached.
/// `GET /api/v1/contents/{hash}` tells more.
#[utoipa::path(
    get, path = "/api/v1/search", tag = "find", params(SearchParams),
    responses(
        (status = 200, description = "one page", body = Page<Hit>),
        (status = 400, description = "the query or another parameter can't be read, or there is no such parameter", body = ErrorBody),
        (status = "default", description = "refused", body = ErrorBody),
    )
)]
pub(crate) async fn search(
    State(app): State<Arc<App>>,
    ends: Ends,
    Query(params): Query<SearchParams>,
) -> Result<Encoded, ApiError> {
    let json = app.look(move |index| {
        let page = index.search(&params)?;
        Encoded::of(&Page { hits: ends.localised(page.hits), ..page })
    });
    json.await
}

/// One page of hits as `ends` can use them.
pub(super) async fn page(app: &App, ends: Ends, params: SearchParams) -> Result<Page<Hit>, ApiError> {
    let page = app.look(move |index| index.search(&params)).await?;
    Ok(Page { hits: ends.localised(page.hits), ..page })
}
