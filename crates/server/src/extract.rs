//! What handlers take out of a request, each refused in the API's own error shape.

use std::sync::Arc;

use axum::extract::rejection::{PathRejection, QueryRejection};
use axum::extract::{FromRequest, FromRequestParts, Request};
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use peerage_wire::api::codes;
use peerage_wire::{PeerId, limits};
use serde::de::DeserializeOwned;

use crate::address::Ends;
use crate::app::App;
use crate::error::ApiError;
use crate::session::TokenHash;

/// A JSON body. The content type must say so, which no form on a foreign page can.
pub(crate) struct Json<T>(pub(crate) T);

/// The query.
pub(crate) struct Query<T>(pub(crate) T);

/// The one parameter of the path.
pub(crate) struct Path<T>(pub(crate) T);

/// The host this request was sent to, as it said; the guard has seen that there is one.
pub(crate) struct HostName(pub(crate) String);

/// The peer in the path, whose token the request carries: every write takes one, so nobody writes for another.
pub(crate) struct Owner {
    pub(crate) peer: PeerId,
    pub(crate) token: TokenHash,
}

impl<T: DeserializeOwned> FromRequest<Arc<App>> for Json<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, app: &Arc<App>) -> Result<Self, ApiError> {
        check_json(request.headers())?;
        let upload = app.upload_room.read(request.into_body(), limits::BODY_BYTES_MAX).await?;
        serde_json::from_slice(&upload.bytes).map(Self).map_err(|error| {
            ApiError::bad_request(format_args!("the body can't be read: {error}"), "see `/api` for its shape")
        })
    }
}

fn check_json(headers: &HeaderMap) -> Result<(), ApiError> {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let kind = kind.split(';').next().unwrap_or_default().trim();
    if kind.eq_ignore_ascii_case("application/json") {
        return Ok(());
    }
    Err(ApiError::new(
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        codes::BAD_REQUEST,
        "the body is not said to be JSON",
        "send `Content-Type: application/json`",
    ))
}

impl<T: DeserializeOwned> FromRequestParts<Arc<App>> for Query<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let query = axum::extract::Query::from_request_parts(parts, app).await;
        query.map(|axum::extract::Query(query)| Self(query)).map_err(|rejection: QueryRejection| {
            // What reads it names the parameter, or says which it would know.
            let text = rejection.body_text();
            let cause = text.strip_prefix("Failed to deserialize query string: ").unwrap_or(&text);
            ApiError::bad_request(
                format_args!("a parameter can't be read: {cause}"),
                "see `/api` for the parameters; sizes and numbers are written in digits alone",
            )
        })
    }
}

impl<T: DeserializeOwned + Send> FromRequestParts<Arc<App>> for Path<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let path = axum::extract::Path::from_request_parts(parts, app).await;
        path.map(|axum::extract::Path(path)| Self(path)).map_err(|rejection: PathRejection| {
            ApiError::bad_request(rejection.body_text(), "an id or a hash is 64 hex digits")
        })
    }
}

impl FromRequestParts<Arc<App>> for HostName {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, ApiError> {
        let host = parts.headers.get(HOST).and_then(|host| host.to_str().ok());
        host.map(|host| Self(host.to_owned()))
            .ok_or_else(|| ApiError::internal("a request passed without `Host`"))
    }
}

impl FromRequestParts<Arc<App>> for Ends {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _app: &Arc<App>) -> Result<Self, ApiError> {
        let ends = parts.extensions.get().copied();
        ends.ok_or_else(|| ApiError::internal("a request without a connection"))
    }
}

impl FromRequestParts<Arc<App>> for Owner {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, app: &Arc<App>) -> Result<Self, ApiError> {
        let Path(peer) = Path::from_request_parts(parts, app).await?;
        let text =
            bearer(&parts.headers).ok_or_else(|| ApiError::session("the request has no bearer token"))?;
        let token = TokenHash::of_text(text);
        let known = token.and_then(|token| Some((token, app.sessions().peer_of(&token, app.elapsed())?)));
        match known {
            Some((token, owner)) if owner == peer => Ok(Self { peer, token }),
            Some(_) => Err(ApiError::forbidden(
                "the token belongs to another peer",
                "a peer changes only what it registered itself",
            )),
            None => Err(ApiError::session("the token is not known (any more)")),
        }
    }
}

fn bearer(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}
