//! What websites make of a secret before they sign with it: decoded, encoded, with the
//! newline of its file, in the quotes of its `.env` line.
//!
//! The variants live for one diagnosis and are wiped after it.

use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD, Engine as _};
use percent_encoding::percent_decode;

use super::token::{STANDARD, URL};
use super::{Party, Written};
use crate::dialect::digest::{read_hex, write_hex};
use crate::dialect::{Algorithm, HashFunction, Key, sample};
use crate::secret::Secret;

/// A secret as a website may be using it.
pub(super) struct Variant {
    /// Id of the key it is made from; absent for samples.
    pub key: Option<std::sync::Arc<str>>,
    /// What the website would sign with.
    pub secret: Secret,
    /// The mistake; `None` for the secret as the site itself uses it.
    pub cause: Option<&'static str>,
    /// What the website does, as the end of "the website …".
    pub does: &'static str,
}

/// Whoever knows the public key can sign so: it is also an attack.
const PUBLIC: (&str, &str) =
    ("public_key_as_secret", "signs with the public key as if it were a secret");

/// The site's secrets in every form that is worth trying, as they are first.
pub(super) fn variants(party: &Party<'_>) -> Vec<Variant> {
    let mut all: Vec<Variant> = Vec::new();
    for written in party.written {
        let key = party.keyring.get(&written.key);
        let forms = forms(written);
        for (cause, does, bytes) in forms {
            let known = |other: &Variant| {
                other.key.as_ref() == Some(&written.key) && other.secret.matches(&bytes)
            };
            if bytes.is_empty() || all.iter().any(known) {
                continue;
            }
            let secret = Secret::new(bytes);
            let (cause, does) = match key {
                Some(key) if !key.algorithm().is_symmetric() => PUBLIC,
                _ => (cause, does),
            };
            let cause = (!is_the_key(key.map(AsRef::as_ref), &secret)).then_some(cause);
            all.push(Variant { key: Some(written.key.clone()), secret, cause, does });
        }
    }
    all.sort_by_key(|variant| variant.cause.is_some());
    all
}

/// What tutorials sign with.
pub(super) fn samples() -> impl Iterator<Item = Variant> {
    sample::SECRETS.iter().map(|text| Variant {
        key: None,
        secret: Secret::new(text.as_bytes().to_vec()),
        cause: Some("sample_secret"),
        does: "signs with a secret from a tutorial, which everybody knows",
    })
}

/// Whether these bytes are what the site's key holds: only the key itself can tell.
fn is_the_key(key: Option<&Key>, secret: &Secret) -> bool {
    let Some(key) = key else { return false };
    let probe = b"which secret is this";
    Key::secret("probe", Algorithm::HS256, secret)
        .ok()
        .and_then(|candidate| candidate.authentication(HashFunction::Sha256, probe))
        .is_some_and(|code| key.authenticates(HashFunction::Sha256, probe, &code))
}

type Form = (&'static str, &'static str, Vec<u8>);

fn forms(written: &Written) -> Vec<Form> {
    let text = written.text.expose();
    let trimmed = text.trim_ascii();
    let with = |before: &[u8], after: &[u8]| [before, text, after].concat();
    let mut forms: Vec<Form> = vec![
        ("secret_raw", "uses the secret's text as it stands", text.to_vec()),
        ("secret_newline", "has a newline at the end of its secret", with(b"", b"\n")),
        (
            "secret_newline",
            "has a line ending (CR LF) at the end of its secret",
            with(b"", b"\r\n"),
        ),
        ("secret_whitespace", "has a space at the end of its secret", with(b"", b" ")),
        ("secret_whitespace", "has a space before its secret", with(b" ", b"")),
        ("secret_whitespace", "leaves out the white space around the secret", trimmed.to_vec()),
        ("secret_quotes", "counts quotation marks as a part of its secret", with(b"\"", b"\"")),
        ("secret_quotes", "counts quotation marks as a part of its secret", with(b"'", b"'")),
        ("secret_case", "writes its secret in upper case", text.to_ascii_uppercase()),
        ("secret_case", "writes its secret in lower case", text.to_ascii_lowercase()),
        (
            "secret_encoded",
            "encodes the secret as base64 before it signs",
            BASE64_STANDARD.encode(text).into_bytes(),
        ),
        (
            "secret_encoded",
            "encodes the secret as base64url before it signs",
            BASE64_URL_SAFE_NO_PAD.encode(text).into_bytes(),
        ),
        (
            "secret_encoded",
            "encodes the secret as hexadecimal before it signs",
            write_hex(text).into_bytes(),
        ),
        (
            "secret_url_encoded",
            "percent-decodes the secret before it signs",
            percent_decode(text).collect(),
        ),
    ];
    let unquoted = trimmed.first().zip(trimmed.last()).filter(|(first, last)| {
        trimmed.len() > 2 && first == last && matches!(first, b'"' | b'\'')
    });
    if unquoted.is_some()
        && let Some(inner) = trimmed.get(1..trimmed.len() - 1)
    {
        forms.push((
            "secret_quotes",
            "leaves out the quotation marks of the secret",
            inner.to_vec(),
        ));
    }
    let decoded = [
        ("secret_hex", "hex-decodes the secret before it signs", read_hex(trimmed)),
        (
            "secret_base64",
            "base64-decodes the secret before it signs",
            STANDARD.decode(trimmed).ok(),
        ),
        (
            "secret_base64url",
            "base64url-decodes the secret before it signs",
            URL.decode(trimmed).ok(),
        ),
    ];
    forms
        .extend(decoded.into_iter().filter_map(|(cause, does, bytes)| Some((cause, does, bytes?))));
    if let Ok(text) = std::str::from_utf8(text) {
        let wide = text.encode_utf16().flat_map(u16::to_le_bytes).collect();
        forms.push(("secret_utf16", "signs with the secret in UTF-16; UTF-8 is needed", wide));
    }
    forms
}
