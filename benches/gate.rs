//! What a request costs inside Countersign: verification of each algorithm and dialect,
//! and the whole judgement (host, route, credential, proof, decision, edits) beside the
//! bare cryptography that it contains.
//!
//! `cargo bench --bench gate`. "The gate's own cost" is `judge/<dialect>` less
//! `crypto/<its algorithm>` of the same run.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use countersign::clock::UnixTime;
use countersign::dialect::fresh;
use countersign::dialect::sign::{SigningKey, Subject, sign};
use countersign::dialect::{Algorithm, Credential};
use countersign::gate::{Body, Outcome, Peer, RequestView};
use countersign::identity::Standing;
use countersign::judge::judge;
use countersign::plan::Plan;
use countersign::store::{Store, volatile};
use criterion::{Criterion, criterion_group, criterion_main};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

/// One site with one key, and what proves a visitor to it.
struct Scene {
    plan: Plan,
    store: Store,
    algorithm: Algorithm,
    credential: String,
    subject: Subject,
}

impl Scene {
    fn new(dialect: &str, algorithm: Algorithm) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (key, private) = if algorithm.is_symmetric() {
            (format!("secret: {{ value: {SECRET} }}"), None)
        } else {
            let pair = fresh::pair(algorithm).unwrap();
            std::fs::write(folder.path().join("key.pem"), &pair.public).unwrap();
            ("public_key: { file: key.pem }".to_owned(), Some(pair.private))
        };
        let mut text = format!(
            "version: 1\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\ntrusted_proxies: [private]\n\
             sites:\n  bench:\n    hosts: [chat.acme.example]\n    upstream: http://127.0.0.1:1\n    \
             dialect: {dialect}\n    mode: require\n"
        );
        if dialect == "amazon-connect" {
            text.push_str("    audience: widget-1\n");
        }
        let name = algorithm.name();
        let pinned =
            if dialect == "user-hash" { String::new() } else { format!(", algorithm: {name}") };
        writeln!(text, "    keys: [{{ id: k1{pinned}, {key} }}]").unwrap();
        let file = folder.path().join("countersign.yaml");
        std::fs::write(&file, text).unwrap();
        let plan = countersign::config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
        let signs_more = dialect != "user-hash";
        let subject = Subject {
            id: Some("user-123456".into()),
            name: signs_more.then(|| "Ana Krūmiņa".into()),
            email: signs_more.then(|| "ana@acme.example".into()),
            ..Subject::default()
        };
        let site = &plan.sites[0];
        let signing = SigningKey {
            key: &site.keyring.keys()[0],
            private_pem: private.as_ref().map(|pem| pem.expose()),
        };
        let signed = sign(&site.dialect, signing, &subject, UnixTime::now(), None).unwrap();
        let store = volatile::open().unwrap();
        store.memory().prepare(&plan);
        Self { algorithm, credential: signed.credential, subject, plan, store }
    }

    fn credential(&self) -> Credential<'_> {
        match self.plan.sites[0].dialect.scheme() {
            "jwt" => Credential::Token(self.credential.as_str().into()),
            _ => Credential::Hash(countersign::dialect::Hash {
                proof: self.credential.as_str().into(),
                id: self.subject.id.as_deref().map(Into::into),
                ..Default::default()
            }),
        }
    }

    /// A browser's ordinary fields and the credential.
    fn headers(&self) -> HeaderMap {
        let bearer = format!("Bearer {}", self.credential);
        let mut fields = vec![
            ("host", "chat.acme.example"),
            ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
            ("accept", "*/*"),
            ("accept-language", "en-GB,en;q=0.9"),
            ("accept-encoding", "gzip, deflate, br"),
            ("referer", "https://www.acme.example/shop?page=2"),
            ("x-forwarded-for", "203.0.113.9"),
            ("cookie", "theme=dark; _ga=GA1.2.3"),
        ];
        match self.plan.sites[0].dialect.scheme() {
            "jwt" => fields.push(("authorization", &bearer)),
            _ => fields.extend([
                ("x-user-id", self.subject.id.as_deref().unwrap()),
                ("x-identifier-hash", &self.credential),
            ]),
        }
        fields
            .into_iter()
            .map(|(name, value)| {
                (HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())
            })
            .collect()
    }

    fn judge(&self, headers: &HeaderMap, now: UnixTime) -> bool {
        let request = RequestView {
            method: &Method::GET,
            target: "/api/messages?room=7&since=12",
            authority: None,
            headers,
            peer: Peer::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST)),
            tls: false,
            local_port: Some(8080),
            upgrade: false,
            request_id: "01a1fe137ade776aa788534d27a89764",
            body: Body::Unseen,
        };
        match judge(&self.plan, self.store.memory(), &request, now).verdict.outcome {
            Outcome::Forward(forward) => {
                matches!(forward.visitor.standing, Standing::Verified(_))
            }
            _ => false,
        }
    }
}

/// The cryptography alone, by the same key.
fn crypto(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("crypto");
    for algorithm in Algorithm::ALL {
        let scene = Scene::new("jwt", *algorithm);
        let (message, signature) = scene.credential.rsplit_once('.').unwrap();
        let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
        let key = &scene.plan.sites[0].keyring.keys()[0];
        assert!(key.verifies(message.as_bytes(), &signature));
        group.bench_function(scene.algorithm.name(), |bencher| {
            bencher.iter(|| key.verifies(black_box(message.as_bytes()), black_box(&signature)))
        });
    }
    let scene = Scene::new("user-hash", Algorithm::HS256);
    let key = &scene.plan.sites[0].keyring.keys()[0];
    group.bench_function("user-hash", |bencher| {
        bencher.iter(|| key.verifies(black_box(b"user-123456"), black_box(&[0; 32])))
    });
    group.finish();
}

/// Proof: the cryptography and every check of form, claims and times.
fn verify(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("verify");
    for (name, scene) in scenes() {
        let (site, now) = (&scene.plan.sites[0], UnixTime::now());
        let credential = scene.credential();
        assert!(site.dialect.verify(&credential, &site.keyring, now).is_ok(), "{name}");
        group.bench_function(&name, |bencher| {
            bencher.iter(|| site.dialect.verify(black_box(&credential), &site.keyring, now))
        });
    }
    group.finish();
}

/// Everything between a request's head and the edited one.
fn whole(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("judge");
    for (name, scene) in scenes() {
        let (headers, now) = (scene.headers(), UnixTime::now());
        assert!(scene.judge(&headers, now), "{name}");
        group.bench_function(&name, |bencher| {
            bencher.iter(|| scene.judge(black_box(&headers), now))
        });
    }
    group.finish();
}

fn scenes() -> Vec<(String, Scene)> {
    let dialects = ["user-hash", "zendesk-chat", "ringcentral-engage", "amazon-connect"];
    let vendors =
        dialects.map(|dialect| (dialect.to_owned(), Scene::new(dialect, Algorithm::HS256)));
    let algorithms = Algorithm::ALL
        .iter()
        .map(|algorithm| (format!("jwt-{}", algorithm.name()), Scene::new("jwt", *algorithm)));
    vendors.into_iter().chain(algorithms).collect()
}

criterion_group!(benches, crypto, verify, whole);
criterion_main!(benches);
