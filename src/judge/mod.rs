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
use crate::dialect::{Credential, Dialect, Keyring, Reason, Rejection};
use crate::gate::{Prover, RequestView, Verdict, examine_with};
use crate::identity::Identity;
use crate::plan::Plan;

/// What a judgement came to.
#[derive(Clone, Debug)]
pub struct Judgement<'p> {
    /// Whether the request is to be forwarded, with which edits and on whose behalf; or
    /// refused, and why.
    pub verdict: Verdict<'p>,
    /// The credential was turned away for a key that is not there, and the site fetches its
    /// keys: once they have been fetched anew, judging again may come to something else.
    pub lacks_key: bool,
    /// How long verifying the credential took, if one was verified.
    pub verification: Option<Duration>,
}

/// Judges one request under one Plan at one moment.
pub fn judge<'p>(plan: &'p Plan, request: &RequestView<'_>, now: UnixTime) -> Judgement<'p> {
    let prover = Timed::default();
    let verdict = examine_with(plan, request, now, &prover);
    let fetches = verdict.site.is_some_and(|site| !site.key_sets.is_empty());
    let lacks_key = fetches && prover.lacks_key.get();
    Judgement { verdict, lacks_key, verification: prover.took.get() }
}

/// The dialect's own proof, timed.
#[derive(Default)]
struct Timed {
    took: Cell<Option<Duration>>,
    lacks_key: Cell<bool>,
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
        self.took.set(Some(begun.elapsed()));
        if let Err(rejection) = &verified {
            self.lacks_key.set(match rejection.reason {
                Reason::Unavailable => true,
                Reason::UnknownKey | Reason::UnsupportedAlgorithm | Reason::BadSignature => {
                    dialect.names_unknown_key(credential, keyring)
                }
                _ => false,
            });
        }
        verified
    }

    fn has_shape(&self, dialect: &Dialect, value: &str) -> bool {
        dialect.has_shape(value)
    }
}
