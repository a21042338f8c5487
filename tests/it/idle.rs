//! A quiet WebSocket stays open. Seventy seconds: plain Pingora cuts after sixty, which is
//! shown beside it.

use std::time::{Duration, Instant};

use crate::plain_pingora::PlainPingora;
use crate::support::echo::Echo;
use crate::support::websocket::{Socket, handshake};
use crate::websocket::{good, start};

const QUIET: Duration = Duration::from_secs(70);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_websocket_that_idles_seventy_seconds_echoes_again_where_plain_pingora_cuts_it() {
    let echo = Echo::start().await;
    let gateway = start(&echo).await;
    let upgrade = handshake("/ws", "chat.test").bearer(&good());
    let mut ours = Socket::open(gateway.address, &upgrade).await.expect("an upgrade");
    for message in 0..1000 {
        ours.echoes(&message.to_string()).await.expect("an echo");
    }
    let plain = PlainPingora::start(echo.address, false).await;
    let mut theirs = open_plain(&plain).await;
    let start = Instant::now();
    let (cut, ()) = tokio::join!(theirs.closes_within(QUIET), tokio::time::sleep(QUIET));
    assert!(start.elapsed() >= QUIET);
    assert!(cut, "plain Pingora no longer cuts an idle WebSocket: this test proves nothing");
    ours.echoes("still here").await.expect("an echo after the silence");
}

/// Some are torn down at once (`websocket.rs`): until one lives.
async fn open_plain(plain: &PlainPingora) -> Socket {
    for _ in 0..50 {
        let upgrade = handshake("/ws", "chat.test");
        if let Ok(mut socket) = Socket::open(plain.address, &upgrade).await
            && socket.echoes("hello").await.is_ok()
        {
            return socket;
        }
    }
    panic!("plain Pingora makes no upgrade at all");
}
