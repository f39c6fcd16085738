//! As what an answer is wanted: the `Accept` of RFC 9110, section 12.5.1.

use http::HeaderMap;
use http::header::ACCEPT;

/// What an asker reads best.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    /// A page, which it names.
    Page,
    /// Rows for a program.
    Json,
    /// Whatever: it gets the pages, whose links programs follow too, and refusals as JSON.
    Any,
}

impl Form {
    pub(super) fn of(headers: &HeaderMap) -> Self {
        let (page, json) = (liking(headers, "text/html"), liking(headers, "application/json"));
        match page {
            _ if json.thousandths > 0 && json > page => Self::Json,
            Liking { thousandths: 1.., precision: 2 } => Self::Page,
            _ => Self::Any,
        }
    }
}

/// How much a type is liked, and by how precise a word.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Liking {
    thousandths: u16,
    precision: u8,
}

/// The most precise range that has the type counts.
fn liking(headers: &HeaderMap, media_type: &str) -> Liking {
    let values = headers.get_all(ACCEPT).iter().filter_map(|value| value.to_str().ok());
    let ranges = values.flat_map(|value| value.split(',')).filter_map(|range| {
        let mut parts = range.split(';').map(str::trim);
        let precision = precision(parts.next()?, media_type)?;
        let quality = parts.find_map(|part| part.strip_prefix("q=").or_else(|| part.strip_prefix("Q=")));
        Some(Liking { precision, thousandths: quality.map_or(1_000, thousandths) })
    });
    ranges.max_by_key(|liking| liking.precision).unwrap_or_default()
}

fn precision(range: &str, media_type: &str) -> Option<u8> {
    let family = media_type.split('/').next()?;
    if range.eq_ignore_ascii_case(media_type) {
        Some(2)
    } else if range.strip_suffix("/*").is_some_and(|range| range.eq_ignore_ascii_case(family)) {
        Some(1)
    } else {
        (range == "*/*").then_some(0)
    }
}

/// A weight as the RFC writes it; one that is none counts as nothing.
fn thousandths(weight: &str) -> u16 {
    let (whole, fraction) = weight.split_once('.').unwrap_or((weight, ""));
    let digits = format!("{whole}{fraction:0<3}");
    let is_weight = whole.len() == 1 && digits.len() == 4 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if is_weight { digits.parse().map_or(0, |number: u16| number.min(1_000)) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn the_most_liked_form_is_chosen() {
        let cases = [
            ("", Form::Any),
            ("*/*", Form::Any),
            ("text/*", Form::Any),
            ("image/png", Form::Any),
            ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", Form::Page),
            ("TEXT/HTML", Form::Page),
            ("text/html, application/json", Form::Page),
            ("application/json", Form::Json),
            ("application/json, text/plain, */*", Form::Json),
            ("application/*", Form::Json),
            ("text/html;q=0.5, application/json;q=0.9", Form::Json),
            ("text/html;q=0, */*", Form::Json),
            ("application/json;q=0, */*", Form::Any),
            ("application/json;q=0.1, text/html; q=1.000", Form::Page),
            ("application/json;q=x", Form::Any),
            ("application/json;q=9", Form::Json),
        ];
        for (accept, expected) in cases {
            let headers = HeaderMap::from_iter([(ACCEPT, HeaderValue::from_static(accept))]);
            assert_eq!(Form::of(&headers), expected, "{accept}");
        }
        assert_eq!(Form::of(&HeaderMap::new()), Form::Any);
    }
}
