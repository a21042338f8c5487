//! Details of visitors at a site's own listeners (`details.public: true`): one path that the
//! backend does not see. Who posts is no visitor, so no identity is judged.
//!
//! A WebSocket handshake at that path is the backend's like any other.

use std::net::IpAddr;
use std::time::Instant;

use pingora::proxy::Session;

use super::hooks::{Gate, path_of, view};
use super::journey::Journey;
use crate::clock::UnixTime;
use crate::details::{self, Asked, MOST_BYTES, Refusal, Way};
use crate::gate::host::Host;
use crate::gate::{Body, Peer, RequestView, Wanted};
use crate::plan::{Plan, Site, TrustedProxies};
use crate::refusal::Reply;
use crate::reload::Generation;

/// All that is read of a body.
const WANTED: Wanted = Wanted { limit: MOST_BYTES, larger_passes: false };

/// The answer, if the request is for this path and its site takes details here.
pub(super) async fn answer(
    gate: &Gate,
    session: &mut Session,
    journey: &mut Journey,
) -> Option<Reply> {
    let place = details::place(path_of(session.req_header()))?.to_owned();
    let generation = journey.generation()?.clone();
    let head = view(session, Body::Unseen);
    let site = open_site(&generation.plan, &head)?;
    journey.enter(&head, &generation, Some(site));
    let taken = take(gate, session, journey, &generation, site, &place).await;
    Some(journey.tell_poster(taken))
}

/// The site of the request's host, if it takes details here.
fn open_site<'p>(plan: &'p Plan, head: &RequestView<'_>) -> Option<&'p Site> {
    let host = Host::of(head).ok()?;
    let site = plan.sites.get(plan.hosts.find(&host.name)?)?;
    site.website.details.as_ref().is_some_and(|details| details.public).then_some(site)
}

async fn take(
    gate: &Gate,
    session: &mut Session,
    journey: &mut Journey,
    generation: &Generation,
    site: &Site,
    place: &str,
) -> Result<(), Refusal> {
    let plan = &generation.plan;
    let head = view(session, Body::Unseen);
    let api = site.website.details.as_deref();
    if !api.is_some_and(|api| details::may_speak(api, way(&head, &plan.trusted_proxies))) {
        return Err(Refusal::of_cleartext());
    }
    let only = std::iter::once(site);
    gate.details().admit(only, head.headers, journey.client, Instant::now())?;
    let mut body = std::mem::take(&mut journey.body);
    if !session.as_mut().is_body_empty() {
        body.receive(session, WANTED, plan.timeouts.body).await;
    }
    let head = view(session, Body::Unseen);
    let body = match body.seen() {
        Body::Whole(bytes) => details::Body::Whole(bytes),
        Body::Unseen => details::Body::Whole(b""),
        Body::TooLarge => details::Body::TooLarge,
        Body::Late | Body::Broken | Body::Elsewhere => details::Body::Broken,
    };
    let asked = Asked { method: head.method, place, headers: head.headers, body };
    gate.details().take(site, &asked, UnixTime::now()).await
}

fn way(head: &RequestView<'_>, trusted: &TrustedProxies) -> Way {
    Way {
        tls: head.tls,
        trusted: head.peer.is_trusted(trusted),
        loopback: matches!(head.peer, Peer::Ip(address) if is_loopback(address)),
    }
}

fn is_loopback(address: IpAddr) -> bool {
    address.to_canonical().is_loopback()
}
