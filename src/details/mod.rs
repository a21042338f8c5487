//! Details of a visitor, said by the website's server: `POST /api/visitors/{id}/details`, as
//! LiveSupporti documents it.
//!
//! The admin listener takes them for every site; a site's own listeners do where it has
//! `details.public: true`, from whoever [`may_speak`]. Whatever listener a request came by,
//! it is judged here alone: first its credentials, then all else, and what is not right is
//! answered with a sentence and stores nothing. What is stored is durable before the answer.
//!
//! - The path is ours only as it is written here, whatever the method; other spellings of it
//!   (`//`, `%61pi`, a final `/`) are the backend's like any other path. No backend can take
//!   what was meant for us for a visitor's word: it carries no visitor's credential.
//! - A client who fails 30 times within ten seconds is not listened to until they are over
//!   (429), nor are right credentials: they could have been guessed.

mod credentials;
mod post;

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use http::{HeaderMap, HeaderValue, Method, header};

use self::post::Post;
use crate::clock::UnixTime;
use crate::pace::{Pace, WINDOW};
use crate::plan::{DetailsApi, Site};
use crate::refusal::{Problem, REQUEST_ID, Reply};
use crate::store::{Change, Store};
use crate::webhook::Webhooks;

pub use post::MOST_BYTES;

const CHALLENGE: HeaderValue =
    HeaderValue::from_static("Basic realm=\"countersign\", charset=\"UTF-8\"");

/// The visitor's id, as it stands in a path at which details are posted.
pub fn place(path: &str) -> Option<&str> {
    let part = path.strip_prefix("/api/visitors/")?.strip_suffix("/details")?;
    (!part.contains('/')).then_some(part)
}

/// How a request came to one of a site's own listeners.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// Over TLS, which ended here.
    pub tls: bool,
    /// From a peer in `trusted_proxies`, or by a Unix socket.
    pub trusted: bool,
    /// From this machine.
    pub loopback: bool,
}

/// Whether a password that came this way may have been read on it by anybody.
pub fn may_speak(details: &DetailsApi, way: Way) -> bool {
    way.tls || way.trusted || way.loopback || details.allow_cleartext
}

/// The body of a request.
#[derive(Clone, Copy, Debug)]
pub enum Body<'a> {
    /// All of it, at most [`MOST_BYTES`].
    Whole(&'a [u8]),
    /// There is more.
    TooLarge,
    /// It did not arrive, or not in time.
    Broken,
}

/// A request to be judged.
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// The visitor's id in its path, still encoded: [`place`].
    pub place: &'a str,
    /// Its header fields.
    pub headers: &'a HeaderMap,
    /// Its body.
    pub body: Body<'a>,
}

/// Why details are not taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    status: u16,
    detail: Cow<'static, str>,
}

impl Refusal {
    fn new(status: u16, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { status, detail: detail.into() }
    }

    /// Of whoever would show a password to everybody on the way.
    pub fn of_cleartext() -> Self {
        let detail = "details are not taken in clear text: post them over TLS, or to the admin \
                      listener, or set `details.allow_cleartext: true`";
        Self::new(400, detail)
    }

    /// The problem's `code`.
    pub const fn code(&self) -> &'static str {
        self.words().0
    }

    /// The word for it, and the title.
    const fn words(&self) -> (&'static str, &'static str) {
        match self.status {
            401 => ("unauthorized", "Unauthorized"),
            405 => ("method_not_allowed", "Method not allowed"),
            429 => ("rate_limited", "Too many requests"),
            503 => ("store_unavailable", "Store unavailable"),
            _ => ("bad_request", "Bad request"),
        }
    }
}

/// Takes details in.
pub struct Details {
    store: Arc<Store>,
    webhooks: Arc<Webhooks>,
    failures: Pace,
}

impl Details {
    /// Into this store; whoever is to hear of them does so through these.
    pub fn new(store: Arc<Store>, webhooks: Arc<Webhooks>) -> Self {
        Self { store, webhooks, failures: Pace::default() }
    }

    /// The one of these sites whose credentials a request has.
    ///
    /// # Errors
    /// None's (401), or its client has been wrong too often (429).
    pub fn admit<'p>(
        &self,
        sites: impl Iterator<Item = &'p Site>,
        headers: &HeaderMap,
        client: Option<IpAddr>,
        now: Instant,
    ) -> Result<&'p Site, Refusal> {
        if self.failures.is_over(0, client, now) {
            return Err(Refusal::new(429, "too many wrong credentials have come from you"));
        }
        credentials::site(sites, headers).ok_or_else(|| {
            self.failures.permits(0, client, now);
            let detail = "send the user name and the password of the site's `details:` by HTTP \
                          Basic";
            Refusal::new(401, detail)
        })
    }

    /// Takes in what was posted by whoever has been admitted to the site; it is durable then.
    ///
    /// # Errors
    /// What is wrong with it (400, 405), or that it could not be kept (503): nothing is
    /// stored.
    pub async fn take(&self, site: &Site, asked: &Asked<'_>, now: UnixTime) -> Result<(), Refusal> {
        let change = self.read(site, asked, now)?;
        let written = self.store.write(change).await;
        written.map_err(|outage| Refusal::new(503, format!("{outage}; nothing has changed")))
    }

    fn read(&self, site: &Site, asked: &Asked<'_>, now: UnixTime) -> Result<Change, Refusal> {
        if *asked.method != Method::POST {
            return Err(Refusal::new(405, "details are posted"));
        }
        let wrong = |detail| Refusal::new(400, detail);
        let visitor = post::visitor(asked.place).map_err(wrong)?;
        post::check_type(asked.headers).map_err(wrong)?;
        let body = match asked.body {
            Body::Whole(body) => body,
            Body::TooLarge => return Err(wrong("the body is larger than 65536 bytes".into())),
            Body::Broken => return Err(wrong("the body did not arrive as announced".into())),
        };
        let post = Post::read(body, &visitor).map_err(wrong)?;
        let memory = self.store.memory().site(&site.name);
        let known = memory.and_then(|memory| memory.visits().visit(&visitor, now));
        post.check_against(known.as_ref()).map_err(wrong)?;
        Ok(self.webhooks.details_posted(site, &visitor, post.fields, now))
    }
}

/// The answer to whoever posted.
pub fn reply(taken: Result<(), Refusal>, request_id: &str) -> Reply {
    let Err(refusal) = taken else { return taken_reply(request_id) };
    let (code, title) = refusal.words();
    let mut reply = Problem::new(refusal.status, code, title, &refusal.detail, request_id).reply();
    match refusal.status {
        401 => reply.headers.push((header::WWW_AUTHENTICATE, CHALLENGE)),
        405 => reply.headers.push((header::ALLOW, HeaderValue::from_static("POST"))),
        429 => reply.headers.push((header::RETRY_AFTER, WINDOW.as_secs().into())),
        _ => {}
    }
    reply
}

fn taken_reply(request_id: &str) -> Reply {
    let mut headers = vec![
        (header::CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (header::CONTENT_LENGTH, HeaderValue::from_static("2")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    headers.extend(HeaderValue::from_str(request_id).ok().map(|id| (REQUEST_ID, id)));
    Reply { status: 200, headers, body: "{}".into() }
}

#[cfg(test)]
mod tests;
