//! `countersign demo` in a real browser: every button, both panes, keyboard, dark, light
//! and phone, and what axe-core says of it. And a real chat server behind Countersign.
//!
//! Needs Chromium (`apt-get install -y chromium`) and fails without it. Pictures of what
//! was seen are left in `target/browser/`.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that meets what it does not expect has failed"
)]

mod buttons;
mod chromium;
mod crm;
mod demo;
mod looks;
mod matrix;
#[path = "../it/support/packages.rs"]
#[allow(dead_code, reason = "npm's are for the other tests")]
mod packages;
mod people;
mod synapse;
