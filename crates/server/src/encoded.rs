//! An answer that is JSON already, made where it was worked out: an answer with many hits takes as long to write as to
//! find.

use axum::response::{IntoResponse, Response};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::error::ApiError;

/// Where most answers to a search fit.
const USUAL_BYTES: usize = 32 << 10;

/// JSON.
pub(crate) struct Encoded(Vec<u8>);

impl Encoded {
    pub(crate) fn of(answer: &impl Serialize) -> Result<Self, ApiError> {
        let mut json = Vec::with_capacity(USUAL_BYTES);
        serde_json::to_writer(&mut json, answer).map_err(ApiError::internal)?;
        Ok(Self(json))
    }
}

impl IntoResponse for Encoded {
    fn into_response(self) -> Response {
        let kind = HeaderValue::from_static("application/json");
        ([(CONTENT_TYPE, kind)], self.0).into_response()
    }
}
