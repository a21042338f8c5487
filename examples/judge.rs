//! The judgement without a proxy and without Pingora: an application of one's own, on hyper, that
//! judges its requests itself and then reads headers that only it can have written.
//!
//! ```text
//! cargo run --example judge -- countersign.yaml 127.0.0.1:8080
//! ```
//!
//! What is left out beside a `Gateway`: nobody watches the configuration (`reload::Current` and
//! `reload::watch` do that), no session is bound (`Judgement::binder`), no key set is fetched from
//! a URL, nobody hears of chats, nothing is counted, and `verbs` are answered with 404.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use countersign::clock::UnixTime;
use countersign::config::{self, Options};
use countersign::gate::{self, Body, Fault, NewBody, Outcome, Peer, Refusal, RequestView};
use countersign::judge;
use countersign::plan::Plan;
use countersign::refusal::{self, Reply};
use countersign::store::{self, Store};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

/// What the application itself accepts of a body.
const MOST_BYTES: usize = 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [configuration, address] = arguments.as_slice() else {
        return Err("usage: judge CONFIGURATION ADDRESS".into());
    };
    // A backend is in every configuration, and here it is this very application.
    let plan = config::load_with(Path::new(configuration), &Options::embedded())?;
    let store = store::volatile::open().ok_or("the system has no randomness to give")?;
    store.memory().prepare(&plan);
    let doorman = Arc::new(Doorman { plan, store });

    let listener = TcpListener::bind(address.as_str()).await?;
    loop {
        let (stream, peer) = listener.accept().await?;
        let doorman = doorman.clone();
        tokio::spawn(async move {
            let service = service_fn(move |request| {
                let doorman = doorman.clone();
                async move { Ok::<_, Infallible>(doorman.serve(request, peer).await) }
            });
            let http = hyper::server::conn::http1::Builder::new();
            let _ = http.serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

struct Doorman {
    plan: Plan,
    store: Store,
}

impl Doorman {
    async fn serve(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let (mut head, incoming) = request.into_parts();
        let target = head.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
        let request_id = uuid::Uuid::now_v7().simple().to_string();
        let mut view = RequestView {
            method: &head.method,
            target: &target,
            authority: head.uri.authority().map(|authority| authority.as_str()),
            headers: &head.headers,
            peer: Peer::Ip(peer.ip().to_canonical()),
            tls: false,
            local_port: None,
            upgrade: false,
            request_id: &request_id,
            body: Body::Unseen,
        };

        let read = Limited::new(incoming, MOST_BYTES).collect().await;
        let Ok(read) = read else {
            let detail = "the body is too large, or broke off";
            return respond(self.refuse(&Refusal::fault(Fault::BodyTooLarge, detail), &view));
        };
        let mut body = read.to_bytes();
        // Few bodies matter to the judgement, and those have a limit of their own.
        view.body = match gate::wanted(&self.plan, &view) {
            None => Body::Unseen,
            Some(wanted) if body.len() > wanted.limit => Body::TooLarge,
            Some(_) => Body::Whole(&body),
        };

        let judgement = judge::judge(&self.plan, self.store.memory(), &view, UnixTime::now());
        if let Some(used) = &judgement.carried.used {
            // A credential for one use is used up now.
            self.store.note(used.clone());
        }
        if judgement.verdict.verb.is_some() {
            return text(StatusCode::NOT_FOUND, "there is no such endpoint here\n".to_owned());
        }
        if let Some(reply) = refusal::answer(&self.plan, &judgement.verdict, &view) {
            return respond(reply);
        }
        let Outcome::Forward(forward) = judgement.verdict.outcome else {
            return text(StatusCode::INTERNAL_SERVER_ERROR, String::new());
        };
        forward.edits.apply(&mut head.headers);
        let target = forward.edits.target.unwrap_or(target);
        match forward.body {
            NewBody::Same => {}
            NewBody::Replaced(bytes) => body = bytes,
            NewBody::Renamed(mut renamer) => match renamer.push(&body, true) {
                Ok(renamed) => body = renamed.into(),
                Err(_) => return text(StatusCode::BAD_REQUEST, "not multipart\n".to_owned()),
            },
        }
        chat(&target, &head.headers, &body)
    }

    fn refuse(&self, refusal: &Refusal, view: &RequestView<'_>) -> Reply {
        refusal::reply(refusal, self.plan.errors, None, None, &[], view.request_id)
    }
}

/// The application: whatever it reads here has been proven, or says that it has not.
fn chat(target: &str, headers: &http::HeaderMap, body: &[u8]) -> Response<Full<Bytes>> {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let answer = serde_json::json!({
        "target": target,
        "status": header("countersign-status"),
        "id": header("countersign-id"),
        "claimed": header("countersign-claimed"),
        "body": String::from_utf8_lossy(body),
    });
    text(StatusCode::OK, format!("{answer}\n"))
}

fn text(status: StatusCode, body: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response
}

fn respond(reply: Reply) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(reply.body));
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or_default();
    response.headers_mut().extend(reply.headers);
    response
}
