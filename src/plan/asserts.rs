//! What signs what backends are told.

use std::sync::Arc;
use std::time::Duration;

use super::Plan;
use crate::assertion::{Assertion, SigningKey, key_set};

/// What signs (`assertion:`).
#[derive(Clone, Debug)]
pub enum Asserts {
    /// Nothing.
    Nothing,
    /// A generated key would, once [`Plan::sign_with`] has it.
    WithGenerated {
        /// `iss`.
        issuer: String,
        /// How long an assertion holds.
        ttl: Duration,
    },
    /// This.
    With(Arc<Assertion>),
}

impl Plan {
    /// Has a generated key sign, where one is to: PKCS#8 in DER.
    pub fn sign_with(&mut self, key: &crate::secret::Secret) {
        let Asserts::WithGenerated { issuer, ttl } = &self.asserts else { return };
        let key = SigningKey::from_der(key).ok();
        let signer = Assertion::new(key.into_iter().collect(), issuer, *ttl);
        self.asserts = signer.map_or(Asserts::Nothing, |signer| Asserts::With(signer.into()));
    }

    /// What signs what backends are told, if anything does.
    pub fn assertion(&self) -> Option<&Arc<Assertion>> {
        match &self.asserts {
            Asserts::With(signer) => Some(signer),
            Asserts::Nothing | Asserts::WithGenerated { .. } => None,
        }
    }

    /// The public keys that verify assertions, as a JWK Set; an empty one where nothing signs.
    pub fn key_set(&self) -> String {
        self.assertion().map_or_else(|| key_set(std::iter::empty()), |signer| signer.key_set())
    }
}
