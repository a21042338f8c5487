//! An identity provider: keys that sign, and a server that publishes them, or fails to.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Value, json};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::sign;
use super::tls::Certified;

/// A key pair with its name.
pub struct Signer {
    kid: &'static str,
    pair: Ed25519KeyPair,
}

impl Signer {
    /// A fresh one.
    pub fn new(kid: &'static str) -> Self {
        Self { kid, pair: Ed25519KeyPair::generate().expect("randomness") }
    }

    /// Its public half.
    pub fn jwk(&self) -> Value {
        let x = URL_SAFE_NO_PAD.encode(self.pair.public_key().as_ref());
        json!({ "kty": "OKP", "crv": "Ed25519", "kid": self.kid, "use": "sig", "x": x })
    }

    /// A token for that visitor.
    pub fn token(&self, id: &str) -> String {
        let header = json!({ "typ": "JWT", "alg": "EdDSA", "kid": self.kid });
        let claims = json!({ "sub": id, "exp": sign::now() + 300 });
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(&header), part(&claims));
        let signature = URL_SAFE_NO_PAD.encode(self.pair.sign(message.as_bytes()));
        format!("{message}.{signature}")
    }
}

/// A key set of these keys.
pub fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

/// What the server answers.
#[derive(Clone)]
enum Answer {
    Document(String),
    Status(u16, String),
    Nothing,
}

/// A server with one document, on a port of its own; gone with the test's runtime.
pub struct KeyServer {
    /// Where it listens.
    pub address: SocketAddr,
    answer: Arc<Mutex<Answer>>,
    asked: Arc<AtomicUsize>,
}

impl KeyServer {
    /// Starts it, with this document.
    pub async fn start(document: String) -> Self {
        Self::with(document, None).await
    }

    /// The same with TLS, and the certificate that clients must trust, in PEM.
    pub async fn start_with_tls(document: String) -> (Self, String) {
        let certified = Certified::of(&["localhost"]);
        let server = Self::with(document, Some(TlsAcceptor::from(certified.config()))).await;
        (server, certified.pem)
    }

    async fn with(document: String, tls: Option<TlsAcceptor>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let answer = Arc::new(Mutex::new(Answer::Document(document)));
        let asked = Arc::new(AtomicUsize::new(0));
        let (current, count) = (answer.clone(), asked.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (current, count, tls) = (current.clone(), count.clone(), tls.clone());
                tokio::spawn(async move {
                    match tls {
                        None => serve(stream, &current, &count).await,
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                serve(stream, &current, &count).await;
                            }
                        }
                    }
                });
            }
        });
        Self { address, answer, asked }
    }

    /// From now on it answers this document.
    pub fn publish(&self, document: String) {
        self.set(Answer::Document(document));
    }

    /// From now on it answers this status and `Location`.
    pub fn fail(&self, status: u16, location: &str) {
        self.set(Answer::Status(status, location.to_owned()));
    }

    /// From now on it accepts and says nothing.
    pub fn hang(&self) {
        self.set(Answer::Nothing);
    }

    fn set(&self, answer: Answer) {
        *self.answer.lock().expect("no panic") = answer;
    }

    /// How often it has been asked.
    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The members of a site's `jwks`, without TLS.
    pub fn jwks(&self, more: &str) -> String {
        format!("url: \"http://{}/keys.json?v=1\", insecure: true{more}", self.address)
    }
}

async fn serve(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    answer: &Mutex<Answer>,
    asked: &AtomicUsize,
) {
    let mut head = Vec::new();
    while super::raw::find(&head, b"\r\n\r\n").is_none() {
        match stream.read_buf(&mut head).await {
            Ok(read) if read > 0 => {}
            _ => return,
        }
    }
    asked.fetch_add(1, Ordering::Relaxed);
    let answer = answer.lock().expect("no panic").clone();
    let bytes = match answer {
        Answer::Document(document) => {
            format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n{document}", document.len())
        }
        Answer::Status(status, location) => {
            format!("HTTP/1.1 {status} So\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n")
        }
        Answer::Nothing => {
            let _ = stream.read_buf(&mut head).await;
            return;
        }
    };
    let _ = stream.write_all(bytes.as_bytes()).await;
    let _ = stream.shutdown().await;
}
