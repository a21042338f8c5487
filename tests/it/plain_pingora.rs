//! The control: the least proxy that Pingora allows, in this process, without anything of
//! ours. What fails here and works through the gateway is what the gateway mends.

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use pingora::apps::ServerApp;
use pingora::protocols::l4::stream::Stream;
use pingora::proxy::{ProxyHttp, Session, http_proxy};
use pingora::server::configuration::ServerConf;
use pingora::upstreams::peer::HttpPeer;
use tokio::net::TcpListener;

/// A running proxy; gone with the test's runtime.
pub struct PlainPingora {
    /// Where it listens.
    pub address: SocketAddr,
    _running: tokio::sync::watch::Sender<bool>,
}

struct Forward {
    backend: SocketAddr,
    yields: bool,
}

#[async_trait]
impl ProxyHttp for Forward {
    type CTX = ();

    fn new_ctx(&self) -> Self::CTX {}

    async fn upstream_peer(
        &self,
        _session: &mut Session,
        _ctx: &mut Self::CTX,
    ) -> pingora::Result<Box<HttpPeer>> {
        Ok(Box::new(HttpPeer::new(self.backend, false, String::new())))
    }

    async fn request_body_filter(
        &self,
        _session: &mut Session,
        _body: &mut Option<bytes::Bytes>,
        _end: bool,
        _ctx: &mut Self::CTX,
    ) -> pingora::Result<()> {
        if self.yields {
            tokio::task::yield_now().await;
        }
        Ok(())
    }
}

impl PlainPingora {
    /// Starts it in front of a backend. With `yields` its body filter awaits once, as any
    /// that does something may: that turns a race that a few in a hundred upgrades lose
    /// into one that most lose.
    pub async fn start(backend: SocketAddr, yields: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener");
        let proxy =
            Arc::new(http_proxy(&Arc::new(ServerConf::default()), Forward { backend, yields }));
        let (running, shutdown) = tokio::sync::watch::channel(false);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let (proxy, shutdown) = (proxy.clone(), shutdown.clone());
                tokio::spawn(async move {
                    let mut next: Option<pingora::protocols::Stream> =
                        Some(Box::new(Stream::from(stream)));
                    while let Some(stream) = next {
                        next = proxy.process_new(stream, &shutdown).await;
                    }
                });
            }
        });
        Self { address, _running: running }
    }
}
