//! Backends that need not trust the network: `examples/backends`, started as its README says,
//! and shown the good and the bad assertions of `assertions.yaml`.

mod backends;
mod cases;
mod keys;

use std::time::Instant;

use countersign::assertion::{Assertion, Content};
use countersign::clock::UnixTime;
use futures_util::future::join_all;
use serde_json::{Value, json};

use self::backends::{Backend, EXECUTED, folder};
use self::cases::{Name, table};
use self::keys::Ring;
use crate::support::key_server::KeyServer;
use crate::support::raw::Response;
use crate::support::{PATIENCE, eventually, sign};

const SITE: &str = "acme";

/// A backend with a key server of its own.
struct Stage {
    backend: Backend,
    server: KeyServer,
}

/// All that are executed.
async fn stages(ring: &Ring) -> Vec<Stage> {
    let starts = EXECUTED.map(|name| async move {
        let server = KeyServer::start(ring.set(&[Name::First, Name::Second])).await;
        let url = url(&server);
        let environment = [("COUNTERSIGN_SITE", SITE), ("COUNTERSIGN_JWKS", &url)];
        let backend = Backend::start(name, &environment).await;
        Stage { backend: backend.unwrap_or_else(|| panic!("{name} starts")), server }
    });
    join_all(starts).await
}

fn url(server: &KeyServer) -> String {
    format!("http://{}/.well-known/countersign/jwks.json", server.address)
}

fn case(name: &str) -> cases::Case {
    table().into_iter().find(|case| case.name == name).expect("a case of that name")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_backend_takes_what_countersign_signs_and_nothing_else() {
    let ring = Ring::new();
    let strange = KeyServer::start(ring.set(&[Name::Stranger])).await;
    let jku = url(&strange);
    let shown = stages(&ring).await.into_iter().map(|stage| {
        let (ring, jku) = (&ring, &jku);
        async move {
            let start = Instant::now();
            for case in table() {
                let (claims, sent) = case.make(ring, jku);
                let what = format!("{}: {}", stage.backend.name, case.name);
                let answer = stage.backend.get(&sent).await;
                if case.passes {
                    is_shown(&what, &answer, &claims);
                } else {
                    is_refused(&what, &answer);
                }
            }
            signed_by_the_library(&stage.backend, ring).await;
            is_refused(stage.backend.name, &stage.backend.handshake().await);
            // The first time, and for unknown keys.
            let most = 2 + start.elapsed().as_secs() as usize / 5;
            let asked = stage.server.asked();
            assert!((1..=most).contains(&asked), "{} asked {asked} times", stage.backend.name);
        }
    });
    join_all(shown).await;
    assert_eq!(strange.asked(), 0, "nobody fetches keys from where an assertion says");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_learns_of_new_keys_and_outlives_an_outage() {
    let ring = Ring::new();
    let (old, new) = (case("a visitor"), case("one of a stranger"));
    let shown = stages(&ring).await.into_iter().map(|stage| {
        let (ring, old, new) = (&ring, &old, &new);
        async move {
            let Stage { backend, server } = &stage;
            let show = async |case: &cases::Case| backend.get(&case.make(ring, "").1).await;
            server.hang();
            is_refused(&format!("{}: before there are keys", backend.name), &show(old).await);
            server.publish(ring.set(&[Name::First, Name::Second]));
            assert_eq!(show(old).await.status, 200, "{}", backend.name);
            server.publish(ring.set(&[Name::Stranger]));
            let learnt = async || show(new).await.status == 200;
            let what = format!("{} fetches keys for an unknown one", backend.name);
            eventually(&what, PATIENCE, learnt).await;
            is_refused(&format!("{}: a key that is gone", backend.name), &show(old).await);
            server.fail(500, "");
            is_refused(&format!("{}: in an outage", backend.name), &show(old).await);
            assert_eq!(show(new).await.status, 200, "{}: in an outage", backend.name);
        }
    });
    join_all(shown).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backend_that_was_not_told_its_site_lets_nobody_in() {
    let ring = Ring::new();
    let visitor = case("a visitor");
    let nobody = case("one for nobody");
    let shown = EXECUTED.map(|name| {
        let (ring, visitor, nobody) = (&ring, &visitor, &nobody);
        async move {
            let server = KeyServer::start(ring.set(&[Name::First])).await;
            // It may end, which lets nobody in either.
            let told = [("COUNTERSIGN_JWKS", url(&server))];
            let told = told.each_ref().map(|(name, value)| (*name, value.as_str()));
            let Some(backend) = Backend::start(name, &told).await else { return };
            for case in [visitor, nobody] {
                let answer = backend.get(&case.make(ring, "").1).await;
                is_refused(&format!("{name}: {}", case.name), &answer);
            }
        }
    });
    join_all(shown).await;
}

/// What the library itself makes: everything it can say, and a guest.
async fn signed_by_the_library(backend: &Backend, ring: &Ring) {
    let keys = [Name::First, Name::Second].map(|name| ring.key(name).signing());
    let issuer = Assertion::ISSUER;
    let assertion = Assertion::new(keys.into(), issuer, Assertion::TTL).expect("a key");
    let visitor = Content {
        audience: SITE,
        subject: Some("u-1001"),
        status: "verified",
        dialect: "jwt",
        name: Some("Zoë \"Z\""),
        email: Some("zoe@acme.example"),
        attributes: Some("{\"plan\":{\"seats\":[1,2]}}"),
        claimed: Some("{\"user_id\":\"someone-else\"}"),
        details: Some("{\"Age\":\"25\"}"),
        via: Some("session"),
        ..Content::default()
    };
    let guest = Content {
        audience: SITE,
        status: "guest",
        reason: Some("missing"),
        dialect: "jwt",
        ..Content::default()
    };
    let says = [
        json!({
            "sub": "u-1001", "status": "verified", "name": "Zoë \"Z\"",
            "email": "zoe@acme.example", "attributes": { "plan": { "seats": [1, 2] } },
            "claimed": { "user_id": "someone-else" }, "details": { "Age": "25" },
        }),
        json!({ "status": "guest" }),
    ];
    for (content, says) in [visitor, guest].iter().zip(says) {
        let value = assertion.of(content, UnixTime::from_secs(sign::now())).expect("randomness");
        let sent = value.to_str().expect("ASCII").to_owned();
        is_shown(backend.name, &backend.get(&[sent]).await, &says);
    }
}

fn is_shown(what: &str, answer: &Response, claims: &Value) {
    assert_eq!(answer.status, 200, "{what}: {}", answer.text());
    let shown = answer.json();
    assert_eq!(shown["id"], claims["sub"], "{what}");
    for name in ["status", "name", "email", "attributes", "claimed", "details"] {
        assert_eq!(shown[name], claims[name], "{what}: {name}");
    }
}

fn is_refused(what: &str, answer: &Response) {
    assert_eq!(answer.status, 401, "{what}: {}", answer.text());
    // RFC 9110 §15.5.2.
    assert_eq!(answer.header("www-authenticate"), Some("Countersign-Assertion"), "{what}");
    // The application behind has not been asked.
    assert_eq!(answer.text().trim(), "Only through Countersign.", "{what}");
}

#[test]
fn every_backend_is_listed_with_whether_it_is_executed() {
    let page = std::fs::read_to_string(folder().join("README.md")).expect("a page");
    let entries = std::fs::read_dir(folder()).expect("a folder").map(|entry| entry.expect("one"));
    let folders = entries.filter(|entry| entry.path().is_dir());
    let mut executed = Vec::new();
    for entry in folders {
        let name = entry.file_name().into_string().expect("a name");
        let row = page.lines().find(|line| line.contains(&format!("]({name}/")));
        let row = row.unwrap_or_else(|| panic!("examples/backends/README.md does not list {name}"));
        // A whole chat server, which reads no assertion: tests/browser drives it.
        if name == "matrix-synapse" {
            continue;
        }
        if row.ends_with("| yes |") {
            executed.push(name);
        } else {
            assert!(row.ends_with("| no |"), "{row}");
        }
    }
    executed.sort();
    let mut expected = EXECUTED;
    expected.sort_unstable();
    assert_eq!(executed, expected);
}
