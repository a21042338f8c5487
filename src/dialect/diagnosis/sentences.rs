//! Sentences that tokens and hashes have in common.

use super::digests::Function;
use super::secrets::Variant;
use super::{Hint, Party};
use crate::dialect::Key;

pub(super) fn wrong_site(other: &Party<'_>, key: &Key, site: &str) -> Hint {
    Hint::new(
        "wrong_sites_key",
        format!(
            "it is signed with key `{}` of the site `{}`: use a key of `{site}`, or send the \
             visitor to `{}`",
            key.id(),
            other.name,
            other.name
        ),
    )
}

pub(super) fn mistaken_secret(cause: &'static str, variant: &Variant) -> Hint {
    let Some(key) = &variant.key else {
        let text = format!("the website {}: use the site's own", variant.does);
        return Hint::new(cause, text);
    };
    let encoding = match cause {
        "secret_hex" => Some("hex"),
        "secret_base64" => Some("base64"),
        "secret_base64url" => Some("base64url"),
        "secret_raw" => Some("raw"),
        _ => None,
    };
    let fix = match encoding {
        Some(encoding) => format!(
            ", and Countersign does not: change the website, or give the secret of key `{key}` \
             `encoding: {encoding}` if that is the vendor's rule"
        ),
        None if cause == "public_key_as_secret" => {
            format!(": sign with the private half of key `{key}`; a public key is no secret")
        }
        None => format!(": it must use the secret of key `{key}` exactly as it is"),
    };
    Hint::new(cause, format!("the website {}{fix}", variant.does))
}

pub(super) fn swapped() -> Hint {
    Hint::new(
        "swapped",
        "key and message are swapped: the secret is the key of the HMAC, and what is signed is \
         its message",
    )
}

pub(super) fn not_keyed(function: Function) -> Hint {
    Hint::new(
        "not_keyed",
        format!(
            "this is a plain {} and no HMAC: use the HMAC function of the language, with the \
             secret as its key",
            function.name()
        ),
    )
}
