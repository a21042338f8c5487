//! A site with one subscription, a receiver that does what a test says, and a clock that is
//! tokio's own.

use std::cell::OnceCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderMap, Method, Request, StatusCode};
use parking_lot::Mutex;
use tokio::task::JoinHandle;
use tokio::time::Instant;

use super::super::carrier::Carrier;
use super::super::wire::tests::{delivery, webhook};
use super::super::{State, Webhooks};
use crate::clock::UnixTime;
use crate::drain::Drain;
use crate::gate::Mode;
use crate::outbound::{Answer, Failure};
use crate::plan::{self, Format, Plan, Reach, Webhook};
use crate::store::outbox::{DeliveryState, Depth, Hook, Kept};
use crate::store::{Change, Chat, Store, volatile};
use crate::telemetry::{Metrics, fixture};

pub const BEGINNING: u64 = 1_700_000_000;

/// Tokio's time, which runs ahead where everybody sleeps.
pub fn clock() -> UnixTime {
    thread_local!(static BASE: OnceCell<Instant> = const { OnceCell::new() });
    let elapsed = BASE.with(|base| base.get_or_init(Instant::now).elapsed());
    UnixTime::from_secs(BEGINNING).after(elapsed)
}

/// One event as it arrived.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Arrived {
    pub secs: u64,
    pub id: String,
    pub visitor: String,
    pub attempt: u32,
}

type Answering = Box<dyn FnMut(&Request<Bytes>, &Arrived) -> Reply + Send>;

/// What a receiver does with an event.
pub enum Reply {
    Status(u16),
    RetryAfter(u16, u64),
    Slow(Duration, u16),
    Fail(Failure),
}

/// A receiver.
pub struct Receiver {
    answering: Mutex<Answering>,
    /// Whether it answers the challenge.
    pub confirms: Mutex<bool>,
    pub arrived: Mutex<Vec<Arrived>>,
    pub asked: Mutex<Vec<u64>>,
    pub other: Mutex<Vec<Request<Bytes>>>,
    at_once: AtomicUsize,
    pub most_at_once: AtomicUsize,
}

impl Receiver {
    pub fn new(
        answering: impl FnMut(&Request<Bytes>, &Arrived) -> Reply + Send + 'static,
    ) -> Arc<Self> {
        Arc::new(Self {
            answering: Mutex::new(Box::new(answering)),
            confirms: Mutex::new(true),
            arrived: Mutex::default(),
            asked: Mutex::default(),
            other: Mutex::default(),
            at_once: AtomicUsize::new(0),
            most_at_once: AtomicUsize::new(0),
        })
    }

    pub fn well() -> Arc<Self> {
        Self::new(|_, _| Reply::Status(200))
    }

    fn challenged(&self, request: &Request<Bytes>) -> Answer {
        self.asked.lock().push(secs());
        let query = request.uri().query().unwrap_or_default();
        let echo = query.split('&').find_map(|pair| pair.strip_prefix("echo="));
        let body = if *self.confirms.lock() { echo.unwrap_or_default() } else { "hello" };
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, "text/plain".parse().unwrap())]);
        let body = Ok(body.to_owned().into());
        Answer { status: StatusCode::OK, headers, body, tls: None }
    }
}

fn secs() -> u64 {
    clock().as_secs() - BEGINNING
}

fn text(body: &serde_json::Value, pointers: [&str; 2]) -> String {
    let found = pointers.into_iter().find_map(|pointer| body.pointer(pointer)?.as_str());
    found.unwrap_or_default().to_owned()
}

#[async_trait]
impl Carrier for Receiver {
    async fn carry(
        &self,
        _reach: Reach,
        request: Request<Bytes>,
        _patience: Duration,
    ) -> Result<Answer, Failure> {
        let body: serde_json::Value = match *request.method() {
            Method::GET => return Ok(self.challenged(&request)),
            Method::POST => serde_json::from_slice(request.body()).unwrap(),
            _ => serde_json::Value::Null,
        };
        let id = request.headers().get("webhook-id").map(|id| id.to_str().unwrap().to_owned());
        let arrived = Arrived {
            secs: secs(),
            id: id.unwrap_or_else(|| text(&body, ["/Id", "/Id"])),
            visitor: text(&body, ["/Notifications/0/Data/Visitor/Id", "/data/visitor/id"]),
            attempt: body["Attempt"].as_u64().unwrap_or_default() as u32,
        };
        let reply = (self.answering.lock())(&request, &arrived);
        self.arrived.lock().push(arrived);
        self.other.lock().push(request);
        let most = self.at_once.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(most, Ordering::SeqCst);
        let mut headers = HeaderMap::new();
        let status = match reply {
            Reply::Status(status) => Ok(status),
            Reply::RetryAfter(status, secs) => {
                headers.insert("retry-after", secs.into());
                Ok(status)
            }
            Reply::Slow(wait, status) => {
                tokio::time::sleep(wait).await;
                Ok(status)
            }
            Reply::Fail(failure) => Err(failure),
        };
        self.at_once.fetch_sub(1, Ordering::SeqCst);
        let status = StatusCode::from_u16(status?).unwrap();
        Ok(Answer { status, headers, body: Ok(Bytes::new()), tls: None })
    }
}

/// The engine at work.
pub struct Stage {
    pub webhooks: Arc<Webhooks>,
    pub store: Arc<Store>,
    pub plan: Plan,
    pub metrics: Arc<Metrics>,
    pub hook: Hook,
    drain: Arc<Drain>,
    keeping: JoinHandle<()>,
    events: AtomicUsize,
}

/// A subscription of LiveSupporti's kind: tried at once, after a minute, after four more.
pub fn subscription() -> Webhook {
    let retry = [0, 60, 240].map(Duration::from_secs).to_vec();
    Webhook { retry, ..webhook(Format::Livesupporti, "http://crm.example/hook?key=1") }
}

pub fn plan_with(webhook: Webhook) -> Plan {
    let mut site = fixture::site(0, "acme", Mode::Prefer);
    site.website.webhooks = vec![Arc::new(webhook)];
    fixture::plan(vec![site])
}

impl Stage {
    pub fn new(webhook: Webhook, carrier: Arc<dyn Carrier>) -> Self {
        Self::over(Arc::new(volatile::open().unwrap()), plan_with(webhook), carrier)
    }

    pub fn over(store: Arc<Store>, plan: Plan, carrier: Arc<dyn Carrier>) -> Self {
        let webhooks = Webhooks::with(store.clone(), &plan, carrier, clock);
        let metrics = Metrics::new(prometheus::Registry::new()).unwrap();
        webhooks.count_in(&metrics);
        let drain = Drain::new();
        let keeping = tokio::spawn(webhooks.clone().keep(drain.clone()));
        let hook = Hook { site: "acme".into(), name: "crm".into() };
        let events = AtomicUsize::new(0);
        Self { webhooks, store, plan, metrics, hook, drain, keeping, events }
    }

    /// A chat of somebody's begins.
    pub fn begin(&self, visitor: &str) -> String {
        self.begin_at(visitor, clock())
    }

    pub fn begin_at(&self, visitor: &str, at: UnixTime) -> String {
        self.begin_so(visitor, at, &["crm"])
    }

    /// The same, with these subscribed.
    pub fn begin_for(&self, visitor: &str, subscribed: &[&str]) -> String {
        self.begin_so(visitor, clock(), subscribed)
    }

    fn begin_so(&self, visitor: &str, at: UnixTime, subscribed: &[&str]) -> String {
        let number = self.events.fetch_add(1, Ordering::SeqCst);
        let id = format!("{number:032x}");
        let told = |name: &&str| {
            let mut delivery = delivery(&id, visitor);
            (delivery.event.at, delivery.webhook) = (at, (*name).into());
            Arc::new(delivery)
        };
        let chat = Chat {
            session: format!("s{number}").into(),
            visitor: visitor.into(),
            account_id: "acme".into(),
            agent_id: "150".into(),
            at,
            until: at.after(Duration::from_secs(60)),
            known_until: at.after(Duration::from_secs(3600)),
            deliveries: subscribed.iter().map(told).collect(),
        };
        self.store.note(Change::Chat { site: "acme".into(), chat: Arc::new(chat) });
        id
    }

    pub fn state(&self) -> (State, Option<String>) {
        let site = &self.plan.sites[0];
        let status = self.webhooks.status(site, &site.website.webhooks[0]);
        (status.state, status.problem)
    }

    pub async fn list(&self, state: DeliveryState) -> Vec<Kept> {
        self.store.outbox().list(&self.hook, Some(state), 100_000).await.unwrap()
    }

    pub async fn depth(&self) -> Depth {
        self.store.outbox().depth(&self.hook).await.unwrap()
    }

    /// Waits until nothing is queued, `most` seconds at most.
    pub async fn settled(&self, most: u64) -> Depth {
        for _ in 0..most * 10 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let depth = self.depth().await;
            if depth.queued == 0 {
                return depth;
            }
        }
        panic!("{:?} after {most} s", self.depth().await);
    }

    /// How often the metric says that something became of the subscription's events.
    pub fn counted(&self, result: &str) -> u64 {
        let text = self.metrics.render(&self.plan, clock());
        let line =
            format!("countersign_webhook_deliveries_total{{result=\"{result}\",webhook=\"crm\"}} ");
        let value = text.lines().find_map(|text| text.strip_prefix(&line));
        value.unwrap_or_else(|| panic!("{line} in {text}")).parse().unwrap()
    }

    /// Shuts down as the process does.
    pub async fn close(self) -> Arc<Store> {
        let settings = plan::Drain::default();
        self.drain.run(settings, Duration::ZERO).await;
        self.keeping.await.unwrap();
        self.store
    }
}
