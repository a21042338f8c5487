//! A site's keys: each pinned to one algorithm, each with its window of validity.
//!
//! A key is made ready once, when the configuration is loaded: secrets are absorbed into
//! HMAC states (RFC 2104) that are cloned per use, public keys are examined and handed to
//! `jsonwebtoken`. Nothing here gives key material back.
//!
//! A public key can never serve as a secret: which of the two a key is decides its
//! algorithms, and the token has no say in it (RFC 8725 §2.1).

use std::sync::Arc;

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ED25519, ParsedPublicKey,
};
use base64::prelude::{BASE64_URL_SAFE_NO_PAD, Engine as _};
use hmac::{Hmac, KeyInit, Mac};
use jsonwebtoken::DecodingKey;
use sha2::{Digest, Sha256, Sha384, Sha512};

use super::pem::{self, KeyType};
use super::{Algorithm, HashFunction};
use crate::clock::UnixTime;
use crate::secret::Secret;

/// The keys of one site, in the order of the file.
#[derive(Clone, Debug, Default)]
pub struct Keyring {
    keys: Vec<Arc<Key>>,
    incomplete: bool,
}

/// One key.
pub struct Key {
    id: Arc<str>,
    algorithm: Algorithm,
    not_before: Option<UnixTime>,
    not_after: Option<UnixTime>,
    print: u64,
    material: Material,
}

enum Material {
    Secret(Box<Macs>),
    Public(DecodingKey),
}

/// One secret, absorbed for each hash function: a hash dialect chooses its own.
struct Macs {
    sha256: Hmac<Sha256>,
    sha384: Hmac<Sha384>,
    sha512: Hmac<Sha512>,
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

impl KeyError {
    pub(super) fn new(sentence: impl Into<String>) -> Self {
        Self(sentence.into())
    }
}

impl Keyring {
    /// A keyring of these keys. Keys of fetched sets may share an id.
    pub fn new(keys: Vec<Arc<Key>>) -> Self {
        Self { keys, incomplete: false }
    }

    /// The same, of which some keys have not been fetched yet: what none of the others
    /// verifies is `unavailable`, not wrong.
    pub fn incomplete(self) -> Self {
        Self { incomplete: true, ..self }
    }

    /// Whether keys are still to come.
    pub fn is_incomplete(&self) -> bool {
        self.incomplete
    }

    /// All keys.
    pub fn keys(&self) -> &[Arc<Key>] {
        &self.keys
    }

    /// The (first) key of that id.
    pub fn get(&self, id: &str) -> Option<&Arc<Key>> {
        self.keys.iter().find(|key| &*key.id == id)
    }

    /// The keys in the order in which they are worth trying: those in force first, so
    /// that a key outside its window is only ever the answer when no other fits. Those of
    /// the id `named` lead their group; with `only_named` there are no others.
    pub(super) fn candidates<'k>(
        &'k self,
        named: Option<&'k str>,
        only_named: bool,
        now: UnixTime,
    ) -> impl Iterator<Item = &'k Arc<Key>> {
        let is_named = move |key: &&Arc<Key>| named.is_some_and(|id| *key.id == *id);
        let others = if only_named { [].as_slice() } else { &self.keys };
        let others = others.iter().filter(move |key| !is_named(key));
        let all = self.keys.iter().filter(is_named).chain(others);
        let in_force = move |key: &&Arc<Key>| key.state(now) == KeyState::Active;
        all.clone().filter(in_force).chain(all.filter(move |key| !in_force(key)))
    }
}

impl Key {
    /// A shared secret: for HS256/384/512, and for hash dialects, which use it with their
    /// own hash function whatever it is pinned to.
    ///
    /// # Errors
    /// An empty secret, an algorithm that is not symmetric, or a PEM file: whoever knows
    /// a public key could sign with it if it served as a secret.
    pub fn secret(id: &str, algorithm: Algorithm, secret: &Secret) -> Result<Self, KeyError> {
        if secret.is_empty() {
            return Err(KeyError::new("the secret is empty"));
        }
        if !algorithm.is_symmetric() {
            return Err(KeyError::new(format!(
                "{} needs a `public_key`; a secret is for HS256, HS384 and HS512",
                algorithm.name()
            )));
        }
        if secret.expose().trim_ascii_start().starts_with(b"-----BEGIN ") {
            return Err(KeyError::new(
                "this is a PEM file, not a secret; a public key is configured as `public_key`",
            ));
        }
        let macs =
            Macs { sha256: absorb(secret)?, sha384: absorb(secret)?, sha512: absorb(secret)? };
        Ok(Self::of(id, algorithm, secret.expose(), Material::Secret(Box::new(macs))))
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
        Self::public(id, algorithm, &pem::public_key(pem)?)
    }

    /// The same, out of its wrapping.
    pub(super) fn public(
        id: &str,
        algorithm: Option<Algorithm>,
        key: &pem::PublicKey,
    ) -> Result<Self, KeyError> {
        let pem::PublicKey { key_type, bytes } = key;
        let (name, fitting): (_, &[Algorithm]) = match key_type {
            KeyType::Rsa => ("an RSA", &[Algorithm::RS256, Algorithm::RS512, Algorithm::PS256]),
            KeyType::P256 => ("a P-256", &[Algorithm::ES256]),
            KeyType::P384 => ("a P-384", &[Algorithm::ES384]),
            KeyType::Ed25519 => ("an Ed25519", &[Algorithm::EdDSA]),
        };
        let chosen = fitting.iter().find(|fit| algorithm.is_none_or(|wanted| wanted == **fit));
        let algorithm = *chosen.ok_or_else(|| {
            let fitting: Vec<_> = fitting.iter().map(|fit| fit.name()).collect();
            let wanted = algorithm.map_or("it", Algorithm::name);
            let fitting = fitting.join(" or ");
            KeyError(format!("{wanted} does not fit {name} key, which serves {fitting}"))
        })?;
        let unsound = |_| KeyError(format!("the bytes are not those of {name} public key"));
        let key = match key_type {
            KeyType::Rsa => {
                let key = aws_lc_rs::rsa::PublicKey::from_der(bytes).map_err(unsound)?;
                check_rsa_size(&key)?;
                DecodingKey::from_rsa_der(bytes)
            }
            KeyType::P256 => {
                ParsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, bytes).map_err(unsound)?;
                DecodingKey::from_ec_der(bytes)
            }
            KeyType::P384 => {
                ParsedPublicKey::new(&ECDSA_P384_SHA384_FIXED, bytes).map_err(unsound)?;
                DecodingKey::from_ec_der(bytes)
            }
            KeyType::Ed25519 => {
                ParsedPublicKey::new(&ED25519, bytes).map_err(unsound)?;
                DecodingKey::from_ed_der(bytes)
            }
        };
        Ok(Self::of(id, algorithm, bytes, Material::Public(key)))
    }

    fn of(id: &str, algorithm: Algorithm, bytes: &[u8], material: Material) -> Self {
        let print = print(id, algorithm, bytes);
        Self { id: id.into(), algorithm, not_before: None, not_after: None, print, material }
    }

    /// Limits the key to a window: valid from `not_before` (inclusive) to `not_after` (exclusive).
    pub fn with_window(self, not_before: Option<UnixTime>, not_after: Option<UnixTime>) -> Self {
        Self { not_before, not_after, ..self }
    }

    /// Its id.
    pub fn id(&self) -> &Arc<str> {
        &self.id
    }

    /// Tells it from every other key, also from another one of the same id: what was proven
    /// by a key rests on it for as long as a site has a key of this print. It says no more
    /// of a secret than any token that was signed with it.
    pub fn print(&self) -> u64 {
        self.print
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
        match &self.material {
            Material::Secret(macs) => match self.algorithm {
                Algorithm::HS384 => matches(&macs.sha384, message, signature),
                Algorithm::HS512 => matches(&macs.sha512, message, signature),
                _ => matches(&macs.sha256, message, signature),
            },
            Material::Public(key) => {
                // The library takes signatures as tokens write them.
                let encoded = BASE64_URL_SAFE_NO_PAD.encode(signature);
                let algorithm = library_name(self.algorithm);
                jsonwebtoken::crypto::verify(&encoded, message, key, algorithm).unwrap_or(false)
            }
        }
    }

    /// Whether `code` is this secret's HMAC over `message`, in constant time. A public key
    /// has none.
    pub fn authenticates(&self, hash: HashFunction, message: &[u8], code: &[u8]) -> bool {
        match (&self.material, hash) {
            (Material::Secret(macs), HashFunction::Sha256) => matches(&macs.sha256, message, code),
            (Material::Secret(macs), HashFunction::Sha512) => matches(&macs.sha512, message, code),
            (Material::Public(_), _) => false,
        }
    }

    /// Signs with the pinned algorithm; `None` for a public key.
    pub fn sign(&self, message: &[u8]) -> Option<Vec<u8>> {
        match (&self.material, self.algorithm) {
            (Material::Secret(macs), Algorithm::HS384) => Some(code(&macs.sha384, message)),
            (Material::Secret(macs), Algorithm::HS512) => Some(code(&macs.sha512, message)),
            (Material::Secret(macs), _) => Some(code(&macs.sha256, message)),
            (Material::Public(_), _) => None,
        }
    }

    /// The HMAC that [`Key::authenticates`]; `None` for a public key.
    pub fn authentication(&self, hash: HashFunction, message: &[u8]) -> Option<Vec<u8>> {
        match (&self.material, hash) {
            (Material::Secret(macs), HashFunction::Sha256) => Some(code(&macs.sha256, message)),
            (Material::Secret(macs), HashFunction::Sha512) => Some(code(&macs.sha512, message)),
            (Material::Public(_), _) => None,
        }
    }
}

/// `jsonwebtoken`'s name of an algorithm.
pub(super) const fn library_name(algorithm: Algorithm) -> jsonwebtoken::Algorithm {
    match algorithm {
        Algorithm::HS256 => jsonwebtoken::Algorithm::HS256,
        Algorithm::HS384 => jsonwebtoken::Algorithm::HS384,
        Algorithm::HS512 => jsonwebtoken::Algorithm::HS512,
        Algorithm::RS256 => jsonwebtoken::Algorithm::RS256,
        Algorithm::RS512 => jsonwebtoken::Algorithm::RS512,
        Algorithm::PS256 => jsonwebtoken::Algorithm::PS256,
        Algorithm::ES256 => jsonwebtoken::Algorithm::ES256,
        Algorithm::ES384 => jsonwebtoken::Algorithm::ES384,
        Algorithm::EdDSA => jsonwebtoken::Algorithm::EdDSA,
    }
}

fn absorb<M: KeyInit>(secret: &Secret) -> Result<M, KeyError> {
    M::new_from_slice(secret.expose()).map_err(|_| KeyError::new("the secret cannot be used"))
}

fn matches<M: Mac + Clone>(keyed: &M, message: &[u8], code: &[u8]) -> bool {
    keyed.clone().chain_update(message).verify_slice(code).is_ok()
}

fn code<M: Mac + Clone>(keyed: &M, message: &[u8]) -> Vec<u8> {
    keyed.clone().chain_update(message).finalize().into_bytes().to_vec()
}

/// 2048 to 8192 bits: less can be broken (RFC 7518 §3.3), more the library does not verify.
fn check_rsa_size(key: &aws_lc_rs::rsa::PublicKey) -> Result<(), KeyError> {
    let modulus = key.modulus();
    let modulus = modulus.big_endian_without_leading_zero();
    let spare = modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    match modulus.len() * 8 - spare {
        2048..=8192 => Ok(()),
        bits => Err(KeyError(format!("the RSA key has {bits} bits; 2048 to 8192 are supported"))),
    }
}

/// A digest of id, algorithm and key, cut short.
fn print(id: &str, algorithm: Algorithm, bytes: &[u8]) -> u64 {
    let mut hash = Sha256::new();
    for part in [b"countersign key print", id.as_bytes(), algorithm.name().as_bytes(), bytes] {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let digest = hash.finalize();
    digest.iter().take(8).fold(0, |print, byte| print << 8 | u64::from(*byte))
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

#[cfg(test)]
mod tests {
    use super::super::founding::{ring, secret};
    use super::super::fresh;
    use super::*;

    const RSA_1024: &str = "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCubGxHjXg5tzv+3adn6LFjxrYNnCA7\
        ET5brnmSpW+pxqRWG7NcW8q/+dZ7OMItFAV8ZJLRl2LSSwsMZRtM6B9CgkC4LinTtzmEwVCuItKJDsjfZBF4vU4FD3Vg\
        UpfIbNB4L0Mlb2nhTKySTG469r3v+A79mdG9byU4T3otsn6vKQIDAQAB";
    const SECP256K1: &str = "MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAEdPEVp2OXzcoFgsPnqa30mKzFkFqQrElyi4HD\
        +7AYV407VdtcN8pXNo9f1n+/Il9wet3/8OJN5Fn/5y1OBglLsg==";
    /// On no curve: the last digit differs.
    const P256_OFF: &str = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBKJcsfG9pK3QQYOFfJyAAPKIewM6hQqX\
        +eVbfmikFpG5PR2dRS8oMcyHlZsgEKKGlzjOGgvke82uks8XC7IpEw==";

    fn spki(body: &str) -> String {
        format!("-----BEGIN PUBLIC KEY-----\n{body}\n-----END PUBLIC KEY-----\n")
    }

    #[test]
    fn each_type_of_public_key_has_its_algorithms() {
        use Algorithm::{ES256, ES384, EdDSA, HS256, PS256, RS256, RS512};
        for (default, fitting) in [
            (RS256, vec![RS256, RS512, PS256]),
            (ES256, vec![ES256]),
            (ES384, vec![ES384]),
            (EdDSA, vec![EdDSA]),
        ] {
            let pem = fresh::pair(default).unwrap().public;
            let pinned = |algorithm| Key::public_pem("k", algorithm, pem.as_bytes());
            assert_eq!(pinned(None).unwrap().algorithm(), default);
            for algorithm in [HS256, RS256, RS512, PS256, ES256, ES384, EdDSA] {
                match pinned(Some(algorithm)) {
                    Ok(key) => {
                        assert!(fitting.contains(&algorithm));
                        assert_eq!(key.algorithm(), algorithm);
                    }
                    Err(error) => {
                        assert!(!fitting.contains(&algorithm));
                        let sentence = error.to_string();
                        assert!(sentence.contains(algorithm.name()), "{sentence}");
                        assert!(sentence.contains(default.name()), "{sentence}");
                    }
                }
            }
        }
    }

    /// RFC 7515 A.2 and A.3, RFC 8037 A.4: signatures that others made.
    #[test]
    fn published_signatures_verify() {
        let payload = "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9p\
            c19yb290Ijp0cnVlfQ";
        let bytes = |text: &str| BASE64_URL_SAFE_NO_PAD.decode(text).unwrap();
        let rsa = [
            b"\x30\x82\x01\x0a\x02\x82\x01\x01\x00".as_slice(),
            &bytes(
                "ofgWCuLjybRlzo0tZWJjNiuSfb4p4fAkd_wWJcyQoTbji9k0l8W26mPddxHmfHQp-Vaw-4qPCJrcS2mJPM\
                EzP1Pt0Bm4d4QlL-yRT-SFd2lZS-pCgNMsD1W_YpRPEwOWvG6b32690r2jZ47soMZo9wGzjb_7OMg0LOL-bSf63\
                kpaSHSXndS5z5rexMdbBYUsLA9e-KXBdQOS-UTo7WTBEMa2R2CapHg665xsmtdVMTBQY4uDZlxvb3qCo5ZwKh9k\
                G4LT6_I5IhlJH7aGhyxXFvUK-DWNmoudF8NAco9_h9iaGNj8q2ethFkMLs91kzk2PAcDTW9gb54h4FRWyuXpoQ",
            ),
            b"\x02\x03\x01\x00\x01",
        ];
        let p256 = [
            b"\x30\x59\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\
                \x03\x01\x07\x03\x42\x00\x04"
                .as_slice(),
            &bytes("f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"),
            &bytes("x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"),
        ];
        let ed25519 = [
            b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(),
            &bytes("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"),
        ];
        for (pem, message, signature) in [
            (
                pem::write("RSA PUBLIC KEY", &rsa.concat()),
                format!("eyJhbGciOiJSUzI1NiJ9.{payload}"),
                "cC4hiUPoj9Eetdgtv3hF80EGrhuB__dzERat0XF9g2VtQgr9PJbu3XOiZj5RZmh7AAuHIm4Bh-0Qc_lF5YKt_O\
                    8W2Fp5jujGbds9uJdbF9CUAr7t1dnZcAcQjbKBYNX4BAynRFdiuB--f_nZLgrnbyTyWzO75vRK5h6xBArLIA\
                    RNPvkSjtQBMHlb1L07Qe7K0GarZRmB_eSN9383LcOLn6_dO--xi12jzDwusC-eOkHWEsqtFZESc6BfI7noOPq\
                    vhJ1phCnvWh6IeYI2w9QOYEUipUTI8np6LbgGY9Fs98rqVt5AXLIhWkWywlVmtVrBp0igcN_IoypGlUPQGe77Rw",
            ),
            (
                pem::write("PUBLIC KEY", &p256.concat()),
                format!("eyJhbGciOiJFUzI1NiJ9.{payload}"),
                "DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
            ),
            (
                pem::write("PUBLIC KEY", &ed25519.concat()),
                "eyJhbGciOiJFZERTQSJ9.RXhhbXBsZSBvZiBFZDI1NTE5IHNpZ25pbmc".to_owned(),
                "hgyY0il_MGCjP0JzlnLWG1PPOt7-09PGcvMg3AIbQR6dWbhijcNR4ki4iylGjg5BhVsPt9g7sVvpAr_MuM0KAg",
            ),
        ] {
            let key = Key::public_pem("k", None, pem.as_bytes()).unwrap();
            let signature = bytes(signature);
            assert!(key.verifies(message.as_bytes(), &signature), "{:?}", key.algorithm());
            assert!(!key.verifies(payload.as_bytes(), &signature));
            assert!(!key.verifies(message.as_bytes(), &[]));
        }
    }

    #[test]
    fn weak_foreign_and_private_keys_are_refused_with_a_sentence() {
        let private = fresh::pair(Algorithm::ES256).unwrap().private;
        let private = String::from_utf8(private.expose().to_vec()).unwrap();
        for (pem, expected) in [
            (spki(RSA_1024), "1024 bits"),
            (spki(SECP256K1), "unsupported type or curve"),
            (spki(P256_OFF), "not those of a P-256 public key"),
            (private, "private key"),
        ] {
            let sentence = Key::public_pem("k", None, pem.as_bytes()).unwrap_err().to_string();
            assert!(sentence.contains(expected), "{sentence}");
        }
    }

    #[test]
    fn a_secret_serves_symmetric_algorithms_alone() {
        let of = |algorithm, text: &str| {
            Key::secret("k", algorithm, &Secret::new(text.as_bytes().to_vec()))
        };
        assert!(of(Algorithm::HS256, "").unwrap_err().to_string().contains("empty"));
        assert!(of(Algorithm::RS256, "x").unwrap_err().to_string().contains("public_key"));
        let pem = spki(RSA_1024);
        assert!(of(Algorithm::HS256, &pem).unwrap_err().to_string().contains("PEM"));
        let key = of(Algorithm::HS256, "hunter2").unwrap();
        assert!(!format!("{key:?}").contains("hunter2"));
    }

    /// RFC 4231, test case 2.
    #[test]
    fn a_secret_computes_the_hmac_of_each_hash_function() {
        let message = b"what do ya want for nothing?";
        let hex = |bytes: Option<Vec<u8>>| super::super::digest::write_hex(&bytes.unwrap());
        let key = |algorithm| secret("k", algorithm, "Jefe");
        let sha256 = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        let sha384 = "af45d2e376484031617f78d2b58a6b1b9c7ef464f5a01b47e42ec3736322445e\
            8e2240ca5e69e2c78b3239ecfab21649";
        let sha512 = "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea250554\
            9758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737";
        let algorithms = [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512];
        for (algorithm, expected) in algorithms.into_iter().zip([sha256, sha384, sha512]) {
            let code = key(algorithm).sign(message);
            assert_eq!(hex(code.clone()), expected);
            let code = code.unwrap();
            assert!(key(algorithm).verifies(message, &code));
            assert!(!key(algorithm).verifies(b"what", &code));
            assert!(!key(algorithm).verifies(message, &code[1..]));
            assert!(!key(algorithm).verifies(message, &[]));
        }
        // A hash dialect chooses its function, whatever the key is pinned to.
        for algorithm in algorithms {
            let key = key(algorithm);
            assert_eq!(hex(key.authentication(HashFunction::Sha256, message)), sha256);
            assert_eq!(hex(key.authentication(HashFunction::Sha512, message)), sha512);
            let code = key.authentication(HashFunction::Sha512, message).unwrap();
            assert!(key.authenticates(HashFunction::Sha512, message, &code));
            assert!(!key.authenticates(HashFunction::Sha256, message, &code));
        }
    }

    #[test]
    fn keys_in_force_are_tried_first_and_each_once() {
        let now = UnixTime::from_secs(100);
        let key = |id| secret(id, Algorithm::HS256, "x");
        let lapsed = |id| key(id).with_window(None, Some(now));
        let keys = ring([lapsed("a"), key("b"), lapsed("c"), key("d")]);
        let order = |first: Option<&str>, only| {
            let ids = keys.candidates(first, only, now).map(|key| key.id().to_string());
            ids.collect::<Vec<_>>().concat()
        };
        assert_eq!(order(None, false), "bdac");
        assert_eq!(order(Some("d"), false), "dbac");
        assert_eq!(order(Some("c"), false), "bdca");
        assert_eq!(order(Some("c"), true), "c");
        assert_eq!(order(None, true), "");
    }
}
