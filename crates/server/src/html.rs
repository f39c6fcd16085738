//! Plain HTML pages without a template language: text is escaped by [`text`], and nothing else is put in.

use std::fmt::{self, Display, Write};

use axum::response::{Html, IntoResponse, Response};
use http::StatusCode;
use peerage_wire::shown;

/// The one style sheet, served at `/style.css`.
pub(crate) const STYLE: &str = "\
body { font: 1rem/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 70rem; padding: 0 1rem }
table { border-collapse: collapse; width: 100% }
th, td { border-bottom: 1px solid #ccc; padding: .3rem .6rem; text-align: left; vertical-align: top }
td { overflow-wrap: anywhere }
td.number { text-align: right; white-space: nowrap }
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

/// Wraps a text, a stranger's too, for an element's content or a quoted attribute.
pub(crate) const fn text(raw: &str) -> Text<'_> {
    Text(raw)
}

/// A text that shows as it is and does nothing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = shown(self.0).to_string();
        for c in shown.chars() {
            match c {
                '&' => f.write_str("&amp;")?,
                '<' => f.write_str("&lt;")?,
                '>' => f.write_str("&gt;")?,
                '"' => f.write_str("&quot;")?,
                '\'' => f.write_str("&#39;")?,
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_only_ever_text() {
        let nasty = "<script>alert('x')</script>&\"\u{202e}\x1b[2J é";
        let safe = "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&amp;&quot;\u{fffd}\u{fffd}[2J é";
        assert_eq!(text(nasty).to_string(), safe);
        assert_eq!(text("").to_string(), "");
    }
}
