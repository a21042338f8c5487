//! What was taken out of the outbox and may be tried now: whose turn it is, and what is under
//! way.
//!
//! First attempts of one visitor go one after the other, in the order of their events; a
//! retry holds nothing back, and nothing holds back a retry. However much waits behind one
//! visitor's attempt, there is room for others.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use tokio::task;

use crate::store::outbox::{Delivery, Progress};

/// Deliveries that are taken and not yet under way.
const MOST_HELD: usize = 256;
/// How many of them count that wait for one visitor's first attempts.
const COUNTED_OF_ONE: usize = 8;
/// How many are held where few visitors have that many.
const MOST_IN_ALL: usize = 4096;

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
    /// How many more may be taken: never just one, which could not be shared by first
    /// attempts and others.
    pub fn room(&self) -> usize {
        let (mut of_one, mut counted) = (HashMap::<&str, usize>::new(), 0_usize);
        for (delivery, progress) in &self.held {
            if progress.attempts == 0 {
                let waiting = of_one.entry(&*delivery.visitor).or_default();
                *waiting += 1;
                if *waiting > COUNTED_OF_ONE {
                    continue;
                }
            }
            counted += 1;
        }
        let left = MOST_HELD.saturating_sub(counted);
        let room = left.min(MOST_IN_ALL.saturating_sub(self.held.len()));
        if room == 1 { 0 } else { room }
    }

    /// Takes in what was taken, in the order of the outbox.
    pub fn take_in(&mut self, taken: impl IntoIterator<Item = Taken>) {
        self.held.extend(taken);
    }

    /// Those to be tried now, so that no more than so many are under way.
    pub fn next(&mut self, most: usize) -> Vec<Taken> {
        let mut next = Vec::new();
        let mut behind = HashSet::new();
        let mut kept = VecDeque::with_capacity(self.held.len());
        while let Some((delivery, progress)) = self.held.pop_front() {
            let visitor = &delivery.visitor;
            let is_first = progress.attempts == 0;
            let has_to_wait =
                is_first && (self.busy.contains_key(visitor) || behind.contains(visitor));
            let is_full = self.under_way.len() + next.len() >= most;
            if has_to_wait || is_full {
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

    /// What is not under way, to be put back.
    pub fn put_down(&mut self) -> impl Iterator<Item = Arc<Delivery>> + use<> {
        std::mem::take(&mut self.held).into_iter().map(|(delivery, _)| delivery)
    }

    /// The same of one visitor.
    pub fn put_down_of(&mut self, visitor: &str) -> Vec<Arc<Delivery>> {
        let held = std::mem::take(&mut self.held);
        let (his, others): (VecDeque<_>, VecDeque<_>) =
            held.into_iter().partition(|(delivery, _)| *delivery.visitor == *visitor);
        self.held = others;
        his.into_iter().map(|(delivery, _)| delivery).collect()
    }

    /// What still is under way.
    pub fn left(&self) -> impl Iterator<Item = &Arc<Delivery>> {
        self.under_way.values()
    }
}
