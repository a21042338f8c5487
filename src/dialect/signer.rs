//! A key made ready to sign time and again, for a backend that wants a proof of its own.
//!
//! [`sign`](super::sign) reads a private key each time that somebody asks for a credential; this
//! one has been read once. It signs what it is told: whether its dialect verifies that is tried with
//! an example by [`Signer::objection`] when the configuration is loaded, and whether an id is one is
//! for whoever calls to see to.
//!
//! # Cost
//! A secret: about a microsecond. P-256 and Ed25519: some fifty, RSA: about a thousand.

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair as _, RsaKeyPair,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use jsonwebtoken::EncodingKey;

use super::digest::{self, Message};
use super::keyring::{KeyError, library_name};
use super::pem::{self, KeyType, PublicKey};
use super::sign::{self, SignError, Subject};
use super::{
    Algorithm, Credential, Dialect, FieldProof, Hash, HashField, HashFunction, Key, Keyring,
    Mechanism, Pattern, Rejection,
};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// What stands for a key that tokens do not name.
const UNNAMED: &str = "translate";

/// A key that signs.
pub struct Signer {
    /// The same key as its dialect would verify with.
    key: Arc<Key>,
    /// Tokens name it.
    named: bool,
    /// Its private half; a secret has none.
    private: Option<EncodingKey>,
}

impl Signer {
    /// A shared secret; tokens name it `kid`, if that is given.
    ///
    /// # Errors
    /// As [`Key::secret`].
    pub fn secret(
        kid: Option<&str>,
        algorithm: Algorithm,
        secret: &Secret,
    ) -> Result<Self, KeyError> {
        let key = Key::secret(kid.unwrap_or(UNNAMED), algorithm, secret)?;
        Ok(Self { key: Arc::new(key), named: kid.is_some(), private: None })
    }

    /// A private key in PEM (PKCS#8); `algorithm` pins it, `None` takes its type's default, as
    /// [`Key::public_pem`] has it.
    ///
    /// # Errors
    /// What it is instead, or an algorithm that does not fit.
    pub fn private_pem(
        kid: Option<&str>,
        algorithm: Option<Algorithm>,
        pem: &[u8],
    ) -> Result<Self, KeyError> {
        let der = pem::private_key(pem).map_err(KeyError::new)?;
        let public = public_half(der.expose()).ok_or_else(|| {
            KeyError::new(
                "the private key is of an unsupported type or curve; RSA, P-256, P-384 and \
                 Ed25519 are supported",
            )
        })?;
        let private = match public.key_type {
            KeyType::Rsa => EncodingKey::from_rsa_pem(pem),
            KeyType::P256 | KeyType::P384 => EncodingKey::from_ec_pem(pem),
            KeyType::Ed25519 => EncodingKey::from_ed_pem(pem),
        };
        let private = private.map_err(|_| KeyError::new("the private key cannot be used"))?;
        let key = Key::public(kid.unwrap_or(UNNAMED), algorithm, &public)?;
        Ok(Self { key: Arc::new(key), named: kid.is_some(), private: Some(private) })
    }

    /// The one algorithm that it signs with.
    pub fn algorithm(&self) -> Algorithm {
        self.key.algorithm()
    }

    /// Tells it from every other key, as [`Key::print`] does.
    pub fn print(&self) -> u64 {
        self.key.print()
    }

    /// Whether a key verifies what this one signs: it is the same secret, or its public half.
    pub fn is_verified_by(&self, key: &Key) -> bool {
        const PROBE: &[u8] = b"countersign key probe";
        let same = |hash| {
            let code = self.key.authentication(hash, PROBE);
            code.is_some_and(|code| key.authenticates(hash, PROBE, &code))
        };
        let fits = || {
            let signature = self.signature(PROBE, key.algorithm())?;
            Some(key.verifies(PROBE, &BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?))
        };
        same(HashFunction::Sha256) || fits().unwrap_or(false)
    }

    /// What is wrong with all that it would sign for this subject, by the dialect's own rules.
    pub fn objection(
        &self,
        dialect: &Dialect,
        subject: &Subject,
        signed: &str,
        now: UnixTime,
    ) -> Option<Rejection> {
        let credential = match &dialect.mechanism {
            Mechanism::Jwt(_) => Credential::Token(signed.into()),
            Mechanism::Hmac(_) => {
                Credential::Hash(Hash { proof: signed.into(), ..sign::beside(subject) })
            }
        };
        dialect.verify(&credential, &Keyring::new(vec![self.key.clone()]), now).err()
    }

    /// The token of this dialect that holds from `now` for `ttl` seconds, or its bare hash,
    /// which always does.
    ///
    /// # Errors
    /// The dialect has no place for something, or wants what the subject has not got.
    pub fn sign(
        &self,
        dialect: &Dialect,
        subject: &Subject,
        now: UnixTime,
        ttl: u64,
    ) -> Result<String, SignError> {
        let cannot = || SignError::NeedsPrivateKey(self.key.id().clone());
        match &dialect.mechanism {
            Mechanism::Jwt(rules) => {
                let named = self.named.then_some(&**self.key.id());
                let mut token = sign::message(rules, &self.key, named, subject, now, ttl)?;
                let signature = self.signature(token.as_bytes(), self.algorithm());
                token.push('.');
                token.push_str(&signature.ok_or_else(cannot)?);
                Ok(token)
            }
            Mechanism::Hmac(rules) => {
                let fields = sign::beside(subject);
                let incomplete =
                    |rejection: Rejection| SignError::Incomplete(rejection.detail.into_owned());
                let message = Message::of(rules, &fields).map_err(incomplete)?;
                message.sound().map_err(incomplete)?;
                let code = self.key.authentication(rules.hash, message.text.as_bytes());
                Ok(digest::encode(rules, &code.ok_or_else(cannot)?))
            }
        }
    }

    /// In base64url; none if the algorithm is not one of this key's.
    fn signature(&self, message: &[u8], algorithm: Algorithm) -> Option<String> {
        let Some(private) = &self.private else {
            return Some(BASE64_URL_SAFE_NO_PAD.encode(self.key.sign(message)?));
        };
        jsonwebtoken::crypto::sign(message, private, library_name(algorithm)).ok()
    }
}

impl Dialect {
    /// Whose value a field must have that this proves, in what this dialect signs of somebody;
    /// none that it signs of nobody.
    pub fn signs_as(&self, proof: &FieldProof) -> Option<HashField> {
        match (&self.mechanism, proof) {
            (_, FieldProof::Hashed(field)) => Some(*field),
            (Mechanism::Hmac(_), FieldProof::Claim(_)) => None,
            (Mechanism::Jwt(rules), FieldProof::Claim(claim)) => {
                let claims = &rules.claims;
                let places = [
                    (&claims.id, HashField::Id),
                    (&claims.email, HashField::Email),
                    (&claims.name, HashField::Name),
                ];
                let own = places.into_iter().find(|(place, _)| sign::place(place) == Some(claim));
                own.map(|(_, field)| field)
            }
        }
    }

    /// Whether a name, and whether an email, has a place of its own beside the id in what this
    /// dialect signs.
    pub fn has_room_for_people(&self) -> (bool, bool) {
        match &self.mechanism {
            Mechanism::Hmac(_) => (true, true),
            Mechanism::Jwt(rules) => {
                let own = |patterns: &[Pattern]| {
                    let place = sign::place(patterns);
                    place.is_some() && place != sign::place(&rules.claims.id)
                };
                (own(&rules.claims.name), own(&rules.claims.email))
            }
        }
    }
}

fn public_half(der: &[u8]) -> Option<PublicKey> {
    let of = |key_type, bytes: &[u8]| Some(PublicKey { key_type, bytes: bytes.to_vec() });
    if let Ok(pair) = RsaKeyPair::from_pkcs8(der) {
        return of(KeyType::Rsa, pair.public_key().as_ref());
    }
    if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, der) {
        return of(KeyType::P256, pair.public_key().as_ref());
    }
    if let Ok(pair) = EcdsaKeyPair::from_pkcs8(&ECDSA_P384_SHA384_FIXED_SIGNING, der) {
        return of(KeyType::P384, pair.public_key().as_ref());
    }
    let pair = Ed25519KeyPair::from_pkcs8(der).ok()?;
    of(KeyType::Ed25519, pair.public_key().as_ref())
}

impl std::fmt::Debug for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Signer").field("algorithm", &self.algorithm()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::founding::{jwt, secret, user_hash};
    use super::super::fresh;
    use super::*;

    const NOW: UnixTime = UnixTime::from_secs(1_700_000_000);

    fn ada() -> Subject {
        Subject { id: Some("u1".into()), name: Some("Ada".into()), ..Subject::default() }
    }

    #[test]
    fn each_algorithm_signs_what_its_dialect_verifies() {
        for algorithm in Algorithm::ALL {
            let pair = fresh::pair(*algorithm).ok();
            let other = fresh::pair(*algorithm).ok();
            let public = |pair: &Option<fresh::Pair>| match pair {
                Some(pair) => Key::public_pem("k", Some(*algorithm), pair.public.as_bytes()),
                None => Key::secret("k", *algorithm, &fresh::secret().unwrap()),
            };
            let signer = match &pair {
                Some(pair) => Signer::private_pem(None, Some(*algorithm), pair.private.expose()),
                None => Signer::secret(Some("k1"), *algorithm, &fresh::secret().unwrap()),
            };
            let signer = signer.unwrap();
            assert_eq!(signer.algorithm(), *algorithm);
            let token = signer.sign(&jwt(), &ada(), NOW, 60).unwrap();
            assert_eq!(signer.objection(&jwt(), &ada(), &token, NOW), None, "{algorithm:?}");
            let forged = token.replacen(".eyJ", ".fyJ", 1);
            assert!(signer.objection(&jwt(), &ada(), &forged, NOW).is_some());
            assert_eq!(signer.is_verified_by(&public(&pair).unwrap()), pair.is_some());
            assert!(!signer.is_verified_by(&public(&other).unwrap()));
            assert!(!format!("{signer:?}").contains("key"));
        }
    }

    #[test]
    fn a_secret_is_the_same_whatever_it_is_pinned_to() {
        let same = |text: &str| {
            let secret = Secret::new(b"0123456789abcdef".to_vec());
            let signer = Signer::secret(None, Algorithm::HS256, &secret).unwrap();
            signer.is_verified_by(&super::super::founding::secret("k", Algorithm::HS512, text))
        };
        assert!(same("0123456789abcdef"));
        assert!(!same("0123456789abcdeg"));
    }

    #[test]
    fn hashes_are_those_of_the_vendors_sample_and_need_their_fields() {
        let text = Secret::new(b"b02612a8bdf5e736c41ce2002181d124".to_vec());
        let signer = Signer::secret(None, Algorithm::HS256, &text).unwrap();
        let subject = Subject { id: Some("12345".into()), ..Subject::default() };
        let hash = "5039ecb10eaff468ea0297d57c00438d6a37696ab71c423c023317e425fa27da";
        assert_eq!(signer.sign(&user_hash(), &subject, NOW, 60).unwrap(), hash);
        assert!(signer.sign(&user_hash(), &Subject::default(), NOW, 60).is_err());
        assert!(signer.is_verified_by(&secret(
            "k",
            Algorithm::HS256,
            "b02612a8bdf5e736c41ce2002181d124"
        )));
    }

    #[test]
    fn what_is_no_private_key_is_refused_with_a_sentence() {
        let pair = fresh::pair(Algorithm::ES256).unwrap();
        let unknown = pem::write("PRIVATE KEY", b"\x30\x00");
        for (pem, algorithm, word) in [
            (pair.public.as_bytes(), None, "no private key"),
            (pair.private.expose(), Some(Algorithm::RS256), "ES256"),
            (unknown.as_bytes(), None, "unsupported"),
            (b"-----BEGIN RSA PRIVATE KEY-----\n-----END RSA PRIVATE KEY-----\n", None, "PKCS#1"),
        ] {
            let error = Signer::private_pem(None, algorithm, pem).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}
