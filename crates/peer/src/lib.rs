//! A peer: its share, its registration with an index, its native door, and its downloads.
//!
//! Architecture invariants: the [`catalogue`] is the one source of what is shared; content is asked for by hash and a
//! name never becomes a path by joining strings; what comes from others is proven before it is written.

pub mod peer;
mod presence;

pub mod home;
pub mod identity;
pub mod tls;

pub mod catalogue;
pub mod partials;
pub mod share;

pub mod index_client;
pub mod register;

pub mod reading;
pub mod serve;
pub mod uploads;

pub mod download;
pub mod part;
pub mod progress;
pub mod queue;
pub mod rate;
pub mod swarm;

mod have;
mod room;

#[cfg(test)]
mod testing;
