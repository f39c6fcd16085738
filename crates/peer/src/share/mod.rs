//! What this peer shares: folders scanned, hashed, remembered and watched, into the catalogue.

mod cache;
mod root;

pub(crate) use cache::HashCache;
pub(crate) use root::{Root, Stamp};
