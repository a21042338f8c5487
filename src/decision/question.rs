//! What a gateway asks: which of its fields hold what the visitor's request was.
//!
//! A field counts in every spelling that a careless reader takes for it: what a client sends as
//! `X_Forwarded_Uri` beside the gateway's own makes the question one of two meanings.

use http::{HeaderMap, HeaderName, HeaderValue, Method, header};

use super::envoy;
use crate::gate::contract::folds_alike;
use crate::plan::{Carriers, Decision};
use crate::proxy::head::{self, Parsed};

/// The visitor's request, as the gateway tells it.
pub struct Question {
    /// Its method.
    pub method: Method,
    /// Its target, as it was sent.
    pub target: String,
    /// Its fields, `Host` among them, without those that the gateway added.
    pub headers: HeaderMap,
}

/// Why a question cannot be understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Confusion {
    /// The gateway does not send what it should.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Somebody else sends it, too.
    #[error("`{0}` is there more than once")]
    Doubled(&'static str),
    /// What the visitor sent is no request. The gateway has told it as it should.
    #[error("{0} is malformed")]
    Malformed(&'static str),
    /// The question does not begin with the prefix that is configured.
    #[error("the path does not begin with `path_prefix`")]
    OtherPrefix,
}

impl Confusion {
    /// Whether nobody but who runs the gateway can mend it.
    pub const fn is_the_gateways(&self) -> bool {
        !matches!(self, Self::Malformed(_))
    }
}

impl Question {
    /// Reads a question.
    ///
    /// # Errors
    /// A field is missing or there twice, or what it holds is none.
    pub fn of(decision: &Decision, asked: Parsed) -> Result<Self, Confusion> {
        let Parsed { method, target, mut headers, .. } = asked;
        let question = match decision.gateway.carriers() {
            Some(carriers) => told(carriers, headers)?,
            None => {
                one(&headers, "host")?;
                let target = target.strip_prefix(&decision.path_prefix).map(str::to_owned);
                let target = target.ok_or(Confusion::OtherPrefix)?;
                // Another gateway's fields are the client's here, and mean nothing.
                headers.remove(header::CONTENT_LENGTH);
                envoy::unfold(&mut headers);
                Self { method, target, headers }
            }
        };
        head::examine_line(question.method.as_str(), question.target.as_bytes())
            .map_err(|_| Confusion::Malformed("the request line"))?;
        Ok(question)
    }

    /// Whether the request is a WebSocket handshake. Gateways drop `Upgrade` from what they
    /// ask, as it concerns one connection only, but none of the handshake's own fields.
    pub fn is_upgrade(&self) -> bool {
        const OF_HANDSHAKES: [HeaderName; 3] = [
            header::SEC_WEBSOCKET_KEY,
            header::SEC_WEBSOCKET_VERSION,
            header::SEC_WEBSOCKET_PROTOCOL,
        ];
        let upgrades = self.headers.get_all(header::UPGRADE).iter().any(|value| {
            let mut words = value.as_bytes().split(|byte| *byte == b',');
            words.any(|word| word.trim_ascii().eq_ignore_ascii_case(b"websocket"))
        });
        upgrades || OF_HANDSHAKES.iter().any(|name| self.headers.contains_key(name))
    }
}

fn told(carriers: Carriers, mut headers: HeaderMap) -> Result<Question, Confusion> {
    let Carriers { method, host, uri } = carriers;
    let (told_method, target) = (one(&headers, method)?, one(&headers, uri)?);
    let told_host = one(&headers, host)?.clone();
    let told_method = Method::from_bytes(told_method.as_bytes())
        .map_err(|_| Confusion::Malformed("the method"))?;
    let target = target.to_str().map_err(|_| Confusion::Malformed("the request target"))?;
    let target = target.to_owned();
    for name in [method, host, uri] {
        headers.remove(name);
    }
    // That of the question is our own name.
    headers.insert(header::HOST, told_host);
    Ok(Question { method: told_method, target, headers })
}

/// The one value of a field, in whatever spelling it is there.
fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<&'h HeaderValue, Confusion> {
    // One in another spelling alone is nobody's but the client's.
    let value =
        headers.get(name).filter(|value| !value.is_empty()).ok_or(Confusion::Missing(name))?;
    let alike = headers.iter().filter(|(sent, _)| folds_alike(sent.as_str(), name));
    if alike.count() == 1 { Ok(value) } else { Err(Confusion::Doubled(name)) }
}
