//! Header names that may not reach the backend as the client sent them: reserved ones, and
//! forwarding headers that nobody vouches for.

use http::{HeaderMap, HeaderName};

use super::contract::Reserved;
use super::forwarded;

/// What the header names alone say: looked at once, before anything is decided.
pub(super) struct Inbound {
    /// Reserved names, and forwarding headers that nobody vouches for.
    pub remove: Vec<HeaderName>,
    /// Reserved fields.
    pub stripped: usize,
    /// A trusted peer sent forwarding headers.
    pub vouched: bool,
    /// A peer that is not trusted did.
    pub distrusted: bool,
}

impl Inbound {
    /// Looks at every name once.
    pub fn scan(headers: &HeaderMap, trusted: bool, reserved: &Reserved) -> Self {
        let mut inbound =
            Self { remove: Vec::new(), stripped: 0, vouched: false, distrusted: false };
        for name in headers.keys() {
            if reserved.has(name.as_str()) {
                inbound.stripped += headers.get_all(name).iter().count();
                inbound.remove.push(name.clone());
                continue;
            }
            match forwarded::kind(name.as_str()) {
                None => continue,
                Some(forwarded::Kind::Kept) if trusted => {
                    inbound.vouched = true;
                    continue;
                }
                Some(forwarded::Kind::Kept | forwarded::Kind::Alias) => {
                    inbound.distrusted |= !trusted;
                }
                Some(forwarded::Kind::Never) => {}
            }
            inbound.remove.push(name.clone());
        }
        inbound
    }
}
