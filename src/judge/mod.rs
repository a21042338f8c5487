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
use crate::dialect::{Credential, Dialect, Reason, Rejection};
use crate::gate::{Prover, RequestView, Verdict, examine_with};
use crate::identity::Identity;
use crate::plan::{KeySets, Plan, Proof};

/// What a judgement came to.
#[derive(Clone, Debug)]
pub struct Judgement<'p> {
    /// Whether the request is to be forwarded, with which edits and on whose behalf; or
    /// refused, and why.
    pub verdict: Verdict<'p>,
    /// The credential was turned away for a key that is not there, and these sets may bring
    /// it: once they have been fetched anew, judging again may come to something else.
    pub lacks_key: Option<&'p KeySets>,
    /// The mechanism (`jwt` or `hmac`) that judged a credential, and how long that took.
    pub verification: Option<(&'static str, Duration)>,
}

/// Judges one request under one Plan at one moment.
pub fn judge<'p>(plan: &'p Plan, request: &RequestView<'_>, now: UnixTime) -> Judgement<'p> {
    let prover = Timed::default();
    let verdict = examine_with(plan, request, now, &prover);
    Judgement { verdict, lacks_key: prover.lacks_key.get(), verification: prover.took.get() }
}

/// The dialect's own proof, timed.
#[derive(Default)]
struct Timed<'p> {
    took: Cell<Option<(&'static str, Duration)>>,
    lacks_key: Cell<Option<&'p KeySets>>,
}

impl<'p> Prover<'p> for Timed<'p> {
    fn verify(
        &self,
        proof: &Proof<'p>,
        credential: &Credential<'_>,
        now: UnixTime,
    ) -> Result<Identity, Rejection> {
        let begun = Instant::now();
        let (dialect, keys) = (proof.dialect, proof.keys());
        let verified = dialect.verify(credential, &keys, now);
        self.took.set(Some((dialect.scheme(), begun.elapsed())));
        if let Err(rejection) = &verified {
            let lacks_key = match rejection.reason {
                Reason::Unavailable => true,
                Reason::UnknownKey | Reason::UnsupportedAlgorithm | Reason::BadSignature => {
                    dialect.names_unknown_key(credential, &keys)
                }
                _ => false,
            };
            self.lacks_key.set(Some(proof.key_sets).filter(|sets| lacks_key && !sets.is_empty()));
        }
        verified
    }

    fn has_shape(&self, dialect: &Dialect, value: &str) -> bool {
        dialect.has_shape(value)
    }
}
