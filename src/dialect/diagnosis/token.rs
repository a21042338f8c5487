//! A token as a forgiving reader sees it: enough to say what is wrong with it.
//!
//! Nothing read here proves anything. Where parts cannot be read they are absent.

use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::prelude::Engine as _;
use serde_json::Value;

const FORGIVING: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_allow_trailing_bits(true)
    .with_decode_padding_mode(DecodePaddingMode::Indifferent);

/// Base64url, padded or not.
pub(super) const URL: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, FORGIVING);
/// Base64, padded or not.
pub(super) const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, FORGIVING);

/// A compact token, as far as it can be read.
#[derive(Debug)]
pub(super) struct Token<'t> {
    /// What lies between the dots.
    pub parts: Vec<&'t str>,
    /// The first two parts with their dot: what a signature covers.
    pub message: &'t str,
    /// The header, if it is a JSON object.
    pub header: Option<Value>,
    /// The payload, if it is a JSON object.
    pub payload: Option<Value>,
    /// The third part, decoded.
    pub signature: Option<Vec<u8>>,
}

impl<'t> Token<'t> {
    /// Reads what can be read.
    pub fn read(text: &'t str) -> Self {
        let parts: Vec<&str> = text.split('.').collect();
        let object = |part: Option<&&str>| {
            let bytes = URL.decode(part?).ok()?;
            serde_json::from_slice(&bytes).ok().filter(Value::is_object)
        };
        Self {
            message: text.rsplit_once('.').map_or(text, |(message, _)| message),
            header: object(parts.first()),
            payload: object(parts.get(1)),
            signature: parts.get(2).and_then(|part| URL.decode(part).ok()),
            parts,
        }
    }

    /// A header member that is text.
    pub fn header_text(&self, name: &str) -> Option<&str> {
        self.header.as_ref()?.get(name)?.as_str()
    }

    /// A claim, unless it is `null`.
    pub fn claim(&self, name: &str) -> Option<&Value> {
        self.payload.as_ref()?.get(name).filter(|value| !value.is_null())
    }

    /// A claim that is a whole number of seconds.
    pub fn time(&self, name: &str) -> Option<u64> {
        self.claim(name)?.as_u64()
    }
}

/// Names of an object's members, for people.
pub(super) fn names(object: Option<&Value>) -> String {
    let members = object.and_then(Value::as_object);
    let names: Vec<_> = members.into_iter().flatten().map(|(name, _)| shown(name)).collect();
    if names.is_empty() { "nothing".to_owned() } else { names.join(", ") }
}

/// A value that came with the credential, made fit for a terminal: at most 60 characters,
/// and none that a terminal would obey.
pub(super) fn shown(text: &str) -> String {
    let mut out = String::new();
    for (index, c) in text.chars().enumerate() {
        if index == 60 {
            out.push('…');
            break;
        }
        let hidden = c.is_control() || ('\u{200b}'..='\u{206f}').contains(&c) || c == '\u{feff}';
        if hidden { out.extend(c.escape_default()) } else { out.push(c) }
    }
    out
}

/// A claim's value, for people.
pub(super) fn shown_value(value: &Value) -> String {
    match value {
        Value::String(text) => format!("\"{}\"", shown(text)),
        Value::Array(_) | Value::Object(_) => shown(&value.to_string()),
        other => other.to_string(),
    }
}
