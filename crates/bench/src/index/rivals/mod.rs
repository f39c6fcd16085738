//! Rivals: general search engines with the same names, live sources and queries, each asked for the 50 contents with the most live
//! sources.
//!
//! Invariants: a rival that is missing or fails is told with its reason and stops nobody. Each is given the words of names as our terms are, so
//! that nobody's way of splitting counts. Each is searched while it stands still; those that can be are then searched
//! while they are written to, as fast as ours where they keep up.

#[cfg(feature = "rivals")]
mod compare;
#[cfg(feature = "rivals")]
mod documents;
#[cfg(feature = "rivals")]
mod postgres;
#[cfg(feature = "rivals")]
mod sqlite;
#[cfg(feature = "rivals")]
mod tantivy;
#[cfg(feature = "rivals")]
mod writing;

/// Whether this build has them.
pub(crate) const ARE_BUILT_IN: bool = cfg!(feature = "rivals");

#[cfg(feature = "rivals")]
pub(crate) use compare::{run, tools};

#[cfg(not(feature = "rivals"))]
pub(crate) use absent::{run, tools};

#[cfg(not(feature = "rivals"))]
mod absent {
    use anyhow::{Result, bail};

    use super::super::classes::Query;
    use super::super::search::Searched;
    use super::super::{Args, Setting};
    use crate::report::Section;
    use crate::tools::Tool;

    /// Refuses.
    pub(crate) fn run(_: &Setting<'_>, _: &[Query], _: &Searched, _: &Args) -> Result<Vec<Section>> {
        bail!("rivals are not built in")
    }

    /// No programs.
    pub(crate) fn tools(_: &Args) -> Vec<Tool> {
        Vec::new()
    }
}
