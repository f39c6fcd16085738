//! The API's own description: `/api/openapi.json` for programs, `/api` for people, both made from the handlers.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use utoipa::openapi::path::{Operation, Parameter, ParameterIn, PathItem};
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{ComponentsBuilder, Info, InfoBuilder, License, OpenApi, OpenApiBuilder, RefOr};

use crate::app::App;
use crate::html::{page, text};

/// The document before any route is in it.
pub(super) fn preamble() -> OpenApi {
    let bearer = HttpBuilder::new()
        .scheme(HttpAuthScheme::Bearer)
        .description(Some("From `POST /api/v1/session`; good for 15 minutes, renewed by heartbeats."))
        .build();
    let components = ComponentsBuilder::new().security_scheme("token", SecurityScheme::Http(bearer)).build();
    OpenApiBuilder::new().info(info()).components(Some(components)).build()
}

/// The two routes that show the document.
pub(super) fn routes(document: &OpenApi) -> Router<Arc<App>> {
    // A document that can't be written would be a mistake in the handlers; the snapshot test would show it.
    let json = Bytes::from(document.to_json().unwrap_or_default());
    let html: Arc<str> = readable(document).into();
    Router::new()
        .route("/api/openapi.json", get(|| async { ([(CONTENT_TYPE, "application/json")], json) }))
        .route("/api", get(|| async move { page(StatusCode::OK, "The index's API", &html) }))
}

fn info() -> Info {
    InfoBuilder::new()
        .title("Peerage index")
        .version("1")
        .description(Some(
            "Who is here, what they share, and where to fetch it. Every list has the same outer shape; every error \
             is `{\"error\":{\"code\",\"message\",\"hint\"}}`. Reading needs no key; a peer writes only what is its own.",
        ))
        .license(Some(License::new("MIT OR Apache-2.0")))
        .build()
}

fn readable(document: &OpenApi) -> String {
    let about = document.info.description.as_deref().unwrap_or_default();
    let mut html = format!(
        "<h1>{}</h1>\n<p>{}</p>\n<p><a href=\"/api/openapi.json\">OpenAPI document</a> · <a href=\"/\">search</a></p>\n",
        text(&document.info.title),
        text(about),
    );
    for (path, item) in &document.paths.paths {
        for (method, operation) in operations(item) {
            describe(&mut html, method, path, operation);
        }
    }
    html
}

fn operations(item: &PathItem) -> impl Iterator<Item = (&'static str, &Operation)> {
    let all = [("GET", &item.get), ("PUT", &item.put), ("POST", &item.post), ("DELETE", &item.delete)];
    all.into_iter().filter_map(|(method, operation)| Some((method, operation.as_ref()?)))
}

fn describe(html: &mut String, method: &str, path: &str, operation: &Operation) {
    let summary = operation.summary.as_deref().unwrap_or_default();
    let more = operation.description.as_deref().unwrap_or_default();
    // Writing to a string does not fail.
    let _ =
        writeln!(html, "<h2><code>{method} {}</code></h2>\n<p>{}</p>", text(path), text(&one_line(summary)));
    if !more.is_empty() {
        let _ = writeln!(html, "<p>{}</p>", text(&one_line(more)));
    }
    let parameters = operation.parameters.as_deref().unwrap_or_default();
    if !parameters.is_empty() {
        let rows: String = parameters.iter().filter_map(inline).map(parameter_row).collect();
        let _ = writeln!(html, "<table><tr><th>parameter<th>in<th>what\n{rows}</table>");
    }
}

/// Handlers describe their parameters in place; none is a reference.
fn inline(parameter: &RefOr<Parameter>) -> Option<&Parameter> {
    match parameter {
        RefOr::T(parameter) => Some(parameter),
        RefOr::Ref(_) => None,
    }
}

fn parameter_row(parameter: &Parameter) -> String {
    let place = match parameter.parameter_in {
        ParameterIn::Path => "path",
        _ => "query",
    };
    let what = parameter.description.as_deref().unwrap_or_default();
    format!("<tr><td><code>{}</code><td>{place}<td>{}\n", text(&parameter.name), text(&one_line(what)))
}

/// Where a sentence was broken in the source says nothing to its reader.
fn one_line(sentence: &str) -> String {
    sentence.split_whitespace().collect::<Vec<_>>().join(" ")
}
