//! What the checks of a token say, one sentence a test.

use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use super::super::founding::*;
use super::super::*;
use crate::clock::UnixTime;

const NOW: u64 = 1_700_000_000;
const SECRET: &str = "0123456789abcdef0123456789abcdef";
const HS256: &str = r#"{"typ":"JWT","alg":"HS256"}"#;
const PAYLOAD: &str = r#"{"sub":"u1","iat":1700000000,"exp":1700000300}"#;

fn b64(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

/// A token of exactly this header and payload.
fn sign(key: &Key, header: &str, payload: &str) -> String {
    let message = format!("{}.{}", b64(header), b64(payload));
    let signature = key.sign(message.as_bytes()).unwrap();
    format!("{message}.{}", b64(signature))
}

fn k1() -> Key {
    secret("k1", Algorithm::HS256, SECRET)
}

fn judge(
    dialect: &Dialect,
    keyring: &Keyring,
    token: &str,
    now: u64,
) -> Result<Identity, Rejection> {
    dialect.verify(&Credential::Token(token.into()), keyring, UnixTime::from_secs(now))
}

/// The verdict on a payload signed with the one key.
fn of_payload(dialect: &Dialect, payload: &str) -> Result<Identity, Rejection> {
    judge(dialect, &ring([k1()]), &sign(&k1(), HS256, payload), NOW)
}

/// The verdict on a header above a good payload.
fn of_header(header: &str) -> Result<Identity, Rejection> {
    judge(&jwt(), &ring([k1()]), &sign(&k1(), header, PAYLOAD), NOW)
}

#[track_caller]
fn refused(verdict: Result<Identity, Rejection>, reason: Reason) -> Rejection {
    let rejection = verdict.unwrap_err();
    assert_eq!(rejection.reason, reason, "{}", rejection.detail);
    rejection
}

#[test]
fn a_good_token_proves_what_it_says() {
    let identity = of_payload(
        &jwt(),
        r#"{"iss":"x","sub":"u1","jti":"j","iat":1700000000,"exp":1700000300,"nbf":1700000000,
            "name":"Zo\u00eb \ud83d\ude00","email":"z@b.c","plan":{"tier":2.50,"é":null},"gone":null}"#,
    )
    .unwrap();
    assert_eq!(identity.id.as_deref(), Some("u1"));
    assert_eq!(identity.name.as_deref(), Some("Zoë 😀"));
    assert_eq!(identity.email.as_deref(), Some("z@b.c"));
    let attributes = r#"{"plan":{"tier":2.50,"\u00e9":null}}"#;
    assert_eq!(identity.attributes.as_deref(), Some(attributes));
    assert_eq!(&*identity.key, "k1");
    assert_eq!(identity.expires, Some(UnixTime::from_secs(1_700_000_300)));
    assert_eq!(identity.issued_at, Some(UnixTime::from_secs(1_700_000_000)));
}

#[test]
fn the_example_of_rfc_7515_a_1_verifies() {
    let key = BASE64_URL_SAFE_NO_PAD
        .decode("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow")
        .unwrap();
    let key = Key::secret("a1", Algorithm::HS256, &crate::secret::Secret::new(key)).unwrap();
    let token = "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9.\
        eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVlfQ.\
        dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
    let dialect = with(jwt(), "a1", |rules| {
        rules.claims.id = vec![claim("/iss")];
        rules.claims.required.clear();
        rules.claims.attributes = Attributes::Rest;
    });
    let identity = judge(&dialect, &ring([key]), token, 1_300_819_000).unwrap();
    assert_eq!(identity.id.as_deref(), Some("joe"));
    let attributes = r#"{"http://example.com/is_root":true}"#;
    assert_eq!(identity.attributes.as_deref(), Some(attributes));
}

#[test]
fn headers_that_libraries_let_pass_are_malformed() {
    for member in [
        r#""crit":["exp"]"#,
        r#""crit":["b64"],"b64":false"#,
        r#""crit":null"#,
        r#""b64":true"#,
        r#""zip":"DEF""#,
        r#""enc":"A256GCM""#,
        r#""jwk":{"kty":"oct","k":"AAAA"}"#,
        r#""jku":"https://evil.example/keys""#,
        r#""x5u":"https://evil.example/cert""#,
        r#""x5c":[]"#,
        r#""typ":"at+jwt""#,
        r#""typ":"countersign+jwt""#,
        r#""typ":5"#,
        r#""kid":5"#,
        r#""kid":["k1"]"#,
        r#""alg":"HS256""#,
        r#""x":{"a":1,"a":2}"#,
    ] {
        let verdict = of_header(&format!(r#"{{"alg":"HS256",{member}}}"#));
        let rejection = refused(verdict, Reason::Malformed);
        assert!(!rejection.detail.contains("evil"), "{}", rejection.detail);
    }
    for header in
        ["{}", r#"{"typ":"JWT"}"#, r#"{"alg":null}"#, r#"{"alg":5}"#, r#"["HS256"]"#, "null", ""]
    {
        refused(of_header(header), Reason::Malformed);
    }
    for header in
        [r#"{"alg":"HS256"}"#, r#"{"alg":"HS256","typ":"jwt"}"#, r#"{"alg":"HS256","cty":"x"}"#]
    {
        assert!(of_header(header).is_ok(), "{header}");
    }
}

#[test]
fn another_algorithm_than_the_site_has_is_unsupported() {
    for alg in ["none", "None", "hs256", "HS384", "RS256", "ES512", "HS256 ", ""] {
        refused(of_header(&format!(r#"{{"alg":"{alg}"}}"#)), Reason::UnsupportedAlgorithm);
    }
    let unsigned = format!("{}.{}.", b64(r#"{"alg":"none"}"#), b64(PAYLOAD));
    let verdict = judge(&jwt(), &ring([k1()]), &unsigned, NOW);
    refused(verdict, Reason::UnsupportedAlgorithm);
    refused(
        judge(&jwt(), &ring([]), &sign(&k1(), HS256, PAYLOAD), NOW),
        Reason::UnsupportedAlgorithm,
    );
}

#[test]
fn only_canonical_base64url_in_three_parts_has_the_form() {
    let good = sign(&k1(), HS256, PAYLOAD);
    let [header, payload, signature] = good.split('.').collect::<Vec<_>>()[..] else { panic!() };
    // The last character of 32 bytes carries two bits that mean nothing.
    let mut stray = signature.to_owned();
    let last = stray.pop().unwrap();
    stray.push(char::from(last as u8 + 1));
    for token in [
        String::new(),
        "..".to_owned(),
        format!("{header}.{payload}"),
        format!("{good}."),
        format!("{good}.{signature}"),
        format!("{header}..{payload}.{signature}"),
        format!("{header}=.{payload}.{signature}"),
        format!("{header}.{payload}.{signature}="),
        format!("{header}.{payload}.{stray}"),
        format!(" {good}"),
        format!("{good}\n"),
        format!("{header}.{payload}.{}", signature.replace(['-', '_'], "+")) + "+",
    ] {
        refused(judge(&jwt(), &ring([k1()]), &token, NOW), Reason::Malformed);
    }
    assert!(judge(&jwt(), &ring([k1()]), &good, NOW).is_ok());
}

#[test]
fn size_is_judged_before_anything_is_decoded() {
    let payload =
        |pad: usize| format!(r#"{{"sub":"u1","exp":1700000300,"pad":"{}"}}"#, "x".repeat(pad));
    let longest = (0..9000)
        .map(payload)
        .map(|payload| sign(&k1(), HS256, &payload))
        .find(|token| token.len() == 8192);
    assert!(judge(&jwt(), &ring([k1()]), &longest.unwrap(), NOW).is_ok());
    refused(judge(&jwt(), &ring([k1()]), &"!".repeat(8193), NOW), Reason::TooLarge);
    refused(judge(&jwt(), &ring([k1()]), &"!".repeat(8192), NOW), Reason::Malformed);
}

#[test]
fn a_payload_is_one_strict_json_object() {
    let deep = |depth: usize| {
        let nested = format!("{}{}", "[".repeat(depth - 1), "]".repeat(depth - 1));
        format!(r#"{{"sub":"u1","exp":1700000300,"deep":{nested}}}"#)
    };
    assert!(of_payload(&jwt(), &deep(64)).is_ok());
    for payload in [
        "",
        "1",
        "hello world",
        "[\"u1\",1700000300]",
        r#"{"sub":"u1","exp":1700000300"#,
        r#"{"sub":"u1","exp":1700000300}{}"#,
        r#"{"sub":"u1","sub":"u2","exp":1700000300}"#,
        r#"{"sub":"u1","exp":1700000300,"user_id":"a","user_id":"b"}"#,
        r#"{"sub":"u1","exp":1700000300,"a":[{"b":{"c":1,"\u0063":2}}]}"#,
        r#"{"sub":"\ud800","exp":1700000300}"#,
        &deep(65),
    ] {
        refused(of_payload(&jwt(), payload), Reason::Malformed);
    }
}

#[test]
fn times_are_integers_of_seconds() {
    for (iat, hint) in [
        ("\"1700000000\"", "a string"),
        ("1700000000.0", "not an integer"),
        ("1.7e9", "not an integer"),
        ("1700000000000", "milliseconds"),
        ("100000000000", "milliseconds"),
        ("99999999999999999999999", "too large"),
        ("-1", "negative"),
        ("true", "a boolean"),
        ("[1700000000]", "an array"),
    ] {
        for claim in ["iat", "nbf"] {
            let payload = format!(r#"{{"sub":"u1","exp":1700000300,"{claim}":{iat}}}"#);
            let rejection = refused(of_payload(&jwt(), &payload), Reason::InvalidClaim);
            assert!(rejection.detail.contains(hint), "{}", rejection.detail);
            assert!(rejection.detail.contains(claim), "{}", rejection.detail);
        }
        let payload = format!(r#"{{"sub":"u1","exp":{iat}}}"#);
        refused(of_payload(&jwt(), &payload), Reason::InvalidClaim);
    }
    let absent = r#"{"sub":"u1","exp":1700000300,"iat":null,"nbf":null}"#;
    assert!(of_payload(&jwt(), absent).is_ok());
    refused(of_payload(&jwt(), r#"{"sub":"u1","exp":null}"#), Reason::MissingClaim);
}

#[test]
fn a_token_is_judged_by_its_times_to_the_second() {
    let exp = 1_700_000_300;
    let token = sign(&k1(), HS256, PAYLOAD);
    assert!(judge(&jwt(), &ring([k1()]), &token, exp + 59).is_ok());
    let rejection = refused(judge(&jwt(), &ring([k1()]), &token, exp + 60), Reason::Expired);
    assert_eq!(rejection.detail, "the token expired 60 s ago; leeway is 60 s");
    assert!(judge(&jwt(), &ring([k1()]), &token, NOW - 60).is_ok());
    refused(judge(&jwt(), &ring([k1()]), &token, NOW - 61), Reason::NotYetValid);
    let nbf = |ahead: u64| format!(r#"{{"sub":"u1","nbf":{},"exp":1700009999}}"#, NOW + ahead);
    assert!(of_payload(&jwt(), &nbf(60)).is_ok());
    refused(of_payload(&jwt(), &nbf(61)), Reason::NotYetValid);
    for exp in [NOW, NOW - 1] {
        let payload = format!(r#"{{"sub":"u1","iat":{NOW},"exp":{exp}}}"#);
        refused(of_payload(&jwt(), &payload), Reason::InvalidClaim);
    }
    let least = with(jwt(), "least", |rules| rules.min_remaining = 301);
    refused(of_payload(&least, PAYLOAD), Reason::Expired);
    let least = with(jwt(), "least", |rules| rules.min_remaining = 300);
    assert!(of_payload(&least, PAYLOAD).is_ok());
}

#[test]
fn a_limited_lifetime_is_inclusive_and_cannot_be_avoided() {
    let payload = |rest: &str| format!(r#"{{"external_id":"u1","iat":{NOW}{rest}}}"#);
    let at = |exp: u64| payload(&format!(r#","exp":{}"#, NOW + exp));
    assert!(of_payload(&zendesk_chat(), &at(420)).is_ok());
    refused(of_payload(&zendesk_chat(), &at(421)), Reason::LifetimeTooLong);
    let ten_years = at(315_360_000);
    refused(of_payload(&zendesk_chat(), &ten_years), Reason::LifetimeTooLong);
    let without_exp = of_payload(&zendesk_chat(), &payload("")).unwrap();
    assert_eq!(without_exp.expires, Some(UnixTime::from_secs(NOW + 420)));
    let token = sign(&k1(), HS256, &payload(""));
    refused(judge(&zendesk_chat(), &ring([k1()]), &token, NOW + 420), Reason::Expired);

    // Where the dialect does not ask for them, the limit does.
    let limited = with(jwt(), "limited", |rules| {
        rules.max_lifetime = Some(600);
        rules.claims.required.clear();
    });
    for payload in [r#"{"sub":"u1","exp":1700000300}"#, r#"{"sub":"u1","iat":1700000000}"#] {
        refused(of_payload(&limited, payload), Reason::MissingClaim);
    }
}

#[test]
fn ids_are_strings_of_1_to_256_bytes_without_control_characters() {
    let of_id = |id: &str| of_payload(&jwt(), &format!(r#"{{"sub":{id},"exp":1700000300}}"#));
    for id in
        ["5", "1.0", "true", "{}", "[\"u1\"]", "\"\"", "\"a\\u0000b\"", "\"a\\nb\"", "\"\\u0085\""]
    {
        refused(of_id(id), Reason::InvalidClaim);
    }
    refused(of_id("null"), Reason::MissingClaim);
    refused(of_id(&format!("{:?}", "é".repeat(129))), Reason::InvalidClaim);
    assert!(of_id(&format!("{:?}", "é".repeat(128))).is_ok());
    assert_eq!(of_id("\"u1 \"").unwrap().id.as_deref(), Some("u1 "));
    for id in ["null", "{user_id}", "[object Object]"] {
        refused(of_id(&format!("{id:?}")), Reason::PlaceholderIdentity);
    }
}

#[test]
fn names_and_emails_are_strings_of_at_most_1024_bytes() {
    for claim in ["name", "email"] {
        let of = |value: &str| {
            of_payload(&jwt(), &format!(r#"{{"sub":"u1","exp":1700000300,"{claim}":{value}}}"#))
        };
        for value in ["5", "{\"first\":\"A\"}", &format!("{:?}", "x".repeat(1025))] {
            refused(of(value), Reason::InvalidClaim);
        }
        for value in ["null", "\"\""] {
            let identity = of(value).unwrap();
            assert_eq!((&identity.name, &identity.email), (&None, &None));
        }
        assert!(of(&format!("{:?}", "x".repeat(1024))).is_ok());
        let identity = of("\"a\\r\\nb\"").unwrap();
        assert_eq!(identity.name.as_ref().or(identity.email.as_ref()).unwrap(), "a\r\nb");
    }
}

#[test]
fn an_audience_must_be_named_by_whoever_names_any() {
    let of = |audiences: &[&str], aud: &str| {
        let dialect = with(jwt(), "aud", |rules| {
            rules.claims.audiences = audiences.iter().map(|a| a.to_string()).collect();
        });
        of_payload(&dialect, &format!(r#"{{"sub":"u1","exp":1700000300{aud}}}"#))
    };
    assert!(of(&[], "").is_ok());
    assert!(of(&["a", "b"], r#","aud":"b""#).is_ok());
    assert!(of(&["a"], r#","aud":["x","a"]"#).is_ok());
    refused(of(&["a"], ""), Reason::MissingClaim);
    refused(of(&["a"], r#","aud":null"#), Reason::MissingClaim);
    for aud in [r#","aud":"x""#, r#","aud":[]"#, r#","aud":"A""#, r#","aud":"""#] {
        refused(of(&["a"], aud), Reason::WrongAudience);
    }
    refused(of(&[], r#","aud":"a""#), Reason::WrongAudience);
    for aud in [r#","aud":5"#, r#","aud":["a",5]"#, r#","aud":{"a":1}"#] {
        refused(of(&["a"], aud), Reason::InvalidClaim);
    }
}

#[test]
fn a_configured_issuer_must_be_there_and_equal() {
    let dialect = with(jwt(), "iss", |rules| rules.claims.issuer = Some("https://i".to_owned()));
    let of = |iss: &str| of_payload(&dialect, &format!(r#"{{"sub":"u1","exp":1700000300{iss}}}"#));
    assert!(of(r#","iss":"https://i""#).is_ok());
    refused(of(""), Reason::MissingClaim);
    refused(of(r#","iss":["https://i"]"#), Reason::InvalidClaim);
    refused(of(r#","iss":"https://i/""#), Reason::WrongIssuer);
}

#[test]
fn required_and_optional_claims_have_their_types() {
    use ClaimType::{Any, Boolean, Exactly, Object, Strings};
    for (wanted, good, bad) in [
        (ClaimType::String, r#""x""#, vec![r#""""#, "5", "{}"]),
        (Boolean, "false", vec![r#""true""#, "1"]),
        (Object, "{}", vec!["[]", r#""{}""#]),
        (Strings, r#"{"a":""}"#, vec!["[]", r#"{"":"x"}"#, r#"{"a":5}"#, r#"{"a":null}"#]),
        (Any, "0", vec![]),
        (Exactly("user".to_owned()), r#""user""#, vec![r#""admin""#, r#""""#, "5", r#"["user"]"#]),
    ] {
        for required in [true, false] {
            let dialect = with(jwt(), "types", |rules| {
                let rule = vec![(pointer("/x"), wanted.clone())];
                if required {
                    rules.claims.required.extend(rule)
                } else {
                    rules.claims.optional = rule
                }
            });
            let of =
                |x: &str| of_payload(&dialect, &format!(r#"{{"sub":"u1","exp":1700000300{x}}}"#));
            assert!(of(&format!(r#","x":{good}"#)).is_ok());
            for bad in &bad {
                refused(of(&format!(r#","x":{bad}"#)), Reason::InvalidClaim);
            }
            assert_eq!(of(r#","x":null"#).is_err(), required);
            assert_eq!(of("").is_err(), required);
        }
    }
}

#[test]
fn a_name_is_put_together_where_the_dialect_says_so() {
    let key = || secret("k", Algorithm::HS256, SECRET);
    let header = r#"{"typ":"JWT","alg":"HS256","kid":"k"}"#;
    let of = |rest: &str| {
        let payload = format!(r#"{{"uuid":"u1","exp":1700000300{rest}}}"#);
        judge(&ringcentral_engage(), &ring([key()]), &sign(&key(), header, &payload), NOW).unwrap()
    };
    let identity = of(r#","screenname":"","firstname":"Jane","lastname":"Doe","company":"C""#);
    assert_eq!(identity.name.as_deref(), Some("Jane Doe"));
    let attributes = r#"{"screenname":"","firstname":"Jane","lastname":"Doe","company":"C"}"#;
    assert_eq!(identity.attributes.as_deref(), Some(attributes));
    assert_eq!(of(r#","lastname":"Doe""#).name.as_deref(), Some("Doe"));
    assert_eq!(of(r#","screenname":"JD","lastname":"Doe""#).name.as_deref(), Some("JD"));
    assert_eq!(of("").name, None);
    assert_eq!(of("").attributes, None);
}

#[test]
fn a_nested_id_leaves_its_neighbours_among_the_attributes() {
    let dialect = with(jwt(), "nested", |rules| {
        rules.claims.id = vec![claim("/user/id"), claim("/sub")];
        rules.claims.required.clear();
    });
    let identity = of_payload(&dialect, r#"{"user":{"id":"u1","tier":1},"sub":"s"}"#).unwrap();
    assert_eq!(identity.id.as_deref(), Some("u1"));
    assert_eq!(identity.attributes.as_deref(), Some(r#"{"user":{"tier":1}}"#));
    let identity = of_payload(&dialect, r#"{"sub":"s"}"#).unwrap();
    assert_eq!(identity.id.as_deref(), Some("s"));
    refused(of_payload(&dialect, r#"{"user":{}}"#), Reason::MissingClaim);
}

#[test]
fn a_signed_attribute_cannot_pass_for_an_unsigned_one() {
    let of = |attributes: &str| {
        let dialect = amazon_connect("w");
        let payload =
            format!(r#"{{"sub":"w","iat":1700000000,"exp":1700000300,"attributes":{attributes}}}"#);
        of_payload(&dialect, &payload)
    };
    let identity = of(r#"{"name":"Jane","k":"","HostedWidget":"x"}"#).unwrap();
    assert_eq!((identity.id.as_deref(), identity.name.as_deref()), (None, Some("Jane")));
    let attributes = r#"{"name":"Jane","k":"","HostedWidget":"x"}"#;
    assert_eq!(identity.attributes.as_deref(), Some(attributes));
    refused(of(r#"{"HostedWidget-k":"x"}"#), Reason::InvalidClaim);
    assert_eq!(of("{}").unwrap().attributes, None);
}

#[test]
fn signed_values_prove_the_fields_that_equal_them() {
    let mut dialect = jwt();
    let field = |name: &str, proof: Option<&str>| UnsignedField {
        name: FieldName::Plain(name.to_owned()),
        proof: proof.map(|path| FieldProof::Claim(pointer(path))),
        prefix: None,
    };
    dialect.unsigned.fields = vec![
        field("never", None),
        field("id", Some("/sub")),
        field("age", Some("/age")),
        field("absent", Some("/absent")),
        field("object", Some("/object")),
    ];
    let identity =
        of_payload(&dialect, r#"{"sub":"u1","exp":1700000300,"age":45.0,"object":{}}"#).unwrap();
    assert_eq!(identity.fields, [(1, "u1".to_owned()), (2, "45.0".to_owned())]);
}

#[test]
fn kid_chooses_as_the_dialect_says() {
    let (a, b) =
        (|| secret("a", Algorithm::HS256, "aaaa"), || secret("b", Algorithm::HS256, "bbbb"));
    let keys = ring([a(), b()]);
    let of = |selection: KeySelection, kid: &str| {
        let dialect = with(jwt(), "kid", |rules| rules.key = selection.clone());
        let header = format!(r#"{{"alg":"HS256"{kid}}}"#);
        let verdict = judge(&dialect, &keys, &sign(&b(), &header, PAYLOAD), NOW);
        verdict.map(|identity| identity.key.to_string()).map_err(|rejection| rejection.reason)
    };
    let (none, null, right, wrong, unknown) =
        ("", r#","kid":null"#, r#","kid":"b""#, r#","kid":"a""#, r#","kid":"c""#);
    use KeySelection::{Any, Kid, KidIfPresent, KidOrAny};
    use Reason::{BadSignature, UnknownKey};
    let b = || Ok("b".to_owned());
    for (selection, kid, expected) in [
        (Kid, none, Err(UnknownKey)),
        (Kid, null, Err(UnknownKey)),
        (Kid, right, b()),
        (Kid, wrong, Err(BadSignature)),
        (Kid, unknown, Err(UnknownKey)),
        (KidIfPresent, none, b()),
        (KidIfPresent, null, b()),
        (KidIfPresent, right, b()),
        (KidIfPresent, wrong, Err(BadSignature)),
        (KidIfPresent, unknown, Err(UnknownKey)),
        (KidOrAny, none, b()),
        (KidOrAny, right, b()),
        (KidOrAny, wrong, b()),
        (KidOrAny, unknown, b()),
        (Any, none, b()),
        (Any, wrong, b()),
        (Any, unknown, b()),
    ] {
        assert_eq!(of(selection.clone(), kid), expected, "{selection:?} {kid}");
    }
}

#[test]
fn a_key_can_be_named_by_a_claim_instead() {
    let dialect = with(jwt(), "claim", |rules| {
        rules.key = KeySelection::Claim("aud".to_owned());
        rules.claims.audience = AudienceRule::None;
    });
    let of = |aud: &str| {
        let payload = format!(r#"{{"sub":"u1","exp":1700000300,"aud":{aud}}}"#);
        of_payload(&dialect, &payload)
    };
    assert!(of(r#""https://t.example/projects/k1""#).is_ok());
    assert!(of(r#""k1""#).is_ok());
    for aud in [r#""https://t.example/projects/k2""#, r#""k1/""#, "5", "null", r#"["k1"]"#] {
        refused(of(aud), Reason::UnknownKey);
    }
}

#[test]
fn a_key_outside_its_window_fits_but_does_not_prove() {
    let at = |from: Option<u64>, to: Option<u64>| {
        k1().with_window(from.map(UnixTime::from_secs), to.map(UnixTime::from_secs))
    };
    let token = sign(&k1(), HS256, PAYLOAD);
    assert!(judge(&jwt(), &ring([at(Some(NOW), Some(NOW + 1))]), &token, NOW).is_ok());
    for key in [at(None, Some(NOW)), at(Some(NOW + 1), None)] {
        let rejection = refused(judge(&jwt(), &ring([key]), &token, NOW), Reason::KeyExpired);
        assert_eq!(rejection.key.as_deref(), Some("k1"));
    }
    // What a lapsed key did not sign is a forgery, not a matter of time.
    let forged = sign(&secret("k1", Algorithm::HS256, "guess"), HS256, PAYLOAD);
    refused(judge(&jwt(), &ring([at(None, Some(NOW))]), &forged, NOW), Reason::BadSignature);
    // The same secret under two ids: the one in force proves, wherever it stands.
    let active = secret("k2", Algorithm::HS256, SECRET);
    let identity = judge(&jwt(), &ring([at(None, Some(NOW)), active]), &token, NOW).unwrap();
    assert_eq!(&*identity.key, "k2");
}

#[test]
fn a_public_key_never_serves_as_a_secret() {
    use aws_lc_rs::encoding::AsDer;
    use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
    let pair = Ed25519KeyPair::generate().unwrap();
    let der = pair.public_key().as_der().unwrap();
    let pem = pem::write("PUBLIC KEY", der.as_ref());
    let public = || Key::public_pem("p", None, pem.as_bytes()).unwrap();
    // What an attacker who knows the public key can make.
    let forge = |secret: &[u8]| {
        let key = jsonwebtoken::EncodingKey::from_secret(secret);
        let message = format!("{}.{}", b64(HS256), b64(PAYLOAD));
        let hs256 = jsonwebtoken::Algorithm::HS256;
        let signature = jsonwebtoken::crypto::sign(message.as_bytes(), &key, hs256).unwrap();
        format!("{message}.{signature}")
    };
    for known in [pem.as_bytes(), pem.trim().as_bytes(), der.as_ref(), pair.public_key().as_ref()] {
        let verdict = judge(&jwt(), &ring([public()]), &forge(known), NOW);
        refused(verdict, Reason::UnsupportedAlgorithm);
        let verdict = judge(&jwt(), &ring([public(), k1()]), &forge(known), NOW);
        refused(verdict, Reason::BadSignature);
    }
    // And nobody can configure it so by mistake.
    let secret = crate::secret::Secret::new(pem.into_bytes());
    assert!(Key::secret("p", Algorithm::HS256, &secret).is_err());
}

#[test]
fn the_first_check_that_fails_is_the_reason() {
    // Everything is wrong with it; each step repairs what was complained of.
    let dialect = with(jwt(), "strict", |rules| {
        rules.max_bytes = 600;
        rules.key = KeySelection::Kid;
        rules.max_lifetime = Some(600);
        rules.claims.audiences = vec!["me".to_owned()];
        rules.claims.issuer = Some("i".to_owned());
    });
    let other = || secret("k1", Algorithm::HS256, "another");
    let (far, near) = (NOW + 5000, NOW + 300);
    let payload = |sub: &str, aud: &str, iss: &str, iat: u64, exp: u64| {
        format!(r#"{{{sub}"aud":"{aud}","iss":"{iss}","iat":{iat},"exp":{exp}}}"#)
    };
    let bad = payload("", "x", "x", NOW + 100, far);
    let steps = [
        (Reason::TooLarge, other(), "x".repeat(700), bad.clone()),
        (Reason::Malformed, other(), "[]".to_owned(), bad.clone()),
        (Reason::UnsupportedAlgorithm, other(), r#"{"alg":"none"}"#.to_owned(), bad.clone()),
        (Reason::UnknownKey, other(), r#"{"alg":"HS256"}"#.to_owned(), bad.clone()),
    ];
    let header = r#"{"alg":"HS256","kid":"k1"}"#.to_owned();
    let id = r#""sub":"u1","#;
    let later = [
        (Reason::BadSignature, other(), bad.clone()),
        (Reason::MissingClaim, k1(), bad),
        (Reason::InvalidClaim, k1(), payload(r#""sub":5,"#, "x", "x", NOW + 100, far)),
        (Reason::PlaceholderIdentity, k1(), payload(r#""sub":"null","#, "x", "x", NOW + 100, far)),
        (Reason::WrongAudience, k1(), payload(id, "x", "x", NOW + 100, far)),
        (Reason::WrongIssuer, k1(), payload(id, "me", "x", NOW + 100, far)),
        (Reason::Expired, k1(), payload(id, "me", "i", NOW - 5000, NOW - 60)),
        (Reason::NotYetValid, k1(), payload(id, "me", "i", NOW + 100, far)),
        (Reason::LifetimeTooLong, k1(), payload(id, "me", "i", NOW, far)),
    ]
    .map(|(reason, key, payload)| (reason, key, header.clone(), payload));
    for (reason, key, header, payload) in steps.into_iter().chain(later) {
        let token = sign(&key, &header, &payload);
        let rejection = refused(judge(&dialect, &ring([k1()]), &token, NOW), reason);
        let signed = reason > Reason::BadSignature;
        assert!(!signed || rejection.key.as_deref() == Some("k1"), "{reason}");
    }
    let good = sign(&k1(), &header, &payload(id, "me", "i", NOW, near));
    assert!(judge(&dialect, &ring([k1()]), &good, NOW).is_ok());
}

#[test]
fn a_shared_place_is_asked_for_a_tokens_shape() {
    let dialect = jwt();
    let good = sign(&k1(), HS256, PAYLOAD);
    let twice = format!("{}.e30.", b64(r#"{"alg":"HS256","alg":"none"}"#));
    for ours in [good.as_str(), "e30..", &format!("{good}="), &twice] {
        assert!(dialect.has_shape(ours), "{ours}");
    }
    let array = format!("{}.e30.AA", b64(r#"["HS256"]"#));
    for others in [
        "",
        "opaque",
        "a.b",
        "a.b.c",
        "e30.e30",
        "e30.e30.AA.AA",
        "e30.e30.A A",
        "e30.e30.é",
        &array,
    ] {
        assert!(!dialect.has_shape(others), "{others}");
    }
}

#[test]
fn no_damaged_token_panics_or_proves() {
    let good = sign(&k1(), HS256, PAYLOAD);
    let keys = ring([k1()]);
    for place in 0..good.len() {
        for byte in [b'A', b'.', b'=', b'_', b'{', 0, 0x7f] {
            let mut damaged = good.clone().into_bytes();
            damaged[place] = byte;
            let damaged = String::from_utf8(damaged).unwrap();
            assert_eq!(judge(&jwt(), &keys, &damaged, NOW).is_ok(), damaged == good);
        }
        _ = judge(&jwt(), &keys, &good[..place], NOW).unwrap_err();
    }
}

#[test]
fn while_keys_are_still_to_come_nothing_is_wrong_for_want_of_one() {
    let by = |key: &Key, kid: &str| {
        sign(key, &format!(r#"{{"typ":"JWT","alg":"HS256","kid":"{kid}"}}"#), PAYLOAD)
    };
    let foreign = secret("k2", Algorithm::HS256, "another-secret-0123456789abcdef0");
    let unkeyed = sign(&foreign, HS256, PAYLOAD);
    let no_keys = ring([]);
    for (whole, token, otherwise) in [
        (ring([k1()]), by(&foreign, "k2"), Reason::UnknownKey),
        (ring([k1()]), unkeyed, Reason::BadSignature),
        (no_keys, by(&k1(), "k1"), Reason::UnsupportedAlgorithm),
    ] {
        refused(judge(&jwt(), &whole, &token, NOW), otherwise);
        refused(judge(&jwt(), &whole.incomplete(), &token, NOW), Reason::Unavailable);
    }
    // What no further key could change is as it is.
    let incomplete = || ring([k1()]).incomplete();
    assert!(judge(&jwt(), &incomplete(), &by(&k1(), "k1"), NOW).is_ok());
    refused(judge(&jwt(), &incomplete(), &by(&foreign, "k1"), NOW), Reason::BadSignature);
    refused(judge(&jwt(), &incomplete(), &by(&k1(), "k1"), NOW + 1000), Reason::Expired);
    let none = sign(&k1(), r#"{"typ":"JWT","alg":"none"}"#, PAYLOAD);
    refused(judge(&jwt(), &incomplete(), &none, NOW), Reason::UnsupportedAlgorithm);
    let nameless = sign(&k1(), r#"{"typ":"JWT","alg":"HS256"}"#, PAYLOAD);
    let dialect = ringcentral_engage();
    refused(judge(&dialect, &incomplete(), &nameless, NOW), Reason::UnknownKey);
}

#[test]
fn a_token_names_an_unknown_key_only_where_it_names_one() {
    let keys = ring([k1()]);
    let names = |dialect: &Dialect, token: &str| {
        dialect.names_unknown_key(&Credential::Token(token.to_owned().into()), &keys)
    };
    for (header, unknown) in [
        (r#"{"alg":"HS256","kid":"k2"}"#, true),
        (r#"{"alg":"ES256","kid":"k2"}"#, true),
        (r#"{"alg":"HS256","kid":"k1"}"#, false),
        (r#"{"alg":"HS256"}"#, false),
        (r#"{"alg":"HS256","kid":7}"#, false),
        (r#"{"alg":"HS256","kid":"k2","crit":["x"]}"#, false),
    ] {
        assert_eq!(names(&jwt(), &sign(&k1(), header, PAYLOAD)), unknown, "{header}");
    }
    assert!(!names(&jwt(), "no token"));
    let mut by_claim = jwt();
    if let Mechanism::Jwt(rules) = &mut by_claim.mechanism {
        rules.key = KeySelection::Claim("aud".into());
    }
    for (aud, unknown) in [("/apps/k2", true), ("/apps/k1", false)] {
        let payload = format!(r#"{{"sub":"u1","exp":1700000300,"aud":"{aud}"}}"#);
        assert_eq!(names(&by_claim, &sign(&k1(), HS256, &payload)), unknown, "{aud}");
    }
}

#[test]
fn every_key_of_the_kid_that_a_token_names_is_tried() {
    let other = secret("k1", Algorithm::HS256, "another-secret-0123456789abcdef0");
    let token = sign(&k1(), r#"{"typ":"JWT","alg":"HS256","kid":"k1"}"#, PAYLOAD);
    for keys in [ring([k1(), other]), ring([secret("k1", Algorithm::HS512, "x"), k1()])] {
        assert!(judge(&jwt(), &keys, &token, NOW).is_ok());
    }
}
