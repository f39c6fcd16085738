//! Where an FTP server's folder is: `ftp://[user@]host[:port]/path`, and `ftps://…` for the same under TLS.
//!
//! Invariants: an [`FtpUrl`] holds no password; its host is a plain name or address; no part of its path is `.`, `..`
//! or has a control character; what it displays as parses to the same again. As RFC 1738, section 3.2.2, has it, the
//! path begins in the folder the login leads to, and one that begins with another slash (`%2F`) at the server's root.

use std::fmt;
use std::net::Ipv6Addr;
use std::str::FromStr;

use peerage_wire::{limits, shown};

/// The port of FTP, and of FTP that becomes TLS by `AUTH TLS` (RFC 4217).
const PORT: u16 = 21;
/// Bytes of a host's name (RFC 1035, section 2.3.4).
const HOST_BYTES_MAX: usize = 253;

/// A folder on an FTP server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FtpUrl {
    is_tls: bool,
    user: Option<String>,
    host: String,
    port: u16,
    is_absolute: bool,
    parts: Vec<String>,
}

/// Why a text is no such place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum UrlError {
    /// It holds a password, which other users of this machine could read off the list of processes.
    #[error(
        "a password does not belong on the command line\nhint: put it into `PEERAGE_FTP_PASSWORD`, or into \
         `config.toml` under `[ftp-servers.\"{}\"]`",
        shown(host)
    )]
    Password {
        /// Whose password it is.
        host: String,
    },
    /// It is another kind of URL.
    #[error("`{}://` servers can't be shared\nhint: `ftp://` and `ftps://` servers can", shown(scheme))]
    Scheme {
        /// What stands before the `://`.
        scheme: String,
    },
    /// It is no URL of an FTP server.
    #[error(
        "`{}` is no FTP server's folder: {reason}\nhint: write it like `ftp://nas.local/music`",
        shown(text)
    )]
    Malformed {
        /// As it was given, up to where a password may stand.
        text: String,
        /// What is wrong with it.
        reason: &'static str,
    },
}

impl UrlError {
    pub(in crate::share) fn scheme(scheme: &str) -> Self {
        Self::Scheme { scheme: scheme.chars().take(32).collect() }
    }
}

impl FtpUrl {
    /// Whether the text means to be one.
    #[must_use]
    pub fn is_meant(text: &str) -> bool {
        scheme_of(text).is_some()
    }

    /// Whether what is said to the server, and what it sends, is encrypted.
    pub(crate) const fn is_tls(&self) -> bool {
        self.is_tls
    }

    /// Who logs in; nobody in particular where it says nothing.
    pub(crate) fn user(&self) -> Option<&str> {
        self.user.as_deref()
    }

    /// The host, an IPv6 address without its brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    pub(crate) const fn port(&self) -> u16 {
        self.port
    }

    /// What the share is called where nobody says otherwise.
    pub(crate) fn base_name(&self) -> &str {
        self.parts.last().unwrap_or(&self.host)
    }

    /// The folder's absolute path on the server, for a login that led to `login_dir`; empty for the root.
    pub(crate) fn folder(&self, login_dir: &str) -> String {
        let before = if self.is_absolute { "" } else { login_dir.trim_end_matches('/') };
        self.parts.iter().fold(before.to_owned(), |path, part| path + "/" + part)
    }
}

impl FromStr for FtpUrl {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        let malformed = |reason| UrlError::Malformed { text: without_password(text), reason };
        let (is_tls, rest) =
            scheme_of(text).ok_or_else(|| malformed("it begins with neither `ftp://` nor `ftps://`"))?;
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (user, address) = match authority.rsplit_once('@') {
            Some((user, address)) => (Some(user), address),
            None => (None, authority),
        };
        let (host, port) = host_and_port(address).map_err(malformed)?;
        if user.is_some_and(|user| user.contains(':')) {
            return Err(UrlError::Password { host });
        }
        let user = user.map(|user| decoded(user).filter(|user| !user.is_empty()));
        let user =
            user.map(|user| user.ok_or_else(|| malformed("its user's name can't be read"))).transpose()?;
        if path.contains(['?', '#']) {
            return Err(malformed("it has a `?` or `#`, which are written `%3F` and `%23`"));
        }
        let path = decoded(path).ok_or_else(|| malformed("its path can't be read"))?;
        let parts: Vec<String> =
            path.split('/').filter(|part| !part.is_empty()).map(ToOwned::to_owned).collect();
        if parts.iter().any(|part| part == "." || part == "..") {
            return Err(malformed("its path has a `.` or `..`"));
        }
        if path.len() > limits::PATH_BYTES_MAX {
            return Err(malformed("its path is too long"));
        }
        Ok(Self { is_tls, user, host, port, is_absolute: path.starts_with('/'), parts })
    }
}

impl fmt::Display for FtpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.is_tls { "ftps://" } else { "ftp://" })?;
        if let Some(user) = &self.user {
            write!(f, "{}@", encoded(user, "%?#:@/"))?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?;
        } else {
            f.write_str(&self.host)?;
        }
        if self.port != PORT {
            write!(f, ":{}", self.port)?;
        }
        f.write_str(match (self.is_absolute, self.parts.is_empty()) {
            (true, true) => "//",
            (true, false) => "/",
            (false, _) => "",
        })?;
        self.parts.iter().try_for_each(|part| write!(f, "/{}", encoded(part, "%?#")))
    }
}

fn scheme_of(text: &str) -> Option<(bool, &str)> {
    let (scheme, rest) = text.split_once("://")?;
    match scheme.to_ascii_lowercase().as_str() {
        "ftp" => Some((false, rest)),
        "ftps" => Some((true, rest)),
        _ => None,
    }
}

fn host_and_port(address: &str) -> Result<(String, u16), &'static str> {
    let (host, port) = match address.strip_prefix('[') {
        Some(rest) => {
            let (host, port) = rest.split_once(']').ok_or("its address has no `]`")?;
            host.parse::<Ipv6Addr>().map_err(|_| "its address is none")?;
            (host, port.strip_prefix(':').or_else(|| port.is_empty().then_some("")))
        }
        None => match address.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (address, Some("")),
        },
    };
    let port = match port.ok_or("its port is none")? {
        "" => PORT,
        port => port.parse().ok().filter(|port| *port != 0).ok_or("its port is none")?,
    };
    let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_' | ':');
    if host.is_empty() || host.len() > HOST_BYTES_MAX || !host.chars().all(is_name) {
        return Err("its host is none");
    }
    Ok((host.to_ascii_lowercase(), port))
}

/// `%41` becomes `A`; nothing where that is no text, or has a control character.
fn decoded(text: &str) -> Option<String> {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let [first, after @ ..] = rest {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = after.split_at_checked(2)?;
        let digits = (std::str::from_utf8(digits.0).ok()?, digits.1);
        bytes.push(u8::from_str_radix(digits.0, 16).ok().filter(|_| !digits.0.starts_with('+'))?);
        rest = digits.1;
    }
    String::from_utf8(bytes).ok().filter(|text| !text.contains(char::is_control))
}

fn encoded(text: &str, special: &str) -> String {
    text.chars().fold(String::with_capacity(text.len()), |mut coded, c| {
        if special.contains(c) {
            coded += &format!("%{:02X}", u32::from(c));
        } else {
            coded.push(c);
        }
        coded
    })
}

/// What may be shown of a text that was meant as a URL.
fn without_password(text: &str) -> String {
    match (text.split_once("://"), text.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, after))) => format!("{scheme}://…@{after}"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<FtpUrl, UrlError> {
        text.parse()
    }

    #[test]
    fn the_usual_forms_are_read() {
        let url = parse("ftp://nas.local/music").unwrap();
        assert_eq!((url.host(), url.port(), url.user(), url.is_tls()), ("nas.local", 21, None, false));
        assert_eq!((url.base_name(), url.folder("/").as_str()), ("music", "/music"));
        let url = parse("FTPS://bob%40home@[fe80::1]:2121/a%20b//c/").unwrap();
        assert_eq!(
            (url.host(), url.port(), url.user(), url.is_tls()),
            ("fe80::1", 2121, Some("bob@home"), true)
        );
        assert_eq!((url.base_name(), url.folder("/home/bob").as_str()), ("c", "/home/bob/a b/c"));
        assert_eq!(parse("ftp://NAS").unwrap().base_name(), "nas");
        assert_eq!(parse("ftp://nas/").unwrap().folder("/"), "");
        for text in ["ftp://nas//srv/x", "ftp://nas/%2Fsrv/x"] {
            assert_eq!(parse(text).unwrap().folder("/home/bob"), "/srv/x");
        }
    }

    #[test]
    fn a_password_is_refused_and_never_repeated() {
        for text in ["ftp://bob:secret@nas/x", "ftp://bob:sec@ret@nas", "ftps://:secret@nas/"] {
            let error = parse(text).unwrap_err();
            assert_eq!(error, UrlError::Password { host: "nas".to_owned() }, "{text}");
            let error = error.to_string();
            assert!(error.contains("PEERAGE_FTP_PASSWORD") && !error.contains("secret"), "{error}");
        }
        let error = parse("ftp://bob:secret@na s/x").unwrap_err().to_string();
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn what_is_no_place_is_told() {
        for text in [
            "http://nas/x",
            "ftp:/nas/x",
            "ftp://",
            "ftp:///x",
            "ftp://nas:0/x",
            "ftp://nas:70000/x",
            "ftp://[::1/x",
            "ftp://[::1]x/y",
            "ftp://[nas]/y",
            "ftp://na s/x",
            "ftp://nas/../x",
            "ftp://nas/a/%2e%2E/x",
            "ftp://nas/a%0d%0aDELE%20b",
            "ftp://nas/%4",
            "ftp://nas/%+1",
            "ftp://nas/%ff",
            "ftp://nas/x?tls",
            "ftp://@nas/x",
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.contains("is no FTP server") && error.contains("hint: "), "{text}: {error}");
        }
    }

    proptest! {
        #[test]
        fn what_is_displayed_parses_to_the_same(text in "ftps?://([a-c:%0-9@]{0,6}@)?[a-z.]{1,5}(:[0-9]{1,5})?(/[a-c%25F./? é]{0,9}){0,3}") {
            if let Ok(url) = parse(&text) {
                prop_assert_eq!(parse(&url.to_string()), Ok(url.clone()));
                prop_assert!(url.folder("/home").split('/').all(|part| part != ".."));
            }
        }
    }
}
