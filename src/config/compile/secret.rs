//! Secrets: read, decoded, and refused where they are none.
//!
//! Nothing here puts a secret, or a part of one, into a message.

use std::io::Read;
use std::path::Path;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::Compiler;
use crate::config::place::Place;
use crate::config::raw::{self, SecretEncoding};
use crate::dialect::digest::read_hex;
use crate::dialect::sample;
use crate::secret::Secret;

/// A larger file holds no secret.
const MAX_BYTES: u64 = 64 * 1024;
/// RFC 7518 §3.2: a key as long as the hash; shorter ones are easier to guess.
const GOOD_LENGTH: usize = 32;
/// RingCentral hands out secrets of 24 characters and takes no others.
const RINGCENTRAL: (&str, usize) = ("ringcentral-engage", 24);
const ADMIN_TOKEN: usize = 16;

const FORMS: &str = "{ file: PATH }, { env: NAME } or { value: TEXT }";

/// Reads one secret. `None` when it is unusable (reported), or not to be read.
pub fn secret(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Secret,
    default: SecretEncoding,
    place: &Place,
) -> Option<Secret> {
    with_text(compiler, raw, default, place).map(|(secret, _)| secret)
}

/// [`secret`], and the text that it was decoded from.
pub fn with_text(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Secret,
    default: SecretEncoding,
    place: &Place,
) -> Option<(Secret, Secret)> {
    let written = [raw.file.is_some(), raw.env.is_some(), raw.value.is_some()];
    if written.iter().filter(|written| **written).count() != 1 {
        if written.contains(&true) {
            compiler.report.key(place, "a secret from more than one place").expected(FORMS);
        } else if !compiler.report.lost_something_in(place) {
            compiler.report.key(place, "a secret from nowhere").expected(FORMS);
        }
        return None;
    }
    let (bytes, place) = if let Some(named) = &raw.file {
        (from_file(compiler, named, &place.key("file"))?, place.key("file"))
    } else if let Some(name) = &raw.env {
        (from_environment(compiler, name, &place.key("env"))?, place.key("env"))
    } else {
        (raw.value.as_ref()?.clone().into_bytes(), place.key("value"))
    };
    sound(compiler, "", bytes, raw.encoding.unwrap_or(default), &place)
}

/// What was read, decoded, and the text itself; `None` when it is no secret (reported).
/// `who` is put before the problem where the place alone does not say which secret it is.
pub fn sound(
    compiler: &mut Compiler<'_, '_>,
    who: &str,
    bytes: Vec<u8>,
    encoding: SecretEncoding,
    place: &Place,
) -> Option<(Secret, Secret)> {
    let decoded = decode(&bytes, encoding).map(Secret::new);
    let encoded_sample = || sample(decoded.as_ref()?.expose());
    if let Some(sample) = sample(&bytes).or_else(encoded_sample) {
        compiler
            .report
            .value(place, format!("{who}{sample}"))
            .expected("a secret that nobody can guess")
            .hint("`countersign keygen` makes one");
        return None;
    }
    let Some(secret) = decoded else {
        compiler
            .report
            .value(place, format!("{who}the secret is not {}", name_of(encoding)))
            .expected(format!("what `encoding` or the dialect says: {}", name_of(encoding)))
            .hint("`encoding: raw` takes the bytes as they are");
        return None;
    };
    if secret.expose().trim_ascii().is_empty() {
        compiler
            .report
            .value(place, format!("{who}an empty secret"))
            .hint("`countersign keygen` makes one");
        return None;
    }
    Some((secret, Secret::new(bytes)))
}

/// An admin token that can be guessed opens everything.
pub fn admin_token(compiler: &mut Compiler<'_, '_>, token: &Secret, place: &Place) {
    if token.len() < ADMIN_TOKEN {
        compiler
            .report
            .key(place, "the admin token is too short")
            .expected(format!("at least {ADMIN_TOKEN} characters"))
            .hint("`countersign keygen` makes one");
    } else if !token.expose().iter().all(u8::is_ascii_graphic) {
        compiler
            .report
            .key(place, "the admin token cannot be sent in a header")
            .expected("visible ASCII characters alone")
            .hint("`countersign keygen` makes one");
    }
}

/// Warns about a secret that is short or looks cut wrongly. `who` names it.
pub fn warn_if_weak(compiler: &mut Compiler<'_, '_>, who: &str, secret: &Secret, family: &str) {
    let length = secret.len();
    if length < GOOD_LENGTH && (family, length) != RINGCENTRAL {
        compiler.warn(format!(
            "{who}: the secret has {length} bytes; under {GOOD_LENGTH} it is easier to guess"
        ));
    }
    let white = |byte: Option<&u8>| byte.is_some_and(u8::is_ascii_whitespace);
    if white(secret.expose().first()) || white(secret.expose().last()) {
        compiler.warn(format!(
            "{who}: the secret begins or ends with white space, which counts as a part of it"
        ));
    }
}

/// The bytes of a file that the configuration names, which is watched from now on.
/// `None` when it cannot be read (reported), or is not to be.
pub fn file(
    compiler: &mut Compiler<'_, '_>,
    named: &str,
    place: &Place,
) -> Option<(std::path::PathBuf, Vec<u8>)> {
    file_up_to(compiler, named, MAX_BYTES, place)
}

/// The same, of a file that may be larger (in bytes).
pub fn file_up_to(
    compiler: &mut Compiler<'_, '_>,
    named: &str,
    most: u64,
    place: &Place,
) -> Option<(std::path::PathBuf, Vec<u8>)> {
    let path = compiler.path(named);
    if !compiler.watched.contains(&path) {
        compiler.watched.push(path.clone());
    }
    if !compiler.options.secrets {
        return None;
    }
    match read(&path, most) {
        Ok(bytes) => Some((path, bytes)),
        Err(error) => {
            compiler
                .report
                .value(place, format!("{} cannot be read: {error}", path.display()))
                .expected("a file, relative to the configuration");
            None
        }
    }
}

fn read(path: &Path, most: u64) -> std::io::Result<Vec<u8>> {
    // Looked at before it is opened: opening a pipe would wait for somebody to write.
    if !std::fs::metadata(path)?.is_file() {
        return Err(std::io::Error::other("it is not a regular file"));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(most + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > most {
        let most = most / 1024;
        return Err(std::io::Error::other(format!("it is larger than {most} KiB")));
    }
    Ok(bytes)
}

fn from_file(compiler: &mut Compiler<'_, '_>, named: &str, place: &Place) -> Option<Vec<u8>> {
    let (path, bytes) = file(compiler, named, place)?;
    Some(as_secret(compiler, &path, bytes))
}

/// What a file holds, as a secret: no newline at its end, and nobody else's to read.
pub fn as_secret(compiler: &mut Compiler<'_, '_>, path: &Path, mut bytes: Vec<u8>) -> Vec<u8> {
    if others_can_read(path) {
        compiler.warn(format!(
            "{}: other users of this machine can read this secret; chmod 600",
            path.display()
        ));
    }
    // Editors and `echo` end a file with a newline that nobody typed as part of the secret.
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

#[cfg(unix)]
fn others_can_read(path: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    std::fs::metadata(path).is_ok_and(|file| file.permissions().mode() & 0o004 != 0)
}

#[cfg(not(unix))]
fn others_can_read(_: &Path) -> bool {
    false
}

#[allow(clippy::disallowed_methods)] // secrets from the environment are named in the file
fn from_environment(compiler: &mut Compiler<'_, '_>, name: &str, place: &Place) -> Option<Vec<u8>> {
    if !compiler.options.secrets {
        return None;
    }
    if name.is_empty() || name.contains(['=', '\0']) {
        compiler
            .report
            .value(place, "this cannot be the name of an environment variable")
            .expected("a name such as WIDGET_SECRET");
        return None;
    }
    let value = std::env::var_os(name);
    if value.is_none() {
        compiler
            .report
            .value(place, format!("the environment variable `{name}` is not set"))
            .hint("set it before Countersign starts");
    }
    value.map(std::ffi::OsString::into_encoded_bytes)
}

/// Why these bytes are no secret, although somebody wrote them where one belongs.
pub fn sample(bytes: &[u8]) -> Option<&'static str> {
    let text = std::str::from_utf8(bytes).ok()?.trim();
    if sample::SECRETS.contains(&text.to_lowercase().as_str()) {
        return Some("a secret from a tutorial: everybody knows it");
    }
    let forms = [("#{", "}"), ("${", "}"), ("{{", "}}"), ("<", ">"), ("%", "%")];
    let unfilled = forms.iter().any(|(start, end)| {
        text.len() >= start.len() + end.len() && text.starts_with(start) && text.ends_with(end)
    });
    unfilled.then_some("a placeholder that nobody filled in")
}

/// The bytes that a text stands for, if it is in this encoding.
pub fn decode(bytes: &[u8], encoding: SecretEncoding) -> Option<Vec<u8>> {
    let base64 = |alphabet: &alphabet::Alphabet| {
        let lenient =
            GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
        GeneralPurpose::new(alphabet, lenient).decode(bytes).ok()
    };
    match encoding {
        SecretEncoding::Raw => Some(bytes.to_vec()),
        SecretEncoding::Base64 => base64(&alphabet::STANDARD),
        SecretEncoding::Base64url => base64(&alphabet::URL_SAFE),
        SecretEncoding::Hex => read_hex(bytes),
    }
}

fn name_of(encoding: SecretEncoding) -> &'static str {
    match encoding {
        SecretEncoding::Raw => "raw",
        SecretEncoding::Base64 => "base64",
        SecretEncoding::Base64url => "base64url",
        SecretEncoding::Hex => "hex",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn encodings_are_strict_about_their_alphabets() {
        assert_eq!(decode(b"00fF", SecretEncoding::Hex), Some(vec![0, 255]));
        assert_eq!(decode(b"+/8=", SecretEncoding::Base64), Some(vec![0xfb, 0xff]));
        assert_eq!(decode(b"+/8", SecretEncoding::Base64), Some(vec![0xfb, 0xff]));
        assert_eq!(decode(b"-_8", SecretEncoding::Base64url), Some(vec![0xfb, 0xff]));
        for (bytes, encoding) in [
            (&b"0"[..], SecretEncoding::Hex),
            (b"0g", SecretEncoding::Hex),
            (b"-_8", SecretEncoding::Base64),
            (b"+/8", SecretEncoding::Base64url),
            (b"ab cd", SecretEncoding::Base64),
        ] {
            assert_eq!(decode(bytes, encoding), None);
        }
    }

    #[test]
    fn samples_and_placeholders_are_no_secrets() {
        for text in ["secret", "ChangeMe", " your-256-bit-secret\n", "#{SECRET}", "${S}", "<key>"] {
            assert!(sample(text.as_bytes()).is_some(), "{text}");
        }
        for text in ["zendesk-secret", "My$ecretK3y", "0123456789abcdef01234567", "<", "${", "%"] {
            assert!(sample(text.as_bytes()).is_none(), "{text}");
        }
    }
}
