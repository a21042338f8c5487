//! What memory costs a judgement: one with a token and a session, and one that is verified
//! by its session alone; each with a memory that holds nothing else, and with one that
//! holds 100,000 bans and 100,000 sessions. The two are measured in turns and compared.
//!
//! `cargo bench --bench memory`. It asserts nothing: the ratios are for `RESULTS.md`.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic, missing_docs)]

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use countersign::clock::UnixTime;
use countersign::dialect::sign::{SigningKey, Subject, sign};
use countersign::dialect::{Carrier, Credential, Names, Source};
use countersign::gate::{Body, Outcome, Peer, RequestView};
use countersign::identity::Standing;
use countersign::judge::judge;
use countersign::plan::{Plan, Session};
use countersign::store::{Ban, Binding, Change, Purpose, Store, volatile};
use http::{HeaderMap, HeaderValue, Method};

const MANY: usize = 100_000;
const SITE: &str = "bench";
/// Judgements in a turn, and turns of each memory.
const TURN: u32 = 2_000;
const TURNS: usize = 101;

fn main() {
    let plan = plan();
    let (empty, full) = (store(&plan, 0), store(&plan, MANY));
    let token = format!("Bearer {}", token(&plan, "user-7"));
    let requests = [
        ("token and session", vec![("authorization", token.as_str()), ("x-auth-token", "s-7")]),
        ("session alone", vec![("x-auth-token", "s-7")]),
    ];
    for (name, fields) in requests {
        let headers = headers(&fields);
        let mut times = [Vec::new(), Vec::new()];
        for turn in 0..TURNS * 2 {
            // Whoever comes first in a pair takes turns too.
            let which = (turn / 2 + turn) % 2;
            let store = [&empty, &full][which];
            times[which].push(measure(&plan, store, &headers));
        }
        let [empty, full] = times.map(median);
        println!(
            "{name}: empty {empty:.3} µs, {MANY} bans and sessions {full:.3} µs, ratio {:.3}",
            full / empty
        );
    }
}

fn plan() -> Plan {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("countersign.yaml");
    let text = format!(
        "version: 1\nlisteners: [{{ address: \"127.0.0.1:0\" }}]\ntrusted_proxies: [private]\nsites:\n  \
         {SITE}:\n    hosts: [chat.acme.example]\n    upstream: http://127.0.0.1:1\n    dialect: jwt\n    \
         mode: require\n    keys: [{{ id: k1, secret: {{ value: {} }} }}]\n",
        "0123456789abcdef".repeat(3)
    );
    std::fs::write(&file, text).unwrap();
    let mut plan = countersign::config::load(&file).unwrap_or_else(|problems| panic!("{problems}"));
    let names = Names { proof: "x-auth-token".into(), ..Names::default() };
    let carrier = Carrier::Header { names, scheme: None };
    plan.sites[0].remembers.session = Some(Arc::new(Session {
        request: vec![Source { carrier, shared: false }],
        response: Vec::new(),
        ttl: Duration::from_secs(3600),
        max: MANY + 1,
        max_per_identity: 32,
        cookie: false,
    }));
    plan
}

/// A memory that knows the session of `user-7`, and so many others.
fn store(plan: &Plan, many: usize) -> Store {
    let store = volatile::open().unwrap();
    store.memory().prepare(plan);
    let now = UnixTime::now();
    for number in (0..many).chain([7]) {
        let (site, id) = (Arc::from(SITE), format!("user-{number}"));
        let session = store.memory().digest(Purpose::Session, &format!("s-{number}"));
        let credential = Credential::Token(token(plan, &id).into());
        let own = &plan.sites[0];
        let identity = own.dialect.verify(&credential, &own.keyring, now).unwrap();
        let until = now.after(Duration::from_secs(3600));
        let binding = Arc::new(Binding::of(&identity, &own.dialect, now, until).unwrap());
        store.note(Change::Bind { site, session, binding });
        if many > 0 {
            let (site, id) = (Arc::from(SITE), format!("banned-{number}").into());
            let ban = Ban { reason: None, since: now, until: None };
            store.note(Change::Ban { site, id, ban });
        }
    }
    store
}

fn token(plan: &Plan, id: &str) -> String {
    let site = &plan.sites[0];
    let signing = SigningKey { key: &site.keyring.keys()[0], private_pem: None };
    let subject = Subject { id: Some(id.into()), ..Subject::default() };
    sign(&site.dialect, signing, &subject, UnixTime::now(), None).unwrap().credential
}

fn headers(fields: &[(&'static str, &str)]) -> HeaderMap {
    let ordinary = [
        ("host", "chat.acme.example"),
        ("user-agent", "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"),
        ("accept", "*/*"),
        ("x-forwarded-for", "203.0.113.9"),
        ("cookie", "theme=dark; _ga=GA1.2.3"),
    ];
    let mut headers = HeaderMap::new();
    for (name, value) in ordinary.iter().chain(fields) {
        headers.append(*name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

/// Microseconds a judgement.
fn measure(plan: &Plan, store: &Store, headers: &HeaderMap) -> f64 {
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
    let now = UnixTime::now();
    let begun = Instant::now();
    for _ in 0..TURN {
        let judgement = judge(plan, store.memory(), black_box(&request), now);
        let Outcome::Forward(forward) = &judgement.verdict.outcome else {
            panic!("it should have been forwarded: {:?}", judgement.verdict.outcome)
        };
        assert!(matches!(forward.visitor.standing, Standing::Verified(_)));
        black_box(judgement.binder(store.memory(), now));
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(TURN)
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}
