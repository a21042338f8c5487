//! Countersign stands in front of a chat backend and vouches for who is chatting.
//!
//! The crate's story, in the order a request meets it: [`front`] reads a connection's first bytes,
//! [`proxy`] calls the gate's hooks in Pingora's phases, [`judge`] has memory ([`store`]) say its
//! word between credential and decision, and [`gate`] examines the request under a
//! [`plan::Plan`], asks a [`dialect`] to verify the credential, and computes what must change
//! before the backend sees it. What is refused becomes an answer in [`refusal`].
//!
//! Beside it, [`config`] makes a Plan of a text, [`reload`] puts the next one in force, and
//! [`gateway`] holds all of it together: for the binary (`server`, `cli`), and for whoever puts
//! the gate into a server of their own (`docs/embedding.md`, `examples/embed.rs`).
//!
//! The judgement alone needs neither Pingora nor a runtime:
//!
//! ```
//! use countersign::clock::UnixTime;
//! use countersign::config::{self, Options};
//! use countersign::gate::{Body, Outcome, Peer, RequestView};
//! use countersign::{judge, store};
//!
//! let text = "
//! version: 1
//! sites:
//!   support:
//!     upstream: http://127.0.0.1:3000
//!     dialect: jwt
//!     mode: require
//!     keys: [ { id: first, secret: { value: 5b0f4d8e61c2a97be3f04c6d1a28975e } } ]
//! ";
//! let plan = config::parse(text, std::path::Path::new("."), &Options::embedded())?;
//! let store = store::volatile::open().ok_or("no randomness")?;
//! store.memory().prepare(&plan);
//!
//! let mut headers = http::HeaderMap::new();
//! headers.insert("countersign-id", http::HeaderValue::from_static("admin"));
//! let request = RequestView {
//!     method: &http::Method::GET,
//!     target: "/chat",
//!     authority: Some("chat.acme.example"),
//!     headers: &headers,
//!     peer: Peer::Ip([192, 0, 2, 7].into()),
//!     tls: false,
//!     local_port: None,
//!     upgrade: false,
//!     request_id: "r-1",
//!     body: Body::Unseen,
//! };
//! let judgement = judge::judge(&plan, store.memory(), &request, UnixTime::now());
//! assert_eq!(judgement.verdict.stripped, 1, "a header that the client made up");
//! match judgement.verdict.outcome {
//!     Outcome::Forward(forward) => forward.edits.apply(&mut headers),
//!     Outcome::Refuse(refusal) => assert_eq!(refusal.code(), "missing"),
//!     Outcome::Preflight { .. } => {}
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Features
//!
//! - `server` (default): the binary with its command line, demo, admin interface and logger.
//! - `redis` (default): the store that several instances share.
//! - `otlp`: a span for each request, to a collector ([`otlp`]).
//!
//! The library starts no runtime and installs no logger, allocator or signal handler.

#[cfg(feature = "server")]
pub mod admin;
pub mod assertion;
#[cfg(feature = "server")]
pub mod cli;
pub mod clock;
pub mod config;
#[cfg(feature = "server")]
pub mod decision;
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
pub mod otlp;
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
pub mod translate;
pub mod upstream;
pub mod webhook;
