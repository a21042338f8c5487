//! What follows from a request once the backend has answered it: its session is bound, a chat
//! begins.
//!
//! A chat begins with the answer's head; where the body may name its session, at the end of
//! that, or when it is clear that no name will come. Nobody waits for it.

use http::{HeaderMap, HeaderValue};

use crate::clock::UnixTime;
use crate::judge::{Binder, Carried, Reader};
use crate::plan::Site;
use crate::proxy::hooks::Gate;
use crate::store::Digest;
use crate::webhook::Beginning;

/// What an answer is awaited for.
pub struct Sequel {
    /// None where the site has no sessions.
    reader: Option<Reader>,
    binder: Option<Binder>,
    /// What may begin, until the answer's status is known.
    beginning: Option<Box<Beginning>>,
    /// What has begun, until its session is known.
    begun: Option<Begun>,
    /// The backend's session that the request showed first.
    shown: Option<Digest>,
    /// Our own, where it stands for somebody.
    own: Option<Digest>,
}

impl Sequel {
    /// None where nothing is awaited.
    pub fn of(
        site: &Site,
        carried: &Carried,
        binder: Option<Binder>,
        beginning: Option<Beginning>,
    ) -> Option<Self> {
        if binder.is_none() && beginning.is_none() {
            return None;
        }
        let own = carried.sessions.iter().find(|shown| shown.own).map(|shown| shown.digest);
        Some(Self {
            reader: site.remembers.session.clone().map(Reader::new),
            shown: carried.backends().next(),
            // A guest's was made up.
            own: own.filter(|_| binder.is_some()),
            binder,
            beginning: beginning.map(Box::new),
            begun: None,
        })
    }

    /// The answer's head has come. Says which cookie it is to set besides its own.
    pub fn head(&mut self, status: u16, headers: &HeaderMap, gate: &Gate) -> Option<HeaderValue> {
        let (store, memory) = (gate.store(), gate.store().memory());
        self.binder = self.binder.take().filter(|binder| binder.is_met_by(status, memory));
        self.beginning = self.beginning.take().filter(|beginning| beginning.is_begun_by(status));
        if self.binder.is_none() && self.beginning.is_none() {
            self.reader = None;
            return None;
        }
        let reader = self.reader.as_mut();
        let brought = reader.map(|reader| reader.head(status, headers, memory)).unwrap_or_default();
        let handed = self.binder.as_mut().and_then(|binder| binder.head(&brought, store));
        if let Some(beginning) = self.beginning.take() {
            let handed_out = handed.as_ref().map(|handed| handed.session);
            let session = self.shown.or(handed_out).or(self.own);
            let mut begun = Begun { beginning: Some(beginning), session, gate: gate.clone() };
            begun.brings(&brought);
            let is_named = !brought.is_empty();
            // Otherwise it is over here, and begins.
            self.begun = (!is_named && self.is_reading()).then_some(begun);
        }
        handed.map(|handed| handed.cookie)
    }

    /// A part of the answer's body goes by. Says, at its end, whether a session was bound
    /// that was nobody's before.
    pub fn body(&mut self, part: Option<&[u8]>, end: bool, gate: &Gate) -> bool {
        let (store, memory) = (gate.store(), gate.store().memory());
        if let Some(reader) = &mut self.reader {
            let brought = reader.body(part, end, memory);
            if let Some(binder) = &mut self.binder {
                binder.body(&brought, store);
            }
            if let Some(begun) = &mut self.begun {
                begun.brings(&brought);
            }
        }
        if end || !self.is_reading() {
            self.begun = None;
        }
        end && self.binder.as_ref().is_some_and(Binder::brings_news)
    }

    fn is_reading(&self) -> bool {
        self.reader.as_ref().is_some_and(Reader::is_reading)
    }
}

/// A chat that the backend has begun. Dropping this says so, in the session that is known by
/// then: so it is said once, and however the answer ends.
struct Begun {
    beginning: Option<Box<Beginning>>,
    session: Option<Digest>,
    gate: Gate,
}

impl Begun {
    fn brings(&mut self, brought: &[Digest]) {
        self.session = brought.first().copied().or(self.session);
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        if let Some(beginning) = self.beginning.take() {
            let plan = &self.gate.current().load().plan;
            beginning.begin(self.session, self.gate.webhooks(), plan, UnixTime::now());
        }
    }
}

#[cfg(test)]
mod tests;
