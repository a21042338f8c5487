//! The example website's server in the loop: it is told by a webhook when a chat begins, looks
//! the visitor up among its customers, and posts back what it knows of them.
//!
//! What it does is kept and shown as it happens: a page cannot see what two servers say to
//! each other.

use std::collections::BTreeSet;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use http::{Method, StatusCode};
use parking_lot::Mutex;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::sync::broadcast;
use tokio_tungstenite::tungstenite::Message;

use super::gateway::{Gateway, System};
use super::web::{self, Answer, Asked, Socket};
use super::{heard, signature};

/// Webhooks kept to be shown.
const MOST_SHOWN: usize = 20;
/// Changes that a slow socket may lag behind.
const MOST_CHANGES: usize = 64;

/// All but what RFC 3986 §2.3 leaves alone.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A customer: id, email, and what an agent should know.
type Customer = (&'static str, &'static str, [(&'static str, &'static str); 3]);

/// In the place of a database.
const CUSTOMERS: [Customer; 2] = [
    (
        "user-123",
        "ana@acme.example",
        [("Customer since", "2019"), ("Plan", "Gold"), ("Last order", "№ 4711: 2 × espresso cup")],
    ),
    (
        "user-456",
        "ben@acme.example",
        [("Customer since", "2026"), ("Plan", "Free"), ("Last order", "none")],
    ),
];

/// The website's server, as far as chats concern it.
pub struct Crm {
    gateway: Arc<Gateway>,
    shown: Mutex<Vec<Entry>>,
    /// Events that are done: the same one may come again.
    done: Mutex<BTreeSet<String>>,
    changes: broadcast::Sender<Arc<Entry>>,
}

/// LiveSupporti's event, as far as it is looked at.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Event {
    id: String,
    notifications: [Notification; 1],
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Notification {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Data {
    account_id: String,
    agent_id: String,
    visitor: Visitor,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Visitor {
    id: String,
    /// Empty where none is signed.
    email: String,
    verified: bool,
}

/// One webhook and what came of it, as the page shows it.
#[derive(Clone, Serialize)]
struct Entry {
    number: String,
    system: &'static str,
    received: Value,
    signed: bool,
    repeated: bool,
    unknown: bool,
    found: Option<Value>,
    sent: Option<Value>,
    answered: Option<Value>,
}

impl Entry {
    fn new(system: &System, received: Value, signed: bool) -> Self {
        Self {
            number: uuid::Uuid::now_v7().simple().to_string(),
            system: system.name,
            received,
            signed,
            repeated: false,
            unknown: false,
            found: None,
            sent: None,
            answered: None,
        }
    }
}

impl Crm {
    /// One that nothing has been said to.
    pub fn new(gateway: Arc<Gateway>) -> Arc<Self> {
        let (shown, done) = (Mutex::default(), Mutex::default());
        Arc::new(Self { gateway, shown, done, changes: broadcast::Sender::new(MOST_CHANGES) })
    }

    /// Answers what the gateway asks at a webhook's address.
    pub async fn receive(&self, system: &System, asked: Asked) -> Answer {
        match *asked.method() {
            // Whether events are wanted here.
            Method::GET => match web::parameter(asked.uri(), "echo") {
                Some(echo) => web::text(StatusCode::OK, echo),
                None => web::not_found(),
            },
            Method::POST => {
                let (parts, body) = asked.into_parts();
                let Some(body) = web::body(http::Request::new(body)).await else {
                    return web::text(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long.\n");
                };
                self.event(system, &http::Request::from_parts(parts, body)).await
            }
            _ => web::not_found(),
        }
    }

    async fn event(&self, system: &System, request: &http::Request<Bytes>) -> Answer {
        let (headers, body) = (request.headers(), request.body());
        let secret = self.gateway.shared().webhook.as_bytes();
        let signed = signature::livesupporti(secret, headers, body);
        let mut entry = Entry::new(system, heard::request(request, body), signed);
        self.show(&entry);
        if !signed {
            return web::text(StatusCode::UNAUTHORIZED, "The signature does not fit.\n");
        }
        let Ok(Event { id, notifications: [Notification { data }] }) = serde_json::from_slice(body)
        else {
            return web::text(StatusCode::BAD_REQUEST, "This is no event.\n");
        };
        if self.done.lock().contains(&id) {
            entry.repeated = true;
            self.show(&entry);
            return web::text(StatusCode::OK, "");
        }
        let Some((by, customer)) = customer(&data.visitor) else {
            entry.unknown = true;
            self.show(&entry);
            return web::text(StatusCode::OK, "");
        };
        let (target, details) = details(&data, customer);
        entry.found = Some(json!({ "by": by, "id": customer.0, "email": customer.1 }));
        entry.sent = Some(json!({ "target": target, "body": details }));
        self.show(&entry);
        let (status, said) = self.post(system, &target, &details).await;
        entry.answered = Some(json!({ "status": status, "body": said }));
        self.show(&entry);
        if status != 200 {
            // Then it comes again.
            return web::text(StatusCode::INTERNAL_SERVER_ERROR, "");
        }
        self.done.lock().insert(id);
        web::text(StatusCode::OK, "")
    }

    async fn post(&self, system: &System, path: &str, details: &Value) -> (u16, String) {
        let user = format!("{}:{}", system.name, self.gateway.shared().details);
        let basic = format!("Basic {}", STANDARD.encode(user));
        match self.gateway.ask("POST", path, Some(&basic), &details.to_string()).await {
            Ok(told) => (told.status, told.body),
            Err(error) => (0, error.to_string()),
        }
    }

    /// Keeps an entry, or what it has become, and tells everybody who looks.
    fn show(&self, entry: &Entry) {
        let mut shown = self.shown.lock();
        match shown.iter_mut().find(|known| known.number == entry.number) {
            Some(known) => *known = entry.clone(),
            None => shown.push(entry.clone()),
        }
        let over = shown.len().saturating_sub(MOST_SHOWN);
        shown.drain(..over);
        // Under the lock, so that they arrive in their order. Nobody may be looking.
        let _ = self.changes.send(Arc::new(entry.clone()));
    }

    /// Tells one page what there is, then every change, until it goes.
    pub async fn tell(self: Arc<Self>, mut socket: Socket) {
        let (mut changes, shown) = {
            let shown = self.shown.lock();
            (self.changes.subscribe(), shown.clone())
        };
        let mut open = say(&mut socket, &json!({ "entries": shown })).await;
        while open {
            tokio::select! {
                change = changes.recv() => {
                    let entries = match change {
                        Ok(entry) => json!({ "entries": [*entry] }),
                        Err(_) => json!({ "entries": *self.shown.lock() }),
                    };
                    open = say(&mut socket, &entries).await;
                }
                heard = socket.next() => {
                    open = matches!(heard, Some(Ok(message)) if !message.is_close());
                }
            }
        }
    }
}

/// By the email that the website itself signed; where the system signs none, by its own id.
fn customer(visitor: &Visitor) -> Option<(&'static str, &'static Customer)> {
    if visitor.email.is_empty() {
        let known = CUSTOMERS.iter().find(|known| visitor.verified && known.0 == visitor.id);
        return known.map(|known| ("id", known));
    }
    CUSTOMERS.iter().find(|known| known.1 == visitor.email).map(|known| ("email", known))
}

/// Where it is posted to, and what.
fn details(data: &Data, (_, _, fields): &Customer) -> (String, Value) {
    let Data { account_id, agent_id, visitor } = data;
    let fields = fields.iter().map(|(name, value)| json!({ "name": name, "value": value }));
    let details = json!({
        "AccountId": account_id, "AgentId": agent_id, "VisitorId": visitor.id,
        "Fields": fields.collect::<Vec<_>>(),
    });
    (format!("/api/visitors/{}/details", utf8_percent_encode(&visitor.id, RESERVED)), details)
}

async fn say(socket: &mut Socket, value: &Value) -> bool {
    socket.send(Message::text(value.to_string())).await.is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(id: &str, email: &str, verified: bool) -> Visitor {
        Visitor { id: id.to_owned(), email: email.to_owned(), verified }
    }

    #[test]
    fn a_visitor_is_found_by_the_signed_email_and_without_one_by_the_proven_id() {
        let found = |id, email, verified| {
            customer(&visitor(id, email, verified)).map(|(by, customer)| (by, customer.0))
        };
        assert_eq!(found("user-1", "ana@acme.example", true), Some(("email", "user-123")));
        assert_eq!(found("user-456", "", true), Some(("id", "user-456")));
        // A guest has chosen no such id; and whoever signed in with a foreign email is foreign.
        assert_eq!(found("user-456", "", false), None);
        assert_eq!(found("user-123", "eve@elsewhere.example", true), None);
    }

    #[test]
    fn details_go_back_under_the_names_with_which_the_visitor_came() {
        let visitor = visitor("user/1", "", true);
        let data = Data { account_id: "a".to_owned(), agent_id: String::new(), visitor };
        let (path, details) = details(&data, &CUSTOMERS[0]);
        assert_eq!(path, "/api/visitors/user%2F1/details");
        assert_eq!(details["AccountId"], "a");
        assert_eq!(details["VisitorId"], "user/1");
        assert_eq!(details["Fields"][1], json!({ "name": "Plan", "value": "Gold" }));
    }
}
