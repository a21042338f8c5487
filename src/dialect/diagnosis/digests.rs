//! The hash functions that websites reach for, the broken ones among them: they are only
//! computed to be recognised, and never to accept anything.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::Sha1;
use sha2::{Digest, Sha256, Sha384, Sha512};

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    Md5,
    Sha1,
    Sha256,
    Sha384,
    Sha512,
}

impl Function {
    const ALL: [Self; 5] = [Self::Md5, Self::Sha1, Self::Sha256, Self::Sha384, Self::Sha512];

    /// The one whose codes have that many bytes.
    pub fn of_length(bytes: usize) -> Option<Self> {
        Self::ALL.into_iter().find(|function| function.length() == bytes)
    }

    const fn length(self) -> usize {
        match self {
            Self::Md5 => 16,
            Self::Sha1 => 20,
            Self::Sha256 => 32,
            Self::Sha384 => 48,
            Self::Sha512 => 64,
        }
    }

    /// As people write it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Md5 => "MD5",
            Self::Sha1 => "SHA-1",
            Self::Sha256 => "SHA-256",
            Self::Sha384 => "SHA-384",
            Self::Sha512 => "SHA-512",
        }
    }

    /// The mistake of using it where another is due.
    pub const fn cause(self) -> &'static str {
        match self {
            Self::Md5 => "md5",
            Self::Sha1 => "sha1",
            Self::Sha256 => "sha256",
            Self::Sha384 => "sha384",
            Self::Sha512 => "sha512",
        }
    }

    /// The plain hash, without any key.
    pub fn digest(self, message: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => Md5::digest(message).to_vec(),
            Self::Sha1 => Sha1::digest(message).to_vec(),
            Self::Sha256 => Sha256::digest(message).to_vec(),
            Self::Sha384 => Sha384::digest(message).to_vec(),
            Self::Sha512 => Sha512::digest(message).to_vec(),
        }
    }

    /// HMAC (RFC 2104); any key will do.
    pub fn hmac(self, key: &[u8], message: &[u8]) -> Vec<u8> {
        match self {
            Self::Md5 => code::<Hmac<Md5>>(key, message),
            Self::Sha1 => code::<Hmac<Sha1>>(key, message),
            Self::Sha256 => code::<Hmac<Sha256>>(key, message),
            Self::Sha384 => code::<Hmac<Sha384>>(key, message),
            Self::Sha512 => code::<Hmac<Sha512>>(key, message),
        }
    }
}

fn code<M: Mac + KeyInit>(key: &[u8], message: &[u8]) -> Vec<u8> {
    M::new_from_slice(key)
        .map(|mac| mac.chain_update(message).finalize().into_bytes().to_vec())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::super::digest::write_hex;
    use super::*;

    /// RFC 1321 A.5, RFC 3174 §7.3, RFC 2202 §2–3, RFC 4231 test case 2.
    #[test]
    fn published_values_are_reproduced() {
        let plain = |function: Function, text: &str| write_hex(&function.digest(text.as_bytes()));
        assert_eq!(plain(Function::Md5, "abc"), "900150983cd24fb0d6963f7d28e17f72");
        assert_eq!(plain(Function::Sha1, "abc"), "a9993e364706816aba3e25717850c26c9cd0d89d");
        let keyed = |function: Function| {
            write_hex(&function.hmac(b"Jefe", b"what do ya want for nothing?"))
        };
        assert_eq!(keyed(Function::Md5), "750c783e6ab0b503eaa86e310a5db738");
        assert_eq!(keyed(Function::Sha1), "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert!(keyed(Function::Sha256).starts_with("5bdcc146bf60754e6a04"));
        assert!(keyed(Function::Sha384).starts_with("af45d2e376484031617f"));
        assert!(keyed(Function::Sha512).starts_with("164b7a7bfcf819e2e395"));
    }

    #[test]
    fn a_function_is_known_by_the_length_of_its_codes() {
        for function in Function::ALL {
            let length = function.digest(b"").len();
            assert_eq!(Function::of_length(length), Some(function));
        }
        assert_eq!(Function::of_length(31), None);
    }
}
