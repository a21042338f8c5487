//! HTTP/1.1 by hand: exactly the bytes that are asked for go out, and what comes back is
//! taken apart without a library's leniency.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::time::Duration;

use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::PATIENCE;
use super::echo::Echoed;

/// A request to be written.
#[derive(Clone)]
pub struct Request {
    method: String,
    target: String,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
    chunked: bool,
}

/// An answer, taken apart.
#[derive(Clone, Debug)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// `HTTP/1.1 200 OK`, as it came.
    pub status_line: String,
    /// Header fields in order, spelt as they came.
    pub headers: Vec<(String, String)>,
    /// The body, without its framing.
    pub body: Vec<u8>,
    /// Statuses of the 1xx answers before it.
    pub informational: Vec<u16>,
}

/// A client's connection.
pub struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
}

impl Request {
    /// Any method, any target, no `Host`.
    pub fn new(method: &str, target: &str) -> Self {
        Self {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: Vec::new(),
            body: Vec::new(),
            chunked: false,
        }
    }

    /// A GET.
    pub fn get(target: &str) -> Self {
        Self::new("GET", target)
    }

    /// A POST with a body and its length.
    pub fn post(target: &str, content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        let mut request = Self::new("POST", target).header("Content-Type", content_type);
        request.body = body.into();
        request
    }

    /// The `Host` header.
    pub fn host(self, host: &str) -> Self {
        self.header("Host", host)
    }

    /// A further header field.
    pub fn header(self, name: &str, value: &str) -> Self {
        self.raw_header(name, value.as_bytes())
    }

    /// A further header field of any bytes.
    pub fn raw_header(mut self, name: &str, value: &[u8]) -> Self {
        self.headers.push((name.to_owned(), value.to_vec()));
        self
    }

    /// `Authorization: Bearer …`.
    pub fn bearer(self, token: &str) -> Self {
        self.header("Authorization", &format!("Bearer {token}"))
    }

    /// A body with its length, for methods other than POST.
    pub fn body(mut self, body: impl Into<Vec<u8>>) -> Self {
        self.body = body.into();
        self
    }

    /// Sends the body in chunks.
    pub fn chunked(mut self) -> Self {
        self.chunked = true;
        self
    }

    /// The request target.
    pub fn target(&self) -> &str {
        &self.target
    }

    /// The bytes on the wire.
    pub fn bytes(&self) -> Vec<u8> {
        let mut bytes = format!("{} {} HTTP/1.1\r\n", self.method, self.target).into_bytes();
        for (name, value) in &self.headers {
            bytes.extend_from_slice(name.as_bytes());
            bytes.extend_from_slice(b": ");
            bytes.extend_from_slice(value);
            bytes.extend_from_slice(b"\r\n");
        }
        if self.chunked {
            bytes.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            for chunk in self.body.chunks(1000) {
                bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
                bytes.extend_from_slice(chunk);
                bytes.extend_from_slice(b"\r\n");
            }
            bytes.extend_from_slice(b"0\r\n\r\n");
        } else {
            if !self.body.is_empty() || self.method == "POST" {
                let length = format!("Content-Length: {}\r\n", self.body.len());
                bytes.extend_from_slice(length.as_bytes());
            }
            bytes.extend_from_slice(b"\r\n");
            bytes.extend_from_slice(&self.body);
        }
        bytes
    }

    /// Sends it over a connection of its own.
    pub async fn send(&self, address: SocketAddr) -> Response {
        match self.try_send(address).await {
            Ok(response) => response,
            Err(error) => panic!("{} {}: {error}", self.method, self.target),
        }
    }

    /// The same; an error is an answer too.
    pub async fn try_send(&self, address: SocketAddr) -> io::Result<Response> {
        let mut connection = Connection::try_open(address).await?;
        connection.stream.write_all(&self.bytes()).await?;
        connection.read_response(self.method == "HEAD").await
    }
}

impl Connection {
    /// Connects.
    pub async fn open(address: SocketAddr) -> Self {
        Self::try_open(address).await.expect("something listens")
    }

    /// Connects, if something listens.
    pub async fn try_open(address: SocketAddr) -> io::Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self { stream, buffer: Vec::new() })
    }

    /// Sends bytes; that the other end may have closed is found out by reading.
    pub async fn send(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Sends bytes to an end that should take them.
    pub async fn try_send(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    /// Sends a request and reads its answer.
    pub async fn exchange(&mut self, request: &Request) -> io::Result<Response> {
        self.stream.write_all(&request.bytes()).await?;
        self.read_response(request.method == "HEAD").await
    }

    /// The next answer.
    pub async fn response(&mut self) -> io::Result<Response> {
        self.read_response(false).await
    }

    /// The next answer, to a HEAD.
    pub async fn response_to_head(&mut self) -> io::Result<Response> {
        self.read_response(true).await
    }

    /// The next so many bytes, whatever they are.
    pub async fn bytes(&mut self, length: usize) -> io::Result<Vec<u8>> {
        match tokio::time::timeout(PATIENCE, self.take(length)).await {
            Ok(bytes) => bytes,
            Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "no bytes")),
        }
    }

    /// The next head, which should be a 1xx answer: its status.
    pub async fn interim(&mut self) -> io::Result<u16> {
        match tokio::time::timeout(PATIENCE, self.read_head()).await {
            Ok(head) => Ok(head?.status),
            Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "no answer")),
        }
    }

    /// Whether the other end closes within that time; what it says before is dropped.
    pub async fn closes_within(&mut self, within: Duration) -> bool {
        let mut scratch = [0; 4096];
        tokio::time::timeout(within, async {
            while self.stream.read(&mut scratch).await.is_ok_and(|read| read > 0) {}
        })
        .await
        .is_ok()
    }

    /// Whether the other end closes without a reset.
    pub async fn ends_cleanly(&mut self) -> bool {
        let mut scratch = [0; 4096];
        let ended = tokio::time::timeout(PATIENCE, async {
            loop {
                match self.stream.read(&mut scratch).await {
                    Ok(0) => break true,
                    Ok(_) => {}
                    Err(_) => break false,
                }
            }
        });
        ended.await.unwrap_or(false)
    }

    /// The bare stream, and what was read of it too early.
    pub fn into_parts(self) -> (TcpStream, Vec<u8>) {
        (self.stream, self.buffer)
    }

    async fn read_response(&mut self, to_head: bool) -> io::Result<Response> {
        let reading = self.read_whole_response(to_head);
        match tokio::time::timeout(PATIENCE, reading).await {
            Ok(response) => response,
            Err(_) => Err(io::Error::new(ErrorKind::TimedOut, "no answer")),
        }
    }

    async fn read_whole_response(&mut self, to_head: bool) -> io::Result<Response> {
        let mut informational = Vec::new();
        let mut response = loop {
            let head = self.read_head().await?;
            if head.status / 100 != 1 || head.status == 101 {
                break head;
            }
            informational.push(head.status);
        };
        response.informational = informational;
        let bodyless = to_head || matches!(response.status, 101 | 204 | 304);
        if bodyless {
            return Ok(response);
        }
        let chunked = response.header("transfer-encoding").is_some_and(|te| te == "chunked");
        response.body = match response.header("content-length") {
            _ if chunked => self.read_chunks().await?,
            Some(length) => {
                let length: usize = length.parse().map_err(|_| broken("content-length"))?;
                self.take(length).await?
            }
            None => {
                while self.fill().await? {}
                std::mem::take(&mut self.buffer)
            }
        };
        Ok(response)
    }

    async fn read_head(&mut self) -> io::Result<Response> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if !self.fill().await? {
                let kind = ErrorKind::UnexpectedEof;
                return Err(io::Error::new(kind, format!("closed after {:?}", self.buffer)));
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.trim_end().split("\r\n");
        let status_line = lines.next().unwrap_or_default().to_owned();
        let status = status_line.split(' ').nth(1).and_then(|status| status.parse().ok());
        let headers = lines
            .map(|line| match line.split_once(':') {
                Some((name, value)) => Ok((name.to_owned(), value.trim().to_owned())),
                None => Err(broken(line)),
            })
            .collect::<io::Result<_>>()?;
        Ok(Response {
            status: status.ok_or_else(|| broken(&status_line))?,
            status_line,
            headers,
            body: Vec::new(),
            informational: Vec::new(),
        })
    }

    async fn read_chunks(&mut self) -> io::Result<Vec<u8>> {
        let mut body = Vec::new();
        loop {
            let line = self.take_line().await?;
            let size = usize::from_str_radix(line.trim(), 16).map_err(|_| broken(&line))?;
            if size == 0 {
                while !self.take_line().await?.is_empty() {}
                return Ok(body);
            }
            body.extend(self.take(size).await?);
            self.take(2).await?;
        }
    }

    async fn take_line(&mut self) -> io::Result<String> {
        let at = loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                break at;
            }
            if !self.fill().await? {
                return Err(ErrorKind::UnexpectedEof.into());
            }
        };
        let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
        Ok(String::from_utf8_lossy(&line[..at]).into_owned())
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            if !self.fill().await? {
                return Err(io::Error::new(ErrorKind::UnexpectedEof, "the body was cut short"));
            }
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }
}

impl Response {
    /// The first header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// The body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("{}: {error}: {}", self.status_line, self.text()))
    }

    /// What the backend says that it received.
    pub fn echoed(&self) -> Echoed {
        assert_eq!(self.status, 200, "{}: {}", self.status_line, self.text());
        Echoed::from_json(&self.json())
    }

    /// A refusal's `code`.
    pub fn code(&self) -> String {
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// Where a sequence of bytes begins.
pub fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes.windows(wanted.len()).position(|window| window == wanted)
}

fn broken(what: &str) -> io::Error {
    io::Error::new(ErrorKind::InvalidData, format!("broken HTTP: {what}"))
}
