//! The index's HTTP door: its routes, its sessions, and the clock that ends leases.
//!
//! Architecture invariants: the caller owns the socket and the end ([`run`] takes both). Handlers parse, ask the
//! [`peerage_index::Index`] from a thread that may block, or what it can tell at once, and map its answer; they decide
//! nothing. Whatever a stranger can make grow (connections, headers, bodies, memory held for uploads, sessions, running calls) has a named limit.
//! An index that still reads its store has an open door that says so, and nothing of it is asked before it is whole.
//! No address comes from a header: a peer's is that of its own connection.

mod run;

mod accept;
mod app;
mod config;
mod opening;
mod routes;

mod address;
mod body;
mod challenge;
mod descriptors;
mod desk;
mod encoded;
mod error;
mod extract;
mod guard;
mod html;
mod metrics;
mod observe;
mod pace;
mod session;
mod slots;
mod stall;

pub use config::{Config, Slowest};
pub use opening::{Opening, Standing};
pub use run::{RunError, run};
