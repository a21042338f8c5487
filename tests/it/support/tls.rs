//! A backend that speaks TLS: certificates made here, and a server that takes TLS off and
//! passes the bytes on.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::{ServerConfig, crypto};

/// A certificate that vouches for itself, and its key.
pub struct Certified {
    /// In PEM, for whoever is to trust it.
    pub pem: String,
    config: Arc<ServerConfig>,
}

impl Certified {
    /// For these names or addresses.
    pub fn of(names: &[&str]) -> Self {
        let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        let made = rcgen::generate_simple_self_signed(names).expect("a certificate");
        let key = made.signing_key.serialize_der().try_into().expect("a private key");
        let provider = crypto::aws_lc_rs::default_provider();
        let mut config = ServerConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .expect("versions")
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .expect("a certificate and its key");
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Self { pem: made.cert.pem(), config: Arc::new(config) }
    }

    /// The configuration of a server that has it.
    pub fn config(&self) -> Arc<ServerConfig> {
        self.config.clone()
    }
}

/// A connection as its handshake went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shaken {
    /// The name that was asked for.
    pub sni: Option<String>,
    /// The protocol that was agreed on.
    pub alpn: Option<String>,
}

/// Takes TLS off in front of a backend; gone with the test's runtime.
pub struct TlsFront {
    /// Where it listens.
    pub address: SocketAddr,
    accepted: Arc<AtomicUsize>,
    shaken: Arc<Mutex<Vec<Shaken>>>,
}

impl TlsFront {
    /// Starts it.
    pub async fn start(certified: &Certified, backend: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let front = Self { address, accepted: Arc::default(), shaken: Arc::default() };
        let (accepted, shaken) = (front.accepted.clone(), front.shaken.clone());
        let acceptor = TlsAcceptor::from(certified.config.clone());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                accepted.fetch_add(1, Ordering::Relaxed);
                let (acceptor, shaken) = (acceptor.clone(), shaken.clone());
                tokio::spawn(async move {
                    let Ok(mut secured) = acceptor.accept(stream).await else { return };
                    let (_, session) = secured.get_ref();
                    let alpn = session.alpn_protocol().map(String::from_utf8_lossy);
                    shaken.lock().expect("no panic").push(Shaken {
                        sni: session.server_name().map(str::to_owned),
                        alpn: alpn.map(|alpn| alpn.into_owned()),
                    });
                    let mut plain = TcpStream::connect(backend).await.expect("the backend lives");
                    let _ = tokio::io::copy_bidirectional(&mut secured, &mut plain).await;
                });
            }
        });
        front
    }

    /// Connections so far, whatever became of them.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Those on which TLS was spoken.
    pub fn shaken(&self) -> Vec<Shaken> {
        self.shaken.lock().expect("no panic").clone()
    }
}
