//! Keyed hashes (HMAC, RFC 2104) over fields that lie beside them.
//!
//! A hash has no time: it proves for as long as its key does. It proves exactly the
//! fields that its message is made of, and an id beside it that the message leaves out
//! proves nothing.
//!
//! Caveat of the vendors' recipes: in a message such as `{email}:{name}` the boundary is
//! only as good as its separator. A field that contains the separator which follows it
//! could be cut elsewhere by somebody who has seen the hash, so it is `invalid_claim`.

use std::borrow::Cow;

use base64::prelude::{BASE64_STANDARD, Engine as _};

use super::claims::{check_id, check_text};
use super::keyring::KeyState;
use super::{
    FieldProof, Hash, HashField, HashFunction, HmacRules, Keyring, MessagePiece, Output, Reason,
    Rejection, UnsignedRules,
};
use crate::clock::UnixTime;
use crate::identity::{Identity, Proven};

/// Longest hash in bytes; every sound one is far shorter.
pub(super) const MAX_BYTES: usize = 1024;

pub(super) fn verify(
    rules: &HmacRules,
    unsigned: &UnsignedRules,
    hash: &Hash<'_>,
    keyring: &Keyring,
    now: UnixTime,
) -> Result<Identity, Rejection> {
    if hash.proof.len() > MAX_BYTES {
        let detail = format!("the hash is larger than {MAX_BYTES} bytes");
        return Err(Rejection::new(Reason::TooLarge, detail));
    }
    let code = decode(rules, &hash.proof)?;
    let message = Message::of(rules, hash)?;
    let fits = |key: &&std::sync::Arc<super::Key>| {
        key.authenticates(rules.hash, message.text.as_bytes(), &code)
    };
    let Some(key) = keyring.candidates(None, false, now).find(fits) else {
        return Err(Rejection::new(Reason::BadSignature, "no key of this site fits"));
    };
    let lapsed = match key.state(now) {
        KeyState::Active => None,
        KeyState::Scheduled => Some("the key that fits is not in force yet (`not_before`)"),
        KeyState::Lapsed => Some("the key that fits is no longer in force (`not_after`)"),
    };
    if let Some(detail) = lapsed {
        return Err(Rejection::new(Reason::KeyExpired, detail).with_key(key.id()));
    }
    let proven = message.prove(unsigned).map_err(|rejection| rejection.with_key(key.id()))?;
    Ok(Identity::attest(Proven { key: key.id().clone(), ..proven }))
}

/// The message that is hashed, and the fields that it is made of.
pub(super) struct Message<'h> {
    pub text: Cow<'h, str>,
    covered: Vec<(HashField, &'h str)>,
    /// A field holds the separator that follows it.
    blurred: Option<HashField>,
}

impl<'h> Message<'h> {
    /// Puts the message together.
    ///
    /// # Errors
    /// `missing_claim` where it lacks a field.
    pub fn of(rules: &'h HmacRules, hash: &'h Hash<'_>) -> Result<Self, Rejection> {
        let mut message = Self { text: Cow::Borrowed(""), covered: Vec::new(), blurred: None };
        for (index, piece) in rules.message.iter().enumerate() {
            let fields = match piece {
                MessagePiece::Literal(literal) => {
                    message.text += literal.as_str();
                    continue;
                }
                MessagePiece::Field(fields) => fields,
            };
            let (field, value) = fields
                .iter()
                .find_map(|field| Some((*field, value_of(hash, *field)?)))
                .ok_or_else(|| {
                    let names: Vec<_> = fields.iter().map(|field| title(*field)).collect();
                    let detail = format!("the hash came without its {}", names.join(" or "));
                    Rejection::new(Reason::MissingClaim, detail)
                })?;
            if let Some(MessagePiece::Literal(separator)) = rules.message.get(index + 1)
                && value.contains(separator.as_str())
                && !separator.is_empty()
                && rules.message.len() > index + 2
            {
                message.blurred = Some(field);
            }
            message.text += value;
            message.covered.push((field, value));
        }
        Ok(message)
    }

    /// A field that the message is made of.
    pub fn value(&self, wanted: HashField) -> Option<&'h str> {
        self.covered.iter().find(|(field, _)| *field == wanted).map(|(_, value)| *value)
    }

    /// What the message says of the visitor: the id is its id, or its email where it has
    /// no id.
    fn prove(&self, unsigned: &UnsignedRules) -> Result<Proven, Rejection> {
        let email = self.value(HashField::Email);
        let name = self.value(HashField::Name);
        let id = self.value(HashField::Id).or(email).ok_or_else(|| {
            Rejection::new(Reason::MissingClaim, "the hash covers neither id nor email")
        })?;
        if let Some(field) = self.blurred {
            let detail = format!("the {} holds the separator that follows it", title(field));
            return Err(Rejection::new(Reason::InvalidClaim, detail));
        }
        check_id(id)?;
        check_text("email", email)?;
        check_text("name", name)?;
        let fields = unsigned.fields.iter().enumerate().filter_map(|(index, field)| {
            let Some(FieldProof::Hashed(proof)) = field.proof else { return None };
            Some((index, self.value(proof)?.to_owned()))
        });
        Ok(Proven {
            id: Some(id.to_owned()),
            name: name.map(str::to_owned),
            email: email.map(str::to_owned),
            fields: fields.collect(),
            ..Proven::default()
        })
    }
}

/// The code's bytes.
///
/// # Errors
/// `malformed`, naming the slip: these are the mistakes that websites make.
fn decode(rules: &HmacRules, proof: &str) -> Result<Vec<u8>, Rejection> {
    let malformed = |detail| Err(Rejection::new(Reason::Malformed, detail));
    let wanted = length(rules);
    match rules.output {
        Output::Hex if proof.len() != wanted => {
            malformed(format!("the hash does not have the {wanted} hexadecimal digits it needs"))
        }
        Output::Hex => match hex(proof) {
            Some(code) => Ok(code),
            None if proof.bytes().all(|byte| byte.is_ascii_hexdigit()) => {
                malformed("the hash has upper-case digits; lower case is needed".to_owned())
            }
            None => malformed("the hash is not hexadecimal".to_owned()),
        },
        Output::Base64 => match BASE64_STANDARD.decode(proof) {
            Ok(code) if proof.len() == wanted => Ok(code),
            _ => malformed(format!("the hash is not {wanted} characters of padded base64")),
        },
    }
}

/// Whether a value has the length and alphabet of this dialect's hashes.
pub(super) fn has_shape(rules: &HmacRules, value: &str) -> bool {
    decode(rules, value).is_ok()
}

/// Writes a code as the dialect does.
pub(super) fn encode(rules: &HmacRules, code: &[u8]) -> String {
    match rules.output {
        Output::Hex => write_hex(code),
        Output::Base64 => BASE64_STANDARD.encode(code),
    }
}

/// Lower-case hexadecimal.
pub(crate) fn write_hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.filter_map(|digit| char::from_digit(digit.into(), 16)).collect()
}

fn hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        _ => None,
    };
    let (pairs, []) = text.as_bytes().as_chunks::<2>() else { return None };
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

/// How many characters a code has.
const fn length(rules: &HmacRules) -> usize {
    match (rules.hash, rules.output) {
        (HashFunction::Sha256, Output::Hex) => 64,
        (HashFunction::Sha256, Output::Base64) => 44,
        (HashFunction::Sha512, Output::Hex) => 128,
        (HashFunction::Sha512, Output::Base64) => 88,
    }
}

fn value_of<'h>(hash: &'h Hash<'_>, field: HashField) -> Option<&'h str> {
    match field {
        HashField::Id => hash.id.as_deref(),
        HashField::Email => hash.email.as_deref(),
        HashField::Name => hash.name.as_deref(),
    }
}

const fn title(field: HashField) -> &'static str {
    match field {
        HashField::Id => "id",
        HashField::Email => "email",
        HashField::Name => "name",
    }
}
