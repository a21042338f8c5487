//! The examination, top to bottom: host → site → path → route → credential → finding →
//! policy → edits.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Method};

use super::claimed::Claims;
use super::host::Host;
use super::policy::{Decision, Finding, Mode, decide};
use super::query::Fate;
use super::source::{self, Found};
use super::spent::{self, Spent};
use super::{
    Edits, Fault, Forward, Outcome, Refusal, RequestView, Verdict, body, contract, forwarded,
    origin, path,
};
use crate::clock::UnixTime;
use crate::dialect::{Credential, Dialect, Keyring, Reason, Rejection};
use crate::identity::{Identity, Standing, Visitor};
use crate::plan::{Plan, Settings, Site};

/// Examines one request under one Plan at one moment.
///
/// # Cost
/// One credential verification; otherwise a few allocations for the injected headers.
pub fn examine<'p>(plan: &'p Plan, request: &RequestView<'_>, now: UnixTime) -> Verdict<'p> {
    examine_with(plan, request, now, &ByDialect)
}

/// Who proves: the dialect itself, or a stand-in in tests of the gate alone.
pub(super) trait Prover {
    fn verify(
        &self,
        dialect: &Dialect,
        credential: &Credential<'_>,
        keyring: &Keyring,
        now: UnixTime,
    ) -> Result<Identity, Rejection>;

    fn has_shape(&self, dialect: &Dialect, value: &str) -> bool;
}

struct ByDialect;

impl Prover for ByDialect {
    fn verify(
        &self,
        dialect: &Dialect,
        credential: &Credential<'_>,
        keyring: &Keyring,
        now: UnixTime,
    ) -> Result<Identity, Rejection> {
        dialect.verify(credential, keyring, now)
    }

    fn has_shape(&self, dialect: &Dialect, value: &str) -> bool {
        dialect.has_shape(value)
    }
}

pub(super) fn examine_with<'p>(
    plan: &'p Plan,
    request: &RequestView<'_>,
    now: UnixTime,
    prover: &impl Prover,
) -> Verdict<'p> {
    let trusted = request.peer.is_trusted(&plan.trusted_proxies);
    let inbound = Inbound::scan(request.headers, trusted);
    let mut verdict = Verdict {
        site: None,
        mode: None,
        outcome: Outcome::Preflight { allowed: false },
        stripped: inbound.stripped,
        distrusted: inbound.distrusted,
    };
    verdict.outcome = place(plan, request, &mut verdict)
        .and_then(|place| outcome(&place, plan, request, now, inbound, prover))
        .unwrap_or_else(Outcome::Refuse);
    verdict
}

/// Where a request arrives: whose it is and what holds there.
struct Place<'p, 'r> {
    host: Host<'r>,
    site: &'p Site,
    settings: &'p Settings,
}

fn place<'p, 'r>(
    plan: &'p Plan,
    request: &RequestView<'r>,
    verdict: &mut Verdict<'p>,
) -> Result<Place<'p, 'r>, Refusal> {
    let host = Host::of(request)?;
    let site = plan
        .hosts
        .find(&host.name)
        .and_then(|index| plan.sites.get(index))
        .ok_or_else(|| Refusal::fault(Fault::UnknownSite, "no site serves this host"))?;
    verdict.site = Some(site);
    // `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
    let whole = request.target == "*" && *request.method == Method::OPTIONS;
    if !whole && !request.target.starts_with('/') || request.target.contains('#') {
        return Err(Refusal::fault(Fault::BadRequest, "the request target is malformed"));
    }
    let settings = path::settings(site, request.path(), request.method)?;
    verdict.mode = Some(settings.mode);
    Ok(Place { host, site, settings })
}

fn outcome(
    place: &Place<'_, '_>,
    plan: &Plan,
    request: &RequestView<'_>,
    now: UnixTime,
    inbound: Inbound,
    prover: &impl Prover,
) -> Result<Outcome, Refusal> {
    let dialect = &place.site.dialect;
    let has_shape = |value: &str| prover.has_shape(dialect, value);
    let unasked = origin::is_preflight(request.method, request.headers);
    if unasked && !place.settings.allowed_origins.is_empty() {
        let allowed = origin::is_listed(request.headers, &place.settings.allowed_origins);
        return Ok(Outcome::Preflight { allowed });
    }
    let (decision, found) = if unasked || place.settings.mode == Mode::Off {
        (decide(Mode::Off, Finding::Absent { unsigned: false }), Found::default())
    } else {
        let found = source::find(request, &place.settings.sources, &dialect.mechanism, &has_shape);
        let verify = |credential: &Credential<'_>| {
            prover.verify(dialect, credential, &place.site.keyring, now)
        };
        let finding = finding(place, plan, request, &found, verify);
        (decide(place.settings.mode, finding), found)
    };
    let (standing, overlooked) = match decision {
        Decision::Refuse(refusal) => return Err(refusal),
        Decision::Forward { standing, overlooked } => (standing, overlooked),
    };

    let keep = place.settings.keep_unsigned || dialect.unsigned.keep;
    let mut body_limit = None;
    if place.settings.mode.cleans() && !keep && !dialect.unsigned.fields.is_empty() {
        body_limit = body::limit(request, plan.limits.body)?;
    }
    let spent = Spent::new(&place.settings.sources, &found, &has_shape)
        .filter(|_| !place.settings.forward_credential);
    let (visitor, oversized_claim, mut edits) = cleaned(place, request, standing, spent);
    forwarded::edit(request, &place.host, inbound.vouched, &mut edits);
    edits.remove.extend(inbound.remove);
    let omitted =
        contract::inject(place.site, &visitor, oversized_claim, request.request_id, &mut edits.set);
    Ok(Outcome::Forward(Box::new(Forward { visitor, edits, overlooked, omitted, body_limit })))
}

/// What the request's credential comes to. The order of the checks is the order of
/// [`Reason`]: presence, ambiguity, origin, size, then the dialect's own.
fn finding(
    place: &Place<'_, '_>,
    plan: &Plan,
    request: &RequestView<'_>,
    found: &Found<'_>,
    verify: impl Fn(&Credential<'_>) -> Result<Identity, Rejection>,
) -> Finding {
    let dialect = &place.site.dialect;
    let rejected =
        |reason, detail: Cow<'static, str>| Finding::Rejected(Rejection::new(reason, detail));
    if found.ambiguous {
        return rejected(Reason::Ambiguous, "the request carries two different credentials".into());
    }
    let origins = &place.settings.allowed_origins;
    if let Some(why) = origin::objection(request, &place.host, origins, found.only_cookies) {
        return rejected(Reason::OriginNotAllowed, why.into());
    }
    let (Some(credential), Some(proof)) = (&found.credential, found.proof()) else {
        let mut claims = Claims::new(&dialect.unsigned, &[]);
        claims.read(request);
        return Finding::Absent { unsigned: claims.identity };
    };
    let limit = plan.limits.credential.min(dialect.max_bytes());
    if proof.len() > limit {
        let length = proof.len();
        return rejected(
            Reason::TooLarge,
            format!("the credential holds {length} bytes; at most {limit} are accepted").into(),
        );
    }
    match verify(credential) {
        Ok(identity) => Finding::Proven(identity),
        Err(rejection) => Finding::Rejected(rejection),
    }
}

/// Takes the spent credential and unproven fields out of the request, where the mode cleans,
/// and collects what was claimed. Also says whether the claims were too many to keep.
fn cleaned(
    place: &Place<'_, '_>,
    request: &RequestView<'_>,
    standing: Standing,
    spent: Option<Spent<'_>>,
) -> (Visitor, bool, Edits) {
    let Place { site, settings, .. } = place;
    let mut edits = Edits::default();
    let mut visitor = Visitor { standing, claimed: None };
    if settings.mode == Mode::Off {
        return (visitor, false, edits);
    }
    let unsigned = &site.dialect.unsigned;
    let keep = settings.keep_unsigned || unsigned.keep;
    let proven = visitor.identity().map_or(&[][..], |identity| &identity.fields);
    let mut claims = (!keep).then(|| Claims::new(unsigned, proven));

    if !settings.mode.cleans() {
        if let Some(claims) = &mut claims {
            claims.read(request);
        }
    } else {
        let edited = request.query().and_then(|query| {
            super::query::edited(query, |parameter| {
                if spent.as_ref().is_some_and(|spent| spent.is_parameter(parameter)) {
                    return Fate::Cut;
                }
                claims.as_mut().map_or(Fate::Keep, |claims| claims.parameter(parameter))
            })
        });
        edits.target = edited.map(|query| match query.as_str() {
            "" => request.path().to_string(),
            query => format!("{}?{query}", request.path()),
        });
        if let Some(claims) = &mut claims {
            claims.headers(request, &mut edits);
        }
        if let Some(spent) = &spent {
            spent.leave_headers(request, &mut edits);
        }
        if !settings.forward_credential {
            spent::leave_referer(request, &settings.sources, &mut edits);
        }
    }
    let oversized = claims.as_ref().is_some_and(|claims| claims.oversized);
    visitor.claimed = claims.and_then(Claims::into_json);
    (visitor, oversized, edits)
}

/// What the header names alone say: looked at once, before anything is decided.
struct Inbound {
    /// Reserved names, and forwarding headers that nobody vouches for.
    remove: Vec<HeaderName>,
    /// Reserved fields.
    stripped: usize,
    /// A trusted peer sent forwarding headers.
    vouched: bool,
    /// A peer that is not trusted did.
    distrusted: bool,
}

impl Inbound {
    fn scan(headers: &HeaderMap, trusted: bool) -> Self {
        let mut inbound =
            Self { remove: Vec::new(), stripped: 0, vouched: false, distrusted: false };
        for name in headers.keys() {
            if contract::is_reserved(name.as_str()) {
                inbound.stripped += headers.get_all(name).iter().count();
                inbound.remove.push(name.clone());
                continue;
            }
            match forwarded::kind(name.as_str()) {
                None => continue,
                Some(forwarded::Kind::Kept) if trusted => {
                    inbound.vouched = true;
                    continue;
                }
                Some(forwarded::Kind::Kept | forwarded::Kind::Alias) => {
                    inbound.distrusted |= !trusted;
                }
                Some(forwarded::Kind::Never) => {}
            }
            inbound.remove.push(name.clone());
        }
        inbound
    }
}
