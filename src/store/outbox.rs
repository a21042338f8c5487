//! What is to be told to whom: an event for a subscription, kept until it has been told.
//!
//! Each event for each subscription is a [`Delivery`] of its own, and is told at least once.
//! Where one process keeps all, its [`queues`] lie in memory, and a keeper makes the changes
//! last; replicas share theirs in Redis, and one of them at a time delivers to a
//! subscription, so that first attempts go in order.

pub mod queues;

use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use super::Outage;
use crate::clock::UnixTime;

/// An event for a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    /// The same at every attempt: 32 hexadecimal digits that sort by time.
    pub id: Arc<str>,
    /// The subscription's name, unique in its site.
    pub webhook: Arc<str>,
    /// Whom it is about: an identity, or a guest's `g_…`. First attempts of one visitor's go
    /// in order.
    pub visitor: Arc<str>,
    /// What happened.
    pub event: Event,
    /// [`crate::plan::Webhook::print`] of the subscription that it was made for; 0: of any
    /// that has the name.
    #[serde(default, skip_serializing_if = "is_any")]
    pub print: u64,
}

fn is_any(print: &u64) -> bool {
    *print == 0
}

/// What happened, in facts; how they are written is the subscription's format.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Of what kind.
    pub kind: EventKind,
    /// When.
    pub at: UnixTime,
    /// The request that brought it about.
    pub request_id: Arc<str>,
    /// The account that it names.
    pub account_id: Arc<str>,
    /// The agent that it names.
    pub agent_id: Arc<str>,
    /// Whether the visitor is verified.
    pub verified: bool,
    /// His signed email, if the subscription includes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// His signed name, if the subscription includes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What was claimed without proof, as a JSON object, if the subscription includes it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claimed: Option<String>,
}

/// The kinds of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EventKind {
    /// A chat has begun.
    #[serde(rename = "chat.started")]
    ChatStarted,
    /// The details of a visitor have changed: for the backend (`details.push`). What they are
    /// is looked up when it is told.
    #[serde(rename = "details.updated")]
    DetailsUpdated,
}

impl EventKind {
    /// Its word, on the wire and in the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ChatStarted => "chat.started",
            Self::DetailsUpdated => "details.updated",
        }
    }
}

/// How far a delivery has come.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Progress {
    /// Where it stands.
    pub state: DeliveryState,
    /// How often it has been tried.
    pub attempts: u32,
    /// The HTTP status of the last answer, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_status: Option<u16>,
    /// What was wrong with the last attempt, in a sentence without secrets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub problem: Option<String>,
    /// When this was noted.
    pub at: UnixTime,
    /// When it is tried next, if it is queued.
    pub due: UnixTime,
    /// An operator had it tried again: it goes to whoever has the subscription's name now.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub replayed: bool,
}

impl Progress {
    /// Nothing has been tried yet.
    pub fn fresh(at: UnixTime) -> Self {
        let state = DeliveryState::Queued;
        let (last_status, problem) = (None, None);
        Self { state, attempts: 0, last_status, problem, at, due: at, replayed: false }
    }

    /// The same of a dead letter that an operator has tried again.
    pub fn replayed(at: UnixTime) -> Self {
        Self { replayed: true, ..Self::fresh(at) }
    }

    /// Whether nothing has been tried, and it did not have to wait for that.
    pub fn is_fresh(&self) -> bool {
        self.attempts == 0 && self.due <= self.at
    }
}

/// Where a delivery stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum DeliveryState {
    /// It will be tried, again.
    Queued,
    /// Its receiver has it.
    Delivered,
    /// It was tried as often as it could be: a dead letter, which can be replayed.
    Dead,
}

/// A delivery and how far it has come. What it says is kept until it is delivered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its id.
    pub id: Arc<str>,
    /// Of what kind its event is.
    pub kind: EventKind,
    /// All of it, unless it is delivered.
    pub delivery: Option<Arc<Delivery>>,
    /// How far it has come.
    pub progress: Progress,
}

/// How much waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Depth {
    /// Queued deliveries.
    pub queued: usize,
    /// Dead letters.
    pub dead: usize,
    /// When the oldest queued event happened.
    pub oldest: Option<UnixTime>,
}

/// What became of asking for a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replayed {
    /// It is queued again; its attempts begin anew.
    Queued,
    /// It is queued already, or delivered.
    NotDead,
    /// There is none of this id.
    Unknown,
}

/// Which subscription.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Hook {
    /// Its site's name.
    pub site: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// The deliveries. They are put in by [`Change::Chat`](super::Change::Chat) and
/// [`Change::Details`](super::Change::Details).
#[async_trait]
pub trait Outbox: Send + Sync + 'static {
    /// Whether it is for this process to deliver to a subscription, now and for the next two
    /// seconds: to be asked each second while it is.
    ///
    /// # Errors
    /// Nobody can say: then nobody delivers.
    async fn owns(&self, hook: &Hook) -> Result<bool, Outage>;

    /// Deliveries whose time has come, at most so many, each only once until it is settled:
    /// first attempts in the order of their events, then others, for whom there is half of the
    /// room.
    ///
    /// # Errors
    /// They cannot be read.
    async fn take(
        &self,
        hook: &Hook,
        now: UnixTime,
        most: usize,
    ) -> Result<Vec<(Arc<Delivery>, Progress)>, Outage>;

    /// When the next one is due that is queued and not taken, as far as this process knows.
    fn next_due(&self, hook: &Hook) -> Option<UnixTime>;

    /// Notes what became of a delivery that was taken.
    ///
    /// # Errors
    /// It cannot be noted: it will be delivered again.
    async fn settle(&self, hook: &Hook, id: &Arc<str>, progress: Progress) -> Result<(), Outage>;

    /// Puts one back that was taken and not tried.
    async fn give_back(&self, hook: &Hook, id: &Arc<str>);

    /// What is kept, the latest events first, at most so many; of one state, if it is named.
    ///
    /// # Errors
    /// They cannot be read.
    async fn list(
        &self,
        hook: &Hook,
        state: Option<DeliveryState>,
        most: usize,
    ) -> Result<Vec<Kept>, Outage>;

    /// Queues a dead letter again.
    ///
    /// # Errors
    /// It could not be made durable: nothing has changed.
    async fn replay(&self, hook: &Hook, id: &str, now: UnixTime) -> Result<Replayed, Outage>;

    /// How much waits.
    ///
    /// # Errors
    /// Nobody can say.
    async fn depth(&self, hook: &Hook) -> Result<Depth, Outage>;

    /// Drops what is kept about a visitor of events until then, where [`Change::Forget`](super::Change::Forget)
    /// alone does not.
    ///
    /// # Errors
    /// It could not be done: some of it may still be there.
    async fn forget(&self, _site: &Arc<str>, _visitor: &str, _at: UnixTime) -> Result<(), Outage> {
        Ok(())
    }

    /// Drops all that is kept for a subscription that has gone.
    ///
    /// # Errors
    /// It could not be made durable.
    async fn drop_all(&self, hook: &Hook) -> Result<(), Outage>;
}
