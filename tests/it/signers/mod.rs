//! Websites sign with other people's libraries: `examples/websites`, run as a website runs
//! them, each against the real binary. What they print is verified, and changed it is refused.

pub mod runtimes;

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::dialect::{Algorithm, fresh};
use futures_util::future::join_all;
use serde_yaml::Value;

use self::runtimes::{Runtimes, Sample, websites};
use crate::cli::{code, countersign, stdout};
use crate::support::cases::{DIALECTS, dialect};
use crate::support::echo::Echo;
use crate::support::gateway::{Gateway, Setup};

const ID: &str = "u-1001";
const NAME: &str = "Zoë Müller-Ñandú";
const EMAIL: &str = "zoe+chat@acme.example";
/// [`NAME`] as a header value.
const NAME_HEADER: &str = "Zo%C3%AB M%C3%BCller-%C3%91and%C3%BA";

/// The calls as Zendesk's own document has them: without `exp`, algorithms left to the library.
const ZENDESK: [Sample; 3] = [
    Sample::Text {
        ending: "js",
        text: "const jwt = require('jsonwebtoken'); const payload = { name: 'Ana', email: \
               'ana@acme.example', iat: Math.floor(Date.now() / 1000), external_id: 'u-1001' }; \
               console.log(jwt.sign(payload, process.env.CHAT_SECRET))",
    },
    Sample::Text {
        ending: "py",
        text: "from jose import jwt; import os, time; payload = {'name': 'Ana', 'email': \
               'ana@acme.example', 'iat': int(time.time()), 'external_id': 'u-1001'}; \
               print(jwt.encode(payload, os.environ['CHAT_SECRET']))",
    },
    Sample::Text {
        ending: "rb",
        text: "require 'jwt'; payload = { :name => 'Ana', :email => 'ana@acme.example', :iat => \
               Time.now.to_i, :external_id => 'u-1001' }; \
               puts JWT.encode payload, ENV['CHAT_SECRET']",
    },
];

/// What has to be among the samples: the calls that vendors' documents show.
const CALLS: [(&str, &str); 6] = [
    ("js", "require(\"jsonwebtoken\")"),
    ("py", "from jose import jwt"),
    ("py", "\nimport jwt"),
    ("rb", "require \"jwt\""),
    ("php", "echo hash_hmac(\"sha256\", $user_id"),
    ("php", "hash_hmac(\"sha256\", $signed"),
];

/// Every file of a system's folder.
fn samples() -> Vec<PathBuf> {
    let mut samples = Vec::new();
    for dialect in DIALECTS {
        let Ok(folder) = std::fs::read_dir(websites().join(dialect.name)) else { continue };
        samples.extend(folder.map(|entry| entry.expect("an entry").path()));
    }
    samples
}

fn system(path: &std::path::Path) -> &str {
    let folder = path.parent().and_then(|folder| folder.file_name());
    folder.and_then(|name| name.to_str()).expect("a sample lies in its system's folder")
}

/// A site for each system; RingCentral's with a key pair too.
async fn start(echo: &Echo, public_key: &str) -> Gateway {
    let upstream = format!("http://{}", echo.address);
    let sites = DIALECTS.iter().map(|dialect| {
        let site = dialect.site(dialect.name, &host(dialect.name), &upstream, "require");
        match dialect.name {
            "ringcentral-engage" => {
                site.replace(" } } ]", " } }, { id: k2, public_key: { file: website.pub } } ]")
            }
            _ => site,
        }
    });
    Setup::new(sites.collect::<String>()).file("website.pub", public_key).start().await
}

/// Zendesk's site alone, with that secret.
fn only(echo: &Echo, secret: &str) -> String {
    let zendesk = dialect("zendesk-chat");
    let upstream = format!("http://{}", echo.address);
    let site = zendesk.site(zendesk.name, &host(zendesk.name), &upstream, "prefer");
    site.replace(zendesk.secret, secret)
}

fn host(system: &str) -> String {
    format!("{system}.test")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_website_signs_is_verified_in_every_language_and_a_changed_copy_is_refused() {
    let runtimes = Runtimes::ready();
    let pair = fresh::pair(Algorithm::RS256).expect("a key pair");
    let private = String::from_utf8(pair.private.expose().to_vec()).expect("PEM is text");
    let echo = Echo::start().await;
    let gateway = start(&echo, &pair.public).await;
    let files = samples();
    assert!(files.len() >= 14, "{files:?}");
    let checks = files.into_iter().map(|path| {
        let (gateway, private) = (&gateway, &private);
        async move {
            let system = system(&path).to_owned();
            let has_pair = path.to_string_lossy().contains("rs256");
            let key = if has_pair { "k2" } else { "k1" };
            let shared = if has_pair { "" } else { dialect(&system).secret };
            let sample = Sample::File(path);
            let environment = [
                ("CHAT_SECRET", shared),
                ("CHAT_KEY_ID", key),
                ("CHAT_PRIVATE_KEY", private),
                ("WIDGET_ID", "widget-1"),
            ];
            let proof = runtimes.run(&sample, &environment).await;
            is_verified(gateway, &system, &sample, &proof, key, NAME_HEADER).await;
            changed_is_refused(gateway, &system, &sample, &proof).await;
        }
    });
    join_all(checks).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_own_calls_without_an_expiry_are_verified() {
    let runtimes = Runtimes::ready();
    let echo = Echo::start().await;
    let zendesk = dialect("zendesk-chat");
    let gateway = Setup::new(only(&echo, zendesk.secret)).start().await;
    let checks = ZENDESK.iter().map(|sample| async {
        let proof = runtimes.run(sample, &[("CHAT_SECRET", zendesk.secret)]).await;
        is_verified(&gateway, zendesk.name, sample, &proof, "k1", "Ana").await;
        changed_is_refused(&gateway, zendesk.name, sample, &proof).await;
    });
    join_all(checks).await;
}

/// Shown where its widget shows it, it proves who signed, and what else it covers.
async fn is_verified(
    gateway: &Gateway,
    system: &str,
    sample: &Sample,
    proof: &str,
    key: &str,
    name: &str,
) {
    let request = dialect(system).request("/room", ID, proof).host(&host(system));
    let response = gateway.send(&request).await;
    assert_eq!(response.status, 200, "{sample:?}: {}", response.text());
    let echoed = response.echoed();
    let mut expected = vec![("Status", "verified"), ("Dialect", system), ("Id", ID), ("Key", key)];
    if system != "user-hash" {
        expected.push(("Name", name));
    }
    for (header, value) in expected {
        let got = echoed.header(&format!("Countersign-{header}"));
        assert_eq!(got, Some(value), "{sample:?}: {header}");
    }
    assert!(!echoed.mentions(proof), "{sample:?}: a spent credential goes no further");
}

/// Another identity under the same signature, and the same identity under another.
async fn changed_is_refused(gateway: &Gateway, system: &str, sample: &Sample, proof: &str) {
    let other = "u-2002";
    let changes = match proof.rsplit_once('.') {
        Some((signed, signature)) => {
            let (header, payload) = signed.split_once('.').expect("three segments");
            let payload = URL_SAFE_NO_PAD.decode(payload).expect("base64url");
            let payload = String::from_utf8(payload).expect("JSON");
            assert!(payload.contains(ID), "{sample:?}: {payload}");
            let payload = URL_SAFE_NO_PAD.encode(payload.replace(ID, other));
            let forged = format!("{header}.{payload}.{signature}");
            [(other, forged), (ID, format!("{signed}.{}", with_another_start(signature)))]
        }
        None => [(other, proof.to_owned()), (ID, with_another_start(proof))],
    };
    for (id, changed) in changes {
        let request = dialect(system).request("/room", id, &changed).host(&host(system));
        let response = gateway.send(&request).await;
        assert_eq!(response.status, 401, "{sample:?} as {id}: {}", response.text());
        assert_eq!(response.code(), "bad_signature", "{sample:?} as {id}");
    }
}

fn with_another_start(signature: &str) -> String {
    let other = if signature.starts_with('0') { '1' } else { '0' };
    format!("{other}{}", &signature[1..])
}

#[test]
fn every_sample_is_listed_and_every_documented_call_is_among_them() {
    let list = std::fs::read_to_string(websites().join("README.md")).expect("a page");
    let mut calls = CALLS.to_vec();
    for path in samples() {
        let file = path.file_name().expect("a name").to_string_lossy();
        let link = format!("]({}/{file})", system(&path));
        assert!(list.contains(&link), "examples/websites/README.md does not list {link}");
        let text = std::fs::read_to_string(&path).expect("a text");
        calls.retain(|(ending, call)| !(file.ends_with(ending) && text.contains(call)));
    }
    assert!(calls.is_empty(), "no sample calls {calls:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_vendors_elixir_sample_is_refused_over_http_and_explained() {
    let vectors = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/zendesk-chat/vendors.yaml");
    let cases = std::fs::read_to_string(vectors).expect("vectors");
    let cases: Vec<Value> = serde_yaml::from_str(&cases).expect("a list");
    let recorded = cases.iter().find(|case| case["name"] == "elixir-json_web_token-zendesk");
    let recorded = recorded.expect("the recorded sample");
    let (secret, token) = (&recorded["keys"][0]["secret"], &recorded["credential"]);
    let (secret, token) = (secret.as_str().expect("text"), token.as_str().expect("text"));

    let echo = Echo::start().await;
    let gateway = Setup::new(only(&echo, secret)).start().await;
    let request = dialect("zendesk-chat").request("/", ID, token).host(&host("zendesk-chat"));
    let response = gateway.send(&request).await;
    assert_eq!((response.status, response.code().as_str()), (401, "invalid_claim"));
    let detail = response.json()["detail"].as_str().unwrap_or_default().to_owned();
    assert!(detail.contains("`iat`"), "{detail}");

    let config = gateway.path("countersign.yaml").display().to_string();
    let explained = countersign(&["explain", "--config", &config, "--site", "zendesk-chat", token]);
    assert_eq!(code(&explained), 1);
    let hint = "`iat` is a string: write the number without quotation marks";
    let explained = stdout(&explained);
    assert!(explained.contains("refused: invalid_claim"), "{explained}");
    assert!(explained.contains(hint), "{explained}");
}
