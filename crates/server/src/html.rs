//! Plain HTML pages without a template language: text is escaped by [`text`], and nothing else is put in.

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;

pub(crate) use peerage_wire::html::{text, value};

/// The one style sheet, served at `/style.css`.
pub(crate) const STYLE: &str = "\
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top }
td { overflow-wrap: anywhere }
td.number { text-align: right; white-space: nowrap }
mark { background: none; color: inherit; font-weight: bold }
code { font-family: ui-monospace, monospace }
input[type=search] { width: min(30rem, 70%) }
@media (prefers-color-scheme: dark) { :root { color-scheme: dark } }
";

/// A whole page.
pub(crate) fn page(status: StatusCode, title: &str, body: &str) -> Response {
    let html = format!(
        "<!doctype html>\n<html lang=\"en\">\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n<title>{}</title>\n\
         <link rel=\"stylesheet\" href=\"/style.css\">\n{body}\n</html>\n",
        text(title),
    );
    (status, Html(html)).into_response()
}
