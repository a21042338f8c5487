//! The keys that assertions are signed with here: the library's own, and the same once more
//! by hand, for what the library would never sign.

use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use countersign::assertion::{SigningKey, key_set};
use countersign::secret::Secret;
use serde_json::Value;

use super::cases::Name;

/// Two keys that are published, and one that is not.
pub struct Ring([Key; 3]);

/// A key pair.
pub struct Key {
    /// Its thumbprint.
    pub kid: String,
    /// Its public half.
    pub jwk: Value,
    private: Secret,
}

impl Ring {
    /// Fresh ones.
    pub fn new() -> Self {
        Self([(); 3].map(|()| Key::new()))
    }

    /// One of them.
    pub fn key(&self, name: Name) -> &Key {
        &self.0[name as usize]
    }

    /// The key set of these.
    pub fn set(&self, names: &[Name]) -> String {
        let keys: Vec<SigningKey> = names.iter().map(|name| self.key(*name).signing()).collect();
        key_set(keys.iter())
    }
}

impl Key {
    fn new() -> Self {
        let private = SigningKey::generate().expect("randomness");
        let key = SigningKey::from_der(&private).expect("a key of P-256");
        let set = key_set(std::iter::once(&key));
        let set: Value = serde_json::from_str(&set).expect("JSON");
        Self { kid: key.kid().to_owned(), jwk: set["keys"][0].clone(), private }
    }

    /// As the library has it.
    pub fn signing(&self) -> SigningKey {
        SigningKey::from_der(&self.private).expect("a key of P-256")
    }

    /// Signs anything.
    pub fn sign(&self, message: &str) -> Vec<u8> {
        let random = SystemRandom::new();
        self.pair().sign(&random, message.as_bytes()).expect("randomness").as_ref().to_vec()
    }

    /// The public half as RFC 5480 has it.
    pub fn der(&self) -> Vec<u8> {
        const PREFIX: [u8; 26] = [
            0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06,
            0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
        ];
        [&PREFIX, self.pair().public_key().as_ref()].concat()
    }

    /// The same in PEM, as `openssl` writes it.
    pub fn pem(&self) -> String {
        let body = STANDARD.encode(self.der());
        let lines: Vec<&str> =
            body.as_bytes().chunks(64).map(|l| str::from_utf8(l).expect("ASCII")).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    fn pair(&self) -> EcdsaKeyPair {
        let private = self.private.expose();
        EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, private).expect("a key of P-256")
    }
}
