//! What is remembered of one site's visitors: marks of identities, sessions, and credentials
//! that are refused or used up.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::change::{Ban, Binding, Change};
use super::digest::Digest;
use super::outbox::queues::Queues;
use super::outbox::{Delivery, Progress};
use super::sessions::{Limits, Sessions, Wishes};
use super::shards::Shards;
use super::subscriptions::Subscriptions;
use super::visits::Visits;
use crate::clock::UnixTime;

/// Credentials of one identity that are known by their digests, for a logout.
const SEEN: usize = 32;
/// How long they are known after the last of them was seen, and how often that is noted.
const SEEN_KEPT: Duration = Duration::from_secs(24 * 60 * 60);
const SEEN_ANEW: Duration = Duration::from_secs(60);
/// How long a logout is remembered: longer than any session or credential should live.
pub(super) const LOGOUTS_KEPT: Duration = Duration::from_secs(400 * 24 * 60 * 60);
/// How long what was on its way when somebody was forgotten may still arrive.
pub(super) const FORGOTTEN_KEPT: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// What is remembered of one site's visitors.
#[derive(Default)]
pub struct SiteMemory {
    marks: Shards<Arc<str>, Marks>,
    pub(super) sessions: Sessions,
    held: Shards<Digest, UnixTime>,
    used: Shards<Digest, Used>,
    pub(super) visits: Visits,
    pub(super) subscriptions: Subscriptions,
    pub(super) queues: Queues,
    /// Deliveries are kept elsewhere.
    leaves_deliveries: bool,
    /// For how many milliseconds a logout refuses the credentials that were seen.
    logout_hold: AtomicU64,
}

/// What is remembered of an identity.
#[derive(Default)]
struct Marks {
    ban: Option<Ban>,
    /// What was issued or bound until then is revoked.
    logout: Option<UnixTime>,
    /// What was bound until then is revoked.
    ended: Option<UnixTime>,
    /// What was bound until then is not to be known.
    forgotten: Option<UnixTime>,
    /// Credentials that do not say when they were issued.
    seen: Vec<Digest>,
    /// When the last of them was.
    seen_at: UnixTime,
}

/// Where an identity stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Mark {
    /// It is banned.
    pub banned: bool,
    /// Credentials issued until then are revoked.
    pub logout: Option<UnixTime>,
    /// Sessions bound until then are revoked.
    pub ended: Option<UnixTime>,
}

#[derive(Clone, Copy)]
struct Used {
    at: UnixTime,
    until: UnixTime,
}

impl SiteMemory {
    /// Of a site of which nothing is remembered yet.
    pub(super) fn new(leaves_deliveries: bool) -> Self {
        Self { leaves_deliveries, ..Self::default() }
    }

    /// Where an identity stands.
    pub fn mark(&self, id: &str, now: UnixTime) -> Mark {
        let of = |marks: &Marks| Mark {
            banned: marks.ban.as_ref().is_some_and(|ban| ban.holds(now)),
            logout: marks.logout,
            ended: marks.ended.max(marks.logout),
        };
        self.marks.read(id, of).unwrap_or_default()
    }

    /// Whether there is a credential that is refused for itself, so that its digest is worth
    /// computing.
    pub fn holds_any(&self) -> bool {
        !self.held.is_empty()
    }

    /// Whether this very credential is refused.
    pub fn is_held(&self, credential: &Digest, now: UnixTime) -> bool {
        self.held.read(credential, |until| now < *until).unwrap_or_default()
    }

    /// What a session stands or stood for ([`Binding::stands`]). A session that is over by
    /// itself is remembered only while its identity is banned.
    pub fn session(&self, session: &Digest) -> Option<Arc<Binding>> {
        self.sessions.get(session)
    }

    /// Uses a credential that serves once; says when it was first used.
    pub fn use_once(&self, credential: Digest, now: UnixTime, until: UnixTime) -> UnixTime {
        let first = |map: &mut HashMap<_, Used, _>| {
            let used = map.entry(credential).or_insert(Used { at: now, until });
            used.at
        };
        self.used.write(&credential, first).unwrap_or(now)
    }

    /// Remembers a credential that does not say when it was issued.
    pub fn saw(&self, id: &str, credential: Digest, now: UnixTime) {
        let known = |marks: &Marks| {
            marks.seen.last() == Some(&credential) && now.since(marks.seen_at) < SEEN_ANEW
        };
        if self.marks.read(id, known) == Some(true) {
            return;
        }
        self.mark_of(id, |marks| {
            marks.seen.retain(|seen| *seen != credential);
            marks.seen.push(credential);
            marks.seen_at = now;
            let over = marks.seen.len().saturating_sub(SEEN);
            marks.seen.drain(..over);
        });
    }

    /// The credentials that were seen of an identity and do not say when they were issued.
    pub fn seen(&self, id: &str) -> Vec<Digest> {
        self.marks.read(id, |marks| marks.seen.clone()).unwrap_or_default()
    }

    /// The ban of an identity that is in force.
    pub fn ban(&self, id: &str, now: UnixTime) -> Option<Ban> {
        self.marks.read(id, |marks| marks.ban.clone().filter(|ban| ban.holds(now)))?
    }

    /// Every ban in force, by identity.
    pub fn bans(&self, now: UnixTime) -> Vec<(Arc<str>, Ban)> {
        let mut bans = Vec::new();
        self.marks.each(|id, marks| {
            bans.extend(
                marks.ban.clone().filter(|ban| ban.holds(now)).map(|ban| (id.clone(), ban)),
            );
        });
        bans.sort_by(|(one, _), (other, _)| one.cmp(other));
        bans
    }

    /// The sessions of an identity, by their digests.
    pub fn sessions_of(&self, id: &str) -> Vec<(Digest, Arc<Binding>)> {
        self.sessions.of(id)
    }

    /// How many bans (also lapsed ones not yet purged) and sessions are remembered.
    pub fn len(&self) -> (usize, usize) {
        (self.marks.len(), self.sessions.len())
    }

    /// Whether a session is bound to the same already, a short while ago.
    pub(super) fn knows(&self, session: &Digest, binding: &Binding) -> bool {
        let known = self.sessions.get(session);
        known.is_some_and(|known| known.says_as_much_as(binding) && !self.keeps_out(&known))
    }

    /// Whether a logout of then is not known yet.
    pub(super) fn is_news(&self, id: &str, logout: UnixTime) -> bool {
        self.mark(id, logout).logout < Some(logout)
    }

    /// Makes a change, and says which others follow from it.
    pub(super) fn apply(&self, change: &Change) -> Vec<Change> {
        match change {
            Change::Ban { id, ban, .. } => self.mark_of(id, |marks| {
                marks.ended = marks.ended.max(Some(ban.since));
                marks.ban = Some(ban.clone());
            }),
            Change::Unban { id, .. } => self.mark_of(id, |marks| marks.ban = None),
            Change::Logout { site, id, at } => {
                let mut seen = Vec::new();
                self.mark_of(id, |marks| {
                    // The same logout told again must not hold what was seen since.
                    if marks.logout < Some(*at) {
                        marks.logout = Some(*at);
                        seen = std::mem::take(&mut marks.seen);
                    }
                });
                return self.holds(site, &seen, *at);
            }
            Change::Hold { credential, until, .. } => {
                self.held.write(credential, |map| {
                    let held = map.entry(*credential).or_insert(*until);
                    *held = (*held).max(*until);
                });
            }
            Change::Use { credential, at, until, .. } => {
                self.used.write(credential, |map| {
                    let used = map.entry(*credential).or_insert(Used { at: *at, until: *until });
                    used.at = used.at.min(*at);
                });
            }
            Change::Bind { session, binding, .. } => {
                self.sessions.bind(*session, binding, self);
            }
            Change::End { session, at, .. } => self.sessions.end(session, *at),
            Change::Forget { id, at, .. } => {
                // First: what is bound meanwhile must find it.
                self.mark_of(id, |marks| {
                    marks.forgotten = marks.forgotten.max(Some(*at));
                    marks.seen.clear();
                });
                self.sessions.forget(id, *at);
                self.visits.forget(id);
                self.queues.forget(id);
            }
            Change::Chat { chat, .. } => {
                if !self.has_forgotten(&chat.visitor, chat.at) && self.visits.begin(chat) {
                    self.queue(&chat.deliveries, chat.at);
                }
            }
            Change::Details { posted, .. } => {
                self.visits.learn(posted);
                self.queue(&posted.deliveries, posted.at);
            }
            Change::Subscription { webhook, entry, .. } => {
                self.subscriptions.set(webhook, entry.as_ref());
            }
            Change::Confirmation { webhook, confirmation, .. } => {
                self.subscriptions.confirm(webhook, confirmation);
            }
            Change::Delivery { delivery, progress, .. } => self.keep(delivery, progress),
            Change::Progress { webhook, id, progress, .. } => {
                self.queues.settle(webhook, id, progress);
            }
            Change::Drop { webhook, .. } => self.queues.drop_all(webhook),
        }
        Vec::new()
    }

    /// Whether somebody was to be forgotten since then.
    fn has_forgotten(&self, id: &str, since: UnixTime) -> bool {
        let forgotten = self.marks.read(id, |marks| marks.forgotten).flatten();
        forgotten.is_some_and(|at| since <= at)
    }

    fn queue(&self, deliveries: &[Arc<Delivery>], at: UnixTime) {
        deliveries.iter().for_each(|delivery| self.keep(delivery, &Progress::fresh(at)));
    }

    fn keep(&self, delivery: &Arc<Delivery>, progress: &Progress) {
        if !self.leaves_deliveries && !self.queues.put(delivery, progress) {
            let (webhook, id) = (&*delivery.webhook, &*delivery.id);
            tracing::error!(webhook, id, "too many deliveries wait: this one is dropped");
        }
    }

    /// Whose chats have begun, and what is known of them.
    pub fn visits(&self) -> &Visits {
        &self.visits
    }

    /// Subscriptions made through the admin API, and what receivers said of all.
    pub fn subscriptions(&self) -> &Subscriptions {
        &self.subscriptions
    }

    /// What refuses, after a logout, credentials that cannot be told from fresh ones.
    pub(super) fn holds(&self, site: &Arc<str>, seen: &[Digest], at: UnixTime) -> Vec<Change> {
        let hold = Duration::from_millis(self.logout_hold.load(Ordering::Relaxed));
        if hold.is_zero() {
            return Vec::new();
        }
        let until = at.after(hold);
        let held = |credential: &Digest| {
            let (site, credential) = (site.clone(), *credential);
            Change::Hold { site, credential, until }
        };
        seen.iter().map(held).collect()
    }

    /// Takes over what the configuration says of a site's memory.
    pub(super) fn prepare(&self, limits: Limits, logout_hold: Duration) {
        self.sessions.limit(limits);
        let hold = u64::try_from(logout_hold.as_millis()).unwrap_or(u64::MAX);
        self.logout_hold.store(hold, Ordering::Relaxed);
    }

    fn mark_of(&self, id: &str, change: impl FnOnce(&mut Marks)) {
        self.marks.write(id, |map| match map.get_mut(id) {
            Some(marks) => change(marks),
            None => change(map.entry(id.into()).or_default()),
        });
    }

    /// Forgets what has come to its end.
    pub(super) fn purge(&self, now: UnixTime) {
        self.held.retain(|_, until| now < *until);
        self.used.retain(|_, used| now < used.until);
        self.sessions.purge(now, |id| self.mark(id, now).banned);
        self.visits.purge(now);
        self.marks.retain(|_, marks| {
            marks.ban = marks.ban.take().filter(|ban| ban.holds(now));
            let fresh = |at: Option<UnixTime>, kept| at.is_some_and(|at| now.since(at) < kept);
            marks.forgotten = marks.forgotten.filter(|at| fresh(Some(*at), FORGOTTEN_KEPT));
            marks.ban.is_some()
                || fresh(marks.logout, LOGOUTS_KEPT)
                || fresh(marks.ended, LOGOUTS_KEPT)
                || marks.forgotten.is_some()
                || !marks.seen.is_empty() && now.since(marks.seen_at) < SEEN_KEPT
        });
    }

    /// Every change that would make an empty memory into this one.
    pub(super) fn each_change(&self, site: &Arc<str>, tell: &mut impl FnMut(Change)) {
        let site = || site.clone();
        self.marks.each(|id, marks| {
            let id = || id.clone();
            match (&marks.ban, marks.ended) {
                (Some(ban), _) => tell(Change::Ban { site: site(), id: id(), ban: ban.clone() }),
                // A lifted ban still ends what was bound before it.
                (None, Some(since)) => {
                    let ban = Ban { reason: None, since, until: Some(since) };
                    tell(Change::Ban { site: site(), id: id(), ban });
                }
                (None, None) => {}
            }
            if let Some(at) = marks.logout {
                tell(Change::Logout { site: site(), id: id(), at });
            }
            if let Some(at) = marks.forgotten {
                tell(Change::Forget { site: site(), id: id(), at });
            }
        });
        self.held.each(|credential, until| {
            tell(Change::Hold { site: site(), credential: *credential, until: *until });
        });
        self.used.each(|credential, Used { at, until }| {
            let (at, until) = (*at, *until);
            tell(Change::Use { site: site(), credential: *credential, at, until });
        });
        self.sessions.each(|session, binding| {
            tell(Change::Bind { site: site(), session: *session, binding: binding.clone() });
        });
        self.visits.each_chat(|chat| tell(Change::Chat { site: site(), chat: chat.clone() }));
        self.visits.each_visitor(|visitor, visit| {
            if !visit.fields.is_empty() {
                tell(Change::Details { site: site(), posted: Arc::new(visit.as_posted(visitor)) });
            }
        });
        self.subscriptions.each_change(&site(), tell);
        self.queues.each(|delivery, progress| {
            let (delivery, progress) = (delivery.clone(), progress.clone());
            tell(Change::Delivery { site: site(), delivery, progress });
        });
    }
}

impl Wishes for SiteMemory {
    fn has_forgotten(&self, binding: &Binding) -> bool {
        SiteMemory::has_forgotten(self, binding.id(), binding.bound)
    }

    fn keeps_out(&self, binding: &Binding) -> bool {
        // A ban that has lapsed but is not purged yet counts: what is kept for it is little.
        let marked = |marks: &Marks| {
            let ended = marks.ended.max(marks.logout);
            marks.ban.is_some() || ended.is_some_and(|at| binding.bound <= at)
        };
        binding.ended.is_some() || self.marks.read(&**binding.id(), marked) == Some(true)
    }
}
