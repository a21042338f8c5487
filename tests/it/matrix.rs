//! Five dialects × five modes × what a visitor presents, through the binary to a backend.

use serde_json::{Value, json};

use crate::support::cases::{DIALECTS, Dialect, Presented};
use crate::support::echo::{Echo, Echoed};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Request, Response};

const MODES: [&str; 5] = ["require", "prefer", "accept", "observe", "off"];
const TARGET: &str = "/chat?keep=%20x&a=b";

/// What must become of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outcome {
    Verified,
    Guest(&'static str),
    Rejected(&'static str),
}

/// The mode table and the reasons, written a second time: here as the contract has them.
fn expected(dialect: &Dialect, mode: &str, presented: Presented) -> Outcome {
    let reason = match presented {
        Presented::Good => {
            return if mode == "off" { Outcome::Guest("not_checked") } else { Outcome::Verified };
        }
        Presented::Missing => "missing",
        Presented::Unsigned if dialect.claims_in_query => "unsigned",
        Presented::Unsigned => "missing",
        Presented::Tampered | Presented::WrongKey => "bad_signature",
        Presented::Expired => "expired",
    };
    let no_credential = matches!(presented, Presented::Missing | Presented::Unsigned);
    match mode {
        "off" => Outcome::Guest("not_checked"),
        "accept" | "observe" => Outcome::Guest(reason),
        "prefer" if no_credential => Outcome::Guest(reason),
        _ => Outcome::Rejected(reason),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_dialect_in_every_mode_judges_everything_a_visitor_may_present() {
    let echo = Echo::start().await;
    let upstream = format!("http://{}", echo.address);
    let mut sites = String::new();
    for dialect in &DIALECTS {
        for mode in MODES {
            let name = format!("{}-{mode}", dialect.name);
            sites += &dialect.site(&name, &format!("{name}.test"), &upstream, mode);
        }
    }
    let gateway = Setup::new(sites).start().await;
    let mut failures = Vec::new();
    let mut judged = Vec::new();
    for dialect in &DIALECTS {
        for mode in MODES {
            for presented in Presented::ALL {
                if presented == Presented::Expired && !dialect.expires {
                    continue;
                }
                let outcome = expected(dialect, mode, presented);
                let run = one(&gateway, &echo, dialect, mode, presented, outcome).await;
                if let Err(problem) = run {
                    failures.push(format!("{} {mode} {presented:?}: {problem}", dialect.name));
                }
                judged.push((dialect, mode, outcome));
            }
        }
    }
    assert!(failures.is_empty(), "{} fail:\n{}", failures.len(), failures.join("\n"));
    counts_agree(&gateway, &judged).await;
}

async fn one(
    gateway: &Gateway,
    echo: &Echo,
    dialect: &Dialect,
    mode: &str,
    presented: Presented,
    outcome: Outcome,
) -> Result<(), String> {
    let site = format!("{}-{mode}", dialect.name);
    let (request, proof) = dialect.presents(presented, TARGET);
    let request = request.host(&format!("{site}.test"));
    echo.take();
    let answer = gateway.send(&request).await;
    let received = echo.take();
    match outcome {
        Outcome::Rejected(reason) => {
            check(received.is_empty(), || format!("the backend received {received:?}"))?;
            refused(&answer, &site, reason)
        }
        _ => {
            check(answer.status == 200, || format!("{}: {}", answer.status_line, answer.text()))?;
            let echoed = received.first().ok_or("the backend received nothing")?;
            announced(echoed, dialect, &site, outcome)?;
            let id = answer.header("countersign-request-id");
            check(id.is_some() && id == echoed.header("countersign-request-id"), || {
                format!("request id {id:?}")
            })?;
            cleaned(echoed, &request, dialect, mode, presented, &proof)
        }
    }
}

fn refused(answer: &Response, site: &str, reason: &str) -> Result<(), String> {
    let found = |what: &str| format!("{what}: {answer:?} {}", answer.text());
    check(answer.status == 401, || found("status"))?;
    let problem = answer.json();
    check(answer.header("content-type") == Some("application/problem+json"), || found("type"))?;
    check(answer.header("cache-control") == Some("no-store"), || found("cache-control"))?;
    check(problem["code"] == reason, || found(reason))?;
    check(problem["type"] == format!("urn:countersign:{reason}"), || found("type"))?;
    check(problem["status"] == 401, || found("status"))?;
    for member in ["title", "detail", "request_id"] {
        check(problem[member].as_str().is_some_and(|text| !text.is_empty()), || found(member))?;
    }
    let id = answer.header("countersign-request-id");
    check(problem["request_id"].as_str() == id, || found("request_id"))?;
    let challenge = answer.header("www-authenticate").unwrap_or_default();
    check(challenge.starts_with(&format!("Bearer realm=\"{site}\"")), || found("realm"))?;
    let invalid = challenge.contains("error=\"invalid_token\"");
    check(invalid == !matches!(reason, "missing" | "unsigned"), || found("invalid_token"))
}

fn announced(
    echoed: &Echoed,
    dialect: &Dialect,
    site: &str,
    outcome: Outcome,
) -> Result<(), String> {
    let is = |name: &str, wanted: Option<&str>| {
        let got = echoed.all(&format!("countersign-{name}"));
        check(got == Vec::from_iter(wanted), || format!("{name} is {got:?}, expected {wanted:?}"))
    };
    is("Site", Some(site))?;
    is("Dialect", Some(dialect.name))?;
    match outcome {
        Outcome::Verified => {
            is("Status", Some("verified"))?;
            is("Reason", None)?;
            is("Key", Some("k1"))?;
            for name in ["Id", "Name", "Email"] {
                let proven = dialect.proves.iter().find(|(known, _)| *known == name);
                is(name, proven.map(|(_, value)| *value))?;
            }
            let expires = echoed.header("countersign-expires").is_some();
            check(expires == dialect.expires, || format!("expires: {expires}"))
        }
        Outcome::Guest(reason) => {
            is("Status", Some("guest"))?;
            is("Reason", Some(reason))?;
            for name in ["Id", "Name", "Email", "Attributes", "Key", "Expires"] {
                is(name, None)?;
            }
            Ok(())
        }
        Outcome::Rejected(_) => Err("forwarded".to_owned()),
    }
}

/// Spent and refused credentials are gone, unproven fields only in `Claimed`; `off` and
/// `observe` leave everything as it came.
fn cleaned(
    echoed: &Echoed,
    request: &Request,
    dialect: &Dialect,
    mode: &str,
    presented: Presented,
    proof: &str,
) -> Result<(), String> {
    let untouched = matches!(mode, "off" | "observe");
    let unsigned = presented == Presented::Unsigned && dialect.claims_in_query;
    let target = if untouched || (presented == Presented::Unsigned && !unsigned) {
        request.target().to_owned()
    } else if dialect.name == "user-hash" && presented == Presented::Good {
        format!("{TARGET}&user_id=u-1001")
    } else {
        TARGET.to_owned()
    };
    check(echoed.target == target, || format!("target {}, expected {target}", echoed.target))?;
    let kept = !proof.is_empty() && echoed.mentions(proof);
    check(kept == (untouched && !proof.is_empty()), || format!("credential kept: {kept}"))?;
    if mode == "observe" {
        return Ok(());
    }
    let guest = presented != Presented::Good && presented != Presented::Missing;
    let claimed = match dialect.name {
        _ if untouched => None,
        "user-hash" if unsigned => Some(json!({ "user_id": "admin", "email": "root@example.com" })),
        "user-hash" if guest => Some(json!({ "user_id": "u-1001" })),
        "zendesk-chat" if unsigned => {
            Some(json!({ "external_id": "admin", "email": "root@example.com" }))
        }
        "ringcentral-engage" if unsigned => {
            Some(json!({ "uuid": "admin", "email": "root@example.com" }))
        }
        _ => None,
    };
    let got: Option<Value> = echoed.claimed();
    check(got == claimed, || format!("claimed {got:?}, expected {claimed:?}"))
}

async fn counts_agree(gateway: &Gateway, judged: &[(&Dialect, &str, Outcome)]) {
    gateway.metric_reaches("countersign_decisions_total", &[], judged.len() as f64).await;
    let metrics = gateway.metrics().await;
    for (dialect, mode, outcome) in judged {
        let site = format!("{}-{mode}", dialect.name);
        let (decision, reason) = match outcome {
            Outcome::Verified => ("verified", "none"),
            Outcome::Guest(reason) => ("guest", *reason),
            Outcome::Rejected(reason) => ("rejected", *reason),
        };
        let same = judged.iter().filter(|(other, in_mode, is)| {
            other.name == dialect.name && in_mode == mode && is == outcome
        });
        let labels = [
            ("site", site.as_str()),
            ("dialect", dialect.name),
            ("mode", mode),
            ("decision", decision),
            ("reason", reason),
        ];
        let wanted = same.count() as f64;
        assert_eq!(metrics.sum("countersign_decisions_total", &labels), wanted, "{labels:?}");
        if *mode == "observe" && decision == "guest" {
            let labels = [("site", site.as_str()), ("reason", reason)];
            let count = metrics.sum("countersign_would_reject_total", &labels);
            assert_eq!(count, wanted, "would_reject {labels:?}");
        }
    }
    let labels = [("site", "jwt-require"), ("code", "401")];
    assert_eq!(metrics.sum("countersign_http_requests_total", &labels), 5.0);
}

fn check(holds: bool, problem: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(problem()) }
}
