//! How a credential is presented: through a place where a dialect looks for it, with the
//! fields that lie beside a hash.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::dialect::sign::Subject;
use crate::dialect::{Carrier, Names, Pointer, Source};

/// A credential as a request carries it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Presented {
    /// Header fields, a WebSocket's subprotocol among them.
    Headers(Vec<(String, String)>),
    /// Parameters of the query.
    Query(Vec<(String, String)>),
    /// Cookies.
    Cookies(Vec<(String, String)>),
    /// A JSON body.
    Json(String),
    /// Fields of a form.
    Form(Vec<(String, String)>),
    /// Fields of a form sent as `multipart/form-data`.
    Multipart(Vec<(String, String)>),
}

/// The credential as `source` takes it.
pub fn present(source: &Source, credential: &str, subject: &Subject) -> Presented {
    let names = source.carrier.names();
    let others = || -> Vec<(String, String)> {
        let others = beside(&names, subject);
        others.map(|(name, value)| (name.clone(), value.to_owned())).collect()
    };
    let after = |proof: String| [others(), vec![(names.proof.clone(), proof)]].concat();
    let before = |proof: String| [vec![(names.proof.clone(), proof)], others()].concat();
    let schemed = |scheme: &Option<String>| match scheme {
        Some(scheme) => format!("{scheme} {credential}"),
        None => credential.to_owned(),
    };
    match &source.carrier {
        Carrier::Header { scheme, .. } => Presented::Headers(before(schemed(scheme))),
        Carrier::Query { scheme, .. } => Presented::Query(after(schemed(scheme))),
        Carrier::Cookie { .. } => Presented::Cookies(after(credential.to_owned())),
        Carrier::Protocol { .. } => {
            let offer = format!("{}{credential}", names.proof);
            Presented::Headers(vec![("Sec-WebSocket-Protocol".to_owned(), offer)])
        }
        Carrier::Json { names } => {
            let mut body = serde_json::json!({});
            for (pointer, value) in beside(names, subject).chain([(&names.proof, credential)]) {
                put(&mut body, pointer, value);
            }
            Presented::Json(body.to_string())
        }
        Carrier::Form { .. } => Presented::Form(after(credential.to_owned())),
        Carrier::Multipart { .. } => Presented::Multipart(after(credential.to_owned())),
    }
}

/// The fields that lie beside a hash.
fn beside<'a, N>(
    names: &'a Names<N>,
    subject: &'a Subject,
) -> impl Iterator<Item = (&'a N, &'a str)> {
    let all =
        [(&names.id, &subject.id), (&names.email, &subject.email), (&names.name, &subject.name)];
    all.into_iter().filter_map(|(name, value)| {
        Some((name.as_ref()?, value.as_deref().filter(|value| !value.is_empty())?))
    })
}

/// Puts a text where a JSON pointer leads (RFC 6901), making the objects on the way.
fn put(body: &mut serde_json::Value, pointer: &Pointer, text: &str) {
    let mut place = body;
    for name in &pointer.0 {
        if !place.is_object() {
            *place = serde_json::json!({});
        }
        let Some(members) = place.as_object_mut() else { return };
        place = members.entry(name.clone()).or_insert(serde_json::Value::Null);
    }
    *place = serde_json::Value::from(text);
}

/// RFC 3986 §2.3.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// Pairs as a query or a form has them.
pub fn encoded(pairs: &[(String, String)]) -> String {
    let encoded = |text| utf8_percent_encode(text, RESERVED).to_string();
    let pairs: Vec<_> =
        pairs.iter().map(|(name, value)| format!("{}={}", encoded(name), encoded(value))).collect();
    pairs.join("&")
}

/// Pairs as a `Cookie` header has them.
pub fn cookies(pairs: &[(String, String)]) -> String {
    let pairs: Vec<_> = pairs.iter().map(|(name, value)| format!("{name}={value}")).collect();
    pairs.join("; ")
}

/// Adds parameters to a URL's query, before its fragment.
pub fn with_query(url: &str, pairs: &[(String, String)]) -> String {
    let (url, fragment) = match url.split_once('#') {
        Some((url, fragment)) => (url, format!("#{fragment}")),
        None => (url, String::new()),
    };
    let joint = match url.split_once('?') {
        None => "?",
        Some((_, "")) => "",
        Some(_) => "&",
    };
    format!("{url}{joint}{}{fragment}", encoded(pairs))
}
