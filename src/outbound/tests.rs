//! Requests of our own, to small servers that answer what the test wants.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const PATIENCE: Duration = Duration::from_secs(5);

/// Answers every connection's first request with these bytes; counts connections.
async fn server(answer: &'static [u8]) -> (u16, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            counted.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(async move {
                let mut head = [0; 4096];
                let _ = stream.read(&mut head).await;
                let _ = stream.write_all(answer).await;
            });
        }
    });
    (port, count)
}

fn get(url: &str) -> Request<Bytes> {
    Request::get(url).body(Bytes::new()).unwrap()
}

fn always(addresses: &'static [&'static str]) -> Lookup {
    Arc::new(move |_, port| {
        let all = addresses.iter().map(|address| SocketAddr::new(address.parse().unwrap(), port));
        let all = all.collect();
        Box::pin(async move { Ok(all) })
    })
}

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi";

#[tokio::test]
async fn an_answer_comes_with_its_status_header_and_body() {
    let (port, _) = server(OK).await;
    let client = Client::new(Reach::Anywhere);
    let answer = client.send(get(&format!("http://127.0.0.1:{port}/")), PATIENCE, 10).await;
    let answer = answer.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body, answer.tls), (200, Ok("hi".into()), None));
    assert_eq!(answer.headers["content-length"], "2");
}

#[tokio::test]
async fn a_redirect_is_an_answer_like_any_other() {
    let (inside, count) = server(OK).await;
    let away = format!(
        "HTTP/1.1 307 Away\r\nLocation: http://127.0.0.1:{inside}/\r\nContent-Length: 0\r\n\r\n"
    );
    let (port, _) = server(away.leak().as_bytes()).await;
    let client = Client::new(Reach::Anywhere);
    let answer = client.send(get(&format!("http://127.0.0.1:{port}/")), PATIENCE, 10).await;
    assert_eq!(answer.unwrap().status.as_u16(), 307);
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_answer_that_is_too_large_or_never_ends_keeps_its_status() {
    let (port, _) =
        server(b"HTTP/1.1 200 OK\r\nContent-Length: 4000\r\n\r\nxxxxxxxxxxxxxxxxxxxxxxxx").await;
    let client = Client::new(Reach::Anywhere);
    let url = format!("http://127.0.0.1:{port}/");
    let answer = client.send(get(&url), PATIENCE, 10).await.unwrap();
    assert_eq!((answer.status.as_u16(), answer.body), (200, Err(Failure::TooLarge(10))));
}

#[tokio::test]
async fn somebody_silent_is_waited_for_no_longer_than_allowed() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/", listener.local_addr().unwrap());
    let client = Client::new(Reach::Anywhere);
    let patience = Duration::from_millis(50);
    let failure = client.send(get(&url), patience, 10).await.unwrap_err();
    assert_eq!(failure, Failure::Timeout(patience));
}

#[tokio::test]
async fn an_address_inside_is_never_connected_to_however_it_is_spelt() {
    let (port, count) = server(OK).await;
    let client = Client::new(Reach::Outside);
    for host in [
        "127.0.0.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "localhost",
        "2130706433",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
    ] {
        let failure = client.send(get(&format!("http://{host}:{port}/")), PATIENCE, 10).await;
        // Where the system knows no such spelling, there is no address to connect to either.
        let failure = failure.unwrap_err();
        let blocked = matches!(&failure, Failure::Blocked(why) if why.contains("this machine"));
        let unknown = matches!(&failure, Failure::Unreachable(why) if why.contains("resolved"));
        assert!(blocked || unknown, "{host}: {failure:?}");
        if ["127.0.0.1", "[::1]", "[::ffff:127.0.0.1]"].contains(&host) {
            assert!(blocked, "{host}: {failure:?}");
        }
    }
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn one_address_inside_among_those_of_a_name_is_one_too_many() {
    let (port, count) = server(OK).await;
    let client = Client::looking_up(Reach::Outside, always(&["93.184.216.34", "127.0.0.1"]));
    let failure = client.send(get(&format!("http://crm.example:{port}/")), PATIENCE, 10).await;
    let failure = failure.unwrap_err().to_string();
    assert!(failure.starts_with("crm.example is 127.0.0.1: this machine"), "{failure}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn a_name_that_means_something_else_a_moment_later_is_looked_up_once_and_held_to_it() {
    let (port, count) = server(OK).await;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = asked.clone();
    // Out in the world as far as any list says, and routed nowhere (once the 6bone's).
    let lookup: Lookup = Arc::new(move |_, port| {
        let first = counted.fetch_add(1, Ordering::SeqCst) == 0;
        let address = if first { "3ffe::1" } else { "127.0.0.1" };
        let address = SocketAddr::new(address.parse().unwrap(), port);
        Box::pin(async move { Ok(vec![address]) })
    });
    let client = Client::looking_up(Reach::Outside, lookup);
    let url = format!("http://rebind.example:{port}/");
    let first = client.send(get(&url), Duration::from_millis(50), 10).await.unwrap_err();
    assert!(!matches!(first, Failure::Blocked(_)), "{first:?}");
    assert_eq!(asked.load(Ordering::SeqCst), 1, "looked at and connected to by one look-up");
    let second = client.send(get(&url), PATIENCE, 10).await.unwrap_err();
    assert!(matches!(second, Failure::Blocked(_)), "{second:?}");
    assert_eq!(count.load(Ordering::SeqCst), 0);
}

#[test]
fn a_url_is_shown_without_user_and_query() {
    let url: Uri = "https://ada:pw@crm.example:8443/hook?key=SECRET".parse().unwrap();
    assert_eq!(Shown(&url).to_string(), "https://crm.example:8443/hook");
}
