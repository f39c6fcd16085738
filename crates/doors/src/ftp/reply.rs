//! What a session answers: a code and a line or more (RFC 959, section 4.2).
//!
//! Invariant: whatever a reply is made of, its bytes on the wire are printable text and its own line ends: a stranger's
//! name can neither end a line nor speak to a terminal.

use std::fmt::Write;

use peerage_wire::shown;

/// A reply.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reply {
    code: u16,
    lines: Vec<String>,
}

impl Reply {
    /// Of one line.
    pub(super) fn new(code: u16, text: impl Into<String>) -> Self {
        Self { code, lines: vec![text.into()] }
    }

    /// Of a first line, lines of data, and `End`.
    pub(super) fn of_lines(code: u16, first: &str, data: impl IntoIterator<Item = String>) -> Self {
        let data = data.into_iter().map(|line| format!(" {line}"));
        let lines = std::iter::once(first.to_owned()).chain(data).chain(["End".to_owned()]).collect();
        Self { code, lines }
    }

    /// As it goes over the wire.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        let mut text = String::new();
        let last = self.lines.len().saturating_sub(1);
        for (position, line) in self.lines.iter().enumerate() {
            let line = shown(line);
            // Writing to a string can't fail.
            let _ = match position {
                _ if position == last => write!(text, "{} {line}\r\n", self.code),
                0 => write!(text, "{}-{line}\r\n", self.code),
                _ => write!(text, "{line}\r\n"),
            };
        }
        text.into_bytes()
    }

    /// Whether the session goes on after it.
    pub(super) const fn is_last(&self) -> bool {
        matches!(self.code, 221 | 421)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reply_is_one_line_or_ends_in_its_code() {
        let one = Reply::new(200, "done").to_bytes();
        assert_eq!(one, b"200 done\r\n");
        let many = Reply::of_lines(211, "Features", ["SIZE".to_owned(), "MDTM".to_owned()]).to_bytes();
        assert_eq!(String::from_utf8(many).unwrap(), "211-Features\r\n SIZE\r\n MDTM\r\n211 End\r\n");
    }

    #[test]
    fn nothing_in_it_ends_a_line_or_speaks_to_a_terminal() {
        let bytes = Reply::new(257, "\"/a\r\n230 in\x1b[2J\0\u{9b}\"").to_bytes();
        assert_eq!(bytes.iter().filter(|byte| **byte < b' ').count(), 2, "{bytes:?}");
        assert!(bytes.ends_with(b"\r\n"));
    }
}
