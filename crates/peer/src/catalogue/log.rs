//! Which paths the index has to be told about, each once, oldest first.
//!
//! Invariants: a path stands in the log at most once, at the place of its latest change; what is to be told
//! (here or gone) is read from the catalogue when the path is taken, so only the latest state is ever sent.

use std::collections::{BTreeMap, HashMap};

use peerage_wire::SharePath;

/// A point in the order of changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Mark(u64);

/// The paths that wait.
#[derive(Debug, Default)]
pub(super) struct ChangeLog {
    last: u64,
    by_order: BTreeMap<u64, SharePath>,
    order_of: HashMap<SharePath, u64>,
}

impl ChangeLog {
    /// The path has changed: it goes to the end.
    pub(super) fn push(&mut self, path: &SharePath) {
        self.last += 1;
        if let Some(earlier) = self.order_of.insert(path.clone(), self.last) {
            self.by_order.remove(&earlier);
        }
        self.by_order.insert(self.last, path.clone());
    }

    /// The path that waits longest.
    pub(super) fn pop(&mut self) -> Option<SharePath> {
        let (_, path) = self.by_order.pop_first()?;
        self.order_of.remove(&path);
        Some(path)
    }

    /// Everything that waits now, and nothing that comes later.
    pub(super) const fn mark(&self) -> Mark {
        Mark(self.last)
    }

    /// Forgets what waited at `mark` and has not changed again since.
    pub(super) fn forget_until(&mut self, mark: Mark) {
        let later = self.by_order.split_off(&mark.0.saturating_add(1));
        for path in std::mem::replace(&mut self.by_order, later).values() {
            self.order_of.remove(path);
        }
    }

    pub(super) fn clear(&mut self) {
        self.by_order = BTreeMap::new();
        self.order_of = HashMap::new();
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_order.is_empty()
    }
}
