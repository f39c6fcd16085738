//! Every no of the doors: a status, a word for programs, a sentence and a hint, as JSON or as a page.
//!
//! Invariant: nothing of the request is said back, so what is absent and what is forbidden can't be told apart.

use http::header::{ALLOW, CONTENT_LENGTH, CONTENT_RANGE, CONTENT_TYPE, RETRY_AFTER};
use http::{HeaderName, HeaderValue, Response, StatusCode};
use peerage_wire::api::{ErrorBody, ErrorDetail, codes};

use super::answer::{finish, response};
use super::body::DoorBody;
use crate::uploads::Busy;

/// Why a request does not get what it asks for.
#[derive(Debug)]
pub(crate) struct Refusal {
    pub(crate) status: StatusCode,
    code: &'static str,
    pub(crate) message: String,
    pub(crate) hint: &'static str,
    header: Option<Box<(HeaderName, HeaderValue)>>,
}

impl Refusal {
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
        hint: &'static str,
    ) -> Self {
        Self { status, code, message: message.into(), hint, header: None }
    }

    pub(crate) fn bad_request(message: impl Into<String>, hint: &'static str) -> Self {
        Self::new(StatusCode::BAD_REQUEST, codes::BAD_REQUEST, message, hint)
    }

    pub(crate) fn not_found() -> Self {
        let hint = "check the address, or ask the index for its sources";
        Self::new(StatusCode::NOT_FOUND, codes::NOT_FOUND, "nothing is shared here", hint)
    }

    pub(crate) fn changed() -> Self {
        let message = "the file was changed since it was shared";
        Self::new(StatusCode::GONE, codes::CHANGED, message, "search again: it is shared anew in a moment")
    }

    pub(crate) fn unreadable() -> Self {
        let message = "the file can't be read";
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, codes::INTERNAL, message, "try another source")
    }

    pub(crate) fn precondition_failed() -> Self {
        let message = "the file is not the version that the request is about";
        Self::new(StatusCode::PRECONDITION_FAILED, codes::CHANGED, message, "ask for it anew")
    }

    pub(crate) fn method_not_allowed() -> Self {
        let (status, message) = (StatusCode::METHOD_NOT_ALLOWED, "only `GET` and `HEAD` are answered here");
        Self::new(status, codes::BAD_REQUEST, message, "this door is for reading")
            .with(ALLOW, HeaderValue::from_static("GET, HEAD"))
    }

    pub(crate) fn misdirected() -> Self {
        let (status, message) = (StatusCode::MISDIRECTED_REQUEST, "this machine does not go by that name");
        Self::new(status, codes::BAD_REQUEST, message, "use its address instead")
    }

    pub(crate) fn cross_site() -> Self {
        let (status, message) = (StatusCode::FORBIDDEN, "another site's page asks for this");
        Self::new(status, codes::FORBIDDEN, message, "open the address itself")
    }

    pub(crate) fn unsatisfiable(size: u64) -> Self {
        let (status, message) =
            (StatusCode::RANGE_NOT_SATISFIABLE, "the range lies beyond the content's end");
        let refusal = Self::new(status, codes::BAD_REQUEST, message, "see `Content-Range`");
        match HeaderValue::try_from(format!("bytes */{size}")) {
            Ok(value) => refusal.with(CONTENT_RANGE, value),
            Err(_) => refusal,
        }
    }

    pub(crate) fn too_busy(busy: Busy) -> Self {
        let (status, message) = (StatusCode::SERVICE_UNAVAILABLE, "every upload slot is taken");
        Self::new(status, codes::LIMIT, message, "come back after `Retry-After`")
            .with(RETRY_AFTER, HeaderValue::from(busy.retry_after.as_secs()))
    }

    fn with(self, name: HeaderName, value: HeaderValue) -> Self {
        Self { header: Some(Box::new((name, value))), ..self }
    }

    /// As programs read it.
    pub(crate) fn to_response(&self) -> Response<DoorBody> {
        let (code, message, hint) = (self.code.to_owned(), self.message.clone(), self.hint.to_owned());
        let body = ErrorBody { error: ErrorDetail { code, message, hint } };
        self.around(serde_json::to_vec(&body).unwrap_or_default(), "application/json")
    }

    /// With another body of the same meaning.
    pub(crate) fn around(&self, body: Vec<u8>, content_type: &'static str) -> Response<DoorBody> {
        let head =
            response(self.status).header(CONTENT_TYPE, content_type).header(CONTENT_LENGTH, body.len());
        let mut response = finish(head, DoorBody::of(body, None));
        if let Some((name, value)) = self.header.as_deref() {
            response.headers_mut().insert(name, value.clone());
        }
        response
    }
}
