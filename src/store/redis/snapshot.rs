//! All that is kept, into memory; and what memory knows, back into a Redis that lost it.

use std::collections::HashSet;
use std::sync::Arc;

use redis::aio::MultiplexedConnection;

use super::layout::{self, Manner};
use super::link::{Link, Trouble};
use super::queue::is_by_digest;
use super::shared::Shared;
use super::visits;
use super::writer::context;
use crate::clock::UnixTime;
use crate::store::change::Change;
use crate::store::digest::Digest;
use crate::store::site::LOGOUTS_KEPT;

/// How many members are asked for, or changes made, in one round trip.
const PAGE: usize = 500;

type Name = (Arc<str>, Arc<str>);
type Members = Vec<(Vec<u8>, Vec<u8>)>;

/// What memory knew before all was loaded.
#[derive(Default)]
pub struct Known {
    bans: HashSet<Name>,
    sessions: Vec<(Arc<str>, Digest)>,
    subscriptions: HashSet<Name>,
}

impl Known {
    /// What memory knows now. Everything of it was in Redis once, changes on their way apart.
    pub fn of(shared: &Shared) -> Self {
        let (mut known, now) = (Self::default(), UnixTime::now());
        shared.memory.each_change(|change| match change {
            Change::Ban { site, id, ban } if ban.holds(now) => {
                known.bans.insert((site, id));
            }
            Change::Bind { site, session, .. } => known.sessions.push((site, session)),
            Change::Subscription { site, webhook, .. } => {
                known.subscriptions.insert((site, webhook));
            }
            _ => {}
        });
        known
    }
}

/// Loads all that is kept but sessions and deliveries, and looks after the sessions that
/// memory knows. Bans and subscriptions that memory knew and Redis does not have ended.
///
/// # Errors
/// Redis cannot be read: memory has some of it.
pub async fn load(shared: &Shared, link: &mut Link, mut known: Known) -> Result<(), Trouble> {
    let (memory, now) = (&shared.memory, UnixTime::now());
    let mut lapsed = Vec::new();
    each(link, "HSCAN", layout::BANS, |name, kept| {
        let (Some((site, id)), Some(ban)) = (layout::identity(&name), layout::ban(&kept)) else {
            return shared.skip(layout::BANS);
        };
        if !ban.holds(now) {
            return lapsed.push((layout::BANS, name, kept));
        }
        known.bans.remove(&(site.clone(), id.clone()));
        memory.apply(&Change::Ban { site, id, ban });
    })
    .await?;
    for (site, id) in known.bans {
        memory.apply(&Change::Unban { site, id, at: now });
    }
    for hash in [layout::ENDED, layout::LOGOUTS] {
        each(link, "HSCAN", hash, |name, kept| {
            let (Some((site, id)), Some(at)) = (layout::identity(&name), layout::time(&kept))
            else {
                return shared.skip(hash);
            };
            if now.since(at) > LOGOUTS_KEPT {
                lapsed.push((hash, name, kept));
            } else if hash == layout::LOGOUTS {
                memory.apply(&Change::Logout { site, id, at });
            } else if memory.site(&site).is_none_or(|site| site.ban(&id, now).is_none()) {
                memory.apply(&ended(site, id, at));
            }
        })
        .await?;
    }
    each(link, "ZSCAN", layout::HOLDS, |name, until| {
        let found = layout::identity(&name).and_then(|(site, digest)| {
            let credential = Digest::try_from(digest.as_ref().to_owned()).ok()?;
            Some(Change::Hold { site, credential, until: layout::time(&until)? })
        });
        found.map_or_else(|| shared.skip(layout::HOLDS), |change| shared.retell(&change, now));
    })
    .await?;
    each(link, "ZSCAN", layout::USES, |name, until| {
        let found = layout::used(&name).and_then(|(site, credential, at)| {
            Some(Change::Use { site, credential, at, until: layout::time(&until)? })
        });
        found.map_or_else(|| shared.skip(layout::USES), |change| shared.retell(&change, now));
    })
    .await?;
    each(link, "ZSCAN", layout::FORGOTTEN, |name, at| {
        let found = layout::identity(&name).zip(layout::time(&at));
        let Some(((site, id), at)) = found else { return shared.skip(layout::FORGOTTEN) };
        memory.apply(&Change::Forget { site, id, at });
    })
    .await?;
    fetch(shared, &mut link.connection, &known.sessions).await?;
    subscriptions(shared, link, known.subscriptions).await?;
    // Behind whom to forget: he may have come back.
    let mut visitors = Vec::new();
    each(link, "ZSCAN", layout::VISITORS, |name, until| {
        let found = layout::identity(&name).zip(layout::time(&until));
        let Some((name, until)) = found else { return shared.skip(layout::VISITORS) };
        if now < until {
            visitors.push(name);
        }
    })
    .await?;
    visits::load(shared, &mut link.connection, &visitors).await?;
    tidy(link, lapsed).await
}

async fn subscriptions(
    shared: &Shared,
    link: &mut Link,
    mut known: HashSet<Name>,
) -> Result<(), Trouble> {
    let memory = &shared.memory;
    each(link, "HSCAN", layout::SUBSCRIPTIONS, |name, entry| {
        let found = layout::identity(&name).zip(String::from_utf8(entry).ok());
        let Some(((site, webhook), entry)) = found else {
            return shared.skip(layout::SUBSCRIPTIONS);
        };
        known.remove(&(site.clone(), webhook.clone()));
        memory.apply(&Change::Subscription { site, webhook, entry: Some(entry.into()) });
    })
    .await?;
    for (site, webhook) in known {
        memory.apply(&Change::Subscription { site, webhook, entry: None });
    }
    each(link, "HSCAN", layout::CONFIRMATIONS, |name, kept| {
        let found = layout::identity(&name).zip(serde_json::from_slice(&kept).ok());
        let Some(((site, webhook), confirmation)) = found else {
            return shared.skip(layout::CONFIRMATIONS);
        };
        memory.apply(&Change::Confirmation { site, webhook, confirmation });
    })
    .await
}

/// What a lifted ban leaves behind.
fn ended(site: Arc<str>, id: Arc<str>, since: UnixTime) -> Change {
    let ban = crate::store::Ban { reason: None, since, until: Some(since) };
    Change::Ban { site, id, ban }
}

/// Fetches sessions that were bound, or may have ended, into memory.
///
/// # Errors
/// Redis cannot be read.
pub async fn fetch(
    shared: &Shared,
    connection: &mut MultiplexedConnection,
    sessions: &[(Arc<str>, Digest)],
) -> Result<(), Trouble> {
    for page in sessions.chunks(PAGE) {
        let mut calls = redis::pipe();
        for (site, session) in page {
            calls.add_command(layout::fetch(site, *session));
        }
        let kept: Vec<_> = calls.query_async(connection).await?;
        for ((site, session), kept) in page.iter().zip(kept) {
            // Gone: it is over, or its binding is still on its way.
            let Some(binding) = layout::binding(kept) else { continue };
            let (site, session) = (site.clone(), *session);
            shared.memory.apply(&Change::Bind { site, session, binding });
        }
    }
    Ok(())
}

/// Looks at every member of a hash or sorted set.
async fn each(
    link: &mut Link,
    scan: &str,
    key: &str,
    mut look: impl FnMut(Vec<u8>, Vec<u8>),
) -> Result<(), Trouble> {
    let mut cursor = 0_u64;
    loop {
        let mut page = redis::cmd(scan);
        page.arg(key).arg(cursor).arg("COUNT").arg(PAGE);
        let (next, members): (u64, Members) = page.query_async(&mut link.connection).await?;
        members.into_iter().for_each(|(name, kept)| look(name, kept));
        cursor = next;
        if cursor == 0 {
            return Ok(());
        }
    }
}

async fn tidy(link: &mut Link, lapsed: Vec<(&str, Vec<u8>, Vec<u8>)>) -> Result<(), Trouble> {
    for page in lapsed.chunks(PAGE) {
        let mut calls = redis::pipe();
        calls.ignore_errors();
        for (hash, name, kept) in page {
            calls.add_command(link.caller.tidy(hash, name, kept));
        }
        // Somebody tidies up at the next start, if not now.
        let _: redis::Value = calls.query_async(&mut link.connection).await?;
    }
    Ok(())
}

/// Writes back what memory knows and Redis lost, and has the other replicas load it.
/// Without digests where its key is another one.
///
/// # Errors
/// Some of it may have been written; doing it again does no harm.
pub async fn restore(
    shared: &Shared,
    link: &mut Link,
    digests: bool,
    replica: &str,
) -> Result<usize, Trouble> {
    let mut changes = Vec::new();
    shared.memory.each_change(|change| {
        if digests || !is_by_digest(&change) {
            changes.push(change);
        }
    });
    for page in changes.chunks(PAGE) {
        let mut calls = redis::pipe();
        for change in page {
            link.caller.change(&mut calls, change, Manner::Restored, &context(shared, change));
        }
        let _: Vec<Option<String>> = calls.query_async(&mut link.connection).await?;
    }
    let _: Option<String> = link.caller.resync(replica).query_async(&mut link.connection).await?;
    Ok(changes.len())
}
