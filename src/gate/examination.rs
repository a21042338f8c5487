//! The examination, top to bottom: host → site → path → route → credential → finding →
//! policy → edits.

use std::borrow::Cow;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Method};

use super::claimed::Claims;
use super::host::Host;
use super::policy::{Decision, Finding, Mode, decide};
use super::query::Fate;
use super::source::{self, Found};
use super::spent::{self, Spent};
use super::values::Values;
use super::{
    Edits, Fault, Forward, Outcome, Refusal, RequestView, Verdict, body, contract, forwarded,
    origin, path,
};
use crate::clock::UnixTime;
use crate::dialect::{Credential, Dialect, Keyring, Reason, Rejection};
use crate::identity::{Identity, Standing, Visitor};
use crate::plan::{Plan, Settings, Site};

/// Who proves: the dialect itself, or a stand-in in tests of the gate alone.
pub(crate) trait Prover {
    fn verify(
        &self,
        dialect: &Dialect,
        credential: &Credential<'_>,
        keyring: &Keyring,
        now: UnixTime,
    ) -> Result<Identity, Rejection>;

    fn has_shape(&self, dialect: &Dialect, value: &str) -> bool;
}

/// Examines one request under one Plan at one moment.
///
/// # Cost
/// One credential verification; otherwise a few allocations for the injected headers.
pub(crate) fn examine_with<'p>(
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
        settings: None,
        allowed_origins: Arc::default(),
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
    verdict.allowed_origins = site.settings.allowed_origins.clone();
    // `OPTIONS *` asks about the server as a whole (RFC 9110 §9.3.7).
    let whole = request.target == "*" && *request.method == Method::OPTIONS;
    if !whole && !request.target.starts_with('/') || request.target.contains('#') {
        return Err(Refusal::fault(Fault::BadRequest, "the request target is malformed"));
    }
    let settings = path::settings(site, request.path(), request.method)?;
    verdict.mode = Some(settings.mode);
    verdict.settings = Some(settings);
    verdict.allowed_origins = settings.allowed_origins.clone();
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
            prover.verify(dialect, credential, &place.site.keys(), now)
        };
        let finding = finding(place, plan, request, &found, verify);
        (decide(place.settings.mode, finding), found)
    };
    let (standing, overlooked) = match decision {
        Decision::Refuse(refusal) => return Err(refusal),
        Decision::Forward { standing, overlooked } => (standing, overlooked),
    };

    let keep = place.settings.keep_unsigned;
    let mut body_limit = None;
    if place.settings.mode.cleans() && !keep && !dialect.unsigned.fields.is_empty() {
        body_limit = body::limit(request, plan.limits.body)?;
    }
    let spent = Spent::new(&place.settings.sources, &found, &has_shape)
        .filter(|_| !place.settings.forward_credential);
    let (visitor, oversized_claim, mut edits) = cleaned(place, request, standing, spent);
    edits.remove.extend(inbound.remove);
    let (values, set) = (&mut Values::new(), &mut edits.set);
    forwarded::edit(request, &place.host, inbound.vouched, values, set);
    let omitted =
        contract::inject(place.site, &visitor, oversized_claim, request.request_id, values, set);
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
    if let Some(why) = origin::objection(request, &place.host, origins, found.places.only_cookies())
    {
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
    // Room for all that is ever set, so that the list does not grow step by step.
    let mut edits = Edits { set: Vec::with_capacity(18), ..Edits::default() };
    let mut visitor = Visitor { standing, claimed: None };
    if settings.mode == Mode::Off {
        return (visitor, false, edits);
    }
    let unsigned = &site.dialect.unsigned;
    let keep = settings.keep_unsigned;
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{PlanBuilder, applied, hash_dialect, headers, token_dialect, view};
    use crate::gate::{Cause, Peer};
    use crate::identity::Proven;

    /// `ey…` has the shape; `ey-good` and the hash `good` of `u1` prove.
    struct Fake;

    impl Prover for Fake {
        fn verify(
            &self,
            _: &Dialect,
            credential: &Credential<'_>,
            _: &Keyring,
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
    fn the_body_limit_is_for_sites_whose_bodies_could_claim() {
        let json = [("content-type", "application/json"), ("content-length", "70000")];
        let headers = with_host(&json);
        let request = RequestView { method: &Method::POST, ..view(&headers, "/") };
        for (mode, expected) in [
            (Mode::Require, "refused missing"),
            (Mode::Prefer, "refused body_too_large"),
            (Mode::Accept, "refused body_too_large"),
            (Mode::Observe, "guest missing"),
            (Mode::Off, "guest not_checked"),
        ] {
            let plan = PlanBuilder::new(token_dialect()).mode(mode).build();
            assert_eq!(told(&judged(&plan, &request)), expected, "{mode:?}");
        }
        let small = with_host(&[("content-type", "application/json"), ("content-length", "7")]);
        let request = RequestView { method: &Method::POST, ..view(&small, "/") };
        for (keep, limit) in [(false, Some(65_536)), (true, None)] {
            let plan = PlanBuilder::new(token_dialect()).with(|s| s.keep_unsigned = keep).build();
            assert_eq!(forwarded_as(&judged(&plan, &request)).body_limit, limit);
        }
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
}
