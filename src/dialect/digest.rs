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
    Ok(Identity::attest(Proven { key: key.id().clone(), print: key.print(), ..proven }))
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
                && rules.message.len() > index + 2
                // Also where only a part of it belongs to the field: `a:` and `::`.
                && [value, separator].concat().find(separator.as_str()) != Some(value.len())
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

    /// The message, if nobody could cut it elsewhere.
    ///
    /// # Errors
    /// `invalid_claim` where a field holds the separator that follows it.
    pub fn sound(&self) -> Result<&Self, Rejection> {
        let Some(field) = self.blurred else { return Ok(self) };
        let detail = format!("the {} holds the separator that follows it", title(field));
        Err(Rejection::new(Reason::InvalidClaim, detail))
    }

    /// What the message says of the visitor: the id is its id, or its email where it has
    /// no id.
    fn prove(&self, unsigned: &UnsignedRules) -> Result<Proven, Rejection> {
        let email = self.value(HashField::Email);
        let name = self.value(HashField::Name);
        let id = self.value(HashField::Id).or(email).ok_or_else(|| {
            Rejection::new(Reason::MissingClaim, "the hash covers neither id nor email")
        })?;
        self.sound()?;
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

/// Hexadecimal in either case.
pub(crate) fn read_hex(text: &[u8]) -> Option<Vec<u8>> {
    let (pairs, []) = text.as_chunks::<2>() else { return None };
    let digit = |byte: u8| char::from(byte).to_digit(16);
    pairs.iter().map(|[high, low]| u8::try_from(digit(*high)? * 16 + digit(*low)?).ok()).collect()
}

/// Lower-case hexadecimal: a code is written in one way alone.
fn hex(text: &str) -> Option<Vec<u8>> {
    let is_lower = !text.bytes().any(|byte| byte.is_ascii_uppercase());
    if is_lower { read_hex(text.as_bytes()) } else { None }
}

/// How many characters a code has.
pub(super) const fn length(rules: &HmacRules) -> usize {
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

#[cfg(test)]
mod tests {
    use super::super::founding::{ring, secret, user_hash};
    use super::super::{Algorithm, Credential, Dialect, Mechanism};
    use super::*;

    /// The vendor's sample key and the id of its tutorial.
    const KEY: &str = "b02612a8bdf5e736c41ce2002181d124";
    const HASH: &str = "5039ecb10eaff468ea0297d57c00438d6a37696ab71c423c023317e425fa27da";

    fn hashing(message: Vec<MessagePiece>, hash: HashFunction, output: Output) -> Dialect {
        let mechanism = Mechanism::Hmac(HmacRules { hash, message, output });
        Dialect { mechanism, ..user_hash() }
    }

    fn fields<'h>(proof: &'h str, [id, email, name]: [&'h str; 3]) -> Hash<'h> {
        let present = |text: &'h str| (!text.is_empty()).then(|| text.into());
        Hash { proof: proof.into(), id: present(id), email: present(email), name: present(name) }
    }

    fn judge(dialect: &Dialect, hash: Hash<'_>) -> Result<Identity, Reason> {
        let keys =
            ring([secret("other", Algorithm::HS256, "other"), secret("k1", Algorithm::HS256, KEY)]);
        let verdict = dialect.verify(&Credential::Hash(hash), &keys, UnixTime::from_secs(0));
        verdict.map_err(|rejection| rejection.reason)
    }

    /// The code over a message, as the dialect writes it.
    fn code(dialect: &Dialect, message: &str) -> String {
        let Mechanism::Hmac(rules) = &dialect.mechanism else { panic!() };
        let key = secret("k1", Algorithm::HS256, KEY);
        encode(rules, &key.authentication(rules.hash, message.as_bytes()).unwrap())
    }

    #[test]
    fn a_good_hash_proves_the_id_alone() {
        let identity = judge(&user_hash(), fields(HASH, ["12345", "a@b.c", "A"])).unwrap();
        assert_eq!(identity.id.as_deref(), Some("12345"));
        assert_eq!((&identity.name, &identity.email), (&None, &None));
        assert_eq!(identity.expires, None);
        assert_eq!(&*identity.key, "k1");
        assert_eq!(identity.fields, [(0, "12345".to_owned())]);
    }

    #[test]
    fn the_first_check_that_fails_is_the_reason() {
        let upper = HASH.to_uppercase();
        let base64 = "UDnssQ6v9GjqApfVfABDjWo3aWq3HEI8AjMX5CX6J9o=";
        let long = "a".repeat(1025);
        for (proof, id, reason) in [
            (long.as_str(), "", Reason::TooLarge),
            (&upper, "12345", Reason::Malformed),
            (base64, "12345", Reason::Malformed),
            (&HASH[..63], "12345", Reason::Malformed),
            (&HASH[..62], "12345", Reason::Malformed),
            (&HASH.replace('5', "g"), "12345", Reason::Malformed),
            (&HASH.replace("50", "é"), "12345", Reason::Malformed),
            ("827ccb0eea8a706c4c34a16891f84e7b", "12345", Reason::Malformed),
            (&upper, "", Reason::Malformed),
            (HASH, "", Reason::MissingClaim),
            (HASH, "12346", Reason::BadSignature),
            (HASH, "null", Reason::BadSignature),
        ] {
            let verdict = judge(&user_hash(), fields(proof, [id, "", ""]));
            assert_eq!(verdict.unwrap_err(), reason, "{proof} {id}");
        }
    }

    #[test]
    fn what_is_signed_must_still_be_an_id() {
        for (id, reason) in [
            ("{user_id}", Reason::PlaceholderIdentity),
            ("undefined", Reason::PlaceholderIdentity),
            ("a\nb", Reason::InvalidClaim),
            (&"x".repeat(257), Reason::InvalidClaim),
        ] {
            let proof = code(&user_hash(), id);
            let verdict = judge(&user_hash(), fields(&proof, [id, "", ""]));
            assert_eq!(verdict.unwrap_err(), reason, "{id}");
        }
        let id = "x".repeat(256);
        let proof = code(&user_hash(), &id);
        assert!(judge(&user_hash(), fields(&proof, [&id, "", ""])).is_ok());
    }

    #[test]
    fn other_functions_and_alphabets_are_the_dialects_choice() {
        let id = vec![MessagePiece::Field(vec![HashField::Id])];
        for (hash, output) in [
            (HashFunction::Sha256, Output::Base64),
            (HashFunction::Sha512, Output::Hex),
            (HashFunction::Sha512, Output::Base64),
        ] {
            let dialect = hashing(id.clone(), hash, output);
            let proof = code(&dialect, "12345");
            assert!(dialect.has_shape(&proof) && !dialect.has_shape(HASH));
            assert!(judge(&dialect, fields(&proof, ["12345", "", ""])).is_ok());
            let verdict = judge(&dialect, fields(HASH, ["12345", "", ""]));
            assert_eq!(verdict.unwrap_err(), Reason::Malformed);
            let cut = proof.trim_end_matches('=');
            let padded = cut != proof;
            assert!(!padded || judge(&dialect, fields(cut, ["12345", "", ""])).is_err());
        }
        assert!(user_hash().has_shape(HASH) && !user_hash().has_shape(&HASH.to_uppercase()));
    }

    #[test]
    fn a_message_of_several_fields_proves_them_all() {
        let field = |field| MessagePiece::Field(vec![field]);
        let colon = MessagePiece::Literal(":".to_owned());
        let message = vec![field(HashField::Email), colon, field(HashField::Name)];
        let dialect = hashing(message, HashFunction::Sha256, Output::Hex);
        let proof = code(&dialect, "a@b.c:Jane: Doe");
        let identity = judge(&dialect, fields(&proof, ["7", "a@b.c", "Jane: Doe"])).unwrap();
        assert_eq!(identity.id.as_deref(), Some("a@b.c"));
        assert_eq!(identity.email.as_deref(), Some("a@b.c"));
        assert_eq!(identity.name.as_deref(), Some("Jane: Doe"));
        assert_eq!(identity.fields, []);
        // The same bytes, cut elsewhere.
        let moved = judge(&dialect, fields(&proof, ["", "a@b.c:Jane", " Doe"]));
        assert_eq!(moved.unwrap_err(), Reason::InvalidClaim);
        let unnamed = judge(&dialect, fields(&proof, ["7", "a@b.c", ""]));
        assert_eq!(unnamed.unwrap_err(), Reason::MissingClaim);
    }

    #[test]
    fn a_field_may_not_end_with_a_part_of_the_separator_either() {
        let field = |field| MessagePiece::Field(vec![field]);
        let colons = MessagePiece::Literal("::".to_owned());
        let message = vec![field(HashField::Id), colons, field(HashField::Name)];
        let dialect = hashing(message, HashFunction::Sha256, Output::Hex);
        let proof = code(&dialect, "u1:::Jane");
        let cut = judge(&dialect, fields(&proof, ["u1:", "", "Jane"]));
        assert_eq!(cut.unwrap_err(), Reason::InvalidClaim);
        assert!(judge(&dialect, fields(&proof, ["u1", "", ":Jane"])).is_ok());
    }

    #[test]
    fn of_alternatives_the_first_that_is_there_is_hashed() {
        let either = vec![MessagePiece::Field(vec![HashField::Id, HashField::Email])];
        let dialect = hashing(either, HashFunction::Sha256, Output::Hex);
        let identity = judge(&dialect, fields(HASH, ["12345", "a@b.c", ""])).unwrap();
        assert_eq!((identity.id.as_deref(), &identity.email), (Some("12345"), &None));
        let proof = code(&dialect, "a@b.c");
        let identity = judge(&dialect, fields(&proof, ["", "a@b.c", ""])).unwrap();
        assert_eq!(identity.id.as_deref(), Some("a@b.c"));
        let beside = judge(&dialect, fields(&proof, ["12345", "a@b.c", ""]));
        assert_eq!(beside.unwrap_err(), Reason::BadSignature);
    }

    #[test]
    fn a_key_outside_its_window_fits_but_does_not_prove() {
        let now = UnixTime::from_secs(100);
        let key = || secret("k1", Algorithm::HS256, KEY);
        let hash = || Credential::Hash(fields(HASH, ["12345", "", ""]));
        let judge = |key| user_hash().verify(&hash(), &ring([key]), now);
        assert!(judge(key().with_window(Some(now), None)).is_ok());
        for key in [
            key().with_window(None, Some(now)),
            key().with_window(Some(UnixTime::from_secs(101)), None),
        ] {
            let rejection = judge(key).unwrap_err();
            assert_eq!(rejection.reason, Reason::KeyExpired);
            assert_eq!(rejection.key.as_deref(), Some("k1"));
        }
    }
}
