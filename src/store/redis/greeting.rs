//! The first words with a database, and what they tell: whether it is the one that we knew.

use redis::aio::MultiplexedConnection;

use super::entry::EntryId;
use super::layout::{Caller, LOG, META};
use super::link::{Link, Trouble};
use crate::clock::UnixTime;
use crate::dialect::digest::{read_hex, write_hex};
use crate::secret::Secret;
use crate::store::DigestKey;

const HELLO: &str = include_str!("hello.lua");
const APPLY: &str = concat!(
    include_str!("begin.lua"),
    include_str!("box.lua"),
    include_str!("apply.lua"),
    include_str!("visits.lua"),
    include_str!("tell.lua"),
);
const OUTBOX: &str =
    concat!(include_str!("begin.lua"), include_str!("box.lua"), include_str!("outbox/ask.lua"),);

/// What a database says of itself.
pub struct Greeting {
    /// Over which it was greeted.
    pub link: Link,
    /// Its digest key.
    pub key: Secret,
    /// How many entries were ever made.
    pub entries: u64,
    /// The log's last entry.
    pub last: EntryId,
    first: EntryId,
    has_mine: bool,
}

/// How a database and memory stand to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meeting {
    /// Memory knows nothing yet.
    First,
    /// The log goes on from where memory stands.
    Goes,
    /// The log was trimmed beyond where memory stands.
    Missed,
    /// It has lost what memory knows.
    Lost,
}

type Answer = (String, String, u64, String, String, u64, u64);

impl Greeting {
    /// Greets a database; gives it this digest key if it has none. `mine` is the last entry
    /// that memory has.
    ///
    /// # Errors
    /// It does not answer, or as something else than a database of ours.
    pub async fn exchange(
        mut connection: MultiplexedConnection,
        key: &Secret,
        mine: Option<EntryId>,
    ) -> Result<Self, Trouble> {
        let mut calls = redis::pipe();
        for script in [HELLO, APPLY, OUTBOX] {
            calls.cmd("SCRIPT").arg("LOAD").arg(script);
        }
        let (hello, script, outbox): (String, String, String) =
            calls.query_async(&mut connection).await?;
        let epoch = DigestKey::generate().ok_or_else(|| Trouble::lost("no randomness here"))?;
        let mut call = redis::cmd("EVALSHA");
        call.arg(hello).arg(2).arg(META).arg(LOG);
        call.arg(write_hex(key.expose())).arg(write_hex(epoch.expose()));
        call.arg(mine.map(|id| id.to_string()).unwrap_or_default());
        let asked = UnixTime::now();
        let (key, epoch, entries, last, first, has_mine, theirs): Answer =
            call.query_async(&mut connection).await?;
        let nonsense = || Trouble::lost("a greeting that makes no sense");
        let key = read_hex(key.as_bytes()).filter(|key| key.len() == DigestKey::BYTES);
        // It looked at its clock somewhere in between.
        let ours = asked.after(UnixTime::now().since(asked) / 2);
        let clocks = (UnixTime::from_millis(theirs), ours);
        Ok(Self {
            link: Link { connection, caller: Caller { script, outbox, epoch }, clocks },
            key: key.map(Secret::new).ok_or_else(nonsense)?,
            entries,
            last: EntryId::parse(&last).ok_or_else(nonsense)?,
            first: EntryId::parse(&first).ok_or_else(nonsense)?,
            has_mine: has_mine > 0,
        })
    }

    /// How the database stands to a memory that has followed one to there.
    pub fn meeting(&self, epoch: &str, mine: EntryId, n: u64, missed: bool) -> Meeting {
        if self.link.caller.epoch != epoch || self.entries < n {
            return Meeting::Lost;
        }
        match (self.has_mine, missed) {
            (true, false) => Meeting::Goes,
            (true, true) => Meeting::Missed,
            // The log reaches further back, and yet our entry is not in it: it went back to
            // an earlier state, and on from there.
            (false, _) if self.first < mine => Meeting::Lost,
            (false, _) => Meeting::Missed,
        }
    }
}
