//! Where the folder door may be open without TLS: at addresses of this machine that no other machine reaches.
//!
//! Invariant: an [`HttpListen`] that exists names a loopback address.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::str::FromStr;

use peerage_wire::limits;
use tokio::net::TcpListener;

use crate::presence::listen;

/// Where to open the folder door over plain HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct HttpListen(Option<SocketAddr>);

/// Why the door is not opened at an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotLocal {
    /// It is one of others.
    #[error("plain HTTP is for this machine only: others use https at the port of `--listen`")]
    Reachable,
    /// It is none.
    #[error("expected an address of this machine, such as 127.0.0.1:18966; folders go before `--http`")]
    NoAddress,
}

impl HttpListen {
    /// At the usual port, or a free one where that is taken.
    pub const USUAL: Self = Self(None);

    /// At this address.
    ///
    /// # Errors
    /// [`NotLocal::Reachable`] where other machines could reach it.
    pub fn at(address: SocketAddr) -> Result<Self, NotLocal> {
        let is_local = address.ip().to_canonical().is_loopback();
        is_local.then_some(Self(Some(address))).ok_or(NotLocal::Reachable)
    }

    /// Opens it. The error comes with the address.
    pub(crate) async fn open(self) -> Result<TcpListener, (SocketAddr, io::Error)> {
        listen(self.0, SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), limits::HTTP_PORT)).await
    }
}

/// `ADDR:PORT`, `ADDR` at the usual port, or a port.
impl FromStr for HttpListen {
    type Err = NotLocal;

    fn from_str(text: &str) -> Result<Self, NotLocal> {
        let usual_port = |address: IpAddr| SocketAddr::new(address, limits::HTTP_PORT);
        if let Ok(port) = text.parse() {
            return Self::at(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), port));
        }
        let address = text.parse().or_else(|_| text.parse().map(usual_port));
        Self::at(address.map_err(|_| NotLocal::NoAddress)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_of_this_machine_are_taken() {
        for text in
            ["80", "127.0.0.1:1", "127.0.0.1", "127.9.9.9:80", "[::1]:0", "::1", "[::ffff:127.0.0.1]:1"]
        {
            assert!(text.parse::<HttpListen>().is_ok(), "{text}");
        }
        for text in
            ["0.0.0.0:80", "192.168.1.7:80", "[::]:80", "::", "[2001:db8::1]:80", "[::ffff:10.0.0.1]:1"]
        {
            assert_eq!(text.parse::<HttpListen>(), Err(NotLocal::Reachable), "{text}");
        }
        for text in ["", "localhost", "127.0.0.1:", "127.0.0.1:x", "/music", "99999"] {
            assert_eq!(text.parse::<HttpListen>(), Err(NotLocal::NoAddress), "{text}");
        }
        assert_eq!(
            "127.0.0.1".parse(),
            HttpListen::at(SocketAddr::from(([127, 0, 0, 1], limits::HTTP_PORT)))
        );
    }
}
