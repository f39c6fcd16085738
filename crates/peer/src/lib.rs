//! A peer: its share, its registration with an index, its native door, and its downloads.

pub mod catalogue;
pub mod home;
pub mod share;
pub mod download;
pub mod identity;
pub mod part;
pub mod progress;
pub mod serve;
mod swarm;
pub mod tls;
