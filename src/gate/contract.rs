//! The headers that a backend may trust: which names are reserved, what goes into them.
//!
//! Everything that folds to `countersign` or `countersign-…` is removed from a request
//! before ours are set, in every mode, whether or not we set that name: backends read
//! `X_Y`, `X.Y` and `X-Y` as one variable (CGI), so a name is compared folded. Each header
//! is set at most once, and only with a value; values are printable ASCII.
//!
//! Budget: no value over [`MAX_VALUE`] bytes, `Countersign-Claimed` not over
//! [`MAX_CLAIMED`], all values together not over [`MAX_TOTAL`]. What does not fit is left
//! out whole, first what was only claimed, then the details, then the attributes, and is named
//! in `Countersign-Omitted`.

use http::{HeaderName, HeaderValue};

use super::values::Values;
use crate::assertion::{Assertion, Content};
use crate::clock::UnixTime;
use crate::identity::{Standing, Visitor};

/// Longest injected value, in bytes.
pub const MAX_VALUE: usize = 8000;
/// Longest `Countersign-Claimed`, in bytes.
pub const MAX_CLAIMED: usize = 2 * 1024;
/// All injected values together, in bytes.
pub const MAX_TOTAL: usize = 12 * 1024;

macro_rules! names {
    ($($constant:ident $name:literal $spelled:literal,)*) => {
        $(#[doc = concat!("`", $spelled, "`")]
        pub static $constant: HeaderName = HeaderName::from_static($name);)*

        /// Every name that is injected, and its spelling in HTTP/1.x.
        pub const SPELLINGS: &[(&str, &str)] = &[$(($name, $spelled),)*];

        /// The spelling of a name that is injected.
        pub fn spelling(name: &str) -> Option<&'static str> {
            match name { $($name => Some($spelled),)* _ => None }
        }
    };
}

names! {
    STATUS "countersign-status" "Countersign-Status",
    REASON "countersign-reason" "Countersign-Reason",
    SITE "countersign-site" "Countersign-Site",
    DIALECT "countersign-dialect" "Countersign-Dialect",
    ID "countersign-id" "Countersign-Id",
    NAME "countersign-name" "Countersign-Name",
    EMAIL "countersign-email" "Countersign-Email",
    ATTRIBUTES "countersign-attributes" "Countersign-Attributes",
    CLAIMED "countersign-claimed" "Countersign-Claimed",
    DETAILS "countersign-details" "Countersign-Details",
    KEY "countersign-key" "Countersign-Key",
    EXPIRES "countersign-expires" "Countersign-Expires",
    REQUEST_ID "countersign-request-id" "Countersign-Request-Id",
    OMITTED "countersign-omitted" "Countersign-Omitted",
    ASSERTION "countersign-assertion" "Countersign-Assertion",
}

/// Whether two header names are one to a careless reader: case does not count, nor which
/// characters other than letters and digits stand between these, nor any at the ends. Most
/// names differ at their first letter, and then nothing more is looked at.
pub fn folds_alike(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    let mut begun = false;
    loop {
        let (one, other) = (next_letter(&mut one), next_letter(&mut other));
        match (one, other) {
            (None, None) => return true,
            (Some((gap, one)), Some((other_gap, other)))
                if one.eq_ignore_ascii_case(&other) && (gap == other_gap || !begun) =>
            {
                begun = true;
            }
            _ => return false,
        }
    }
}

/// Takes the next letter or digit off a name, and says whether anything stood before it.
fn next_letter(name: &mut &[u8]) -> Option<(bool, u8)> {
    let mut gap = false;
    while let Some((byte, rest)) = name.split_first() {
        *name = rest;
        if byte.is_ascii_alphanumeric() {
            return Some((gap, *byte));
        }
        gap = true;
    }
    None
}

/// Whether a header or trailer is ours alone: its folded name is `countersign` or begins
/// with `countersign-`.
pub fn is_reserved(name: &str) -> bool {
    const WORD: &[u8] = b"countersign";
    let bytes = name.as_bytes();
    let start = bytes.iter().position(u8::is_ascii_alphanumeric).unwrap_or(bytes.len());
    match bytes.get(start..).and_then(|rest| rest.split_at_checked(WORD.len())) {
        Some((word, rest)) => {
            word.eq_ignore_ascii_case(WORD) && !rest.first().is_some_and(u8::is_ascii_alphanumeric)
        }
        None => false,
    }
}

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
    let mut injection = Injection { set, total: 0 };
    injection.add(&SITE, site.site.clone());
    injection.add(&DIALECT, site.dialect.clone());
    injection.add(&REQUEST_ID, values.plain(told.request_id));
    match &visitor.standing {
        Standing::Guest(reason) => {
            injection.add(&STATUS, Some(HeaderValue::from_static("guest")));
            injection.add(&REASON, Some(HeaderValue::from_static(reason.code())));
        }
        Standing::Verified(identity) => {
            let mut plain = |text: &Option<String>| values.plain(text.as_deref()?);
            injection.add(&STATUS, Some(HeaderValue::from_static("verified")));
            injection.add(&ID, plain(&identity.id));
            injection.add(&NAME, plain(&identity.name));
            injection.add(&EMAIL, plain(&identity.email));
            injection.add(&KEY, values.plain(&identity.key));
            injection.add(&EXPIRES, identity.expires.and_then(|at| values.number(at.as_secs())));
        }
    }
    injection.add_what_fits(told, values)
}

/// The JSON values, which are left out where there is no room for them, the first ones first.
#[derive(Clone, Copy)]
struct Dispensable<'a>([Option<&'a str>; 3]);

impl<'a> Dispensable<'a> {
    const NAMES: [(&'static HeaderName, &'static str); 3] =
        [(&CLAIMED, "claimed"), (&DETAILS, "details"), (&ATTRIBUTES, "attributes")];

    fn of(visitor: &'a Visitor) -> Self {
        let attributes = visitor.identity().and_then(|identity| identity.attributes.as_deref());
        let all = [visitor.claimed.as_deref(), visitor.details.as_deref(), attributes];
        Self(all.map(|json| json.filter(|json| !json.is_empty())))
    }

    /// Those that are not too long by themselves.
    fn fitting(self) -> Self {
        let [claimed, details, attributes] = self.0;
        let within = |json: Option<&'a str>, limit| json.filter(|json| json.len() <= limit);
        Self([
            within(claimed, MAX_CLAIMED),
            within(details, MAX_VALUE),
            within(attributes, MAX_VALUE),
        ])
    }

    /// Without the first that is there; none if nothing is.
    fn fewer(mut self) -> Option<Self> {
        self.0.iter_mut().find(|json| json.is_some())?.take();
        Some(self)
    }

    fn len(&self) -> usize {
        self.0.iter().flatten().map(|json| json.len()).sum()
    }
}

/// What the assertion says: what the headers do.
fn asserted<'a>(told: &'a Told<'_>, kept: Dispensable<'a>) -> Content<'a> {
    let identity = told.visitor.identity();
    let [claimed, details, attributes] = kept.0;
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
        name: identity.and_then(|identity| identity.name.as_deref()),
        email: identity.and_then(|identity| identity.email.as_deref()),
        attributes,
        claimed,
        details,
        via: identity.map(|_| if told.by_session { "session" } else { "credential" }),
    }
}

struct Injection<'s> {
    set: &'s mut Vec<(HeaderName, HeaderValue)>,
    total: usize,
}

impl Injection<'_> {
    fn add(&mut self, name: &HeaderName, value: Option<HeaderValue>) {
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            self.total += value.len();
            self.set.push((name.clone(), value));
        }
    }

    /// Adds the JSON values and the assertion of it all, and leaves out as many of the former as
    /// it takes for the rest to fit.
    fn add_what_fits(&mut self, told: &Told<'_>, values: &mut Values) -> Vec<&'static str> {
        // Room for naming all, should all have to go.
        let room =
            MAX_TOTAL.saturating_sub(self.total + "claimed,details,attributes,assertion".len());
        let offered = Dispensable::of(told.visitor);
        let mut kept = offered.fitting();
        let mut assertion = told.assertion;
        loop {
            let signed = assertion.map_or(0, |signer| signer.len_of(&asserted(told, kept)));
            if signed <= MAX_VALUE && kept.len() + signed <= room {
                break;
            }
            match kept.fewer() {
                Some(fewer) => kept = fewer,
                None => {
                    assertion = None;
                    break;
                }
            }
        }
        let token = assertion.and_then(|signer| signer.of(&asserted(told, kept), told.now));
        let mut omitted = Vec::new();
        for (((name, word), offered), json) in
            Dispensable::NAMES.into_iter().zip(offered.0).zip(kept.0)
        {
            let dropped_before = told.oversized_claim && *name == CLAIMED;
            match json {
                Some(json) => self.add(name, values.joined(&[json])),
                None if offered.is_some() || dropped_before => omitted.push(word),
                None => {}
            }
        }
        if told.assertion.is_some() && token.is_none() {
            omitted.push("assertion");
        }
        self.add(&ASSERTION, token);
        if !omitted.is_empty() {
            self.add(&OMITTED, values.joined(&[&omitted.join(",")]));
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

    /// Lower case, each run of characters other than letters and digits one `-`, none at
    /// the ends.
    fn fold(name: &str) -> String {
        let words = name.split(|c: char| !c.is_ascii_alphanumeric());
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        words.join("-").to_ascii_lowercase()
    }

    #[test]
    fn names_fold_to_what_a_careless_reader_sees() {
        for (name, expected) in [
            ("countersign-id", "countersign-id"),
            ("Countersign-Id", "countersign-id"),
            ("countersign_id", "countersign-id"),
            ("COUNTERSIGN.ID", "countersign-id"),
            ("countersign--__..id", "countersign-id"),
            ("-_countersign-id_-", "countersign-id"),
            ("x!y#z", "x-y-z"),
            ("___", ""),
            ("", ""),
        ] {
            assert_eq!(fold(name), expected);
            assert!(folds_alike(name, expected), "{name}");
        }
        assert!(!folds_alike("x-user-id", "x-userid"));
    }

    #[test]
    fn reserved_names_are_reserved_in_every_spelling() {
        for name in [
            "countersign",
            "countersign-id",
            "Countersign-Id",
            "COUNTERSIGN-ID",
            "countersign_id",
            "Countersign_Id",
            "countersign.id",
            "countersign--id",
            "countersign-_-id",
            "_countersign-id",
            "-countersign-id",
            ".countersign.id.",
            "__countersign__id__",
            "countersign-",
            "countersign_",
            "countersign!id",
            "countersign~status",
            "countersign-anything-else",
            "'countersign'-id",
            "Countersign.-_.Assertion",
        ] {
            assert!(is_reserved(name), "{name}");
            let folded = fold(name);
            assert!(folded == "countersign" || folded.starts_with("countersign-"), "{name}");
        }
        for name in [
            "countersigned",
            "x-countersign-id",
            "counter-sign-id",
            "counter",
            "",
            "--",
            "countersignid",
        ] {
            assert!(!is_reserved(name), "{name}");
        }
    }

    fn injected(visitor: &Visitor) -> (Vec<(String, String)>, Vec<&'static str>) {
        let plan = PlanBuilder::new(token_dialect()).build();
        let mut set = Vec::new();
        let told = Told {
            site: &plan.sites[0].values,
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
        // Columns: length of attributes and of claims, width of name and email, omitted.
        for (attributes, claimed, filler, expected) in [
            (MAX_VALUE, MAX_CLAIMED, "", ""),
            (MAX_VALUE + 1, 100, "", "attributes"),
            (100, MAX_CLAIMED + 1, "", "claimed"),
            (MAX_VALUE + 1, MAX_CLAIMED + 1, "", "claimed,attributes"),
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
            assert!(headers.iter().map(|(_, value)| value.len()).sum::<usize>() <= MAX_TOTAL);
        }
    }
}
