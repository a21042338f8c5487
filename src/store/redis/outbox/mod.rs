//! The deliveries, in Redis: what waits there is told by one replica or another.
//!
//! - `apply.lua` puts them in, in one call with the chat that they tell of; `box.lua` says in
//!   which keys they lie, `ask.lua` hands them out.
//! - **One replica at a time delivers to a subscription**: whoever holds its lease, a key that
//!   lapses within seconds unless it is renewed. It is looked at in the same call that hands
//!   something out, and by this process' own clock before each.
//! - **What was never tried is an entry of a stream**, read by a consumer group in its order,
//!   and pending until it is settled. Whoever takes over takes what is pending again, in that
//!   order, before anything else; so does a replica that did not hear Redis' answer.
//! - **What was tried is among the retries**, and running while it is tried again; whoever
//!   takes over puts back what was running.
//! - What became of a delivery counts whoever says so, also too late. While Redis cannot be
//!   told, it is kept here and told first, so that nothing is delivered twice for an outage.

mod holding;
mod listing;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use parking_lot::Mutex;
use redis::{Cmd, FromRedisValue, RedisError};

use self::holding::{Holding, LEASE};
use super::layout::{Context, Manner};
use super::link::{Kind, Link, Trouble};
use super::shared::Shared;
use crate::clock::UnixTime;
use crate::store::Outage;
use crate::store::change::Change;
use crate::store::outbox::{
    Delivery, DeliveryState, Depth, Hook, Kept, Outbox, Progress, Replayed,
};

/// The deliveries of all sites.
pub struct Deliveries {
    shared: Arc<Shared>,
    /// This replica, among those that deliver.
    replica: String,
    holdings: Arc<Mutex<HashMap<Hook, Holding>>>,
}

/// What `take` answers.
type Taken = (u8, String, u64, String, Vec<String>, Vec<Vec<u8>>, Vec<Vec<u8>>);

impl Deliveries {
    /// Over this link.
    pub fn new(shared: Arc<Shared>, replica: String) -> Arc<Self> {
        let holdings = Arc::<Mutex<HashMap<Hook, Holding>>>::default();
        let hearing = holdings.clone();
        shared.memory.listen(move |change| {
            if let Change::Chat { site, .. } | Change::Details { site, .. } = change {
                let mut holdings = hearing.lock();
                let of_site = holdings.iter_mut().filter(|(hook, _)| hook.site == *site);
                of_site.for_each(|(_, holding)| holding.hear());
            }
        });
        Arc::new(Self { shared, replica, holdings })
    }

    fn of<T>(&self, hook: &Hook, look: impl FnOnce(&mut Holding) -> T) -> T {
        let mut holdings = self.holdings.lock();
        match holdings.get_mut(hook) {
            Some(holding) => look(holding),
            None => look(holdings.entry(hook.clone()).or_default()),
        }
    }

    fn link(&self) -> Result<Link, Outage> {
        self.shared.link.borrow().clone().ok_or_else(|| self.shared.outage())
    }

    /// Asks `ask.lua`.
    async fn ask<T: FromRedisValue>(
        &self,
        hook: &Hook,
        operation: &str,
        with: impl FnOnce(&mut Cmd),
    ) -> Result<T, Outage> {
        let mut link = self.link()?;
        let mut call = redis::cmd("EVALSHA");
        call.arg(&link.caller.outbox).arg(1).arg(super::layout::META);
        call.arg(&link.caller.epoch).arg(0).arg(operation).arg(named(hook));
        with(&mut call);
        call.query_async(&mut link.connection).await.map_err(|error| self.failed(error))
    }

    /// Makes a change that nobody but Redis hears of.
    async fn make(&self, change: &Change) -> Result<(), Outage> {
        let mut link = self.link()?;
        let mut calls = redis::pipe();
        link.caller.change(&mut calls, change, Manner::Told, &Context::default());
        let made: Result<Vec<Option<String>>, _> = calls.query_async(&mut link.connection).await;
        made.map(|_| ()).map_err(|error| self.failed(error))
    }

    fn failed(&self, error: RedisError) -> Outage {
        let trouble = Trouble::from(error);
        if trouble.kind == Kind::Lost {
            self.shared.close(&trouble);
        }
        Outage(format!("Redis at {}: {}", self.shared.server, trouble.said))
    }

    /// Notes what could not be noted before.
    async fn settle_owed(&self, hook: &Hook) -> Result<(), Outage> {
        for (id, progress) in self.of(hook, |holding| holding.owed()) {
            self.note(hook, &id, &progress).await?;
        }
        Ok(())
    }

    async fn note(&self, hook: &Hook, id: &Arc<str>, progress: &Progress) -> Result<(), Outage> {
        let (site, webhook) = (hook.site.clone(), hook.name.clone());
        let (id, progress) = (id.clone(), progress.clone());
        let change = Change::Progress { site, webhook, id: id.clone(), progress: progress.clone() };
        self.make(&change).await?;
        self.of(hook, |holding| holding.settled(&id, &progress));
        Ok(())
    }

    /// Takes some; says whether there may be more to take at once.
    async fn take_some(
        &self,
        hook: &Hook,
        now: UnixTime,
        most: usize,
        taken: &mut Vec<(Arc<Delivery>, Progress)>,
    ) -> Result<bool, Outage> {
        let Some(next) =
            self.of(hook, |holding| holding.is_held(Instant::now()).then(|| holding.next()))
        else {
            return Ok(false);
        };
        let answer = self.ask(hook, "take", |call| {
            call.arg(&self.replica).arg(now.as_millis()).arg(most - taken.len()).arg(&next.from);
        });
        // Whether an answer is lost with what it hands out nobody knows: it is taken again.
        let lost = |outage| {
            self.of(hook, |holding| holding.give_back(None));
            outage
        };
        let (mine, from, untaken, due, ids, payloads, known): Taken = answer.await.map_err(lost)?;
        self.of(hook, |holding| {
            if mine == 0 {
                holding.lose();
                return Ok(false);
            }
            holding.took(&next, from, untaken > 0, time(&due));
            for ((id, payload), progress) in ids.into_iter().zip(payloads).zip(known) {
                let (Ok(delivery), Ok(progress)) =
                    (serde_json::from_slice(&payload), serde_json::from_slice(&progress))
                else {
                    self.shared.skip("countersign:outbox");
                    continue;
                };
                if holding.hand_out(&id.into()) {
                    taken.push((Arc::new(delivery), progress));
                }
            }
            Ok(taken.len() < most && holding.has_more_to_take_again())
        })
    }
}

#[async_trait]
impl Outbox for Deliveries {
    async fn owns(&self, hook: &Hook) -> Result<bool, Outage> {
        self.settle_owed(hook).await?;
        let asked = Instant::now();
        let lease = LEASE.as_millis() as u64;
        let (is, untaken, due): (u8, u64, String) = self
            .ask(hook, "lease", |call| {
                call.arg(&self.replica).arg(lease);
            })
            .await?;
        self.of(hook, |holding| holding.lease(is, asked, untaken > 0, time(&due)));
        Ok(is > 0)
    }

    async fn take(
        &self,
        hook: &Hook,
        now: UnixTime,
        most: usize,
    ) -> Result<Vec<(Arc<Delivery>, Progress)>, Outage> {
        self.link()?;
        self.settle_owed(hook).await?;
        let mut taken = Vec::new();
        while taken.len() < most {
            match self.take_some(hook, now, most, &mut taken).await {
                Ok(true) => {}
                Err(outage) if taken.is_empty() => return Err(outage),
                Ok(false) | Err(_) => break,
            }
        }
        Ok(taken)
    }

    fn next_due(&self, hook: &Hook) -> Option<UnixTime> {
        self.of(hook, |holding| holding.next_due(Instant::now()))
    }

    async fn settle(&self, hook: &Hook, id: &Arc<str>, progress: Progress) -> Result<(), Outage> {
        let noted = self.note(hook, id, &progress).await;
        if noted.is_err() {
            self.of(hook, |holding| holding.owe(id, progress));
        }
        noted
    }

    async fn give_back(&self, hook: &Hook, id: &Arc<str>) {
        self.of(hook, |holding| holding.give_back(Some(id)));
    }

    async fn list(
        &self,
        hook: &Hook,
        state: Option<DeliveryState>,
        most: usize,
    ) -> Result<Vec<Kept>, Outage> {
        let mut link = self.link()?;
        let listed = listing::list(&mut link.connection, &named(hook), state, most).await;
        listed.map_err(|error| self.failed(error))
    }

    async fn replay(&self, hook: &Hook, id: &str, now: UnixTime) -> Result<Replayed, Outage> {
        let fresh = serde_json::to_string(&Progress::fresh(now)).unwrap_or_default();
        let replayed: String = self
            .ask(hook, "replay", |call| {
                call.arg(id).arg(fresh);
            })
            .await?;
        Ok(match replayed.as_str() {
            "queued" => {
                self.of(hook, Holding::hear);
                Replayed::Queued
            }
            "unknown" => Replayed::Unknown,
            _ => Replayed::NotDead,
        })
    }

    async fn depth(&self, hook: &Hook) -> Result<Depth, Outage> {
        let mut link = self.link()?;
        let depth = listing::depth(&mut link.connection, &named(hook)).await;
        depth.map_err(|error| self.failed(error))
    }

    async fn forget(&self, site: &Arc<str>, visitor: &str) -> Result<(), Outage> {
        let mut link = self.link()?;
        let about = listing::about(&mut link.connection, site, visitor).await;
        for (name, ids) in about.map_err(|error| self.failed(error))? {
            let hook = Hook { site: site.clone(), name };
            for page in ids.chunks(listing::PAGE) {
                let _: () = self
                    .ask(&hook, "forget", |call| {
                        call.arg(page);
                    })
                    .await?;
            }
        }
        Ok(())
    }

    async fn drop_all(&self, hook: &Hook) -> Result<(), Outage> {
        let (site, webhook) = (hook.site.clone(), hook.name.clone());
        self.make(&Change::Drop { site, webhook }).await
    }
}

/// A subscription, as Redis is told it.
fn named(hook: &Hook) -> String {
    format!("{}/{}", hook.site, hook.name)
}

/// A time as Redis tells it; none if it tells none.
fn time(text: &str) -> Option<UnixTime> {
    text.parse().ok().map(UnixTime::from_millis)
}
