//! A site's keys: each pinned to one algorithm, each with its window of validity.

use std::sync::Arc;

use super::Algorithm;
use crate::clock::UnixTime;
use crate::secret::Secret;

/// The keys of one site, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<Arc<Key>>,
}

/// One key.
pub struct Key {
    id: Arc<str>,
    algorithm: Algorithm,
    not_before: Option<UnixTime>,
    not_after: Option<UnixTime>,
    material: Material,
}

enum Material {
    Placeholder,
}

/// Where a key stands in its window.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum KeyState {
    /// In force.
    Active,
    /// Before `not_before`.
    Scheduled,
    /// At or past `not_after`.
    Lapsed,
}

impl KeyState {
    /// Metric label and admin API word.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Scheduled => "scheduled",
            Self::Lapsed => "lapsed",
        }
    }
}

/// Why key material cannot be used; a sentence for the configuration's author.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct KeyError(pub String);

impl Keyring {
    /// A keyring of these keys; ids are unique (the configuration sees to it).
    pub fn new(keys: Vec<Arc<Key>>) -> Self {
        Self { keys }
    }

    /// All keys.
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }
}

impl Key {
    /// A shared secret: for HS256/384/512 and for hash dialects (there HS256 stands for
    /// HMAC-SHA-256 and HS512 for HMAC-SHA-512).
    ///
    /// # Errors
    /// An empty secret, or an algorithm that is not symmetric.
    pub fn secret(id: &str, algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        let _ = secret;
        Ok(Self {
            id: id.into(),
            algorithm,
            not_before: None,
            not_after: None,
            material: Material::Placeholder,
        })
    }

    /// A public key in PEM (SPKI, PKCS#1 or X.509 certificate); `algorithm` pins it,
    /// `None` takes the default of its type (RSA RS256, P-256 ES256, P-384 ES384, Ed25519 EdDSA).
    ///
    /// # Errors
    /// Not a PEM public key, a private key, RSA under 2048 bits, another curve, or an
    /// algorithm that does not fit the key's type.
    pub fn public_pem(
        id: &str,
        algorithm: Option<Algorithm>,
        pem: &[u8],
    ) -> Result<Self, KeyError> {
        let _ = (id, algorithm, pem);
        todo!()
    }

    /// Limits the key to a window: valid from `not_before` (inclusive) to `not_after` (exclusive).
    pub fn with_window(self, not_before: Option<UnixTime>, not_after: Option<UnixTime>) -> Self {
        Self { not_before, not_after, ..self }
    }

    /// Its id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// The one algorithm it verifies.
    pub fn algorithm(&self) -> Algorithm {
        self.algorithm
    }

    /// Start of its window.
    pub fn not_before(&self) -> Option<UnixTime> {
        self.not_before
    }

    /// End of its window.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.not_after
    }

    /// Where it stands in its window.
    pub fn state(&self, now: UnixTime) -> KeyState {
        if self.not_before.is_some_and(|start| now < start) {
            KeyState::Scheduled
        } else if self.not_after.is_some_and(|end| now >= end) {
            KeyState::Lapsed
        } else {
            KeyState::Active
        }
    }

    /// Whether `signature` (raw bytes, JWS form) is this key's over `message`. For secrets
    /// in constant time.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        let _ = (message, signature, &self.material);
        todo!()
    }
}

impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Key")
            .field("id", &self.id)
            .field("algorithm", &self.algorithm)
            .field("not_before", &self.not_before)
            .field("not_after", &self.not_after)
            .finish_non_exhaustive()
    }
}
