//! What is kept in Redis under which key, and how a [`Change`] becomes a call of `apply.lua`.
//!
//! Everything starts with `countersign:`. An identity or visitor is named `site/id`, a
//! subscription `site/name`; a site's name has no slash. Personal data (names, emails,
//! attributes, details, events) and secrets are never in the log, but in keys of their own
//! where they can be deleted: the log says that a session was bound or something was said of
//! a visitor, and readers fetch it.
//!
//! | Key | |
//! |---|---|
//! | `meta` | hash: the digest key, the epoch, how many entries were ever made |
//! | `log` | stream of all changes |
//! | `bans`, `ended`, `logouts` | hashes by identity |
//! | `holds`, `uses`, `forgotten` | sorted sets by time |
//! | `session:{site}/{digest}` | hash: what a session stands for |
//! | `sessions:{site}/{id}`, `evicted:{site}/{id}` | sorted sets: an identity's sessions |
//! | `chat:{site}/{session}` | its visitor's name, while no other chat begins in the session |
//! | `chats:{site}/{visitor}` | sorted set: his chats, by when they are over |
//! | `visitor:{site}/{visitor}` | hash: account, agent, when his last chat began, details |
//! | `visitors` | sorted set: of whom one of these is there, until when |
//! | `subscriptions`, `confirmations` | hashes by subscription |
//! | `outboxes` | set: the subscriptions with deliveries |
//! | `outbox:{site}/{webhook}` and, behind it, `:payloads` … | its deliveries ([`super::outbox`]) |

use std::sync::Arc;

use redis::{Cmd, Pipeline};

use super::visits;
use crate::clock::UnixTime;
use crate::store::change::{Ban, Binding, Change};
use crate::store::digest::Digest;
use crate::store::outbox::{DeliveryState, Progress};
use crate::store::visits::Visit;

/// The hash with the digest key, the epoch and the number of entries ever made.
pub const META: &str = "countersign:meta";
/// The stream that is log and notification at once.
pub const LOG: &str = "countersign:log";
/// Bans, as a hash from identity to [`Ban`].
pub const BANS: &str = "countersign:bans";
/// Since when what was bound before a ban is over.
pub const ENDED: &str = "countersign:ended";
/// Until when what was issued is revoked.
pub const LOGOUTS: &str = "countersign:logouts";
/// Credentials that are refused, as a sorted set by the time until when.
pub const HOLDS: &str = "countersign:holds";
/// Credentials that were used, likewise.
pub const USES: &str = "countersign:uses";
/// Whom to forget, by the time when that was asked.
pub const FORGOTTEN: &str = "countersign:forgotten";

/// Visitors of whom something is known, by the time until when.
pub const VISITORS: &str = "countersign:visitors";
/// Subscriptions made through the admin API, as a hash from name to entry.
pub const SUBSCRIPTIONS: &str = "countersign:subscriptions";
/// What receivers said, likewise.
pub const CONFIRMATIONS: &str = "countersign:confirmations";

/// The keys that `apply.lua` is called with, in its order.
const KEYS: [&str; 11] = [
    META,
    LOG,
    BANS,
    ENDED,
    LOGOUTS,
    HOLDS,
    USES,
    FORGOTTEN,
    VISITORS,
    SUBSCRIPTIONS,
    CONFIRMATIONS,
];
/// About how many entries the log keeps: a replica that missed more loads everything anew.
const LOG_ENTRIES: &str = "100000";
/// 9999-12-31, in milliseconds: later times are no times to Redis.
const END_OF_TIME: u64 = 253_402_214_400_000;

/// Who calls, and how.
#[derive(Clone, Debug)]
pub struct Caller {
    /// SHA-1 of `apply.lua`, by which Redis knows it.
    pub script: String,
    /// The same of `outbox/ask.lua`.
    pub outbox: String,
    /// The epoch that was greeted.
    pub epoch: String,
}

/// In what manner a change is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// For all, whenever it arrives.
    Told,
    /// For all, unless Redis' clock is past this.
    Before(UnixTime),
    /// As something that others know already: no entry is made, and a ban that is there stays.
    Restored,
}

/// What else a call says of a change, out of what memory knows.
#[derive(Clone, Debug, Default)]
pub struct Context {
    /// How many sessions an identity may have.
    pub most: usize,
    /// The visitor of whom something is said.
    pub visit: Option<Visit>,
}

impl Caller {
    /// Adds the call that makes this change.
    pub fn change(&self, to: &mut Pipeline, change: &Change, manner: Manner, context: &Context) {
        let (field, told) = told(change);
        let call = self.call(manner, (field, &told));
        to.add_command(operation(call, change, context));
    }

    /// Tells the others that this replica has restored much.
    pub fn resync(&self, replica: &str) -> Cmd {
        let mut call = self.call(Manner::Told, ("resync", replica));
        call.arg("resync").arg("");
        call
    }

    /// Shows whether changes can be made at all.
    pub fn probe(&self) -> Cmd {
        let mut call = self.call(Manner::Told, ("", ""));
        call.arg("probe").arg("");
        call
    }

    /// Drops a lapsed entry of a hash, unless it has changed.
    pub fn tidy(&self, hash: &str, name: &[u8], value: &[u8]) -> Cmd {
        let place = KEYS.iter().position(|key| *key == hash).map_or(0, |place| place + 1);
        let mut call = self.call(Manner::Restored, ("", ""));
        call.arg("tidy").arg(name).arg(place).arg(value);
        call
    }

    fn call(&self, manner: Manner, (field, value): (&str, &str)) -> Cmd {
        let before = if let Manner::Before(time) = manner { ms(time) } else { 0 };
        let entries = if manner == Manner::Restored { "0" } else { LOG_ENTRIES };
        let mut call = redis::cmd("EVALSHA");
        call.arg(&self.script).arg(KEYS.len()).arg(&KEYS);
        call.arg(&self.epoch).arg(before).arg(entries).arg(field).arg(value);
        call
    }
}

/// What the log says of a change: nothing that could tell who somebody is, and no secret.
fn told(change: &Change) -> (&'static str, String) {
    let site = change.site();
    match change {
        Change::Bind { session, binding, .. } => {
            let session = String::from(*session);
            ("bound", format!("{site}/{session}/{}", ms(binding.bound)))
        }
        Change::Details { posted, .. } => ("posted", format!("{site}/{}", posted.visitor)),
        Change::Subscription { webhook, .. } => ("subscribed", format!("{site}/{webhook}")),
        Change::Chat { chat, .. } => {
            let change = Change::Chat { site: site.clone(), chat: visits::impersonal(chat) };
            ("change", serde_json::to_string(&change).unwrap_or_default())
        }
        // No entry is made of these.
        Change::Delivery { .. } | Change::Progress { .. } | Change::Drop { .. } => {
            ("", String::new())
        }
        change => ("change", serde_json::to_string(change).unwrap_or_default()),
    }
}

fn operation(mut call: Cmd, change: &Change, context: &Context) -> Cmd {
    let name = |id: &str| format!("{}/{id}", change.site());
    let one = |digest: &Digest| name(&String::from(*digest));
    match change {
        // A ban that was over as it began says only what ended with it.
        Change::Ban { id, ban, .. } if ban.until.is_some_and(|until| until <= ban.since) => {
            call.arg("ended").arg(name(id)).arg(ms(ban.since))
        }
        Change::Ban { id, ban, .. } => {
            let kept = serde_json::to_string(ban).unwrap_or_default();
            call.arg("ban").arg(name(id)).arg(kept).arg(ms(ban.since))
        }
        Change::Unban { id, .. } => call.arg("unban").arg(name(id)),
        Change::Logout { id, at, .. } => call.arg("logout").arg(name(id)).arg(ms(*at)),
        Change::Hold { credential, until, .. } => {
            call.arg("hold").arg(one(credential)).arg(ms(*until))
        }
        Change::Use { credential, at, until, .. } => {
            let used = format!("{}/{}", one(credential), ms(*at));
            call.arg("use").arg(used).arg(ms(*until))
        }
        Change::Bind { session, binding, .. } => {
            let kept = serde_json::to_string(&**binding).unwrap_or_default();
            call.arg("bind").arg(name(binding.id())).arg(String::from(*session));
            call.arg(ms(binding.bound)).arg(ms(binding.until)).arg(context.most.max(1)).arg(kept);
            call.arg(binding.ended.map(|at| ms(at).to_string()).unwrap_or_default());
            // A script cannot make it: its numbers are too small for a key's print.
            let left = binding.stands().then(|| serde_json::to_string(&binding.evicted()));
            call.arg(left.and_then(Result::ok).unwrap_or_default())
        }
        Change::End { session, at, .. } => {
            call.arg("end").arg(name("")).arg(String::from(*session)).arg(ms(*at))
        }
        Change::Forget { id, at, .. } => call.arg("forget").arg(name(id)).arg(ms(*at)),
        Change::Chat { chat, .. } => visits::chat(&mut call, &name(&chat.visitor), chat),
        Change::Details { posted, .. } => {
            let visit = context.visit.as_ref();
            visits::details(&mut call, &name(&posted.visitor), posted, visit)
        }
        Change::Subscription { webhook, entry, .. } => {
            call.arg("subscription").arg(name(webhook)).arg(entry.as_deref().unwrap_or_default())
        }
        Change::Confirmation { webhook, confirmation, .. } => {
            let kept = serde_json::to_string(confirmation).unwrap_or_default();
            call.arg("confirmation").arg(name(webhook)).arg(kept).arg(ms(confirmation.at))
        }
        Change::Delivery { delivery, progress, .. } => {
            let event = &delivery.event;
            call.arg("delivery").arg(name(&delivery.webhook)).arg(&*delivery.id);
            call.arg(event.kind.name()).arg(ms(event.at));
            call.arg(serde_json::to_string(&**delivery).unwrap_or_default());
            settled(&mut call, progress)
        }
        Change::Progress { webhook, id, progress, .. } => {
            call.arg("progress").arg(name(webhook)).arg(&**id);
            settled(&mut call, progress)
        }
        Change::Drop { webhook, .. } => call.arg("drop").arg(name(webhook)),
    };
    call
}

fn settled<'a>(call: &'a mut Cmd, progress: &Progress) -> &'a mut Cmd {
    let state = match progress.state {
        DeliveryState::Queued => "queued",
        DeliveryState::Delivered => "delivered",
        DeliveryState::Dead => "dead",
    };
    call.arg(state).arg(progress.attempts).arg(ms(progress.due)).arg(ms(progress.at));
    call.arg(serde_json::to_string(progress).unwrap_or_default())
}

/// A time, as Redis is told it.
pub fn ms(time: UnixTime) -> u64 {
    time.as_millis().min(END_OF_TIME)
}

/// The command that fetches a session; [`binding`] reads its answer.
pub fn fetch(site: &str, session: Digest) -> Cmd {
    let mut fetch = redis::cmd("HMGET");
    let session = String::from(session);
    fetch.arg(format!("countersign:session:{site}/{session}")).arg("binding").arg("ended");
    fetch
}

/// What a session stands for; none if it is not there, or makes no sense.
pub fn binding((kept, ended): (Option<Vec<u8>>, Option<u64>)) -> Option<Arc<Binding>> {
    let mut binding: Binding = serde_json::from_slice(&kept?).ok()?;
    binding.ended = ended.map(UnixTime::from_millis).or(binding.ended);
    Some(Arc::new(binding))
}

/// An identity's name, in its parts.
pub fn identity(name: &[u8]) -> Option<(Arc<str>, Arc<str>)> {
    let (site, id) = std::str::from_utf8(name).ok()?.split_once('/')?;
    Some((site.into(), id.into()))
}

/// What is said of a single use: where, of what, when first.
pub fn used(name: &[u8]) -> Option<(Arc<str>, Digest, UnixTime)> {
    let (site, rest) = identity(name)?;
    let (digest, at) = rest.split_once('/')?;
    let at = at.parse().ok().map(UnixTime::from_millis)?;
    Some((site, Digest::try_from(digest.to_owned()).ok()?, at))
}

/// A ban, as it is kept.
pub fn ban(kept: &[u8]) -> Option<Ban> {
    serde_json::from_slice(kept).ok()
}

/// A number of milliseconds, as Redis writes it.
pub fn time(kept: &[u8]) -> Option<UnixTime> {
    let text = std::str::from_utf8(kept).ok()?;
    text.parse().ok().map(UnixTime::from_millis)
}
