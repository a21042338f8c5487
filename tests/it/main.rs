//! The binary under test, over real sockets, in front of a real backend.
//!
//! One test binary for all of it: every binary links the whole proxy. What needs no process
//! is tested beside the code and in `tests/vectors.rs`.

mod admin;
mod backend;
mod carriers;
mod choosing;
mod claimed;
mod cli;
mod drain;
mod forwarded;
mod front;
mod idle;
mod limits;
mod matrix;
mod plain_pingora;
mod refusals;
mod reload;
mod secrecy;
mod semantics;
mod spoofing;
mod support;
mod websocket;
