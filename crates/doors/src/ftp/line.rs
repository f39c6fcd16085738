//! Reading command lines off a control connection.
//!
//! Invariants: at most [`LINE_BYTES_MAX`] and one read are ever in memory, however long a client makes a line; what was
//! sent behind `AUTH TLS` before the handshake is never read as if it had come inside it.

use std::io;

use tokio::io::{AsyncRead, AsyncReadExt};

/// Bytes of a command line: a verb and the longest path, 4,096 bytes.
const LINE_BYTES_MAX: usize = 4 << 10;
/// Bytes read at a time.
const READ_BYTES: usize = 1 << 10;

/// What was read.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line {
    /// A line, without its end.
    Text(Vec<u8>),
    /// More bytes than a line may have.
    TooLong,
    /// The client has closed the connection.
    End,
}

/// What was received and not read yet.
#[derive(Debug, Default)]
pub(super) struct Lines {
    buffer: Vec<u8>,
    /// Bytes at the beginning that are known to have no line end.
    searched: usize,
}

impl Lines {
    /// The next line. Dropping the future loses nothing: what was received stays here.
    pub(super) async fn next(&mut self, stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Line> {
        loop {
            if let Some(line) = self.take() {
                return Ok(line);
            }
            let mut bytes = [0; READ_BYTES];
            let read = stream.read(&mut bytes).await?;
            if read == 0 {
                return Ok(Line::End);
            }
            self.buffer.extend_from_slice(&bytes[..read]);
        }
    }

    /// Whether something was received that no line was made of yet.
    pub(super) const fn has_more(&self) -> bool {
        !self.buffer.is_empty()
    }

    fn take(&mut self) -> Option<Line> {
        let found = self.buffer[self.searched..].iter().position(|byte| *byte == b'\n');
        let Some(end) = found.map(|at| self.searched + at) else {
            self.searched = self.buffer.len();
            return (self.buffer.len() > LINE_BYTES_MAX).then_some(Line::TooLong);
        };
        let rest = self.buffer.split_off(end + 1);
        let mut line = std::mem::replace(&mut self.buffer, rest);
        self.searched = 0;
        line.pop();
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        Some(if line.len() > LINE_BYTES_MAX { Line::TooLong } else { Line::Text(line) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn all(mut bytes: &[u8]) -> Vec<Line> {
        let (mut lines, mut found) = (Lines::default(), Vec::new());
        loop {
            let line = lines.next(&mut bytes).await.unwrap();
            let is_last = matches!(line, Line::End | Line::TooLong);
            found.push(line);
            if is_last {
                return found;
            }
        }
    }

    fn text(text: &str) -> Line {
        Line::Text(text.into())
    }

    #[tokio::test]
    async fn lines_end_as_any_client_ends_them() {
        let found = all(b"USER a\r\nPASS b\nRETR  c \r\r\n\r\nQUI").await;
        let expected = [text("USER a"), text("PASS b"), text("RETR  c \r"), text(""), Line::End];
        assert_eq!(found, expected);
    }

    #[tokio::test]
    async fn a_line_without_an_end_is_cut() {
        let longest = format!("{}\r\n", "x".repeat(LINE_BYTES_MAX));
        assert_eq!(all(longest.as_bytes()).await[0], text(longest.trim_end()));
        assert_eq!(all(format!("x{longest}").as_bytes()).await[0], Line::TooLong);
        let mut lines = Lines::default();
        let mut endless = tokio::io::repeat(b'x');
        assert_eq!(lines.next(&mut endless).await.unwrap(), Line::TooLong);
        assert!(lines.buffer.len() <= LINE_BYTES_MAX + READ_BYTES);
    }
}
