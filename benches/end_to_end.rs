//! Whole processes against each other: CPU time a request of Countersign and of a bare
//! Pingora proxy built from the same lock file that forwards the same headers.
//!
//! `cargo bench --bench end_to_end` starts the backend and both proxies (one worker thread
//! each), drives them in turns over 64 kept-alive connections with 10,000 different tokens,
//! and prints medians and ratios. CPU time is user + system time of the proxy's process
//! from `/proc/<pid>/stat`; wall time plays no part.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::disallowed_methods,
    missing_docs
)]

use std::io::Write;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use pingora::prelude::*;
use sha2::Sha256;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const CONNECTIONS: usize = 64;
const REQUESTS: usize = 20_000;
const TOKENS: usize = 10_000;
const ROUNDS: usize = 7;
const SECRET: &str = "0123456789abcdef0123456789abcdef0123456789abcdef";

fn main() {
    let args: Vec<String> = std::env::args().collect();
    let at = |index: usize| args.get(index).map(String::as_str);
    match (at(1), at(2), at(3)) {
        (Some("backend"), Some(port), _) => runtime().block_on(backend(port.parse().unwrap())),
        (Some("bare"), Some(port), Some(upstream)) => bare(port, upstream),
        _ => compare(),
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

/// Answers every request with the same two bytes.
async fn backend(port: u16) {
    let listener = TcpListener::bind(("127.0.0.1", port)).await.unwrap();
    while let Ok((mut stream, _)) = listener.accept().await {
        tokio::spawn(async move {
            let mut buffer = Vec::with_capacity(4096);
            while stream.read_buf(&mut buffer).await.is_ok_and(|read| read > 0) {
                while let Some(end) = buffer.windows(4).position(|four| four == b"\r\n\r\n") {
                    buffer.drain(..end + 4);
                    let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
                    if stream.write_all(answer).await.is_err() {
                        return;
                    }
                }
            }
        });
    }
}

/// The least that Pingora can do.
struct Bare {
    upstream: std::net::SocketAddr,
}

#[async_trait::async_trait]
impl ProxyHttp for Bare {
    type CTX = ();
    fn new_ctx(&self) {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut (),
    ) -> pingora::Result<Box<HttpPeer>> {
        let mut peer = HttpPeer::new(self.upstream, false, String::new());
        peer.options.idle_timeout = Some(Duration::from_secs(4));
        Ok(Box::new(peer))
    }
}

fn bare(port: &str, upstream: &str) {
    let mut server = Server::new(None).unwrap();
    server.bootstrap();
    let bare = Bare { upstream: upstream.parse().unwrap() };
    let mut service = http_proxy_service(&server.configuration, bare);
    service.add_tcp(&format!("127.0.0.1:{port}"));
    service.threads = Some(1);
    server.add_service(service);
    server.run_forever();
}

/// A process that ends with its owner.
struct Process(Child);

impl Process {
    fn start(mut command: Command) -> Self {
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        Self(command.spawn().unwrap())
    }

    /// User and system CPU time so far.
    fn cpu(&self) -> Duration {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.0.id())).unwrap();
        let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
        let ticks = fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
        Duration::from_millis(ticks * 10)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn free_port() -> u16 {
    std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn myself(arguments: &[&str]) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.args(arguments);
    command
}

fn compare() {
    let (backend_port, bare_port, require_port) = (free_port(), free_port(), free_port());
    let (off_port, admin_ports) = (free_port(), [free_port(), free_port()]);
    let upstream = format!("127.0.0.1:{backend_port}");
    let _backend = Process::start(myself(&["backend", &backend_port.to_string()]));
    let bare = Process::start(myself(&["bare", &bare_port.to_string(), &upstream]));
    let folder = tempfile::tempdir().unwrap();
    let gateway = |port: u16, admin: u16, mode: &str| {
        let file = folder.path().join(format!("{mode}.yaml"));
        let text = format!(
            "version: 1\nlisteners: [{{ address: \"127.0.0.1:{port}\" }}]\n\
             admin: {{ address: \"127.0.0.1:{admin}\" }}\nthreads: 1\nlog: {{ access: none }}\n\
             sites:\n  bench:\n    upstream: http://{upstream}\n    dialect: zendesk-chat\n    \
             mode: {mode}\n    keys: [{{ id: k1, secret: {{ value: {SECRET} }} }}]\n"
        );
        std::fs::File::create(&file).unwrap().write_all(text.as_bytes()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_countersign"));
        command.arg("run").arg("--config").arg(file);
        Process::start(command)
    };
    let require = gateway(require_port, admin_ports[0], "require");
    let off = gateway(off_port, admin_ports[1], "off");

    let requests = Arc::new(requests());
    let contenders = [
        ("bare Pingora, same headers", bare_port, &bare),
        ("Countersign, mode off", off_port, &off),
        ("Countersign, HS256 verified", require_port, &require),
    ];
    let runtime = runtime();
    let mut costs: Vec<Vec<f64>> = vec![Vec::new(); contenders.len()];
    for round in 0..=ROUNDS {
        for (index, (_, port, process)) in contenders.iter().enumerate() {
            let before = process.cpu();
            runtime.block_on(drive(*port, &requests));
            let cost = (process.cpu() - before).as_secs_f64() * 1e6 / REQUESTS as f64;
            // The first round warms up.
            if round > 0 {
                costs[index].push(cost);
            }
        }
    }
    let median = |costs: &mut Vec<f64>| {
        costs.sort_by(f64::total_cmp);
        costs[costs.len() / 2]
    };
    let medians: Vec<f64> = costs.iter_mut().map(median).collect();
    println!("{REQUESTS} requests a round, {ROUNDS} rounds in turns, {CONNECTIONS} connections");
    println!("{:<30} {:>16} {:>10}", "", "CPU µs a request", "ratio");
    for ((name, _, _), median_cost) in contenders.iter().zip(&medians) {
        println!("{name:<30} {median_cost:>16.1} {:>10.2}", median_cost / medians[0]);
    }
}

/// Requests with tokens that differ, so that no cache is flattered.
fn requests() -> Vec<Vec<u8>> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let sign = |text: &str| {
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(text.as_bytes());
        URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes())
    };
    let request = |visitor: usize| {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
        let claims = URL_SAFE_NO_PAD.encode(format!(
            r#"{{"name":"Visitor {visitor}","email":"v{visitor}@acme.example","external_id":"user-{visitor}","iat":{now}}}"#
        ));
        let signed = format!("{header}.{claims}");
        let token = format!("{signed}.{}", sign(&signed));
        format!(
            "GET /api/messages?room=7 HTTP/1.1\r\nHost: chat.acme.example\r\n\
             User-Agent: bench\r\nAccept: */*\r\nAuthorization: Bearer {token}\r\n\r\n"
        )
        .into_bytes()
    };
    (0..TOKENS).map(request).collect()
}

async fn drive(port: u16, requests: &Arc<Vec<Vec<u8>>>) {
    let lanes = (0..CONNECTIONS).map(|lane| {
        let requests = requests.clone();
        tokio::spawn(async move {
            let mut stream = connect(port).await;
            stream.set_nodelay(true).unwrap();
            let mut buffer = Vec::with_capacity(4096);
            for turn in (lane..REQUESTS).step_by(CONNECTIONS) {
                stream.write_all(&requests[turn % TOKENS]).await.unwrap();
                buffer.clear();
                while !buffer.ends_with(b"\r\n\r\nok") {
                    assert!(stream.read_buf(&mut buffer).await.unwrap() > 0, "closed early");
                    assert!(buffer.len() < 4096, "{}", String::from_utf8_lossy(&buffer));
                }
                assert!(
                    buffer.starts_with(b"HTTP/1.1 200"),
                    "{}",
                    String::from_utf8_lossy(&buffer)
                );
            }
        })
    });
    for lane in lanes.collect::<Vec<_>>() {
        lane.await.unwrap();
    }
}

async fn connect(port: u16) -> TcpStream {
    for _ in 0..500 {
        match TcpStream::connect(("127.0.0.1", port)).await {
            Ok(stream) => return stream,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
    panic!("nothing listens on port {port}");
}
