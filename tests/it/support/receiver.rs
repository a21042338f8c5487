//! A website's server that is told of chats: written apart from the library, by the rules of
//! [Standard Webhooks](https://www.standardwebhooks.com) and those of ASP.NET's receiver, so
//! that the two can disagree.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;

/// Bytes that sign; [`STANDARD_SECRET`] is them in a configuration.
const KEY: &[u8] = b"thirty-two-bytes-for-signatures!";

/// The secret of a `standard` subscription.
pub fn standard_secret() -> String {
    format!("whsec_{}", BASE64_STANDARD.encode(KEY))
}

/// The secret of a `livesupporti` subscription.
pub fn livesupporti_secret() -> String {
    String::from_utf8(KEY.to_vec()).unwrap()
}

/// An event as it arrived, its signature checked.
#[derive(Clone, Debug)]
pub struct Received {
    /// `webhook-id`, or `Id`.
    pub id: String,
    /// The status that it was answered with.
    pub answered: u16,
    /// The body.
    pub body: Value,
    /// The body as it came.
    pub raw: Vec<u8>,
    /// The header fields.
    pub headers: http::HeaderMap,
}

/// What is answered to an event, by how many arrived before it.
pub type Answers = Box<dyn Fn(usize) -> u16 + Send + Sync>;

/// The server; gone with the test's runtime.
pub struct Receiver {
    /// Where it listens.
    pub address: SocketAddr,
    state: Arc<State>,
}

struct State {
    received: Mutex<Vec<Received>>,
    answers: Mutex<Answers>,
    challenged: Mutex<Vec<String>>,
    says: Mutex<String>,
}

impl Receiver {
    /// Starts one that takes everything.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let state = Arc::new(State {
            received: Mutex::default(),
            answers: Mutex::new(Box::new(|_| 200)),
            challenged: Mutex::default(),
            says: Mutex::default(),
        });
        let shared = state.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let state = shared.clone();
                let answer = service_fn(move |request| answer(state.clone(), request));
                tokio::spawn(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer),
                );
            }
        });
        Self { address, state }
    }

    /// From now on answers events so.
    pub fn answers(&self, answers: impl Fn(usize) -> u16 + Send + Sync + 'static) {
        *self.state.answers.lock().unwrap() = Box::new(answers);
    }

    /// From now on answers what is posted with this body, in JSON.
    pub fn says(&self, body: &serde_json::Value) {
        *self.state.says.lock().unwrap() = body.to_string();
    }

    /// Where events are to be posted.
    pub fn url(&self) -> String {
        format!("http://{}/hook", self.address)
    }

    /// Everything received so far, in its order.
    pub fn received(&self) -> Vec<Received> {
        self.state.received.lock().unwrap().clone()
    }

    /// How many were received so far.
    pub fn count(&self) -> usize {
        self.state.received.lock().unwrap().len()
    }

    /// The queries of the challenges so far.
    pub fn challenged(&self) -> Vec<String> {
        self.state.challenged.lock().unwrap().clone()
    }

    /// How often each event was received and taken, by id.
    pub fn taken(&self) -> HashMap<String, usize> {
        let mut taken = HashMap::new();
        for received in self.state.received.lock().unwrap().iter() {
            if (200..300).contains(&received.answered) {
                *taken.entry(received.id.clone()).or_default() += 1;
            }
        }
        taken
    }
}

async fn answer(
    state: Arc<State>,
    request: http::Request<Incoming>,
) -> Result<http::Response<Full<Bytes>>, Infallible> {
    let reply = |status: u16, text: &str| {
        let mut reply = http::Response::new(Full::new(Bytes::copy_from_slice(text.as_bytes())));
        *reply.status_mut() = status.try_into().unwrap();
        reply.headers_mut().insert("content-type", "text/plain".parse().unwrap());
        Ok(reply)
    };
    let (head, body) = request.into_parts();
    let query = head.uri.query().unwrap_or_default().to_owned();
    if head.method == http::Method::GET {
        let echo = query.split('&').find_map(|pair| pair.strip_prefix("echo="));
        let echo = echo.unwrap_or_default().to_owned();
        state.challenged.lock().unwrap().push(query);
        return reply(200, &echo);
    }
    let raw = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let Some(id) = verified(&head.headers, &raw) else { return reply(400, "a bad signature") };
    let answered = {
        let mut received = state.received.lock().unwrap();
        let answered = state.answers.lock().unwrap()(received.len());
        let body = serde_json::from_slice(&raw).unwrap_or_default();
        received.push(Received { id, answered, body, raw, headers: head.headers });
        answered
    };
    let says = state.says.lock().unwrap().clone();
    let mut answer = reply(answered, &says);
    if let Ok(answer) = &mut answer {
        answer.headers_mut().insert("content-type", "application/json".parse().unwrap());
    }
    answer
}

/// The id of an event whose signature holds, by whichever rules it comes.
fn verified(headers: &http::HeaderMap, body: &[u8]) -> Option<String> {
    let text = |name: &str| {
        let mut values = headers.get_all(name).iter();
        let first = values.next()?.to_str().ok()?;
        values.next().is_none().then_some(first)
    };
    if let Some(signature) = text("ms-signature") {
        let (scheme, hex) = signature.split_once('=')?;
        let holds = scheme.trim().eq_ignore_ascii_case("sha256")
            && hex.trim().eq_ignore_ascii_case(&hexadecimal(&mac(body)));
        let body: Value = serde_json::from_slice(body).ok()?;
        return holds.then(|| body["Id"].as_str().unwrap_or_default().to_owned());
    }
    let (id, timestamp) = (text("webhook-id")?, text("webhook-timestamp")?);
    let content = [id.as_bytes(), b".", timestamp.as_bytes(), b".", body].concat();
    let expected = format!("v1,{}", BASE64_STANDARD.encode(mac(&content)));
    let age = super::sign::now().abs_diff(timestamp.parse().ok()?);
    let holds = age < 300 && text("webhook-signature")?.split(' ').any(|one| one == expected);
    holds.then(|| id.to_owned())
}

fn mac(content: &[u8]) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(KEY).unwrap();
    mac.update(content);
    mac.finalize().into_bytes().to_vec()
}

fn hexadecimal(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
