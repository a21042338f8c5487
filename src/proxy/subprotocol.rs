//! The subprotocol that a WebSocket comes to speak (RFC 6455 §4.2.2).
//!
//! A browser takes an answer only if it selects one of those that it offered, and fails the
//! connection if it offered some and none is selected. So where a token was all that was
//! offered, and the backend therefore saw no offer, the token's own is selected; what the
//! backend selects must be what the client offered.

use http::header::SEC_WEBSOCKET_PROTOCOL;
use http::{HeaderMap, HeaderValue};

use crate::gate::offers;

/// What the client offered.
#[derive(Debug)]
pub struct Offer {
    all: Vec<HeaderValue>,
    /// Something of it is left for the backend to choose from.
    forwarded: bool,
}

/// The backend selected what nobody had offered.
#[derive(Debug, PartialEq, Eq)]
pub struct NotOffered;

impl Offer {
    /// Reads the handshake as the client sent it.
    pub fn of(handshake: &HeaderMap) -> Self {
        Self { all: offered(handshake).collect(), forwarded: true }
    }

    /// Looks at the handshake as the backend gets it.
    pub fn leave(&mut self, handshake: &HeaderMap) {
        self.forwarded = offered(handshake).next().is_some();
    }

    /// Puts the selection of a 101 right.
    ///
    /// # Errors
    /// The backend selected something else, or more than one: no client would take it.
    pub fn settle(&self, answer: &mut HeaderMap) -> Result<(), NotOffered> {
        let mut selected = answer.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
        match (selected.next(), selected.next()) {
            (None, _) => {
                if let Some(first) = self.all.first().filter(|_| !self.forwarded) {
                    answer.insert(SEC_WEBSOCKET_PROTOCOL, first.clone());
                }
                Ok(())
            }
            (Some(one), None) if self.all.contains(one) => Ok(()),
            _ => Err(NotOffered),
        }
    }
}

/// Every subprotocol that a handshake offers.
pub fn offered(handshake: &HeaderMap) -> impl Iterator<Item = HeaderValue> {
    let fields = handshake.get_all(SEC_WEBSOCKET_PROTOCOL).iter();
    fields.flat_map(offers).filter_map(|offer| HeaderValue::from_bytes(offer).ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn handshake(fields: &[&str]) -> HeaderMap {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(SEC_WEBSOCKET_PROTOCOL, field.parse().unwrap());
        }
        headers
    }

    /// What the client is answered.
    fn settled(offered: &[&str], forwarded: &[&str], selected: &[&str]) -> Option<String> {
        let mut answer = handshake(selected);
        let mut offer = Offer::of(&handshake(offered));
        offer.leave(&handshake(forwarded));
        offer.settle(&mut answer).ok()?;
        let answered = answer.get(SEC_WEBSOCKET_PROTOCOL);
        Some(answered.map(|value| value.to_str().unwrap().to_owned()).unwrap_or_default())
    }

    #[test]
    fn what_is_selected_was_offered() {
        for (offered, forwarded, selected, answered) in [
            (&[][..], &[][..], &[][..], Some("")),
            (&["t.ey1"], &[], &[], Some("t.ey1")),
            (&["t.ey1, chat"], &["chat"], &["chat"], Some("chat")),
            (&["t.ey1", "a,b"], &["a", "b"], &["b"], Some("b")),
            // The backend speaks none of them, as it would without a token among them.
            (&["t.ey1, chat"], &["chat"], &[], Some("")),
            (&["chat"], &["chat"], &["other"], None),
            (&["chat"], &["chat"], &["chat, chat"], None),
            (&["a, b"], &["a, b"], &["a", "b"], None),
            (&["t.ey1"], &[], &["chat"], None),
            (&[], &[], &["chat"], None),
        ] {
            let got = settled(offered, forwarded, selected);
            assert_eq!(got.as_deref(), answered, "{offered:?} {selected:?}");
        }
    }
}
