//! Countersign inside a Pingora proxy of one's own: what one's own proxy adds stands beside the
//! gate's hooks, which are called in Pingora's phases.
//!
//! ```text
//! cargo run --example embed -- countersign.yaml 127.0.0.1:8080 127.0.0.1:3001
//! ```
//!
//! This one answers `/about` itself, sends `/help/…` to another backend (the third argument), lets
//! each visitor make so many requests a minute, and signs its answers. Everything else is
//! Countersign's: the configuration says which site, which mode, which backend.
//!
//! - `Front` reads heads strictly and relays WebSockets. These never reach the `ProxyHttp`: no
//!   rate limit counts them. With Pingora's own `http_proxy_service` in its place both are lost:
//!   see docs/embedding.md.
//! - What does not go through the gate is not cleaned: `/help/…` must not lead to a backend that
//!   believes `Countersign-*`.

use std::collections::HashMap;
use std::error::Error;
use std::net::{IpAddr, SocketAddr};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use countersign::front::Front;
use countersign::gateway::{Gateway, Setup};
use countersign::proxy::{Gate, Journey};
use pingora::http::{RequestHeader, ResponseHeader};
use pingora::proxy::{FailToProxy, ProxyHttp, ProxyWarnLogContext, Session};
use pingora::server::Server;
use pingora::server::configuration::ServerConf;
use pingora::services::background::background_service;
use pingora::services::listening::Service;
use pingora::upstreams::peer::HttpPeer;

/// Requests of one visitor in one minute.
const MOST_REQUESTS: u32 = 60;
const MINUTE: Duration = Duration::from_secs(60);

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [configuration, address, help] = arguments.as_slice() else {
        return Err("usage: embed CONFIGURATION ADDRESS HELP-ADDRESS".into());
    };
    let help = help.parse()?;

    // Pingora starts its runtimes after this, and ends them before: the gate lives in its own.
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let gateway = runtime.block_on(open(configuration))?;
    let gate = gateway.gate().clone();

    // Pingora's two waits must leave `drain.timeout` the time it wants.
    let conf = ServerConf { grace_period_seconds: Some(30), ..ServerConf::default() };
    let threads = conf.threads;
    let mut server = Server::new_with_opt_and_conf(None, conf);
    server.bootstrap();
    let edge = Edge { gate: gate.clone(), help, spent: Mutex::default() };
    let mut service = Service::new("chat".to_owned(), Front::new(gate, edge, threads));
    service.add_tcp(address);
    server.add_service(service);
    server.add_service(background_service("countersign", gateway));
    server.run_forever()
}

async fn open(configuration: &str) -> Result<Gateway, Box<dyn Error>> {
    let gateway = Setup::file(configuration)?.open().await?;
    gateway.warm_up().await;
    Ok(gateway)
}

/// Our own proxy.
struct Edge {
    gate: Gate,
    help: SocketAddr,
    /// Since when, and how many.
    spent: Mutex<HashMap<Visitor, (Instant, u32)>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Visitor {
    Verified(String),
    Guest(Option<IpAddr>),
}

/// One request's context.
struct Visit {
    journey: Journey,
    /// It is none of the gate's.
    elsewhere: bool,
}

impl Edge {
    /// Whoever is verified counts as one, wherever the requests come from.
    fn is_over_limit(&self, session: &Session, journey: &Journey) -> bool {
        let proven = journey.forward().and_then(|forward| forward.visitor.identity());
        let visitor = match proven.and_then(|identity| identity.id.clone()) {
            Some(id) => Visitor::Verified(id),
            None => {
                let address = session.client_addr().and_then(|address| address.as_inet());
                Visitor::Guest(address.map(SocketAddr::ip))
            }
        };
        let Ok(mut spent) = self.spent.lock() else { return true };
        spent.retain(|_, (since, _)| since.elapsed() < MINUTE);
        let (_, count) = spent.entry(visitor).or_insert_with(|| (Instant::now(), 0));
        *count += 1;
        *count > MOST_REQUESTS
    }
}

#[async_trait]
impl ProxyHttp for Edge {
    type CTX = Visit;

    fn new_ctx(&self) -> Visit {
        Visit { journey: self.gate.journey(), elsewhere: false }
    }

    async fn request_filter(
        &self,
        session: &mut Session,
        visit: &mut Visit,
    ) -> pingora::Result<bool> {
        let path = session.req_header().uri.path();
        visit.elsewhere = path == "/about" || path.starts_with("/help/");
        if path == "/about" {
            let mut about = ResponseHeader::build(200, None)?;
            about.insert_header("Content-Type", "text/plain")?;
            about.insert_header("Content-Length", "18")?;
            session.write_response_header(Box::new(about), false).await?;
            session
                .write_response_body(Some(Bytes::from_static(b"a chat, and proof\n")), true)
                .await?;
            return Ok(true);
        }
        if visit.elsewhere {
            return Ok(false);
        }
        if self.gate.request(session, &mut visit.journey).await? {
            return Ok(true);
        }
        if self.is_over_limit(session, &visit.journey) {
            session.respond_error(429).await?;
            return Ok(true);
        }
        Ok(false)
    }

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        visit: &mut Visit,
    ) -> pingora::Result<Box<HttpPeer>> {
        if visit.elsewhere {
            return Ok(Box::new(HttpPeer::new(self.help, false, String::new())));
        }
        self.gate.peer(&mut visit.journey).await
    }

    fn fail_to_connect(
        &self,
        _session: &mut Session,
        _peer: &HttpPeer,
        visit: &mut Visit,
        error: Box<pingora::Error>,
    ) -> Box<pingora::Error> {
        if visit.elsewhere {
            return error;
        }
        self.gate.connect_failed(&mut visit.journey, error)
    }

    fn error_while_proxy(
        &self,
        _peer: &HttpPeer,
        session: &mut Session,
        error: Box<pingora::Error>,
        visit: &mut Visit,
        _client_reused: bool,
    ) -> Box<pingora::Error> {
        if visit.elsewhere {
            return error;
        }
        self.gate.broke_off(session, &visit.journey, error)
    }

    async fn upstream_request_filter(
        &self,
        _session: &mut Session,
        upstream: &mut RequestHeader,
        visit: &mut Visit,
    ) -> pingora::Result<()> {
        upstream.insert_header("X-Edge", "embed")?;
        if visit.elsewhere {
            return Ok(());
        }
        // Last: nothing of ours may come after it that a client has a say in.
        self.gate.upstream_request(upstream, &mut visit.journey)
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        visit: &mut Visit,
    ) -> pingora::Result<()> {
        if visit.elsewhere {
            return Ok(());
        }
        self.gate.body(body, end, &mut visit.journey)
    }

    async fn response_filter(
        &self,
        session: &mut Session,
        response: &mut ResponseHeader,
        visit: &mut Visit,
    ) -> pingora::Result<()> {
        response.insert_header("X-Answered-By", "embed")?;
        if visit.elsewhere {
            return Ok(());
        }
        self.gate.response(session, response, &mut visit.journey)
    }

    fn response_body_filter(
        &self,
        _session: &mut Session,
        body: &mut Option<Bytes>,
        end: bool,
        visit: &mut Visit,
    ) -> pingora::Result<Option<Duration>> {
        if visit.elsewhere {
            return Ok(None);
        }
        self.gate.response_body(body.as_ref(), end, &mut visit.journey)
    }

    async fn fail_to_proxy(
        &self,
        session: &mut Session,
        error: &pingora::Error,
        visit: &mut Visit,
    ) -> FailToProxy {
        if visit.elsewhere {
            let _ = session.respond_error(502).await;
            return FailToProxy { error_code: 502, can_reuse_downstream: false };
        }
        self.gate.failed(session, error, &mut visit.journey).await
    }

    async fn logging(
        &self,
        session: &mut Session,
        error: Option<&pingora::Error>,
        visit: &mut Visit,
    ) {
        if !visit.elsewhere {
            self.gate.done(session, error, &visit.journey);
        }
    }

    // Pingora's own lines quote the request with its query, where tokens travel.
    fn suppress_error_log(&self, _: &Session, _: &Visit, _: &pingora::Error) -> bool {
        true
    }

    fn suppress_proxy_warn_log(
        &self,
        _: &Session,
        _: &Visit,
        _: &pingora::Error,
        _: ProxyWarnLogContext,
    ) -> bool {
        true
    }

    fn request_summary(&self, _: &Session, visit: &Visit) -> String {
        format!("request {}", visit.journey.request_id())
    }
}
