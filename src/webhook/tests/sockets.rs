//! The engine over sockets, where time is everybody's.

use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::super::State;
use super::super::carrier::Network;
use super::stage::{Stage, subscription};
use crate::plan::Reach;
use crate::store::outbox::DeliveryState;

/// Answers the challenge, and the nth event with the nth of these. Counts requests.
async fn receiver(answers: Vec<String>) -> (String, Arc<parking_lot::Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let heard = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let (kept, answers) = (heard.clone(), Arc::new(parking_lot::Mutex::new(answers.into_iter())));
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (heard, answers) = (kept.clone(), answers.clone());
            tokio::spawn(async move {
                let mut text = String::new();
                while !is_whole(&text) {
                    let mut bytes = [0; 8192];
                    let count = stream.read(&mut bytes).await.unwrap();
                    if count == 0 {
                        return;
                    }
                    text.push_str(&String::from_utf8_lossy(&bytes[..count]));
                }
                let answer = match text.split_once("echo=") {
                    Some((_, rest)) if text.starts_with("GET ") => {
                        let echo = rest.split(' ').next().unwrap();
                        let kind = "Content-Type: text/plain\r\nConnection: close";
                        format!("HTTP/1.1 200 OK\r\n{kind}\r\nContent-Length: 32\r\n\r\n{echo}")
                    }
                    _ => answers.lock().next().unwrap(),
                };
                heard.lock().push(text);
                let _ = stream.write_all(answer.as_bytes()).await;
            });
        }
    });
    (url, heard)
}

fn is_whole(text: &str) -> bool {
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return false };
    let length = head.lines().find_map(|line| {
        let (name, value) = line.split_once(": ")?;
        name.eq_ignore_ascii_case("content-length").then(|| value.parse::<usize>().unwrap())
    });
    body.len() >= length.unwrap_or(0)
}

fn empty(status: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")
}

#[tokio::test]
async fn an_event_crosses_the_network_and_a_huge_or_broken_answer_is_one_all_the_same() {
    let huge =
        format!("HTTP/1.1 200 OK\r\nContent-Length: 90000000\r\n\r\n{}", "x".repeat(100_000));
    let away = "HTTP/1.1 302 Found\r\nLocation: /elsewhere\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    let answers = vec![empty("500 Oops"), away.to_owned(), "nonsense\r\n\r\n".to_owned(), huge];
    let (url, heard) = receiver(answers).await;
    let mut webhook = subscription();
    (webhook.url, webhook.retry) = (url.parse().unwrap(), vec![Duration::ZERO; 4]);
    let stage = Stage::new(webhook, Arc::new(Network::new()));
    stage.begin("ada");
    let depth = stage.settled(20).await;
    assert_eq!((depth.dead, stage.list(DeliveryState::Delivered).await.len()), (0, 1));
    let heard = heard.lock().clone();
    assert_eq!(heard.len(), 5);
    assert!(heard[0].starts_with("GET /hook?echo="), "{}", heard[0]);
    for event in &heard[1..] {
        assert!(event.starts_with("POST /hook HTTP/1.1\r\n"), "{event}");
        let agent = concat!("user-agent: countersign/", env!("CARGO_PKG_VERSION"));
        assert!(event.contains(agent) && event.contains("ms-signature: sha256="), "{event}");
    }
}

#[tokio::test]
async fn a_subscription_that_leads_inside_is_refused_counted_and_told_of() {
    let (url, heard) = receiver(Vec::new()).await;
    let mut webhook = subscription();
    (webhook.url, webhook.reach) = (url.parse().unwrap(), Reach::Outside);
    let stage = Stage::new(webhook, Arc::new(Network::new()));
    stage.begin("ada");
    while stage.state().1.is_none() {
        tokio::task::yield_now().await;
    }
    let site = &stage.plan.sites[0];
    let report = stage.webhooks.test(site, &site.website.webhooks[0]).await;
    for finding in [&report.echo, &report.delivery] {
        assert!(!finding.ok && finding.detail.contains("127.0.0.1: this machine"), "{report:?}");
    }
    assert_eq!(stage.state().0, State::Unverified);
    assert!(heard.lock().is_empty());
    // The challenge, and what the test sent: a challenge, a preflight and an event.
    assert_eq!(stage.counted("blocked"), 4);
}

#[tokio::test]
async fn a_receiver_is_tried_out_with_a_visitor_who_is_made_up() {
    let cors = "HTTP/1.1 204 Fine\r\nAccess-Control-Allow-Origin: *\r\nConnection: close\r\n\r\n";
    let (url, heard) = receiver(vec![cors.to_owned(), empty("202 Taken")]).await;
    let mut webhook = subscription();
    webhook.url = url.parse().unwrap();
    let stage = Stage::new(webhook, Arc::new(Network::new()));
    let site = &stage.plan.sites[0];
    // Its own challenge is answered first, so that the order of answers is known.
    while stage.state().0 != State::Active {
        tokio::task::yield_now().await;
    }
    let report = stage.webhooks.test(site, &site.website.webhooks[0]).await;
    assert!(report.echo.ok && report.delivery.ok && !report.tls.ok, "{report:?}");
    assert_eq!((report.cors.status, report.delivery.status), (Some(204), Some(202)));
    let expected = "Access-Control-Allow-Origin for https://acme.example, to the challenge: \
                    none, to a preflight: *";
    assert_eq!((report.cors.ok, &*report.cors.detail), (false, expected));
    let sent = heard.lock().last().unwrap().clone();
    for part in ["\"Id\": \"g_sample", "\"Sample\": \"true\"", "ms-signature: sha256="] {
        assert!(sent.contains(part), "{sent}");
    }
    assert_eq!(stage.depth().await.queued, 0, "it is in no queue");
}
