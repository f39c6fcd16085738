//! How a command ends when it does not succeed: words for a person and an exit code for a program.
//!
//! Invariants: the words are `error: …` and `hint: …` on stderr, lower case, without a final period; a stranger's text
//! in them is shown through `wire::shown`. The codes are those of the README and mean the same in every command.

use std::fmt;
use std::process::ExitCode;

use peerage_peer::index_client::IndexError;
use peerage_peer::queue::{Cause, Trouble};
use peerage_wire::shown;

/// The exit codes of every command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Exit {
    /// Something here failed: a disk, a port, a file.
    Failed = 1,
    /// The command was called in a way it does not understand.
    Usage = 2,
    /// Nothing by that name.
    NotFound = 3,
    /// The index or every source is out of reach.
    Unreachable = 4,
    /// Not allowed.
    Refused = 5,
    /// No source could prove the content.
    Corrupt = 6,
}

/// Why a command did not succeed, and what to do.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    message: String,
    hint: Option<String>,
}

/// What a command returns.
pub(crate) type Outcome<T = ()> = Result<T, Failure>;

impl Failure {
    pub(crate) fn new(exit: Exit, message: impl fmt::Display) -> Self {
        let text = message.to_string();
        match text.split_once("\nhint: ") {
            Some((message, hint)) => Self { exit, message: message.to_owned(), hint: Some(hint.to_owned()) },
            None => Self { exit, message: text, hint: None },
        }
    }

    pub(crate) fn failed(message: impl fmt::Display) -> Self {
        Self::new(Exit::Failed, message)
    }

    pub(crate) fn usage(message: impl fmt::Display) -> Self {
        Self::new(Exit::Usage, message)
    }

    pub(crate) fn hint(mut self, hint: impl fmt::Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Says it on stderr and gives the code for `main` to return.
    pub(crate) fn report(&self) -> ExitCode {
        crate::print::say(self);
        ExitCode::from(self.exit as u8)
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", clean(&self.message))?;
        match self.hint.as_deref() {
            Some(hint) if !hint.is_empty() => write!(f, "\nhint: {}", clean(hint)),
            _ => Ok(()),
        }
    }
}

/// Our own messages may have several lines; what stands in each is shown as any stranger's text is.
fn clean(text: &str) -> String {
    text.lines().map(|line| shown(&without_number(line)).to_string()).collect::<Vec<_>>().join("\n  ")
}

/// The system's number says nothing to a person that its words do not: `(os error 2)` is left out.
pub(crate) fn without_number(line: &str) -> String {
    match line.split_once(" (os error ") {
        Some((words, rest)) => format!("{words}{}", rest.split_once(')').map_or("", |(_, rest)| rest)),
        None => line.to_owned(),
    }
}

impl From<IndexError> for Failure {
    fn from(error: IndexError) -> Self {
        let Trouble { cause, message, hint, .. } = Trouble::from(error);
        Self::new(cause.into(), message).hint(hint)
    }
}

impl From<Trouble> for Failure {
    fn from(Trouble { cause, message, hint, stays }: Trouble) -> Self {
        let hint = match (stays, hint.as_str()) {
            (true, "") => STAYS.to_owned(),
            (true, hint) => format!("{hint}; {STAYS}"),
            (false, _) => hint,
        };
        Self::new(cause.into(), message).hint(hint)
    }
}

/// What to know of a want that is still in the queue.
const STAYS: &str = "`peerage get --resume` tries again";

impl From<Cause> for Exit {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Failed => Self::Failed,
            Cause::Usage => Self::Usage,
            Cause::NotFound => Self::NotFound,
            Cause::Unreachable => Self::Unreachable,
            Cause::Refused => Self::Refused,
            Cause::Corrupt => Self::Corrupt,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_keeps_its_words_and_loses_what_is_for_programs() {
        let failure = Failure::failed("can't open `a\x1b[2J`: No such file (os error 2)\nhint: look");
        assert_eq!(failure.to_string(), "error: can't open `a\u{fffd}[2J`: No such file\nhint: look");
        assert_eq!(without_number("a (os error 13), b"), "a, b");
        assert_eq!(without_number("a (os error"), "a (os error");
    }
}
