//! The index over HTTP.
