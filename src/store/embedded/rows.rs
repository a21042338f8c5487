//! How what is remembered lies in the file: a row for each thing, the JSON of the
//! [`Change`] that would bring it about, under its site and its identity or digest.
//!
//! A change is merged into the row that is there, as memory merges it, so the file grows
//! with what is remembered and not with what happens.

use std::sync::Arc;

use redb::{ReadTransaction, ReadableTable, TableDefinition, TableError, WriteTransaction};

use super::super::change::{Ban, Change};
use super::super::memory::Memory;
use super::super::outbox::DeliveryState;
use super::super::site::{FORGOTTEN_KEPT, LOGOUTS_KEPT};
use super::super::visits::Posted;
use super::trouble::Trouble;
use super::visits::{self, CHATS, DELIVERIES, DETAILS};
use crate::clock::UnixTime;

pub(super) type Table = TableDefinition<'static, (&'static str, &'static str), &'static [u8]>;

const BANS: Table = TableDefinition::new("bans");
const LOGOUTS: Table = TableDefinition::new("logouts");
const HOLDS: Table = TableDefinition::new("holds");
const USES: Table = TableDefinition::new("uses");
const SESSIONS: Table = TableDefinition::new("sessions");
const FORGOTTEN: Table = TableDefinition::new("forgotten");
const SUBSCRIPTIONS: Table = TableDefinition::new("subscriptions");
const CONFIRMATIONS: Table = TableDefinition::new("confirmations");
/// Sessions come after what is forgotten, and details after chats: they must be known before.
const ALL: [Table; 11] = [
    BANS,
    LOGOUTS,
    FORGOTTEN,
    HOLDS,
    USES,
    SESSIONS,
    CHATS,
    DETAILS,
    SUBSCRIPTIONS,
    CONFIRMATIONS,
    DELIVERIES,
];

/// Hands over every row.
pub fn each(file: &ReadTransaction, mut tell: impl FnMut(Change)) -> Result<(), Trouble> {
    for table in ALL {
        let rows = match file.open_table(table) {
            Ok(rows) => rows,
            Err(TableError::TableDoesNotExist(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        for row in rows.iter()? {
            tell(read(row?.1.value())?);
        }
    }
    Ok(())
}

/// Merges a change into the file.
pub fn put(file: &WriteTransaction, change: &Change) -> Result<(), Trouble> {
    if let Some((id, at)) = about(change)
        && is_forgotten(file, change.site(), id, at)?
    {
        return Ok(());
    }
    let (table, key) = match change {
        Change::Forget { site, id, at } => {
            forget(file, site, id, *at)?;
            (FORGOTTEN, id.to_string())
        }
        Change::Chat { site, chat } => return visits::begin(file, site, chat),
        Change::Details { site, posted } => {
            visits::deliver_all(file, site, &posted.deliveries, posted.at)?;
            (DETAILS, posted.visitor.to_string())
        }
        Change::Delivery { site, delivery, progress } => {
            return visits::deliver(file, site, delivery, progress);
        }
        Change::Drop { site, webhook } => return visits::drop_deliveries(file, site, webhook),
        Change::Subscription { site, webhook, entry: None } => {
            for table in [SUBSCRIPTIONS, CONFIRMATIONS] {
                file.open_table(table)?.remove((&**site, &**webhook))?;
            }
            return Ok(());
        }
        Change::Progress { site, webhook, id, progress }
            if progress.state == DeliveryState::Delivered =>
        {
            return visits::delivered(file, site, webhook, id);
        }
        Change::Progress { webhook, id, .. } => (DELIVERIES, visits::delivery_key(webhook, id)),
        Change::Subscription { webhook, .. } => (SUBSCRIPTIONS, webhook.to_string()),
        Change::Confirmation { webhook, .. } => (CONFIRMATIONS, webhook.to_string()),
        Change::Ban { id, .. } | Change::Unban { id, .. } => (BANS, id.to_string()),
        Change::Logout { id, .. } => (LOGOUTS, id.to_string()),
        Change::Hold { credential, .. } => (HOLDS, String::from(*credential)),
        Change::Use { credential, .. } => (USES, String::from(*credential)),
        Change::Bind { session, .. } | Change::End { session, .. } => {
            (SESSIONS, String::from(*session))
        }
    };
    let key = (&**change.site(), key.as_str());
    let mut table = file.open_table(table)?;
    let before = row(&table, key)?;
    let Some(after) = merged(before.as_ref(), change) else { return Ok(()) };
    table.insert(key, &*written(&after)?)?;
    Ok(())
}

/// Of whom a change says something, and since when it is so: if he was to be forgotten since,
/// it is not kept.
fn about(change: &Change) -> Option<(&str, UnixTime)> {
    match change {
        Change::Bind { binding, .. } if binding.stands() => Some((binding.id(), binding.bound)),
        Change::Chat { chat, .. } => Some((&chat.visitor, chat.at)),
        Change::Details { posted, .. } => Some((&posted.visitor, posted.at)),
        _ => None,
    }
}

/// Makes the file what memory is.
pub fn replace(file: &WriteTransaction, memory: &Memory) -> Result<(), Trouble> {
    for table in ALL {
        file.delete_table(table)?;
    }
    // Told first and written then: no lock of memory is held while the disk is slow.
    let mut changes = Vec::new();
    memory.each_change(|change| changes.push(change));
    changes.iter().try_for_each(|change| put(file, change))
}

/// Removes what has come to its end.
pub fn sweep(file: &WriteTransaction, memory: &Memory, now: UnixTime) -> Result<(), Trouble> {
    evict(file, memory)?;
    for table in ALL {
        let mut unreadable = None;
        let mut rows = file.open_table(table)?;
        rows.retain(|_, row| match read(row) {
            Ok(change) => lasts(&change, memory, now),
            Err(trouble) => {
                unreadable = Some(trouble);
                true
            }
        })?;
        if let Some(trouble) = unreadable {
            return Err(trouble);
        }
    }
    Ok(())
}

/// Leaves of sessions that had to make room in memory what memory leaves of them.
fn evict(file: &WriteTransaction, memory: &Memory) -> Result<(), Trouble> {
    let mut sessions = file.open_table(SESSIONS)?;
    let mut evicted = Vec::new();
    for row in sessions.iter()? {
        let Change::Bind { site, session, binding } = read(row?.1.value())? else { continue };
        let known = memory.site(&site).and_then(|memory| memory.session(&session));
        let known = known.filter(|known| !known.stands() && binding.stands());
        evicted.extend(known.map(|binding| Change::Bind { site, session, binding }));
    }
    for change in evicted {
        let Change::Bind { site, session, .. } = &change else { continue };
        sessions.insert((&**site, &*String::from(*session)), &*written(&change)?)?;
    }
    Ok(())
}

/// The row that a change leaves, if that differs from the one that was there.
fn merged(before: Option<&Change>, change: &Change) -> Option<Change> {
    match (before, change) {
        // Whoever was banned stays known for a while: what was bound before is over.
        (Some(Change::Ban { ban, .. }), Change::Unban { site, id, .. }) => {
            let ban = Ban { reason: None, since: ban.since, until: Some(ban.since) };
            Some(Change::Ban { site: site.clone(), id: id.clone(), ban })
        }
        (_, Change::Unban { .. }) => None,
        (Some(Change::Logout { at: before, .. }), Change::Logout { at, .. }) if before >= at => {
            None
        }
        (Some(Change::Hold { until: before, .. }), Change::Hold { until, .. })
            if before >= until =>
        {
            None
        }
        (Some(Change::Use { at: before, .. }), Change::Use { at, .. }) if before <= at => None,
        (Some(Change::Bind { binding: before, .. }), Change::Bind { binding, .. })
            if !before.yields_to(binding) =>
        {
            None
        }
        (Some(Change::Forget { at: before, .. }), Change::Forget { at, .. }) if before >= at => {
            None
        }
        (Some(Change::Bind { site, session, binding }), Change::End { at, .. })
            if binding.bound <= *at =>
        {
            let binding = Arc::new(binding.ended(*at));
            Some(Change::Bind { site: site.clone(), session: *session, binding })
        }
        (_, Change::End { .. }) => None,
        (Some(Change::Details { posted: before, .. }), Change::Details { site, posted })
            if posted.at < before.until =>
        {
            let posted = Arc::new(posted.after(before));
            Some(Change::Details { site: site.clone(), posted })
        }
        (_, Change::Details { site, posted }) => {
            let posted = Posted { deliveries: Vec::new(), ..Posted::clone(posted) };
            Some(Change::Details { site: site.clone(), posted: Arc::new(posted) })
        }
        (
            Some(Change::Confirmation { confirmation: before, .. }),
            Change::Confirmation { confirmation, .. },
        ) if before.at > confirmation.at => None,
        (Some(Change::Delivery { site, delivery, .. }), Change::Progress { progress, .. }) => {
            let (site, delivery) = (site.clone(), delivery.clone());
            Some(Change::Delivery { site, delivery, progress: progress.clone() })
        }
        (_, Change::Progress { .. }) => None,
        _ => Some(change.clone()),
    }
}

fn lasts(change: &Change, memory: &Memory, now: UnixTime) -> bool {
    let of_site = || memory.site(change.site());
    match change {
        Change::Ban { ban, .. } => ban.holds(now) || now.since(ban.since) < LOGOUTS_KEPT,
        Change::Logout { at, .. } => now.since(*at) < LOGOUTS_KEPT,
        Change::Hold { until, .. } | Change::Use { until, .. } => now < *until,
        // Memory knows which of them had to go to make room.
        Change::Bind { session, .. } => {
            of_site().is_some_and(|site| site.session(session).is_some())
        }
        Change::Forget { at, .. } => now.since(*at) < FORGOTTEN_KEPT,
        Change::Chat { chat, .. } => of_site().is_some_and(|site| {
            let visits = site.visits();
            visits.needs(chat, now) && visits.holds(chat)
        }),
        Change::Details { posted, .. } => {
            of_site().is_some_and(|site| site.visits().knows(&posted.visitor, now))
        }
        // Memory knows which of them found no room.
        Change::Delivery { delivery, .. } => {
            of_site().is_some_and(|site| site.queues.holds(&delivery.webhook, &delivery.id))
        }
        Change::Subscription { .. } | Change::Confirmation { .. } => true,
        Change::Unban { .. }
        | Change::End { .. }
        | Change::Progress { .. }
        | Change::Drop { .. } => false,
    }
}

/// Leaves of an identity's sessions only whose they were, and drops what is known of its visits.
fn forget(file: &WriteTransaction, site: &str, id: &str, at: UnixTime) -> Result<(), Trouble> {
    visits::forget(file, site, id, at)?;
    let mut sessions = file.open_table(SESSIONS)?;
    let mut evicted = Vec::new();
    for row in sessions.range::<(&str, &str)>((site, "")..=(site, LAST_DIGEST))? {
        let Change::Bind { site, session, binding } = read(row?.1.value())? else { continue };
        if &**binding.id() == id && binding.bound <= at && binding.stands() {
            let binding = Arc::new(binding.evicted());
            evicted.push((session, Change::Bind { site, session, binding }));
        }
    }
    for (session, change) in evicted {
        sessions.insert((site, &*String::from(session)), &*written(&change)?)?;
    }
    Ok(())
}

/// Whether somebody was to be forgotten since then.
fn is_forgotten(
    file: &WriteTransaction,
    site: &str,
    id: &str,
    since: UnixTime,
) -> Result<bool, Trouble> {
    let forgotten = row(&file.open_table(FORGOTTEN)?, (site, id))?;
    Ok(matches!(forgotten, Some(Change::Forget { at, .. }) if since <= at))
}

pub(super) fn row(
    table: &impl ReadableTable<(&'static str, &'static str), &'static [u8]>,
    key: (&str, &str),
) -> Result<Option<Change>, Trouble> {
    table.get(key)?.map(|row| read(row.value())).transpose()
}

/// Later than any digest, which is hexadecimal.
const LAST_DIGEST: &str = "g";

pub(super) fn read(row: &[u8]) -> Result<Change, Trouble> {
    serde_json::from_slice(row).map_err(|error| Trouble::damaged(format!("a row of it: {error}")))
}

pub(super) fn written(change: &Change) -> Result<Vec<u8>, Trouble> {
    serde_json::to_vec(change).map_err(|error| Trouble::Unreachable(error.to_string()))
}
