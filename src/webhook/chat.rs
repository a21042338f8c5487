//! A chat that may begin: noted with the request, begun with the answer.

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;

use super::{Question, Webhooks};
use crate::clock::UnixTime;
use crate::gate::path::may_be_one_of;
use crate::identity::Visitor;
use crate::plan::{Include, Plan, Site, Starts, Webhook};
use crate::store::outbox::{Delivery, Event, EventKind};
use crate::store::{Change, Chat, Digest, Visits, is_guests};

/// How long a guest without a session is known: no request of his can ever show who he is.
const UNSEEN: Duration = Duration::from_secs(10 * 60);

/// A chat that begins once the backend has answered as it should.
pub struct Beginning {
    site: Arc<str>,
    /// Empty: a WebSocket was asked for, and 101 begins it.
    statuses: Vec<u16>,
    webhooks: Vec<Arc<Webhook>>,
    /// The verified id; none: a guest, who is called after the session.
    id: Option<Arc<str>>,
    verified: bool,
    email: Option<String>,
    name: Option<String>,
    claimed: Option<String>,
    request_id: Arc<str>,
    account_id: Arc<str>,
    agent_id: Arc<str>,
    ttl: Duration,
    /// How long one session's chats are one; none: a session is one per visitor.
    session_ttl: Option<Duration>,
}

/// What of a request says whether it may begin a chat.
pub struct Asked<'a> {
    /// Its method.
    pub method: &'a Method,
    /// Its path, without the query.
    pub path: &'a str,
    /// It asks for a WebSocket.
    pub upgrade: bool,
    /// Its id.
    pub request_id: &'a str,
}

impl Beginning {
    /// What begins if the backend answers so; none, if this request begins no chat, or nobody
    /// is to hear of one. Where the path can be read in several ways, one that fits is enough:
    /// the backend's answer says whether it was read so.
    pub fn of(
        webhooks: &Webhooks,
        site: &Site,
        visitor: &Visitor,
        asked: &Asked<'_>,
    ) -> Option<Self> {
        let website = &site.website;
        let identity = visitor.identity();
        let statuses = match &website.starts {
            Starts::WebSocket if asked.upgrade && identity.is_some() => Vec::new(),
            Starts::Answer { method, path, statuses }
                if method == asked.method && may_be_one_of(path, asked.path) =>
            {
                statuses.clone()
            }
            _ => return None,
        };
        let subscriptions = webhooks.subscriptions(site);
        if subscriptions.is_empty() && !website.heeds_chats() {
            return None;
        }
        let id = identity.and_then(|identity| identity.id.as_deref());
        if id.is_some_and(is_guests) {
            webhooks.tell_misnamed(&site.name);
            return None;
        }
        let id = id.map(Arc::from);
        Some(Self {
            site: site.name.clone(),
            statuses,
            webhooks: subscriptions,
            id,
            verified: identity.is_some(),
            email: identity.and_then(|identity| identity.email.clone()),
            name: identity.and_then(|identity| identity.name.clone()),
            claimed: visitor.claimed.clone(),
            request_id: asked.request_id.into(),
            account_id: website.account_id.clone(),
            agent_id: website.agent_id.clone(),
            ttl: website.ttl,
            session_ttl: site.remembers.session.as_ref().map(|session| session.ttl),
        })
    }

    /// Whether an answer of this status begins it.
    pub fn is_begun_by(&self, status: u16) -> bool {
        if self.statuses.is_empty() { status == 101 } else { self.statuses.contains(&status) }
    }

    /// Begins it, in the session that the request showed or the answer brought, if there is
    /// one, and has a verified visitor asked about as `plan` says. If a chat of this visitor in
    /// the same session has begun already, nobody hears of it; at most he is known again, where
    /// the session has outlived that. Says whether it has begun now.
    ///
    /// Who logs in within his session is somebody else then, whose chat begins.
    pub fn begin(
        self,
        session: Option<Digest>,
        webhooks: &Arc<Webhooks>,
        plan: &Plan,
        now: UnixTime,
    ) -> bool {
        let store = &webhooks.store;
        let session = session.filter(|_| self.session_ttl.is_some());
        let visitor = match (&self.id, &session) {
            (Some(id), _) => id.clone(),
            (None, Some(session)) => store.memory().guest(session),
            (None, None) => format!("g_{}", uuid::Uuid::now_v7().simple()).into(),
        };
        let (key, lasts, known_for): (Arc<str>, _, _) = match (session, self.session_ttl) {
            (Some(session), Some(ttl)) => {
                (format!("{} {visitor}", String::from(session)).into(), ttl, self.ttl)
            }
            // No digest holds a colon.
            _ if self.id.is_some() => (format!("visitor:{visitor}").into(), self.ttl, self.ttl),
            _ => ("".into(), UNSEEN, self.ttl.min(UNSEEN)),
        };
        let is_news = {
            // Of two answers at the same moment one begins it.
            let _beginning = webhooks.beginning.lock();
            let known = store.memory().site(&self.site);
            let is = |said: fn(&Visits, &str, UnixTime) -> bool| {
                known.as_ref().is_some_and(|known| said(known.visits(), &key, now))
            };
            if is(Visits::has_begun) {
                return false;
            }
            let is_news = !is(Visits::counts);
            let heard = self.webhooks.iter().filter(|_| is_news);
            let each = heard.map(|webhook| self.delivery(webhook, &visitor, now));
            let chat = Arc::new(Chat {
                session: key.clone(),
                visitor: visitor.clone(),
                account_id: self.account_id.clone(),
                agent_id: self.agent_id.clone(),
                at: now,
                until: now.after(lasts),
                known_until: now.after(known_for),
                deliveries: each.collect(),
            });
            store.note(Change::Chat { site: self.site.clone(), chat });
            is_news
        };
        let site = plan.sites.iter().find(|site| site.name == self.site);
        if let (Some(site), Some(id)) = (site, self.id) {
            let Self { name, email, request_id, .. } = self;
            webhooks.enrich(site, Question { id, name, email, request_id });
        }
        is_news
    }

    fn delivery(&self, webhook: &Webhook, visitor: &Arc<str>, now: UnixTime) -> Arc<Delivery> {
        let Include { visitor: includes, claimed } = webhook.include;
        let event = Event {
            kind: EventKind::ChatStarted,
            at: now,
            request_id: self.request_id.clone(),
            account_id: self.account_id.clone(),
            agent_id: self.agent_id.clone(),
            verified: self.verified,
            email: self.email.clone().filter(|_| includes),
            name: self.name.clone().filter(|_| includes),
            claimed: self.claimed.clone().filter(|_| claimed),
        };
        let id = uuid::Uuid::now_v7().simple().to_string().into();
        let (print, visitor) = (webhook.print, visitor.clone());
        Arc::new(Delivery { id, webhook: webhook.name.clone(), visitor, event, print })
    }
}

impl Webhooks {
    /// Somebody verified has the id of a guest.
    fn tell_misnamed(&self, site: &str) {
        if self.misnamed.happened(Instant::now()).is_some() {
            tracing::warn!(
                site,
                "a verified visitor has an id like a guest's, g_ and 32 hexadecimal digits: his \
                 chats are told to nobody"
            );
        }
    }
}

#[cfg(test)]
mod tests;
