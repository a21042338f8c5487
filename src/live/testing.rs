//! Connections of a site `acme`, made by hand, for tests.

use super::{Facts, Kind, Trust, Who};
use crate::clock::UnixTime;
use crate::dialect::Reason;
use crate::gate::Mode;

pub const NOW: UnixTime = UnixTime::from_secs(1000);

pub fn later(secs: u64) -> UnixTime {
    UnixTime::from_secs(NOW.as_secs() + secs)
}

/// A WebSocket of somebody proven by the key of that print.
pub fn of(id: &str, print: u64, expires: Option<UnixTime>) -> Facts {
    let trust = Trust {
        id: Some(id.into()),
        dialect: "jwt".into(),
        key: "new".into(),
        print,
        issued_at: None,
        expires,
    };
    Facts { who: Who::Verified(trust), ..guest(Reason::Missing) }
}

/// The same, for ever.
pub fn verified(id: &str) -> Facts {
    of(id, 1, None)
}

pub fn guest(reason: Reason) -> Facts {
    Facts {
        kind: Kind::WebSocket,
        site: "acme".into(),
        judged: NOW,
        generation: 1,
        mode: Mode::Prefer,
        who: Who::Guest(reason),
        sessions: Box::default(),
        credential: None,
        method: http::Method::GET,
        path: "/chat/7".into(),
        client: None,
    }
}
