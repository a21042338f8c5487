//! The headers that a backend may trust: which names are reserved, what goes into them.
//!
//! Everything that folds to `countersign` or `countersign-…` is removed from a request
//! before ours are set, in every mode, whether or not we set that name: backends read
//! `X_Y`, `X.Y` and `X-Y` as one variable (CGI), so a name is compared folded. Each header
//! is set at most once, and only with a value; values are printable ASCII.
//!
//! Budget: no value over [`MAX_VALUE`] bytes, `Countersign-Claimed` not over
//! [`MAX_CLAIMED`], all values together not over [`MAX_TOTAL`]. What does not fit is left
//! out whole, first what was only claimed, then the attributes, and is named in
//! `Countersign-Omitted`.

use std::borrow::Cow;
use std::fmt::Write;

use http::{HeaderName, HeaderValue};

use crate::identity::{Standing, Visitor};
use crate::plan::Site;

/// Longest injected value, in bytes.
pub const MAX_VALUE: usize = 8000;
/// Longest `Countersign-Claimed`, in bytes.
pub const MAX_CLAIMED: usize = 2 * 1024;
/// All injected values together, in bytes.
pub const MAX_TOTAL: usize = 12 * 1024;

macro_rules! names {
    ($($constant:ident $name:literal,)*) => {
        $(#[doc = concat!("`", $name, "`")]
        pub static $constant: HeaderName = HeaderName::from_static($name);)*
    };
}

names! {
    STATUS "countersign-status",
    REASON "countersign-reason",
    SITE "countersign-site",
    DIALECT "countersign-dialect",
    ID "countersign-id",
    NAME "countersign-name",
    EMAIL "countersign-email",
    ATTRIBUTES "countersign-attributes",
    CLAIMED "countersign-claimed",
    KEY "countersign-key",
    EXPIRES "countersign-expires",
    REQUEST_ID "countersign-request-id",
    OMITTED "countersign-omitted",
}

/// A header name as a careless reader sees it: lower case, each run of characters other
/// than letters and digits one `-`, none at the ends.
pub fn fold(name: &str) -> Cow<'_, str> {
    if folded(name).eq(name.bytes()) {
        Cow::Borrowed(name)
    } else {
        Cow::Owned(folded(name).map(char::from).collect())
    }
}

/// Whether two header names are one to a careless reader.
pub fn folds_alike(one: &str, other: &str) -> bool {
    folded(one).eq(folded(other))
}

fn folded(name: &str) -> impl Iterator<Item = u8> {
    let name = name.trim_matches(|c: char| !c.is_ascii_alphanumeric());
    let mut in_run = false;
    name.bytes().filter_map(move |byte| {
        if byte.is_ascii_alphanumeric() {
            in_run = false;
            return Some(byte.to_ascii_lowercase());
        }
        let starts = !in_run;
        in_run = true;
        starts.then_some(b'-')
    })
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

/// Adds the headers that tell the backend of a visitor; answers what was left out for
/// size. `oversized_claim`: claims were dropped already while they were collected.
pub(super) fn inject(
    site: &Site,
    visitor: &Visitor,
    oversized_claim: bool,
    request_id: &str,
    set: &mut Vec<(HeaderName, HeaderValue)>,
) -> Vec<&'static str> {
    let mut injection = Injection { set, total: 0 };
    injection.add(&SITE, plain(&site.name));
    injection.add(&DIALECT, plain(&site.dialect.name));
    injection.add(&REQUEST_ID, plain(request_id));
    let mut attributes = None;
    match &visitor.standing {
        Standing::Guest(reason) => {
            injection.add(&STATUS, Some(HeaderValue::from_static("guest")));
            injection.add(&REASON, Some(HeaderValue::from_static(reason.code())));
        }
        Standing::Verified(identity) => {
            injection.add(&STATUS, Some(HeaderValue::from_static("verified")));
            injection.add(&ID, identity.id.as_deref().and_then(plain));
            injection.add(&NAME, identity.name.as_deref().and_then(plain));
            injection.add(&EMAIL, identity.email.as_deref().and_then(plain));
            injection.add(&KEY, plain(&identity.key));
            injection.add(&EXPIRES, identity.expires.map(|at| HeaderValue::from(at.as_secs())));
            attributes = identity.attributes.as_deref();
        }
    }
    injection.add_what_fits(attributes, visitor.claimed.as_deref(), oversized_claim)
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

    fn add_what_fits(
        &mut self,
        attributes: Option<&str>,
        claimed: Option<&str>,
        oversized_claim: bool,
    ) -> Vec<&'static str> {
        let json = |text: Option<&str>, limit| {
            let text = text.filter(|text| !text.is_empty());
            let fitting = text.filter(|text| text.len() <= limit);
            (fitting.and_then(|text| HeaderValue::from_str(text).ok()), text.is_some())
        };
        let (mut claims, mut has_claims) = json(claimed, MAX_CLAIMED);
        let (mut attributes, has_attributes) = json(attributes, MAX_VALUE);
        has_claims |= oversized_claim;

        let len = |value: &Option<HeaderValue>| value.as_ref().map_or(0, HeaderValue::len);
        // Room for naming both, should both have to go.
        let room = MAX_TOTAL.saturating_sub(self.total + "claimed,attributes".len());
        if len(&claims) + len(&attributes) > room {
            claims = None;
        }
        if len(&attributes) > room {
            attributes = None;
        }

        let mut omitted = Vec::new();
        if has_claims && claims.is_none() {
            omitted.push("claimed");
        }
        if has_attributes && attributes.is_none() {
            omitted.push("attributes");
        }
        self.add(&CLAIMED, claims);
        self.add(&ATTRIBUTES, attributes);
        if !omitted.is_empty() {
            self.add(&OMITTED, HeaderValue::try_from(omitted.join(",")).ok());
        }
        omitted
    }
}

/// A plain value: percent-encoded UTF-8 with upper-case hex; `%`, controls, non-ASCII and
/// a space at either end are encoded, nothing else.
fn plain(text: &str) -> Option<HeaderValue> {
    let last = text.len().saturating_sub(1);
    let passes = |(index, byte): (usize, u8)| match byte {
        b'%' => false,
        b' ' => index != 0 && index != last,
        _ => byte.is_ascii_graphic(),
    };
    if text.bytes().enumerate().all(passes) {
        return HeaderValue::from_str(text).ok();
    }
    let mut encoded = String::with_capacity(text.len() * 3);
    for (index, byte) in text.bytes().enumerate() {
        if passes((index, byte)) {
            encoded.push(char::from(byte));
        } else {
            encoded.push_str(percent_encoding::percent_encode_byte(byte));
        }
    }
    HeaderValue::try_from(encoded).ok()
}

/// Appends a JSON string in printable ASCII, quotes included.
pub(super) fn write_json_string(text: &str, json: &mut String) {
    json.push('"');
    for c in text.chars() {
        match c {
            '"' => json.push_str("\\\""),
            '\\' => json.push_str("\\\\"),
            '\n' => json.push_str("\\n"),
            '\r' => json.push_str("\\r"),
            '\t' => json.push_str("\\t"),
            ' '..='~' => json.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    // Writing into a String cannot fail.
                    let _ = write!(json, "\\u{unit:04x}");
                }
            }
        }
    }
    json.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::UnixTime;
    use crate::dialect::Reason;
    use crate::gate::testing::{PlanBuilder, token_dialect};
    use crate::identity::{Identity, Proven};

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
            assert_eq!(fold(name), expected, "{name}");
            assert!(folds_alike(name, expected), "{name}");
        }
        assert!(matches!(fold("x-forwarded-for"), Cow::Borrowed(_)));
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

    #[test]
    fn plain_values_are_percent_encoded_and_nothing_else() {
        for (text, expected) in [
            ("user-123456", "user-123456"),
            ("Ada Lovelace", "Ada Lovelace"),
            ("Krūmiņa", "Kr%C5%ABmi%C5%86a"),
            ("🙂", "%F0%9F%99%82"),
            ("100%", "100%25"),
            ("a\r\nSet-Cookie: x", "a%0D%0ASet-Cookie: x"),
            ("\ttab\u{7f}", "%09tab%7F"),
            (" lead", "%20lead"),
            ("trail ", "trail%20"),
            (" ", "%20"),
            ("u1 ", "u1%20"),
            ("a,b;c=\"d\"", "a,b;c=\"d\""),
        ] {
            assert_eq!(plain(text).unwrap(), expected, "{text:?}");
        }
    }

    #[test]
    fn json_strings_are_ascii_and_read_back_the_same() {
        for text in ["plain", "Krūmiņa", "🙂", "\"\\/", "\r\n\t\u{8}\u{0}\u{7f}\u{2028}", " % "]
        {
            let mut json = String::new();
            write_json_string(text, &mut json);
            assert!(json.bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json}");
            assert_eq!(serde_json::from_str::<String>(&json).unwrap(), text);
        }
    }

    fn injected(visitor: &Visitor) -> (Vec<(String, String)>, Vec<&'static str>) {
        let plan = PlanBuilder::new(token_dialect()).build();
        let mut set = Vec::new();
        let omitted = inject(&plan.sites[0], visitor, false, "req-1", &mut set);
        let text = |(name, value): &(HeaderName, HeaderValue)| {
            (name.to_string(), value.to_str().unwrap().to_string())
        };
        (set.iter().map(text).collect(), omitted)
    }

    fn verified(proven: Proven, claimed: Option<String>) -> Visitor {
        Visitor { standing: Standing::Verified(Identity::attest(proven)), claimed }
    }

    fn get<'h>(headers: &'h [(String, String)], name: &str) -> Option<&'h str> {
        headers.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    #[test]
    fn a_guest_is_told_with_the_reason_and_nothing_else() {
        let visitor = Visitor {
            standing: Standing::Guest(Reason::Unsigned),
            claimed: Some("{\"a\":\"b\"}".into()),
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
