//! What is kept in Redis under which key, and how a [`Change`] becomes a call of `apply.lua`.
//!
//! Everything starts with `countersign:`. An identity is named `site/id`; a site's name has
//! no slash. Personal data (name, email, attributes) are in the sessions' own keys alone,
//! where they can be deleted: the log says that a session was bound, and readers fetch it.

use std::sync::Arc;

use redis::{Cmd, Pipeline};

use crate::clock::UnixTime;
use crate::store::change::{Ban, Binding, Change};
use crate::store::digest::Digest;

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

/// The keys that `apply.lua` is called with, in its order.
const KEYS: [&str; 8] = [META, LOG, BANS, ENDED, LOGOUTS, HOLDS, USES, FORGOTTEN];
/// About how many entries the log keeps: a replica that missed more loads everything anew.
const LOG_ENTRIES: &str = "100000";
/// 9999-12-31, in milliseconds: later times are no times to Redis.
const END_OF_TIME: u64 = 253_402_214_400_000;

/// Who calls, and how.
#[derive(Clone, Debug)]
pub struct Caller {
    /// SHA-1 of `apply.lua`, by which Redis knows it.
    pub script: String,
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

impl Caller {
    /// Adds the call that makes this change. `most` is how many sessions an identity may have.
    pub fn change(&self, to: &mut Pipeline, change: &Change, manner: Manner, most: usize) {
        let call = match change {
            // Its text could tell who somebody is.
            Change::Bind { site, session, binding } => {
                let told = format!("{site}/{}/{}", String::from(*session), ms(binding.bound));
                self.call(manner, ("bound", &told))
            }
            change => {
                let told = serde_json::to_string(change).unwrap_or_default();
                self.call(manner, ("change", &told))
            }
        };
        to.add_command(operation(call, change, most));
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

fn operation(mut call: Cmd, change: &Change, most: usize) -> Cmd {
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
            call.arg(ms(binding.bound)).arg(ms(binding.until)).arg(most.max(1)).arg(kept);
            call.arg(binding.ended.map(|at| ms(at).to_string()).unwrap_or_default());
            // A script cannot make it: its numbers are too small for a key's print.
            let left = binding.stands().then(|| serde_json::to_string(&binding.evicted()));
            call.arg(left.and_then(Result::ok).unwrap_or_default())
        }
        Change::End { session, at, .. } => {
            call.arg("end").arg(name("")).arg(String::from(*session)).arg(ms(*at))
        }
        Change::Forget { id, at, .. } => call.arg("forget").arg(name(id)).arg(ms(*at)),
        Change::Chat { .. }
        | Change::Details { .. }
        | Change::Subscription { .. }
        | Change::Confirmation { .. }
        | Change::Delivery { .. }
        | Change::Progress { .. }
        | Change::Drop { .. } => call.arg("later").arg(name("")),
    };
    call
}

fn ms(time: UnixTime) -> u64 {
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
