//! A text in a page: what a stranger wrote shows as it is there, and does nothing.

use std::fmt::{self, Display, Write};

use crate::shown;

/// Wraps a text, a stranger's too, for an element's content or a quoted attribute.
#[must_use]
pub const fn text(raw: &str) -> Text<'_> {
    Text(raw)
}

/// Wraps a text for a quoted attribute that comes back as it was, such as a form's value: nothing is taken out.
#[must_use]
pub const fn value(raw: &str) -> Value<'_> {
    Value(raw)
}

/// A text without markup, nor what [`shown`] takes out.
#[derive(Debug, Clone, Copy)]
pub struct Text<'a>(&'a str);

impl Display for Text<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value(&shown(self.0).to_string()).fmt(f)
    }
}

/// A text without markup.
#[derive(Debug, Clone, Copy)]
pub struct Value<'a>(&'a str);

impl Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for c in self.0.chars() {
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
        assert_eq!(value("<\u{200d}>\"").to_string(), "&lt;\u{200d}&gt;&quot;");
    }
}
