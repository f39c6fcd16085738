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
use crate::opening::Standing;
use crate::session::Refusal;

/// Seconds after which to ask again what is refused for a moment: a busy door.
const BUSY_SECS: u64 = 1;
/// An index that reads its store: a small one takes no longer, a large one is asked a few times.
const STARTING_SECS: u64 = 2;
/// A full index: room comes when peers leave or an operator gives it more. Our peers wait longer each time.
const FULL_SECS: u64 = 10;

/// A refusal.
#[derive(Debug, Clone)]
pub(crate) struct ApiError {
    pub(crate) status: StatusCode,
    code: &'static str,
    message: String,
    hint: String,
    retry_after_secs: Option<u64>,
    /// The store failed: the process has to end.
    fault: Option<Box<Fault>>,
}

/// What failed about a store, for who runs the index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) message: String,
    pub(crate) hint: String,
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
        let hint = shown(&hint.to_string()).to_string();
        Self { status, code, message, hint, retry_after_secs: None, fault: None }
    }

    fn retry_after(self, secs: u64) -> Self {
        Self { retry_after_secs: Some(secs), ..self }
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
            .retry_after(BUSY_SECS)
    }

    /// The store is still being read.
    pub(crate) fn starting(standing: Standing) -> Self {
        let message = format_args!("the index is starting: {standing}").to_string();
        let hint = "try again in a few seconds; `/readyz` tells how far it is";
        Self::new(StatusCode::SERVICE_UNAVAILABLE, codes::STARTING, message, hint).retry_after(STARTING_SECS)
    }

    /// The store failed. What and where is for the log and for who runs the index.
    pub(crate) fn broken(fault: Fault) -> Self {
        let hint = "nothing was registered by this request; the index's operator finds the cause in its log";
        let error =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, "the index's store failed", hint);
        Self { fault: Some(Box::new(fault)), ..error }
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

    /// What to do about it, for people.
    pub(crate) fn hint(&self) -> &str {
        &self.hint
    }

    /// What failed about the store, where that is why.
    pub(crate) fn fault(&self) -> Option<&Fault> {
        self.fault.as_deref()
    }
}

impl From<IndexError> for ApiError {
    fn from(error: IndexError) -> Self {
        if let IndexError::Store { message, hint, .. } = error {
            return Self::broken(Fault { message, hint });
        }
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
                codes::FULL,
                "searches go on; register again when peers have left, or have the index given a higher `--memory-max`",
            ),
            IndexError::Store { .. } => {
                (StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, "the cause is in the index's log")
            }
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
            IndexError::BadLimit(_) => (
                StatusCode::BAD_REQUEST,
                codes::BAD_REQUEST,
                "ask for as many as a page has, and for the next page with its `cursor`",
            ),
        };
        let retry_after_secs = matches!(error, IndexError::Full { .. }).then_some(FULL_SECS);
        Self { retry_after_secs, ..Self::new(status, code, error, hint) }
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
            )
            .retry_after(BUSY_SECS),
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
        if self.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(secs) = self.retry_after_secs {
            headers.insert(RETRY_AFTER, HeaderValue::from(secs));
        }
        response
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(error: IndexError) -> (u16, Option<u64>, String) {
        let error = ApiError::from(error);
        let text = format!("{} {}", error.message, error.hint);
        let response = error.into_response();
        let retry = response.headers().get(RETRY_AFTER).map(|secs| secs.to_str().unwrap().parse().unwrap());
        (response.status().as_u16(), retry, text)
    }

    #[test]
    fn a_full_index_says_when_to_ask_again() {
        let (status, retry, text) = answered(IndexError::Full { used_bytes: 7, max_bytes: 5 });
        assert_eq!((status, retry), (507, Some(FULL_SECS)));
        assert!(text.contains("is full") && text.contains("--memory-max"), "{text}");
    }

    #[test]
    fn what_failed_about_a_store_is_not_for_strangers() {
        let (message, hint) = ("can't write `/srv/secret/log`".to_owned(), "mend the disk".to_owned());
        let error = IndexError::Store { message: message.clone(), hint: hint.clone(), is_damaged: true };
        assert_eq!(ApiError::from(error.clone()).fault(), Some(&Fault { message, hint }));
        let (status, retry, text) = answered(error);
        assert_eq!((status, retry), (500, None));
        assert!(!text.contains("secret") && text.contains("store failed"), "{text}");
    }
}
