//! Who logs in at which FTP server.
//!
//! Invariants: a password is never displayed, and goes only to the host, and for the user, that it was given for.

use std::collections::BTreeMap;
use std::fmt;

use super::url::FtpUrl;

/// The user that every server of public files knows (RFC 1635).
pub(super) const ANONYMOUS: &str = "anonymous";
/// What it asks for as a password is somebody's address; ours says what kind of program this is.
const ANONYMOUS_PASSWORD: &str = "peerage@";

/// A secret text.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(String);

impl From<String> for Password {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl Password {
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password")
    }
}

/// What is known of one server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FtpLogin {
    /// Who logs in where the URL names nobody.
    pub user: Option<String>,
    /// Their password.
    pub password: Option<Password>,
}

/// What is known of all servers.
#[derive(Debug, Clone, Default)]
pub struct FtpLogins {
    by_host: BTreeMap<String, FtpLogin>,
    /// For a user who has no other.
    password: Option<Password>,
}

impl FtpLogins {
    /// `by_host` goes by a host's name, or by `host:port`; `password` is for every user whose own is not there.
    #[must_use]
    pub fn new(by_host: BTreeMap<String, FtpLogin>, password: Option<Password>) -> Self {
        let by_host = by_host.into_iter().map(|(host, login)| (host.to_ascii_lowercase(), login)).collect();
        Self { by_host, password }
    }

    /// The user of a server for whom no password was given, not even an empty one.
    pub(in crate::share) fn lacks_password(&self, url: &FtpUrl) -> Option<String> {
        let (user, password) = self.find(url);
        user.filter(|_| password.is_none())
    }

    /// The user and password for a server.
    pub(super) fn of(&self, url: &FtpUrl) -> (String, Password) {
        match self.find(url) {
            (None, _) => (ANONYMOUS.to_owned(), ANONYMOUS_PASSWORD.to_owned().into()),
            (Some(user), password) => (user, password.unwrap_or_default()),
        }
    }

    /// Who was named for a server, and the password that was given for them.
    fn find(&self, url: &FtpUrl) -> (Option<String>, Option<Password>) {
        let with_port = format!("{}:{}", url.host(), url.port());
        let known = self.by_host.get(&with_port).or_else(|| self.by_host.get(url.host()));
        let known = known.cloned().unwrap_or_default();
        let is_other =
            url.user().is_some_and(|user| known.user.as_deref().is_some_and(|known| known != user));
        let own = known.password.filter(|_| !is_other);
        (url.user().map(ToOwned::to_owned).or(known.user), own.or_else(|| self.password.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn login(user: Option<&str>, password: Option<&str>) -> FtpLogin {
        let text = |text: &str| text.to_owned();
        FtpLogin { user: user.map(text), password: password.map(|password| text(password).into()) }
    }

    fn of(logins: &FtpLogins, url: &str) -> (String, String) {
        let (user, password) = logins.of(&url.parse().unwrap());
        (user, password.0)
    }

    #[test]
    fn a_password_goes_to_whom_it_was_given_for() {
        let hosts = [
            ("NAS.local".to_owned(), login(Some("bob"), Some("bobs"))),
            ("nas.local:2121".to_owned(), login(None, Some("other"))),
            ("bare".to_owned(), login(Some("eve"), None)),
        ];
        let logins = FtpLogins::new(hosts.into(), Some("env".to_owned().into()));
        let expected = [
            ("ftp://nas.local/x", "bob", "bobs"),
            ("ftp://bob@nas.local/x", "bob", "bobs"),
            ("ftp://ann@nas.local/x", "ann", "env"),
            ("ftp://ann@nas.local:2121/x", "ann", "other"),
            ("ftp://nas.local:2121/x", "anonymous", "peerage@"),
            ("ftp://bare/x", "eve", "env"),
            ("ftp://elsewhere/x", "anonymous", "peerage@"),
        ];
        for (url, user, password) in expected {
            assert_eq!(of(&logins, url), (user.to_owned(), password.to_owned()), "{url}");
        }
        assert!(!format!("{logins:?}").contains("bobs"));
        let poor = FtpLogins::new([("bare".to_owned(), login(Some("eve"), None))].into(), None);
        for (url, lacks) in
            [("ftp://bare/x", Some("eve")), ("ftp://ann@nas/x", Some("ann")), ("ftp://nas/x", None)]
        {
            assert_eq!(poor.lacks_password(&url.parse().unwrap()).as_deref(), lacks, "{url}");
        }
    }
}
