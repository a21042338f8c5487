//! The example website: the page, the endpoints that sign its visitor in each vendor's own
//! shape, and the CRM that webhooks go to.
//!
//! A real website signs whom its session says; this one has a single customer, always
//! logged in. What it must share with any real one: the secret stays on the server, nobody
//! can ask for somebody else's token, each call gets a fresh one, and nobody may keep it.

use std::sync::Arc;

use http::header::{self, HeaderValue};
use http::{HeaderMap, Method, StatusCode, Uri};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::crm::Crm;
use super::gateway::{self, Gateway, SYSTEMS, System};
use super::web::{self, Answer, Asked};
use super::{inspect, page};
use crate::clock::UnixTime;
use crate::dialect::sign::{self, SigningKey, Subject};
use crate::gate::policy::Mode;

/// The customer.
const ID: &str = "user-123";
const NAME: &str = "Ana Torres";
const EMAIL: &str = "ana@acme.example";

/// Seconds that a token is good for.
const TTL: u64 = 300;

/// The website.
pub struct Website {
    gateway: Arc<Gateway>,
    crm: Arc<Crm>,
}

impl Website {
    /// A website whose chat is behind this gateway.
    pub fn new(gateway: Arc<Gateway>) -> Arc<Self> {
        Arc::new(Self { crm: Crm::new(gateway.clone()), gateway })
    }

    /// Answers one request.
    pub async fn answer(self: Arc<Self>, asked: Asked) -> Answer {
        if !is_own(asked.headers(), asked.method()) {
            return web::text(StatusCode::FORBIDDEN, "This website is for its own pages only.\n");
        }
        let (path, uri) = (asked.uri().path().to_owned(), asked.uri().clone());
        let segments: Vec<&str> = path.split('/').skip(1).collect();
        match (asked.method(), segments.as_slice()) {
            (&Method::GET, [""]) => page::file("index.html"),
            (&Method::GET, ["crm"]) => page::file("crm.html"),
            (&Method::GET, ["crm", "feed"]) => self.feed(asked),
            (_, ["webhooks", name]) => match gateway::system(name) {
                Some(system) => self.crm.receive(system, asked).await,
                None => web::not_found(),
            },
            (&Method::GET, ["assets", name]) => page::file(name),
            (&Method::GET, ["demo.json"]) => web::json(&self.facts()),
            (&Method::GET, ["token", name]) => {
                self.for_system(name, |system| self.token(system, &uri))
            }
            (&Method::GET, ["open", name]) => self.for_system(name, |system| self.open(system)),
            (&Method::POST, ["inspect", name]) => {
                match (gateway::system(name), web::body(asked).await) {
                    (Some(system), Some(question)) => {
                        told(inspect::report(&self.gateway, system, &question))
                    }
                    _ => web::not_found(),
                }
            }
            (&Method::POST, ["rotate", name]) => match gateway::system(name) {
                Some(system) => {
                    told(self.gateway.rotate(system).await.map(|key| json!({ "key": key })))
                }
                None => web::not_found(),
            },
            (&Method::POST, ["mode", name]) => match (gateway::system(name), mode(&uri)) {
                (Some(system), Some(mode)) => {
                    let set = self.gateway.set_mode(system, mode).await;
                    told(set.map(|()| json!({ "mode": mode.name() })))
                }
                _ => web::not_found(),
            },
            (&Method::POST, [power @ ("ban" | "pardon" | "logout"), name]) => {
                match gateway::system(name) {
                    Some(system) => told(self.use_power(power, system).await),
                    None => web::not_found(),
                }
            }
            _ => web::not_found(),
        }
    }

    /// What an operator can do to the customer; the page shows what comes of it.
    async fn use_power(&self, power: &str, system: &System) -> Result<Value, String> {
        let ban = format!("/bans/{ID}");
        let (method, path, body) = match power {
            "ban" => ("PUT", ban.as_str(), json!({ "reason": "the demo's button" })),
            "pardon" => ("DELETE", ban.as_str(), json!({})),
            _ => ("POST", "/logouts", json!({ "id": ID })),
        };
        self.gateway.administer(system, method, path, &body.to_string()).await?;
        Ok(json!({ "done": power }))
    }

    /// What the website's server does, as it happens; for its own pages alone.
    fn feed(&self, asked: Asked) -> Answer {
        if !is_own(asked.headers(), &Method::POST) {
            return web::text(StatusCode::FORBIDDEN, "This website is for its own pages only.\n");
        }
        let crm = self.crm.clone();
        web::upgrade(asked, |socket| crm.tell(socket))
    }

    fn for_system(
        &self,
        name: &str,
        then: impl FnOnce(&System) -> Result<Answer, String>,
    ) -> Answer {
        match gateway::system(name).map(then) {
            Some(Ok(answer)) => answer,
            Some(Err(trouble)) => web::text(StatusCode::INTERNAL_SERVER_ERROR, trouble + "\n"),
            None => web::not_found(),
        }
    }

    /// What the page has to know: where things are, and what the modes are.
    fn facts(&self) -> Value {
        let addresses = self.gateway.addresses();
        let plan = self.gateway.plan();
        let systems: Map<String, Value> = SYSTEMS
            .iter()
            .filter_map(|system| {
                let site = gateway::site(&plan, system)?;
                let facts = json!({
                    "url": self.gateway.url(system), "dialect": system.dialect,
                    "parameter": system.parameter, "mode": site.settings.mode.name(),
                    "key": site.keyring.keys().first().map(|key| &**key.id()),
                });
                Some((system.name.to_owned(), facts))
            })
            .collect();
        json!({
            "systems": systems, "widget": self.gateway.widget(),
            "modes": Mode::ALL.iter().map(|mode| mode.name()).collect::<Vec<_>>(),
            "visitor": { "id": ID, "name": NAME, "email": EMAIL },
            "crm": "/crm", "agents": format!("http://{}/agent", addresses.backend),
            "metrics": format!("http://{}/metrics", addresses.admin),
            "configuration": self.gateway.file().display().to_string(),
        })
    }

    /// The vendor's own shape around a fresh credential. `age` is the demo's own: as if it
    /// had been signed so many seconds ago.
    fn token(&self, system: &System, uri: &Uri) -> Result<Answer, String> {
        let age = web::parameter(uri, "age").and_then(|age| age.parse().ok()).unwrap_or(0);
        let credential = self.signed(system, age)?;
        Ok(match system.dialect {
            "user-hash" => web::json(&json!({ "user_id": ID, "identifier_hash": credential })),
            "amazon-connect" => web::json(&json!({ "data": credential })),
            _ => web::answer(StatusCode::OK, "text/plain", credential),
        })
    }

    /// The chat's own page, for an iframe or a second browser: the credential is in its URL.
    fn open(&self, system: &System) -> Result<Answer, String> {
        let credential = self.signed(system, 0)?;
        let credential = utf8_percent_encode(&credential, NON_ALPHANUMERIC);
        let id =
            if system.dialect == "user-hash" { format!("user_id={ID}&") } else { String::new() };
        let (url, parameter) = (self.gateway.url(system), system.parameter);
        let target = format!("{url}/chat/demo/web?{id}{parameter}={credential}");
        let mut answer = web::text(StatusCode::SEE_OTHER, "");
        let target = HeaderValue::try_from(target).map_err(|error| error.to_string())?;
        answer.headers_mut().insert(header::LOCATION, target);
        Ok(answer)
    }

    fn signed(&self, system: &System, age: u64) -> Result<String, String> {
        let plan = self.gateway.plan();
        let site = gateway::site(&plan, system).ok_or("there is no such site")?;
        let key = site.keyring.keys().first().ok_or("the site has no key")?;
        let at = UnixTime::from_secs(UnixTime::now().as_secs().saturating_sub(age));
        let signing = SigningKey { key, private_pem: None };
        let signed = sign::sign(&site.dialect, signing, &customer(system), at, Some(TTL));
        signed.map(|signed| signed.credential).map_err(|error| error.to_string())
    }
}

/// What the website knows of its customer, as far as the system signs it.
fn customer(system: &System) -> Subject {
    // A number of its own makes no two tokens alike, even within a second.
    let unique = uuid::Uuid::now_v7().simple().to_string();
    let attributes = match system.dialect {
        "user-hash" => vec![],
        // Strings only; all that this vendor signs lies among them.
        "amazon-connect" => vec![("isPremiumUser", "true"), ("visit", unique.as_str())],
        "ringcentral-engage" => vec![("company", "Acme"), ("jti", unique.as_str())],
        _ => vec![("plan", "gold"), ("jti", unique.as_str())],
    };
    let attributes =
        attributes.into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect();
    let (id, name, email) = (Some(ID.into()), Some(NAME.into()), Some(EMAIL.into()));
    Subject { id, name, email, attributes }
}

fn mode(uri: &Uri) -> Option<Mode> {
    let name = web::parameter(uri, "mode")?;
    Mode::ALL.iter().find(|mode| mode.name() == name).copied()
}

fn told<E: std::fmt::Display>(outcome: Result<Value, E>) -> Answer {
    match outcome {
        Ok(value) => web::json(&value),
        Err(trouble) => web::text(StatusCode::INTERNAL_SERVER_ERROR, format!("{trouble}\n")),
    }
}

/// Whether a request is this website's own: not under a name that somebody pointed at
/// loopback, and a change not from somebody else's page.
fn is_own(headers: &HeaderMap, method: &Method) -> bool {
    let text = |name| headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let Some(host) = text(header::HOST) else { return false };
    let name = host.rsplit_once(':').map_or(host, |(name, _)| name);
    let origin = text(header::ORIGIN).is_none_or(|origin| origin == format!("http://{host}"));
    matches!(name, "127.0.0.1" | "localhost") && (*method == Method::GET || origin)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(host: &str, origin: Option<&str>, method: Method) -> bool {
        let mut headers = HeaderMap::new();
        headers.insert(header::HOST, host.parse().unwrap());
        if let Some(origin) = origin {
            headers.insert(header::ORIGIN, origin.parse().unwrap());
        }
        is_own(&headers, &method)
    }

    #[test]
    fn only_its_own_pages_may_change_something() {
        assert!(own("127.0.0.1:8000", None, Method::GET));
        assert!(own("localhost:8000", Some("http://localhost:8000"), Method::POST));
        assert!(!own("127.0.0.1:8000", Some("http://evil.example"), Method::POST));
        assert!(!own("rebound.example:8000", None, Method::GET));
    }
}
