//! The routes, one family a file, and the document that describes them.
//!
//! Invariant: every route but the pages and the document itself is registered through its own OpenAPI description,
//! so the document can't miss one. What asks the index is registered behind [`when_ready`].

mod batch;
mod contents;
mod files;
mod metrics;
mod partials;
mod peers;
mod presence;
mod search;
mod session;
mod status;

mod document;
mod front;

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use http::{Method, StatusCode, Uri};
use peerage_wire::api::codes;
use peerage_wire::shown;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::app::App;
use crate::error::ApiError;
use crate::guard::guard;
use crate::observe::observe;

/// The whole door as one service.
pub(crate) fn router(app: &Arc<App>) -> Router {
    let asking = OpenApiRouter::new()
        .routes(routes!(session::open_session))
        .routes(routes!(presence::announce, peers::peer, presence::quit))
        .routes(routes!(presence::heartbeat))
        .routes(routes!(partials::put_partials))
        .routes(routes!(batch::apply, files::peer_files))
        .routes(routes!(search::search))
        .routes(routes!(files::files))
        .routes(routes!(contents::content))
        .routes(routes!(peers::peers))
        .routes(routes!(status::stats))
        .route_layer(from_fn_with_state(Arc::clone(app), when_ready));
    let (api, document) = OpenApiRouter::with_openapi(document::preamble())
        .merge(asking)
        .routes(routes!(status::alive))
        .routes(routes!(status::ready))
        .routes(routes!(metrics::metrics))
        .split_for_parts();
    api.merge(document::routes(&document))
        .merge(front::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(app), guard))
        .layer(from_fn_with_state(Arc::clone(app), observe))
        .with_state(Arc::clone(app))
}

/// The API's routes wait for the index; before that nothing of a request is looked at.
async fn when_ready(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    match app.index() {
        Ok(_) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

async fn unknown_path(uri: Uri) -> ApiError {
    ApiError::not_found(
        format_args!("there is nothing at `{}`", shown(uri.path())),
        "see `/api` for what there is",
    )
}

async fn wrong_method(method: Method, uri: Uri) -> ApiError {
    let message = format!("`{}` can't be asked with {}", shown(uri.path()), shown(method.as_str()));
    ApiError::new(
        StatusCode::METHOD_NOT_ALLOWED,
        codes::BAD_REQUEST,
        message,
        "the header `allow` has those it can",
    )
}
