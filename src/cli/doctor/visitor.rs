//! The visitors that the doctor plays: one whose website signed for him, one whose credential
//! somebody has altered, one who makes up the headers that only Countersign may send.

use std::sync::Arc;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, COOKIE};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request};

use crate::cli::present::{Presented, cookies, encoded, present, with_query};
use crate::cli::sign::{best, keys, ways};
use crate::clock::UnixTime;
use crate::dialect::sign::{Signed, Subject};
use crate::dialect::{Carrier, Dialect, Source};
use crate::gate::contract::Field;
use crate::plan::Site;

/// How long what is signed here is good for, in seconds, where the dialect allows so little.
const TTL: u64 = 60;

/// A visitor whom nobody else is.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// What a page that shows him must contain.
    pub mark: String,
    subject: Subject,
    credential: String,
    source: Source,
}

impl Visitor {
    /// Somebody for whom the site's own key signs. `private` is the other half of a public
    /// key, in PEM.
    ///
    /// # Errors
    /// A sentence that says why nothing can be signed here.
    pub fn signed(site: &Site, private: Option<&[u8]>, now: UnixTime) -> Result<Self, String> {
        let mut why = String::new();
        for way in ways(site, None)? {
            let keys = match keys(way.keyring, None, private.is_some(), now) {
                Ok(keys) => keys,
                Err(error) => {
                    why = error;
                    continue;
                }
            };
            let Some(source) = presentable(way.sources) else {
                why = "its credential travels in no place of a plain request".to_owned();
                continue;
            };
            let mark = mark();
            match sign(way.dialect, &keys, private, &mark, now) {
                Ok((subject, signed)) => {
                    let (credential, source) = (signed.credential, source.clone());
                    return Ok(Self { mark, subject, credential, source });
                }
                Err(error) => why = error,
            }
        }
        Err(why)
    }

    /// The same with a signature that does not fit.
    pub fn altered(&self) -> Self {
        let (head, signature) = match self.credential.rsplit_once('.') {
            Some((head, signature)) => (format!("{head}."), signature),
            None => (String::new(), self.credential.as_str()),
        };
        // Letters of hexadecimal as of base64, and the first one counts whole in both.
        let other = if signature.starts_with('a') { 'b' } else { 'a' };
        let rest = signature.get(1..).unwrap_or_default();
        Self { credential: format!("{head}{other}{rest}"), ..self.clone() }
    }

    /// His request: a GET, or a POST where the credential travels in bodies alone.
    ///
    /// # Errors
    /// A sentence, where the path or a value is none for HTTP.
    pub fn asks(&self, path: &str) -> Result<Request<Bytes>, String> {
        let mut headers = HeaderMap::new();
        let mut target = path.to_owned();
        let mut body = String::new();
        let mut typed = |kind: &'static str, text: String| {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            body = text;
        };
        match present(&self.source, &self.credential, &self.subject) {
            Presented::Json(text) => typed("application/json", text),
            Presented::Form(pairs) | Presented::Multipart(pairs) => {
                typed("application/x-www-form-urlencoded", encoded(&pairs));
            }
            Presented::Query(pairs) => target = with_query(path, &pairs),
            Presented::Headers(fields) => {
                for (name, value) in fields {
                    headers.insert(header_name(&name)?, header_value(&value)?);
                }
            }
            Presented::Cookies(pairs) => {
                headers.insert(COOKIE, header_value(&cookies(&pairs))?);
            }
        }
        let method = if body.is_empty() { Method::GET } else { Method::POST };
        let mut request = plain(&target)?;
        *request.method_mut() = method;
        *request.headers_mut() = headers;
        *request.body_mut() = body.into();
        Ok(request)
    }

    /// Whether his credential travels in bodies alone.
    pub fn needs_body(&self) -> bool {
        matches!(self.source.carrier, Carrier::Json { .. } | Carrier::Form { .. })
    }
}

/// A GET of nobody in particular.
///
/// # Errors
/// The path is none.
pub fn plain(path: &str) -> Result<Request<Bytes>, String> {
    let request = Request::builder().uri(path).body(Bytes::new());
    request.map_err(|error| format!("{path}: {error}"))
}

/// The headers by which a backend knows a verified visitor, made up for one with this mark.
pub fn forged(site: &Site, mark: &str) -> Vec<(HeaderName, HeaderValue)> {
    let (id, email) = (id_of(mark), email_of(mark));
    let all = [
        (Field::Status, "verified"),
        (Field::Site, &*site.name),
        (Field::Dialect, &*site.dialect.name),
        (Field::Id, &*id),
        (Field::Name, mark),
        (Field::Email, &*email),
    ];
    let made = |(field, value): (Field, &str)| {
        let value = HeaderValue::try_from(value).ok()?;
        Some(site.headers.names(field).iter().map(move |name| (name.clone(), value.clone())))
    };
    all.into_iter().filter_map(made).flatten().collect()
}

/// A word that stands on no page by chance.
pub fn mark() -> String {
    // The random end: the beginning is the time.
    let id = uuid::Uuid::now_v7().simple().to_string();
    format!("doctor-{}", id.get(20..).unwrap_or(&id))
}

// Some systems know their visitors by email.
fn id_of(mark: &str) -> String {
    email_of(mark)
}

fn email_of(mark: &str) -> String {
    format!("{mark}@countersign.invalid")
}

/// The place of a head, if there is one, else of a body.
fn presentable(sources: &[Source]) -> Option<&Source> {
    let in_head = |source: &&Source| {
        matches!(
            source.carrier,
            Carrier::Header { .. } | Carrier::Query { .. } | Carrier::Cookie { .. }
        )
    };
    let in_body =
        |source: &&Source| matches!(source.carrier, Carrier::Json { .. } | Carrier::Form { .. });
    sources.iter().find(in_head).or_else(|| sources.iter().find(in_body))
}

/// Signs as much about him as the dialect takes.
fn sign(
    dialect: &Dialect,
    keys: &[&Arc<crate::dialect::Key>],
    private: Option<&[u8]>,
    mark: &str,
    now: UnixTime,
) -> Result<(Subject, Signed), String> {
    let id = Some(id_of(mark));
    let (name, email) = (Some(mark.to_owned()), Some(email_of(mark)));
    let subject = |id: &Option<String>, name: &Option<String>, email: &Option<String>| Subject {
        id: id.clone(),
        name: name.clone(),
        email: email.clone(),
        ..Subject::default()
    };
    let subjects = [
        subject(&id, &name, &email),
        subject(&id, &name, &None),
        subject(&id, &None, &email),
        subject(&id, &None, &None),
        subject(&None, &name, &email),
        subject(&None, &None, &email),
        subject(&None, &name, &None),
    ];
    let mut why = String::new();
    for ttl in [Some(TTL), None] {
        for subject in &subjects {
            match best(dialect, keys, private, subject, now, ttl) {
                Ok(signed) if signed.warnings.is_empty() => return Ok((subject.clone(), signed)),
                Ok(signed) if why.is_empty() => why = signed.warnings.join("; "),
                Err(error) if why.is_empty() => why = error.to_string(),
                _ => {}
            }
        }
    }
    Err(why)
}

fn header_name(name: &str) -> Result<HeaderName, String> {
    name.parse().map_err(|_| format!("`{name}` is no header"))
}

fn header_value(value: &str) -> Result<HeaderValue, String> {
    HeaderValue::try_from(value).map_err(|_| "the credential cannot be sent in a header".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Mode;
    use crate::gate::contract::{Budget, SiteHeaders};
    use crate::telemetry::fixture;

    #[test]
    fn what_is_made_up_is_called_as_the_site_calls_it() {
        let mut site = fixture::site(0, "acme", Mode::Prefer);
        let names = |site: &Site| -> Vec<String> {
            forged(site, "m").into_iter().map(|(name, _)| name.to_string()).collect()
        };
        assert!(names(&site).contains(&"countersign-id".to_owned()));
        let named = [(Field::Status, "X-Chat-Status"), (Field::Id, "Remote-User")];
        let named = named.map(|(field, name)| (field, name.to_owned()));
        site.headers = SiteHeaders::new(&named, &[], Some("X-Chat-"), Budget::default());
        assert_eq!(names(&site), ["x-chat-status", "remote-user"]);
    }
}
