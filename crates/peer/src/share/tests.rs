//! Real folders shared: what is found, what is left out, and what follows when they change.

mod again;
mod change;
mod find;
mod fixture;
