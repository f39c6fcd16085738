//! What other sites' pages may have a browser do here: open an address as a whole new page, and nothing else.
//!
//! Source: Fetch Metadata Request Headers (W3C), which every browser of today sends; programs send none.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderValue};

/// Whether a request was sent by a program, a person, one of our own pages, or by following a link to here. Pages of
/// other ports of this machine (`same-site`) are others' pages too.
pub(super) fn is_welcome(headers: &HeaderMap) -> bool {
    let is_ours = match one(headers, "sec-fetch-site") {
        Ok(None) => true,
        Ok(Some(site)) => site == "none" || site == "same-origin" || is_navigation(headers),
        Err(Several) => false,
    };
    is_ours && is_own_origin(headers)
}

fn is_navigation(headers: &HeaderMap) -> bool {
    let is =
        |name, expected| one(headers, name).is_ok_and(|value| value.is_some_and(|value| value == expected));
    is("sec-fetch-mode", "navigate") && is("sec-fetch-dest", "document")
}

/// Browsers from before those headers name the page that asks, where it hopes to read the answer.
fn is_own_origin(headers: &HeaderMap) -> bool {
    match (one(headers, ORIGIN.as_str()), one(headers, HOST.as_str())) {
        (Ok(None), _) => true,
        (Ok(Some(origin)), Ok(Some(host))) => {
            let origin = origin.to_str().unwrap_or_default();
            let authority = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
            authority.is_some_and(|authority| authority.as_bytes().eq_ignore_ascii_case(host.as_bytes()))
        }
        _ => false,
    }
}

/// A header that has more than one value.
struct Several;

fn one<'a>(headers: &'a HeaderMap, name: &str) -> Result<Option<&'a HeaderValue>, Several> {
    let mut values = headers.get_all(name).iter();
    match (values.next(), values.next()) {
        (value, None) => Ok(value),
        _ => Err(Several),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_combination_of_what_a_browser_may_say() {
        const SITES: [Option<&str>; 6] =
            [None, Some("none"), Some("same-origin"), Some("same-site"), Some("cross-site"), Some("x")];
        const MODES: [Option<&str>; 7] = [
            None,
            Some("navigate"),
            Some("no-cors"),
            Some("cors"),
            Some("same-origin"),
            Some("websocket"),
            Some("nested-navigate"),
        ];
        const DESTS: [Option<&str>; 9] = [
            None,
            Some("document"),
            Some("iframe"),
            Some("embed"),
            Some("object"),
            Some("image"),
            Some("script"),
            Some("empty"),
            Some("video"),
        ];
        let mut welcome = 0;
        for site in SITES {
            for mode in MODES {
                for dest in DESTS {
                    let pairs =
                        [("sec-fetch-site", site), ("sec-fetch-mode", mode), ("sec-fetch-dest", dest)];
                    let mut headers = HeaderMap::new();
                    for (name, value) in pairs {
                        value.map(|value| headers.insert(name, HeaderValue::from_static(value)));
                    }
                    let expected = matches!(site, None | Some("none" | "same-origin"))
                        || (mode, dest) == (Some("navigate"), Some("document"));
                    assert_eq!(is_welcome(&headers), expected, "{pairs:?}");
                    welcome += usize::from(expected);
                }
            }
        }
        assert_eq!(welcome, 3 * 7 * 9 + 3, "of {}", SITES.len() * MODES.len() * DESTS.len());
    }

    #[test]
    fn an_origin_is_ours_or_it_is_sent_away() {
        for (origin, expected) in [
            ("http://localhost:1", true),
            ("https://LOCALHOST:1", true),
            ("http://localhost:2", false),
            ("http://evil.example", false),
            ("null", false),
            ("file://", false),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost:1"));
            headers.insert(ORIGIN, HeaderValue::from_static(origin));
            assert_eq!(is_welcome(&headers), expected, "{origin}");
            headers.append(ORIGIN, HeaderValue::from_static(origin));
            assert!(!is_welcome(&headers), "twice");
        }
        let mut headers = HeaderMap::new();
        for _ in 0..2 {
            headers.append("sec-fetch-site", HeaderValue::from_static("none"));
        }
        assert!(!is_welcome(&headers), "twice");
    }
}
