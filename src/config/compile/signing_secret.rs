//! What signs an event: `secret`, or `secrets` while rotating.
//!
//! LiveSupporti's is a text of 32 to 64 characters whose bytes are the key; that of Standard
//! Webhooks 1.0 is `whsec_` and 24 to 64 bytes in base64, which are the key.

use super::{Compiler, secret};
use crate::config::place::Place;
use crate::config::raw::{self, SecretEncoding};
use crate::plan::Format;
use crate::secret::Secret;

const MOST: usize = 4;
const PREFIX: &[u8] = b"whsec_";
const LIVESUPPORTI: &str = "a text of 32 to 64 characters";
const STANDARD: &str = "whsec_ and 24 to 64 bytes in base64";

/// What is written of them, and where.
pub struct Written<'w> {
    pub secret: Option<&'w raw::Secret>,
    pub secrets: Option<&'w raw::List<raw::Secret>>,
    /// What both are members of.
    pub place: &'w Place,
}

/// The keys, the newest first; none where they are unsound (reported) or not to be read.
pub fn keys(compiler: &mut Compiler<'_, '_>, written: &Written<'_>, format: Format) -> Vec<Secret> {
    let (one, many) = (written.place.key("secret"), written.place.key("secrets"));
    match (written.secret, written.secrets) {
        (Some(_), Some(_)) => {
            compiler
                .report
                .key(&many, "both `secret` and `secrets`")
                .expected("one of them")
                .hint("`secrets: [new, old]` while rotating; each signs");
            Vec::new()
        }
        (Some(secret), None) => key(compiler, secret, format, &one).into_iter().collect(),
        (None, Some(list)) => {
            let entries: Vec<_> = list.entries().collect();
            if list.is_empty() || entries.len() > MOST {
                compiler
                    .report
                    .key(&many, format!("{} secrets", entries.len()))
                    .expected(format!("1 to {MOST}, the newest first"));
            }
            let sound = entries
                .into_iter()
                .filter_map(|(index, secret)| key(compiler, secret, format, &many.index(index)));
            sound.collect()
        }
        (None, None) => {
            if !compiler.report.was_removed(&one) && !compiler.report.was_removed(&many) {
                compiler
                    .report
                    .key(written.place, "`secret` is missing here: nobody could tell who posts")
                    .expected("secret: { file: hook.secret }")
                    .hint(expected(format));
            }
            Vec::new()
        }
    }
}

/// One key.
pub fn key(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Secret,
    format: Format,
    place: &Place,
) -> Option<Secret> {
    let (bytes, _) = secret::with_text(compiler, raw, SecretEncoding::Raw, place)?;
    let encoded = raw.encoding.is_some_and(|encoding| encoding != SecretEncoding::Raw);
    let read = match format {
        Format::Livesupporti => of_livesupporti(bytes),
        Format::Standard => of_standard(bytes, encoded),
    };
    match read {
        Ok(key) => Some(key),
        Err(what) => {
            compiler
                .report
                .key(place, what)
                .expected(expected(format))
                .hint(how_to_make_one(format));
            None
        }
    }
}

fn expected(format: Format) -> &'static str {
    match format {
        Format::Livesupporti => LIVESUPPORTI,
        Format::Standard => STANDARD,
    }
}

fn how_to_make_one(format: Format) -> &'static str {
    match format {
        Format::Livesupporti => "`countersign keygen` makes one",
        Format::Standard => "`echo whsec_$(openssl rand -base64 32)` makes one",
    }
}

fn of_livesupporti(bytes: Secret) -> Result<Secret, &'static str> {
    let text = std::str::from_utf8(bytes.expose()).map_err(|_| "a secret that is no text")?;
    match text.chars().count() {
        32..=64 => Ok(bytes),
        _ => Err("a secret that is too short or too long"),
    }
}

/// Written with an `encoding` of its own, it is the key without the prefix.
fn of_standard(bytes: Secret, encoded: bool) -> Result<Secret, &'static str> {
    let key = if encoded {
        bytes
    } else {
        let text = bytes.expose().strip_prefix(PREFIX).ok_or("a secret without `whsec_`")?;
        let key = secret::decode(text, SecretEncoding::Base64);
        Secret::new(key.ok_or("what stands behind `whsec_` is no base64")?)
    };
    if secret::sample(key.expose()).is_some() {
        return Err("a secret from a tutorial: everybody knows it");
    }
    match key.len() {
        24..=64 => Ok(key),
        _ => Err("a secret that is too short or too long"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn secret(text: &str) -> Secret {
        Secret::new(text.as_bytes().to_vec())
    }

    #[test]
    fn livesupportis_secret_is_its_text_counted_in_characters() {
        for good in ["x".repeat(32), "x".repeat(64), "é".repeat(64)] {
            assert_eq!(of_livesupporti(secret(&good)).unwrap().expose(), good.as_bytes());
        }
        for bad in ["x".repeat(31), "x".repeat(65), "é".repeat(31)] {
            assert!(of_livesupporti(secret(&bad)).is_err(), "{bad}");
        }
        assert!(of_livesupporti(Secret::new(vec![0xff; 40])).is_err());
    }

    #[test]
    fn a_standard_secret_is_the_bytes_behind_its_prefix() {
        let key = of_standard(secret("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"), false).unwrap();
        assert_eq!(key.expose(), (0..24).collect::<Vec<u8>>());
        for bad in [
            "AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
            "whsec_",
            "whsec_AAEC",
            "whsec_!!!!",
            "WHSEC_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX",
            // `a-string-secret-at-least-256-bits-long`
            "whsec_YS1zdHJpbmctc2VjcmV0LWF0LWxlYXN0LTI1Ni1iaXRzLWxvbmc=",
        ] {
            assert!(of_standard(secret(bad), false).is_err(), "{bad}");
        }
        assert!(of_standard(Secret::new(vec![7; 64]), true).is_ok());
        assert!(of_standard(Secret::new(vec![7; 65]), true).is_err());
    }
}
