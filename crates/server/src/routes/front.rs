//! `GET /`: what this is, live numbers, and a search with its results as a plain table.

use std::fmt::Write;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use peerage_wire::api::{Hit, Matched, Page, SearchParams, Stats};
use peerage_wire::format_bytes;
use serde::Deserialize;

use crate::address::Ends;
use crate::app::App;
use crate::error::ApiError;
use crate::extract::Query;
use crate::html::{STYLE, page, text, value};
use crate::routes::{search, status};

/// The page and its style sheet.
pub(super) fn routes() -> Router<Arc<App>> {
    Router::new()
        .route("/", get(front))
        .route("/style.css", get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }))
}

/// What the form sends.
#[derive(Debug, Deserialize)]
struct Asked {
    #[serde(default)]
    q: String,
    #[serde(default)]
    cursor: Option<String>,
}

async fn front(State(app): State<Arc<App>>, ends: Ends, Query(asked): Query<Asked>) -> Response {
    let stats = match status::read(&app).await {
        Ok(stats) => stats,
        Err(error) => return out_of_order(error),
    };
    let (status, results) = match results(&app, ends, &asked).await {
        Ok(results) => (StatusCode::OK, results),
        Err(error) => {
            (error.status, format!("<p>{}</p>\n<p>{}</p>", text(error.message()), text(error.hint())))
        }
    };
    page(status, "Peerage index", &format!("{}{results}", head(&stats, &asked.q)))
}

/// The refusal with its status and headers, as a page.
fn out_of_order(error: ApiError) -> Response {
    let body = format!("<h1>Peerage index</h1>\n<p>{}</p>\n", text(error.message()));
    let (mut head, _) = error.into_response().into_parts();
    let (page, body) = page(head.status, "Peerage index", &body).into_parts();
    head.headers.extend(page.headers);
    Response::from_parts(head, body)
}

fn head(stats: &Stats, q: &str) -> String {
    format!(
        "<h1>Peerage index</h1>\n<p>This index knows what its peers share. Files are not here: they go straight from \
         the peer that has them to the peer that wants them.</p>\n\
         <p>{} peers share {} files, {} different, {} in all.</p>\n\
         <form action=\"/\"><label>Search <input type=\"search\" name=\"q\" value=\"{}\" autofocus></label> \
         <button>Search</button></form>\n<p><a href=\"/api\">API</a></p>\n",
        stats.peers,
        stats.files,
        stats.contents,
        format_bytes(stats.bytes),
        value(q),
    )
}

async fn results(app: &App, ends: Ends, asked: &Asked) -> Result<String, ApiError> {
    if asked.q.trim().is_empty() {
        return Ok(String::new());
    }
    let params = SearchParams { q: asked.q.clone(), cursor: asked.cursor.clone(), ..SearchParams::default() };
    let found = search::page(app, ends, params).await?;
    if found.hits.is_empty() {
        return Ok("<p>File not found.</p>\n".to_owned());
    }
    Ok(format!("{}{}", table(&found), next(&found, &asked.q)))
}

fn table(found: &Page<Hit>) -> String {
    let at_least = if found.total.exact { "" } else { "at least " };
    let rows: String = found.hits.iter().map(row).collect();
    let how = match found.matched {
        Some(Matched::Substring) => " Nothing matches as written: these have the words inside others.",
        Some(Matched::Typo) => " Nothing matches as written: these are one typo away.",
        Some(Matched::Exact) | None => "",
    };
    format!(
        "<p>Found {at_least}{}.{how}</p>\n<table><tr><th>name<th>size<th>type<th>sources<th>owner<th>at<th>content\n{rows}</table>\n",
        found.total.value
    )
}

fn row(hit: &Hit) -> String {
    let mut row = format!(
        "<tr><td>{}<td class=\"number\">{}<td>{}<td class=\"number\">{}",
        name(hit),
        format_bytes(hit.size),
        hit.kind,
        hit.source_count
    );
    // Writing to a string does not fail.
    let _ = match hit.sources.first() {
        Some(owner) => write!(row, "<td>{}<td>{}", text(owner.name.as_str()), owner.address),
        None => write!(row, "<td><td>"),
    };
    let _ =
        writeln!(row, "<td><a href=\"/api/v1/contents/{}\"><code>{}</code></a>", hit.hash, hit.hash.short());
    row
}

/// The first name, what was asked for marked in it.
fn name(hit: &Hit) -> String {
    let marked = |(piece, is_matched): (&str, bool)| {
        let piece = text(piece);
        if is_matched { format!("<mark>{piece}</mark>") } else { piece.to_string() }
    };
    hit.pieces(0).into_iter().map(marked).collect()
}

fn next(found: &Page<Hit>, q: &str) -> String {
    let Some(cursor) = &found.cursor else { return String::new() };
    format!(
        "<form action=\"/\"><input type=\"hidden\" name=\"q\" value=\"{}\">\
         <input type=\"hidden\" name=\"cursor\" value=\"{}\"><button>More</button></form>\n",
        value(q),
        value(cursor)
    )
}
