//! What backends' headers are called, and how long they may be: `headers`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;

use super::{List, OneOrMany, Size};

/// How long the headers to backends may be.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct HeaderBudget {
    /// The longest value (default 8000); what is longer is left out and named in
    /// `Countersign-Omitted`.
    pub max_value: Option<Size>,
    /// All values together (default 12KiB).
    pub max_total: Option<Size>,
}

/// What the headers to a site's backend are called.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Headers {
    /// Names that other software reads, besides: one or a list of `remote-user`,
    /// `x-forwarded`, `x-auth-request`.
    pub preset: Option<Presets>,
    /// What stands instead of `Countersign-`: `X-Chat-`.
    pub prefix: Option<String>,
    /// Further names, by what they tell: `{ id: X-User }`.
    pub map: Option<Map>,
    /// Which of the headers under `Countersign-` (or the prefix) are sent; `status` always is.
    pub only: Option<List<HeaderField>>,
    /// The longest value, instead of `headers.max_value`.
    pub max_value: Option<Size>,
    /// All values together, instead of `headers.max_total`.
    pub max_total: Option<Size>,
}

/// The word of a preset, or several.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Presets(pub OneOrMany);

impl JsonSchema for Presets {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Presets".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let words = serde_json::json!({ "enum": ["remote-user", "x-forwarded", "x-auth-request"] });
        json_schema!({ "anyOf": [words, { "type": "array", "items": words }] })
    }
}

macro_rules! fields {
    ($($(#[$doc:meta])* $member:ident $variant:ident,)*) => {
        /// Further names of what a backend is told; each one name or a list.
        #[derive(Debug, Default, Deserialize, JsonSchema)]
        #[serde(deny_unknown_fields)]
        pub struct Map { $($(#[$doc])* pub $member: Option<OneOrMany>,)* }

        impl Map {
            /// What is written, in the order of the documentation.
            pub fn entries(&self) -> Vec<(HeaderField, &OneOrMany)> {
                let all = [$((HeaderField::$variant, &self.$member)),*];
                all.into_iter().filter_map(|(field, names)| Some((field, names.as_ref()?))).collect()
            }
        }

        /// What a backend is told.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum HeaderField { $($(#[$doc])* $variant,)* }
    };
}

fields! {
    /// `verified` or `guest`.
    status Status,
    /// Why a guest is one.
    reason Reason,
    /// The site's name.
    site Site,
    /// The dialect's name.
    dialect Dialect,
    /// The verified id.
    id Id,
    /// The signed name.
    name Name,
    /// The signed email.
    email Email,
    /// The other signed attributes, as JSON.
    attributes Attributes,
    /// What was claimed without proof, as JSON.
    claimed Claimed,
    /// What the website's server said, as JSON.
    details Details,
    /// The id of the key that verified.
    key Key,
    /// When the proof expires, in Unix seconds.
    expires Expires,
    /// The request's id.
    request_id RequestId,
    /// What was left out for size.
    omitted Omitted,
    /// All of it, signed.
    assertion Assertion,
}
