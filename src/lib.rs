//! Countersign stands in front of a chat backend and vouches for who is chatting.
//!
//! The crate's story, in the order a request meets it: [`gate`] examines a request under
//! a [`plan::Plan`], asks a [`dialect`] to verify the credential, and computes what must
//! change before the backend sees it.

pub mod admin;
pub mod assertion;
pub mod cli;
pub mod clock;
pub mod config;
pub mod decision;
pub mod details;
pub mod dialect;
pub mod drain;
pub mod gate;
pub mod identity;
pub mod judge;
pub mod jwks;
pub mod live;
pub mod outbound;
pub mod pace;
pub mod plan;
pub mod proxy;
pub mod refusal;
pub mod reload;
pub mod secret;
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod webhook;
