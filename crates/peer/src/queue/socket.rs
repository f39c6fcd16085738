//! The home's control socket: where it is, who may be at its other end, and lines of JSON over it.
//!
//! Invariants: the socket is 0600 before it has its name, and both ends check that the other runs as the same user;
//! no line is read past its limit; a home's path may be longer than a socket's address.

use std::fs::{self, File, Permissions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use serde::Serialize;
use serde::de::DeserializeOwned;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};

use crate::home::Home;

/// The socket's name in the home.
const NAME: &str = "control.sock";
/// Its name until it is ready.
const FRESH_NAME: &str = "control.new";
/// Bytes of a socket's path, without the NUL at its end (unix(7)).
const ADDRESS_BYTES_MAX: usize = 107;

/// Opens the home's socket in place of any that a killed process left. The caller holds the home's lock.
pub(super) fn bind(home: &Home) -> io::Result<(UnixListener, PathBuf)> {
    let (fresh, path) = (home.state_file(FRESH_NAME), home.state_file(NAME));
    match fs::remove_file(&fresh) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = at_address(home, FRESH_NAME, |address| UnixListener::bind(address))?;
    fs::set_permissions(&fresh, Permissions::from_mode(0o600))?;
    fs::rename(&fresh, &path)?;
    Ok((listener, path))
}

/// Reaches the process that holds the home.
pub(super) async fn connect(home: &Home) -> io::Result<UnixStream> {
    // Connecting to a Unix socket does not wait for the other side, so the blocking call is a short one.
    let stream = at_address(home, NAME, |address| std::os::unix::net::UnixStream::connect(address))?;
    stream.set_nonblocking(true)?;
    let stream = UnixStream::from_std(stream)?;
    check_user(&stream)?;
    Ok(stream)
}

/// Only the same user may speak: who may write into the home's folder could have put another's socket there.
pub(super) fn check_user(stream: &UnixStream) -> io::Result<()> {
    let (own, other) = (rustix::process::geteuid().as_raw(), stream.peer_cred()?.uid());
    if own == other {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::PermissionDenied, format!("its other end belongs to user {other}")))
}

/// A path that is too long for a socket's address is shortened by way of the folder's descriptor.
fn at_address<T>(home: &Home, name: &str, act: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let path = home.state_file(name);
    if path.as_os_str().len() <= ADDRESS_BYTES_MAX {
        return act(&path);
    }
    let folder = File::open(home.path())?;
    act(&Path::new("/proc/self/fd").join(folder.as_raw_fd().to_string()).join(name))
}

/// Writes one line.
pub(super) async fn write_line(to: &mut (impl AsyncWrite + Unpin), value: &impl Serialize) -> io::Result<()> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    to.write_all(&line).await
}

/// Lines of JSON, each of limited length.
pub(super) struct Lines<R> {
    from: BufReader<R>,
    line: Vec<u8>,
    bytes_max: usize,
}

impl<R: AsyncRead + Unpin> Lines<R> {
    pub(super) fn new(from: R, bytes_max: usize) -> Self {
        Self { from: BufReader::new(from), line: Vec::new(), bytes_max }
    }

    /// What comes after the lines that were read.
    pub(super) fn into_inner(self) -> BufReader<R> {
        self.from
    }

    /// The next line, `None` at the end. Giving up waiting loses nothing.
    ///
    /// # Errors
    /// What the system says; `InvalidData` for a line that is too long.
    pub(super) async fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        loop {
            let bytes = self.from.fill_buf().await?;
            if bytes.is_empty() {
                return Ok(None); // half a line says nothing
            }
            let end = bytes.iter().position(|byte| *byte == b'\n');
            let taken = end.map_or(bytes.len(), |end| end + 1);
            self.line.extend_from_slice(&bytes[..taken]);
            self.from.consume(taken);
            if self.line.len() > self.bytes_max {
                let why = format!("a line is longer than {} bytes", self.bytes_max);
                return Err(io::Error::new(io::ErrorKind::InvalidData, why));
            }
            if end.is_some() {
                return Ok(Some(std::mem::take(&mut self.line)));
            }
        }
    }
}

/// Reads a line's value.
pub(super) fn parse<T: DeserializeOwned>(line: &[u8]) -> io::Result<T> {
    serde_json::from_slice(line).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn lines_come_whole_and_never_too_long() {
        let mut lines = Lines::new(&b"one\n\nthree\nhalf"[..], 6);
        for expected in [&b"one\n"[..], b"\n", b"three\n"] {
            assert_eq!(lines.next().await.unwrap().as_deref(), Some(expected));
        }
        assert_eq!(lines.next().await.unwrap(), None);
        for flood in [&b"1234567\n"[..], b"12345678901234567890"] {
            let error = Lines::new(flood, 6).next().await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        }
    }

    #[tokio::test]
    async fn a_line_survives_being_waited_for_in_vain() {
        let (mut to, from) = tokio::io::duplex(64);
        let mut lines = Lines::new(from, 64);
        to.write_all(b"first ha").await.unwrap();
        tokio::select! {
            biased;
            _ = lines.next() => panic!("there is no line yet"),
            () = std::future::ready(()) => {}
        }
        to.write_all(b"lf\n").await.unwrap();
        assert_eq!(lines.next().await.unwrap().as_deref(), Some(&b"first half\n"[..]));
    }

    #[tokio::test]
    async fn a_deep_home_has_a_private_socket_that_replaces_a_stale_one() {
        let folder = tempfile::tempdir().unwrap();
        for path in [folder.path().join("a"), folder.path().join("b".repeat(200))] {
            let home = Home::open(&path).unwrap();
            drop(bind(&home).unwrap());
            connect(&home).await.unwrap_err();
            let (_listener, socket) = bind(&home).unwrap();
            assert_eq!(fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
            connect(&home).await.unwrap();
        }
    }
}
