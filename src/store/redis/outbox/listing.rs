//! What is read of the deliveries without handing them out. It is read in a few steps: what
//! is settled in between may be missing.

use std::collections::BTreeMap;
use std::sync::Arc;

use redis::RedisResult;
use redis::aio::MultiplexedConnection;
use serde::Deserialize;

use crate::clock::UnixTime;
use crate::store::outbox::{DeliveryState, Depth, EventKind, Kept, Progress};

/// How many are asked for in one round trip.
pub const PAGE: usize = 500;

fn key(hook: &str, what: &str) -> String {
    format!("countersign:outbox:{hook}:{what}")
}

/// The latest deliveries, at most so many; of one state, if it is named.
pub async fn list(
    connection: &mut MultiplexedConnection,
    hook: &str,
    state: Option<DeliveryState>,
    most: usize,
) -> RedisResult<Vec<Kept>> {
    let Some(last) = most.checked_sub(1) else { return Ok(Vec::new()) };
    let places = [
        (DeliveryState::Queued, "waiting"),
        (DeliveryState::Dead, "dead"),
        (DeliveryState::Delivered, "delivered"),
    ];
    let mut calls = redis::pipe();
    for (_, place) in places.iter().filter(|(of, _)| state.is_none_or(|state| state == *of)) {
        // The last ones that were delivered are not those of the latest events: all of them.
        let last = if *place == "delivered" { -1 } else { last as i64 };
        calls.cmd("ZRANGE").arg(key(hook, place)).arg(0).arg(last).arg("REV");
    }
    let found: Vec<Vec<String>> = calls.query_async(connection).await?;
    let mut ids: Vec<String> = found.into_iter().flatten().collect();
    ids.sort_by(|one, other| other.cmp(one));
    ids.dedup();
    ids.truncate(most);
    let mut listed = Vec::with_capacity(ids.len());
    for page in ids.chunks(PAGE) {
        let mut calls = redis::pipe();
        for hash in ["progress", "payloads"] {
            calls.cmd("HMGET").arg(key(hook, hash)).arg(page);
        }
        type Texts = Vec<Option<String>>;
        let (progress, payloads): (Texts, Texts) = calls.query_async(connection).await?;
        let found = page.iter().zip(progress).zip(payloads);
        listed.extend(found.filter_map(|((id, progress), payload)| kept(id, progress, payload)));
    }
    listed.retain(|kept| state.is_none_or(|state| kept.progress.state == state));
    Ok(listed)
}

fn kept(id: &str, progress: Option<String>, payload: Option<String>) -> Option<Kept> {
    let progress = progress?;
    let (kind, progress) = progress.split_once(' ')?;
    let kinds = [EventKind::ChatStarted, EventKind::DetailsUpdated];
    let kind = kinds.into_iter().find(|known| known.name() == kind)?;
    let progress: Progress = serde_json::from_str(progress).ok()?;
    let delivery = payload.and_then(|payload| serde_json::from_str(&payload).ok()).map(Arc::new);
    Some(Kept { id: id.into(), kind, delivery, progress })
}

/// How much waits.
pub async fn depth(connection: &mut MultiplexedConnection, hook: &str) -> RedisResult<Depth> {
    let (waiting, dead) = (key(hook, "waiting"), key(hook, "dead"));
    let mut calls = redis::pipe();
    calls.cmd("ZCARD").arg(&waiting).cmd("ZCARD").arg(&dead);
    calls.cmd("ZRANGE").arg(&waiting).arg(0).arg(0).arg("WITHSCORES");
    type Oldest = Vec<(String, u64)>;
    let (queued, dead, oldest): (usize, usize, Oldest) = calls.query_async(connection).await?;
    let oldest = oldest.first().map(|(_, at)| UnixTime::from_millis(*at));
    Ok(Depth { queued, dead, oldest })
}

/// Whom a delivery is about.
#[derive(Deserialize)]
struct About {
    visitor: String,
}

/// The deliveries about a visitor that are not delivered yet, by subscription.
pub async fn about(
    connection: &mut MultiplexedConnection,
    site: &str,
    visitor: &str,
) -> RedisResult<BTreeMap<Arc<str>, Vec<String>>> {
    let mut list = redis::cmd("SMEMBERS");
    let hooks: Vec<String> = list.arg("countersign:outboxes").query_async(connection).await?;
    let mut found = BTreeMap::new();
    for hook in hooks {
        let Some((_, name)) = hook.split_once('/').filter(|(of, _)| *of == site) else { continue };
        let mut cursor = 0_u64;
        loop {
            let mut page = redis::cmd("HSCAN");
            page.arg(key(&hook, "payloads")).arg(cursor).arg("COUNT").arg(PAGE);
            let (next, members): (u64, Vec<(String, Vec<u8>)>) =
                page.query_async(connection).await?;
            for (id, payload) in members {
                let about = serde_json::from_slice::<About>(&payload);
                if about.is_ok_and(|about| about.visitor == visitor) {
                    found.entry(Arc::from(name)).or_insert_with(Vec::new).push(id);
                }
            }
            cursor = next;
            if cursor == 0 {
                break;
            }
        }
    }
    Ok(found)
}
