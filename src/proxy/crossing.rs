//! A request's way to its backend, as its journey remembers it.

use std::sync::Arc;

use super::lease::Way;
use crate::telemetry::UpstreamError;
use crate::upstream::{Cutter, Endpoint};

/// What is known of a request's way to its backend; nothing before it sets out.
#[derive(Debug, Default)]
pub struct Crossing {
    /// Whose turn it was among the backend's addresses.
    pub turn: Option<usize>,
    /// Which could not be reached.
    pub tried: Vec<Endpoint>,
    /// Which it goes to.
    pub endpoint: Option<Endpoint>,
    /// How Pingora gets there; none for WebSockets.
    pub way: Option<Arc<Way>>,
    /// What ends it from outside, made with the first way.
    pub cutter: Option<Arc<Cutter>>,
    /// Why the backend could not answer.
    pub error: Option<UpstreamError>,
}

impl Crossing {
    /// Whether it has been ended from outside.
    pub fn is_cut(&self) -> bool {
        self.cutter.as_ref().is_some_and(|cutter| cutter.is_cut())
    }

    /// Whether it goes over a connection that has served other requests.
    pub fn is_reused(&self) -> bool {
        self.way.as_ref().is_some_and(|way| way.is_reused())
    }
}
