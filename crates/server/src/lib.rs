//! The index's HTTP door: its routes, its sessions, and the clock that ends leases.
//!
//! Architecture invariants: the caller owns the socket and the end ([`run`] takes both). Handlers parse, ask the
//! [`peerage_index::Index`] from a blocking thread and map its answer; they decide nothing. Whatever a stranger can
//! make grow (connections, headers, bodies, memory held for uploads, sessions, running calls) has a named limit.
//! No address comes from a header: a peer's is that of its own connection.

mod run;

mod accept;
mod app;
mod config;
mod routes;

mod address;
mod body;
mod challenge;
mod descriptors;
mod error;
mod extract;
mod guard;
mod html;
mod observe;
mod pace;
mod session;
mod slots;
mod stall;

pub use config::{Config, Slowest};
pub use run::run;
