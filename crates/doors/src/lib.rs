//! Doors of a peer for programs that speak no Peerage: FTP, plain and over TLS.
//!
//! Architecture invariants: a door has no names, files or rights of its own: all come from the peer's catalogue, and
//! slots, rate and counters from the peer's uploads. Nothing here can write: no command, reply or call for it exists.
//! A client's bytes are bounded before they are looked at.

pub mod ftp;
pub mod users;
