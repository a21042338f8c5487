//! What the example website and the example backend have in common: HTTP/1.1 on a loopback
//! socket, a handler that turns a request into a response, and a WebSocket upgrade.
//!
//! Good enough for one person's demo on one machine; nothing here serves the gateway.

use std::convert::Infallible;
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener};
use std::time::Duration;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Request, Response, StatusCode, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::Upgraded;
use hyper_util::rt::{TokioIo, TokioTimer};
use percent_encoding::percent_decode_str;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

/// What a handler is given.
pub type Asked = Request<Incoming>;
/// What a handler gives back.
pub type Answer = Response<Full<Bytes>>;
/// The server's end of a WebSocket.
pub type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Bytes of a request's body; more is cut off with an error.
const MAX_BODY: usize = 64 * 1024;
/// Bytes of a WebSocket message.
const MAX_MESSAGE: usize = 16 * 1024;
/// How long a client may take over a request's head.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// Binds the usual port on loopback, or another one if somebody has it, be it on IPv4 or on
/// IPv6: a browser asks for `localhost` at either.
pub fn bind(usual: u16) -> std::io::Result<TcpListener> {
    let in_use = |error: &std::io::Error| error.kind() == std::io::ErrorKind::AddrInUse;
    let elsewhere = TcpListener::bind((Ipv6Addr::LOCALHOST, usual)).as_ref().is_err_and(in_use);
    let first = if elsewhere { 0 } else { usual };
    let bound = TcpListener::bind((Ipv4Addr::LOCALHOST, first));
    match bound {
        Err(error) if in_use(&error) => TcpListener::bind((Ipv4Addr::LOCALHOST, 0)),
        bound => bound,
    }
}

/// Serves each connection until it ends; returns only if the socket cannot be used.
pub async fn serve<H, F>(listener: TcpListener, handler: H) -> std::io::Result<()>
where
    H: Fn(Asked) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Answer> + Send + 'static,
{
    listener.set_nonblocking(true)?;
    let listener = tokio::net::TcpListener::from_std(listener)?;
    loop {
        // Such as a client that was gone before it was accepted: the next one counts.
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        let handler = handler.clone();
        tokio::spawn(async move {
            let service = service_fn(move |asked| {
                let answer = handler(asked);
                async { Ok::<_, Infallible>(answer.await) }
            });
            // A client that breaks off is no news.
            let _ = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .serve_connection(TokioIo::new(stream), service)
                .with_upgrades()
                .await;
        });
    }
}

/// An answer that nobody may keep.
pub fn answer(status: StatusCode, media_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(Full::new(body.into()));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    answer
}

/// 200 with JSON.
pub fn json(value: &serde_json::Value) -> Answer {
    answer(StatusCode::OK, "application/json", value.to_string())
}

/// Text with a status.
pub fn text(status: StatusCode, body: impl Into<Bytes>) -> Answer {
    answer(status, "text/plain; charset=utf-8", body)
}

/// 404.
pub fn not_found() -> Answer {
    text(StatusCode::NOT_FOUND, "There is nothing here.\n")
}

/// The first value of a query parameter, decoded.
pub fn parameter(uri: &Uri, name: &str) -> Option<String> {
    let decoded = |text: &str| -> String {
        percent_decode_str(&text.replace('+', " ")).decode_utf8_lossy().into_owned()
    };
    let pairs = uri.query()?.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    pairs
        .map(|(key, value)| (decoded(key), decoded(value)))
        .find(|(key, _)| key == name)
        .map(|p| p.1)
}

/// The body, unless it is too long or breaks off.
pub async fn body(asked: Asked) -> Option<Bytes> {
    let limited = Limited::new(asked.into_body(), MAX_BODY);
    limited.collect().await.ok().map(|collected| collected.to_bytes())
}

/// Answers a WebSocket handshake (RFC 6455 §4.2) and, once the client has switched, runs
/// `talk`; what is no handshake gets 426.
pub fn upgrade<T, F>(mut asked: Asked, talk: T) -> Answer
where
    T: FnOnce(Socket) -> F + Send + 'static,
    F: Future<Output = ()> + Send,
{
    let field = |name| asked.headers().get(name).map(HeaderValue::as_bytes);
    let asks = field(header::UPGRADE).is_some_and(|to| to.eq_ignore_ascii_case(b"websocket"));
    let key = field(header::SEC_WEBSOCKET_KEY).map(derive_accept_key);
    let accept = key.and_then(|key| HeaderValue::try_from(key).ok());
    let (true, Some(accept)) = (asks, accept) else {
        return text(StatusCode::UPGRADE_REQUIRED, "This is a WebSocket.\n");
    };
    let switched = hyper::upgrade::on(&mut asked);
    tokio::spawn(async move {
        let Ok(stream) = switched.await else { return };
        let limits = WebSocketConfig::default()
            .max_message_size(Some(MAX_MESSAGE))
            .max_frame_size(Some(MAX_MESSAGE));
        let stream = TokioIo::new(stream);
        talk(WebSocketStream::from_raw_socket(stream, Role::Server, Some(limits)).await).await;
    });
    let mut answer = Response::new(Full::default());
    *answer.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = answer.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_that_somebody_has_is_left_alone() {
        let somebody = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let taken = somebody.local_addr().unwrap().port();
        let other = bind(taken).unwrap();
        assert_ne!(other.local_addr().unwrap().port(), taken);
    }

    #[test]
    fn a_port_that_somebody_has_on_ipv6_alone_is_left_alone_too() {
        let Ok(somebody) = TcpListener::bind((Ipv6Addr::LOCALHOST, 0)) else { return };
        let taken = somebody.local_addr().unwrap().port();
        assert_ne!(bind(taken).unwrap().local_addr().unwrap().port(), taken);
    }

    #[test]
    fn a_parameter_is_read_decoded_and_the_first_one_counts() {
        let uri: Uri = "/x?a=1&na%6De=Ana+%C3%9C&name=Ben&flag".parse().unwrap();
        assert_eq!(parameter(&uri, "name").as_deref(), Some("Ana Ü"));
        assert_eq!(parameter(&uri, "flag").as_deref(), Some(""));
        assert_eq!(parameter(&uri, "b"), None);
    }
}
