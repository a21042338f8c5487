//! What is remembered, one [`Change`] at a time: the unit of every write, of what is kept on
//! disk and of what replicas tell each other. Applying one twice changes nothing more.

use std::sync::Arc;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::Digest;
use super::outbox::{Delivery, Progress};
use super::visits::{Chat, Posted};
use crate::clock::UnixTime;
use crate::dialect::{Dialect, UnsignedField};
use crate::identity::{Identity, Proven};

/// One change to what a site remembers. `site` is its name; `id` an identity of that site.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
pub enum Change {
    /// An identity is banned, or its ban is altered.
    Ban {
        /// Whose it is.
        site: Arc<str>,
        /// Who.
        id: Arc<str>,
        /// For how long and why.
        ban: Ban,
    },
    /// A ban is lifted. Sessions that it ended stay ended.
    Unban {
        /// Whose it was.
        site: Arc<str>,
        /// Who.
        id: Arc<str>,
        /// When.
        at: UnixTime,
    },
    /// An identity is logged out everywhere: what was issued or bound until `at` is revoked.
    Logout {
        /// Where.
        site: Arc<str>,
        /// Who.
        id: Arc<str>,
        /// When.
        at: UnixTime,
    },
    /// This very credential is refused for a while.
    Hold {
        /// Where.
        site: Arc<str>,
        /// Of the credential.
        credential: Digest,
        /// Until when.
        until: UnixTime,
    },
    /// A credential that serves once was used.
    Use {
        /// Where.
        site: Arc<str>,
        /// Of its own id.
        credential: Digest,
        /// When first.
        at: UnixTime,
        /// Until when that matters.
        until: UnixTime,
    },
    /// A backend's session now stands for an identity.
    Bind {
        /// Where.
        site: Arc<str>,
        /// Of the session's token.
        session: Digest,
        /// What it stands for.
        binding: Arc<Binding>,
    },
    /// A session stands for nobody any more, and what carries it is refused.
    End {
        /// Where.
        site: Arc<str>,
        /// Of the session's token.
        session: Digest,
        /// When.
        at: UnixTime,
    },
    /// All about a visitor is forgotten but bans and logouts.
    Forget {
        /// Where.
        site: Arc<str>,
        /// Who.
        id: Arc<str>,
        /// When.
        at: UnixTime,
    },
    /// A chat has begun. If one of the same session has begun before and still counts, nobody
    /// hears of it; at most its visitor is known again.
    Chat {
        /// Where.
        site: Arc<str>,
        /// Whose, and who is to hear of it.
        chat: Arc<Chat>,
    },
    /// The website's server said more of a visitor.
    Details {
        /// Where.
        site: Arc<str>,
        /// Of whom, and what.
        posted: Arc<Posted>,
    },
    /// A subscription was made through the admin API, or ended.
    Subscription {
        /// Where.
        site: Arc<str>,
        /// Its name.
        webhook: Arc<str>,
        /// The entry as it would stand in the configuration, in JSON; none: it ended.
        entry: Option<Arc<str>>,
    },
    /// A subscription's receiver has confirmed it, or wants no more.
    Confirmation {
        /// Where.
        site: Arc<str>,
        /// The subscription's name.
        webhook: Arc<str>,
        /// What it said.
        confirmation: Confirmation,
    },
    /// A delivery as it is kept: what it says, and how far it has come.
    Delivery {
        /// Where.
        site: Arc<str>,
        /// What it says.
        delivery: Arc<Delivery>,
        /// How far it has come.
        progress: Progress,
    },
    /// How far a delivery has come.
    Progress {
        /// Where.
        site: Arc<str>,
        /// The subscription's name.
        webhook: Arc<str>,
        /// The delivery's id.
        id: Arc<str>,
        /// How far.
        progress: Progress,
    },
    /// All deliveries to a subscription are dropped.
    Drop {
        /// Where.
        site: Arc<str>,
        /// The subscription's name.
        webhook: Arc<str>,
    },
}

impl Change {
    /// Whether it says nothing any more: what it refuses is over.
    pub fn has_lapsed(&self, now: UnixTime) -> bool {
        matches!(self, Self::Hold { until, .. } | Self::Use { until, .. } if *until <= now)
    }

    /// The site's name.
    pub fn site(&self) -> &Arc<str> {
        match self {
            Self::Ban { site, .. }
            | Self::Unban { site, .. }
            | Self::Logout { site, .. }
            | Self::Hold { site, .. }
            | Self::Use { site, .. }
            | Self::Bind { site, .. }
            | Self::End { site, .. }
            | Self::Forget { site, .. }
            | Self::Chat { site, .. }
            | Self::Details { site, .. }
            | Self::Subscription { site, .. }
            | Self::Confirmation { site, .. }
            | Self::Delivery { site, .. }
            | Self::Progress { site, .. }
            | Self::Drop { site, .. } => site,
        }
    }
}

/// What a subscription's receiver has said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Confirmation {
    /// [`crate::plan::Webhook::print`] of what it was asked about.
    pub print: u64,
    /// Whether it wants events: it answered the challenge, or 410 (Gone) to an event.
    pub wanted: bool,
    /// When.
    pub at: UnixTime,
}

/// A ban.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ban {
    /// Why, for whoever reads the list; the visitor is not told.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Since when.
    pub since: UnixTime,
    /// Until when; absent: for ever.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<UnixTime>,
}

impl Ban {
    /// Whether it is in force.
    pub fn holds(&self, now: UnixTime) -> bool {
        self.until.is_none_or(|until| now < until)
    }
}

/// How often a session that is proven with every request is bound anew, at most.
const PROVEN_ANEW: Duration = Duration::from_secs(60);

/// What a session stands for, and for how long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Binding {
    person: Person,
    /// Name of the dialect that proved it.
    pub dialect: Arc<str>,
    /// When it was last proven.
    pub bound: UnixTime,
    /// When it ends by itself.
    pub until: UnixTime,
    /// When it was ended, if it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<UnixTime>,
    /// It had to make room, or its identity was to be forgotten.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    evicted: bool,
}

/// An identity, as it is kept: its fields by name, because their places in a dialect change.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Person {
    id: Arc<str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    email: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attributes: Option<String>,
    key: Arc<str>,
    print: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    issued_at: Option<UnixTime>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    fields: Vec<(String, String)>,
}

impl Binding {
    /// Remembers an identity that `dialect` has proven just now; none if it has no id.
    pub fn of(
        identity: &Identity,
        dialect: &Dialect,
        now: UnixTime,
        until: UnixTime,
    ) -> Option<Self> {
        let named = |(index, value): &(usize, String)| {
            let field = dialect.unsigned.fields.get(*index)?;
            Some((field.name.to_string(), value.clone()))
        };
        let person = Person {
            id: identity.id.as_deref()?.into(),
            name: identity.name.clone(),
            email: identity.email.clone(),
            attributes: identity.attributes.clone(),
            key: identity.key.clone(),
            print: identity.print,
            issued_at: identity.issued_at,
            fields: identity.fields.iter().filter_map(named).collect(),
        };
        let dialect = dialect.name.clone();
        Some(Self { person, dialect, bound: now, until, ended: None, evicted: false })
    }

    /// The same, ended.
    pub(super) fn ended(&self, at: UnixTime) -> Self {
        Self { ended: Some(at), ..self.clone() }
    }

    /// What is left where it had to make room: whose session it was, and until when, so that
    /// whoever is kept out stays so with it. Nothing else about the person.
    pub(super) fn evicted(&self) -> Self {
        let Person { id, key, print, .. } = &self.person;
        let person = Person {
            id: id.clone(),
            name: None,
            email: None,
            attributes: None,
            key: key.clone(),
            print: *print,
            issued_at: None,
            fields: Vec::new(),
        };
        Self { person, dialect: self.dialect.clone(), evicted: true, ..*self }
    }

    /// Whether it can verify somebody. One that does not only keeps out whom a ban or a
    /// logout keeps out; without these it is as if it were not known.
    pub fn stands(&self) -> bool {
        !self.evicted
    }

    /// Whether another binding of the same session may take this one's place: a later one of
    /// the same identity; of another one only once this is over, or has made room.
    pub(super) fn yields_to(&self, other: &Self) -> bool {
        let last = self.bound.max(self.ended.unwrap_or_default());
        if last > other.bound || self.evicted && !other.evicted && self.bound == other.bound {
            return false;
        }
        let has_made_room = self.evicted && self.ended.is_none();
        self.id() == other.id() || self.until <= other.bound || has_made_room
    }

    /// Whether a binding proven a little later says the same, so that it need not be kept.
    pub(super) fn says_as_much_as(&self, later: &Self) -> bool {
        let (one, other) = (&self.person, &later.person);
        let same = self.dialect == later.dialect
            && (&one.id, &one.key, one.print) == (&other.id, &other.key, other.print)
            && (&one.name, &one.email) == (&other.name, &other.email)
            && (&one.attributes, &one.fields) == (&other.attributes, &other.fields);
        let ttl = later.until.since(later.bound);
        let fresh = later.bound.since(self.bound) < (ttl / 10).min(PROVEN_ANEW);
        same && fresh && later.bound >= self.bound && self.stands() && self.ended.is_none()
    }

    /// Whose session it is.
    pub fn id(&self) -> &Arc<str> {
        &self.person.id
    }

    /// [`crate::dialect::Key::print`] of the key that proved it.
    pub fn print(&self) -> u64 {
        self.person.print
    }

    /// The identity, as it was proven; the proof now ends with the session.
    pub fn identity(&self, dialect: &Dialect) -> Identity {
        let person = &self.person;
        let fields = &dialect.unsigned.fields;
        let placed = |(name, value): &(String, String)| {
            let is_it = |field: &UnsignedField| field.name.to_string() == *name;
            Some((fields.iter().position(is_it)?, value.clone()))
        };
        Identity::remembered(Proven {
            id: Some(person.id.as_ref().to_owned()),
            name: person.name.clone(),
            email: person.email.clone(),
            attributes: person.attributes.clone(),
            key: person.key.clone(),
            print: person.print,
            expires: Some(self.until),
            issued_at: person.issued_at,
            single_use: None,
            fields: person.fields.iter().filter_map(placed).collect(),
        })
    }
}
