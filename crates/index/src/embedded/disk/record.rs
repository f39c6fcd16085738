//! One record of the log: a thing that changed what the index holds, as compact bytes.
//!
//! Invariants: [`Record::decode`] never panics on any bytes and never allocates more than a small multiple of them;
//! what it gives was checked by the wire's own types, and encodes to the same record again.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, SocketAddrV6};

use peerage_wire::api::{Announcement, BatchOrder, Change, Doors, FtpDoor};
use peerage_wire::{ContentHash, FileEntry, PeerId, PeerName, ShareDigest, SharePath};

use super::Damaged;
use super::bytes::{Reader, put_bytes, put_number, put_signed};

const ANNOUNCE: u8 = 1;
const BATCH: u8 = 2;
const QUIT: u8 = 3;
const FORGET: u8 = 4;

const ADD: u8 = 0;
const REMOVE: u8 = 1;

/// Room made for changes before any is read: a count that lies costs no more than this.
const CHANGES_AHEAD_MAX: usize = 4_096;

/// Something that happened to a peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Record {
    /// It said who it is and where it serves.
    Announce {
        peer: PeerId,
        what: Announcement,
        /// Where it is reached.
        address: SocketAddr,
        /// Batches count from 0 again.
        starts_over: bool,
        /// Its files were dropped.
        drops: bool,
        /// It was asked for all its files.
        asked: bool,
    },
    /// It changed its files.
    Batch { peer: PeerId, order: BatchOrder, changes: Vec<Change> },
    /// It left.
    Quit { peer: PeerId },
    /// It is not remembered any more.
    Forget { peer: PeerId },
}

impl Record {
    /// Whom it is about.
    pub(crate) const fn peer(&self) -> PeerId {
        match self {
            Self::Announce { peer, .. }
            | Self::Batch { peer, .. }
            | Self::Quit { peer }
            | Self::Forget { peer } => *peer,
        }
    }

    pub(crate) fn encode(&self, into: &mut Vec<u8>) {
        match self {
            Self::Announce { peer, what, address, starts_over, drops, asked } => {
                into.push(ANNOUNCE);
                into.extend_from_slice(peer.as_bytes());
                put_announcement(what, into);
                put_address(*address, into);
                into.push(flags([*starts_over, *drops, *asked, false]));
            }
            Self::Batch { peer, order, changes } => Self::encode_batch(*peer, *order, changes, into),
            Self::Quit { peer } => {
                into.push(QUIT);
                into.extend_from_slice(peer.as_bytes());
            }
            Self::Forget { peer } => {
                into.push(FORGET);
                into.extend_from_slice(peer.as_bytes());
            }
        }
    }

    /// A batch as [`Record::Batch`] encodes it, without owning its changes.
    pub(crate) fn encode_batch(peer: PeerId, order: BatchOrder, changes: &[Change], into: &mut Vec<u8>) {
        into.push(BATCH);
        into.extend_from_slice(peer.as_bytes());
        put_number(order.epoch, into);
        put_number(order.seq, into);
        put_number(changes.len() as u64, into);
        changes.iter().for_each(|change| put_change(change, into));
    }

    /// The record that these bytes, all of them, are.
    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, Damaged> {
        let mut reader = Reader::new(bytes);
        let tag = reader.byte()?;
        let peer = PeerId::from_bytes(reader.array()?);
        let record = match tag {
            ANNOUNCE => {
                let what = read_announcement(&mut reader)?;
                let address = read_address(&mut reader)?;
                let [starts_over, drops, asked, _] = read_flags(&mut reader, 3)?;
                Self::Announce { peer, what, address, starts_over, drops, asked }
            }
            BATCH => {
                let order = BatchOrder { epoch: reader.number()?, seq: reader.number()? };
                Self::Batch { peer, order, changes: read_changes(&mut reader)? }
            }
            QUIT => Self::Quit { peer },
            FORGET => Self::Forget { peer },
            _ => return Err(Damaged("no such kind of record")),
        };
        reader.end()?;
        Ok(record)
    }
}

fn put_announcement(what: &Announcement, into: &mut Vec<u8>) {
    put_bytes(what.name.as_str().as_bytes(), into);
    put_number(what.doors.native.into(), into);
    match what.doors.ftp {
        None => into.push(0),
        Some(FtpDoor { port, local, tls, login }) => {
            into.push(flags([true, local, tls, login]));
            put_number(port.into(), into);
        }
    }
    put_number(what.epoch, into);
    into.extend_from_slice(&what.digest.to_bytes());
}

fn read_announcement(reader: &mut Reader<'_>) -> Result<Announcement, Damaged> {
    let text = reader.text()?;
    let name: PeerName = text.parse().map_err(|_| Damaged("a peer's name is none"))?;
    if name.as_str() != text {
        return Err(Damaged("a peer's name is none"));
    }
    let native = reader.number_as()?;
    let ftp = match read_flags(reader, 4)? {
        [true, local, tls, login] => Some(FtpDoor { port: reader.number_as()?, local, tls, login }),
        [false, false, false, false] => None,
        _ => return Err(Damaged("a door is none")),
    };
    let epoch = reader.number()?;
    let digest = ShareDigest::from_bytes(reader.array()?);
    Ok(Announcement { name, doors: Doors { native, ftp }, epoch, digest })
}

fn put_address(address: SocketAddr, into: &mut Vec<u8>) {
    match address {
        SocketAddr::V4(address) => {
            into.push(4);
            into.extend_from_slice(&address.ip().octets());
        }
        SocketAddr::V6(address) => {
            into.push(6);
            into.extend_from_slice(&address.ip().octets());
            put_number(address.flowinfo().into(), into);
            put_number(address.scope_id().into(), into);
        }
    }
    put_number(address.port().into(), into);
}

fn read_address(reader: &mut Reader<'_>) -> Result<SocketAddr, Damaged> {
    match reader.byte()? {
        4 => {
            let ip = IpAddr::from(Ipv4Addr::from(reader.array::<4>()?));
            Ok(SocketAddr::new(ip, reader.number_as()?))
        }
        6 => {
            let ip = Ipv6Addr::from(reader.array::<16>()?);
            let (flow, scope) = (reader.number_as()?, reader.number_as()?);
            Ok(SocketAddrV6::new(ip, reader.number_as()?, flow, scope).into())
        }
        _ => Err(Damaged("an address is none")),
    }
}

fn put_change(change: &Change, into: &mut Vec<u8>) {
    match change {
        Change::Add(FileEntry { path, size, hash, modified }) => {
            into.push(ADD);
            put_number(*size, into);
            put_signed(*modified, into);
            into.extend_from_slice(hash.as_bytes());
            put_bytes(path.as_str().as_bytes(), into);
        }
        Change::Remove { path } => {
            into.push(REMOVE);
            put_bytes(path.as_str().as_bytes(), into);
        }
    }
}

fn read_changes(reader: &mut Reader<'_>) -> Result<Vec<Change>, Damaged> {
    let count: usize = reader.number_as()?;
    if count > reader.left() {
        return Err(Damaged("it ends too early"));
    }
    let mut changes = Vec::with_capacity(count.min(CHANGES_AHEAD_MAX));
    for _ in 0..count {
        changes.push(read_change(reader)?);
    }
    Ok(changes)
}

fn read_change(reader: &mut Reader<'_>) -> Result<Change, Damaged> {
    match reader.byte()? {
        ADD => {
            let (size, modified) = (reader.number()?, reader.signed()?);
            let hash = ContentHash::from_bytes(reader.array()?);
            Ok(Change::Add(FileEntry { path: read_path(reader)?, size, hash, modified }))
        }
        REMOVE => Ok(Change::Remove { path: read_path(reader)? }),
        _ => Err(Damaged("no such kind of change")),
    }
}

fn read_path(reader: &mut Reader<'_>) -> Result<SharePath, Damaged> {
    let text = reader.text()?;
    match SharePath::parse(text) {
        Ok(path) if path.as_str() == text => Ok(path),
        _ => Err(Damaged("a share path is none")),
    }
}

fn flags(bits: [bool; 4]) -> u8 {
    bits.into_iter().enumerate().map(|(position, bit)| u8::from(bit) << position).sum()
}

fn read_flags(reader: &mut Reader<'_>, count: u32) -> Result<[bool; 4], Damaged> {
    let byte = reader.byte()?;
    if u32::from(byte) >> count != 0 {
        return Err(Damaged("a flag is set that is none"));
    }
    Ok(std::array::from_fn(|position| byte >> position & 1 == 1))
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;

    pub(in super::super) fn id(byte: u8) -> PeerId {
        PeerId::from_bytes([byte; 32])
    }

    fn encoded(record: &Record) -> Vec<u8> {
        let mut bytes = Vec::new();
        record.encode(&mut bytes);
        bytes
    }

    fn any_announce() -> impl Strategy<Value = Record> {
        let ftp = prop::option::of((any::<u16>(), any::<[bool; 3]>()));
        let doors = (any::<u16>(), ftp).prop_map(|(native, ftp)| Doors {
            native,
            ftp: ftp.map(|(port, [local, tls, login])| FtpDoor { port, local, tls, login }),
        });
        let address = prop_oneof![
            any::<([u8; 4], u16)>().prop_map(|(ip, port)| SocketAddr::from((ip, port))),
            any::<([u8; 16], u16, u32, u32)>().prop_map(|(ip, port, flow, scope)| SocketAddrV6::new(
                ip.into(),
                port,
                flow,
                scope
            )
            .into()),
        ];
        let rest = (any::<u64>(), any::<[u8; 32]>(), any::<[bool; 3]>(), any::<u8>());
        ("[a-zé]{1,20}", doors, address, rest).prop_map(|(name, doors, address, rest)| {
            let (epoch, digest, [starts_over, drops, asked], peer) = rest;
            let digest = ShareDigest::from_bytes(digest);
            let what = Announcement { name: name.parse().unwrap(), doors, epoch, digest };
            Record::Announce { peer: id(peer), what, address, starts_over, drops, asked }
        })
    }

    fn any_change() -> impl Strategy<Value = Change> {
        let path = "[a-z]{1,8}(/[a-zé .]{1,12}x){0,4}".prop_map(|text| SharePath::parse(&text).unwrap());
        prop_oneof![
            (path.clone(), any::<u64>(), any::<[u8; 32]>(), any::<i64>()).prop_map(
                |(path, size, hash, modified)| {
                    Change::Add(FileEntry { path, size, hash: ContentHash::from_bytes(hash), modified })
                }
            ),
            path.prop_map(|path| Change::Remove { path }),
        ]
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let batch = (any::<u8>(), any::<[u64; 2]>(), prop::collection::vec(any_change(), 0..20));
        prop_oneof![
            any_announce(),
            batch.prop_map(|(peer, [epoch, seq], changes)| {
                Record::Batch { peer: id(peer), order: BatchOrder { epoch, seq }, changes }
            }),
            any::<u8>().prop_map(|peer| Record::Quit { peer: id(peer) }),
            any::<u8>().prop_map(|peer| Record::Forget { peer: id(peer) }),
        ]
    }

    proptest! {
        #[test]
        fn every_record_survives_the_trip(record in any_record()) {
            let bytes = encoded(&record);
            prop_assert_eq!(Record::decode(&bytes), Ok(record));
            for end in 0..bytes.len() {
                prop_assert!(Record::decode(&bytes[..end]).is_err(), "cut at {}", end);
            }
        }

        #[test]
        fn a_changed_byte_gives_another_record_or_none(record in any_record(), at: prop::sample::Index, to: u8) {
            let mut bytes = encoded(&record);
            let at = at.index(bytes.len());
            bytes[at] = to;
            if let Ok(other) = Record::decode(&bytes) {
                prop_assert_eq!(Record::decode(&encoded(&other)), Ok(other));
            }
        }
    }

    #[test]
    fn texts_that_no_peer_could_send_are_refused() {
        let remove = |path: &str| {
            let mut bytes = [&[BATCH][..], &[7; 32], &[0, 0, 1, REMOVE]].concat();
            put_bytes(path.as_bytes(), &mut bytes);
            Record::decode(&bytes)
        };
        assert!(remove("a/b").is_ok());
        // The last is not composed: it would become another path than was written.
        for path in ["", "a//b", "../b", "a\0", "a/e\u{301}"] {
            assert!(remove(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn a_count_that_lies_makes_no_room() {
        let mut bytes = [&[BATCH][..], &[7; 32], &[0, 0]].concat();
        put_number(u64::MAX >> 1, &mut bytes);
        assert!(Record::decode(&bytes).is_err());
    }
}
