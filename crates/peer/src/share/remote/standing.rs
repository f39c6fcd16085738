//! Whether a server counts as being here: a pure state machine.
//!
//! Invariants: one failure is not enough to withdraw what it has, for a lost packet is no lost server; one success is
//! enough to take it back.

/// Looks that fail in a row until its files are withdrawn.
const FAILURES_MAX: u32 = 2;

/// How a server stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Standing {
    /// Nobody has looked yet.
    #[default]
    Unknown,
    /// Its files are shared; so many looks in a row have failed.
    Here { failures: u32 },
    /// Its files are withdrawn, or never were shared.
    Away,
}

/// What has changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// It is reached for the first time.
    Came,
    /// It is back.
    Returned,
    /// It was not to be reached from the beginning.
    Missing,
    /// It is gone.
    Left,
}

impl Standing {
    /// A look has succeeded.
    pub(super) fn reached(&mut self) -> Option<News> {
        match std::mem::replace(self, Self::Here { failures: 0 }) {
            Self::Unknown => Some(News::Came),
            Self::Away => Some(News::Returned),
            Self::Here { .. } => None,
        }
    }

    /// A look has failed.
    pub(super) fn failed(&mut self) -> Option<News> {
        let (next, news) = match *self {
            Self::Unknown => (Self::Away, Some(News::Missing)),
            Self::Here { failures } if failures + 1 >= FAILURES_MAX => (Self::Away, Some(News::Left)),
            Self::Here { failures } => (Self::Here { failures: failures + 1 }, None),
            Self::Away => (Self::Away, None),
        };
        *self = next;
        news
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failure_is_forgiven_and_one_success_is_enough() {
        let mut standing = Standing::default();
        assert_eq!(standing.reached(), Some(News::Came));
        assert_eq!([standing.failed(), standing.reached(), standing.failed()], [None; 3]);
        assert_eq!(standing.failed(), Some(News::Left));
        assert_eq!(standing.failed(), None);
        assert_eq!(standing.reached(), Some(News::Returned));
        assert_eq!(Standing::default().failed(), Some(News::Missing));
    }
}
