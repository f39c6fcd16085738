//! Every refusal of the door: its status, code, message and hint, in one place.
//!
//! Invariant: a message shows a stranger's text only through [`peerage_wire::shown`], which is applied here, and
//! tells nothing of this machine's insides; those go to the log.

use std::fmt::Display;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use peerage_index::Error as IndexError;
use peerage_wire::api::{ErrorBody, ErrorDetail, codes};
use peerage_wire::shown;

use crate::challenge::Unproven;
use crate::session::Refusal;

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    hint: String,
}

/// Goes with an answer to the log.
#[derive(Debug, Clone)]
pub(crate) struct Failure(pub(crate) String);

impl ApiError {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Display,
        hint: impl Display,
    ) -> Self {
        let message = shown(&message.to_string()).to_string();
        Self { status, code, message, hint: shown(&hint.to_string()).to_string() }
    }

    pub(crate) fn bad_request(message: impl Display, hint: impl Display) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::BAD_REQUEST, message, hint)
    }

    pub(crate) fn not_found(message: impl Display, hint: impl Display) -> Self {
        Self::new(StatusCode::NOT_FOUND, codes::NOT_FOUND, message, hint)
    }

    pub(crate) fn forbidden(message: impl Display, hint: impl Display) -> Self {
        Self::new(StatusCode::FORBIDDEN, codes::FORBIDDEN, message, hint)
    }

    pub(crate) fn session(message: impl Display) -> Self {
        let hint =
            "open a session with `POST /api/v1/session` and send its token as `Authorization: Bearer …`";
        Self::new(StatusCode::UNAUTHORIZED, codes::SESSION, message, hint)
    }

    pub(crate) fn too_large(message: impl Display, hint: impl Display) -> Self {
        Self::new(StatusCode::PAYLOAD_TOO_LARGE, codes::LIMIT, message, hint)
    }

    pub(crate) fn busy(message: impl Display) -> Self {
        Self::new(StatusCode::SERVICE_UNAVAILABLE, codes::LIMIT, message, "try again in a few seconds")
    }

    /// What went wrong is for the log alone.
    pub(crate) fn internal(cause: impl Display) -> Self {
        tracing::error!(%cause, "the index could not answer");
        let hint = "look into the index's log, or ask whoever runs it";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, "the index failed", hint)
    }

    /// What failed, for people.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        let (status, code, hint) = match &error {
            IndexError::UnknownPeer => {
                (StatusCode::NOT_FOUND, codes::UNKNOWN_PEER, "announce it with `PUT /api/v1/peers/{id}`")
            }
            IndexError::OutOfOrder { .. } => {
                (StatusCode::CONFLICT, codes::OUT_OF_ORDER, "announce a higher epoch and begin at batch 0")
            }
            IndexError::StaleEpoch { .. } => (
                StatusCode::CONFLICT,
                codes::STALE_EPOCH,
                "another process speaks for this peer; stop it, or announce a higher epoch",
            ),
            IndexError::TooManyFiles => {
                (StatusCode::PAYLOAD_TOO_LARGE, codes::LIMIT, "share fewer files, or share archives of them")
            }
            IndexError::TooManyPartials => {
                (StatusCode::PAYLOAD_TOO_LARGE, codes::LIMIT, "name those that are furthest")
            }
            IndexError::Full { .. } => (
                StatusCode::INSUFFICIENT_STORAGE,
                codes::LIMIT,
                "searches go on; register again when peers have left, or give the index more memory",
            ),
            IndexError::Store { .. } => (
                StatusCode::INTERNAL_SERVER_ERROR,
                codes::INTERNAL,
                "the index's operator finds the cause in its log",
            ),
            IndexError::BadQuery(_) => (
                StatusCode::BAD_REQUEST,
                codes::BAD_REQUEST,
                "a query is words, `\"a phrase\"`, `-not`, `a OR b`, `*part*`, and filters such as `type:audio`, \
                 `size:>10M`, `peer:NAME`; what is meant as a word goes in quotes",
            ),
            IndexError::BadCursor => (
                StatusCode::BAD_REQUEST,
                codes::BAD_REQUEST,
                "begin again without `cursor`, with the same other parameters on every page",
            ),
        };
        Self::new(status, code, error, hint)
    }
}

impl From<Unproven> for ApiError {
    fn from(unproven: Unproven) -> Self {
        match unproven {
            Unproven::Foreign | Unproven::Late => Self::session(unproven),
            Unproven::Signature => Self::forbidden(
                unproven,
                "sign with the key of `peer`, over the host and port that the request is sent to",
            ),
        }
    }
}

impl From<Refusal> for ApiError {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Replay => Self::session(refusal),
            Refusal::Busy | Refusal::Crowd => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                codes::LIMIT,
                refusal,
                "keep the token you have, heartbeats renew it; or try again in a minute",
            ),
            Refusal::Full => Self::busy(refusal),
        }
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let failure = Failure(self.message.clone());
        let detail = ErrorDetail { code: self.code.to_owned(), message: self.message, hint: self.hint };
        let mut response = (self.status, Json(ErrorBody { error: detail })).into_response();
        response.extensions_mut().insert(failure);
        let headers = response.headers_mut();
        match self.status {
            StatusCode::UNAUTHORIZED => headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer")),
            StatusCode::SERVICE_UNAVAILABLE | StatusCode::TOO_MANY_REQUESTS => {
                headers.insert(RETRY_AFTER, HeaderValue::from_static("1"))
            }
            _ => None,
        };
        response
    }
}
