//! What was hashed before.

use peerage_wire::{ContentHash, PieceList};
use std::sync::Arc;

pub(crate) struct HashCache;
impl HashCache {
    pub(crate) fn pieces(&self, _hash: &ContentHash, _size: u64) -> Option<Arc<PieceList>> {
        None
    }
}
