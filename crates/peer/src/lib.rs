//! A peer: its share, its registration with an index, its native door, and its downloads.

pub mod catalogue;
pub mod home;
pub mod share;
