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

/// Adds the headers that tell the backend of a visitor; answers what was left out for
/// size. `oversized_claim`: claims were dropped already while they were collected.
pub(super) fn inject(
    site: &SiteValues,
    visitor: &Visitor,
    oversized_claim: bool,
    request_id: &str,
    values: &mut Values,
    set: &mut Vec<(HeaderName, HeaderValue)>,
) -> Vec<&'static str> {
    let mut injection = Injection { set, total: 0 };
    injection.add(&SITE, site.site.clone());
    injection.add(&DIALECT, site.dialect.clone());
    injection.add(&REQUEST_ID, values.plain(request_id));
    let mut attributes = None;
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
            attributes = identity.attributes.as_deref();
        }
    }
    let (claimed, details) = (visitor.claimed.as_deref(), visitor.details.as_deref());
    injection.add_what_fits(
        [
            Dispensable { name: &CLAIMED, word: "claimed", json: claimed },
            Dispensable { name: &DETAILS, word: "details", json: details },
            Dispensable { name: &ATTRIBUTES, word: "attributes", json: attributes },
        ],
        oversized_claim,
        values,
    )
}

/// A JSON value that is left out where there is no room for it.
struct Dispensable<'a> {
    name: &'static HeaderName,
    /// What it is called in `Countersign-Omitted`.
    word: &'static str,
    json: Option<&'a str>,
}

impl<'a> Dispensable<'a> {
    /// It, unless it is too long by itself.
    fn fitting(&self) -> Option<&'a str> {
        let limit = if *self.name == CLAIMED { MAX_CLAIMED } else { MAX_VALUE };
        self.json.filter(|json| !json.is_empty() && json.len() <= limit)
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

    /// Adds JSON values, and leaves out as many of the first as it takes for the rest to fit.
    fn add_what_fits(
        &mut self,
        offered: [Dispensable<'_>; 3],
        oversized_claim: bool,
        values: &mut Values,
    ) -> Vec<&'static str> {
        // Room for naming all, should all have to go.
        let mut room = MAX_TOTAL.saturating_sub(self.total + "claimed,details,attributes".len());
        let len = |json: Option<&str>| json.map_or(0, str::len);
        let mut wanted: usize = offered.iter().map(|one| len(one.fitting())).sum();
        let mut omitted = Vec::new();
        for one in offered {
            let kept = one.fitting().filter(|_| wanted <= room);
            wanted -= len(one.fitting());
            room -= len(kept);
            let is_there = len(one.json) > 0 || oversized_claim && *one.name == CLAIMED;
            match kept {
                Some(json) => self.add(one.name, values.joined(&[json])),
                None if is_there => omitted.push(one.word),
                None => {}
            }
        }
        if !omitted.is_empty() {
            self.add(&OMITTED, values.joined(&[&omitted.join(",")]));
        }
        omitted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;
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
        let omitted =
            inject(&plan.sites[0].values, visitor, false, "req-1", &mut Values::new(), &mut set);
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
