//! Which `Host` a request may name: the guard against a web page that had its own name point at this machine.
//!
//! Such a page would first have to get past this door's certificate, which no browser trusts; the guard stays
//! all the same, since a person may have waved that warning away, and every listener has one.
//! Invariant: addresses, `localhost` and this machine's own names are accepted, nothing else.

use http::Request;
use http::uri::Authority;

/// The names that this machine goes by.
#[derive(Debug, Clone)]
pub(crate) struct Hosts {
    own: String,
}

impl Hosts {
    /// What the system calls itself.
    pub(crate) fn of_this_machine() -> Self {
        Self { own: rustix::system::uname().nodename().to_string_lossy().to_ascii_lowercase() }
    }

    /// Whether a request is meant for this machine: it has one `Host`, and that is one of its own; so is the one in its
    /// target, which goes before the header (RFC 9112, section 3.2.2), where it has one.
    pub(crate) fn accept<B>(&self, request: &Request<B>) -> bool {
        if request.uri().host().is_some_and(|host| !self.is_own(host)) {
            return false;
        }
        let mut hosts = request.headers().get_all(http::header::HOST).iter();
        let (Some(host), None) = (hosts.next(), hosts.next()) else { return false };
        let authority = host.to_str().ok().and_then(|host| host.parse::<Authority>().ok());
        authority.is_some_and(|authority| self.is_own(authority.host()))
    }

    /// Of a machine that calls itself `nas.home.example` that name, `nas` and `nas.local`.
    fn is_own(&self, host: &str) -> bool {
        let host = host.to_ascii_lowercase();
        let plain = host.trim_start_matches('[').trim_end_matches(']');
        let label = |name: &str| name.split('.').next().unwrap_or_default().to_owned();
        plain.parse::<std::net::IpAddr>().is_ok()
            || host == "localhost"
            || (!self.own.is_empty() && (host == self.own || host == format!("{}.local", label(&self.own))))
            || (!label(&self.own).is_empty() && host == label(&self.own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_and_own_names_are_let_in_and_other_names_are_not() {
        let hosts = Hosts { own: "nas.home.example".to_owned() };
        let cases = [
            ("127.0.0.1:18965", true),
            ("192.168.1.7", true),
            ("[::1]:18965", true),
            ("LOCALHOST:1", true),
            ("nas", true),
            ("nas.local:18965", true),
            ("NAS.home.example", true),
            ("evil.example", false),
            ("nas.evil.example", false),
            ("127.0.0.1.evil.example", false),
            ("", false),
            ("a b", false),
        ];
        for (host, expected) in cases {
            let request = Request::builder().header("host", host).body(()).unwrap();
            assert_eq!(hosts.accept(&request), expected, "{host:?}");
        }
        assert!(!hosts.accept(&Request::new(())), "no host at all");
        for (target, expected) in [("http://nas/", true), ("http://evil.example/", false)] {
            let request = Request::get(target).header("host", "localhost").body(()).unwrap();
            assert_eq!(hosts.accept(&request), expected, "{target}");
        }
        let twice = Request::builder().header("host", "localhost").header("host", "evil").body(()).unwrap();
        assert!(!hosts.accept(&twice));
    }
}
