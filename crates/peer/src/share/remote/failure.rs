//! Why something asked of an FTP server did not work, and what that says about the server.
//!
//! Invariant: what the server said is kept short, and reaches people through `wire::shown` only.

use std::io;

use suppaftp::FtpError;

/// Characters of a server's own words that are kept: a line of a terminal.
const WORDS_MAX: usize = 120;

/// What went wrong.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    /// The server can't be reached, or the connection ended.
    #[error("{0}")]
    Lost(String),
    /// It does not let us in.
    #[error("the login is refused: {0}")]
    Login(String),
    /// It has no such file or folder, or does not give it.
    #[error("{0}")]
    Refused(String),
    /// It can't do what sharing takes.
    #[error("{0}")]
    Unfit(&'static str),
    /// All its connections are in use.
    #[error("all connections to the server are in use")]
    Busy,
    /// This peer stops.
    #[error("this peer stops")]
    Stopped,
}

impl Failure {
    /// Whether the connection it happened on can't be used again.
    pub(super) const fn is_lost(&self) -> bool {
        !matches!(self, Self::Refused(_) | Self::Unfit(_))
    }

    /// A reply to the login that is not what was hoped for is a refusal, whatever its code.
    pub(super) fn of_login(error: FtpError) -> Self {
        match error {
            FtpError::UnexpectedResponse(reply) if reply.status.code() != 421 => {
                Self::Login(words(&reply.body))
            }
            error => error.into(),
        }
    }
}

impl From<FtpError> for Failure {
    fn from(error: FtpError) -> Self {
        match error {
            FtpError::ConnectionError(error) => error.into(),
            FtpError::UnexpectedResponse(reply) => match reply.status.code() {
                450 | 451 | 500..=599 => Self::Refused(words(&reply.body)),
                _ => Self::Lost(words(&reply.body)),
            },
            error => Self::Lost(cut(&error.to_string())),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // What a socket's own timeout is called differs between systems.
            io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => {
                Self::Lost("it does not answer".to_owned())
            }
            io::ErrorKind::UnexpectedEof => Self::Lost("it ended the connection".to_owned()),
            _ => Self::Lost(cut(&error.to_string())),
        }
    }
}

/// For whoever reads a file and knows only files.
impl From<Failure> for io::Error {
    fn from(failure: Failure) -> Self {
        let kind = match &failure {
            Failure::Lost(_) | Failure::Stopped => io::ErrorKind::ConnectionAborted,
            Failure::Login(_) | Failure::Refused(_) => io::ErrorKind::PermissionDenied,
            Failure::Unfit(_) => io::ErrorKind::Unsupported,
            Failure::Busy => io::ErrorKind::ResourceBusy,
        };
        Self::new(kind, failure.to_string())
    }
}

/// The last line of a reply, with its code.
fn words(reply: &[u8]) -> String {
    let text = String::from_utf8_lossy(&reply[..reply.len().min(64 * WORDS_MAX)]).into_owned();
    cut(text.trim_end().lines().last().unwrap_or_default())
}

fn cut(text: &str) -> String {
    text.chars().take(WORDS_MAX).collect()
}
