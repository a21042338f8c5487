//! A hash that no key fits or that is not written as its dialect writes hashes: over what,
//! with which secret, by which function was it made?
//!
//! Every combination of (how it is written, how it is made, which secret, which message) is
//! tried; the one with the fewest mistakes is told. The code's length gives the function.

use base64::prelude::Engine as _;

use super::digests::Function;
use super::secrets::{self, Variant};
use super::sentences::{mistaken_secret, not_keyed, swapped, wrong_site};
use super::token::{STANDARD, URL};
use super::{Case, Hint, Presented};
use crate::dialect::digest::Message;
use crate::dialect::digest::read_hex;
use crate::dialect::{
    Credential, HashField, HashFunction, HmacRules, MessagePiece, Output, Reason,
};

/// What is looked at.
pub(super) struct Hashed<'a> {
    pub case: &'a Case<'a>,
    pub rules: &'a HmacRules,
    pub presented: &'a Presented<'a>,
    pub proof: &'a str,
}

/// The code's bytes, and the mistake in how it is written.
struct Code {
    bytes: Vec<u8>,
    slip: Option<Hint>,
}

/// A text that may have been hashed, and the mistake in that.
struct Text {
    bytes: Vec<u8>,
    slip: Option<Hint>,
}

impl Hashed<'_> {
    /// What to mend; `None` where nothing tried comes near.
    pub fn look(&self) -> Option<Vec<Hint>> {
        let codes = self.codes();
        let texts = self.texts();
        if let Some(hints) = self.another_site(&codes, &texts) {
            return Some(hints);
        }
        let own = secrets::variants(&self.case.site);
        let variants: Vec<Variant> = own.into_iter().chain(secrets::samples()).collect();
        let mut best: Option<Vec<Hint>> = None;
        for code in &codes {
            let Some(function) = Function::of_length(code.bytes.len()) else { continue };
            for text in &texts {
                let mut consider = |hints: Vec<Hint>| {
                    if best.as_ref().is_none_or(|best| hints.len() < best.len()) {
                        best = Some(hints);
                    }
                };
                // A tutorial's secret over a wrong text as well is past guessing, too.
                let worth = |v: &&Variant| text.slip.is_none() || v.key.is_some();
                for variant in variants.iter().filter(worth) {
                    for made in made(function, variant, &text.bytes, &code.bytes) {
                        consider(self.told(code, function, Some(variant), text, made));
                    }
                }
                if function.digest(&text.bytes) == code.bytes {
                    let made = Some(not_keyed(function));
                    consider(self.told(code, function, None, text, made));
                }
            }
        }
        best.filter(|hints| !hints.is_empty())
    }

    /// The mistakes of one combination, the grossest first.
    fn told(
        &self,
        code: &Code,
        function: Function,
        variant: Option<&Variant>,
        text: &Text,
        made: Option<Hint>,
    ) -> Vec<Hint> {
        let mut hints: Vec<Hint> = Vec::new();
        // Plain hashes say their function themselves, unless it is wrong as well.
        if function != self.function() {
            hints.push(Hint::new(
                function.cause(),
                format!(
                    "the hash is made by {}; {} is needed",
                    function.name(),
                    self.function().name()
                ),
            ));
        }
        hints.extend(made);
        hints.extend(text.slip.clone());
        hints.extend(variant.and_then(|v| Some(mistaken_secret(v.cause?, v))));
        hints.extend(code.slip.clone());
        hints
    }

    /// Another site's dialect takes it as it is, or its key made it by this site's recipe.
    fn another_site(&self, codes: &[Code], texts: &[Text]) -> Option<Vec<Hint>> {
        let hash = self.rules.hash;
        let right: Vec<_> = texts.iter().filter(|text| text.slip.is_none()).collect();
        self.case.others.iter().find_map(|other| {
            let fits = |key: &&std::sync::Arc<crate::dialect::Key>| {
                codes.iter().any(|code| {
                    right.iter().any(|text| key.authenticates(hash, &text.bytes, &code.bytes))
                })
            };
            let key = other.keyring.keys().iter().find(fits)?;
            Some(vec![wrong_site(other, key, self.case.site.name)])
        })
    }

    fn function(&self) -> Function {
        match self.rules.hash {
            HashFunction::Sha256 => Function::Sha256,
            HashFunction::Sha512 => Function::Sha512,
        }
    }

    /// The code, read in every way that gives as many bytes as some hash function.
    fn codes(&self) -> Vec<Code> {
        let proof = self.proof;
        let read = |bytes: Option<Vec<u8>>, slip: Option<(&'static str, &str)>| {
            let bytes = bytes.filter(|bytes| Function::of_length(bytes.len()).is_some())?;
            let slip = slip.map(|(cause, text)| Hint::new(cause, text));
            Some(Code { bytes, slip })
        };
        let upper = proof.bytes().any(|byte| byte.is_ascii_uppercase());
        let hex = read_hex(proof.as_bytes());
        let base64 = || STANDARD.decode(proof).or_else(|_| URL.decode(proof)).ok();
        let padded = proof.len().is_multiple_of(4) && !proof.contains(['-', '_']);
        let codes = match self.rules.output {
            Output::Hex if upper => [
                read(hex, Some(("uppercase_hex", "write the hash in lower-case digits"))),
                read(base64(), Some(("base64_output", AS_HEX))),
            ],
            Output::Hex => [read(hex, None), read(base64(), Some(("base64_output", AS_HEX)))],
            Output::Base64 if padded => {
                [read(base64(), None), read(hex, Some(("hex_output", AS_BASE64)))]
            }
            Output::Base64 => [
                read(base64(), Some(("base64_form", PADDED))),
                read(hex, Some(("hex_output", AS_BASE64))),
            ],
        };
        codes.into_iter().flatten().collect()
    }

    /// Everything that could have been hashed, what is due first.
    fn texts(&self) -> Vec<Text> {
        let mut texts: Vec<Text> = Vec::new();
        let mut add = |text: String, slip: Option<(&'static str, String)>| {
            let bytes = text.into_bytes();
            if !bytes.is_empty() && texts.iter().all(|known| known.bytes != bytes) {
                let slip = slip.map(|(cause, text)| Hint::new(cause, text));
                texts.push(Text { bytes, slip });
            }
        };
        let credential = super::checks::credential(self.case, self.presented);
        let due = self.due();
        if let Credential::Hash(hash) = &credential
            && let Ok(message) = Message::of(self.rules, hash)
        {
            add(message.text.clone().into_owned(), None);
            for (cause, slip, text) in slips(&message.text) {
                add(
                    text,
                    Some((cause, format!("the website hashes {slip}: hash {due} as it is sent"))),
                );
            }
        }
        for (cause, what, text) in self.other_fields() {
            let fix = format!("the website hashes {what}: hash {due}");
            // Joined fields come as they are: two slips at once in them are past guessing.
            let slips = if cause == SEVERAL { Vec::new() } else { slips(&text) };
            add(text, Some((cause, fix.clone())));
            for (_, _, slipped) in slips {
                let fix = format!("{fix} (and what is hashed differs in case or white space)");
                add(slipped, Some((cause, fix)));
            }
        }
        texts
    }

    /// What the dialect hashes, for people.
    fn due(&self) -> String {
        let title = |field: &HashField| match field {
            HashField::Id => "the id",
            HashField::Email => "the email",
            HashField::Name => "the name",
        };
        let pieces = self.rules.message.iter().map(|piece| match piece {
            MessagePiece::Literal(literal) => format!("`{literal}`"),
            MessagePiece::Field(fields) => {
                fields.iter().map(title).collect::<Vec<_>>().join(" or else ")
            }
        });
        pieces.collect::<Vec<_>>().join(", then ")
    }

    /// The other fields, alone and joined in the usual ways.
    fn other_fields(&self) -> Vec<(&'static str, String, String)> {
        let given = [
            ("id_only", "the id", self.presented.id.as_deref()),
            ("hashed_email", "the email", self.presented.email.as_deref()),
            ("hashed_name", "the name", self.presented.name.as_deref()),
        ];
        let given: Vec<_> = given
            .iter()
            .filter_map(|(cause, title, text)| Some((*cause, *title, (*text)?)))
            .collect();
        let mut all: Vec<(&'static str, String, String)> = given
            .iter()
            .map(|(cause, title, text)| (*cause, format!("{title} instead"), (*text).to_owned()))
            .collect();
        for (first, one, left) in &given {
            for (second, other, right) in &given {
                if first == second {
                    continue;
                }
                for glue in ["", ":", "|", "-", "_", ",", "."] {
                    let text = format!("{left}{glue}{right}");
                    all.push((SEVERAL, format!("{one} and {other} joined"), text));
                }
            }
        }
        all
    }
}

const SEVERAL: &str = "hashed_several";
const AS_HEX: &str = "the hash is sent in base64: send it in lower-case hexadecimal";
const AS_BASE64: &str = "the hash is sent in hexadecimal: send it in base64";
const PADDED: &str = "send the hash in standard base64 with its padding";

/// The ways to make a code from this secret and text that give this one: the HMAC, and the
/// usual ways to miss it.
fn made(function: Function, variant: &Variant, text: &[u8], code: &[u8]) -> Vec<Option<Hint>> {
    let secret = variant.secret.expose();
    let mut fitting = Vec::new();
    if function.hmac(secret, text) == code {
        fitting.push(None);
    }
    if function.hmac(text, secret) == code {
        fitting.push(Some(swapped()));
    }
    let glued = |glue: &[u8]| [[secret, glue, text].concat(), [text, glue, secret].concat()];
    let plain = [glued(b""), glued(b":"), glued(b"|"), glued(b".")];
    if plain.as_flattened().iter().any(|glued| function.digest(glued) == code) {
        fitting.push(Some(not_keyed(function)));
    }
    fitting
}

/// What becomes of a text on its way into the hash.
fn slips(text: &str) -> Vec<(&'static str, &'static str, String)> {
    let trimmed = text.trim();
    let mut slips = vec![
        ("message_newline", "a newline behind it", format!("{text}\n")),
        ("message_newline", "a line ending (CR LF) behind it", format!("{text}\r\n")),
        ("message_whitespace", "white space around it", format!("{text} ")),
        ("message_whitespace", "white space around it", format!(" {text}")),
        ("message_trimmed", "it without the white space around it", trimmed.to_owned()),
        ("message_case", "it in lower case", text.to_lowercase()),
        ("message_case", "it in lower case and without white space", trimmed.to_lowercase()),
        ("message_case", "it in upper case", text.to_uppercase()),
        ("message_quoted", "it in quotation marks (as JSON)", format!("\"{text}\"")),
        ("message_quoted", "it in quotation marks", format!("'{text}'")),
    ];
    if let Ok(number) = trimmed.parse::<i64>() {
        slips.push((
            "id_as_number",
            "it as a number, which loses leading zeros",
            number.to_string(),
        ));
        slips.push(("id_as_number", "it as a decimal number", format!("{number}.0")));
    }
    let encoded = percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC);
    slips.push(("message_url_encoded", "it percent-encoded", encoded.to_string()));
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8_lossy();
    slips.push(("message_url_encoded", "it percent-decoded", decoded.into_owned()));
    slips
}

/// A refusal for which a hash's making is looked into.
pub(super) const fn concerns(reason: Reason) -> bool {
    matches!(reason, Reason::BadSignature | Reason::Malformed)
}
