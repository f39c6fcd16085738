//! Many sources, one content: what is asked of whom is decided in `plan`, done in `run` and `source`.
//!
//! Invariant: the decisions have no I/O and the I/O makes no decisions.

mod plan;

mod answer;
mod bundle;
mod line;
mod news;
mod pool;
mod request;
mod run;
mod source;

pub(crate) use bundle::Errand as BundleErrand;
pub use pool::Pool;
pub(crate) use run::{End, Swarm};

pub(crate) use plan::{Outcome, Ranges};
