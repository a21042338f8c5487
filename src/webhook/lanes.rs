//! What was taken out of the outbox: which of it may be tried now, and what is under way.
//!
//! First attempts of one visitor go one after the other, in the order of their events; a
//! retry holds nothing back, and nothing holds back a retry.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::task;

use crate::clock::UnixTime;
use crate::store::outbox::{Delivery, Progress};

/// Deliveries that are taken and not yet under way: those behind another of the same visitor.
const MOST_HELD: usize = 256;

/// A delivery that was taken, and how far it had come.
pub type Taken = (Arc<Delivery>, Progress);

/// Whose turn it is.
#[derive(Default)]
pub struct Lanes {
    held: VecDeque<Taken>,
    under_way: HashMap<task::Id, Arc<Delivery>>,
    /// Visitors whose first attempt is under way, and the attempt's event.
    busy: HashMap<Arc<str>, Arc<str>>,
}

impl Lanes {
    /// How many more may be taken.
    pub fn room(&self) -> usize {
        MOST_HELD.saturating_sub(self.held.len())
    }

    /// Takes in what was taken, in the order of the outbox.
    pub fn take_in(&mut self, taken: Vec<Taken>) {
        self.held.extend(taken);
    }

    /// Those to be tried now, so that no more than so many are under way. `wait` is what lies
    /// between an event and its first attempt.
    pub fn next(&mut self, now: UnixTime, wait: Duration, most: usize) -> Vec<Taken> {
        let mut next = Vec::new();
        let mut behind = HashSet::new();
        let mut kept = VecDeque::with_capacity(self.held.len());
        while let Some((delivery, progress)) = self.held.pop_front() {
            let visitor = &delivery.visitor;
            let is_first = progress.attempts == 0;
            let has_to_wait =
                is_first && (self.busy.contains_key(visitor) || behind.contains(visitor));
            let is_full = self.under_way.len() + next.len() >= most;
            if has_to_wait || is_full || now < ready(&delivery, &progress, wait) {
                if is_first {
                    behind.insert(visitor.clone());
                }
                kept.push_back((delivery, progress));
                continue;
            }
            if is_first {
                self.busy.insert(visitor.clone(), delivery.id.clone());
            }
            next.push((delivery, progress));
        }
        self.held = kept;
        next
    }

    /// An attempt is under way.
    pub fn began(&mut self, task: task::Id, delivery: Arc<Delivery>) {
        self.under_way.insert(task, delivery);
    }

    /// It is no more; says which one it was.
    pub fn ended(&mut self, task: task::Id) -> Option<Arc<Delivery>> {
        let delivery = self.under_way.remove(&task)?;
        if self.busy.get(&delivery.visitor) == Some(&delivery.id) {
            self.busy.remove(&delivery.visitor);
        }
        Some(delivery)
    }

    /// When the next may be tried, if one could be under way beside the others.
    pub fn soonest(&self, wait: Duration, most: usize) -> Option<UnixTime> {
        let is_free = |(delivery, _): &&Taken| !self.busy.contains_key(&delivery.visitor);
        let free = self.held.iter().filter(is_free);
        let soonest = free.map(|(delivery, progress)| ready(delivery, progress, wait)).min();
        soonest.filter(|_| self.under_way.len() < most)
    }

    /// What is not under way, to be put back.
    pub fn put_down(&mut self) -> impl Iterator<Item = Arc<Delivery>> {
        std::mem::take(&mut self.held).into_iter().map(|(delivery, _)| delivery)
    }

    /// What still is.
    pub fn left(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        self.under_way.values()
    }
}

fn ready(delivery: &Delivery, progress: &Progress, wait: Duration) -> UnixTime {
    match progress.attempts {
        0 => progress.due.max(delivery.event.at.after(wait)),
        _ => progress.due,
    }
}
