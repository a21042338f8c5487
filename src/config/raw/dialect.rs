//! The language of dialects: how a vendor signs identity, as data.

use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{self, Deserializer, MapAccess, Visitor};

use super::{List, Named, OneOrMany, Seconds, SecretEncoding, SingleUse, Size, Source};
use crate::config::read::Complaint;

/// How a vendor signs identity: `jwt` or `hmac`.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Dialect {
    /// Another dialect to start from: what is written here replaces its members.
    pub extends: Option<String>,
    /// What people call it.
    pub title: Option<String>,
    /// The vendor's page.
    pub documented_at: Option<String>,
    /// Where a request may carry the credential.
    pub sources: Option<List<Source>>,
    /// A signed token.
    pub jwt: Option<Jwt>,
    /// A keyed hash over fields of the request.
    pub hmac: Option<Hmac>,
    /// Which claims mean what (tokens only).
    pub claims: Option<Claims>,
    /// Which request fields claim identity without proof.
    pub unsigned: Option<Unsigned>,
}

/// Rules for tokens.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Jwt {
    /// HS256, HS384, HS512, RS256, RS512, PS256, ES256, ES384, EdDSA; each key is pinned to one.
    #[schemars(required)]
    pub algorithms: Option<List<String>>,
    /// How `kid` chooses among the keys (default kid_if_present).
    pub key: Option<KeyRule>,
    /// Header members that must be there.
    pub header: Option<List<String>>,
    /// Longest token (default 8192).
    pub max_bytes: Option<Size>,
    /// Beyond this `sign` warns that the vendor's own widget will not carry the token.
    pub warn_bytes: Option<Size>,
    /// How far clocks may differ (default 0s).
    pub leeway: Option<JwtLeeway>,
    /// How long a token may live.
    pub lifetime: Option<Lifetime>,
    /// Tokens serve once, known by their `jti`: a later repeat is refused.
    pub single_use: Option<SingleUse>,
}

/// How `kid` chooses among the keys: `kid`, `kid_if_present`, `kid_or_any`, `any`, or
/// `{ claim: aud }`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyRule {
    /// One of the words.
    Word(&'static str),
    /// The key's id stands in this claim.
    Claim(String),
}

/// The words of [`KeyRule::Word`].
pub const KEY_RULES: [&str; 4] = ["kid", "kid_if_present", "kid_or_any", "any"];
const KEY_RULES_TEXT: &str = "kid, kid_if_present, kid_or_any, any, or { claim: NAME }";

impl<'de> Deserialize<'de> for KeyRule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Rule;
        impl<'de> Visitor<'de> for Rule {
            type Value = KeyRule;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(KEY_RULES_TEXT)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<KeyRule, E> {
                let known = KEY_RULES.iter().find(|known| **known == word);
                known.map(|known| KeyRule::Word(known)).ok_or_else(|| {
                    Complaint::new(format!("`{word}` is not known here"), KEY_RULES_TEXT)
                        .into_error()
                })
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<KeyRule, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Claim {
                    claim: String,
                }
                let claim = Claim::deserialize(de::value::MapAccessDeserializer::new(members))?;
                Ok(KeyRule::Claim(claim.claim))
            }
        }
        deserializer.deserialize_any(Rule)
    }
}

impl JsonSchema for KeyRule {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KeyRule".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "How `kid` chooses among the keys.",
            "anyOf": [
                { "enum": KEY_RULES },
                {
                    "type": "object",
                    "properties": { "claim": { "type": "string" } },
                    "required": ["claim"],
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// How far clocks may differ: one duration for both, or one each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JwtLeeway {
    /// For `iat` and `nbf`.
    pub iat: Option<Seconds>,
    /// For `exp`.
    pub exp: Option<Seconds>,
}

impl<'de> Deserialize<'de> for JwtLeeway {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Leeway;
        impl<'de> Visitor<'de> for Leeway {
            type Value = JwtLeeway;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a duration such as 60s, or { iat: 2m, exp: 0s }")
            }

            fn visit_u64<E: de::Error>(self, number: u64) -> Result<JwtLeeway, E> {
                self.visit_str(&number.to_string())
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<JwtLeeway, E> {
                let both = Some(Seconds::parse(text).map_err(Complaint::into_error)?);
                Ok(JwtLeeway { iat: both, exp: both })
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<JwtLeeway, A::Error> {
                #[derive(Deserialize)]
                #[serde(deny_unknown_fields)]
                struct Each {
                    iat: Option<Seconds>,
                    exp: Option<Seconds>,
                }
                let each = Each::deserialize(de::value::MapAccessDeserializer::new(members))?;
                Ok(JwtLeeway { iat: each.iat, exp: each.exp })
            }
        }
        deserializer.deserialize_any(Leeway)
    }
}

impl JsonSchema for JwtLeeway {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Leeway".into()
    }

    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let duration = generator.subschema_for::<Seconds>();
        schemars::json_schema!({
            "description": "How far clocks may differ: one duration for both, or one each.",
            "anyOf": [
                duration,
                {
                    "type": "object",
                    "properties": { "iat": duration, "exp": duration },
                    "additionalProperties": false
                }
            ]
        })
    }
}

/// How long a token may live.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Lifetime {
    /// Longest `exp` − `iat`, inclusive.
    pub max: Option<Seconds>,
    /// A token without `exp` ends this long after `iat`.
    pub without_exp: Option<Seconds>,
    /// Least time that must be left when it is presented.
    pub min_remaining: Option<Seconds>,
}

/// Which claims mean what. A pattern is a JSON pointer (`/uuid`) or text with pointers in
/// it (`{/firstname} {/lastname}`); the first that is there wins.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Claims {
    /// Where the id stands; `optional` at the end: a token without one still proves.
    pub id: Option<OneOrMany>,
    /// Where the name stands.
    pub name: Option<OneOrMany>,
    /// Where the email stands.
    pub email: Option<OneOrMany>,
    /// `rest` (every other claim; default), `none`, or the pointer of an object.
    pub attributes: Option<String>,
    /// Claims that stay among the attributes although they gave id, name or email.
    pub keep: Option<List<String>>,
    /// Claims that must be there, with their types: string, time, strings, object, boolean,
    /// any, or `=user` for exactly that string.
    pub required: Option<Named<String>>,
    /// Claims whose types are checked if they are there.
    pub optional: Option<Named<String>>,
    /// Which claim must hold the site's `audience`: none (default), aud or sub.
    pub audience: Option<AudienceWord>,
}

/// Which claim must hold the site's audience.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AudienceWord {
    /// None is looked at.
    None,
    /// `aud`.
    Aud,
    /// `sub`.
    Sub,
}

/// Rules for keyed hashes.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Hmac {
    /// The hash function (default sha256).
    pub hash: Option<HashName>,
    /// What is hashed (default `{id}`): `{email}:{name}`, `{id|email}`.
    pub message: Option<String>,
    /// How the sites' secrets are written, unless they say so themselves (default raw).
    pub key: Option<SecretEncoding>,
    /// How the hash is written (default hex, in lower case).
    pub output: Option<OutputName>,
}

/// The hash function.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum HashName {
    /// HMAC-SHA-256.
    Sha256,
    /// HMAC-SHA-512.
    Sha512,
}

/// How a hash is written.
#[derive(Clone, Copy, Debug, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum OutputName {
    /// Lower-case hexadecimal.
    Hex,
    /// Standard base64 with padding.
    Base64,
}

/// Which request fields claim identity without proof.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Unsigned {
    /// Names, or JSON pointers such as /contact/email, which is contact[email] in forms.
    pub fields: Option<List<String>>,
    /// Prefix that marks unsigned attributes: keys of an object under one of the fields, in
    /// a JSON body, get it. A signed attribute may not begin with it.
    pub prefix: Option<String>,
    /// Names or JSON pointers (a final `*` is a prefix) that are no identity: they stay and
    /// are copied.
    pub copied: Option<List<String>>,
}
