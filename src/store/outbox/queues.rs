//! The deliveries of a site, where one process keeps them all: in memory, changed by
//! [`Change`]s that its keeper makes last.

use std::collections::{BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;

use async_trait::async_trait;
use parking_lot::Mutex;

use super::{Delivery, DeliveryState, Depth, Hook, Kept, Outbox, Progress, Replayed};
use crate::clock::UnixTime;
use crate::store::{Change, Keeper, Memory, Outage};

/// Most deliveries of a subscription that wait or are dead letters; beyond, the oldest dead
/// letter goes, and where there is none, what is new.
const MOST: usize = 100_000;
/// How many of them may be there when one of a guest's is put in: anybody can be any number of
/// guests, and must not crowd out whoever is verified.
const MOST_BEFORE_GUESTS: usize = MOST / 4 * 3;
/// Delivered ones that are shown.
const SHOWN: usize = 1000;

/// The deliveries of a site, by subscription.
#[derive(Default)]
pub struct Queues(Mutex<HashMap<Arc<str>, Arc<Mutex<Queue>>>>);

#[derive(Default)]
struct Queue {
    kept: HashMap<Arc<str>, Kept>,
    /// Those that may be tried since they are here: their ids sort by time.
    fresh: BTreeSet<Arc<str>>,
    /// All others, by when they are tried.
    due: BTreeSet<(UnixTime, Arc<str>)>,
    /// Both of them, and those under way.
    queued: BTreeSet<Arc<str>>,
    dead: BTreeSet<Arc<str>>,
    /// Under way: in neither of the others.
    taken: HashSet<Arc<str>>,
    delivered: VecDeque<Arc<str>>,
}

impl Queue {
    /// Files a delivery where its progress says it belongs.
    fn file(&mut self, id: &Arc<str>, progress: &Progress) {
        if progress.state == DeliveryState::Queued {
            self.queued.insert(id.clone());
        }
        match progress.state {
            DeliveryState::Queued if progress.is_fresh() => {
                self.fresh.insert(id.clone());
            }
            DeliveryState::Queued => {
                self.due.insert((progress.due, id.clone()));
            }
            DeliveryState::Dead => {
                self.dead.insert(id.clone());
            }
            DeliveryState::Delivered => self.delivered.push_back(id.clone()),
        }
    }

    fn unfile(&mut self, id: &Arc<str>) {
        let Some(kept) = self.kept.get(id) else { return };
        self.queued.remove(id);
        self.taken.remove(id);
        self.fresh.remove(id);
        self.due.remove(&(kept.progress.due, id.clone()));
        self.dead.remove(id);
    }

    /// The latest of each state that is asked for, at most so many.
    fn latest(&self, state: Option<DeliveryState>, most: usize) -> Vec<Arc<str>> {
        let wanted = |of: DeliveryState| state.is_none_or(|state| state == of);
        let mut ids = Vec::new();
        if wanted(DeliveryState::Queued) {
            ids.extend(self.queued.iter().rev().take(most).cloned());
        }
        if wanted(DeliveryState::Dead) {
            ids.extend(self.dead.iter().rev().take(most).cloned());
        }
        // In the order in which they were delivered: all of them.
        if wanted(DeliveryState::Delivered) {
            ids.extend(self.delivered.iter().cloned());
        }
        ids
    }

    /// Whether there is room for one more, of a guest or of somebody who is verified.
    fn makes_room(&mut self, of_guest: bool) -> bool {
        let most = if of_guest { MOST_BEFORE_GUESTS } else { MOST };
        if self.kept.len() - self.delivered.len() < most {
            return true;
        }
        let oldest = self.dead.pop_first();
        oldest.is_some_and(|oldest| self.kept.remove(&oldest).is_some())
    }

    fn trim_delivered(&mut self) {
        while self.delivered.len() > SHOWN {
            let oldest = self.delivered.pop_front();
            oldest.and_then(|oldest| self.kept.remove(&oldest));
        }
    }
}

impl Queues {
    /// Adds a delivery; one that is there already stays as it is. Says whether there was room.
    pub fn put(&self, delivery: &Arc<Delivery>, progress: &Progress) -> bool {
        let queue = self.0.lock().entry(delivery.webhook.clone()).or_default().clone();
        let mut queue = queue.lock();
        if queue.kept.contains_key(&delivery.id) {
            return true;
        }
        if !queue.makes_room(delivery.visitor.starts_with("g_")) {
            return false;
        }
        let (id, kind) = (delivery.id.clone(), delivery.event.kind);
        queue.file(&id, progress);
        let delivery = Some(delivery.clone());
        queue.kept.insert(id.clone(), Kept { id, kind, delivery, progress: progress.clone() });
        true
    }

    /// Notes how far a delivery has come. Once it is delivered, what it said is dropped.
    pub fn settle(&self, webhook: &str, id: &Arc<str>, progress: &Progress) {
        let Some(queue) = self.find(webhook) else { return };
        let mut queue = queue.lock();
        let over = |kept: &Kept| kept.progress.state == DeliveryState::Delivered;
        if queue.kept.get(id).is_none_or(over) {
            return;
        }
        queue.unfile(id);
        queue.file(id, progress);
        if let Some(kept) = queue.kept.get_mut(id) {
            kept.progress = progress.clone();
            if over(kept) {
                kept.delivery = None;
            }
        }
        queue.trim_delivered();
    }

    /// Drops all that is kept for a subscription.
    pub fn drop_all(&self, webhook: &str) {
        // What is put in at the same moment must not go astray: the queue itself stays.
        if let Some(queue) = self.find(webhook) {
            *queue.lock() = Queue::default();
        }
    }

    /// Drops what is kept about a visitor, of events until then.
    pub fn forget(&self, visitor: &str, at: UnixTime) {
        let is_about =
            |delivery: &Delivery| *delivery.visitor == *visitor && delivery.event.at <= at;
        for queue in self.all() {
            let mut queue = queue.lock();
            let about = |kept: &&Kept| kept.delivery.as_deref().is_some_and(is_about);
            let ids: Vec<_> =
                queue.kept.values().filter(about).map(|kept| kept.id.clone()).collect();
            for id in ids {
                queue.unfile(&id);
                queue.kept.remove(&id);
            }
        }
    }

    fn all(&self) -> Vec<Arc<Mutex<Queue>>> {
        self.0.lock().values().cloned().collect()
    }

    fn find(&self, webhook: &str) -> Option<Arc<Mutex<Queue>>> {
        self.0.lock().get(webhook).cloned()
    }

    /// Whether a delivery is still kept, with what it says.
    pub fn holds(&self, webhook: &str, id: &str) -> bool {
        let held =
            |queue: &mut Queue| queue.kept.get(id).is_some_and(|kept| kept.delivery.is_some());
        self.of(webhook, held) == Some(true)
    }

    /// How many deliveries to each subscription are not delivered.
    pub fn waiting(&self) -> Vec<(Arc<str>, usize)> {
        let queues: Vec<_> =
            self.0.lock().iter().map(|(name, queue)| (name.clone(), queue.clone())).collect();
        let undelivered = |queue: &Mutex<Queue>| {
            let queue = queue.lock();
            queue.queued.len() + queue.dead.len()
        };
        queues.into_iter().map(|(name, queue)| (name, undelivered(&queue))).collect()
    }

    /// Looks at every delivery that is not delivered.
    pub fn each(&self, mut look: impl FnMut(&Arc<Delivery>, &Progress)) {
        for queue in self.all() {
            for kept in queue.lock().kept.values() {
                if let Some(delivery) = &kept.delivery {
                    look(delivery, &kept.progress);
                }
            }
        }
    }

    fn of<T>(&self, webhook: &str, look: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        self.find(webhook).map(|queue| look(&mut queue.lock()))
    }
}

/// The outbox of a store that one process has to itself.
pub struct Local {
    memory: Arc<Memory>,
    keeper: Arc<dyn Keeper>,
}

impl Local {
    /// Over this memory, whose changes this keeper makes last.
    pub fn new(memory: Arc<Memory>, keeper: Arc<dyn Keeper>) -> Self {
        Self { memory, keeper }
    }

    fn queue<T>(&self, hook: &Hook, look: impl FnOnce(&mut Queue) -> T) -> Option<T> {
        self.memory.site(&hook.site)?.queues.of(&hook.name, look)
    }

    fn progress(hook: &Hook, id: &Arc<str>, progress: Progress) -> Change {
        let (site, webhook, id) = (hook.site.clone(), hook.name.clone(), id.clone());
        Change::Progress { site, webhook, id, progress }
    }
}

#[async_trait]
impl Outbox for Local {
    async fn owns(&self, _hook: &Hook) -> Result<bool, Outage> {
        Ok(true)
    }

    async fn take(
        &self,
        hook: &Hook,
        now: UnixTime,
        most: usize,
    ) -> Result<Vec<(Arc<Delivery>, Progress)>, Outage> {
        let taken = self.queue(hook, |queue| {
            let mut taken = Vec::new();
            // However many are fresh, half of the room is for others.
            let late = queue.due.iter().take_while(|(due, _)| *due <= now).take(most / 2).count();
            while taken.len() < most {
                let fresh = match taken.len() < most - late {
                    true => queue.fresh.pop_first(),
                    false => None,
                };
                let id = match fresh {
                    Some(id) => id,
                    None if queue.due.first().is_some_and(|(due, _)| *due <= now) => {
                        match queue.due.pop_first() {
                            Some((_, id)) => id,
                            None => break,
                        }
                    }
                    None => break,
                };
                let Some(kept) = queue.kept.get(&id) else { continue };
                let Some(delivery) = &kept.delivery else { continue };
                taken.push((delivery.clone(), kept.progress.clone()));
                queue.taken.insert(id);
            }
            taken
        });
        Ok(taken.unwrap_or_default())
    }

    fn next_due(&self, hook: &Hook) -> Option<UnixTime> {
        self.queue(hook, |queue| match queue.fresh.is_empty() {
            true => queue.due.first().map(|(due, _)| *due),
            false => Some(UnixTime::default()),
        })?
    }

    async fn settle(&self, hook: &Hook, id: &Arc<str>, progress: Progress) -> Result<(), Outage> {
        let change = Self::progress(hook, id, progress);
        self.memory.apply(&change);
        self.keeper.note(change);
        Ok(())
    }

    async fn give_back(&self, hook: &Hook, id: &Arc<str>) {
        self.queue(hook, |queue| {
            if queue.taken.remove(id)
                && let Some(progress) = queue.kept.get(id).map(|kept| kept.progress.clone())
            {
                queue.file(id, &progress);
            }
        });
    }

    async fn list(
        &self,
        hook: &Hook,
        state: Option<DeliveryState>,
        most: usize,
    ) -> Result<Vec<Kept>, Outage> {
        let listed = self.queue(hook, |queue| {
            let mut ids = queue.latest(state, most);
            ids.sort_by(|one, other| other.cmp(one));
            ids.truncate(most);
            ids.iter().filter_map(|id| queue.kept.get(id).cloned()).collect::<Vec<_>>()
        });
        Ok(listed.unwrap_or_default())
    }

    async fn replay(&self, hook: &Hook, id: &str, now: UnixTime) -> Result<Replayed, Outage> {
        let found = self.queue(hook, |queue| {
            queue.kept.get(id).map(|kept| (kept.id.clone(), kept.progress.state))
        });
        match found.flatten() {
            None => Ok(Replayed::Unknown),
            Some((id, DeliveryState::Dead)) => {
                let change = Self::progress(hook, &id, Progress::replayed(now));
                self.keeper.write(change).await?;
                Ok(Replayed::Queued)
            }
            Some(_) => Ok(Replayed::NotDead),
        }
    }

    async fn depth(&self, hook: &Hook) -> Result<Depth, Outage> {
        let depth = self.queue(hook, |queue| {
            let oldest = queue.queued.first().and_then(|id| queue.kept.get(id));
            let oldest = oldest.and_then(|kept| Some(kept.delivery.as_ref()?.event.at));
            Depth { queued: queue.queued.len(), dead: queue.dead.len(), oldest }
        });
        Ok(depth.unwrap_or_default())
    }

    async fn drop_all(&self, hook: &Hook) -> Result<(), Outage> {
        let (site, webhook) = (hook.site.clone(), hook.name.clone());
        self.keeper.write(Change::Drop { site, webhook }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::outbox::{Event, EventKind};

    fn put(queues: &Queues, number: usize, visitor: &str) -> bool {
        let event = Event {
            kind: EventKind::ChatStarted,
            at: UnixTime::from_secs(number as u64),
            request_id: "r".into(),
            account_id: "".into(),
            agent_id: "".into(),
            verified: false,
            email: None,
            name: None,
            claimed: None,
        };
        let (id, webhook) = (format!("{number:08}").into(), "crm".into());
        let delivery = Delivery { id, webhook, visitor: visitor.into(), print: 0, event };
        queues.put(&Arc::new(delivery), &Progress::fresh(UnixTime::from_secs(number as u64)))
    }

    #[test]
    fn guests_do_not_crowd_out_whoever_is_verified() {
        let queues = Queues::default();
        assert!((0..MOST_BEFORE_GUESTS).all(|number| put(&queues, number, "g_1")));
        assert!(!put(&queues, MOST_BEFORE_GUESTS, "g_2"));
        assert!((MOST_BEFORE_GUESTS..MOST).all(|number| put(&queues, number, "ada")));
        assert!(!put(&queues, MOST, "ada"));
        let dead = Progress { state: DeliveryState::Dead, ..Progress::fresh(UnixTime::default()) };
        queues.settle("crm", &"00000003".into(), &dead);
        assert!(put(&queues, MOST, "ada"), "the dead letter goes");
    }

    #[test]
    fn what_is_asked_to_be_forgotten_is_what_happened_until_then() {
        let queues = Queues::default();
        assert!(put(&queues, 10, "ada") && put(&queues, 20, "ada") && put(&queues, 5, "bob"));
        queues.forget("ada", UnixTime::from_secs(10));
        let held = ["00000005", "00000010", "00000020"].map(|id| queues.holds("crm", id));
        assert_eq!(held, [true, false, true]);
    }
}
