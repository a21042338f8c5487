//! What the log says, entry by entry.

use std::sync::Arc;

use redis::Value;

use super::layout;
use crate::clock::UnixTime;
use crate::store::change::Change;
use crate::store::digest::Digest;

/// An entry's id in the log: milliseconds and a sequence number.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct EntryId(u64, u64);

impl EntryId {
    /// Reads `1700000000000-0`.
    pub fn parse(text: &str) -> Option<Self> {
        let (ms, sequence) = text.split_once('-')?;
        Some(Self(ms.parse().ok()?, sequence.parse().ok()?))
    }
}

impl std::fmt::Display for EntryId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}", self.0, self.1)
    }
}

/// One entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Its id.
    pub id: EntryId,
    /// How many were made until and with it; none if it is not ours.
    pub n: Option<u64>,
    /// What it says.
    pub said: Said,
    /// The subscription of a delivery that there was no room for, if there was none.
    pub dropped: Option<String>,
}

/// What an entry says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A change was made.
    Change(Change),
    /// A session was bound: which, and when. What it stands for must be fetched.
    Bound(Arc<str>, Digest, UnixTime),
    /// Something was said of a visitor: of whom. It must be fetched.
    Posted(Arc<str>, Arc<str>),
    /// A subscription was made or has ended: which. It must be fetched.
    Subscribed(Arc<str>, Arc<str>),
    /// This replica has restored much: all is to be loaded.
    Resync(String),
    /// The log began.
    Began,
    /// Nothing that this version understands.
    Nonsense,
}

/// The entries in an answer of `XREAD`; none if it is no such answer.
pub fn entries(answer: Value) -> Option<Vec<Entry>> {
    let streams = match answer {
        Value::Nil => return Some(Vec::new()),
        Value::Array(streams) => streams,
        _ => return None,
    };
    let mut entries = Vec::new();
    for stream in streams {
        let Value::Array(parts) = stream else { return None };
        let Some(Value::Array(listed)) = parts.into_iter().nth(1) else { return None };
        for one in listed {
            entries.push(entry(one)?);
        }
    }
    Some(entries)
}

fn entry(value: Value) -> Option<Entry> {
    let Value::Array(parts) = value else { return None };
    let mut parts = parts.into_iter();
    let id = EntryId::parse(&text(parts.next()?)?)?;
    let mut entry = Entry { id, n: None, said: Said::Nonsense, dropped: None };
    // Fields are absent where the entry was deleted meanwhile.
    let Some(Value::Array(fields)) = parts.next() else { return Some(entry) };
    let mut fields = fields.into_iter();
    while let (Some(name), Some(value)) = (fields.next(), fields.next()) {
        let (Some(name), Some(value)) = (text(name), text(value)) else { continue };
        match name.as_str() {
            "n" => entry.n = value.parse().ok(),
            "change" => {
                entry.said = serde_json::from_str(&value).map_or(Said::Nonsense, Said::Change)
            }
            "bound" => entry.said = bound(&value).unwrap_or(Said::Nonsense),
            "posted" => entry.said = named(&value, Said::Posted),
            "subscribed" => entry.said = named(&value, Said::Subscribed),
            "dropped" => entry.dropped = Some(value),
            "resync" => entry.said = Said::Resync(value),
            "began" => entry.said = Said::Began,
            _ => {}
        }
    }
    Some(entry)
}

fn bound(value: &str) -> Option<Said> {
    let (site, digest, at) = layout::used(value.as_bytes())?;
    Some(Said::Bound(site, digest, at))
}

fn named(value: &str, said: impl FnOnce(Arc<str>, Arc<str>) -> Said) -> Said {
    layout::identity(value.as_bytes()).map_or(Said::Nonsense, |(site, name)| said(site, name))
}

fn text(value: Value) -> Option<String> {
    match value {
        Value::BulkString(bytes) => String::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(field: &str, value: &str) -> Vec<Entry> {
        let bulk = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let fields = [bulk("n"), bulk("7"), bulk(field), bulk(value)];
        let entry = Value::Array(vec![bulk("12-3"), Value::Array(fields.to_vec())]);
        let stream = Value::Array(vec![bulk("countersign:log"), Value::Array(vec![entry])]);
        entries(Value::Array(vec![stream])).unwrap()
    }

    #[test]
    fn an_entry_says_what_changed() {
        let logout = r#"{"change":"logout","site":"acme","id":"ada","at":5}"#;
        let [entry] = &*said("change", logout) else { panic!("one entry") };
        assert_eq!((entry.id, entry.n), (EntryId(12, 3), Some(7)));
        let at = UnixTime::from_millis(5);
        let change = Change::Logout { site: "acme".into(), id: "ada".into(), at };
        assert_eq!(entry.said, Said::Change(change));
        let digest = "0".repeat(32);
        let session = Digest::try_from(digest.clone()).unwrap();
        let bound = &said("bound", &format!("acme/{digest}/5"))[0].said;
        assert_eq!(*bound, Said::Bound("acme".into(), session, at));
        let posted = &said("posted", "acme/a/b")[0].said;
        assert_eq!(*posted, Said::Posted("acme".into(), "a/b".into()));
        let subscribed = &said("subscribed", "acme/crm")[0].said;
        assert_eq!(*subscribed, Said::Subscribed("acme".into(), "crm".into()));
    }

    #[test]
    fn what_makes_no_sense_is_an_entry_all_the_same_or_no_answer_at_all() {
        assert_eq!(said("change", "{}")[0].said, Said::Nonsense);
        assert_eq!(said("bound", "acme/00/5")[0].said, Said::Nonsense);
        assert_eq!(said("bound", "acme")[0].said, Said::Nonsense);
        assert_eq!(said("other", "")[0].said, Said::Nonsense);
        assert_eq!(entries(Value::Nil), Some(Vec::new()));
        for answer in [Value::Okay, Value::Array(vec![Value::Int(1)])] {
            assert_eq!(entries(answer), None);
        }
    }
}
