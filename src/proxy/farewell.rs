//! Refusing a WebSocket within the WebSocket (`refuse_upgrade: close`).
//!
//! A browser tells a page nothing of a handshake that failed, not even its status. So the
//! handshake is accepted, and a Close frame says why: code 3003 (Forbidden) where the
//! refusal is a 403, else 3000 (Unauthorized), and the reason's word, unless refusals are
//! terse. The backend hears nothing of it.
//!
//! A handshake that cannot be accepted, and a fault, which is no judgement of identity,
//! are refused over HTTP.

use std::time::Duration;

use aws_lc_rs::digest::{SHA1_FOR_LEGACY_USE_ONLY, digest};
use base64::prelude::{BASE64_STANDARD, Engine as _};
use bytes::BytesMut;
use http::header::{self, HeaderValue};
use http::{HeaderMap, StatusCode};
use pingora::protocols::Stream;
use pingora::protocols::http::date::get_cached_date;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::frames::{Frames, close_from_server};
use super::subprotocol;
use super::wire::{self, Answer};
use crate::dialect::Carrier;
use crate::gate::Refusal;
use crate::plan::{ErrorStyle, RefuseUpgrade, Settings, Site};
use crate::refusal::REQUEST_ID;

/// Close codes that IANA registers for WebSockets.
const UNAUTHORIZED: u16 = 3000;
const FORBIDDEN: u16 = 3003;

/// RFC 6455 §1.3.
const GUID: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";

/// How long the client may take to say goodbye too.
const PATIENCE: Duration = Duration::from_secs(1);

/// An accepted handshake that is closed at once.
#[derive(Debug)]
pub struct Farewell {
    code: u16,
    reason: &'static str,
    accept: HeaderValue,
    protocol: Option<HeaderValue>,
}

impl Farewell {
    /// The farewell of a refused handshake, where the route wants one and the handshake
    /// allows it.
    pub fn of(
        refusal: &Refusal,
        site: &Site,
        settings: &Settings,
        handshake: &HeaderMap,
        style: ErrorStyle,
    ) -> Option<Self> {
        let reason =
            refusal.reason().filter(|_| settings.refuse_upgrade == RefuseUpgrade::Close)?;
        Some(Self {
            code: if reason.status() == 403 { FORBIDDEN } else { UNAUTHORIZED },
            reason: match style {
                ErrorStyle::Helpful => reason.code(),
                ErrorStyle::Terse => "",
            },
            accept: accept(handshake)?,
            protocol: selected(handshake, site, settings),
        })
    }

    /// Accepts, closes, and waits a moment for the client to do the same.
    pub async fn say(self, mut stream: Stream, request_id: &str) {
        let mut headers = HeaderMap::new();
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept);
        headers.insert(header::DATE, get_cached_date());
        if let Some(protocol) = self.protocol {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, protocol);
        }
        if let Ok(id) = HeaderValue::from_str(request_id) {
            headers.insert(REQUEST_ID, id);
        }
        let status = StatusCode::SWITCHING_PROTOCOLS;
        let reason = status.canonical_reason().unwrap_or_default().to_owned();
        let mut bytes = wire::answer_head(&Answer { status, reason, headers });
        bytes.extend_from_slice(&close_from_server(self.code, self.reason));
        if stream.write_all(&bytes).await.is_err() || stream.flush().await.is_err() {
            return;
        }
        let _ = tokio::time::timeout(PATIENCE, until_closed(&mut stream)).await;
        wire::close_lingering(stream).await;
    }
}

/// Reads until the client's Close frame, or its end.
async fn until_closed(stream: &mut Stream) {
    let mut frames = Frames::default();
    let mut buffer = BytesMut::with_capacity(1024);
    while !(frames.closing() && frames.at_boundary()) {
        buffer.clear();
        match stream.read_buf(&mut buffer).await {
            Ok(read) if read > 0 => frames.pass(&buffer),
            _ => return,
        }
    }
}

/// The answer to the handshake's key (RFC 6455 §4.2.2), if it is one that can be accepted.
fn accept(handshake: &HeaderMap) -> Option<HeaderValue> {
    let only = |name| {
        let mut values = handshake.get_all(name).iter();
        values.next().filter(|_| values.next().is_none())
    };
    only(header::SEC_WEBSOCKET_VERSION).filter(|version| version.as_bytes() == b"13")?;
    let key = only(header::SEC_WEBSOCKET_KEY)?.as_bytes();
    BASE64_STANDARD.decode(key).ok().filter(|nonce| nonce.len() == 16)?;
    let hash = digest(&SHA1_FOR_LEGACY_USE_ONLY, &[key, GUID].concat());
    HeaderValue::from_str(&BASE64_STANDARD.encode(hash)).ok()
}

/// What the answer selects: the first offer that is no credential, of whatever dialect,
/// else the first.
fn selected(handshake: &HeaderMap, site: &Site, settings: &Settings) -> Option<HeaderValue> {
    let is_credential = |offer: &HeaderValue| {
        let mut sources = site.proofs(settings).flat_map(|proof| proof.sources);
        sources.any(|source| match &source.carrier {
            Carrier::Protocol { names } => offer.as_bytes().starts_with(names.proof.as_bytes()),
            _ => false,
        })
    };
    let mut offers = subprotocol::offered(handshake);
    let first = offers.next()?;
    if !is_credential(&first) {
        return Some(first);
    }
    offers.find(|offer| !is_credential(offer)).or(Some(first))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Dialect, Names, Reason, Source};
    use crate::gate::{Fault, testing};
    use crate::plan::{Accepted, Plan};

    fn handshake(fields: &[(&str, &str)]) -> HeaderMap {
        testing::headers(
            &[
                &[
                    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
                    ("sec-websocket-version", "13"),
                ],
                fields,
            ]
            .concat(),
        )
    }

    /// A site whose credentials come as `countersign.jwt.…`, and those of a further dialect
    /// as `moved.…`.
    fn plan(refuse_upgrade: RefuseUpgrade) -> Plan {
        let dialect = |start: &str| {
            let names = Names { proof: start.into(), ..Names::default() };
            let source = Source { carrier: Carrier::Protocol { names }, shared: false };
            Dialect { sources: vec![source], ..testing::token_dialect() }
        };
        let mut plan = testing::PlanBuilder::new(dialect("countersign.jwt."))
            .with(|settings| settings.refuse_upgrade = refuse_upgrade)
            .build();
        let further = dialect("moved.");
        plan.sites[0].accepts.push(Accepted {
            values: crate::gate::contract::SiteValues::new("acme-support", &further.name),
            dialect: further,
            keyring: Default::default(),
            key_sets: Default::default(),
        });
        plan
    }

    fn farewell(refusal: &Refusal, handshake: &HeaderMap, style: ErrorStyle) -> Option<Farewell> {
        of(&plan(RefuseUpgrade::Close), refusal, handshake, style)
    }

    fn of(plan: &Plan, refusal: &Refusal, to: &HeaderMap, style: ErrorStyle) -> Option<Farewell> {
        Farewell::of(refusal, &plan.sites[0], &plan.sites[0].settings, to, style)
    }

    #[test]
    fn the_code_and_the_reason_say_what_the_status_would() {
        for (reason, code) in [
            (Reason::Expired, UNAUTHORIZED),
            (Reason::Banned, FORBIDDEN),
            (Reason::OriginNotAllowed, FORBIDDEN),
            (Reason::Unavailable, UNAUTHORIZED),
        ] {
            let refusal = Refusal::identity(reason, "why");
            let said = farewell(&refusal, &handshake(&[]), ErrorStyle::Helpful).unwrap();
            assert_eq!((said.code, said.reason), (code, reason.code()));
            assert_eq!(said.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", "RFC 6455 §1.3");
            let terse = farewell(&refusal, &handshake(&[]), ErrorStyle::Terse).unwrap();
            assert_eq!((terse.code, terse.reason), (code, ""));
        }
    }

    #[test]
    fn what_cannot_be_accepted_or_is_a_fault_is_refused_over_http() {
        let refusal = Refusal::identity(Reason::Expired, "why");
        for fields in [
            &[("sec-websocket-version", "12")][..],
            &[("sec-websocket-version", "13"), ("sec-websocket-key", "c2hvcnQ=")],
            &[("sec-websocket-version", "13")],
        ] {
            assert!(farewell(&refusal, &testing::headers(fields), ErrorStyle::Helpful).is_none());
        }
        let fault = Refusal::fault(Fault::BadRequest, "why");
        assert!(farewell(&fault, &handshake(&[]), ErrorStyle::Helpful).is_none());
        let http = plan(RefuseUpgrade::Http);
        assert!(of(&http, &refusal, &handshake(&[]), ErrorStyle::Helpful).is_none());
    }

    #[test]
    fn the_answer_selects_what_was_offered_and_no_credential_where_there_is_a_choice() {
        let refusal = Refusal::identity(Reason::Expired, "why");
        for (offered, expected) in [
            (None, None),
            (Some("chat, countersign.jwt.ey1"), Some("chat")),
            (Some("countersign.jwt.ey1, chat, other"), Some("chat")),
            (Some("countersign.jwt.ey1"), Some("countersign.jwt.ey1")),
            (Some("moved.ey1, chat"), Some("chat")),
        ] {
            let fields: Vec<_> =
                offered.iter().map(|offer| ("sec-websocket-protocol", *offer)).collect();
            let said = farewell(&refusal, &handshake(&fields), ErrorStyle::Helpful).unwrap();
            let selected = said.protocol.map(|value| value.to_str().unwrap().to_owned());
            assert_eq!(selected.as_deref(), expected);
        }
    }
}
