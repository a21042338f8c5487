//! The keys that sign: P-256, known by their thumbprint, published as a key set (RFC 7517).

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};

use crate::dialect::pem::private_key;
use crate::secret::Secret;

/// A private key and what is known of it publicly.
pub struct SigningKey {
    pair: EcdsaKeyPair,
    /// RFC 7638: the same wherever the same key is.
    kid: String,
    /// The public half, as a member of a key set.
    jwk: String,
}

impl SigningKey {
    /// Takes a private key out of a PEM text: PKCS#8, as `countersign keygen --alg ES256` and
    /// `openssl genpkey` write it.
    ///
    /// # Errors
    /// What it is instead, in a sentence for the configuration's author.
    pub fn from_pem(pem: &[u8]) -> Result<Self, &'static str> {
        Self::from_der(&private_key(pem)?)
    }

    /// The same from PKCS#8 in DER.
    ///
    /// # Errors
    /// It is no P-256 key.
    pub fn from_der(der: &Secret) -> Result<Self, &'static str> {
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der.expose())
            .map_err(|_| "the private key is not one of P-256, which ES256 needs")?;
        // Uncompressed: 4, x, y (SEC 1 §2.3.3).
        let [4, point @ ..] = pair.public_key().as_ref() else {
            return Err("the private key has no public half");
        };
        let (x, y) = point.split_at(point.len() / 2);
        let [x, y] = [x, y].map(|half| BASE64_URL_SAFE_NO_PAD.encode(half));
        // The required members in lexicographic order, without white space (RFC 7638 §3).
        let required = format!("{{\"crv\":\"P-256\",\"kty\":\"EC\",\"x\":\"{x}\",\"y\":\"{y}\"}}");
        let kid = BASE64_URL_SAFE_NO_PAD.encode(digest(&SHA256, required.as_bytes()));
        let jwk = format!(
            "{{\"kty\":\"EC\",\"crv\":\"P-256\",\"x\":\"{x}\",\"y\":\"{y}\",\"kid\":\"{kid}\",\
             \"use\":\"sig\",\"alg\":\"ES256\"}}"
        );
        Ok(Self { pair, kid, jwk })
    }

    /// A fresh one, as PKCS#8 in DER; none if the system has no randomness to give.
    pub fn generate() -> Option<Secret> {
        let pair = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).ok()?;
        Some(Secret::new(pair.to_pkcs8v1().ok()?.as_ref().to_vec()))
    }

    /// Its thumbprint.
    pub fn kid(&self) -> &str {
        &self.kid
    }

    /// Signs; none if the system has no randomness to give.
    pub(super) fn sign(&self, message: &[u8]) -> Option<impl AsRef<[u8]> + use<>> {
        self.pair.sign(&SystemRandom::new(), message).ok()
    }
}

impl std::fmt::Debug for SigningKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "SigningKey({})", self.kid)
    }
}

/// The public halves as a key set.
pub fn key_set<'k>(keys: impl Iterator<Item = &'k SigningKey>) -> String {
    let keys: Vec<&str> = keys.map(|key| key.jwk.as_str()).collect();
    format!("{{\"keys\":[{}]}}", keys.join(","))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Algorithm, fresh};

    #[test]
    fn what_keygen_makes_signs_and_others_are_told_what_is_wrong() {
        let made = fresh::pair(Algorithm::ES256).unwrap().private;
        let key = SigningKey::from_pem(made.expose()).unwrap();
        assert!(key.sign(b"message").is_some());
        assert_eq!(key.kid().len(), 43);
        let other = fresh::pair(Algorithm::ES384).unwrap().private;
        let public = fresh::pair(Algorithm::ES256).unwrap().public;
        for (pem, word) in [
            (other.expose(), "P-256"),
            (public.as_bytes(), "no private key"),
            (b"-----BEGIN EC PRIVATE KEY-----\n-----END EC PRIVATE KEY-----\n", "SEC1"),
            (b"", "keygen"),
        ] {
            let why = SigningKey::from_pem(pem).unwrap_err();
            assert!(why.contains(word), "{why}");
        }
    }

    #[test]
    fn a_set_holds_public_halves_alone() {
        let keys =
            [(); 2].map(|()| SigningKey::from_der(&SigningKey::generate().unwrap()).unwrap());
        let set: serde_json::Value = serde_json::from_str(&key_set(keys.iter())).unwrap();
        assert_eq!(set["keys"][1]["kid"], keys[1].kid());
        assert!(set["keys"][0].get("d").is_none());
        assert!(!format!("{:?}", keys[0]).contains("pair"));
    }
}
