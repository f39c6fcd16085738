//! Keeps foreign web pages from driving the index through a browser: who was asked, and from where.
//!
//! Invariants: a request reaches a handler only under a name that is ours, so a page that rebinds its own name to
//! our address gets nothing; and a request that changes something only when no other page sent it.

use std::collections::HashSet;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{HOST, ORIGIN};
use http::uri::Authority;
use http::{HeaderMap, Method, StatusCode, Uri};
use peerage_wire::api::codes;

use crate::app::App;
use crate::error::ApiError;

/// The names under which the index answers, besides IP addresses.
pub(crate) struct Hosts(HashSet<String>);

impl Hosts {
    /// `localhost`, the machine's name with and without `.local`, and what the operator allows.
    pub(crate) fn new(allowed: &[String], machine: &str) -> Self {
        let machine = machine.to_ascii_lowercase();
        let first_label = machine.split('.').next().unwrap_or_default();
        let mut names = HashSet::from(["localhost".to_owned()]);
        if !first_label.is_empty() {
            names.extend([machine.clone(), first_label.to_owned(), format!("{first_label}.local")]);
        }
        names.extend(allowed.iter().filter_map(|host| name_of(host)));
        Self(names)
    }

    fn has(&self, name: &str) -> bool {
        let literal = name.strip_prefix('[').and_then(|name| name.strip_suffix(']')).unwrap_or(name);
        literal.parse::<IpAddr>().is_ok() || self.0.contains(name)
    }
}

/// The middleware.
pub(crate) async fn guard(State(app): State<Arc<App>>, request: Request, next: Next) -> Response {
    let checked = check_host(&app.hosts, request.uri(), request.headers())
        .and_then(|()| check_origin(request.method(), request.headers()));
    match checked {
        Ok(()) => next.run(request).await,
        Err(error) => error.into_response(),
    }
}

fn check_host(hosts: &Hosts, uri: &Uri, headers: &HeaderMap) -> Result<(), ApiError> {
    let host = single(headers, HOST.as_str()).ok_or_else(|| {
        ApiError::bad_request(
            "the request has not exactly one `Host`",
            "send the name or address you dialled",
        )
    })?;
    // RFC 9112, 3.2.2: a target in absolute form overrides `Host`; one meaning is enough.
    if uri.authority().is_some_and(|target| !target.as_str().eq_ignore_ascii_case(host)) {
        return Err(ApiError::bad_request("the request's target is not its `Host`", "send the same in both"));
    }
    let name = name_of(host)
        .ok_or_else(|| ApiError::bad_request("the request's `Host` can't be read", "send `name:port`"))?;
    if hosts.has(&name) {
        return Ok(());
    }
    let hint = format_args!("start the index with `--allow-host {name}` if that name is its own").to_string();
    let message = format!("the index is not known as `{name}`");
    Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, codes::FORBIDDEN, message, hint))
}

fn check_origin(method: &Method, headers: &HeaderMap) -> Result<(), ApiError> {
    if method.is_safe() {
        return Ok(());
    }
    let site_is_ours = match headers.get("sec-fetch-site") {
        None => true,
        Some(site) => site == "none" || site == "same-origin",
    };
    let origin_is_ours = !headers.contains_key(ORIGIN) || is_same_origin(headers);
    if site_is_ours && origin_is_ours {
        return Ok(());
    }
    Err(ApiError::forbidden(
        "another site's page sent this",
        "only the index's own pages and programs may change it",
    ))
}

fn is_same_origin(headers: &HeaderMap) -> bool {
    let (Some(origin), Some(host)) = (single(headers, ORIGIN.as_str()), single(headers, HOST.as_str()))
    else {
        return false;
    };
    let origin = origin.strip_prefix("http://").or_else(|| origin.strip_prefix("https://"));
    origin.is_some_and(|origin| origin.eq_ignore_ascii_case(host))
}

fn single<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let mut values = headers.get_all(name).iter();
    let value = values.next()?.to_str().ok()?;
    values.next().is_none().then_some(value)
}

/// The name of `name:port`, without the dot that may end it, in lower case.
fn name_of(host: &str) -> Option<String> {
    let authority: Authority = host.parse().ok()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let name = authority.host().to_ascii_lowercase();
    let name = name.strip_suffix('.').unwrap_or(&name);
    (!name.is_empty()).then(|| name.to_owned())
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn status(outcome: Result<(), ApiError>) -> u16 {
        outcome.map_or_else(|error| error.status.as_u16(), |()| 200)
    }

    fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for (name, value) in pairs {
            headers.append(*name, HeaderValue::from_str(value).unwrap());
        }
        headers
    }

    #[test]
    fn only_our_own_names_pass() {
        let hosts = Hosts::new(&["Peers.example.org:443".into()], "box.lan");
        let cases = [
            ("127.0.0.1:18964", 200),
            ("192.0.2.7", 200),
            ("[::1]:18964", 200),
            ("[2001:db8::1]", 200),
            ("localhost:18964", 200),
            ("LOCALHOST.", 200),
            ("box", 200),
            ("box.lan:1", 200),
            ("box.local", 200),
            ("peers.example.org", 200),
            ("evil.example", 421),
            ("localhost.evil.example", 421),
            ("127.0.0.1.evil.example", 421),
            ("0x7f.1", 421),
            ("::1", 400),
            ("", 400),
            ("user@localhost", 400),
            ("a b", 400),
        ];
        for (host, expected) in cases {
            let outcome = check_host(&hosts, &Uri::from_static("/"), &headers(&[("host", host)]));
            assert_eq!(status(outcome), expected, "{host:?}");
        }
    }

    #[test]
    fn a_request_names_one_host() {
        let hosts = Hosts::new(&[], "");
        let check = |uri, pairs: &[(&'static str, &str)]| {
            status(check_host(&hosts, &Uri::from_static(uri), &headers(pairs)))
        };
        assert_eq!(check("/", &[]), 400);
        assert_eq!(check("/", &[("host", "localhost"), ("host", "localhost")]), 400);
        assert_eq!(check("http://evil.example/", &[("host", "localhost")]), 400);
        assert_eq!(check("http://localhost/", &[("host", "localhost")]), 200);
    }

    #[test]
    fn a_foreign_page_changes_nothing() {
        let cases: [(&[(&'static str, &str)], u16); 10] = [
            (&[], 200),
            (&[("sec-fetch-site", "none")], 200),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://localhost:1")], 200),
            (&[("origin", "https://LOCALHOST:1")], 200),
            (&[("sec-fetch-site", "same-site")], 403),
            (&[("sec-fetch-site", "cross-site")], 403),
            (&[("origin", "http://evil.example")], 403),
            (&[("origin", "null")], 403),
            (&[("origin", "http://localhost:2")], 403),
            (&[("sec-fetch-site", "same-origin"), ("origin", "http://evil.example")], 403),
        ];
        for (pairs, expected) in cases {
            let mut headers = headers(pairs);
            headers.insert(HOST, HeaderValue::from_static("localhost:1"));
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert_eq!(status(check_origin(&method, &headers)), expected, "{method} {pairs:?}");
            }
            assert_eq!(status(check_origin(&Method::GET, &headers)), 200, "{pairs:?}");
        }
    }
}
