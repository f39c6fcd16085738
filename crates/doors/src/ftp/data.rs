//! A data connection: made by the client, to a port that was opened for it, from its own address.
//!
//! Invariants: a connection from another address is closed and the right one waited for, so nobody steals a transfer
//! by being faster (RFC 2577, section 3); every wait has a limit, for the connection, for its handshake, and for a
//! client that takes next to nothing.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use peerage_wire::limits;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use super::ports::{self, PortRange};

/// How long a client may take to connect once it has asked for something.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes sent at a time, at most.
const SEND_BYTES: usize = 256 << 10;
/// How long a client may take for so many: 4 KiB a second, as at every door.
const SEND_TIMEOUT: Duration = Duration::from_secs(64);

/// A port that is open for one data connection.
#[derive(Debug)]
pub(super) struct Passive {
    listener: TcpListener,
    client: IpAddr,
}

impl Passive {
    /// Opens a port where `local` was reached, for `client` alone.
    pub(super) fn open(local: IpAddr, client: IpAddr, range: Option<&PortRange>) -> io::Result<Self> {
        Ok(Self { listener: ports::listen(local, range)?, client })
    }

    /// Where the client is to connect.
    pub(super) fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Takes the client's connection.
    pub(super) async fn accept(self, acceptor: Option<&TlsAcceptor>) -> io::Result<Data> {
        let stream = tokio::time::timeout(CONNECT_TIMEOUT, self.client_stream()).await??;
        let _ = stream.set_nodelay(true);
        // A client may wait to send its last word of a handshake until what it sent before is acknowledged.
        let _ = rustix::net::sockopt::set_tcp_quickack(&stream, true);
        let Some(acceptor) = acceptor else { return Ok(Data(Box::new(stream))) };
        let shaken = acceptor.accept_with(stream, |tls| tls.set_buffer_limit(Some(SEND_BYTES)));
        let stream = tokio::time::timeout(limits::HANDSHAKE_TIMEOUT, shaken).await??;
        Ok(Data(Box::new(stream)))
    }

    async fn client_stream(&self) -> io::Result<TcpStream> {
        loop {
            let (stream, address) = self.listener.accept().await?;
            if address.ip().to_canonical() == self.client {
                return Ok(stream);
            }
            tracing::debug!(%address, "somebody else came to a data port");
        }
    }
}

/// A data connection that is open.
pub(super) struct Data(Box<dyn AsyncWrite + Send + Unpin>);

impl Data {
    /// Sends bytes.
    pub(super) async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        for part in bytes.chunks(SEND_BYTES) {
            tokio::time::timeout(SEND_TIMEOUT, self.0.write_all(part)).await??;
        }
        Ok(())
    }

    /// Ends it; the client has everything then, or soon.
    pub(super) async fn finish(mut self) -> io::Result<()> {
        tokio::time::timeout(SEND_TIMEOUT, async {
            self.0.flush().await?;
            self.0.shutdown().await
        })
        .await?
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncReadExt;

    #[tokio::test]
    async fn only_the_client_itself_gets_the_data() {
        let (local, client) = (IpAddr::from([127, 0, 0, 1]), IpAddr::from([127, 0, 0, 2]));
        let passive = Passive::open(local, client, None).unwrap();
        let address = passive.address().unwrap();
        let mut thief = TcpStream::connect(address).await.unwrap();
        let from_client = tokio::net::TcpSocket::new_v4().unwrap();
        from_client.bind(SocketAddr::new(client, 0)).unwrap();
        let mut right = from_client.connect(address).await.unwrap();
        let mut data = passive.accept(None).await.unwrap();
        data.send(b"for the client").await.unwrap();
        data.finish().await.unwrap();
        let (mut stolen, mut received) = (String::new(), String::new());
        right.read_to_string(&mut received).await.unwrap();
        // Closed in its face, or cut.
        let _ = thief.read_to_string(&mut stolen).await;
        assert_eq!((stolen.as_str(), received.as_str()), ("", "for the client"));
    }

    #[tokio::test(start_paused = true)]
    async fn a_client_that_does_not_come_is_not_waited_for_longer_than_ten_seconds() {
        let local = IpAddr::from([127, 0, 0, 1]);
        let begun = tokio::time::Instant::now();
        let outcome = Passive::open(local, local, None).unwrap().accept(None).await;
        assert_eq!(outcome.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        assert!(begun.elapsed() >= CONNECT_TIMEOUT);
    }
}
