//! What a request shows besides what it comes to: its sessions, and what is to be remembered of
//! it.

use std::sync::Arc;

use crate::store::{Binding, Change, Digest};

/// What was learnt of a request besides the finding.
#[derive(Clone, Debug, Default)]
pub struct Carried {
    /// The session tokens that the request carries, as memory knows them.
    pub sessions: Vec<Shown>,
    /// The credential, if something will last that rests on it.
    pub credential: Option<Digest>,
    /// What the session stands for, where that alone verified the visitor.
    pub by_session: Option<Arc<Binding>>,
    /// Sessions that only other replicas may know.
    pub unknown: Vec<Digest>,
    /// What is to be remembered of the credential, whatever becomes of the request.
    pub used: Option<Change>,
}

/// A session's token that a request shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shown {
    /// As memory knows it.
    pub digest: Digest,
    /// Countersign's own.
    pub own: bool,
    /// A page of another site may have caused it to be sent.
    pub caused: bool,
}

impl Carried {
    /// The sessions' digests.
    pub fn digests(&self) -> impl Iterator<Item = Digest> {
        self.sessions.iter().map(|shown| shown.digest)
    }

    /// Those that are the backend's.
    pub fn backends(&self) -> impl Iterator<Item = Digest> {
        self.sessions.iter().filter(|shown| !shown.own).map(|shown| shown.digest)
    }
}
