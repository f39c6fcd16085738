//! Which ports data connections may use: a range that a firewall was told of, or the dynamic ones.
//!
//! Invariants: a range has at least one port, none of them 0; a port is drawn at random and tried, never asked of the
//! system, which would look through all the ports that ended connections still hold: after some ten thousand files that
//! took it longer than the files.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use tokio::net::{TcpListener, TcpSocket};

/// Where no range was given: the dynamic ports (RFC 6335, section 6), on which no service waits.
const DYNAMIC: PortRange = PortRange(49_152..=65_535);
/// Connections that may wait at a data port: its client makes one.
const BACKLOG: u32 = 4;

/// A range of ports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PortRange(RangeInclusive<u16>);

/// Why a text is no range of ports.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected a range of ports such as `50000-50099`")]
pub struct PortRangeError;

impl FromStr for PortRange {
    type Err = PortRangeError;

    fn from_str(text: &str) -> Result<Self, PortRangeError> {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let port =
            |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0).ok_or(PortRangeError);
        let (first, last) = (port(first)?, port(last)?);
        if first > last { Err(PortRangeError) } else { Ok(Self(first..=last)) }
    }
}

/// Listens at a port of the range, or at a dynamic one, at the address at which the client reached this machine.
///
/// # Errors
/// When no port of the range is free.
pub(super) fn listen(address: IpAddr, range: Option<&PortRange>) -> io::Result<TcpListener> {
    let PortRange(range) = range.unwrap_or(&DYNAMIC);
    let count = range.end() - range.start();
    // Begun at random, so that sessions do not all try the same ports, and nobody knows the next one.
    let mut random = [0; 4];
    let begin = getrandom::fill(&mut random).map_or(0, |()| u32::from_ne_bytes(random));
    let mut outcome = Err(io::ErrorKind::AddrInUse.into());
    for step in 0..=count {
        let offset = (begin % (u32::from(count) + 1) + u32::from(step)) % (u32::from(count) + 1);
        let port = range.start() + u16::try_from(offset).unwrap_or(0);
        outcome = bind(SocketAddr::new(address, port));
        if outcome.is_ok() {
            break;
        }
    }
    outcome
}

fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port is used again and again, and connections that are over linger in it for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(BACKLOG)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_has_ports() {
        assert_eq!("50000-50099".parse(), Ok(PortRange(50_000..=50_099)));
        assert_eq!("50000".parse(), Ok(PortRange(50_000..=50_000)));
        for text in ["", "-", "0-9", "9-1", "1-70000", "a-b", "1-2-3"] {
            assert_eq!(text.parse::<PortRange>(), Err(PortRangeError), "{text}");
        }
    }

    #[tokio::test]
    async fn every_port_of_a_range_is_used_and_no_other() {
        let free = bind(([127, 0, 0, 1], 0).into()).unwrap().local_addr().unwrap().port();
        let range = PortRange(free..=free);
        let held = listen([127, 0, 0, 1].into(), Some(&range)).unwrap();
        assert_eq!(held.local_addr().unwrap().port(), free);
        assert!(listen([127, 0, 0, 1].into(), Some(&range)).is_err());
        assert!(listen([127, 0, 0, 1].into(), None).is_ok());
    }
}
