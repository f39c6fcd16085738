//! The door over real sockets: one module a promise, all through one fixture.

#![expect(clippy::unwrap_used, reason = "in a test, what must not fail ends it")]

mod fixture;

mod batches;
mod connections;
mod document;
mod flow;
mod guards;
mod leases;
mod metrics;
mod pages;
mod partials;
mod refusals;
mod sessions;
mod starting;
