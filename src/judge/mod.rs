//! The one judgement, the same for the proxy and for whoever embeds the library.
//!
//! Today it is the gate's examination, timed. What a judgement remembers (bans, logouts,
//! sessions, verdicts of tokens seen before) will stand between the credential and the
//! decision here, so callers need not know of it.
//!
//! Nothing in it waits or logs: a lane for requests other than Pingora's can use it as it is.

use std::cell::Cell;
use std::time::{Duration, Instant};

use crate::clock::UnixTime;
use crate::dialect::{Credential, Dialect, Keyring, Rejection};
use crate::gate::{Prover, RequestView, Verdict, examine_with};
use crate::identity::Identity;
use crate::plan::Plan;

/// What a judgement came to.
#[derive(Clone, Debug)]
pub struct Judgement<'p> {
    /// Whether the request is to be forwarded, with which edits and on whose behalf; or
    /// refused, and why.
    pub verdict: Verdict<'p>,
    /// The mechanism (`jwt` or `hmac`) that judged a credential, and how long that took.
    pub verification: Option<(&'static str, Duration)>,
}

/// Judges one request under one Plan at one moment.
pub fn judge<'p>(plan: &'p Plan, request: &RequestView<'_>, now: UnixTime) -> Judgement<'p> {
    let prover = Timed::default();
    let verdict = examine_with(plan, request, now, &prover);
    Judgement { verdict, verification: prover.took.get() }
}

/// The dialect's own proof, timed.
#[derive(Default)]
struct Timed {
    took: Cell<Option<(&'static str, Duration)>>,
}

impl Prover for Timed {
    fn verify(
        &self,
        dialect: &Dialect,
        credential: &Credential<'_>,
        keyring: &Keyring,
        now: UnixTime,
    ) -> Result<Identity, Rejection> {
        let begun = Instant::now();
        let verified = dialect.verify(credential, keyring, now);
        self.took.set(Some((dialect.scheme(), begun.elapsed())));
        verified
    }

    fn has_shape(&self, dialect: &Dialect, value: &str) -> bool {
        dialect.has_shape(value)
    }
}
