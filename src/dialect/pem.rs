//! Keys in PEM (RFC 7468): public ones as SPKI, PKCS#1 or inside an X.509 certificate, private
//! ones as PKCS#8.
//!
//! Only the framing is read here, as far as the key's type and its bytes; whether those
//! bytes are a sound key is for the cryptographic library to say. A certificate's own
//! signature and dates are not looked at: whoever configures one pins it.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use super::keyring::KeyError;
use crate::secret::Secret;

/// The types of key that Countersign verifies with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KeyType {
    Rsa,
    P256,
    P384,
    Ed25519,
}

/// A public key out of its wrapping.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct PublicKey {
    pub key_type: KeyType,
    /// RSA: PKCS#1 DER. Curves: the point, or the 32 bytes of Ed25519.
    pub bytes: Vec<u8>,
}

/// `AlgorithmIdentifier`s as DER writes them (RFC 3279 §2.3, RFC 5480 §2.1.1, RFC 8410 §3).
const IDENTIFIERS: [(KeyType, &[u8]); 4] = [
    (KeyType::Rsa, b"\x30\x0d\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x01\x01\x05\x00"),
    (
        KeyType::P256,
        b"\x30\x13\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07",
    ),
    (KeyType::P384, b"\x30\x10\x06\x07\x2a\x86\x48\xce\x3d\x02\x01\x06\x05\x2b\x81\x04\x00\x22"),
    (KeyType::Ed25519, b"\x30\x05\x06\x03\x2b\x65\x70"),
];

/// Takes the public key out of a PEM text.
///
/// # Errors
/// A sentence for the configuration's author.
pub(super) fn public_key(pem: &[u8]) -> Result<PublicKey, KeyError> {
    let text = std::str::from_utf8(pem).unwrap_or_default();
    if text.contains("PRIVATE KEY-----") {
        return Err(KeyError::new(
            "this is a private key, which does not belong here; give its public half \
             (`openssl pkey -in key.pem -pubout`)",
        ));
    }
    let (label, body) = block(text).ok_or_else(|| {
        KeyError::new("this is no PEM public key: `-----BEGIN PUBLIC KEY-----` is expected")
    })?;
    let encoded: String = body.split_ascii_whitespace().collect();
    let der = BASE64_STANDARD
        .decode(encoded)
        .map_err(|_| KeyError::new("the PEM block does not hold valid base64"))?;
    match label {
        "PUBLIC KEY" => from_spki(&der),
        "RSA PUBLIC KEY" => Ok(PublicKey { key_type: KeyType::Rsa, bytes: der }),
        "CERTIFICATE" => spki_of_certificate(&der)
            .ok_or_else(|| KeyError::new("the certificate is not valid DER"))
            .and_then(from_spki),
        _ => Err(KeyError::new(
            "the PEM block is of another kind; `PUBLIC KEY`, `RSA PUBLIC KEY` or \
             `CERTIFICATE` is expected",
        )),
    }
}

/// Takes a private key out of a PEM text: PKCS#8 in DER, as `countersign keygen` and
/// `openssl genpkey` write it.
///
/// # Errors
/// What it is instead, in a sentence for the configuration's author.
pub(crate) fn private_key(pem: &[u8]) -> Result<Secret, &'static str> {
    const EXPECTED: &str = "this is no private key in PEM (PKCS#8): `-----BEGIN PRIVATE \
                            KEY-----` is expected; `countersign keygen --alg ES256` makes one";
    let text = std::str::from_utf8(pem).map_err(|_| EXPECTED)?;
    if ["EC", "RSA"].iter().any(|of| text.contains(&format!("-----BEGIN {of} PRIVATE KEY-----"))) {
        return Err("this is a private key in SEC1 or PKCS#1; `openssl pkcs8 -topk8 -nocrypt -in \
                    key.pem` writes it as PKCS#8");
    }
    let body = text.split_once("-----BEGIN PRIVATE KEY-----").ok_or(EXPECTED)?.1;
    let body = body.split_once("-----END PRIVATE KEY-----").ok_or(EXPECTED)?.0;
    let encoded: Zeroizing<String> = Zeroizing::new(body.split_ascii_whitespace().collect());
    BASE64_STANDARD.decode(encoded.as_bytes()).map(Secret::new).map_err(|_| EXPECTED)
}

/// Writes a PEM block with lines of 64 characters (RFC 7468 §2).
pub(crate) fn write(label: &str, der: &[u8]) -> String {
    let encoded = BASE64_STANDARD.encode(der);
    let mut pem = format!("-----BEGIN {label}-----\n");
    for (index, character) in encoded.chars().enumerate() {
        if index > 0 && index % 64 == 0 {
            pem.push('\n');
        }
        pem.push(character);
    }
    pem + &format!("\n-----END {label}-----\n")
}

/// The first block's label and body.
fn block(text: &str) -> Option<(&str, &str)> {
    let (label, rest) = text.split_once("-----BEGIN ")?.1.split_once("-----")?;
    let (body, rest) = rest.split_once("-----END ")?;
    rest.strip_prefix(label)?.starts_with("-----").then_some((label, body))
}

/// `SubjectPublicKeyInfo` (RFC 5280 §4.1).
fn from_spki(der: &[u8]) -> Result<PublicKey, KeyError> {
    let broken = || KeyError::new("the public key is not valid DER");
    let (SEQUENCE, info, []) = element(der).ok_or_else(broken)? else {
        return Err(broken());
    };
    let known = IDENTIFIERS
        .iter()
        .find_map(|(key_type, identifier)| Some((*key_type, info.strip_prefix(*identifier)?)));
    let (key_type, rest) = known.ok_or_else(|| {
        KeyError::new(
            "the key is of an unsupported type or curve; RSA, P-256, P-384 and Ed25519 are \
             supported",
        )
    })?;
    match element(rest) {
        Some((BIT_STRING, [0, bytes @ ..], [])) => {
            Ok(PublicKey { key_type, bytes: bytes.to_vec() })
        }
        _ => Err(broken()),
    }
}

/// Finds the `subjectPublicKeyInfo` of a certificate (RFC 5280 §4.1), whole.
fn spki_of_certificate(der: &[u8]) -> Option<&[u8]> {
    let (_, certificate, _) = element(der)?;
    let (_, mut fields, _) = element(certificate)?;
    if let Some((VERSION, _, rest)) = element(fields) {
        fields = rest;
    }
    // serialNumber, signature, issuer, validity, subject
    for _ in 0..5 {
        fields = element(fields)?.2;
    }
    let rest = element(fields)?.2;
    fields.get(..fields.len() - rest.len())
}

const BIT_STRING: u8 = 0x03;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The DER element that the bytes begin with: tag, contents, and what follows.
fn element(der: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = der.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x83 => {
            let (digits, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (contents, rest) = rest.split_at_checked(length)?;
    Some((tag, contents, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ED25519: &str = "-----BEGIN PUBLIC KEY-----\n\
        MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=\n\
        -----END PUBLIC KEY-----\n";

    #[test]
    fn the_key_of_rfc_8410_is_read_and_written_again() {
        let key = public_key(ED25519.as_bytes()).unwrap();
        assert_eq!(key.key_type, KeyType::Ed25519);
        assert_eq!(key.bytes.len(), 32);
        let spki = [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(), &key.bytes];
        assert_eq!(write("PUBLIC KEY", &spki.concat()), ED25519);
    }

    #[test]
    fn what_is_no_supported_public_key_is_refused_with_a_sentence() {
        let private = ED25519.replace("PUBLIC", "PRIVATE");
        let unframed = ED25519.replace("END PUBLIC", "END OTHER");
        let curve = write("PUBLIC KEY", b"\x30\x09\x30\x05\x06\x03\x2b\x65\x71\x03\x00"); // Ed448
        let cut = write("PUBLIC KEY", b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00");
        for (pem, expected) in [
            (private.as_str(), "private key"),
            ("", "no PEM"),
            (unframed.as_str(), "no PEM"),
            ("-----BEGIN PUBLIC KEY-----\n!\n-----END PUBLIC KEY-----", "base64"),
            (curve.as_str(), "unsupported"),
            (cut.as_str(), "DER"),
            (&write("CERTIFICATE", b"\x30\x00"), "certificate"),
            (&write("DH PARAMETERS", b"\x30\x00"), "another kind"),
        ] {
            let error = public_key(pem.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(expected), "{pem}: {error}");
        }
    }

    #[test]
    fn a_certificates_key_is_the_key_it_certifies() {
        let body = "MIIBcjCCARmgAwIBAgIUZ+588nrrhv/ZG2YUA/FRCQhRlQkwCgYIKoZIzj0EAwIwDzENMAsGA1UE\
            AwwEdGVzdDAeFw0yNjExMjExMjIyMTJaFw0zNjExMTgxMjIyMTJaMA8xDTALBgNVBAMMBHRlc3QwWTATBgcq\
            hkjOPQIBBggqhkjOPQMBBwNCAAQEolyx8b2krdBBg4V8nIAA8oh7AzqFCpf55Vt+aKQWkbk9HZ1FLygxzIeV\
            myAQooaXOM4aC+R7za6SzxcLsikSo1MwUTAdBgNVHQ4EFgQU0MU6ZyKDasvL+MHm4iIrm5gb33YwHwYDVR0j\
            BBgwFoAU0MU6ZyKDasvL+MHm4iIrm5gb33YwDwYDVR0TAQH/BAUwAwEB/zAKBggqhkjOPQQDAgNHADBEAiBx\
            xVN9nQwyPgAd26TrAeuKTufQf8ge3/ymW47e48gCCgIgAmIq9JW5H0ZyKDHrZKHZgM5Acw7QIZ3E//GXgku5\
            2YQ=";
        let spki = "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEBKJcsfG9pK3QQYOFfJyAAPKIewM6hQqX+eVbfmik\
            FpG5PR2dRS8oMcyHlZsgEKKGlzjOGgvke82uks8XC7IpEg==";
        let of = |label: &str, body: &str| {
            let pem = format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----\n");
            public_key(pem.as_bytes()).unwrap()
        };
        assert_eq!(of("CERTIFICATE", body), of("PUBLIC KEY", spki));
        assert_eq!(of("PUBLIC KEY", spki).key_type, KeyType::P256);
    }

    #[test]
    fn no_damaged_der_panics() {
        let key = public_key(ED25519.as_bytes()).unwrap();
        let spki =
            [b"\x30\x2a\x30\x05\x06\x03\x2b\x65\x70\x03\x21\x00".as_slice(), &key.bytes].concat();
        for place in 0..12 {
            for value in 0..=255 {
                let mut damaged = spki.clone();
                damaged[place] = value;
                let same = damaged == spki;
                assert_eq!(from_spki(&damaged).is_ok(), same, "byte {place} = {value:#x}");
                _ = spki_of_certificate(&damaged);
            }
        }
    }
}
