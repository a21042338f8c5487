//! The backend's own proof: `translate`.

use schemars::JsonSchema;
use serde::Deserialize;

use super::{List, NamesOrName, Period, Secret, Source};

/// The verified identity as the backend's own proof, written by a dialect's rules.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Translate {
    /// How the backend wants identity signed: a built-in dialect or one of `dialects:`.
    #[schemars(required)]
    pub dialect: Option<String>,
    /// What signs: the secret that the backend verifies with, or a private key in PEM (PKCS#8).
    /// None of the keys that verify this site's visitors.
    #[schemars(required)]
    pub key: Option<Secret>,
    /// Where in a request it goes. What clients send there leaves the requests that may be
    /// written to, in the modes that change requests and from bodies of a type that is read.
    #[schemars(required)]
    pub into: Option<Into>,
    /// Which requests: `*` is one segment, a final `/*` the rest. Absent: all of the site.
    pub path: Option<String>,
    /// To which methods it is written; absent: any. What clients send leaves whatever the method.
    pub methods: Option<List<String>>,
    /// What the backend calls the visitor: text with one `{id}` or `{email}` in it, `c-{id|hex}`
    /// (default `{id}`). Whoever lacks it has no proof.
    pub id: Option<String>,
    /// For whom tokens say that they are: `aud`, or Amazon's widget id.
    pub audience: Option<String>,
    /// What tokens say as `iss`.
    pub issuer: Option<String>,
    /// How long a token holds, from the request on, though never beyond the credential that it
    /// rests on (default 60s).
    pub ttl: Option<Period>,
    /// What tokens name as the key (`kid`). Absent: none.
    #[schemars(regex(pattern = r"^[A-Za-z0-9._-]{1,64}$"))]
    pub kid: Option<String>,
    /// The algorithm; default by the key's type: secret HS256, RSA RS256, P-256 ES256, P-384
    /// ES384, Ed25519 EdDSA.
    pub algorithm: Option<String>,
    /// Also for visitors of whom only the backend's session says who they are (default false).
    pub by_session: Option<bool>,
}

/// A place that a proof is written into: `header`, `query`, `json` or `form`. `{ id: …, proof:
/// … }` names what the hash covers, too.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Into {
    /// A header field.
    pub header: Option<NamesOrName>,
    /// A query parameter.
    pub query: Option<NamesOrName>,
    /// A member of a JSON object, by its JSON pointer: `/identifier_hash`.
    pub json: Option<NamesOrName>,
    /// A field of a urlencoded body.
    pub form: Option<NamesOrName>,
    /// The authentication scheme before the proof: `Bearer`. Headers and parameters.
    pub scheme: Option<String>,
}

impl Into {
    /// How many places are written.
    pub fn places(&self) -> usize {
        [&self.header, &self.query, &self.json, &self.form].into_iter().flatten().count()
    }

    /// Whether one of them is a bare name.
    pub fn is_bare(&self) -> bool {
        let written = [&self.header, &self.query, &self.json, &self.form].into_iter().flatten();
        written.into_iter().all(|names| matches!(names, NamesOrName::Name(_)))
    }

    /// The same place as a source.
    pub fn as_source(&self) -> Source {
        let Self { header, query, json, form, scheme } = self;
        Source {
            header: header.clone(),
            query: query.clone(),
            json: json.clone(),
            form: form.clone(),
            scheme: scheme.clone(),
            ..Source::default()
        }
    }
}
