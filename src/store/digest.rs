//! Credentials and session tokens are not kept: a keyed hash of each is.
//!
//! The key lies beside the hashes, in the same file or database. So nobody who reads either
//! can show what he finds to a site and be somebody, and without the key (a line of a log, a
//! copy of single rows) a hash says nothing. Whoever has both can test a guess: a token that
//! is long and random cannot be guessed, one of few possibilities can.

use aws_lc_rs::hmac;
use serde::{Deserialize, Serialize};

use crate::dialect::digest::{read_hex, write_hex};
use crate::secret::Secret;

/// The first half of an HMAC-SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Digest(pub [u8; 16]);

/// What a value is the digest of: the same bytes in two places are two things.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A backend's session token.
    Session,
    /// A credential, as it was presented.
    Credential,
    /// A credential's own id (`jti`).
    SingleUse,
    /// What a guest is called of whom only the session is known.
    Guest,
}

/// The key of a store's digests; all replicas of a shared store have the same.
pub struct DigestKey(hmac::Key);

impl DigestKey {
    /// Bytes of the key.
    pub const BYTES: usize = 32;

    /// The key out of its bytes.
    pub fn new(key: &Secret) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.expose()))
    }

    /// A fresh one; none if the system has no randomness to give.
    pub fn generate() -> Option<Secret> {
        let mut key = vec![0; Self::BYTES];
        aws_lc_rs::rand::fill(&mut key).ok()?;
        Some(Secret::new(key))
    }

    /// The digest of a value.
    pub fn digest(&self, purpose: Purpose, value: &str) -> Digest {
        let mut code = hmac::Context::with_key(&self.0);
        code.update(&[match purpose {
            Purpose::Session => b's',
            Purpose::Credential => b'c',
            Purpose::SingleUse => b'j',
            Purpose::Guest => b'g',
        }]);
        code.update(value.as_bytes());
        let whole = code.sign();
        Digest(whole.as_ref().first_chunk().copied().unwrap_or_default())
    }
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&String::from(*self))
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> Self {
        write_hex(&digest.0)
    }
}

impl TryFrom<String> for Digest {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        read_hex(text.as_bytes())
            .and_then(|bytes| bytes.try_into().ok())
            .map(Self)
            .ok_or("32 hexadecimal digits are needed")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_digest_depends_on_key_purpose_and_value_and_survives_its_spelling() {
        let key = |byte| DigestKey::new(&Secret::new(vec![byte; 32]));
        let digest = key(1).digest(Purpose::Session, "token");
        assert_eq!(digest, key(1).digest(Purpose::Session, "token"));
        assert_ne!(digest, key(2).digest(Purpose::Session, "token"));
        assert_ne!(digest, key(1).digest(Purpose::Credential, "token"));
        assert_ne!(digest, key(1).digest(Purpose::Session, "tokens"));
        assert_eq!(Digest::try_from(String::from(digest)), Ok(digest));
        assert!(Digest::try_from("00".to_owned()).is_err());
    }
}
