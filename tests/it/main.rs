//! The binary under test, over real sockets, in front of a real backend.
//!
//! One test binary for all of it: every binary links the whole proxy. What needs no process
//! is tested beside the code and in `tests/vectors.rs`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that meets what it does not expect has failed"
)]

mod admin;
mod asked;
mod assertion;
mod backend;
mod bodies;
mod carriers;
mod chats;
mod choosing;
mod claimed;
mod cli;
mod damage;
mod decision;
mod demo;
mod details;
mod doctor;
mod drain;
mod embed;
mod ended;
mod endings;
mod events;
mod explain;
mod forwarded;
mod framing;
mod front;
mod gateways;
mod headers;
mod http2;
mod idle;
mod init;
mod inside;
mod kept;
mod key_sets;
mod limits;
mod live;
mod matrix;
#[cfg(feature = "otlp")]
mod otlp;
#[cfg(feature = "redis")]
mod outages;
#[cfg(feature = "redis")]
mod outbox_redis;
mod pipelining;
mod plain_pingora;
mod readers;
mod readme;
mod receivers;
mod refusals;
mod reload;
mod replay;
#[cfg(feature = "redis")]
mod replicas;
mod round_trip;
mod secrecy;
mod semantics;
mod session_answers;
mod sessions;
mod severing;
mod signers;

mod spoofing;
#[cfg(feature = "redis")]
mod store_redis;
mod subprotocols;
mod support;
mod translate;
mod tunnel;
mod upstream;
mod vendors;
mod verbs;
mod webhooks_admin;
mod websocket;
