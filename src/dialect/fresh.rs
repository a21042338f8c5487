//! Fresh keys, from the operating system's randomness.

use aws_lc_rs::encoding::{AsDer, Pkcs8V1Der, PublicKeyX509Der};
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair,
    KeyPair, RsaKeyPair,
};
use zeroize::Zeroizing;

use super::digest::write_hex;
use super::keyring::KeyError;
use super::{Algorithm, pem};
use crate::secret::Secret;

/// A private key and its public half, both in PEM.
#[derive(Debug)]
pub struct Pair {
    /// PKCS#8 (RFC 5208), for whoever signs.
    pub private: Secret,
    /// SPKI (RFC 5280 §4.1), for whoever verifies.
    pub public: String,
}

/// A secret of 32 random bytes, as 64 lower-case hexadecimal characters: text that any
/// website can hold, and good for HS256 (RFC 7518 §3.2) as it stands.
///
/// # Errors
/// The system gives no randomness.
pub fn secret() -> Result<Secret, KeyError> {
    let mut bytes = Zeroizing::new([0; 32]);
    aws_lc_rs::rand::fill(bytes.as_mut())
        .map_err(|_| KeyError::new("the system gives no randomness"))?;
    Ok(Secret::new(write_hex(bytes.as_ref()).into_bytes()))
}

/// A key pair for an asymmetric algorithm; RSA with 2048 bits.
///
/// # Errors
/// A symmetric algorithm, or no randomness.
pub fn pair(algorithm: Algorithm) -> Result<Pair, KeyError> {
    let fault = |_| KeyError::new("the key could not be generated");
    match algorithm {
        Algorithm::RS256 | Algorithm::RS512 | Algorithm::PS256 => {
            let pair = RsaKeyPair::generate(KeySize::Rsa2048).map_err(fault)?;
            written(pair.as_der(), pair.public_key().as_der())
        }
        Algorithm::ES256 | Algorithm::ES384 => {
            let curve = match algorithm {
                Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED_SIGNING,
                _ => &ECDSA_P384_SHA384_FIXED_SIGNING,
            };
            let pair = EcdsaKeyPair::generate(curve).map_err(fault)?;
            let private = pair.to_pkcs8v1().map_err(fault)?;
            let public = pair.public_key().as_der().map_err(fault)?;
            Ok(in_pem(private.as_ref(), public.as_ref()))
        }
        Algorithm::EdDSA => {
            let pair = Ed25519KeyPair::generate().map_err(fault)?;
            written(pair.as_der(), pair.public_key().as_der())
        }
        Algorithm::HS256 | Algorithm::HS384 | Algorithm::HS512 => {
            Err(KeyError(format!("{} is for secrets, which have no public half", algorithm.name())))
        }
    }
}

type Written<T> = Result<T, aws_lc_rs::error::Unspecified>;

fn written(
    private: Written<Pkcs8V1Der<'static>>,
    public: Written<PublicKeyX509Der<'static>>,
) -> Result<Pair, KeyError> {
    let fault = |_| KeyError::new("the key could not be written");
    Ok(in_pem(private.map_err(fault)?.as_ref(), public.map_err(fault)?.as_ref()))
}

fn in_pem(private: &[u8], public: &[u8]) -> Pair {
    Pair {
        private: Secret::new(pem::write("PRIVATE KEY", private).into_bytes()),
        public: pem::write("PUBLIC KEY", public),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_64_hexadecimal_characters_and_never_the_same() {
        let (one, other) = (secret().unwrap(), secret().unwrap());
        assert_eq!(one.len(), 64);
        assert!(one.expose().iter().all(|byte| b"0123456789abcdef".contains(byte)));
        assert!(!one.matches(other.expose()));
    }

    #[test]
    fn a_secret_has_no_pair() {
        assert!(pair(Algorithm::HS256).unwrap_err().to_string().contains("HS256"));
    }
}
