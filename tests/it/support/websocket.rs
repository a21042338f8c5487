//! Both ends of a WebSocket.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::{SinkExt as _, StreamExt as _};
use tokio::net::TcpStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;
use tokio_tungstenite::tungstenite::{Error, Message};

use super::PATIENCE;
use super::echo::Echoed;
use super::raw::{Connection, Request, Response};

/// A client's WebSocket.
pub struct Socket {
    stream: WebSocketStream<TcpStream>,
    /// The answer to the handshake.
    pub answer: Response,
}

/// The handshake of a browser, to be completed with `Host` and a credential.
pub fn handshake(target: &str, host: &str) -> Request {
    Request::get(target)
        .host(host)
        .header("Connection", "keep-alive, Upgrade")
        .header("Upgrade", "websocket")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// Many at once, sixteen being opened at a time.
pub async fn open_many(address: SocketAddr, handshake: &Request, count: usize) -> Vec<Socket> {
    let workers = (0..16).map(|worker| async move {
        let share = count / 16 + usize::from(worker < count % 16);
        let mut sockets = Vec::new();
        for _ in 0..share {
            sockets.push(Socket::open(address, handshake).await.expect("an upgrade"));
        }
        sockets
    });
    futures_util::future::join_all(workers).await.into_iter().flatten().collect()
}

/// Every one of them is open, and brings a message to the backend and back.
pub async fn all_echo(sockets: &mut [Socket]) {
    let share = sockets.len().div_ceil(16).max(1);
    let workers = sockets.chunks_mut(share).map(|sockets| async move {
        for socket in sockets {
            socket.echoes("still here").await.expect("an echo");
        }
    });
    futures_util::future::join_all(workers).await;
}

impl Socket {
    /// Upgrades; what is no 101 comes back as the error.
    pub async fn open(address: SocketAddr, handshake: &Request) -> Result<Self, Response> {
        let mut connection = Connection::open(address).await;
        let answer = connection.exchange(handshake).await.expect("an answer to the handshake");
        if answer.status != 101 {
            return Err(answer);
        }
        let (stream, early) = connection.into_parts();
        let stream = WebSocketStream::from_partially_read(stream, early, Role::Client, None).await;
        Ok(Self { stream, answer })
    }

    /// Sends a text.
    pub async fn say(&mut self, text: &str) -> Result<(), Error> {
        self.stream.send(Message::text(text)).await
    }

    /// The next text; `None` when the other end closed.
    pub async fn hear(&mut self) -> Result<Option<String>, Error> {
        loop {
            let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
            match next.unwrap_or_else(|_| panic!("nothing heard in {PATIENCE:?}")) {
                Some(Ok(Message::Text(text))) => return Ok(Some(text.as_str().to_owned())),
                Some(Ok(Message::Close(_))) | None => return Ok(None),
                Some(Ok(_)) => {}
                Some(Err(error)) => return Err(error),
            }
        }
    }

    /// Sends a text and expects it back.
    pub async fn echoes(&mut self, text: &str) -> Result<(), String> {
        self.say(text).await.map_err(|error| format!("{text}: {error}"))?;
        match self.hear().await {
            Ok(Some(heard)) if heard == text => Ok(()),
            other => Err(format!("{text}: heard {other:?}")),
        }
    }

    /// The code and reason of the Close frame that comes next.
    pub async fn farewell(&mut self) -> (u16, String) {
        let next = tokio::time::timeout(PATIENCE, self.stream.next()).await;
        match next.unwrap_or_else(|_| panic!("nothing heard in {PATIENCE:?}")) {
            Some(Ok(Message::Close(Some(close)))) => {
                (close.code.into(), close.reason.as_str().to_owned())
            }
            other => panic!("no Close frame: {other:?}"),
        }
    }

    /// Whether the other end closes within that time.
    pub async fn closes_within(&mut self, within: Duration) -> bool {
        let closed = async {
            while let Some(Ok(message)) = self.stream.next().await {
                if message.is_close() {
                    break;
                }
            }
        };
        tokio::time::timeout(within, closed).await.is_ok()
    }
}

/// The 101 that accepts a handshake.
pub fn accepting(request: &Echoed) -> String {
    let accept = derive_accept_key(request.header("sec-websocket-key").unwrap_or("").as_bytes());
    let forced = request.header("x-select");
    let protocol = match forced.or(request.header("sec-websocket-protocol")) {
        Some(offered) => {
            let first = offered.split(',').next().unwrap_or_default().trim();
            format!("Sec-WebSocket-Protocol: {first}\r\n")
        }
        None => String::new(),
    };
    format!(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         {protocol}Sec-WebSocket-Accept: {accept}\r\n\r\n"
    )
}

/// The backend's side: every message goes back.
pub async fn echo(stream: TcpStream, early: Vec<u8>) {
    let mut socket = WebSocketStream::from_partially_read(stream, early, Role::Server, None).await;
    while let Some(Ok(message)) = socket.next().await {
        if (message.is_text() || message.is_binary()) && socket.send(message).await.is_err() {
            break;
        }
    }
}
