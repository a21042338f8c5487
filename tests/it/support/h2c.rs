//! HTTP/2 over cleartext with prior knowledge (RFC 9113 §3.3).

use std::net::SocketAddr;

use bytes::Bytes;
use h2::RecvStream;
use h2::client::{ResponseFuture, SendRequest};
use http::{HeaderMap, Request as Head};
use tokio::net::TcpStream;

use super::PATIENCE;
use super::raw::Response;

/// A client's connection.
pub struct Connection {
    requests: SendRequest<Bytes>,
}

impl Connection {
    /// Connects and shakes hands.
    pub async fn open(address: SocketAddr) -> Self {
        let stream = TcpStream::connect(address).await.expect("something listens");
        Self::over(stream).await
    }

    /// Shakes hands over a stream.
    pub async fn over(stream: TcpStream) -> Self {
        let (requests, connection) = h2::client::handshake(stream).await.expect("HTTP/2 is spoken");
        tokio::spawn(connection);
        Self { requests }
    }

    /// A GET without a body.
    pub async fn get(&self, host: &str, target: &str, headers: &[(&str, &str)]) -> Response {
        self.send("GET", host, target, headers, None, None).await
    }

    /// Any request; its answer.
    pub async fn send(
        &self,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
        trailers: Option<HeaderMap>,
    ) -> Response {
        let mut head = Head::builder().method(method).uri(format!("http://{host}{target}"));
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let head = head.body(()).expect("a valid head");
        let mut requests = self.requests.clone().ready().await.expect("an open connection");
        let last = body.is_none() && trailers.is_none();
        let (answer, mut stream) = requests.send_request(head, last).expect("a stream");
        if let Some(body) = body {
            stream.send_data(body.into(), trailers.is_none()).expect("an open stream");
        }
        if let Some(trailers) = trailers {
            stream.send_trailers(trailers).expect("an open stream");
        }
        tokio::time::timeout(PATIENCE, collect(answer)).await.expect("an answer")
    }

    /// A request without a body that may well be turned away before it is one.
    pub async fn try_send(
        &self,
        method: &str,
        host: &str,
        target: &str,
        headers: &[(&str, &str)],
    ) -> Result<Response, String> {
        let mut head = Head::builder().method(method).uri(format!("http://{host}{target}"));
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let head = head.body(()).map_err(|error| error.to_string())?;
        let ready = self.requests.clone().ready().await;
        let mut requests = ready.map_err(|error| error.to_string())?;
        let (answer, _) = requests.send_request(head, true).map_err(|error| error.to_string())?;
        let answer = tokio::time::timeout(PATIENCE, try_collect(answer)).await;
        answer.expect("an answer").map_err(|error| error.to_string())
    }

    /// A GET; its answer as it comes.
    pub async fn begin(&self, host: &str, target: &str) -> Incoming {
        self.begin_with(host, target, &[]).await
    }

    /// The same with header fields.
    pub async fn begin_with(&self, host: &str, target: &str, headers: &[(&str, &str)]) -> Incoming {
        let mut head = Head::get(format!("http://{host}{target}"));
        for (name, value) in headers {
            head = head.header(*name, *value);
        }
        let head = head.body(()).expect("a valid head");
        let mut requests = self.requests.clone().ready().await.expect("an open connection");
        let (answer, _) = requests.send_request(head, true).expect("a stream");
        let answer = tokio::time::timeout(PATIENCE, answer).await.expect("an answer");
        Incoming { body: answer.expect("an answer").into_body() }
    }

    /// A request whose body begins and never ends.
    pub async fn stall(&self, method: &str, host: &str, target: &str, begun: &[u8]) -> Response {
        self.stall_as("application/octet-stream", method, host, target, begun).await
    }

    /// The same, of any media type.
    pub async fn stall_as(
        &self,
        content_type: &str,
        method: &str,
        host: &str,
        target: &str,
        begun: &[u8],
    ) -> Response {
        let head = Head::builder().method(method).uri(format!("http://{host}{target}"));
        let head = head.header("content-type", content_type);
        let head = head.body(()).expect("a valid head");
        let mut requests = self.requests.clone().ready().await.expect("an open connection");
        let (answer, mut stream) = requests.send_request(head, false).expect("a stream");
        stream.send_data(Bytes::copy_from_slice(begun), false).expect("an open stream");
        tokio::time::timeout(PATIENCE, collect(answer)).await.expect("an answer")
    }
}

/// An answer whose body is on its way.
pub struct Incoming {
    body: RecvStream,
}

impl Incoming {
    /// The next so many bytes, as text.
    pub async fn hear(&mut self, length: usize) -> String {
        let mut heard = Vec::new();
        while heard.len() < length {
            let chunk = tokio::time::timeout(PATIENCE, self.body.data()).await.expect("a chunk");
            heard.extend_from_slice(&chunk.expect("no end yet").expect("an open stream"));
        }
        String::from_utf8(heard).expect("text")
    }

    /// How it ends; what comes before is dropped.
    pub async fn end(&mut self) -> Result<(), h2::Error> {
        while let Some(chunk) = self.body.data().await {
            chunk?;
        }
        Ok(())
    }
}

async fn collect(answer: ResponseFuture) -> Response {
    try_collect(answer).await.expect("a whole answer")
}

async fn try_collect(answer: ResponseFuture) -> Result<Response, h2::Error> {
    let (head, mut stream) = answer.await?.into_parts();
    let mut body = Vec::new();
    while let Some(chunk) = stream.data().await {
        let chunk = chunk?;
        body.extend_from_slice(&chunk);
        let _ = stream.flow_control().release_capacity(chunk.len());
    }
    let headers = head.headers.iter().map(|(name, value)| {
        (name.to_string(), String::from_utf8_lossy(value.as_bytes()).into_owned())
    });
    Ok(Response {
        status: head.status.as_u16(),
        status_line: format!("HTTP/2 {}", head.status),
        headers: headers.collect(),
        body,
        informational: Vec::new(),
    })
}
