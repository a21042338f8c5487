//! Requests thrown together at random: whatever a client sends, the judgement neither
//! panics nor lets through a header that is ours alone, an identity field that nothing
//! proved, or a spent credential.
//!
//! The parser that looks at the result is not the gate's own, and more lenient.

// A test that cannot set its scene should panic.
#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, clippy::expect_used)]

use std::fs;

use countersign::clock::UnixTime;
use countersign::dialect::Credential;
use countersign::dialect::sign::{SigningKey, Subject, sign};
use countersign::gate::{Body, Forward, Mode, Outcome, Peer, RequestView};
use countersign::identity::Standing;
use countersign::judge::judge;
use countersign::plan::Plan;
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);
const ROUNDS: usize = 6_000;

fn plan() -> Plan {
    let mut text = "version: 1\nlisteners: [ { address: 127.0.0.1:0 } ]\nsites:\n".to_owned();
    for dialect in ["user-hash", "zendesk-chat", "ringcentral-engage", "amazon-connect", "jwt"] {
        for mode in ["require", "prefer", "accept", "observe", "off"] {
            let audience = if dialect == "amazon-connect" { "audience: w, " } else { "" };
            text += &format!(
                "  {dialect}-{mode}: {{ hosts: [{mode}.{dialect}.test], upstream: 'http://b', \
                 dialect: {dialect}, mode: {mode}, {audience}\
                 keys: [ {{ id: k1, secret: {{ value: 0123456789abcdef0123456789abcdef }} }} ], \
                 routes: [ {{ path: /assets/*, mode: off }} ] }}\n"
            );
        }
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("countersign.yaml");
    fs::write(&path, text).unwrap();
    countersign::config::load(&path).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A small generator (xorshift64*), so that a failure can be repeated.
struct Noise(u64);

impl Noise {
    fn below(&mut self, most: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) as usize % most
    }

    fn one<'t>(&mut self, of: &[&'t str]) -> &'t str {
        of[self.below(of.len())]
    }

    /// The same text, some characters percent-encoded.
    fn encoded(&mut self, text: &str) -> String {
        let mut out = String::new();
        for byte in text.bytes() {
            match self.below(6) {
                0 => out += &format!("%{byte:02x}"),
                _ => out.push(char::from(byte)),
            }
        }
        out
    }
}

const NAMES: [&str; 22] = [
    "user_id",
    "name",
    "email",
    "external_id",
    "uuid",
    "identity",
    "screenname",
    "identity[uuid]",
    "name[]",
    "user.id",
    "user[id",
    "jwt",
    "jwt_identity",
    "access_token",
    "identifier_hash",
    "custom_a",
    "a",
    "user_id[",
    " name",
    "USER_ID",
    "e;name",
    "jwt;user_id",
];
const HEADERS: [&str; 22] = [
    "countersign-id",
    "countersign_id",
    "countersign.status",
    "_countersign-name_",
    "x-user-id",
    "x_user_id",
    "x-user-name",
    "x-user-email",
    "x-identifier-hash",
    "authorization",
    "cookie",
    "referer",
    "x-amz-security-token",
    "x-forwarded-for",
    "x_forwarded_for",
    "forwarded",
    "x-original-url",
    "origin",
    "content-type",
    "user-id",
    "countersign",
    "access-control-request-method",
];

fn value(noise: &mut Noise, proof: &str) -> String {
    match noise.below(8) {
        0 | 1 => proof.to_owned(),
        2 => "u1".to_owned(),
        3 => String::new(),
        4 => format!("{proof}x"),
        5 => "eyJhbGciOiJub25lIn0.e30.".to_owned(),
        6 => noise.one(&["%", "%zz", "%00", "%ff", "a;name=x", "+", "null"]).to_owned(),
        _ => noise.encoded("evil"),
    }
}

/// Places of credentials: left alone where a good one is to be judged.
fn carries(name: &str) -> bool {
    let places = ["jwt", "token", "hash", "authorization", "cookie", "x-amz", "origin"];
    places.iter().any(|place| name.contains(place))
}

fn target(noise: &mut Noise, proof: &str, good: bool) -> String {
    let path =
        noise.one(&["/", "/c", "/assets/a", "/assets/..%2f", "/%61ssets/x", "/a//b;c", "*", "x"]);
    let mut target = path.to_owned();
    for index in 0..noise.below(6) {
        target.push(if index == 0 { '?' } else { ['&', '&', '&', ';'][noise.below(4)] });
        let name = noise.one(&NAMES).replace(' ', "+");
        let name = if good && carries(&name) { "k".to_owned() } else { name };
        target += &noise.encoded(&name);
        target += noise.one(&["=", "=", "=", "", "=="]);
        target += &value(noise, proof);
    }
    target
}

fn header_value(noise: &mut Noise, name: &str, proof: &str) -> String {
    let value = value(noise, proof);
    match (name, noise.below(3)) {
        ("authorization", 0..=1) => format!("Bearer {value}"),
        ("cookie", 0..=1) => format!("s=1; countersign_jwt={value}; t=\"2\""),
        ("referer", _) => format!("https://a.test/p?jwt={value}&jwt_identity={value}&k=1#f"),
        _ => value,
    }
}

/// Names and values as a lenient backend reads them.
fn read(target: &str) -> Vec<(String, String)> {
    let Some((_, query)) = target.split_once('?') else { return Vec::new() };
    let decode = |text: &str| {
        let text = text.replace('+', " ");
        percent_encoding::percent_decode_str(&text).decode_utf8_lossy().into_owned()
    };
    let parameters = query.split(['&', ';']).map(|raw| raw.split_once('=').unwrap_or((raw, "")));
    parameters.map(|(name, value)| (decode(name), decode(value))).collect()
}

/// Fails if something reaches the backend that should not.
fn examine(plan: &Plan, site: usize, request: &RequestView<'_>, forward: &Forward, proof: &str) {
    let site = &plan.sites[site];
    let told = || format!("{} {} {:?}\n{forward:?}", site.name, request.target, request.headers);
    let mut headers = request.headers.clone();
    forward.edits.apply(&mut headers);
    for name in headers.keys().filter(|name| name.as_str().contains("countersign")) {
        let ours = forward.edits.set.iter().filter(|(set, _)| set == name).count();
        assert!(ours == 1 && headers.get_all(name).iter().count() == 1, "{name}: {}", told());
    }
    for (name, value) in &headers {
        let ascii = value.as_bytes().iter().all(|byte| (b' '..=b'~').contains(byte));
        assert!(!name.as_str().starts_with("countersign") || ascii, "{name}: {}", told());
        assert!(name != "x-original-url" && name != "x_forwarded_for", "{}", told());
    }
    let mode = if request.path().starts_with("/assets") { Mode::Off } else { site.settings.mode };
    let preflight = headers.contains_key("origin")
        && headers.contains_key("access-control-request-method")
        && *request.method == Method::OPTIONS;
    let target = forward.edits.target.as_deref().unwrap_or(request.target);
    if !mode.cleans() {
        assert!(forward.edits.target.is_none(), "{}", told());
        return;
    }
    let id = match &forward.visitor.standing {
        Standing::Verified(identity) => identity.id.as_deref(),
        Standing::Guest(_) => None,
    };
    for field in &site.dialect.unsigned.fields {
        for (name, value) in read(target) {
            let name = name.split('[').next().unwrap_or_default().to_lowercase();
            if name.trim() == field.name.to_string().to_lowercase() {
                let proven = id.is_some_and(|id| id == value || value == "Jane Doe");
                assert!(proven, "{name}={value} in {target}: {}", told());
            }
        }
    }
    if !preflight && id.is_some() && proof.len() > 20 {
        let parameters: Vec<_> = target.split('&').collect();
        for source in &site.settings.sources[..] {
            let countersign::dialect::Carrier::Query { names, .. } = &source.carrier else {
                continue;
            };
            let left = parameters.iter().any(|raw| **raw == format!("{}={proof}", names.proof));
            assert!(!left, "{target}: {}", told());
        }
        let authorization = headers.get("authorization");
        assert!(
            authorization.is_none_or(|value| value != &format!("Bearer {proof}")),
            "{}",
            told()
        );
    }
    if let Some(referer) = headers.get("referer") {
        let referer = referer.to_str().unwrap_or_default();
        for source in &site.settings.sources[..] {
            let countersign::dialect::Carrier::Query { names, .. } = &source.carrier else {
                continue;
            };
            assert!(!referer.contains(&format!("?{}=", names.proof)), "{referer}: {}", told());
        }
    }
}

#[test]
fn whatever_a_client_sends_nothing_unproven_passes() {
    let store = countersign::store::volatile::open().unwrap();
    let plan = plan();
    let mut noise = Noise(0x9E37_79B9_7F4A_7C15);
    let (mut verified, mut guests, mut refused) = (0, 0, 0);
    for (index, site) in plan.sites.iter().enumerate() {
        let subject = Subject {
            id: Some("u1".to_owned()),
            name: (site.dialect.scheme() == "jwt").then(|| "Jane Doe".to_owned()),
            ..Subject::default()
        };
        let key = &site.keyring.keys()[0];
        let signing = SigningKey { key, private_pem: None };
        let proof = sign(&site.dialect, signing, &subject, NOW, None).unwrap().credential;
        for _ in 0..ROUNDS / plan.sites.len() {
            let good = noise.below(2) == 0;
            let target = target(&mut noise, &proof, good);
            let mut headers = HeaderMap::new();
            let host =
                site.name.rsplit_once('-').map(|(dialect, mode)| format!("{mode}.{dialect}.test"));
            headers.insert("host", HeaderValue::try_from(host.unwrap()).unwrap());
            for _ in 0..noise.below(7) {
                let name = noise.one(&HEADERS);
                if good && (carries(name) || name == "x-user-id") {
                    continue;
                }
                let value = header_value(&mut noise, name, &proof);
                let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
                if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
                    headers.append(name, value);
                }
            }
            if good && site.dialect.scheme() == "jwt" {
                headers.insert("authorization", format!("Bearer {proof}").parse().unwrap());
            } else if good {
                headers.insert("x-user-id", "u1".parse().unwrap());
                headers.insert("x-identifier-hash", proof.parse().unwrap());
            }
            let method = [Method::GET, Method::POST, Method::OPTIONS][noise.below(3)].clone();
            let peer = [Peer::Unix, Peer::Ip("203.0.113.9".parse().unwrap())][noise.below(2)];
            let request = RequestView {
                method: &method,
                target: &target,
                authority: None,
                headers: &headers,
                peer,
                tls: noise.below(2) == 0,
                local_port: Some(8080),
                upgrade: noise.below(4) == 0,
                request_id: "r-1",
                body: Body::Unseen,
            };
            match judge(&plan, store.memory(), &request, NOW).verdict.outcome {
                Outcome::Forward(forward) => {
                    match &forward.visitor.standing {
                        Standing::Verified(_) => verified += 1,
                        Standing::Guest(_) => guests += 1,
                    }
                    examine(&plan, index, &request, &forward, &proof);
                }
                Outcome::Refuse(_) => refused += 1,
                Outcome::Preflight { .. } => panic!("no origins are listed"),
            }
        }
        // A credential of the wrong kind is refused, never a panic.
        let hash = Credential::Hash(countersign::dialect::Hash::default());
        let token = Credential::Token("".into());
        for other in [hash, token] {
            assert!(site.dialect.verify(&other, &site.keyring, NOW).is_err());
        }
    }
    let enough = ROUNDS / 50;
    assert!(
        verified > enough && guests > enough && refused > enough,
        "{verified} {guests} {refused}"
    );
}
