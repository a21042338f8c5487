//! How chats, details and deliveries lie in the file.

use std::sync::Arc;

use redb::{ReadableTable, TableDefinition, WriteTransaction};

use super::rows::{Table, read, row, written};
use super::trouble::Trouble;
use crate::clock::UnixTime;
use crate::store::change::Change;
use crate::store::outbox::{Delivery, Progress};
use crate::store::visits::{Chat, Posted};

/// Chats that have begun, under their session.
pub const CHATS: Table = TableDefinition::new("chats");
/// What was said of visitors.
pub const DETAILS: Table = TableDefinition::new("details");
/// Deliveries, under [`delivery_key`].
pub const DELIVERIES: Table = TableDefinition::new("deliveries");

/// `subscription/id`: a subscription's lie together, in the order of their events.
pub fn delivery_key(webhook: &str, id: &str) -> String {
    format!("{webhook}/{id}")
}

/// A chat begins, unless one of its session has begun that still counts: that one may make
/// its visitor known again.
pub fn begin(file: &WriteTransaction, site: &Arc<str>, chat: &Chat) -> Result<(), Trouble> {
    if chat.session.is_empty() {
        return deliver_all(file, site, &chat.deliveries, chat.at);
    }
    let key = (&**site, &*chat.session);
    let mut chats = file.open_table(CHATS)?;
    if let Some(Change::Chat { chat: before, .. }) = row(&chats, key)?
        && chat.at < before.until
    {
        if let Some(renewed) = before.renewed_by(chat) {
            let (site, chat) = (site.clone(), Arc::new(renewed));
            chats.insert(key, &*written(&Change::Chat { site, chat })?)?;
        }
        return Ok(());
    }
    follow(file, site, chat)?;
    let kept = Arc::new(Chat { deliveries: Vec::new(), ..chat.clone() });
    chats.insert(key, &*written(&Change::Chat { site: site.clone(), chat: kept })?)?;
    deliver_all(file, site, &chat.deliveries, chat.at)
}

/// What was said of a visitor lasts as long as he is known; it goes if he was not, any more.
fn follow(file: &WriteTransaction, site: &Arc<str>, chat: &Chat) -> Result<(), Trouble> {
    let key = (&**site, &*chat.visitor);
    let mut details = file.open_table(DETAILS)?;
    let Some(Change::Details { posted, .. }) = row(&details, key)? else { return Ok(()) };
    if posted.until <= chat.at {
        details.remove(key)?;
    } else if posted.until < chat.known_until {
        let posted = Arc::new(Posted { until: chat.known_until, ..Posted::clone(&posted) });
        details.insert(key, &*written(&Change::Details { site: site.clone(), posted })?)?;
    }
    Ok(())
}

/// Adds deliveries of an event.
pub fn deliver_all(
    file: &WriteTransaction,
    site: &Arc<str>,
    deliveries: &[Arc<Delivery>],
    at: UnixTime,
) -> Result<(), Trouble> {
    let progress = Progress::fresh(at);
    deliveries.iter().try_for_each(|delivery| deliver(file, site, delivery, &progress))
}

/// Adds a delivery, unless it is there.
pub fn deliver(
    file: &WriteTransaction,
    site: &Arc<str>,
    delivery: &Arc<Delivery>,
    progress: &Progress,
) -> Result<(), Trouble> {
    let mut deliveries = file.open_table(DELIVERIES)?;
    let key = delivery_key(&delivery.webhook, &delivery.id);
    let key = (&**site, &*key);
    if deliveries.get(key)?.is_none() {
        let (site, delivery, progress) = (site.clone(), delivery.clone(), progress.clone());
        deliveries.insert(key, &*written(&Change::Delivery { site, delivery, progress })?)?;
    }
    Ok(())
}

/// Drops one that its receiver has.
pub fn delivered(
    file: &WriteTransaction,
    site: &str,
    webhook: &str,
    id: &str,
) -> Result<(), Trouble> {
    file.open_table(DELIVERIES)?.remove((site, &*delivery_key(webhook, id)))?;
    Ok(())
}

/// Drops all to a subscription.
pub fn drop_deliveries(file: &WriteTransaction, site: &str, webhook: &str) -> Result<(), Trouble> {
    let prefix = delivery_key(webhook, "");
    let mut deliveries = file.open_table(DELIVERIES)?;
    deliveries.retain(|(of, key), _| of != site || !key.starts_with(&prefix))?;
    Ok(())
}

/// Drops what is kept about a visitor until then.
pub fn forget(file: &WriteTransaction, site: &str, id: &str, at: UnixTime) -> Result<(), Trouble> {
    let mut details = file.open_table(DETAILS)?;
    if matches!(row(&details, (site, id))?, Some(Change::Details { posted, .. }) if posted.at <= at)
    {
        details.remove((site, id))?;
    }
    let is_about = |row: &[u8]| match read(row) {
        Ok(Change::Chat { chat, .. }) => *chat.visitor == *id && chat.at <= at,
        Ok(Change::Delivery { delivery, .. }) => {
            *delivery.visitor == *id && delivery.event.at <= at
        }
        // What cannot be read is for the sweep to tell.
        _ => false,
    };
    for table in [CHATS, DELIVERIES] {
        file.open_table(table)?.retain(|(of, _), row| of != site || !is_about(row))?;
    }
    Ok(())
}
