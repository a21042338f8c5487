//! A chat backend that answers with what it received, header names spelt as they came. Its
//! path says how it behaves otherwise:
//!
//! | path | behaviour |
//! |---|---|
//! | `/close` `/reset` | reads the head, then closes, or resets |
//! | `/hang` | never answers |
//! | `/slow/300` | answers after so many milliseconds |
//! | `/stream/1000000` | a body of so many bytes, with its length |
//! | `/chunked` | the echo in chunks, with a trailer |
//! | `/events` | an event stream: one event, then silence |
//! | `/trickle` | a body of no stated length, a piece every 50 ms without end |
//! | `/informational` | a 103 before the answer |
//! | `/framed` | policies that say who may frame it |
//! | `/forge` | `Countersign-*` among its own header fields |
//! | `/status/403` | that status |
//! | `/ws`, `/cable` | a WebSocket, every message echoed |
//! | `/ws/greet` | the same, with a message in the same write as the 101 |
//! | `/ws/refuse` | 403 to the handshake |
//!
//! A test may put an answer of its own in the place of all that ([`Echo::will_say`]).

use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::raw::find;
use super::websocket;

/// A backend on a port of its own; gone with the test's runtime.
pub struct Echo {
    /// Where it listens.
    pub address: SocketAddr,
    received: Arc<Mutex<Vec<Echoed>>>,
    script: Arc<Script>,
    open: Arc<AtomicUsize>,
}

/// Whole answers, by path.
type Script = Mutex<HashMap<String, Vec<u8>>>;

/// A request as the backend received it.
#[derive(Clone, Debug, Default)]
pub struct Echoed {
    /// Its method.
    pub method: String,
    /// Its target.
    pub target: String,
    /// Its header fields in order, spelt as they came.
    pub headers: Vec<(String, String)>,
    /// The trailers of a chunked body.
    pub trailers: Vec<(String, String)>,
    /// The body, unless it is long.
    pub body: String,
    /// The body's length.
    pub length: usize,
    /// Sum of the body's bytes: tells whether a long one arrived whole.
    pub checksum: u64,
}

impl Echo {
    /// Starts it.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let received = Arc::new(Mutex::new(Vec::new()));
        let (script, open) = (Arc::new(Script::default()), Arc::new(AtomicUsize::new(0)));
        let (sink, lines, count) = (received.clone(), script.clone(), open.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (sink, script, count) = (sink.clone(), lines.clone(), count.clone());
                tokio::spawn(async move {
                    count.fetch_add(1, Ordering::Relaxed);
                    let _ = Peer { stream, script, buffer: Vec::new() }.serve(&sink).await;
                    count.fetch_sub(1, Ordering::Relaxed);
                });
            }
        });
        Self { address, received, script, open }
    }

    /// From now on answers requests for a path with exactly these bytes; with none, as ever.
    pub fn will_say(&self, path: &str, answer: impl Into<Vec<u8>>) {
        let answer = answer.into();
        let mut script = self.script.lock().expect("no panic");
        match answer.is_empty() {
            true => script.remove(path),
            false => script.insert(path.to_owned(), answer),
        };
    }

    /// Everything received so far.
    pub fn received(&self) -> Vec<Echoed> {
        self.received.lock().expect("no panic").clone()
    }

    /// Forgets what was received, and returns it.
    pub fn take(&self) -> Vec<Echoed> {
        std::mem::take(&mut *self.received.lock().expect("no panic"))
    }

    /// Connections open now.
    pub fn open(&self) -> usize {
        self.open.load(Ordering::Relaxed)
    }
}

/// A listener that accepts and never says a word.
pub async fn silent_backend() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound listener");
    tokio::spawn(async move {
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            held.push(stream);
        }
    });
    address
}

struct Peer {
    stream: TcpStream,
    script: Arc<Script>,
    buffer: Vec<u8>,
}

impl Peer {
    async fn serve(mut self, sink: &Mutex<Vec<Echoed>>) -> io::Result<()> {
        self.stream.set_nodelay(true)?;
        while let Some(mut request) = self.read_head().await? {
            let target = request.target.clone();
            let path = target.split('?').next().unwrap_or_default();
            let note = |request: &Echoed| sink.lock().expect("no panic").push(request.clone());
            match path {
                "/close" | "/reset" | "/hang" => {
                    note(&request);
                    if path == "/reset" {
                        socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO))?;
                    }
                    if path == "/hang" {
                        let mut scratch = [0; 1024];
                        while self.stream.read(&mut scratch).await? > 0 {}
                    }
                    return Ok(());
                }
                "/ws/refuse" => {
                    note(&request);
                    self.answer("403 Forbidden", &[], b"not this backend").await?;
                    continue;
                }
                _ if (path.starts_with("/ws") || path == "/cable")
                    && request.header("upgrade").is_some() =>
                {
                    note(&request);
                    return self.websocket(&request, path == "/ws/greet").await;
                }
                _ => {}
            }
            if request.header("expect").is_some() {
                self.stream.write_all(b"HTTP/1.1 100 Continue\r\n\r\n").await?;
            }
            self.read_body(&mut request).await?;
            note(&request);
            self.respond(path, &request).await?;
            if request.header("connection").is_some_and(|c| c.eq_ignore_ascii_case("close")) {
                break;
            }
        }
        Ok(())
    }

    async fn respond(&mut self, path: &str, request: &Echoed) -> io::Result<()> {
        let said = self.script.lock().expect("no panic").get(path).cloned();
        if let Some(answer) = said {
            return self.stream.write_all(&answer).await;
        }
        let echo = request.to_json().to_string();
        let number = path.rsplit('/').next().and_then(|last| last.parse::<usize>().ok());
        match (path.split('/').nth(1).unwrap_or_default(), number) {
            ("slow", Some(pause)) => {
                tokio::time::sleep(Duration::from_millis(pause as u64)).await;
                self.answer("200 OK", &[], echo.as_bytes()).await
            }
            ("stream", Some(length)) => self.answer("200 OK", &[], &pattern(length)).await,
            ("status", Some(status @ (204 | 304))) => {
                self.stream.write_all(format!("HTTP/1.1 {status} Told So\r\n\r\n").as_bytes()).await
            }
            ("status", Some(status)) => {
                self.answer(&format!("{status} Told So"), &[], echo.as_bytes()).await
            }
            ("informational", _) => {
                let early = b"HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n";
                self.stream.write_all(early).await?;
                self.answer("200 OK", &[], echo.as_bytes()).await
            }
            ("framed", None) => {
                let policies = [
                    (
                        "Content-Security-Policy",
                        "default-src 'self'; frame-ancestors 'none'; img-src *",
                    ),
                    ("Content-Security-Policy", "script-src 'self'"),
                    ("Content-Security-Policy-Report-Only", "frame-ancestors 'none'"),
                    ("X-Frame-Options", "DENY"),
                ];
                let policies = if path == "/framed" { &policies[..] } else { &[] };
                self.answer("200 OK", policies, echo.as_bytes()).await
            }
            ("forge", _) => {
                let forged = [
                    ("Countersign-Status", "verified"),
                    ("countersign-id", "admin"),
                    ("COUNTERSIGN-REQUEST-ID", "forged"),
                    ("X-Backend", "kept"),
                    ("Access-Control-Allow-Origin", "https://backend.example"),
                ];
                self.answer("200 OK", &forged, echo.as_bytes()).await
            }
            ("chunked", _) => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                            Content-Type: application/json\r\n\r\n";
                let body = format!("{:x}\r\n{echo}\r\n0\r\nX-Trailer: t\r\n\r\n", echo.len());
                self.stream.write_all(format!("{head}{body}").as_bytes()).await
            }
            ("events", _) => {
                let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\
                            Content-Type: text/event-stream; charset=utf-8\r\n\r\n";
                self.stream.write_all(format!("{head}9\r\ndata: 1\n\n\r\n").as_bytes()).await?;
                let mut scratch = [0; 1024];
                while self.stream.read(&mut scratch).await? > 0 {}
                Ok(())
            }
            ("trickle", _) => {
                self.stream
                    .write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                    .await?;
                loop {
                    self.stream.write_all(b"4\r\ndrop\r\n").await?;
                    tokio::time::sleep(Duration::from_millis(50)).await;
                }
            }
            _ if request.method == "HEAD" => {
                let head = "HTTP/1.1 200 OK\r\nContent-Length: 1234\r\nX-Method: HEAD\r\n\r\n";
                self.stream.write_all(head.as_bytes()).await
            }
            _ => self.answer("200 OK", &[], echo.as_bytes()).await,
        }
    }

    async fn answer(
        &mut self,
        status: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<()> {
        let mut bytes = format!("HTTP/1.1 {status}\r\nContent-Type: application/json\r\n");
        for (name, value) in headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str(&format!("Content-Length: {}\r\n\r\n", body.len()));
        let mut bytes = bytes.into_bytes();
        bytes.extend_from_slice(body);
        self.stream.write_all(&bytes).await
    }

    /// Answers the handshake at once, before anything else can be read: the race that tears
    /// a careless proxy's tunnel down.
    async fn websocket(mut self, request: &Echoed, greet: bool) -> io::Result<()> {
        let mut bytes = websocket::accepting(request).into_bytes();
        if greet {
            bytes.extend_from_slice(b"\x81\x05hello");
        }
        self.stream.write_all(&bytes).await?;
        websocket::echo(self.stream, self.buffer).await;
        Ok(())
    }

    async fn read_head(&mut self) -> io::Result<Option<Echoed>> {
        let end = loop {
            if let Some(at) = find(&self.buffer, b"\r\n\r\n") {
                break at + 4;
            }
            if self.stream.read_buf(&mut self.buffer).await? == 0 {
                return Ok(None);
            }
        };
        let head: Vec<u8> = self.buffer.drain(..end).collect();
        // Latin-1: every byte shows as one character.
        let text: String = head.iter().map(|byte| char::from(*byte)).collect();
        let mut lines = text.trim_end_matches("\r\n").split("\r\n");
        let mut first = lines.next().unwrap_or_default().split(' ');
        Ok(Some(Echoed {
            method: first.next().unwrap_or_default().to_owned(),
            target: first.next().unwrap_or_default().to_owned(),
            headers: lines.map(field).collect(),
            ..Echoed::default()
        }))
    }

    async fn read_body(&mut self, request: &mut Echoed) -> io::Result<()> {
        let mut body = Vec::new();
        if request.header("transfer-encoding").is_some() {
            loop {
                let line = self.take_line().await?;
                let size = usize::from_str_radix(line.trim(), 16).unwrap_or(0);
                if size == 0 {
                    break;
                }
                body.extend(self.take(size).await?);
                self.take(2).await?;
            }
            loop {
                let line = self.take_line().await?;
                if line.is_empty() {
                    break;
                }
                request.trailers.push(field(&line));
            }
        } else if let Some(length) = request.header("content-length") {
            body = self.take(length.parse().unwrap_or(0)).await?;
        }
        request.length = body.len();
        request.checksum = body.iter().map(|byte| u64::from(*byte)).sum();
        if body.len() <= 100_000 {
            request.body = String::from_utf8_lossy(&body).into_owned();
        }
        Ok(())
    }

    async fn take_line(&mut self) -> io::Result<String> {
        loop {
            if let Some(at) = find(&self.buffer, b"\r\n") {
                let line: Vec<u8> = self.buffer.drain(..at + 2).collect();
                return Ok(String::from_utf8_lossy(&line[..at]).into_owned());
            }
            self.fill().await?;
        }
    }

    async fn take(&mut self, length: usize) -> io::Result<Vec<u8>> {
        while self.buffer.len() < length {
            self.fill().await?;
        }
        Ok(self.buffer.drain(..length).collect())
    }

    async fn fill(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(io::ErrorKind::UnexpectedEof.into()),
            _ => Ok(()),
        }
    }
}

impl Echoed {
    /// The first header field of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// Every value of that name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        let fields = self.headers.iter().filter(|(known, _)| known.eq_ignore_ascii_case(name));
        fields.map(|(_, value)| value.as_str()).collect()
    }

    /// Whether the text occurs anywhere: in the target, a header field, a trailer, the body.
    pub fn mentions(&self, text: &str) -> bool {
        let fields = self.headers.iter().chain(&self.trailers);
        self.target.contains(text)
            || self.body.contains(text)
            || fields.into_iter().any(|(name, value)| name.contains(text) || value.contains(text))
    }

    /// `Countersign-Claimed`, parsed.
    pub fn claimed(&self) -> Option<Value> {
        let claimed = self.header("countersign-claimed")?;
        Some(serde_json::from_str(claimed).unwrap_or_else(|error| panic!("{error}: {claimed}")))
    }

    fn to_json(&self) -> Value {
        json!({
            "method": self.method, "target": self.target, "headers": self.headers,
            "trailers": self.trailers, "body": self.body, "length": self.length,
            "checksum": self.checksum,
        })
    }

    /// Reads an echo's answer.
    pub fn from_json(value: &Value) -> Self {
        let text = |name: &str| value[name].as_str().unwrap_or_default().to_owned();
        let fields = |name: &str| serde_json::from_value(value[name].clone()).unwrap_or_default();
        Self {
            method: text("method"),
            target: text("target"),
            headers: fields("headers"),
            trailers: fields("trailers"),
            body: text("body"),
            length: value["length"].as_u64().unwrap_or_default() as usize,
            checksum: value["checksum"].as_u64().unwrap_or_default(),
        }
    }
}

/// A body of that length that is not the same everywhere.
pub fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|index| b'a' + (index % 23) as u8).collect()
}

fn field(line: &str) -> (String, String) {
    let (name, value) = line.split_once(':').unwrap_or((line, ""));
    (name.to_owned(), value.trim().to_owned())
}
