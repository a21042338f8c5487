//! Chats that this process has just told Redis of, with who is to hear of them: a crash of
//! Redis loses what it had not yet written, a second or so.

use std::collections::VecDeque;
use std::time::Duration;

use parking_lot::Mutex;

use crate::clock::UnixTime;
use crate::store::Change;

/// How long before Redis was lost something may have been told it that it has lost, too.
const LAST: Duration = Duration::from_secs(10);
/// Most chats that are kept for that: a few MB.
const MOST: usize = 5000;

/// The chats.
#[derive(Default)]
pub struct Recent(Mutex<Chats>);

#[derive(Default)]
struct Chats {
    begun: VecDeque<(UnixTime, Change)>,
    /// When Redis was lost.
    lost: UnixTime,
}

impl Recent {
    /// A change is told, now. While Redis is away (`up` is false) none is too old.
    pub fn note(&self, change: &Change, now: UnixTime, up: bool) {
        let Change::Chat { chat, .. } = change else { return };
        if chat.deliveries.is_empty() {
            return;
        }
        let mut chats = self.0.lock();
        while up && chats.begun.front().is_some_and(|(at, _)| now.since(*at) > LAST) {
            chats.begun.pop_front();
        }
        if chats.begun.len() >= MOST {
            chats.begun.pop_front();
        }
        chats.begun.push_back((now, change.clone()));
    }

    /// Redis is lost, now.
    pub fn lose(&self, now: UnixTime) {
        self.0.lock().lost = now;
    }

    /// What Redis may have been told in vain.
    pub fn all(&self) -> Vec<Change> {
        let chats = self.0.lock();
        let late = |(at, _): &&(UnixTime, Change)| chats.lost.since(*at) <= LAST;
        chats.begun.iter().filter(late).map(|(_, change)| change.clone()).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::store::Chat;
    use crate::store::outbox::{Delivery, Event, EventKind};

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn chat(session: &str, told: bool) -> Change {
        let event = Event {
            kind: EventKind::ChatStarted,
            at: at(1),
            request_id: "r".into(),
            account_id: "".into(),
            agent_id: "".into(),
            verified: true,
            email: None,
            name: None,
            claimed: None,
        };
        let delivery = Delivery {
            id: session.into(),
            webhook: "crm".into(),
            visitor: "ada".into(),
            print: 0,
            event,
        };
        let chat = Chat {
            session: session.into(),
            visitor: "ada".into(),
            account_id: "".into(),
            agent_id: "".into(),
            at: at(1),
            until: at(9),
            known_until: at(9),
            deliveries: told.then(|| Arc::new(delivery)).into_iter().collect(),
        };
        Change::Chat { site: "acme".into(), chat: Arc::new(chat) }
    }

    #[test]
    fn what_was_told_shortly_before_redis_was_lost_and_since_is_known() {
        let recent = Recent::default();
        recent.note(&chat("old", true), at(100), true);
        recent.note(&chat("of no interest", false), at(105), true);
        recent.note(&chat("late", true), at(108), true);
        recent.lose(at(115));
        recent.note(&chat("since", true), at(500), false);
        assert_eq!(recent.all(), [chat("late", true), chat("since", true)]);
    }
}
