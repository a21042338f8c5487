//! No token, secret or query reaches the log at any level, whatever goes wrong.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::support::cases::{DIALECTS, dialect};
use crate::support::echo::{Echo, silent_backend};
use crate::support::gateway::{Gateway, Setup};
use crate::support::raw::{Connection, Request};
use crate::support::websocket::{Socket, handshake};
use crate::support::{h2c, ports};

/// Stands in every query, cookie and body that is sent.
const MARK: &str = "MARK-c0ffee-of-the-query";

/// Backends that answer, and that fail in every way.
const BACKENDS: [&str; 4] = ["up", "down", "silent", "unknown"];
const PATHS: [&str; 4] = ["/c", "/reset", "/close", "/hang"];

async fn start(echo: &Echo, level: &[&str], environment: &[(&str, &str)]) -> Gateway {
    let silent = silent_backend().await;
    let mut sites = String::new();
    for dialect in &DIALECTS {
        for backend in BACKENDS {
            let upstream = match backend {
                "up" => format!("http://{}", echo.address),
                "down" => format!("http://{}", ports::free()),
                "silent" => format!("http://{silent}"),
                _ => "http://no-such-host.invalid:3000".to_owned(),
            };
            for mode in ["require", "accept", "off"] {
                let name = format!("{}-{backend}-{mode}", dialect.name);
                sites += &dialect.site(&name, &format!("{name}.test"), &upstream, mode);
            }
        }
    }
    let mut setup = Setup::new(sites).top("timeouts: { connect: 300ms, response: 300ms }");
    for argument in level {
        setup = setup.argument(argument);
    }
    for (name, value) in environment {
        setup = setup.environment(name, value);
    }
    setup.start().await
}

/// Everything that must not be printed, as it was sent.
#[derive(Default)]
struct Secrets(Vec<String>);

impl Secrets {
    fn note(&mut self, credential: &str) {
        // A token's header is the same for all and no secret.
        let parts =
            credential.split('.').filter(|part| part.len() >= 20 && !part.starts_with("eyJ0eXAi"));
        self.0.extend(parts.map(str::to_owned));
    }

    fn search(&self, log: &str) -> Vec<String> {
        let keys = DIALECTS
            .iter()
            .flat_map(|dialect| [dialect.secret.to_owned(), STANDARD.encode(dialect.secret)]);
        let people = ["u-1001", "j@example.com", "j%40example.com"].map(str::to_owned);
        let marks = [MARK.to_owned(), crate::support::gateway::ADMIN_TOKEN.to_owned()];
        let mut leaks: Vec<String> = keys
            .chain(marks)
            .chain(people)
            .chain(self.0.iter().cloned())
            .filter(|secret| log.contains(secret.as_str()))
            .collect();
        leaks.sort();
        leaks.dedup();
        leaks
    }
}

/// A good and a refused credential in every carrier.
fn requests(host: &str, name: &str, path: &str, secrets: &mut Secrets) -> Vec<Request> {
    let dialect = dialect(name);
    let mut requests = vec![Request::get(&format!("{path}?q={MARK}")).host(host)];
    for secret in [dialect.secret, "a-secret-that-is-nobodys-0123456789"] {
        let proof = dialect.proof(secret, "u-1001", 5);
        secrets.note(&proof);
        let target = format!("{path}?q={MARK}");
        let page = format!("https://www.acme.test/p?q={MARK}");
        let usual = dialect.request(&target, "u-1001", &proof).host(host);
        requests.push(
            usual
                .header("Referer", &format!("{page}&jwt={proof}&jwt_identity={proof}"))
                .header("Cookie", &format!("session={MARK}")),
        );
        let query = format!("{target}&jwt={proof}&jwt_identity={proof}&access_token={proof}");
        requests.push(Request::get(&query).host(host));
        let cookie = format!("countersign_jwt={proof}; session={MARK}");
        requests.push(Request::get(&target).host(host).header("Cookie", &cookie));
        requests.push(Request::get(&target).host(host).bearer(&proof));
        let hash = format!("{target}&user_id=u-1001&email=j%40example.com&identifier_hash={proof}");
        requests.push(Request::get(&hash).host(host));
        let post = Request::post(&target, "application/octet-stream", MARK);
        requests.push(post.host(host).bearer(&proof));
    }
    requests
}

async fn everything(gateway: &Gateway, secrets: &mut Secrets) {
    let mut all = Vec::new();
    for dialect in &DIALECTS {
        for backend in BACKENDS {
            let paths = if backend == "up" { &PATHS[..] } else { &PATHS[..1] };
            for mode in ["require", "accept", "off"] {
                let host = format!("{}-{backend}-{mode}.test", dialect.name);
                for path in paths {
                    all.extend(requests(&host, dialect.name, path, secrets));
                }
            }
        }
    }
    // Several at a time: most of them wait for a time-out.
    let count = all.len();
    let shared = std::sync::Arc::new(std::sync::Mutex::new(all));
    let workers = (0..48).map(|_| {
        let (shared, address) = (shared.clone(), gateway.address);
        async move {
            loop {
                let next = shared.lock().expect("no panic").pop();
                let Some(request) = next else { break };
                let _ = request.try_send(address).await;
            }
        }
    });
    futures_util::future::join_all(workers).await;
    gateway.metric_reaches("countersign_http_requests_total", &[], count as f64 * 0.99).await;
    odd_ones(gateway, secrets).await;
}

/// HTTP/2, upgrades, malformed heads, clients that vanish.
async fn odd_ones(gateway: &Gateway, secrets: &mut Secrets) {
    let jwt = dialect("jwt");
    let proof = jwt.proof(jwt.secret, "u-1001", 5);
    secrets.note(&proof);
    let bearer = format!("Bearer {proof}");
    let h2 = h2c::Connection::open(gateway.address).await;
    let target = format!("/c?q={MARK}&access_token={proof}");
    for backend in BACKENDS {
        let host = format!("jwt-{backend}-require.test");
        h2.get(&host, &target, &[]).await;
        h2.get(&host, "/c", &[("authorization", &bearer)]).await;
        let upgrade = handshake(&format!("/ws?access_token={proof}&q={MARK}"), &host);
        if let Ok(mut socket) = Socket::open(gateway.address, &upgrade).await {
            let _ = socket.echoes(MARK).await;
        }
    }
    let malformed = [
        format!("GET {target} HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nAuthorization: {bearer}\r\n\r\n"),
        format!("GET {target} HTTP/1.1\r\nHost: jwt-up-require.test\r\nX\0: {proof}\r\n\r\n"),
        format!("GET {target} HTTP/9.9\r\nHost: jwt-up-require.test\r\n\r\n"),
        format!("{bearer} {MARK}\r\n\r\n"),
    ];
    for bytes in malformed {
        let mut connection = Connection::open(gateway.address).await;
        connection.send(bytes.as_bytes()).await;
        let _ = connection.response().await;
    }
    let vanishing = Request::get(&format!("/hang?q={MARK}&access_token={proof}"));
    let mut connection = gateway.connect().await;
    connection.send(&vanishing.host("jwt-up-require.test").bytes()).await;
    drop(connection);
    gateway.reload().await;
    gateway.write("countersign.yaml", gateway.config().replace("version: 1", "version: one"));
    gateway.reload().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nothing_secret_is_logged_at_level_trace() {
    let echo = Echo::start().await;
    for (level, environment) in [
        (&["--log-level", "trace"][..], &[][..]),
        (&[][..], &[("RUST_LOG", "trace")][..]),
        (&[][..], &[][..]),
    ] {
        let gateway = start(&echo, level, environment).await;
        let mut secrets = Secrets::default();
        everything(&gateway, &mut secrets).await;
        assert!(secrets.0.len() > 300, "{} secrets were sent", secrets.0.len());
        let log = gateway.log();
        let verbose = !level.is_empty() || !environment.is_empty();
        assert_eq!(log.contains("\"DEBUG\""), verbose, "the level is in force");
        assert!(log.contains("bad_signature") && log.contains("upstream"), "it does log");
        let leaks = secrets.search(&log);
        let line = |leak: &String| {
            let line = log.lines().find(|line| line.contains(leak)).unwrap_or_default();
            format!("{leak} in: {line}")
        };
        let shown: Vec<String> = leaks.iter().take(5).map(line).collect();
        assert!(leaks.is_empty(), "{} leaks {level:?}:\n{}", leaks.len(), shown.join("\n"));
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_client_sends_cannot_forge_a_line_of_the_log() {
    let echo = Echo::start().await;
    let gateway = start(&echo, &[], &[]).await;
    let request = Request::new("GET", "/c%0a%0dFORGED%1b[31m")
        .host("jwt-up-require.test")
        .raw_header("User-Agent", b"x\x1b[31m\tFORGED \xe2\x80\xa8 y")
        .raw_header("Origin", b"https://x\x1b[31m");
    let answer = request.try_send(gateway.address).await;
    let plain = gateway.send(&Request::get("/end-of-test").host("jwt-up-require.test")).await;
    assert!(answer.is_ok());
    gateway.log_line(plain.header("countersign-request-id").expect("an id")).await;
    for line in gateway.log().lines() {
        let parsed: Result<serde_json::Value, _> = serde_json::from_str(line);
        assert!(parsed.is_ok_and(|value| value.is_object()), "not one JSON object: {line}");
        assert!(!line.contains('\x1b'), "{line}");
    }
}
