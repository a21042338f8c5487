//! What requests read: everything that is remembered, in this process's memory.
//!
//! A look-up takes a lock of one shard for as long as the look-up lasts, and nothing here
//! waits. Every change comes in through [`Memory::apply`], whoever made it, and whoever
//! must act on it hears of it there.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use parking_lot::Mutex;

use super::change::Change;
use super::digest::{Digest, DigestKey, Purpose};
use super::listeners::Listeners;
use super::sessions::Limits;
use super::site::SiteMemory;
use crate::clock::UnixTime;
use crate::plan::Plan;
use crate::secret::Secret;

type Sites = HashMap<Arc<str>, Arc<SiteMemory>>;

/// Everything that is remembered.
pub struct Memory {
    key: ArcSwap<DigestKey>,
    sites: ArcSwap<Sites>,
    /// Held while a site is added.
    adding: Mutex<()>,
    current: AtomicBool,
    /// Deliveries are kept elsewhere.
    leaves_deliveries: bool,
    listeners: Listeners,
    /// Told of what follows from a change, and must be kept like it.
    followers: Listeners,
}

impl Memory {
    /// An empty memory whose digests have this key.
    pub fn new(key: &Secret) -> Self {
        Self {
            key: ArcSwap::from_pointee(DigestKey::new(key)),
            sites: ArcSwap::default(),
            adding: Mutex::default(),
            current: AtomicBool::new(true),
            leaves_deliveries: false,
            listeners: Listeners::default(),
            followers: Listeners::default(),
        }
    }

    /// The same, for a keeper that has its own [`Outbox`](super::Outbox): what is to be
    /// delivered is not kept here.
    #[cfg(feature = "redis")]
    pub(super) fn without_deliveries(key: &Secret) -> Self {
        Self { leaves_deliveries: true, ..Self::new(key) }
    }

    /// The digest of a credential, a session's token or a credential's own id.
    pub fn digest(&self, purpose: Purpose, value: &str) -> Digest {
        self.key.load().digest(purpose, value)
    }

    /// What a guest is called of whom only this session is known: `g_` and 32 hexadecimal
    /// digits. Whoever is told of it learns nothing of the session's token.
    pub fn guest(&self, session: &Digest) -> Arc<str> {
        let digest = self.digest(Purpose::Guest, &String::from(*session));
        format!("g_{}", String::from(digest)).into()
    }

    /// Takes the replicas' key; what is remembered by a digest of another is not found again.
    pub fn set_key(&self, key: &Secret) {
        self.key.store(Arc::new(DigestKey::new(key)));
    }

    /// What is remembered of a site's visitors.
    pub fn site(&self, name: &str) -> Option<Arc<SiteMemory>> {
        self.sites.load().get(name).cloned()
    }

    /// Makes room for the sites of a Plan and takes over their limits.
    pub fn prepare(&self, plan: &Plan) {
        for site in &plan.sites {
            let limits = site
                .remembers
                .session
                .as_deref()
                .map(|session| Limits { all: session.max, of_one: session.max_per_identity });
            let limits = limits.unwrap_or_default();
            self.site_or_new(&site.name).prepare(limits, site.remembers.logout_hold);
        }
    }

    /// Whether memory is known to be up to date; with a shared store that cannot be reached
    /// it may not be.
    pub fn is_current(&self) -> bool {
        self.current.load(Ordering::Relaxed)
    }

    /// Says whether it is.
    pub fn set_current(&self, current: bool) {
        self.current.store(current, Ordering::Relaxed);
    }

    /// Has every change told to whoever must act on it.
    pub fn listen(&self, listener: impl Fn(&Change) + Send + Sync + 'static) {
        self.listeners.add(listener);
    }

    /// Has those changes told that follow from another one in this process alone, so that
    /// they are kept and reach the replicas: credentials that a logout holds.
    pub(super) fn keep_what_follows(&self, keeper: impl Fn(&Change) + Send + Sync + 'static) {
        self.followers.add(keeper);
    }

    /// Makes a change. The same one again changes nothing. An older one changes nothing
    /// either, but for bans: of [`Change::Ban`] and [`Change::Unban`] the last one told
    /// holds, so whoever tells them must keep their order.
    pub fn apply(&self, change: &Change) {
        let site = self.site_or_new(change.site());
        let following = site.apply(change);
        self.listeners.tell(change);
        for change in following {
            site.apply(&change);
            self.listeners.tell(&change);
            self.followers.tell(&change);
        }
    }

    /// Whether a session is bound to the same already, a short while ago; or a chat of the
    /// same session has begun.
    pub(super) fn knows(&self, change: &Change) -> bool {
        let Some(site) = self.site(change.site()) else { return false };
        match change {
            Change::Bind { session, binding, .. } => site.knows(session, binding),
            Change::Chat { chat, .. } => site.visits.has_begun(&chat.session, chat.at),
            _ => false,
        }
    }

    /// What [`Memory::apply`] would have follow from a change.
    pub(super) fn would_follow(&self, change: &Change) -> Vec<Change> {
        match (change, self.site(change.site())) {
            (Change::Logout { site: name, id, at }, Some(site)) if site.is_news(id, *at) => {
                site.holds(name, &site.seen(id), *at)
            }
            _ => Vec::new(),
        }
    }

    /// Forgets what has come to its end.
    pub fn purge(&self, now: UnixTime) {
        for site in self.sites.load().values() {
            site.purge(now);
        }
    }

    /// Every change that would make an empty memory into this one.
    pub fn each_change(&self, mut tell: impl FnMut(Change)) {
        for (name, site) in &**self.sites.load() {
            site.each_change(name, &mut tell);
        }
    }

    /// The same, made if it is not there yet.
    pub fn site_or_new(&self, name: &Arc<str>) -> Arc<SiteMemory> {
        if let Some(site) = self.site(name) {
            return site;
        }
        let _adding = self.adding.lock();
        if let Some(site) = self.site(name) {
            return site;
        }
        let site = Arc::new(SiteMemory::new(self.leaves_deliveries));
        let mut sites = Sites::clone(&self.sites.load());
        sites.insert(name.clone(), site.clone());
        self.sites.store(Arc::new(sites));
        site
    }
}
