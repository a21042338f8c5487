//! The admin and health listeners: probes and metrics for everybody, and on the admin
//! listener, with its token, the interface of `/v1`, and with a site's credentials what its
//! server says of visitors.
//!
//! Both are the same [`service`]; the health listener's has no `/v1` and does not look at
//! `Host`, because kubelet and Prometheus call it by the pod's address. Only HTTP/1 is
//! spoken, and requests are bounded in time and size.

mod access;
mod act;
mod answer;
mod bans;
mod connections;
mod deliveries;
mod details;
mod logouts;
mod ready;
mod reply;
mod sites;
mod times;
mod visitors;
mod webhooks;
#[cfg(test)]
mod website_tests;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use pingora::apps::{HttpPersistentSettings, HttpServerApp, ReusedHttpStream, ServerApp};
use pingora::http::ResponseHeader;
use pingora::protocols::http::ServerSession;
use pingora::server::ShutdownWatch;
use tokio::time::timeout;

use self::answer::Asked;
use crate::details::{Details, MOST_BYTES};
use crate::live::Registry;
use crate::readiness::Readiness;
use crate::refusal::Reply;
use crate::reload::Current;
use crate::store::Store;
use crate::telemetry::Metrics;
use crate::webhook::Webhooks;

/// Time for a whole head, from the connection or the last answer on.
const HEAD: Duration = Duration::from_secs(30);
/// Time for a whole body, and between two reads or writes.
const BODY: Duration = Duration::from_secs(10);
/// Bytes of a request body.
const MAX_BODY: usize = MOST_BYTES;
/// Bytes of a larger one that are read and dropped once it has been answered, and how long
/// that may take: closing with unread bytes would reset the connection, and the answer with it.
const LINGER: (usize, Duration) = (8 * 1024 * 1024, Duration::from_secs(2));

/// What the listeners tell of.
pub struct AdminState {
    current: Arc<Current>,
    metrics: Arc<Metrics>,
    readiness: Arc<Readiness>,
    store: Arc<Store>,
    live: Arc<Registry>,
    webhooks: Arc<Webhooks>,
    details: Details,
}

impl AdminState {
    /// The plan in force, what `/metrics` shows, what `/readyz` depends on, what is
    /// remembered, who is connected, and who hears of chats.
    pub fn new(
        current: Arc<Current>,
        metrics: Arc<Metrics>,
        readiness: Arc<Readiness>,
        store: Arc<Store>,
        live: Arc<Registry>,
        webhooks: Arc<Webhooks>,
    ) -> Self {
        let details = Details::new(store.clone(), webhooks.clone());
        Self { current, metrics, readiness, store, live, webhooks, details }
    }

    /// What is remembered.
    pub fn store(&self) -> &Arc<Store> {
        &self.store
    }
}

/// The application of the admin listener (`full`) or of the health listener.
pub fn service(state: Arc<AdminState>, full: bool) -> Arc<impl ServerApp + Send + Sync + 'static> {
    Arc::new(Service { state, full })
}

struct Service {
    state: Arc<AdminState>,
    full: bool,
}

#[async_trait]
impl HttpServerApp for Service {
    async fn process_new_http(
        self: &Arc<Self>,
        mut session: ServerSession,
        shutdown: &ShutdownWatch,
    ) -> Option<ReusedHttpStream> {
        session.set_read_timeout(Some(BODY));
        session.set_write_timeout(Some(BODY));
        match timeout(HEAD, session.read_request()).await {
            Ok(Ok(true)) => {}
            Ok(Err(_)) => {
                // The parser's bare 400; whether it arrives is the client's business.
                let _ = session.respond_error(400).await;
                return None;
            }
            Ok(Ok(false)) | Err(_) => return None,
        }
        // Pingora itself would keep an HTTP/1.0 connection open, which nobody expects.
        let reusable = session.req_header().version >= http::Version::HTTP_11;
        let keep = reusable && !*shutdown.borrow();
        session.set_keepalive(keep.then_some(HEAD.as_secs()));
        let body = match read_body(&mut session).await {
            Body::Read(body) => Some(body),
            Body::TooLarge => None,
            Body::Gone => return None,
        };
        if body.is_none() {
            // What is left of it must not be read as the next request.
            session.set_keepalive(None);
        }
        let peer = session.client_addr().map(ToString::to_string);
        let asked = Asked::of(session.req_header(), body.as_deref(), peer);
        let reply = answer::answer(&self.state, self.full, asked).await;
        send(&mut session, reply).await?;
        if body.is_none() {
            drop_rest(&mut session).await;
        }
        let settings = HttpPersistentSettings::for_session(&session);
        let stream = session.finish().await.ok()??;
        Some(ReusedHttpStream::from_reusable_stream(stream, settings))
    }
}

enum Body {
    Read(Vec<u8>),
    TooLarge,
    Gone,
}

/// All of the body, for what it means and to find the next request.
async fn read_body(session: &mut ServerSession) -> Body {
    let declared = session.get_header(http::header::CONTENT_LENGTH);
    let declared = declared.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
    if declared.is_some_and(|length| length > MAX_BODY) {
        return Body::TooLarge;
    }
    let all = async {
        if session.get_header(http::header::EXPECT).is_some() {
            session.write_continue_response().await.ok()?;
        }
        let mut body = Vec::new();
        while let Some(bytes) = session.read_request_body().await.ok()? {
            body.extend_from_slice(&bytes);
            if body.len() > MAX_BODY {
                return Some(Body::TooLarge);
            }
        }
        Some(Body::Read(body))
    };
    timeout(BODY, all).await.ok().flatten().unwrap_or(Body::Gone)
}

/// Reads on for a while, so that the client reads its answer.
async fn drop_rest(session: &mut ServerSession) {
    let rest = async {
        let mut dropped = 0;
        while let Ok(Some(bytes)) = session.read_request_body().await {
            dropped += bytes.len();
            if dropped > LINGER.0 {
                return;
            }
        }
    };
    let _ = timeout(LINGER.1, rest).await;
}

async fn send(session: &mut ServerSession, reply: Reply) -> Option<()> {
    let mut head = ResponseHeader::build(reply.status, Some(reply.headers.len())).ok()?;
    for (name, value) in reply.headers {
        head.append_header(name, value).ok()?;
    }
    let without_body = session.req_header().method == http::Method::HEAD;
    session.write_response_header(Box::new(head)).await.ok()?;
    if !without_body {
        session.write_response_body(reply.body, true).await.ok()?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use pingora::protocols::Stream;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::answer::tests::state;
    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (client, server) = tokio::join!(TcpStream::connect(address), listener.accept());
        (server.unwrap().0, client.unwrap())
    }

    async fn serve(stream: TcpStream) {
        let stream: Stream = Box::new(pingora::protocols::l4::stream::Stream::from(stream));
        let (_stop, shutdown) = tokio::sync::watch::channel(false);
        service(state(), true).process_new(stream, &shutdown).await;
    }

    /// Sends bytes to a full service and returns all that comes until it closes.
    async fn talk(sent: &[u8]) -> String {
        let (server, mut stream) = pair().await;
        let served = tokio::spawn(serve(server));
        // The far end may close while there is still something to write.
        let _ = stream.write_all(sent).await;
        let mut got = Vec::new();
        let _ = timeout(Duration::from_secs(5), stream.read_to_end(&mut got)).await.unwrap();
        served.await.unwrap();
        String::from_utf8(got).unwrap()
    }

    #[tokio::test]
    async fn two_requests_on_one_connection_are_both_answered() {
        let (listener_end, mut client) = pair().await;
        let served = tokio::spawn(serve(listener_end));
        for connection in ["keep-alive", "close"] {
            let body = "POST /livez HTTP/1.1\r\nHost: localhost\r\nContent-Length: 3\r\n";
            let request = format!("{body}Connection: {connection}\r\n\r\nabc");
            client.write_all(request.as_bytes()).await.unwrap();
            let mut head = [0; 12];
            client.read_exact(&mut head).await.unwrap();
            assert_eq!(&head, b"HTTP/1.1 405");
            let mut rest = Vec::new();
            while !rest.ends_with(b"}") {
                rest.push(client.read_u8().await.unwrap());
            }
        }
        served.await.unwrap();
    }

    #[tokio::test]
    async fn a_head_request_gets_the_length_and_no_body() {
        let got =
            talk(b"HEAD /livez HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 200 OK\r\n"), "{got}");
        assert!(got.to_ascii_lowercase().contains("content-length: 18\r\n"), "{got}");
        assert!(got.ends_with("\r\n\r\n"), "{got}");
    }

    #[tokio::test]
    async fn a_health_check_in_http_1_0_is_answered() {
        let got = talk(b"OPTIONS / HTTP/1.0\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 404") || got.starts_with("HTTP/1.0 404"), "{got}");
    }

    #[tokio::test]
    async fn a_body_over_the_limit_is_413_and_ends_the_connection() {
        let declared =
            b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65537\r\n\r\n";
        let got = talk(declared).await;
        assert!(got.starts_with("HTTP/1.1 413 "), "{got}");
        let mut chunked =
            b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n10001\r\n"
                .to_vec();
        chunked.resize(chunked.len() + 0x10001, b'x');
        let got = talk(&chunked).await;
        assert!(got.starts_with("HTTP/1.1 413 "), "{got}");
        assert!(got.contains("\"code\":\"body_too_large\""), "{got}");
    }

    #[tokio::test]
    async fn whoever_sends_far_too_much_still_reads_the_answer() {
        let mut request =
            b"POST /v1/reload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1048576\r\n\r\n"
                .to_vec();
        request.resize(request.len() + 1024 * 1024, b'x');
        let (listener_end, mut client) = pair().await;
        let served = tokio::spawn(serve(listener_end));
        client.write_all(&request).await.unwrap();
        let mut got = Vec::new();
        client.read_to_end(&mut got).await.unwrap();
        assert!(got.starts_with(b"HTTP/1.1 413 "));
        served.await.unwrap();
    }

    #[tokio::test]
    async fn what_is_no_http_gets_a_bare_400() {
        let got = talk(b"what is this\r\n\r\n").await;
        assert!(got.starts_with("HTTP/1.1 400 "), "{got}");
    }
}
