//! Chats and what is said of visitors: into a call of `apply.lua`, and back.

use std::sync::Arc;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, Pipeline};

use super::layout::{self, ms};
use super::link::Trouble;
use super::shared::Shared;
use crate::clock::UnixTime;
use crate::store::change::Change;
use crate::store::outbox::{Delivery, Progress};
use crate::store::visits::{Chat, MOST_FIELDS, Posted, Visit};

/// How many visitors are asked for in one round trip.
const PAGE: usize = 500;

/// A chat without what is to be told of it.
pub fn bare(chat: &Chat) -> Arc<Chat> {
    Arc::new(Chat { deliveries: Vec::new(), ..chat.clone() })
}

/// A chat as the log tells of it: to whom something is to be told, so that whoever delivers
/// wakes, but nothing of the person.
pub fn impersonal(chat: &Chat) -> Arc<Chat> {
    let without = |delivery: &Arc<Delivery>| {
        let mut delivery = Delivery::clone(delivery);
        let event = &mut delivery.event;
        (event.email, event.name, event.claimed) = (None, None, None);
        Arc::new(delivery)
    };
    let deliveries = chat.deliveries.iter().map(without).collect();
    Arc::new(Chat { deliveries, ..chat.clone() })
}

/// The arguments of a chat that begins; `name` is its visitor's.
pub fn chat<'a>(call: &'a mut Cmd, name: &str, chat: &Chat) -> &'a mut Cmd {
    call.arg("chat").arg(name).arg(&*chat.session);
    call.arg(ms(chat.at)).arg(ms(chat.until)).arg(ms(chat.known_until));
    call.arg(&*chat.account_id).arg(&*chat.agent_id);
    call.arg(serde_json::to_string(&*bare(chat)).unwrap_or_default());
    deliveries(call, &chat.deliveries, chat.at)
}

/// The arguments of something that was said; `visit` is what memory knows of its visitor.
pub fn details<'a>(
    call: &'a mut Cmd,
    name: &str,
    posted: &Posted,
    visit: Option<&Visit>,
) -> &'a mut Cmd {
    call.arg("details").arg(name).arg(ms(posted.at)).arg(ms(posted.until)).arg(MOST_FIELDS);
    call.arg(serde_json::to_string(&posted.fields).unwrap_or_default());
    match visit {
        Some(visit) => call.arg(&*visit.account_id).arg(&*visit.agent_id).arg(ms(visit.at)),
        None => call.arg("").arg("").arg(""),
    };
    deliveries(call, &posted.deliveries, posted.at)
}

fn deliveries<'a>(call: &'a mut Cmd, deliveries: &[Arc<Delivery>], at: UnixTime) -> &'a mut Cmd {
    call.arg(serde_json::to_string(&Progress::fresh(at)).unwrap_or_default());
    for delivery in deliveries {
        call.arg(&*delivery.webhook).arg(&*delivery.id).arg(delivery.event.kind.name());
        call.arg(serde_json::to_string(&**delivery).unwrap_or_default());
    }
    call
}

/// A visitor: where, and who.
pub type Name = (Arc<str>, Arc<str>);
/// What Redis has of a visitor: account, agent, when, until when, fields.
type Kept = (Option<String>, Option<String>, Option<u64>, Option<u64>, Option<Vec<u8>>);

fn fetch(calls: &mut Pipeline, (site, visitor): &Name) {
    calls.cmd("HMGET").arg(format!("countersign:visitor:{site}/{visitor}"));
    calls.arg("account").arg("agent").arg("at").arg("until").arg("fields");
}

fn visit((account, agent, at, until, fields): Kept) -> Option<Visit> {
    let fields = match fields {
        Some(fields) => serde_json::from_slice(&fields).ok()?,
        None => Vec::new(),
    };
    Some(Visit {
        account_id: account?.into(),
        agent_id: agent?.into(),
        at: UnixTime::from_millis(at?),
        until: UnixTime::from_millis(until?),
        fields,
        ..Visit::default()
    })
}

/// What is known of these visitors, in their order; none of those who are gone.
///
/// # Errors
/// Redis cannot be read.
pub async fn fetch_visits(
    connection: &mut MultiplexedConnection,
    names: &[Name],
) -> Result<Vec<Option<Visit>>, Trouble> {
    let mut visits = Vec::with_capacity(names.len());
    for page in names.chunks(PAGE) {
        let mut calls = redis::pipe();
        page.iter().for_each(|name| fetch(&mut calls, name));
        let kept: Vec<Kept> = calls.query_async(connection).await?;
        visits.extend(kept.into_iter().map(visit));
    }
    Ok(visits)
}

/// Loads these visitors and their chats.
///
/// # Errors
/// Redis cannot be read: memory has some of them.
pub async fn load(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    names: &[Name],
) -> Result<(), Trouble> {
    for page in names.chunks(PAGE) {
        let mut calls = redis::pipe();
        for (site, visitor) in page {
            let chats = format!("countersign:chats:{site}/{visitor}");
            calls.cmd("ZRANGE").arg(chats).arg(0).arg(-1);
        }
        let chats: Vec<Vec<Vec<u8>>> = calls.query_async(connection).await?;
        let visits = fetch_visits(connection, page).await?;
        for ((name, chats), visit) in page.iter().zip(chats).zip(visits) {
            for chat in chats {
                match serde_json::from_slice(&chat) {
                    Ok(chat) => {
                        let chat = Change::Chat { site: name.0.clone(), chat: Arc::new(chat) };
                        shared.retell(&chat, UnixTime::now());
                    }
                    Err(_) => shared.skip(layout::VISITORS),
                }
            }
            shared.know(name, visit);
        }
    }
    Ok(())
}

impl Shared {
    /// Takes over what Redis knows of a visitor, and tells whoever must act on it.
    pub fn know(&self, (site, visitor): &Name, visit: Option<Visit>) {
        // Gone: he was forgotten, which the log tells, or is over by himself.
        let Some(visit) = visit else { return };
        let posted = Arc::new(visit.as_posted(visitor));
        self.memory.site_or_new(site).visits().know(visitor, visit);
        self.memory.apply(&Change::Details { site: site.clone(), posted });
    }
}
