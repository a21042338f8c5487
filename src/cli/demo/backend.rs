//! The example chat backend: a few HTTP endpoints, the room's WebSockets, an agents' view.
//!
//! It never sees a visitor's key or token and verifies none. Whatever it knows of a visitor it
//! read from the gateway's headers ([`heard`](super::heard)), or was told by the gateway itself
//! while the chat goes on, which is signed. Because a page cannot look behind a gateway, its
//! answers say what it received.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::{Method, StatusCode};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::heard::{self, Visitor};
use super::room::Room;
use super::web::{self, Answer, Asked};
use super::{page, signature};
use crate::clock::UnixTime;

/// The backend.
pub struct Backend {
    room: Arc<Room>,
    /// The website's origins, whose pages may read the answers.
    origins: Vec<String>,
    /// What the gateway signs with when it is the one that asks.
    push: String,
}

/// What the gateway passes on, as far as it is looked at.
#[derive(Deserialize)]
struct Told {
    site: String,
    id: String,
    details: Map<String, Value>,
}

impl Backend {
    /// A backend with an empty room.
    pub fn new(origins: Vec<String>, push: String) -> Arc<Self> {
        Arc::new(Self { room: Room::new(), origins, push })
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, asked: Asked) -> Answer {
        let origin = asked.headers().get(header::ORIGIN).cloned();
        let mut answer = self.route(asked).await;
        let headers = answer.headers_mut();
        headers.append(header::VARY, HeaderValue::from_static("Origin"));
        if let Some(origin) = origin.filter(|origin| self.origins.iter().any(|own| own == origin)) {
            headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        }
        answer
    }

    async fn route(&self, asked: Asked) -> Answer {
        let path = asked.uri().path().to_owned();
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (asked.method(), segments.as_slice()) {
            (&Method::GET, ["room"]) => self.room(asked),
            (&Method::GET, ["agent", "feed"]) => self.feed(asked),
            (&Method::GET, ["hello"]) => hello(&asked),
            (&Method::GET, ["messages"])
            | (&Method::POST, ["messages"] | ["connectwidget", "api", _, "start"]) => {
                self.arrive(asked).await
            }
            (&Method::POST, ["details"]) => self.details(asked).await,
            (&Method::GET, ["agent"] | ["agent", ""]) => page::file("agent.html"),
            // RingCentral's iframe; here every system has one.
            (&Method::GET, ["chat", "demo", "web"]) => {
                self.room.arrive(&Visitor::of(&asked));
                page::file("chat.html")
            }
            (&Method::GET, ["agent" | "chat", .., "assets", name]) => page::file(name),
            _ => web::not_found(),
        }
    }

    /// Creates or matches the visitor; answers with what was received.
    async fn arrive(&self, asked: Asked) -> Answer {
        let (parts, body) = asked.into_parts();
        let body = web::body(http::Request::new(body)).await;
        let Some(body) = body else {
            return web::text(StatusCode::PAYLOAD_TOO_LARGE, "The body is too long.\n");
        };
        let asked = http::Request::from_parts(parts, Bytes::new());
        let conversation = self.room.arrive(&Visitor::of(&asked));
        let received = heard::request(&asked, &body);
        web::json(&json!({ "received": received, "conversation": conversation }))
    }

    /// What the website's server has said of a visitor, as the gateway passes it on. A visitor
    /// can send such a request too, and cannot sign it.
    async fn details(&self, asked: Asked) -> Answer {
        let (parts, body) = asked.into_parts();
        let body = web::body(http::Request::new(body)).await.unwrap_or_default();
        if !signature::standard(&self.push, &parts.headers, &body, UnixTime::now()) {
            return web::text(StatusCode::UNAUTHORIZED, "The signature does not fit.\n");
        }
        match serde_json::from_slice(&body) {
            Ok(Told { site, id, details }) => {
                self.room.learn(&site, &id, &Value::Object(details));
                web::text(StatusCode::OK, "")
            }
            Err(_) => web::text(StatusCode::BAD_REQUEST, "These are no details.\n"),
        }
    }

    fn room(&self, asked: Asked) -> Answer {
        let (room, visitor) = (self.room.clone(), Visitor::of(&asked));
        let received = heard::request(&asked, b"");
        web::upgrade(asked, |socket| room.visit(visitor, received, socket))
    }

    /// The agents' feed of one site. Through the gateway that is the site's own; agents who
    /// come straight to the backend name it.
    fn feed(&self, asked: Asked) -> Answer {
        let site = match Visitor::of(&asked).site {
            site if site.is_empty() => web::parameter(asked.uri(), "site").unwrap_or_default(),
            site => site,
        };
        let room = self.room.clone();
        web::upgrade(asked, |socket| room.attend(site, socket))
    }
}

/// For people with `curl`: who they are, and what was received.
fn hello(asked: &Asked) -> Answer {
    let visitor = Visitor::of(asked);
    let mut text = match (&visitor.id, visitor.verified) {
        (Some(id), true) => {
            let name = visitor.name.as_deref().unwrap_or("whoever you are");
            format!("✓ Hello {name}: you are verified as {id}.\n")
        }
        (None, true) => "✓ Hello: you are verified.\n".to_owned(),
        (_, false) => format!(
            "Hello, guest ({}).\n",
            visitor.reason.as_deref().unwrap_or("you did not come through the gateway")
        ),
    };
    text.push_str("\nThis is all that the chat backend received:\n\n");
    text.push_str(&format!("{} {}\n", asked.method(), asked.uri()));
    for (name, value) in asked.headers() {
        let name = heard::capitals(name.as_str());
        text.push_str(&format!("{name}: {}\n", String::from_utf8_lossy(value.as_bytes())));
    }
    web::text(StatusCode::OK, text)
}
