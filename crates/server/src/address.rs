//! Where a connection comes from and where a peer can be reached, in one place.
//!
//! A peer's address is the one its own requests come from. A peer on the index's machine comes from loopback, which
//! means another machine to everybody else; they are told the address at which they reached the index instead.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};

use peerage_wire::api::{Announced, Doors, Hit, PeerRow};

/// The two ends of a connection. IPv4 addresses are plain, never mapped into IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The client.
    pub(crate) remote: SocketAddr,
    /// The index, as this client reached it.
    pub(crate) local: SocketAddr,
}

impl Ends {
    pub(crate) fn new(remote: SocketAddr, local: SocketAddr) -> Self {
        Self { remote: plain(remote), local: plain(local) }
    }

    /// Makes an answer's addresses ones that this client can dial.
    pub(crate) fn localised<T: Addressed>(&self, mut answer: T) -> T {
        answer.each_address(&mut |address, doors| {
            if let Some(doors) = doors {
                doors.ftp = doors.ftp.filter(|door| !door.local || self.is_beside(*address));
            }
            *address = self.dialled(*address);
        });
        answer
    }

    /// Whether the client is on the same machine as a peer.
    fn is_beside(&self, address: SocketAddr) -> bool {
        let (peer, client) = (plain(address).ip(), self.remote.ip());
        peer == client || (peer.is_loopback() && client.is_loopback())
    }

    fn dialled(&self, address: SocketAddr) -> SocketAddr {
        let address = plain(address);
        let elsewhere = !self.remote.ip().is_loopback();
        if address.ip().is_loopback() && elsewhere {
            return SocketAddr::new(self.local.ip(), address.port());
        }
        address
    }
}

/// An answer that carries peers' addresses.
pub(crate) trait Addressed {
    /// Visits every address, with the doors that are there.
    fn each_address(&mut self, visit: &mut dyn FnMut(&mut SocketAddr, Option<&mut Doors>));
}

impl Addressed for Hit {
    fn each_address(&mut self, visit: &mut dyn FnMut(&mut SocketAddr, Option<&mut Doors>)) {
        for source in &mut self.sources {
            visit(&mut source.address, Some(&mut source.doors));
            source.ftp = source.ftp_url();
        }
    }
}

impl Addressed for PeerRow {
    fn each_address(&mut self, visit: &mut dyn FnMut(&mut SocketAddr, Option<&mut Doors>)) {
        visit(&mut self.address, Some(&mut self.doors));
    }
}

impl Addressed for Announced {
    fn each_address(&mut self, visit: &mut dyn FnMut(&mut SocketAddr, Option<&mut Doors>)) {
        visit(&mut self.address, None);
    }
}

impl<T: Addressed> Addressed for Vec<T> {
    fn each_address(&mut self, visit: &mut dyn FnMut(&mut SocketAddr, Option<&mut Doors>)) {
        self.iter_mut().for_each(|row| row.each_address(visit));
    }
}

/// Whom limits per address count as one: an IPv4 address, an IPv6 /64 (the least that one customer gets), or this
/// machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Origin {
    /// This machine.
    Loopback,
    /// Somebody else.
    Net(IpAddr),
}

impl Origin {
    pub(crate) fn of(ip: IpAddr) -> Self {
        match ip.to_canonical() {
            ip if ip.is_loopback() => Self::Loopback,
            IpAddr::V6(ip) => Self::Net(Ipv6Addr::from_bits(ip.to_bits() & (u128::MAX << 64)).into()),
            ip => Self::Net(ip),
        }
    }
}

fn plain(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

#[cfg(test)]
mod tests {
    use super::*;
    use peerage_wire::api::{FtpDoor, Source};
    use peerage_wire::{ContentHash, Kind, PeerId, SharePath};

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_peer_on_the_index_machine_is_reached_where_the_index_was() {
        let cases = [
            // requester, index as it reached it, peer as seen, peer as told
            ("192.0.2.9:5000", "192.0.2.1:18964", "127.0.0.1:18965", "192.0.2.1:18965"),
            ("192.0.2.9:5000", "192.0.2.1:18964", "[::1]:18965", "192.0.2.1:18965"),
            ("[2001:db8::9]:5000", "[2001:db8::1]:18964", "127.0.0.1:18965", "[2001:db8::1]:18965"),
            ("[::ffff:192.0.2.9]:5000", "[::ffff:192.0.2.1]:18964", "127.0.0.1:7", "192.0.2.1:7"),
            // others are told as they were seen
            ("192.0.2.9:5000", "192.0.2.1:18964", "198.51.100.7:18965", "198.51.100.7:18965"),
            ("192.0.2.9:5000", "192.0.2.1:18964", "[::ffff:198.51.100.7]:7", "198.51.100.7:7"),
            // and on the machine itself loopback is right
            ("127.0.0.1:5000", "127.0.0.1:18964", "127.0.0.1:18965", "127.0.0.1:18965"),
            ("[::1]:5000", "[::1]:18964", "127.0.0.1:18965", "127.0.0.1:18965"),
            ("[::ffff:127.0.0.1]:5000", "[::ffff:127.0.0.1]:1", "127.0.0.1:2", "127.0.0.1:2"),
        ];
        for (remote, local, seen, told) in cases {
            let ends = Ends::new(at(remote), at(local));
            let row = Announced { lease_secs: 1, heartbeat_secs: 1, address: at(seen), resync: false };
            assert_eq!(ends.localised(row).address, at(told), "{remote} asks about {seen}");
        }
    }

    #[test]
    fn a_door_on_loopback_is_told_on_its_own_machine_only() {
        let doors =
            Doors { native: 1, ftp: Some(FtpDoor { port: 2121, local: true, tls: false, login: false }) };
        let source = |seen: &str| Source {
            peer: PeerId::from_bytes([1; 32]),
            name: "nas".parse().unwrap(),
            address: at(seen),
            doors,
            path: Some(SharePath::parse("music/a b.flac").unwrap()),
            ftp: None,
            partial: false,
        };
        let told = |remote: &str, seen: &str| {
            let hit = Hit {
                hash: ContentHash::of(b"x"),
                size: 1,
                kind: Kind::Audio,
                names: Vec::new(),
                highlights: Vec::new(),
                source_count: 1,
                sources: vec![source(seen)],
            };
            Ends::new(at(remote), at("192.0.2.1:18964")).localised(hit).sources.remove(0).ftp
        };
        let url = |host: &str| Some(format!("ftp://{host}:2121/music/a%20b.flac"));
        assert_eq!(told("127.0.0.1:5", "127.0.0.1:18965"), url("127.0.0.1"));
        assert_eq!(told("192.0.2.7:5", "192.0.2.7:18965"), url("192.0.2.7"));
        assert_eq!(told("192.0.2.9:5", "127.0.0.1:18965"), None);
        assert_eq!(told("192.0.2.9:5", "192.0.2.7:18965"), None);
    }

    #[test]
    fn one_customer_counts_as_one() {
        let of = |text: &str| Origin::of(text.parse().unwrap());
        assert_eq!(of("127.0.0.1"), of("127.8.8.8"));
        assert_eq!(of("::1"), of("::ffff:127.0.0.1"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
    }
}
