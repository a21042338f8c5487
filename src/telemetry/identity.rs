//! How a proven id appears in the access log.
//!
//! By default as 16 hex digits of an HMAC-SHA-256 under a key that is drawn when the
//! process starts and kept nowhere: lines of one visitor can be found together, but only
//! among those of one process's life, and nobody who holds a log can try ids against it.

use std::borrow::Cow;
use std::sync::LazyLock;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::plan::LogIdentities;

/// None only if the system had no randomness to give; then ids stay out of the log.
static KEYED: LazyLock<Option<Hmac<Sha256>>> = LazyLock::new(|| {
    let mut key = zeroize::Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(&mut *key).ok()?;
    Hmac::new_from_slice(&*key).ok()
});

/// The id as the setting allows; hashes differ between sites, as identities do.
pub fn shown<'a>(setting: LogIdentities, site: &str, id: &'a str) -> Option<Cow<'a, str>> {
    match setting {
        LogIdentities::Plain => Some(id.into()),
        LogIdentities::Hashed => hashed(site, id).map(Cow::Owned),
        LogIdentities::None => None,
    }
}

fn hashed(site: &str, id: &str) -> Option<String> {
    let mut code = KEYED.clone()?;
    code.update(site.as_bytes());
    code.update(b"\0");
    code.update(id.as_bytes());
    Some(code.finalize().into_bytes().iter().take(8).map(|byte| format!("{byte:02x}")).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hashed_identity_is_the_same_for_one_visitor_of_one_site_only() {
        let of = |site, id| shown(LogIdentities::Hashed, site, id).unwrap();
        assert_eq!(of("acme", "u-1"), of("acme", "u-1"));
        assert_ne!(of("acme", "u-1"), of("acme", "u-2"));
        assert_ne!(of("acme", "u-1"), of("other", "u-1"));
        assert_eq!(of("acme", "u-1").len(), 16);
        assert!(of("acme", "u-1").bytes().all(|byte| byte.is_ascii_hexdigit()));
    }

    #[test]
    fn plain_shows_the_id_and_none_shows_nothing() {
        assert_eq!(shown(LogIdentities::Plain, "acme", "u-1").as_deref(), Some("u-1"));
        assert_eq!(shown(LogIdentities::None, "acme", "u-1"), None);
    }
}
