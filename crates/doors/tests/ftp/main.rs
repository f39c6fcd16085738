//! The FTP door over real sockets: what it answers, what it refuses, and what it outlasts.

#![allow(clippy::unwrap_used, reason = "what can't be had fails the test")]

mod fixture;

mod access;
mod limits;
mod names;
mod transfers;
mod verbs;
