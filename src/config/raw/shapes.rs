//! Values that may be written in more than one shape, and lists and mappings that keep
//! track of what was taken out of them.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{self, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{Balance, Period, Secret, SourceNames};
use crate::config::read::Complaint;

/// A list whose wrong entries have been blanked, so that every other keeps its index.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct List<T>(Vec<Option<T>>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> List<T> {
    /// The readable entries with their indices in the file.
    pub fn entries(&self) -> impl Iterator<Item = (usize, &T)> {
        self.0.iter().enumerate().filter_map(|(index, entry)| Some((index, entry.as_ref()?)))
    }

    /// Whether nothing was written, not even something wrong.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: JsonSchema> JsonSchema for List<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("ListOf{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        Vec::<T>::json_schema(generator)
    }
}

/// A mapping of names to things, in the order of the file.
#[derive(Debug)]
pub struct Named<T>(pub Vec<(String, T)>);

impl<T> Default for Named<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de> + Default> Deserialize<'de> for Named<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members<T>(PhantomData<T>);
        impl<'de, T: Deserialize<'de> + Default> Visitor<'de> for Members<T> {
            type Value = Named<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a mapping of names: { name: … }")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Named<T>, A::Error> {
                let mut named = Vec::new();
                while let Some(name) = members.next_key::<String>()? {
                    // A name with nothing behind it: everything that it needs is missing.
                    let value: Option<T> = members.next_value()?;
                    named.push((name, value.unwrap_or_default()));
                }
                Ok(Named(named))
            }
        }
        deserializer.deserialize_map(Members(PhantomData))
    }
}

impl<T: JsonSchema> JsonSchema for Named<T> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        format!("Named{}", T::schema_name()).into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let member = generator.subschema_for::<T>();
        json_schema!({ "type": "object", "additionalProperties": member })
    }
}

/// One text, or a list of them.
#[derive(Debug)]
pub enum OneOrMany {
    /// Written without a list.
    One(String),
    /// Written as a list.
    Many(List<String>),
}

impl OneOrMany {
    /// The texts, with their indices where there is a list.
    pub fn entries(&self) -> Vec<(Option<usize>, &str)> {
        match self {
            Self::One(text) => vec![(None, text)],
            Self::Many(list) => {
                list.entries().map(|(index, text)| (Some(index), text.as_str())).collect()
            }
        }
    }
}

impl<'de> Deserialize<'de> for OneOrMany {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Texts;
        impl<'de> Visitor<'de> for Texts {
            type Value = OneOrMany;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMany, E> {
                Ok(OneOrMany::One(text.to_owned()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<OneOrMany, A::Error> {
                List::deserialize(SeqAccessDeserializer::new(entries)).map(OneOrMany::Many)
            }
        }
        deserializer.deserialize_any(Texts)
    }
}

impl JsonSchema for OneOrMany {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "OneOrMany".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "anyOf": [{ "type": "string" }, { "type": "array", "items": { "type": "string" } }]
        })
    }
}

/// The admin listener, or `off`.
#[derive(Debug)]
pub enum Admin {
    /// There is none.
    Off,
    /// Where it is.
    On(AdminSettings),
}

/// The admin listener.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AdminSettings {
    /// IP address and port (default 127.0.0.1:9090).
    pub address: Option<String>,
    /// Path of a Unix socket, instead of `address`.
    pub unix: Option<String>,
    /// Bearer token of the admin API, at least 16 characters. Absent: the API is closed.
    pub token: Option<Secret>,
}

impl<'de> Deserialize<'de> for Admin {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        const EXPECTED: &str = "{ address: 127.0.0.1:9090, token: { file: … } }, or off";
        struct Listener;
        impl<'de> Visitor<'de> for Listener {
            type Value = Admin;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(EXPECTED)
            }

            fn visit_bool<E: de::Error>(self, on: bool) -> Result<Admin, E> {
                if on {
                    return Err(
                        Complaint::new("`true` does not belong here", EXPECTED).into_error()
                    );
                }
                Ok(Admin::Off)
            }

            fn visit_str<E: de::Error>(self, word: &str) -> Result<Admin, E> {
                if word == "off" {
                    return Ok(Admin::Off);
                }
                Err(Complaint::new(format!("`{word}` does not belong here"), EXPECTED).into_error())
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Admin, A::Error> {
                AdminSettings::deserialize(MapAccessDeserializer::new(members)).map(Admin::On)
            }
        }
        deserializer.deserialize_any(Listener)
    }
}

impl JsonSchema for Admin {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Admin".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let settings = generator.subschema_for::<AdminSettings>();
        json_schema!({ "anyOf": [{ "enum": ["off", false] }, settings] })
    }
}

/// The chat backend: an address, several, or a mapping.
#[derive(Debug)]
pub enum Upstream {
    /// One or several addresses.
    Addresses(OneOrMany),
    /// Addresses and how to use them.
    Mapping(UpstreamMap),
}

/// Addresses of a chat backend and how to use them.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamMap {
    /// `http://host:port`, `https://host:port` or `unix:/path`.
    #[schemars(required, length(min = 1))]
    pub urls: Option<OneOrMany>,
    /// Replaces the request's `Host`.
    pub host: Option<String>,
    /// Whose word counts for the certificate of an `https` backend, instead of the system's.
    pub ca: Option<Authorities>,
    /// Whether the certificate of an `https` backend is looked at (default true).
    pub verify: Option<bool>,
    /// Which of several gets the next request (default round_robin).
    pub balance: Option<Balance>,
    /// Asks each of them now and then; one that is ill gets no requests while another is well.
    pub health: Option<HealthCheck>,
}

/// A question asked of every backend now and then.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HealthCheck {
    /// The path of a GET; 2xx and 3xx are well.
    #[schemars(required)]
    pub path: Option<String>,
    /// Time between two (default 5s).
    pub interval: Option<Period>,
    /// Time for all of one (default 2s).
    pub timeout: Option<Period>,
}

/// Certificate authorities.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Authorities {
    /// Their certificates, in PEM. Read again when the file changes.
    #[schemars(required)]
    pub file: Option<String>,
}

impl<'de> Deserialize<'de> for Upstream {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Backend;
        impl<'de> Visitor<'de> for Backend {
            type Value = Upstream;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("http://host:port, https://host:port, unix:/path, a list of them, or { urls: [ … ] }")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Upstream, E> {
                Ok(Upstream::Addresses(OneOrMany::One(text.to_owned())))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, entries: A) -> Result<Upstream, A::Error> {
                let list = List::deserialize(SeqAccessDeserializer::new(entries))?;
                Ok(Upstream::Addresses(OneOrMany::Many(list)))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<Upstream, A::Error> {
                UpstreamMap::deserialize(MapAccessDeserializer::new(members)).map(Upstream::Mapping)
            }
        }
        deserializer.deserialize_any(Backend)
    }
}

impl JsonSchema for Upstream {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Upstream".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let mapping = generator.subschema_for::<UpstreamMap>();
        json_schema!({
            "anyOf": [
                { "type": "string" },
                { "type": "array", "items": { "type": "string" }, "minItems": 1 },
                mapping
            ]
        })
    }
}

/// The name of a token's place, or the names of a hash and what it covers.
#[derive(Clone, Debug)]
pub enum NamesOrName {
    /// One name.
    Name(String),
    /// Several.
    Names(SourceNames),
}

impl<'de> Deserialize<'de> for NamesOrName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Place;
        impl<'de> Visitor<'de> for Place {
            type Value = NamesOrName;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a name, or { id: …, proof: … } for a hash")
            }

            fn visit_str<E: de::Error>(self, name: &str) -> Result<NamesOrName, E> {
                Ok(NamesOrName::Name(name.to_owned()))
            }

            fn visit_map<A: MapAccess<'de>>(self, members: A) -> Result<NamesOrName, A::Error> {
                SourceNames::deserialize(MapAccessDeserializer::new(members))
                    .map(NamesOrName::Names)
            }
        }
        deserializer.deserialize_any(Place)
    }
}

impl JsonSchema for NamesOrName {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "NamesOrName".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let names = generator.subschema_for::<SourceNames>();
        json_schema!({ "anyOf": [{ "type": "string" }, names] })
    }
}
