//! The headers that a backend may trust: which names are reserved, what goes into them.
//!
//! Everything that folds to `countersign` or `countersign-…`, or to a name that any site
//! tells its backend by, is removed from a request before ours are set, in every mode,
//! whether or not we set that name. Each header is set at most once, and only with a value;
//! values are printable ASCII. A field that has several names is sent under each.
//!
//! What an assertion says does not depend on names: it is the same whatever headers a site
//! sends besides.

mod budget;
mod names;
mod reserved;

use http::{HeaderName, HeaderValue};

use self::budget::{Piece, Pieces, fitting};
use super::values::Values;
use crate::assertion::{Assertion, Content};
use crate::clock::UnixTime;
use crate::identity::{Standing, Visitor};

pub use budget::{Budget, MAX_CLAIMED};
pub use names::{
    ASSERTION, ATTRIBUTES, CLAIMED, DETAILS, DIALECT, EMAIL, EXPIRES, Field, ID, KEY, NAME,
    OMITTED, PREFIX, REASON, REQUEST_ID, SITE, SPELLINGS, STATUS, SiteHeaders, spelling,
};
pub use reserved::{Reserved, folded, folds_alike, folds_into, is_reserved};

/// What the headers say of a site whoever the visitor is: written once, with its Plan.
#[derive(Clone, Debug)]
pub struct SiteValues {
    site: Option<HeaderValue>,
    dialect: Option<HeaderValue>,
}

impl SiteValues {
    /// The values for a site of this name and dialect.
    pub fn new(site: &str, dialect: &str) -> Self {
        let mut values = Values::new();
        Self { site: values.plain(site), dialect: values.plain(dialect) }
    }
}

/// What the backend is told of a request.
pub(super) struct Told<'a> {
    /// What its site says whoever the visitor is.
    pub site: &'a SiteValues,
    /// What the site's headers are called.
    pub headers: &'a SiteHeaders,
    /// Whom it is told of.
    pub visitor: &'a Visitor,
    /// Whether a session alone proved it.
    pub by_session: bool,
    /// Claims were dropped already while they were collected.
    pub oversized_claim: bool,
    /// The request's id.
    pub request_id: &'a str,
    /// What signs all that, if anything does.
    pub assertion: Option<&'a Assertion>,
    /// When.
    pub now: UnixTime,
}

/// Adds the headers that tell the backend of a visitor; answers what was left out for size.
pub(super) fn inject(
    told: &Told<'_>,
    values: &mut Values,
    set: &mut Vec<(HeaderName, HeaderValue)>,
) -> Vec<&'static str> {
    let (site, visitor) = (told.site, told.visitor);
    let mut injection = Injection { headers: told.headers, set, total: 0 };
    injection.add(Field::Site, site.site.clone());
    injection.add(Field::Dialect, site.dialect.clone());
    injection.add(Field::RequestId, values.plain(told.request_id));
    match &visitor.standing {
        Standing::Guest(reason) => {
            injection.add(Field::Status, Some(HeaderValue::from_static("guest")));
            injection.add(Field::Reason, Some(HeaderValue::from_static(reason.code())));
        }
        Standing::Verified(identity) => {
            injection.add(Field::Status, Some(HeaderValue::from_static("verified")));
            injection.add(Field::Id, identity.id.as_deref().and_then(|id| values.plain(id)));
            injection.add(Field::Key, values.plain(&identity.key));
            let expires = identity.expires.and_then(|at| values.number(at.as_secs()));
            injection.add(Field::Expires, expires);
        }
    }
    injection.add_what_fits(told, values)
}

/// What the assertion says: what the headers do.
fn asserted<'a>(told: &'a Told<'_>, kept: Pieces<'a>) -> Content<'a> {
    let identity = told.visitor.identity();
    let text = |value: &'a Option<HeaderValue>| {
        value.as_ref().and_then(|value| value.to_str().ok()).unwrap_or_default()
    };
    let (status, reason) = match &told.visitor.standing {
        Standing::Verified(_) => ("verified", None),
        Standing::Guest(reason) => ("guest", Some(reason.code())),
    };
    Content {
        // Names from the configuration: plain ASCII.
        audience: text(&told.site.site),
        dialect: text(&told.site.dialect),
        subject: identity.and_then(|identity| identity.id.as_deref()),
        status,
        reason,
        name: kept.text(Field::Name),
        email: kept.text(Field::Email),
        attributes: kept.text(Field::Attributes),
        claimed: kept.text(Field::Claimed),
        details: kept.text(Field::Details),
        via: identity.map(|_| if told.by_session { "session" } else { "credential" }),
    }
}

struct Injection<'s> {
    headers: &'s SiteHeaders,
    set: &'s mut Vec<(HeaderName, HeaderValue)>,
    total: usize,
}

impl Injection<'_> {
    fn add(&mut self, field: Field, value: Option<HeaderValue>) {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return };
        let Some((first, further)) = self.headers.names(field).split_first() else { return };
        self.total += value.len() * (1 + further.len());
        self.set.extend(further.iter().map(|name| (name.clone(), value.clone())));
        self.set.push((first.clone(), value));
    }

    /// Adds the values that may be left out, and the assertion of it all: as many of them as
    /// there is room for.
    fn add_what_fits(&mut self, told: &Told<'_>, values: &mut Values) -> Vec<&'static str> {
        let copies = |field| told.headers.names(field).len();
        let signer = told.assertion.filter(|_| copies(Field::Assertion) > 0);
        let identity = told.visitor.identity();
        let texts = [
            told.visitor.claimed.as_deref(),
            told.visitor.details.as_deref(),
            identity.and_then(|identity| identity.attributes.as_deref()),
            identity.and_then(|identity| identity.email.as_deref()),
            identity.and_then(|identity| identity.name.as_deref()),
        ];
        let mut written: [Option<HeaderValue>; 5] = [const { None }; 5];
        let mut offered = Pieces([None; 5]);
        for (((field, text), value), piece) in
            Pieces::FIELDS.into_iter().zip(texts).zip(&mut written).zip(&mut offered.0)
        {
            let copies = copies(field);
            let text = text.filter(|text| !text.is_empty() && (copies > 0 || signer.is_some()));
            let Some(text) = text else { continue };
            let mut len = text.len();
            // JSON is written once it is sure to be sent: it may be long, and needs no encoding.
            if matches!(field, Field::Email | Field::Name) {
                *value = if copies > 0 { values.plain(text) } else { None };
                len = value.as_ref().map_or(0, HeaderValue::len);
            }
            *piece = Some(Piece { text, len, copies });
        }
        let (kept, signer_kept) = fitting(told, offered, signer, self.total);
        let token = signer_kept.and_then(|signer| signer.of(&asserted(told, kept), told.now));
        let mut omitted = Vec::new();
        for (((field, value), offered), kept) in
            Pieces::FIELDS.into_iter().zip(written).zip(offered.0).zip(kept.0)
        {
            let dropped_before = told.oversized_claim
                && field == Field::Claimed
                && (copies(field) > 0 || signer.is_some());
            match kept {
                Some(kept) => {
                    let sent = kept.copies > 0;
                    let json = || values.joined(&[kept.text]);
                    self.add(field, sent.then(|| value.or_else(json)).flatten());
                }
                None if offered.is_some() || dropped_before => omitted.push(field.word()),
                None => {}
            }
        }
        if signer.is_some() && token.is_none() {
            omitted.push(Field::Assertion.word());
        }
        self.add(Field::Assertion, token);
        if !omitted.is_empty() {
            self.add(Field::Omitted, values.joined(&[&omitted.join(",")]));
        }
        omitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::Reason;
    use crate::gate::testing::{PlanBuilder, token_dialect};
    use crate::identity::{Identity, Proven};

    fn injected(visitor: &Visitor) -> (Vec<(String, String)>, Vec<&'static str>) {
        injected_as(&SiteHeaders::default(), visitor)
    }

    fn injected_as(
        headers: &SiteHeaders,
        visitor: &Visitor,
    ) -> (Vec<(String, String)>, Vec<&'static str>) {
        let plan = PlanBuilder::new(token_dialect()).build();
        let mut set = Vec::new();
        let told = Told {
            site: &plan.sites[0].values,
            headers,
            visitor,
            by_session: false,
            oversized_claim: false,
            request_id: "req-1",
            assertion: None,
            now: UnixTime::default(),
        };
        let omitted = inject(&told, &mut Values::new(), &mut set);
        let text = |(name, value): &(HeaderName, HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_string())
        };
        (set.iter().map(text).collect(), omitted)
    }

    fn verified(proven: Proven, claimed: Option<String>) -> Visitor {
        Visitor { standing: Standing::Verified(Identity::attest(proven)), claimed, details: None }
    }

    fn get<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
        headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_guest_is_told_with_the_reason_and_nothing_else() {
        let visitor = Visitor {
            standing: Standing::Guest(Reason::Unsigned),
            claimed: Some("{\"a\":\"b\"}".into()),
            details: None,
        };
        let (headers, omitted) = injected(&visitor);
        let names: Vec<_> = headers.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "countersign-site",
                "countersign-dialect",
                "countersign-request-id",
                "countersign-status",
                "countersign-reason",
                "countersign-claimed"
            ]
        );
        assert_eq!(get(&headers, "countersign-status"), Some("guest"));
        assert_eq!(get(&headers, "countersign-reason"), Some("unsigned"));
        assert_eq!(get(&headers, "countersign-request-id"), Some("req-1"));
        assert!(omitted.is_empty());
    }

    #[test]
    fn a_verified_visitor_has_every_fact_that_is_proven_and_no_reason() {
        let visitor = verified(
            Proven {
                id: Some("u1".into()),
                name: Some("Krūmiņa".into()),
                email: None,
                attributes: Some("{\"plan\":\"pro\"}".into()),
                key: "2026-11".into(),
                expires: Some(UnixTime::from_secs(1_700_000_420)),
                ..Proven::default()
            },
            None,
        );
        let (headers, _) = injected(&visitor);
        assert_eq!(get(&headers, "countersign-status"), Some("verified"));
        assert_eq!(get(&headers, "countersign-reason"), None);
        assert_eq!(get(&headers, "countersign-id"), Some("u1"));
        assert_eq!(get(&headers, "countersign-name"), Some("Kr%C5%ABmi%C5%86a"));
        assert_eq!(get(&headers, "countersign-email"), None);
        assert_eq!(get(&headers, "countersign-attributes"), Some("{\"plan\":\"pro\"}"));
        assert_eq!(get(&headers, "countersign-key"), Some("2026-11"));
        assert_eq!(get(&headers, "countersign-expires"), Some("1700000420"));
        assert_eq!(get(&headers, "countersign-claimed"), None);
        assert_eq!(get(&headers, "countersign-omitted"), None);
    }

    #[test]
    fn what_does_not_fit_is_left_out_whole_and_named() {
        let json = |len: usize| Some(format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8)));
        let wide = "ā".repeat(512);
        let Budget { max_value, max_total } = Budget::default();
        // Columns: length of attributes and of claims, width of name and email, omitted.
        for (attributes, claimed, filler, expected) in [
            (max_value, MAX_CLAIMED, "", ""),
            (max_value + 1, 100, "", "attributes"),
            (100, MAX_CLAIMED + 1, "", "claimed"),
            (max_value + 1, MAX_CLAIMED + 1, "", "claimed,attributes"),
            (5000, 2000, wide.as_str(), "claimed"),
            (7000, 2000, wide.as_str(), "claimed,attributes"),
        ] {
            let fill = (!filler.is_empty()).then(|| filler.to_string());
            let proven = Proven {
                id: Some("u1".into()),
                name: fill.clone(),
                email: fill,
                attributes: json(attributes),
                ..Proven::default()
            };
            let (headers, omitted) = injected(&verified(proven, json(claimed)));
            assert_eq!(omitted.join(","), expected);
            assert_eq!(get(&headers, "countersign-omitted").unwrap_or(""), expected);
            for name in ["claimed", "attributes"] {
                let sent = get(&headers, &format!("countersign-{name}")).is_some();
                assert_eq!(sent, !expected.contains(name), "{name} of {attributes}/{claimed}");
            }
            assert!(headers.iter().map(|(_, value)| value.len()).sum::<usize>() <= max_total);
        }
    }

    fn ada() -> Proven {
        Proven {
            id: Some("ada".into()),
            name: Some("Ada Krūmiņa".into()),
            email: Some("ada@acme.example".into()),
            key: "k".into(),
            ..Proven::default()
        }
    }

    fn called(further: &[(Field, &str)], only: &[Field], budget: Budget) -> SiteHeaders {
        let own = only.iter().map(|field| (*field, field.spelled().to_owned()));
        let further = further.iter().map(|(field, name)| (*field, (*name).to_owned()));
        SiteHeaders::new(&own.chain(further).collect::<Vec<_>>(), &[], None, budget)
    }

    #[test]
    fn a_field_is_sent_under_each_of_its_names_and_a_guest_has_no_identity_under_any() {
        let further = [
            (Field::Id, "Remote-User"),
            (Field::Id, "X-User"),
            (Field::Name, "Remote-Name"),
            (Field::Status, "X-Status"),
            (Field::Key, "X-Key"),
        ];
        let headers = called(&further, &[Field::Status], Budget::default());
        let (set, omitted) = injected_as(&headers, &verified(ada(), None));
        let sorted = |mut set: Vec<(String, String)>| {
            set.sort();
            set
        };
        let pairs = |pairs: &[(&str, &str)]| -> Vec<(String, String)> {
            pairs.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect()
        };
        assert_eq!(
            sorted(set),
            pairs(&[
                ("countersign-status", "verified"),
                ("remote-name", "Ada Kr%C5%ABmi%C5%86a"),
                ("remote-user", "ada"),
                ("x-key", "k"),
                ("x-status", "verified"),
                ("x-user", "ada"),
            ])
        );
        assert!(omitted.is_empty(), "what nobody asked for was not left out for size");
        let standing = Standing::Guest(Reason::Missing);
        let guest = Visitor { standing, claimed: Some("{}".into()), details: None };
        let (set, _) = injected_as(&headers, &guest);
        let expected = pairs(&[("countersign-status", "guest"), ("x-status", "guest")]);
        assert_eq!(sorted(set), expected);
    }

    #[test]
    fn every_copy_counts_and_email_and_name_go_last() {
        let all = Field::ALL;
        let copies = |count: usize| -> Vec<(Field, String)> {
            (0..count).map(|number| (Field::Name, format!("X-Name-{number}"))).collect()
        };
        let json = |len: usize| Some(format!("{{\"a\":\"{}\"}}", "x".repeat(len - 8)));
        let total = |max_total| Budget { max_value: 3500, max_total };
        // Columns: copies of a name of 3072 bytes, attributes, budget, omitted.
        for (count, attributes, budget, expected) in [
            (1, 1000, total(12 * 1024), ""),
            (2, 3000, total(12 * 1024), "attributes"),
            (3, 100, total(12 * 1024), "attributes,name"),
            (0, 3501, total(12 * 1024), "attributes"),
            (0, 100, total(3000), "attributes,name"),
            (0, 100, Budget { max_value: 3000, max_total: 12 * 1024 }, "name"),
        ] {
            let copies = copies(count);
            let copies: Vec<_> =
                copies.iter().map(|(field, name)| (*field, name.as_str())).collect();
            let headers = called(&copies, all, budget);
            let name = Some("ā".repeat(512));
            let proven = Proven { name, email: None, attributes: json(attributes), ..ada() };
            let (set, omitted) = injected_as(&headers, &verified(proven, None));
            assert_eq!(omitted.join(","), expected, "{count} {attributes} {budget:?}");
            assert_eq!(get(&set, "countersign-omitted").unwrap_or(""), expected);
            let names = set.iter().filter(|(_, value)| value.starts_with("%C4%81")).count();
            let gone = expected.contains("name");
            assert_eq!(names, if gone { 0 } else { 1 + count }, "all of them or none");
            assert_eq!(get(&set, "countersign-id"), Some("ada"));
            let sum = set.iter().map(|(_, value)| value.len()).sum::<usize>();
            assert!(sum <= budget.max_total, "{sum}");
        }
    }

    #[test]
    fn what_is_never_left_out_is_as_long_as_the_configuration_is_told() {
        let long = "\u{1f}".repeat(256);
        let proven = Proven {
            id: Some(long.clone()),
            key: long.as_str().into(),
            expires: Some(UnixTime::from_secs(99_999_999_999)),
            name: Some("n".repeat(1024)),
            ..Proven::default()
        };
        let (site, dialect) = ("acme-support", "zendesk-chat");
        let mut headers = SiteHeaders::default();
        let least = headers.least_total(site, &["jwt", dialect]);
        let budget = Budget { max_value: 1024, max_total: least };
        headers.budget = budget;
        let (set, omitted) = injected_as(&headers, &verified(proven, None));
        assert_eq!(omitted, ["name"]);
        let sum = set.iter().map(|(_, value)| value.len()).sum::<usize>();
        // All but a reason, and what a longer request id takes.
        assert!(sum <= least && sum > least - 3 * 128 - 21 - 60, "{sum} of {least}");
        let more = called(&[(Field::Id, "X-User"), (Field::Id, "X-Login")], Field::ALL, budget);
        assert_eq!(more.least_total(site, &[dialect]), least + 2 * 768);
    }

    #[test]
    fn an_assertion_says_the_same_whatever_headers_are_sent() {
        let pair = crate::dialect::fresh::pair(crate::dialect::Algorithm::ES256).unwrap();
        let key = crate::assertion::SigningKey::from_pem(pair.private.expose()).unwrap();
        let signer = Assertion::new(vec![key], "countersign", Assertion::TTL).unwrap();
        let plan = PlanBuilder::new(token_dialect()).build();
        let attributes = Some("{\"plan\":\"pro\"}".to_owned());
        let visitor = verified(Proven { attributes, ..ada() }, Some("{\"a\":\"b\"}".into()));
        let asserted = |headers: &SiteHeaders| {
            let told = Told {
                site: &plan.sites[0].values,
                headers,
                visitor: &visitor,
                by_session: false,
                oversized_claim: false,
                request_id: "req-1",
                assertion: Some(&signer),
                now: UnixTime::from_secs(1000),
            };
            let mut set = Vec::new();
            inject(&told, &mut Values::new(), &mut set);
            set.retain(|(name, _)| name.as_str().contains("assert"));
            set
        };
        let usual = asserted(&SiteHeaders::default());
        assert_eq!(usual.len(), 1);
        let budget = Budget::default();
        let alone = called(&[], &[Field::Status, Field::Assertion], budget);
        assert_eq!(asserted(&alone), usual);
        let further = [(Field::Id, "X-User"), (Field::Attributes, "X-Attributes")];
        assert_eq!(asserted(&called(&further, Field::ALL, budget)), usual);
        let elsewhere = called(&[(Field::Assertion, "X-Asserted")], &[Field::Status], budget);
        let [(name, value)] = &asserted(&elsewhere)[..] else { panic!("one assertion") };
        assert_eq!((name.as_str(), value), ("x-asserted", &usual[0].1));
        assert_eq!(asserted(&called(&[], &[Field::Status], budget)), []);
    }
}
