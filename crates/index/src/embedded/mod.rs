//! The first engine: everything in this process's memory.
#[derive(Default)]
pub(crate) struct Embedded;
