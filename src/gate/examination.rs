//! The examination, top to bottom: host → site → path → route → credential → finding →
//! policy → edits.

use std::sync::Arc;

use http::{Method, header};

use super::body::{Interest, Wanted};
use super::claimed::Claims;
use super::cleaning::{Cleaned, cleaned};
use super::content::Content;
use super::host::Host;
use super::inbound::Inbound;
use super::policy::{Decision, Finding, Mode, decide};
use super::presented::Presented;
use super::prover::{Asked, Prover, Recalled};
use super::reading::{content, sessions};
use super::session;
use super::source::Found;
use super::translated::{Arrived, translated};
use super::values::Values;
use super::verb::{self, Verb};
use super::{
    Body, Fault, Forward, Outcome, Refusal, RequestView, Verdict, contract, forwarded, origin, path,
};
use crate::clock::UnixTime;
use crate::dialect::{Credential, Dialect, Reason, Rejection};
use crate::identity::Identity;
use crate::plan::{Due, Plan, Proof, Settings, Site};

/// Examines one request under one Plan at one moment.
///
/// # Cost
/// One credential verification; otherwise a few allocations for the injected headers.
pub(crate) fn examine_with<'p>(
    plan: &'p Plan,
    request: &RequestView<'_>,
    now: UnixTime,
    prover: &impl Prover<'p>,
) -> Verdict<'p> {
    let trusted = request.peer.is_trusted(&plan.trusted_proxies);
    let inbound = Inbound::scan(request.headers, trusted, &plan.reserved);
    let mut verdict =
        Verdict { stripped: inbound.stripped, distrusted: inbound.distrusted, ..unplaced() };
    let place = place(plan, request, &mut verdict);
    verdict.outcome = place
        .and_then(|place| outcome(&place, plan, request, now, inbound, prover, &mut verdict.way))
        .unwrap_or_else(Outcome::Refuse);
    verdict
}

/// How much of a request's body must be known before it is judged; `None`: nothing, it
/// streams. Only the head is looked at.
pub fn wanted(plan: &Plan, request: &RequestView<'_>) -> Option<Wanted> {
    let place = place(plan, request, &mut unplaced()).ok()?;
    Interest::of(plan, place.site, place.settings, place.due)?.wanted(request)
}

fn unplaced<'p>() -> Verdict<'p> {
    Verdict {
        site: None,
        mode: None,
        way: 0,
        settings: None,
        verb: None,
        allowed_origins: Arc::default(),
        outcome: Outcome::Preflight { allowed: false },
        stripped: 0,
        distrusted: false,
    }
}

/// Where a request arrives: whose it is and what holds there.
pub(super) struct Place<'p, 'r> {
    host: Host<'r>,
    pub site: &'p Site,
    pub settings: &'p Settings,
    /// Which of the site's translations hold here.
    pub due: Due,
    verb: Option<Verb>,
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
    verdict.allowed_origins = site.settings.allowed_origins.clone();
    // `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
    let whole = request.target == "*" && *request.method == Method::OPTIONS;
    if !whole && !request.target.starts_with('/') || request.target.contains('#') {
        return Err(Refusal::fault(Fault::BadRequest, "the request target is malformed"));
    }
    // Its answer would show the client what only the backend may read (RFC 9110 §9.3.8).
    if *request.method == Method::TRACE {
        return Err(Refusal::fault(Fault::BadRequest, "TRACE requests are not forwarded"));
    }
    let verb = Verb::of(plan, request)?;
    let (settings, due) = match verb {
        Some(_) => (&site.settings, Due::NONE),
        None => path::met(site, request.path(), request.method)?,
    };
    verdict.verb = verb;
    verdict.mode = Some(settings.mode);
    verdict.settings = Some(settings);
    verdict.allowed_origins = settings.allowed_origins.clone();
    Ok(Place { host, site, settings, due, verb })
}

fn outcome<'p>(
    place: &Place<'p, '_>,
    plan: &Plan,
    request: &RequestView<'_>,
    now: UnixTime,
    inbound: Inbound,
    prover: &impl Prover<'p>,
    way: &mut usize,
) -> Result<Outcome, Refusal> {
    let has_shape = |dialect: &Dialect, value: &str| prover.has_shape(dialect, value);
    let unasked = origin::is_preflight(request.method, request.headers);
    if place.verb.is_some() {
        let foreign = verb::is_foreign(request, &place.host, place.settings);
        if unasked {
            return Ok(Outcome::Preflight { allowed: !foreign });
        }
        if foreign {
            let detail = "the page's origin is none of this site's allowed_origins";
            return Err(Refusal::identity(Reason::OriginNotAllowed, detail));
        }
    } else if unasked && !place.settings.allowed_origins.is_empty() {
        let allowed = origin::is_listed(request.headers, &place.settings.allowed_origins);
        // Where somebody else answers the client, the backend says what is allowed.
        if !allowed || request.body != Body::Elsewhere {
            return Ok(Outcome::Preflight { allowed });
        }
    }
    let (kind, content) = content(place, plan, request)?;
    let (decision, presented, details) = if unasked || place.settings.mode == Mode::Off {
        (decide(Mode::Off, Finding::Absent { unsigned: false }), Presented::nothing(place), None)
    } else {
        let mut presented = Presented::find(place, request, &content, &has_shape);
        presented.sessions = sessions(place, request, &content)?;
        let recalled = recalled(place, plan, request, &content, &presented, now, prover);
        if let Some(name) = recalled.dialect {
            let earlier = place.site.proofs(place.settings).find(|it| it.dialect.name == name);
            presented.earlier = earlier.map(|proof| (proof, Found::default()));
        }
        *way = presented.vouching().0.way;
        (decide(place.settings.mode, recalled.finding), presented, recalled.details)
    };
    let (standing, overlooked) = match decision {
        Decision::Refuse(refusal) => return Err(refusal),
        Decision::Forward { standing, overlooked } => (standing, overlooked),
    };

    let spent = presented.spent(place.settings, &has_shape);
    let proof = presented.vouching().0;
    let Cleaned { mut visitor, oversized, mut edits, mut body } =
        cleaned(place, request, standing, &spent, &content, kind.as_ref())?;
    let by_session = presented.earlier.is_some();
    if !place.due.is_none() && place.settings.mode.cleans() {
        let arrived = Arrived { request, content: &content, kind: kind.as_ref() };
        translated(place, &arrived, &visitor, by_session, now, &mut edits, &mut body);
    }
    edits.measure(&body);
    visitor.details = details;
    // Not even what was found sound in such a field stays: it is not the client's to send.
    edits.append.retain(|(name, _)| !inbound.remove.contains(name));
    edits.remove.extend(inbound.remove);
    if let Some(session) = place.site.remembers.session.as_deref() {
        if session.cookie && place.settings.mode.cleans() {
            session::leave_cookie(request, &mut edits);
        }
        if session.reads_answers() && visitor.identity().is_some() {
            // What the backend compresses could not be read.
            edits.remove.push(header::ACCEPT_ENCODING);
        }
    }
    // Room for what is usually set, so that the list does not grow step by step. Behind a
    // proxy that vouches it is short enough for an allocator's quick lists.
    let usual = if inbound.vouched { 14 } else { 18 };
    edits.set.reserve(usual + place.site.headers.further());
    let (values, set) = (&mut Values::new(), &mut edits.set);
    forwarded::edit(request, &place.host, inbound.vouched, values, set);
    let of_site = match visitor.identity() {
        Some(_) => proof.values,
        None => &place.site.values,
    };
    let told = contract::Told {
        site: of_site,
        headers: &place.site.headers,
        visitor: &visitor,
        by_session,
        oversized_claim: oversized,
        request_id: request.request_id,
        assertion: plan.assertion().map(|signer| &**signer),
        now,
    };
    let omitted = contract::inject(&told, values, set);
    Ok(Outcome::Forward(Box::new(Forward { visitor, edits, overlooked, omitted, body })))
}

/// What the request's credential comes to, and what is remembered. The order of the checks
/// is the order of [`Reason`]: presence, ambiguity, origin, size, then the dialect's own.
fn recalled<'p>(
    place: &Place<'p, '_>,
    plan: &Plan,
    request: &RequestView<'_>,
    content: &Content<'_>,
    presented: &Presented<'p, '_>,
    now: UnixTime,
    prover: &impl Prover<'p>,
) -> Recalled {
    let sessions = &*presented.sessions;
    let (way, found) = presented.vouching();
    let credential = found.credential.as_ref().zip(found.proof());
    let at_once = at_once(place, request, presented);
    let unsigned = || Claims::any_in(&place.site.fields, request, content);
    let absent = || Finding::Absent { unsigned: unsigned() };
    if credential.is_none() && sessions.is_empty() && at_once.is_none() {
        return Recalled::of(absent());
    }
    let ambient = sessions.iter().any(|token| token.ambient);
    let doubt = || verb::doubt(request, &place.host, place.settings);
    let objection = match place.verb {
        _ if !ambient => None,
        Some(_) => doubt(),
        None => origin::objection(request, &place.host, &place.settings.allowed_origins, true),
    };
    let verified = match (at_once, credential) {
        (Some(rejection), _) => Some(Err(rejection)),
        (None, Some((credential, proof))) => {
            Some(verified(way, credential, proof, plan.limits.credential, now, prover))
        }
        (None, None) => None,
    };
    let recalled = prover.recall(Asked {
        site: place.site,
        settings: place.settings,
        presented: verified,
        credential: found.proof(),
        sessions,
        objection,
        caused: ambient && doubt().is_some(),
        keeps: place.verb.is_some() || place.site.remembers.session.is_some() || lasts(request),
        now,
    });
    match recalled.finding {
        Finding::Absent { .. } => Recalled { finding: absent(), ..recalled },
        _ => recalled,
    }
}

/// What is wrong with a request before any credential is looked at.
fn at_once(
    place: &Place<'_, '_>,
    request: &RequestView<'_>,
    presented: &Presented<'_, '_>,
) -> Option<Rejection> {
    if presented.is_ambiguous() {
        let detail = "the request carries two different credentials";
        return Some(Rejection::new(Reason::Ambiguous, detail));
    }
    let (origins, only_cookies) = (&place.settings.allowed_origins, presented.only_cookies());
    let doubted = place.verb.is_some() && only_cookies;
    let why = origin::objection(request, &place.host, origins, only_cookies)
        .or_else(|| verb::doubt(request, &place.host, place.settings).filter(|_| doubted));
    why.map(|why| Rejection::new(Reason::OriginNotAllowed, why))
}

/// Whether what comes of a request may stay open for long.
fn lasts(request: &RequestView<'_>) -> bool {
    let streams = |accepted: &http::HeaderValue| {
        accepted.to_str().is_ok_and(|accepted| accepted.contains("text/event-stream"))
    };
    request.upgrade || request.headers.get_all(header::ACCEPT).iter().any(streams)
}

fn verified<'p>(
    way: &Proof<'p>,
    credential: &Credential<'_>,
    proof: &str,
    limit: usize,
    now: UnixTime,
    prover: &impl Prover<'p>,
) -> Result<Identity, Rejection> {
    let (length, limit) = (proof.len(), limit.min(way.dialect.max_bytes()));
    if length > limit {
        let detail = format!("the credential holds {length} bytes; at most {limit} are accepted");
        return Err(Rejection::new(Reason::TooLarge, detail));
    }
    prover.verify(way, credential, now)
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};

    use super::*;
    use crate::gate::contract::{Budget, Field, SiteHeaders};
    use crate::gate::testing::{PlanBuilder, applied, hash_dialect, headers, token_dialect, view};
    use crate::gate::{Cause, NewBody, Peer};
    use crate::identity::{Proven, Standing};

    /// `ey…` has the shape; `ey-good` and the hash `good` of `u1` prove.
    struct Fake;

    impl Prover<'_> for Fake {
        fn verify(
            &self,
            _: &Proof<'_>,
            credential: &Credential<'_>,
            _: UnixTime,
        ) -> Result<Identity, Rejection> {
            let proven = |fields: &[(usize, &str)]| {
                Ok(Identity::attest(Proven {
                    id: Some("u1".into()),
                    key: "k1".into(),
                    fields: fields.iter().map(|(i, v)| (*i, v.to_string())).collect(),
                    ..Proven::default()
                }))
            };
            let rejected = |reason| Err(Rejection::new(reason, "why").with_key(&"k1".into()));
            match credential {
                Credential::Token(token) if token == "ey-good" => proven(&[(0, "u1"), (1, "Ada")]),
                Credential::Token(token) if token == "ey-expired" => rejected(Reason::Expired),
                Credential::Hash(hash) => match (&*hash.proof, hash.id.as_deref()) {
                    ("good", Some("u1")) => proven(&[(0, "u1"), (3, "u1")]),
                    (_, None) => rejected(Reason::MissingClaim),
                    _ => rejected(Reason::BadSignature),
                },
                Credential::Token(_) => rejected(Reason::BadSignature),
            }
        }

        fn has_shape(&self, _: &Dialect, value: &str) -> bool {
            value.starts_with("ey")
        }

        fn recall(&self, asked: Asked<'_, '_>) -> Recalled {
            let finding = match asked.presented {
                Some(Ok(identity)) => Finding::Proven(identity),
                Some(Err(rejection)) => Finding::Rejected(rejection),
                None => Finding::Absent { unsigned: false },
            };
            let details = Some("{\"Plan\":\"pro\"}".into());
            Recalled { details, ..Recalled::of(finding) }
        }
    }

    fn judged<'p>(plan: &'p Plan, request: &RequestView<'_>) -> Verdict<'p> {
        examine_with(plan, request, UnixTime::from_secs(0), &Fake)
    }

    fn forwarded_as(verdict: &Verdict<'_>) -> Forward {
        match &verdict.outcome {
            Outcome::Forward(forward) => (**forward).clone(),
            other => panic!("it should have been forwarded: {other:?}"),
        }
    }

    /// `ok u1`, `guest <reason>`, `refused <code>` or `preflight`, in one word or two.
    fn told(verdict: &Verdict<'_>) -> String {
        match &verdict.outcome {
            Outcome::Preflight { allowed } => format!("preflight {allowed}"),
            Outcome::Refuse(refusal) => format!("refused {}", refusal.code()),
            Outcome::Forward(forward) => match &forward.visitor.standing {
                Standing::Verified(identity) => {
                    format!("ok {}", identity.id.as_deref().unwrap_or_default())
                }
                Standing::Guest(reason) => format!("guest {reason}"),
            },
        }
    }

    const HOST: (&str, &str) = ("host", "chat.acme.example");

    fn with_host<'f>(fields: &[(&'f str, &'f str)]) -> HeaderMap {
        headers(&[&[HOST], fields].concat())
    }

    /// What reaches the backend: target, and headers other than those set afresh.
    fn sent(plan: &Plan, target: &str, fields: &[(&str, &str)]) -> (String, Vec<(String, String)>) {
        let headers = with_host(fields);
        let forward = forwarded_as(&judged(plan, &view(&headers, target)));
        let target = forward.edits.target.clone().unwrap_or(target.into());
        let ours = |name: &str| {
            name.starts_with("x-forwarded-") || matches!(name, "host" | "x-real-ip" | "forwarded")
        };
        let mut left = applied(&forward.edits, &headers);
        left.retain(|(name, _)| !ours(name) && !name.starts_with("countersign-"));
        left.sort();
        (target, left)
    }

    fn injected(plan: &Plan, target: &str, fields: &[(&str, &str)], name: &str) -> Option<String> {
        let headers = with_host(fields);
        let forward = forwarded_as(&judged(plan, &view(&headers, target)));
        let found = applied(&forward.edits, &headers);
        let values: Vec<_> = found.into_iter().filter(|(found, _)| found == name).collect();
        assert!(values.len() <= 1, "{name} is set at most once: {values:?}");
        values.into_iter().next().map(|(_, value)| value)
    }

    fn pairs(expected: &[(&str, &str)]) -> Vec<(String, String)> {
        expected.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect()
    }

    #[test]
    fn every_mode_does_with_every_request_what_the_contract_says() {
        let bearer = |token| [("authorization", token)];
        let (good, expired) = (bearer("Bearer ey-good"), bearer("Bearer ey-expired"));
        let forged = bearer("Bearer ey-forged");
        for (target, fields, by_mode) in [
            ("/", &[][..], ["refused missing", "guest missing", "guest missing", "guest missing"]),
            (
                "/?external_id=u1",
                &[],
                ["refused unsigned", "guest unsigned", "guest unsigned", "guest unsigned"],
            ),
            ("/", &good, ["ok u1"; 4]),
            ("/?jwt=ey-good", &[], ["ok u1"; 4]),
            (
                "/",
                &expired,
                ["refused expired", "refused expired", "guest expired", "guest expired"],
            ),
            (
                "/",
                &forged,
                [
                    "refused bad_signature",
                    "refused bad_signature",
                    "guest bad_signature",
                    "guest bad_signature",
                ],
            ),
            (
                "/?jwt=ey-forged",
                &good,
                ["refused ambiguous", "refused ambiguous", "guest ambiguous", "guest ambiguous"],
            ),
        ] {
            let headers = with_host(fields);
            for (mode, expected) in Mode::ALL.iter().zip(by_mode) {
                let plan = PlanBuilder::new(token_dialect()).mode(*mode).build();
                let verdict = judged(&plan, &view(&headers, target));
                assert_eq!(told(&verdict), expected, "{mode:?} {target} {fields:?}");
                assert_eq!(verdict.mode, Some(*mode));
                assert_eq!(verdict.site.map(|site| &*site.name), Some("acme-support"));
            }
            let plan = PlanBuilder::new(token_dialect()).mode(Mode::Off).build();
            assert_eq!(told(&judged(&plan, &view(&headers, target))), "guest not_checked");
        }
    }

    #[test]
    fn a_trace_would_show_the_trusted_headers_and_goes_nowhere() {
        let headers = with_host(&[]);
        for mode in Mode::ALL {
            let plan = PlanBuilder::new(token_dialect()).mode(*mode).build();
            let trace = RequestView { method: &Method::TRACE, ..view(&headers, "/") };
            assert_eq!(told(&judged(&plan, &trace)), "refused bad_request", "{mode:?}");
        }
    }

    #[test]
    fn observe_says_what_require_would_have_refused_for() {
        for (target, overlooked) in [
            ("/", Some(Reason::Missing)),
            ("/?name=x", Some(Reason::Unsigned)),
            ("/?jwt=ey-expired", Some(Reason::Expired)),
            ("/?jwt=ey-1&jwt=ey-2", Some(Reason::Ambiguous)),
            ("/?jwt=ey-good", None),
        ] {
            let plan = PlanBuilder::new(token_dialect()).mode(Mode::Observe).build();
            let headers = with_host(&[]);
            let forward = forwarded_as(&judged(&plan, &view(&headers, target)));
            let found = forward.overlooked.and_then(|refusal| refusal.reason());
            assert_eq!(found, overlooked, "{target}");
        }
    }

    #[test]
    fn a_spent_credential_and_unproven_fields_do_not_reach_the_backend() {
        let plan = PlanBuilder::new(token_dialect()).build();
        for (target, fields, left_target, left) in [
            ("/c?a=1&jwt=ey-good&b=%7e", &[][..], "/c?a=1&b=%7e", &[][..]),
            ("/c?jwt=ey-good", &[("cookie", "s=1")], "/c", &[("cookie", "s=1")]),
            (
                "/c?external_id=u1&external_id=u2&name=Ada&email=x&a=1",
                &[("authorization", "Bearer ey-good"), ("authorization", "Basic b")],
                "/c?external_id=u1&name=Ada&a=1",
                &[("authorization", "Basic b")],
            ),
            (
                "/c?external_id=u1&x=%20",
                &[("referer", "https://a.example/?jwt=old&x")],
                "/c?x=%20",
                &[("referer", "https://a.example/?x")],
            ),
            (
                "/c?jwt=",
                &[("authorization", "Basic b")],
                "/c?jwt=",
                &[("authorization", "Basic b")],
            ),
        ] {
            assert_eq!(sent(&plan, target, fields), (left_target.into(), pairs(left)), "{target}");
        }
        let claimed = injected(&plan, "/?jwt=ey-good&external_id=u2", &[], "countersign-claimed");
        assert_eq!(claimed.as_deref(), Some(r#"{"external_id":"u2"}"#));
        assert_eq!(injected(&plan, "/?jwt=ey-good", &[], "countersign-claimed"), None);
    }

    #[test]
    fn accept_removes_bad_and_ambiguous_credentials_too() {
        let plan = PlanBuilder::new(token_dialect()).mode(Mode::Accept).build();
        let bad = [("authorization", "Bearer ey-expired"), ("cookie", "s=1;countersign_jwt=ey-2")];
        assert_eq!(
            sent(&plan, "/?jwt=junk&a=1", &bad),
            ("/?a=1".into(), pairs(&[("cookie", "s=1")]))
        );
    }

    #[test]
    fn forward_credential_lets_it_through() {
        let plan = PlanBuilder::new(token_dialect()).with(|s| s.forward_credential = true).build();
        let fields = [("authorization", "Bearer ey-good"), ("referer", "https://a/?jwt=ey-good")];
        assert_eq!(
            sent(&plan, "/?jwt=ey-good&name=Eve", &fields),
            ("/?jwt=ey-good".into(), pairs(&fields))
        );
    }

    #[test]
    fn observe_and_off_leave_the_request_as_it_came() {
        let target = "/c?jwt=ey-good&external_id=u2&custom_a=1;name=x";
        let fields = [
            ("authorization", "Bearer ey-good"),
            ("cookie", "countersign_jwt=ey-good"),
            ("name", "Eve"),
            ("referer", "https://a.example/?jwt=ey-good"),
        ];
        for mode in [Mode::Observe, Mode::Off] {
            let plan = PlanBuilder::new(token_dialect()).mode(mode).build();
            assert_eq!(sent(&plan, target, &fields), (target.into(), pairs(&fields)), "{mode:?}");
            let claimed = injected(&plan, target, &fields, "countersign-claimed");
            assert_eq!(claimed.is_some(), mode == Mode::Observe);
        }
    }

    #[test]
    fn unsigned_keep_leaves_the_fields_and_claims_nothing() {
        let plan = PlanBuilder::new(token_dialect()).with(|s| s.keep_unsigned = true).build();
        let target = "/?external_id=u2&custom_a=1";
        assert_eq!(sent(&plan, target, &[("name", "Eve")]).0, target);
        assert_eq!(injected(&plan, target, &[], "countersign-claimed"), None);
        assert_eq!(injected(&plan, target, &[], "countersign-reason").as_deref(), Some("unsigned"));
    }

    #[test]
    fn of_a_verified_hash_only_the_hash_goes() {
        let plan = PlanBuilder::new(hash_dialect()).build();
        let (target, left) = sent(
            &plan,
            "/?user_id=u1&name=Ada&identifier_hash=good",
            &[("x-user-id", "u1"), ("x_user_id", "u2"), ("x-user-name", "Eve")],
        );
        assert_eq!((target.as_str(), left), ("/?user_id=u1", pairs(&[("x-user-id", "u1")])));
        let headers = with_host(&[("x-user-id", "u1")]);
        for (mode, target, expected) in [
            (Mode::Prefer, "/?identifier_hash=good", "refused missing_claim"),
            (Mode::Prefer, "/", "guest unsigned"),
            (Mode::Prefer, "/?user_id=u2&identifier_hash=good", "refused bad_signature"),
            (Mode::Accept, "/?user_id=u2&identifier_hash=good", "guest bad_signature"),
        ] {
            let plan = PlanBuilder::new(hash_dialect()).mode(mode).build();
            assert_eq!(
                told(&judged(&plan, &view(&headers, target))),
                expected,
                "{mode:?} {target}"
            );
        }
        // What stood beside a bad hash is claimed.
        let plan = PlanBuilder::new(hash_dialect()).mode(Mode::Accept).build();
        let beside =
            injected(&plan, "/?user_id=u2&identifier_hash=bad", &[], "countersign-claimed");
        assert_eq!(beside.as_deref(), Some(r#"{"user_id":"u2"}"#));
        assert_eq!(sent(&plan, "/?user_id=u2&identifier_hash=bad", &[]).0, "/");
    }

    #[test]
    fn forged_identity_headers_never_pass_whatever_their_spelling_and_the_mode() {
        let forged = [
            "Countersign-Id",
            "countersign-id",
            "COUNTERSIGN-STATUS",
            "Countersign_Id",
            "countersign_status",
            "Countersign.Name",
            "countersign..email",
            "Countersign--Key",
            "_Countersign-Id",
            "-countersign-id",
            ".countersign.id",
            "countersign-id_",
            "countersign!id",
            "countersign~~id",
            "Countersign-_.-Expires",
            "countersign",
            "Countersign-",
            "Countersign-Assertion",
            "countersign-anything",
            "countersign#id",
        ];
        let mut fields: Vec<_> = forged.iter().map(|name| (*name, "forged")).collect();
        fields.push(("countersign-id", "forged-twice"));
        fields.push(("connection", "countersign-id, close"));
        for mode in Mode::ALL {
            let plan = PlanBuilder::new(token_dialect()).mode(*mode).build();
            let headers = with_host(&fields);
            let verdict = judged(&plan, &view(&headers, "/"));
            assert_eq!(verdict.stripped, fields.len() - 1, "{mode:?}");
            if *mode == Mode::Require {
                assert_eq!(told(&verdict), "refused missing");
                continue;
            }
            let left = applied(&forwarded_as(&verdict).edits, &headers);
            assert!(left.iter().all(|(_, value)| !value.contains("forged")), "{mode:?} {left:?}");
            let status: Vec<_> = left.iter().filter(|(n, _)| n == "countersign-status").collect();
            assert_eq!(status, [&("countersign-status".to_string(), "guest".to_string())]);
        }
    }

    #[test]
    fn forwarding_headers_are_kept_from_trusted_peers_alone() {
        let plan = PlanBuilder::new(token_dialect()).mode(Mode::Off).build();
        let headers = with_host(&[
            ("x-forwarded-for", "198.51.100.7"),
            ("x-forwarded-proto", "https"),
            ("x_forwarded_for", "6.6.6.6"),
            ("x-original-url", "/admin"),
            ("x-rewrite-url", "/admin"),
        ]);
        let reached = |peer| {
            let request = RequestView { peer, ..view(&headers, "/") };
            let verdict = judged(&plan, &request);
            let mut left = applied(&forwarded_as(&verdict).edits, &headers);
            left.retain(|(name, _)| name.starts_with("x-") || name.starts_with("x_"));
            left.sort();
            (verdict.distrusted, left)
        };
        let stranger = reached(Peer::Ip("203.0.113.9".parse().unwrap()));
        let expected = pairs(&[
            ("x-forwarded-for", "203.0.113.9"),
            ("x-forwarded-host", "chat.acme.example"),
            ("x-forwarded-proto", "http"),
            ("x-real-ip", "203.0.113.9"),
        ]);
        assert_eq!(stranger, (true, expected));
        let proxy = reached(Peer::Ip("10.0.0.1".parse().unwrap()));
        let expected =
            pairs(&[("x-forwarded-for", "198.51.100.7, 10.0.0.1"), ("x-forwarded-proto", "https")]);
        assert_eq!(proxy, (false, expected));
        let unix = reached(Peer::Unix);
        let expected =
            pairs(&[("x-forwarded-for", "198.51.100.7"), ("x-forwarded-proto", "https")]);
        assert_eq!(unix, (false, expected));
    }

    #[test]
    fn faults_come_before_any_judgement() {
        let plan = PlanBuilder::new(token_dialect()).route("/a/*", Mode::Off).build();
        for (host, target, code, has_site) in [
            (&[][..], "/", "bad_request", false),
            (&[("host", "other.example")], "/", "unknown_site", false),
            (&[HOST], "/a/../b", "bad_request", true),
            (&[HOST], "", "bad_request", true),
            (&[HOST], "*", "bad_request", true),
            (&[HOST], "http://chat.acme.example/", "bad_request", true),
            (&[HOST], "/x#/../a", "bad_request", true),
        ] {
            let headers = headers(host);
            let verdict = judged(&plan, &view(&headers, target));
            assert_eq!(told(&verdict), format!("refused {code}"), "{target}");
            assert_eq!((verdict.site.is_some(), verdict.mode), (has_site, None), "{target}");
            let Outcome::Refuse(refusal) = verdict.outcome else { panic!("it is refused") };
            assert!(matches!(refusal.cause, Cause::Fault(_)));
        }
        let headers = with_host(&[]);
        let whole = RequestView { method: &Method::OPTIONS, ..view(&headers, "*") };
        assert_eq!(told(&judged(&plan, &whole)), "guest missing");
    }

    #[test]
    fn size_is_looked_at_after_ambiguity_and_before_the_rest() {
        let plan = PlanBuilder::new(token_dialect()).build();
        let headers = with_host(&[]);
        // The dialect's own limit of 4096 is below the plan's.
        let long = |length: usize| format!("ey{}", "x".repeat(length - 2));
        let (fits, over) = (long(4096), long(4097));
        for (target, code) in [
            (format!("/?jwt={fits}"), "bad_signature"),
            (format!("/?jwt={over}"), "too_large"),
            (format!("/?jwt={over}&jwt=ey-1"), "ambiguous"),
        ] {
            assert_eq!(told(&judged(&plan, &view(&headers, &target))), format!("refused {code}"));
        }
        let mut plan = PlanBuilder::new(token_dialect()).build();
        plan.limits.credential = 10;
        let verdict = judged(&plan, &view(&headers, "/?jwt=ey-verylong"));
        assert_eq!(told(&verdict), "refused too_large");
    }

    #[test]
    fn a_cookie_from_a_foreign_page_is_refused_or_overlooked_by_mode() {
        let fields = [("cookie", "countersign_jwt=ey-good"), ("origin", "https://evil.example")];
        let headers = with_host(&fields);
        let request = RequestView { method: &Method::POST, ..view(&headers, "/") };
        for (mode, expected) in [
            (Mode::Require, "refused origin_not_allowed"),
            (Mode::Prefer, "refused origin_not_allowed"),
            (Mode::Accept, "guest origin_not_allowed"),
            (Mode::Observe, "guest origin_not_allowed"),
            (Mode::Off, "guest not_checked"),
        ] {
            let plan = PlanBuilder::new(token_dialect()).mode(mode).build();
            assert_eq!(told(&judged(&plan, &request)), expected, "{mode:?}");
        }
        // Beside a header with the same token the cookie is not what speaks.
        let headers = with_host(&[&fields[..], &[("authorization", "Bearer ey-good")]].concat());
        let request = RequestView { method: &Method::POST, ..view(&headers, "/") };
        let plan = PlanBuilder::new(token_dialect()).build();
        assert_eq!(told(&judged(&plan, &request)), "ok u1");
    }

    #[test]
    fn preflights_are_never_asked_for_identity() {
        let asking = |origin| [("origin", origin), ("access-control-request-method", "POST")];
        let options = |plan: &Plan, fields: &[(&str, &str)]| {
            let headers = with_host(fields);
            let request = RequestView { method: &Method::OPTIONS, ..view(&headers, "/") };
            told(&judged(plan, &request))
        };
        let open = PlanBuilder::new(token_dialect()).mode(Mode::Require).build();
        assert_eq!(options(&open, &asking("https://any.example")), "guest not_checked");
        assert_eq!(options(&open, &[("origin", "https://any.example")]), "refused missing");
        let listed = PlanBuilder::new(token_dialect())
            .mode(Mode::Require)
            .origins(&["https://www.acme.example"])
            .build();
        assert_eq!(options(&listed, &asking("https://www.acme.example")), "preflight true");
        assert_eq!(options(&listed, &asking("https://evil.example")), "preflight false");
        assert_eq!(options(&listed, &asking("null")), "preflight false");
    }

    #[test]
    fn a_preflight_is_no_way_round_the_cleaning() {
        let plan = PlanBuilder::new(token_dialect()).mode(Mode::Require).build();
        let headers = with_host(&[("origin", "null"), ("access-control-request-method", "POST")]);
        let request =
            RequestView { method: &Method::OPTIONS, ..view(&headers, "/c?external_id=u2&a=1") };
        let forward = forwarded_as(&judged(&plan, &request));
        assert_eq!(forward.edits.target.as_deref(), Some("/c?a=1"));
    }

    #[test]
    fn a_body_that_cannot_be_inspected_is_refused_where_it_could_claim() {
        let large = [("content-type", "application/json"), ("content-length", "70000")];
        let packed = [("content-type", "application/json"), ("content-encoding", "gzip")];
        for (fields, code) in [(large, "body_too_large"), (packed, "unsupported_body")] {
            let headers = with_host(&fields);
            let request = RequestView { method: &Method::POST, ..view(&headers, "/") };
            let refused = format!("refused {code}");
            for (mode, expected) in [
                (Mode::Require, refused.as_str()),
                (Mode::Prefer, &refused),
                (Mode::Accept, &refused),
                (Mode::Observe, "guest missing"),
                (Mode::Off, "guest not_checked"),
            ] {
                let plan = PlanBuilder::new(token_dialect()).mode(mode).build();
                assert_eq!(told(&judged(&plan, &request)), expected, "{mode:?}");
            }
            let keeps = PlanBuilder::new(token_dialect()).with(|s| s.keep_unsigned = true).build();
            assert_eq!(told(&judged(&keeps, &request)), "guest missing");
        }
    }

    /// What comes of a JSON body: how the request is judged, the body that goes on, and its
    /// length as announced.
    fn with_body(
        plan: &Plan,
        fields: &[(&str, &str)],
        body: &str,
    ) -> (String, String, Option<String>) {
        let headers = with_host(&[&[("content-type", "application/json")], fields].concat());
        let body_seen = Body::Whole(body.as_bytes());
        let request = RequestView { method: &Method::POST, body: body_seen, ..view(&headers, "/") };
        let verdict = judged(plan, &request);
        if matches!(verdict.outcome, Outcome::Refuse(_)) {
            return (told(&verdict), String::new(), None);
        }
        let forward = forwarded_as(&verdict);
        let left = match &forward.body {
            NewBody::Same => body.to_owned(),
            NewBody::Replaced(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            NewBody::Renamed(_) => panic!("this is no multipart body"),
        };
        let length = forward.edits.set.iter().find(|(name, _)| *name == "content-length");
        let length = length.map(|(_, value)| value.to_str().unwrap().to_owned());
        (told(&verdict), left, length)
    }

    fn json_token_dialect() -> Dialect {
        let mut dialect = token_dialect();
        let proof = crate::dialect::Pointer(vec!["jwt".into()]);
        let names = crate::dialect::Names { proof, ..Default::default() };
        let carrier = crate::dialect::Carrier::Json { names };
        dialect.sources.push(crate::dialect::Source { carrier, shared: false });
        dialect
    }

    #[test]
    fn a_credential_in_the_body_proves_and_leaves() {
        let plan = PlanBuilder::new(json_token_dialect()).build();
        for (fields, body, expected) in [
            (&[][..], r#"{"jwt":"ey-good","a":1}"#, ("ok u1", r#"{"a":1}"#, Some("7"))),
            (&[], r#"{"jwt":"","a":1}"#, ("guest missing", r#"{"jwt":"","a":1}"#, None)),
            (&[], r#"{"a":1,"external_id":"u1"}"#, ("guest unsigned", r#"{"a":1}"#, Some("7"))),
            (
                &[],
                r#"{"jwt":"ey-good","external_id":"u1","name":"Eve"}"#,
                ("ok u1", r#"{"external_id":"u1"}"#, Some("20")),
            ),
            (&[], r#"{"jwt":"ey-bad"}"#, ("refused bad_signature", "", None)),
            (&[], r#"{"jwt":["ey-good"]}"#, ("refused bad_signature", "", None)),
            (&[], r#"{"jwt":"ey-good","jwt":"ey-good"}"#, ("refused bad_request", "", None)),
            (
                &[("authorization", "Bearer ey-good")],
                r#"{"jwt":"ey-good"}"#,
                ("ok u1", "{}", Some("2")),
            ),
            (
                &[("authorization", "Bearer ey-good")],
                r#"{"jwt":"ey-bad"}"#,
                ("refused ambiguous", "", None),
            ),
            (&[("authorization", "Bearer ey-good")], "", ("ok u1", "", None)),
        ] {
            let (told, left, length) = with_body(&plan, fields, body);
            assert_eq!((told.as_str(), left.as_str(), length.as_deref()), expected, "{body}");
        }
        let plan = PlanBuilder::new(json_token_dialect())
            .mode(Mode::Accept)
            .with(|s| s.forward_credential = true)
            .build();
        let body = r#"{"jwt":"ey-good"}"#;
        assert_eq!(with_body(&plan, &[], body), ("ok u1".into(), body.into(), None));
        let plan = PlanBuilder::new(json_token_dialect()).mode(Mode::Accept).build();
        let left = with_body(&plan, &[], r#"{"jwt":"ey-bad"}"#);
        assert_eq!(left, ("guest bad_signature".into(), "{}".into(), Some("2".into())));
    }

    #[test]
    fn observe_and_off_leave_the_body_as_it_came() {
        let body = r#"{"jwt":"ey-good","name":"Eve"}"#;
        for (mode, told) in [(Mode::Observe, "ok u1"), (Mode::Off, "guest not_checked")] {
            let plan = PlanBuilder::new(json_token_dialect()).mode(mode).build();
            assert_eq!(with_body(&plan, &[], body), (told.into(), body.into(), None));
            let broken = with_body(&plan, &[], "{");
            assert_eq!((broken.1.as_str(), broken.2), ("{", None), "{mode:?}");
        }
    }

    #[test]
    fn what_did_not_arrive_is_refused() {
        let plan = PlanBuilder::new(json_token_dialect()).build();
        let headers = with_host(&[("content-type", "application/json")]);
        for (body, expected) in [
            (Body::TooLarge, "refused body_too_large"),
            (Body::Late, "refused body_timeout"),
            (Body::Broken, "refused bad_request"),
            (Body::Unseen, "guest missing"),
        ] {
            let request = RequestView { method: &Method::POST, body, ..view(&headers, "/") };
            assert_eq!(told(&judged(&plan, &request)), expected);
        }
    }

    #[test]
    fn query_headers_and_body_are_claimed_in_this_order() {
        let plan = PlanBuilder::new(token_dialect()).build();
        let headers =
            with_host(&[("content-type", "application/json"), ("name", "h"), ("email", "h")]);
        let body = Body::Whole(br#"{"external_id":"b","name":"b","email":"b","custom_x":"b"}"#);
        let request = RequestView { method: &Method::POST, body, ..view(&headers, "/?name=q") };
        let claimed = forwarded_as(&judged(&plan, &request)).visitor.claimed.unwrap();
        assert_eq!(claimed, r#"{"name":"q","email":"h","external_id":"b","custom_x":"b"}"#);
    }

    #[test]
    fn a_form_in_json_and_json_in_a_form_hide_nothing() {
        let plan = PlanBuilder::new(json_token_dialect()).build();
        let sent = |kind: &str, body: &str| {
            let headers = with_host(&[("content-type", kind)]);
            let body = Body::Whole(body.as_bytes());
            let request = RequestView { method: &Method::POST, body, ..view(&headers, "/") };
            match forwarded_as(&judged(&plan, &request)).body {
                NewBody::Replaced(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
                _ => "same".into(),
            }
        };
        let form = "application/x-www-form-urlencoded";
        let disguised = r#"{"a":"&external_id=u2&b="}"#;
        assert_eq!(sent(form, disguised), r#"{"a":"\u0026external_id=u2\u0026b="}"#);
        assert_eq!(sent("application/json", disguised), "same");
        assert_eq!(sent(form, r#"{"a":"?x=1&y=2"}"#), "same");
        assert_eq!(sent(form, "a=1&external_id=u2&b=%7e"), "a=1&b=%7e");
        assert_eq!(sent("text/plain", "a=1\r\nexternal_id=u2\r\n"), "a=1\r\n");
        assert_eq!(sent("text/plain", "hello, my name is Eve"), "same");
    }

    #[test]
    fn multipart_bodies_are_renamed_while_they_stream() {
        let plan = PlanBuilder::new(token_dialect()).build();
        let headers = with_host(&[
            ("content-type", "multipart/form-data; boundary=b"),
            ("content-length", "10000000"),
        ]);
        let request = RequestView { method: &Method::POST, ..view(&headers, "/") };
        assert_eq!(wanted(&plan, &request), None);
        let forward = forwarded_as(&judged(&plan, &request));
        let NewBody::Renamed(mut renamer) = forward.body else { panic!("it streams through") };
        let part =
            b"--b\r\nContent-Disposition: form-data; name=\"external_id\"\r\n\r\nu2\r\n--b--";
        let left = renamer.push(part, true).unwrap();
        assert!(!left.windows(8).any(|word| word == b"external"));
    }

    #[test]
    fn claims_beyond_their_budget_are_named_and_not_sent() {
        let plan = PlanBuilder::new(token_dialect()).build();
        let headers = with_host(&[]);
        for (length, sent) in [(1000, true), (2100, false)] {
            let target = format!("/?name={}&a=1", "x".repeat(length));
            let forward = forwarded_as(&judged(&plan, &view(&headers, &target)));
            assert_eq!(forward.omitted.is_empty(), sent);
            assert_eq!(forward.edits.target.as_deref(), Some("/?a=1"));
            let claimed = injected(&plan, &target, &[], "countersign-claimed");
            assert_eq!(claimed.is_some(), sent);
            let omitted = injected(&plan, &target, &[], "countersign-omitted");
            assert_eq!(omitted, (!sent).then(|| "claimed".to_string()));
        }
    }

    #[test]
    fn what_memory_says_of_the_visitor_goes_to_the_backend_unless_nobody_looks() {
        let details = |mode, fields: &[(&str, &str)]| {
            let plan = PlanBuilder::new(token_dialect()).mode(mode).build();
            injected(&plan, "/", fields, "countersign-details")
        };
        let good = [("authorization", "Bearer ey-good"), ("countersign-details", "{\"a\":\"b\"}")];
        for mode in [Mode::Require, Mode::Prefer, Mode::Accept, Mode::Observe] {
            assert_eq!(details(mode, &good).as_deref(), Some("{\"Plan\":\"pro\"}"), "{mode:?}");
        }
        assert_eq!(details(Mode::Off, &good), None, "a forged one is removed all the same");
        assert_eq!(details(Mode::Prefer, &[]), None, "nobody is asked about nobody");
    }

    #[test]
    fn a_foreign_pages_upgrade_is_refused_where_origins_are_listed() {
        let plan = PlanBuilder::new(token_dialect()).origins(&["https://www.acme.example"]).build();
        for (origin, target, expected) in [
            ("https://www.acme.example", "/?jwt=ey-good", "ok u1"),
            ("https://chat.acme.example", "/?jwt=ey-good", "ok u1"),
            ("https://evil.example", "/?jwt=ey-good", "refused origin_not_allowed"),
            ("https://evil.example", "/", "refused origin_not_allowed"),
        ] {
            let headers = with_host(&[("origin", origin), ("upgrade", "websocket")]);
            let request = RequestView { upgrade: true, ..view(&headers, target) };
            assert_eq!(told(&judged(&plan, &request)), expected, "{origin} {target}");
        }
    }

    #[test]
    fn a_field_that_a_site_tells_its_backend_by_never_keeps_what_a_client_sent() {
        // Where such a field carries credentials too, these are read, and none of it stays.
        let named = [
            (Field::Status, "Countersign-Status".to_owned()),
            (Field::Id, "X-User-Id".to_owned()),
            (Field::Name, "X_User.Name".to_owned()),
        ];
        let told = SiteHeaders::new(&named, &["X-Groups"], None, Budget::default());
        let plan = PlanBuilder::new(hash_dialect()).mode(Mode::Accept).headers(told).build();
        let sent = |fields: &[(&str, &str)]| {
            let headers = with_host(fields);
            let verdict = judged(&plan, &view(&headers, "/"));
            let kept = applied(&forwarded_as(&verdict).edits, &headers);
            let ours = |(name, _): &(String, String)| {
                name.contains("user") || name.contains("group") || name.contains("status")
            };
            (kept.into_iter().filter(ours).collect::<Vec<_>>(), verdict.stripped)
        };
        let status = |word: &str| ("countersign-status".to_owned(), word.to_owned());
        let forged = [
            ("x-user-id", "u1"),
            ("x-user-id", "u2"),
            ("x_user_id", "u3"),
            ("x-user-name", "Eve"),
            ("x_groups", "admin"),
        ];
        assert_eq!(sent(&forged), (vec![status("guest")], 5));
        let good = [("x-user-id", "u1"), ("x-identifier-hash", "good"), ("x.user.id", "u2")];
        let id = ("x-user-id".to_owned(), "u1".to_owned());
        assert_eq!(sent(&good), (vec![status("verified"), id], 2));
    }

    #[test]
    fn edits_applied_twice_are_edits_applied_once() {
        let plan = PlanBuilder::new(hash_dialect()).mode(Mode::Accept).build();
        let headers = with_host(&[
            ("x-user-id", "u1"),
            ("x-user-id", "u2"),
            ("x-identifier-hash", "good"),
            ("countersign-id", "forged"),
            ("cookie", "a=1"),
            ("x-forwarded-for", "6.6.6.6"),
        ]);
        let request =
            RequestView { peer: Peer::Ip("10.0.0.1".parse().unwrap()), ..view(&headers, "/") };
        let edits = forwarded_as(&judged(&plan, &request)).edits;
        let mut once = headers.clone();
        edits.apply(&mut once);
        let mut twice = once.clone();
        edits.apply(&mut twice);
        assert_eq!(once, twice);
        assert_ne!(once, headers);
    }

    #[test]
    fn hostile_bytes_are_judged_without_panic() {
        let odd = [
            "%", "%%%", "+", "=", "&", ";", "[", "]", "[]", "a[", "%00", "\u{7f}", "é", "??", "/",
            "//", "\\", ".", "..;/",
        ];
        let plan = PlanBuilder::new(hash_dialect()).route("/a/*", Mode::Off).build();
        for one in odd {
            for other in odd {
                let target =
                    format!("/{one}{other}?user_id{one}={other}&{other}{one};user_id={one}");
                let mut inbound = with_host(&[]);
                for name in [
                    "cookie",
                    "authorization",
                    "x-user-id",
                    "x-forwarded-for",
                    "referer",
                    "origin",
                    "content-type",
                ] {
                    let value = [one.as_bytes(), b"\xff\"", other.as_bytes()].concat();
                    if let Ok(value) = http::HeaderValue::from_bytes(&value) {
                        inbound.append(HeaderName::from_static(name), value);
                    }
                }
                let verdict = judged(&plan, &view(&inbound, &target));
                assert!(!told(&verdict).starts_with("ok"), "{target}");
            }
        }
    }

    /// What a lenient backend reads from a body: members of JSON, fields of a form, lines.
    fn read_leniently(body: &str) -> Vec<(String, String)> {
        let mut found = Vec::new();
        if let Ok(serde_json::Value::Object(members)) = serde_json::from_str(body) {
            let text = |value: &serde_json::Value| match value {
                serde_json::Value::String(text) => text.clone(),
                other => other.to_string(),
            };
            found.extend(members.iter().map(|(name, value)| (name.clone(), text(value))));
        }
        for raw in body.split(['&', ';', '\n']) {
            let parameter = super::super::query::Parameter::read(raw.trim_end_matches('\r'));
            found.push((parameter.name().into_owned(), parameter.value().into_owned()));
        }
        found
    }

    #[test]
    fn whatever_a_body_holds_nothing_unproven_passes() {
        let names =
            ["external_id", "\\u0065xternal_id", "External_ID", "name", "email", "jwt", "a"];
        let values = ["u1", "u2", "ey-good", "ey-bad", "", "&external_id=u2&", ";name=u2", "x"];
        let kinds = ["application/json", "application/x-www-form-urlencoded", "text/plain", ""];
        let mut seed = 7_u64;
        let mut below = |most: usize| {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (seed >> 33) as usize % most
        };
        let plan = PlanBuilder::new(json_token_dialect()).mode(Mode::Accept).build();
        let (mut verified, mut changed) = (0, 0);
        for _ in 0..4000 {
            let kind = kinds[below(kinds.len())];
            let is_json = below(2) == 0;
            let pairs: Vec<_> =
                (0..below(5)).map(|_| (names[below(7)], values[below(8)])).collect();
            let body = match is_json {
                true => {
                    let gap = [" ", "", "\r\n"][below(3)];
                    let member = |(n, v): &(&str, &str)| format!("{gap}\"{n}\":{gap}\"{v}\"{gap}");
                    format!("{{{}}}", pairs.iter().map(member).collect::<Vec<_>>().join(","))
                }
                false => {
                    let pair = |(n, v): &(&str, &str)| format!("{n}={v}");
                    let joint = ["&", "\r\n", ";"][below(3)];
                    pairs.iter().map(pair).collect::<Vec<_>>().join(joint)
                }
            };
            let headers = match kind {
                "" => with_host(&[]),
                kind => with_host(&[("content-type", kind)]),
            };
            let seen = Body::Whole(body.as_bytes());
            let request = RequestView { method: &Method::POST, body: seen, ..view(&headers, "/") };
            let verdict = judged(&plan, &request);
            if matches!(verdict.outcome, Outcome::Refuse(_)) {
                continue;
            }
            let forward = forwarded_as(&verdict);
            let is_verified = matches!(forward.visitor.standing, Standing::Verified(_));
            verified += usize::from(is_verified);
            let left = match &forward.body {
                NewBody::Replaced(bytes) => {
                    changed += 1;
                    std::str::from_utf8(bytes).unwrap()
                }
                _ => &body,
            };
            for (name, value) in read_leniently(left) {
                // Nobody reads what is labelled as JSON as a form.
                if kind == "application/json"
                    && serde_json::from_str::<serde_json::Value>(left)
                        .is_ok_and(|read| read.get(&name).is_none())
                {
                    continue;
                }
                let proven = match name.as_str() {
                    "external_id" => is_verified && value == "u1",
                    "jwt" => is_json && value.is_empty() || !left.starts_with('{'),
                    other => !["external_id", "name", "email"].contains(&&*other.to_lowercase()),
                };
                let is_form = kind == "application/x-www-form-urlencoded";
                // A line is a parameter in text alone.
                assert!(
                    proven || is_form && body.contains('\n'),
                    "{name}={value} in {left:?} of {body:?}"
                );
            }
        }
        assert!(verified > 20 && changed > 500, "{verified} {changed}");
    }
}
