//! The closed sets that metric labels and log fields are drawn from, and which of their
//! combinations a site can produce at all.

use crate::dialect::{AudienceRule, Carrier, KeySelection, Mechanism, Reason};
use crate::gate::{Fault, Mode};
use crate::plan::{Proof, Settings, Site};

macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident $word:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant,)* }

        impl $name {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The word in metric labels and log fields.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }
        }
    };
}

words! {
    /// How a judgement of identity went.
    Decision {
        /// Forwarded as verified.
        Verified "verified",
        /// Forwarded as a guest.
        Guest "guest",
        /// Refused.
        Rejected "rejected",
    }
}

words! {
    /// Why the backend gave no answer.
    UpstreamError {
        /// Its name has no address.
        Dns "dns",
        /// No connection.
        Connect "connect",
        /// No answer in time.
        Timeout "timeout",
        /// The connection ended early.
        Reset "reset",
        /// No TLS handshake.
        Tls "tls",
        /// An answer that is not HTTP.
        Protocol "protocol",
    }
}

words! {
    /// What was done with the store.
    StoreOperation {
        /// All that was kept was read, at the start or after an outage.
        Load "load",
        /// A change was made durable, for somebody who waited.
        Write "write",
        /// Changes were kept, those of the background among them.
        Commit "commit",
        /// What is over was removed.
        Sweep "sweep",
        /// A session was looked for that another replica may have bound.
        Find "find",
    }
}

words! {
    /// Who ended a WebSocket, or cut an answer that streamed.
    CloseReason {
        /// The client.
        Client "client",
        /// The backend.
        Backend "backend",
        /// Nothing was said for `timeouts.websocket_idle`.
        Idle "idle",
        /// Countersign is shutting down.
        Drain "drain",
        /// The connection broke.
        Aborted "aborted",
        /// Its proof expired (`live.on_expiry: close`).
        Expired "expired",
        /// Its identity logged out, or the key that proved it is in force no more.
        Revoked "revoked",
        /// Its identity was banned.
        Banned "banned",
        /// A reload lets such guests in no more.
        Narrowed "narrowed",
        /// Its identity opened more than `live.max_connections_per_identity`.
        TooMany "too_many",
        /// The admin API.
        Operator "operator",
    }
}

words! {
    /// How waiting on the network before a judgement ended.
    Waited {
        /// What was waited for came.
        Success "success",
        /// It could not be had.
        Failure "failure",
        /// It did not come in time.
        Timeout "timeout",
    }
}

/// One judgement, as it is counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Decided {
    /// Whose credential was judged, by its position among the site's dialects.
    pub way: usize,
    /// The mode in force.
    pub mode: Mode,
    /// How it went.
    pub decision: Decision,
    /// Why, unless verified.
    pub reason: Option<Reason>,
}

impl Decided {
    /// The reason's word, `none` when verified.
    pub const fn reason(self) -> &'static str {
        match self.reason {
            Some(reason) => reason.code(),
            None => "none",
        }
    }
}

/// Values of the `field` label of `headers_omitted_total`.
pub const FIELDS: &[&str] = &["claimed", "details", "attributes", "email", "name", "assertion"];

/// Every judgement that a site can come to. Bans, logouts, sessions and limits are not
/// among them: nothing in this version makes one.
pub fn possible(site: &Site) -> Vec<Decided> {
    let routes = site.routes.0.iter().map(|route| &route.settings);
    let mut all = Vec::new();
    for settings in std::iter::once(&site.settings).chain(routes) {
        let mode = settings.mode;
        let mut add = |way, decision, reasons: &[Reason]| {
            let found = reasons.iter().map(|reason| Some(*reason));
            all.extend(found.map(|reason| Decided { way, mode, decision, reason }));
        };
        if mode == Mode::Off || settings.allowed_origins.is_empty() {
            // Here preflights go to the backend, unasked.
            add(0, Decision::Guest, &[Reason::NotChecked]);
        }
        let (of_absent, of_bad) = match mode {
            Mode::Off => continue,
            Mode::Require => (Decision::Rejected, Decision::Rejected),
            Mode::Prefer => (Decision::Guest, Decision::Rejected),
            Mode::Accept | Mode::Observe => (Decision::Guest, Decision::Guest),
        };
        add(0, of_absent, &absent_reasons(site, settings));
        for proof in site.proofs(settings) {
            add(proof.way, of_bad, &bad_reasons(&proof, settings));
        }
        let verified = |way| Decided { way, mode, decision: Decision::Verified, reason: None };
        all.extend((0..=site.accepts.len()).map(verified));
    }
    all
}

/// Status codes that Countersign itself answers on a site, and the one everybody expects.
pub fn possible_statuses(site: &Site) -> Vec<u16> {
    let faults = Fault::ALL.iter().filter(|fault| **fault != Fault::UnknownSite);
    let refusals = possible(site).into_iter().filter(|one| one.decision == Decision::Rejected);
    let refusals = refusals.filter_map(|one| one.reason).map(Reason::status);
    [200].into_iter().chain(faults.map(|fault| fault.status())).chain(refusals).collect()
}

/// "No credential", in its two words.
fn absent_reasons(site: &Site, settings: &Settings) -> Vec<Reason> {
    let hash = matches!(site.dialect.mechanism, Mechanism::Hmac(_));
    let fields = !site.fields.is_empty() && !settings.keep_unsigned;
    match hash || fields {
        true => vec![Reason::Missing, Reason::Unsigned],
        false => vec![Reason::Missing],
    }
}

fn bad_reasons(proof: &Proof<'_>, settings: &Settings) -> Vec<Reason> {
    use Reason as R;
    let mut reasons = vec![
        R::Ambiguous,
        R::TooLarge,
        R::Malformed,
        R::KeyExpired,
        R::BadSignature,
        R::MissingClaim,
        R::InvalidClaim,
        R::PlaceholderIdentity,
    ];
    let cookies =
        proof.sources.iter().any(|source| matches!(source.carrier, Carrier::Cookie { .. }));
    if cookies || !settings.allowed_origins.is_empty() {
        reasons.push(R::OriginNotAllowed);
    }
    if !proof.key_sets.is_empty() {
        reasons.push(R::Unavailable);
    }
    if let Mechanism::Jwt(rules) = &proof.dialect.mechanism {
        reasons.extend([R::UnsupportedAlgorithm, R::Expired, R::NotYetValid]);
        let by_kid = !matches!(rules.key, KeySelection::Any | KeySelection::KidOrAny);
        let rule = [
            (by_kid, R::UnknownKey),
            (rules.claims.audience != AudienceRule::None, R::WrongAudience),
            (rules.claims.issuer.is_some(), R::WrongIssuer),
            (rules.max_lifetime.is_some(), R::LifetimeTooLong),
        ];
        reasons.extend(rule.into_iter().filter(|(holds, _)| *holds).map(|(_, reason)| reason));
    }
    reasons
}
