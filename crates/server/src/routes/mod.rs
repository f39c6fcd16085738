//! The routes, one family a file, and the document that describes them.
//!
//! Invariant: every route but the pages and the document itself is registered through its own OpenAPI description,
//! so the document can't miss one.

mod batch;
mod contents;
mod files;
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
use axum::middleware::{from_fn, from_fn_with_state};
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
    let (api, document) = OpenApiRouter::with_openapi(document::preamble())
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
        .routes(routes!(status::alive))
        .routes(routes!(status::ready))
        .split_for_parts();
    api.merge(document::routes(&document))
        .merge(front::routes())
        .fallback(unknown_path)
        .method_not_allowed_fallback(wrong_method)
        .layer(from_fn_with_state(Arc::clone(app), guard))
        .layer(from_fn(observe))
        .with_state(Arc::clone(app))
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
