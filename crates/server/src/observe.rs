//! Around every request: one line in the log, a count, and the headers that every answer carries.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderName, HeaderValue, StatusCode};
use peerage_wire::shown;

use crate::app::App;
use crate::error::Failure;

/// Nothing may be loaded but our own style sheet, nothing may run, nobody may frame us, forms come back to us.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'";

/// The middleware.
pub(crate) async fn observe(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let begin = Instant::now();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    harden(&mut response);
    let took = begin.elapsed();
    app.metrics.answered(route.as_ref().map(MatchedPath::as_str), &method, response.status(), took);
    let failure = response.extensions().get::<Failure>().map(|Failure(message)| message.as_str());
    let (status, path) = (response.status().as_u16(), shown(&path));
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX);
    // 503 asks to come again: whoever waits for a start, or meets a crowd, is no fault.
    if response.status().is_server_error() && response.status() != StatusCode::SERVICE_UNAVAILABLE {
        tracing::warn!(%method, %path, status, micros, failure, "answered");
    } else {
        tracing::debug!(%method, %path, status, micros, failure, "answered");
    }
    response
}

fn harden(response: &mut Response) {
    let headers: [(HeaderName, &'static str); 5] = [
        (CONTENT_SECURITY_POLICY, POLICY),
        (X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (X_FRAME_OPTIONS, "DENY"),
        (REFERRER_POLICY, "no-referrer"),
        (CACHE_CONTROL, "no-store"), // who left must be gone from every answer at once
    ];
    for (name, value) in headers {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
}
