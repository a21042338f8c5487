//! What an examination asks of others: the dialect for proof, memory for what it knows.

use std::sync::Arc;

use super::policy::Finding;
use super::session::SessionToken;
use crate::clock::UnixTime;
use crate::dialect::{Credential, Dialect, Rejection};
use crate::identity::Identity;
use crate::plan::{Proof, Settings, Site};

/// Who proves: the dialect itself, or a stand-in in tests of the gate alone.
pub(crate) trait Prover<'p> {
    fn verify(
        &self,
        proof: &Proof<'p>,
        credential: &Credential<'_>,
        now: UnixTime,
    ) -> Result<Identity, Rejection>;

    fn has_shape(&self, dialect: &Dialect, value: &str) -> bool;

    /// What is remembered has its say: of whoever proved something, and of a session that
    /// the request carries.
    fn recall(&self, asked: Asked<'_, 'p>) -> Recalled;
}

/// What memory is asked.
pub(crate) struct Asked<'a, 'p> {
    /// Whose visitor it is.
    pub site: &'p Site,
    /// What holds for the request.
    pub settings: &'p Settings,
    /// What a credential came to, if there was one.
    pub presented: Option<Result<Identity, Rejection>>,
    /// That credential, as it was sent.
    pub credential: Option<&'a str>,
    /// The session tokens that the request carries.
    pub sessions: &'a [SessionToken<'a>],
    /// Why a cookie may not count in this request, if it may not.
    pub objection: Option<&'static str>,
    /// A page of another site may have caused the request: what cookies carry is bound to
    /// nothing that it brings.
    pub caused: bool,
    /// Whether the credential's digest is wanted: something will last that rests on it.
    pub keeps: bool,
    /// The moment.
    pub now: UnixTime,
}

/// What memory says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Recalled {
    /// What was found out, memory included.
    pub finding: Finding,
    /// The dialect that proved what a session stands for, where nothing else did.
    pub dialect: Option<Arc<str>>,
    /// What the website's server said of whoever the request is forwarded as.
    pub details: Option<Arc<str>>,
}

impl Recalled {
    /// A finding, and nothing besides.
    pub const fn of(finding: Finding) -> Self {
        Self { finding, dialect: None, details: None }
    }
}
