//! Countersign stands in front of a chat backend and vouches for who is chatting.
//!
//! The crate's story, in the order a request meets it: [`gate`] examines a request under
//! a [`plan::Plan`], asks a [`dialect`] to verify the credential, and computes what must
//! change before the backend sees it.

#[cfg(feature = "server")]
pub mod admin;
pub mod assertion;
#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
pub mod config;
pub(crate) mod details;
pub mod dialect;
pub mod drain;
pub mod front;
pub mod gate;
pub mod gateway;
pub mod identity;
pub mod judge;
pub(crate) mod jwks;
pub mod live;
pub(crate) mod outbound;
pub(crate) mod pace;
pub mod plan;
pub mod proxy;
pub mod readiness;
pub mod refusal;
pub mod reload;
pub mod secret;
#[cfg(feature = "server")]
pub mod server;
pub mod store;
pub mod telemetry;
pub mod upstream;
pub mod webhook;
