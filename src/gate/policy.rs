//! The mode's one total match: what was found becomes what is done.
//!
//! | finding | `require` | `prefer` | `accept` | `observe` | `off` |
//! |---|---|---|---|---|---|
//! | absent | refused | guest | guest | guest, counted | guest, not checked |
//! | rejected | refused | refused | guest, overlooked | guest, counted | guest, not checked |
//! | barred | refused | refused | refused if banned or revoked, else guest | verified, counted | guest, not checked |
//! | proven | verified | verified | verified | verified | guest, not checked |
//!
//! Barred is who has proven an identity, now or earlier, and is kept out all the same: a
//! ban, a logout, a session of somebody else. Bans and logouts hold in `accept` too.

use serde::{Deserialize, Serialize};

use super::Refusal;
use crate::dialect::{Reason, Rejection};
use crate::identity::{Identity, Standing};

/// Who is let through (per site, overridable per route).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every visitor is verified.
    Require,
    /// Guests are welcome, forgeries are not.
    #[default]
    Prefer,
    /// Nobody is turned away.
    Accept,
    /// A dry run of `require`.
    Observe,
    /// Identity is not looked at.
    Off,
}

impl Mode {
    /// Every mode.
    pub const ALL: &[Mode] = &[Self::Require, Self::Prefer, Self::Accept, Self::Observe, Self::Off];

    /// Its word in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Prefer => "prefer",
            Self::Accept => "accept",
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }

    /// Whether spent credentials and unproven identity fields leave the request; `observe`
    /// and `off` forward it as it came.
    pub const fn cleans(self) -> bool {
        match self {
            Self::Require | Self::Prefer | Self::Accept => true,
            Self::Observe | Self::Off => false,
        }
    }
}

/// What the examination found out about a request's identity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Finding {
    /// There is no credential.
    Absent {
        /// But there are fields that claim an identity.
        unsigned: bool,
    },
    /// There is one, and it proves nothing.
    Rejected(Rejection),
    /// An identity is proven, but may not pass.
    Barred(Identity, Rejection),
    /// It proves an identity.
    Proven(Identity),
}

/// What is done about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Send the request on.
    Forward {
        /// As whose.
        standing: Standing,
        /// `observe`: what `require` would have refused with; `accept`: why a credential was
        /// bad.
        overlooked: Option<Box<Refusal>>,
    },
    /// Turn it away.
    Refuse(Refusal),
}

/// Decides what a mode does about a finding.
pub fn decide(mode: Mode, finding: Finding) -> Decision {
    let guest = |reason, overlooked: Option<Refusal>| Decision::Forward {
        standing: Standing::Guest(reason),
        overlooked: overlooked.map(Box::new),
    };
    match (mode, finding) {
        (Mode::Off, _) => guest(Reason::NotChecked, None),

        (_, Finding::Proven(identity)) => {
            Decision::Forward { standing: Standing::Verified(identity), overlooked: None }
        }

        (Mode::Require, Finding::Absent { unsigned }) => Decision::Refuse(absence(unsigned)),
        (Mode::Prefer | Mode::Accept, Finding::Absent { unsigned }) => {
            guest(absent(unsigned), None)
        }
        (Mode::Observe, Finding::Absent { unsigned }) => {
            guest(absent(unsigned), Some(absence(unsigned)))
        }

        (Mode::Require | Mode::Prefer, Finding::Rejected(why) | Finding::Barred(_, why)) => {
            Decision::Refuse(refusal(why))
        }
        (Mode::Accept, Finding::Rejected(why) | Finding::Barred(_, why)) if holds(why.reason) => {
            Decision::Refuse(refusal(why))
        }
        (Mode::Observe, Finding::Barred(identity, why)) => Decision::Forward {
            standing: Standing::Verified(identity),
            overlooked: Some(Box::new(refusal(why))),
        },
        (Mode::Accept | Mode::Observe, Finding::Rejected(why) | Finding::Barred(_, why)) => {
            guest(why.reason, Some(refusal(why)))
        }
    }
}

/// Whether it holds for whoever once proved the identity, in a migration too.
pub(crate) const fn holds(reason: Reason) -> bool {
    matches!(reason, Reason::Banned | Reason::Revoked)
}

fn refusal(why: Rejection) -> Refusal {
    Refusal { key: why.key, ..Refusal::identity(why.reason, why.detail) }
}

const fn absent(unsigned: bool) -> Reason {
    if unsigned { Reason::Unsigned } else { Reason::Missing }
}

fn absence(unsigned: bool) -> Refusal {
    let detail = if unsigned {
        "the request names an identity but carries no credential that proves it"
    } else {
        "this place requires a signed identity and the request carries none"
    };
    Refusal::identity(absent(unsigned), detail)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::identity::Proven;

    /// A row: mode, finding, and the outcome as (word, overlooked).
    #[test]
    fn every_mode_treats_every_finding_as_the_table_says() {
        use Reason::*;
        let ada = || Identity::attest(Proven { id: Some("ada".into()), ..Proven::default() });
        let missing = Finding::Absent { unsigned: false };
        let unsigned = Finding::Absent { unsigned: true };
        let bad = |reason| Finding::Rejected(Rejection::new(reason, "why"));
        let proven = Finding::Proven(ada());
        let barred = |reason| Finding::Barred(ada(), Rejection::new(reason, "why"));
        let counted = |reason| (None, None, Some(reason));

        let refuse = |reason| (Some(reason), None, None);
        let guest = |reason, overlooked| (None, Some(reason), overlooked);
        let verified = (None, None, None);

        let rows = [
            (Mode::Require, missing.clone(), refuse(Missing)),
            (Mode::Require, unsigned.clone(), refuse(Unsigned)),
            (Mode::Require, bad(Expired), refuse(Expired)),
            (Mode::Require, bad(Ambiguous), refuse(Ambiguous)),
            (Mode::Require, bad(OriginNotAllowed), refuse(OriginNotAllowed)),
            (Mode::Require, proven.clone(), verified),
            (Mode::Prefer, missing.clone(), guest(Missing, None)),
            (Mode::Prefer, unsigned.clone(), guest(Unsigned, None)),
            (Mode::Prefer, bad(Expired), refuse(Expired)),
            (Mode::Prefer, bad(Ambiguous), refuse(Ambiguous)),
            (Mode::Prefer, bad(OriginNotAllowed), refuse(OriginNotAllowed)),
            (Mode::Prefer, proven.clone(), verified),
            (Mode::Accept, missing.clone(), guest(Missing, None)),
            (Mode::Accept, unsigned.clone(), guest(Unsigned, None)),
            (Mode::Accept, bad(Expired), guest(Expired, Some(Expired))),
            (Mode::Accept, bad(Ambiguous), guest(Ambiguous, Some(Ambiguous))),
            (Mode::Accept, bad(OriginNotAllowed), guest(OriginNotAllowed, Some(OriginNotAllowed))),
            (Mode::Accept, proven.clone(), verified),
            (Mode::Observe, missing.clone(), guest(Missing, Some(Missing))),
            (Mode::Observe, unsigned.clone(), guest(Unsigned, Some(Unsigned))),
            (Mode::Observe, bad(Expired), guest(Expired, Some(Expired))),
            (Mode::Observe, bad(Ambiguous), guest(Ambiguous, Some(Ambiguous))),
            (Mode::Observe, bad(OriginNotAllowed), guest(OriginNotAllowed, Some(OriginNotAllowed))),
            (Mode::Observe, proven.clone(), verified),
            (Mode::Require, barred(Banned), refuse(Banned)),
            (Mode::Require, barred(SessionConflict), refuse(SessionConflict)),
            (Mode::Prefer, barred(Revoked), refuse(Revoked)),
            (Mode::Prefer, barred(Replayed), refuse(Replayed)),
            (Mode::Accept, barred(Banned), refuse(Banned)),
            (Mode::Accept, barred(Revoked), refuse(Revoked)),
            (Mode::Accept, bad(Banned), refuse(Banned)),
            (Mode::Accept, barred(Replayed), guest(Replayed, Some(Replayed))),
            (Mode::Accept, barred(SessionConflict), guest(SessionConflict, Some(SessionConflict))),
            (Mode::Observe, barred(Banned), counted(Banned)),
            (Mode::Observe, barred(SessionConflict), counted(SessionConflict)),
            (Mode::Observe, bad(Banned), guest(Banned, Some(Banned))),
            (Mode::Off, barred(Banned), guest(NotChecked, None)),
            (Mode::Off, missing, guest(NotChecked, None)),
            (Mode::Off, unsigned, guest(NotChecked, None)),
            (Mode::Off, bad(Expired), guest(NotChecked, None)),
            (Mode::Off, proven, guest(NotChecked, None)),
        ];
        for (mode, finding, expected) in rows {
            let told = match decide(mode, finding.clone()) {
                Decision::Refuse(refusal) => match refusal.cause {
                    crate::gate::Cause::Identity(reason) => (Some(reason), None, None),
                    crate::gate::Cause::Fault(_) => panic!("a judgement of identity is no fault"),
                },
                Decision::Forward { standing: Standing::Guest(reason), overlooked } => {
                    (None, Some(reason), overlooked.and_then(|refusal| refusal.reason()))
                }
                Decision::Forward { standing: Standing::Verified(identity), overlooked } => {
                    assert_eq!(identity, ada());
                    (None, None, overlooked.and_then(|refusal| refusal.reason()))
                }
            };
            assert_eq!(told, expected, "{mode:?} {finding:?}");
        }
    }

    #[test]
    fn a_refusal_keeps_the_sentence_and_the_key_also_where_it_is_overlooked() {
        let key: std::sync::Arc<str> = "2026-11".into();
        for mode in [Mode::Require, Mode::Prefer, Mode::Accept, Mode::Observe] {
            let why = Rejection::new(Reason::Expired, "expired 3 s ago").with_key(&key);
            let refusal = match decide(mode, Finding::Rejected(why)) {
                Decision::Refuse(refusal) => refusal,
                Decision::Forward { overlooked, .. } => *overlooked.expect("it is not forgotten"),
            };
            assert_eq!(refusal.detail, "expired 3 s ago", "{mode:?}");
            assert_eq!(refusal.key.as_ref(), Some(&key), "{mode:?}");
            assert_eq!(refusal.status(), 401, "{mode:?}");
        }
    }
}
