//! A keep-alive connection that speaks just enough HTTP/1.1 to the index: one request, one answer with its length told.
//!
//! Invariant: an answer is read to its end before the next request is sent.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// No answer takes longer, however busy the index is.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(60);
/// Bytes read at a time.
const READ_BYTES: usize = 64 << 10;

/// A connection.
pub(crate) struct Line {
    stream: TcpStream,
    authority: String,
    request: Vec<u8>,
    answer: Vec<u8>,
}

/// What is asked.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Ask<'a> {
    pub(crate) method: &'static str,
    pub(crate) target: &'a str,
    /// The bearer token, if it needs one.
    pub(crate) token: Option<&'a str>,
    pub(crate) body: &'a [u8],
    /// Header lines about the body, each with its end.
    pub(crate) about_body: &'static str,
}

/// Of a body in JSON.
pub(crate) const JSON: &str = "content-type: application/json\r\n";
/// Of a packed batch.
pub(crate) const PACKED_LINES: &str = "content-type: application/x-ndjson\r\ncontent-encoding: zstd\r\n";

impl Line {
    /// Connects to `host:port`.
    ///
    /// # Errors
    /// When nobody is there.
    pub(crate) async fn connect(authority: &str) -> Result<Self> {
        let stream = TcpStream::connect(authority).await.context("can't connect to the index")?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, authority: authority.to_owned(), request: Vec::new(), answer: Vec::new() })
    }

    /// Asks, and gives the answer's body.
    ///
    /// # Errors
    /// When the answer is no success, or none.
    pub(crate) async fn ask(&mut self, ask: Ask<'_>) -> Result<&[u8]> {
        self.write(&ask);
        let exchange = async {
            self.stream.write_all(&self.request).await?;
            read(&mut self.stream, &mut self.answer).await
        };
        let (status, body) = timeout(ANSWER_TIMEOUT, exchange).await.context("no answer")??;
        let body = &self.answer[body..];
        if !(200..300).contains(&status) {
            bail!("{} {}: {status} {}", ask.method, ask.target, String::from_utf8_lossy(body));
        }
        Ok(body)
    }

    fn write(&mut self, ask: &Ask<'_>) {
        use std::io::Write as _;
        self.request.clear();
        // Writing into memory does not fail.
        let _ =
            write!(self.request, "{} {} HTTP/1.1\r\nhost: {}\r\n", ask.method, ask.target, self.authority);
        if let Some(token) = ask.token {
            let _ = write!(self.request, "authorization: Bearer {token}\r\n");
        }
        if ask.method != "GET" {
            let _ = write!(self.request, "{}content-length: {}\r\n", ask.about_body, ask.body.len());
        }
        self.request.extend_from_slice(b"\r\n");
        self.request.extend_from_slice(ask.body);
    }
}

/// Reads one answer into `answer`; tells its status and where its body begins.
async fn read(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<(u16, usize)> {
    answer.clear();
    let head = loop {
        more(stream, answer).await?;
        if let Some(end) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break end + 4;
        }
    };
    let (status, length) = understand(&answer[..head])?;
    while answer.len() < head + length {
        more(stream, answer).await?;
    }
    ensure!(answer.len() == head + length, "the index sent more than one answer");
    Ok((status, head))
}

async fn more(stream: &mut TcpStream, answer: &mut Vec<u8>) -> Result<()> {
    answer.reserve(READ_BYTES);
    ensure!(stream.read_buf(answer).await? > 0, "the index closed a connection");
    Ok(())
}

/// Status and length of the body.
fn understand(head: &[u8]) -> Result<(u16, usize)> {
    let head = std::str::from_utf8(head)?;
    let mut lines = head.split("\r\n");
    let status = lines.next().and_then(|line| line.split(' ').nth(1)).context("no status")?.parse()?;
    let mut length = None;
    for (name, value) in lines.filter_map(|line| line.split_once(':')) {
        if name.eq_ignore_ascii_case("content-length") {
            length = Some(value.trim().parse()?);
        }
    }
    match (length, status) {
        (Some(length), _) => Ok((status, length)),
        (None, 204) => Ok((status, 0)),
        (None, _) => bail!("an answer without its length"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn heads_are_understood() {
        assert_eq!(understand(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\n").unwrap(), (200, 12));
        assert_eq!(understand(b"HTTP/1.1 204 No Content\r\ndate: x\r\n\r\n").unwrap(), (204, 0));
        assert!(understand(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").is_err());
        assert!(understand(b"\r\n\r\n").is_err());
    }
}
