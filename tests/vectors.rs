//! Every case of `tests/vectors/` against the library (their format: `vectors/README.md`).
//!
//! A case is put into a configuration file as a user would write it, loaded, and judged at
//! its own moment. All failing cases of a folder are reported at once.

#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    missing_docs,
    reason = "a test that meets what it does not expect has failed"
)]

use std::borrow::Cow;
use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use countersign::clock::UnixTime;
use countersign::dialect::builtin::BUILTIN;
use countersign::dialect::sign::{SigningKey, Subject, sign};
use countersign::dialect::{Algorithm, Credential, Hash, Key, Mechanism, fresh};
use countersign::identity::Identity;
use countersign::plan::Plan;
use countersign::secret::Secret;
use serde::Deserialize;
use serde_json::{Map, Value, json};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    name: String,
    now: u64,
    keys: Vec<CaseKey>,
    audience: Option<String>,
    #[serde(default)]
    site: Map<String, Value>,
    credential: CaseCredential,
    expect: Expected,
    #[serde(rename = "source")]
    _source: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CaseKey {
    id: String,
    algorithm: Option<String>,
    secret: Option<String>,
    encoding: Option<String>,
    public_key: Option<String>,
    not_before: Option<String>,
    not_after: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum CaseCredential {
    Token(String),
    Hash { proof: String, id: Option<String>, email: Option<String>, name: Option<String> },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expected {
    decision: Decision,
    reason: Option<String>,
    id: Option<String>,
    /// Looked at where requests are sent through the binary.
    #[serde(rename = "id_header")]
    _id_header: Option<String>,
    name: Option<String>,
    email: Option<String>,
    attributes: Option<Value>,
    key: Option<String>,
    expires: Option<u64>,
    #[serde(default)]
    absent: Vec<String>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Decision {
    Verified,
    Rejected,
    ConfigurationError,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Primitive {
    name: String,
    algorithm: String,
    secret: Option<String>,
    encoding: Option<String>,
    public_key: Option<String>,
    message: String,
    signature: String,
    signature_encoding: String,
    #[serde(rename = "source")]
    _source: String,
}

#[test]
fn the_jwt_dialect_judges_as_its_vectors_say() {
    run_folder("jwt", 250);
}

#[test]
fn zendesk_chat_judges_as_its_vectors_say() {
    run_folder("zendesk-chat", 45);
}

#[test]
fn ringcentral_engage_judges_as_its_vectors_say() {
    run_folder("ringcentral-engage", 35);
}

#[test]
fn amazon_connect_judges_as_its_vectors_say() {
    run_folder("amazon-connect", 40);
}

#[test]
fn user_hash_judges_as_its_vectors_say() {
    run_folder("user-hash", 45);
}

/// Those with a test of their own above.
const FOUNDING: [&str; 5] =
    ["jwt", "zendesk-chat", "ringcentral-engage", "amazon-connect", "user-hash"];

#[test]
fn every_other_vendor_judges_as_its_vectors_say() {
    let vendors = BUILTIN.iter().map(|(name, _)| *name).filter(|name| !FOUNDING.contains(name));
    let vendors: Vec<&str> = vendors.collect();
    assert!(vendors.len() >= 20, "only {vendors:?}");
    let failures: Vec<String> = vendors.iter().flat_map(|vendor| failures_of(vendor, 20)).collect();
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn every_dialect_verifies_what_it_signs() {
    let problems: Vec<String> = BUILTIN.iter().filter_map(|(name, _)| signed_by(name)).collect();
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

/// Signs for somebody in a dialect; returns what its own site has against the credential.
fn signed_by(name: &str) -> Option<String> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let rsa = (name == "salesforce-miaw").then(|| fresh::pair(Algorithm::RS256).expect("RSA"));
    let key = CaseKey {
        id: "k1".to_owned(),
        algorithm: None,
        // Pylon's secrets are hexadecimal; to the others this is text.
        secret: rsa.is_none().then(|| "0123456789abcdef".repeat(4)),
        encoding: None,
        public_key: rsa.as_ref().map(|pair| pair.public.clone()),
        not_before: None,
        not_after: None,
    };
    let site = match name {
        "amazon-connect" => json!({ "audience": "widget" }),
        "salesforce-miaw" => json!({ "issuer": "https://login.example.com" }),
        _ => json!({}),
    };
    let site = site.as_object().cloned().unwrap_or_default();
    let config = write_config(folder.path(), name, &[key], None, site);
    let plan = load(&config).unwrap_or_else(|problems| panic!("{name}: {problems}"));
    let site = plan.sites.first().expect("a site");
    let signing = SigningKey {
        key: site.keyring.keys().first().expect("a key"),
        private_pem: rsa.as_ref().map(|pair| pair.private.expose()),
    };
    let mut subject = Subject { id: Some("user-42".to_owned()), ..Subject::default() };
    if name == "ferndesk" || matches!(site.dialect.mechanism, Mechanism::Hmac(_)) {
        subject.name = (name == "thena").then(|| "Jane Doe".to_owned());
        subject.email = Some("jane@example.com".to_owned());
    }
    if name == "freshchat" {
        subject.attributes.insert("freshchat_uuid".to_owned(), json!("9f1c"));
    }
    match sign(&site.dialect, signing, &subject, UnixTime::from_secs(1_700_000_000), None) {
        Ok(signed) => {
            let refusal = signed.warnings.into_iter().find(|warning| warning.contains("refuse"));
            refusal.map(|refusal| format!("{name}: {refusal}"))
        }
        Err(error) => Some(format!("{name}: {error}")),
    }
}

#[test]
fn published_signatures_verify_and_changed_ones_do_not() {
    let cases: Vec<Primitive> = read_folder("primitives");
    assert!(cases.len() >= 20, "only {} primitives", cases.len());
    for case in cases {
        let key = primitive_key(&case);
        let mut signature = decoded(&case.signature, &case.signature_encoding);
        let message = case.message.as_bytes();
        assert!(key.verifies(message, &signature), "{}: does not verify", case.name);
        assert!(!key.verifies(b"something else", &signature), "{}: any message", case.name);
        signature[0] ^= 1;
        assert!(!key.verifies(message, &signature), "{}: any signature", case.name);
        signature.pop();
        assert!(!key.verifies(message, &signature), "{}: a short signature", case.name);
    }
}

fn run_folder(dialect: &str, at_least: usize) {
    let failures = failures_of(dialect, at_least);
    assert!(failures.is_empty(), "{} cases fail:\n{}", failures.len(), failures.join("\n"));
}

/// `at_least` guards against a folder that is empty by accident.
fn failures_of(dialect: &str, at_least: usize) -> Vec<String> {
    let cases: Vec<Case> = read_folder(dialect);
    assert!(cases.len() >= at_least, "only {} cases for {dialect}", cases.len());
    cases
        .iter()
        .filter_map(|case| {
            let problem = run_case(dialect, case).err()?;
            Some(format!("  {dialect}: {}: {problem}", case.name))
        })
        .collect()
}

fn run_case(dialect: &str, case: &Case) -> Result<(), String> {
    let folder = tempfile::tempdir().map_err(|error| error.to_string())?;
    let config =
        write_config(folder.path(), dialect, &case.keys, case.audience.as_ref(), case.site.clone());
    let plan = match load(&config) {
        Ok(plan) if case.expect.decision != Decision::ConfigurationError => plan,
        Ok(_) => return Err("the configuration loads, but must not".to_owned()),
        Err(_) if case.expect.decision == Decision::ConfigurationError => return Ok(()),
        Err(problems) => return Err(format!("the configuration does not load: {problems}")),
    };
    let site = plan.sites.first().ok_or("no site")?;
    let credential = match &case.credential {
        CaseCredential::Token(token) => Credential::Token(Cow::Borrowed(token.as_str())),
        CaseCredential::Hash { proof, id, email, name } => Credential::Hash(Hash {
            proof: Cow::Borrowed(proof.as_str()),
            id: id.as_deref().map(Cow::Borrowed),
            email: email.as_deref().map(Cow::Borrowed),
            name: name.as_deref().map(Cow::Borrowed),
        }),
    };
    let verdict = site.dialect.verify(&credential, &site.keyring, UnixTime::from_secs(case.now));
    match (verdict, &case.expect.decision) {
        (Ok(identity), Decision::Verified) => compare(&identity, &case.expect),
        (Ok(_), _) => Err("verified, but must be rejected".to_owned()),
        (Err(rejection), Decision::Rejected) => match &case.expect.reason {
            Some(reason) if reason != rejection.reason.code() => {
                Err(format!("{}, expected {reason}: {}", rejection.reason, rejection.detail))
            }
            _ => discreet(&rejection.detail, case),
        },
        (Err(rejection), _) => {
            Err(format!("{}, but must be verified: {}", rejection.reason, rejection.detail))
        }
    }
}

fn load(config: &Path) -> Result<Plan, String> {
    countersign::config::load(config).map_err(|problems| problems.to_string())
}

/// Everything that is expected must be there, and everything named absent must not.
fn compare(identity: &Identity, expect: &Expected) -> Result<(), String> {
    let text = |what: &str, got: Option<&str>, want: Option<&str>| {
        let unwanted = got.is_some() && expect.absent.iter().any(|absent| absent == what);
        match want {
            Some(want) if got != Some(want) => Err(format!("{what} is {got:?}, expected {want:?}")),
            None if unwanted => Err(format!("{what} is {got:?}, expected none")),
            _ => Ok(()),
        }
    };
    text("id", identity.id.as_deref(), expect.id.as_deref())?;
    text("name", identity.name.as_deref(), expect.name.as_deref())?;
    text("email", identity.email.as_deref(), expect.email.as_deref())?;
    text("key", Some(&*identity.key), expect.key.as_deref())?;
    let expires = identity.expires.map(|time| time.as_secs().to_string());
    let wanted = expect.expires.map(|time| time.to_string());
    text("expires", expires.as_deref(), wanted.as_deref())?;
    text("attributes", identity.attributes.as_deref(), None)?;
    let Some(wanted) = &expect.attributes else { return Ok(()) };
    let got = identity.attributes.as_deref().unwrap_or("none");
    if !got.is_ascii() {
        return Err(format!("attributes are not ASCII: {got}"));
    }
    match serde_json::from_str::<Value>(got) {
        Ok(value) if value == *wanted => Ok(()),
        _ => Err(format!("attributes are {got}, expected {wanted}")),
    }
}

/// A rejection's sentence shows nothing of the credential and none of the keys.
fn discreet(detail: &str, case: &Case) -> Result<(), String> {
    let presented = match &case.credential {
        CaseCredential::Token(token) => token,
        CaseCredential::Hash { proof, .. } => proof,
    };
    let secrets = case.keys.iter().filter_map(|key| key.secret.as_deref());
    let leak = presented.split('.').chain(secrets).find(|part| {
        let long_enough = part.len() >= 12;
        long_enough && detail.contains(part)
    });
    leak.map_or(Ok(()), |part| Err(format!("the detail shows {part:?}: {detail}")))
}

fn write_config(
    folder: &Path,
    dialect: &str,
    keys: &[CaseKey],
    audience: Option<&String>,
    mut site: Map<String, Value>,
) -> PathBuf {
    let keys: Vec<Value> =
        keys.iter().enumerate().map(|(index, key)| written_key(folder, index, key)).collect();
    site.insert("upstream".to_owned(), json!("http://127.0.0.1:9"));
    site.insert("dialect".to_owned(), json!(dialect));
    site.insert("keys".to_owned(), Value::Array(keys));
    if let Some(audience) = audience {
        site.insert("audience".to_owned(), json!(audience));
    }
    let config = json!({
        "version": 1,
        "listeners": [{ "address": "127.0.0.1:8080" }],
        "sites": { "vectors": site },
    });
    let path = folder.join("countersign.yaml");
    let text = serde_yaml::to_string(&config).expect("a configuration is YAML");
    fs::write(&path, text).expect("the temporary folder is writable");
    path
}

fn written_key(folder: &Path, index: usize, key: &CaseKey) -> Value {
    let mut written = json!({ "id": key.id });
    if let Some(secret) = &key.secret {
        written["secret"] = json!({ "value": secret });
        if let Some(encoding) = &key.encoding {
            written["secret"]["encoding"] = json!(encoding);
        }
    }
    if let Some(pem) = &key.public_key {
        let name = format!("{index}.pem");
        fs::write(folder.join(&name), pem).expect("the temporary folder is writable");
        written["public_key"] = json!({ "file": name });
    }
    let optional = [
        ("algorithm", &key.algorithm),
        ("not_before", &key.not_before),
        ("not_after", &key.not_after),
    ];
    for (member, value) in optional {
        if let Some(value) = value {
            written[member] = json!(value);
        }
    }
    written
}

fn primitive_key(case: &Primitive) -> Key {
    let algorithm = Algorithm::from_name(&case.algorithm).expect("a known algorithm");
    let key = match (&case.secret, &case.public_key) {
        (Some(secret), None) => {
            let bytes = decoded(secret, case.encoding.as_deref().unwrap_or("raw"));
            Key::secret("k1", algorithm, &Secret::new(bytes))
        }
        (None, Some(pem)) => Key::public_pem("k1", Some(algorithm), pem.as_bytes()),
        _ => panic!("{}: a secret or a public key", case.name),
    };
    key.unwrap_or_else(|error| panic!("{}: {error}", case.name))
}

fn decoded(text: &str, encoding: &str) -> Vec<u8> {
    match encoding {
        "raw" => text.as_bytes().to_vec(),
        "base64" => STANDARD.decode(text).expect("base64"),
        "base64url" => URL_SAFE_NO_PAD.decode(text).expect("base64url"),
        "hex" => (0..text.len() / 2)
            .map(|index| u8::from_str_radix(&text[2 * index..2 * index + 2], 16).expect("hex"))
            .collect(),
        other => panic!("no such encoding: {other}"),
    }
}

fn read_folder<T: serde::de::DeserializeOwned>(folder: &str) -> Vec<T> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors").join(folder);
    let mut files: Vec<PathBuf> = fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder's entry").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    files
        .iter()
        .flat_map(|path| {
            let text = fs::read_to_string(path).expect("a readable file");
            let cases: Vec<T> = serde_yaml::from_str(&text)
                .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            cases
        })
        .collect()
}
