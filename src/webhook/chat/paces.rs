//! How often chats may begin: each is kept and told to all subscribers, and anybody can make
//! up sessions. A request whose chat does not begin is forwarded all the same.

use std::net::IpAddr;
use std::time::Instant;

use crate::pace::{Network, Pace, Seldom};

/// Chats of one site that guests may begin in [`crate::pace::WINDOW`] from where one client is.
const MOST_OF_A_CLIENT: u32 = 60;
/// Chats that somebody verified may begin in the same time, in however many sessions.
const MOST_OF_A_VISITOR: u32 = 20;

/// How often chats have begun lately.
pub struct Paces {
    guests: Pace,
    verified: Pace,
    /// Chats have not begun for that reason.
    exceeded: Seldom,
    /// Somebody verified has the id of a guest.
    misnamed: Seldom,
}

impl Default for Paces {
    fn default() -> Self {
        Self {
            guests: Pace::of(MOST_OF_A_CLIENT),
            verified: Pace::of(MOST_OF_A_VISITOR),
            exceeded: Seldom::default(),
            misnamed: Seldom::default(),
        }
    }
}

impl Paces {
    /// Whether another one may begin: of the verified visitor of this id, or of a guest.
    pub fn permit(&self, site: &str, id: Option<&str>, client: Option<IpAddr>) -> bool {
        let now = Instant::now();
        let permitted = match id {
            Some(id) => self.verified.permits_to(&(site, id), now),
            None => self.guests.permits_to(&(site, Network::of(client)), now),
        };
        if !permitted && let Some(chats) = self.exceeded.happened(now) {
            let whose = if id.is_some() { "a verified visitor" } else { "guests of one address" };
            tracing::warn!(
                site,
                chats,
                "{whose} would begin too many chats: nobody hears of these (said once a minute, \
                 `chats` counts all since)"
            );
        }
        permitted
    }

    /// Somebody verified has the id of a guest.
    pub fn tell_misnamed(&self, site: &str) {
        if self.misnamed.happened(Instant::now()).is_some() {
            tracing::warn!(
                site,
                "a verified visitor has an id like a guest's, g_ and 32 hexadecimal digits: his \
                 chats are told to nobody"
            );
        }
    }
}
