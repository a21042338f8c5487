//! The one judgement, the same for the proxy and for whoever embeds the library.
//!
//! It is the gate's examination, timed, with memory having its say between the credential
//! and the decision ([`standing`]).
//!
//! Nothing in it waits or logs: a lane for requests other than Pingora's can use it as it is.

mod answer;
mod binder;
mod carried;
mod details;
#[cfg(test)]
mod scene;
mod standing;

use std::cell::{Cell, RefCell};
use std::time::{Duration, Instant};

use crate::clock::UnixTime;
use crate::dialect::{Credential, Dialect, Reason, Rejection};
use crate::gate::{Asked, Outcome, Prover, Recalled, RequestView, Verdict, examine_with};
use crate::identity::Identity;
use crate::plan::{KeySets, Plan, Proof};
use crate::store::Memory;

pub use answer::Reader;
pub use binder::{Binder, Handed};
pub use carried::{Carried, Shown};

/// What a judgement came to.
#[derive(Clone, Debug)]
pub struct Judgement<'p> {
    /// Whether the request is to be forwarded, with which edits and on whose behalf; or
    /// refused, and why.
    pub verdict: Verdict<'p>,
    /// The credential was turned away for a key that is not there, and these sets may bring
    /// it: once they have been fetched anew, judging again may come to something else.
    pub lacks_key: Option<&'p KeySets>,
    /// What it has to do with sessions.
    pub carried: Carried,
    /// The mechanism (`jwt` or `hmac`) that judged a credential, and how long that took.
    pub verification: Option<(&'static str, Duration)>,
}

/// Judges one request under one Plan, by what is remembered, at one moment.
pub fn judge<'p>(
    plan: &'p Plan,
    memory: &Memory,
    request: &RequestView<'_>,
    now: UnixTime,
) -> Judgement<'p> {
    let prover = Witness {
        memory,
        took: Cell::default(),
        lacks_key: Cell::default(),
        carried: RefCell::default(),
    };
    let verdict = examine_with(plan, request, now, &prover);
    Judgement {
        verdict,
        lacks_key: prover.lacks_key.get(),
        verification: prover.took.get(),
        carried: prover.carried.into_inner(),
    }
}

impl Judgement<'_> {
    /// What binds the session of an answered request to the identity that it proved; none
    /// where there is nothing to bind.
    pub fn binder(&self, memory: &Memory, now: UnixTime) -> Option<Binder> {
        let Outcome::Forward(forward) = &self.verdict.outcome else { return None };
        let identity = forward.visitor.identity()?;
        let clean = forward.overlooked.is_none();
        let site = self.verdict.site.filter(|_| clean)?;
        let dialect = site.proofs(&site.settings).nth(self.verdict.way)?.dialect;
        Binder::of(site, dialect, memory, identity, &self.carried, now)
    }
}

/// The dialect's own proof, timed, and memory.
struct Witness<'p, 'm> {
    memory: &'m Memory,
    took: Cell<Option<(&'static str, Duration)>>,
    lacks_key: Cell<Option<&'p KeySets>>,
    carried: RefCell<Carried>,
}

impl<'p> Prover<'p> for Witness<'p, '_> {
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

    fn recall(&self, asked: Asked<'_, 'p>) -> Recalled {
        standing::recall(self.memory, asked, &mut self.carried.borrow_mut())
    }
}
