//! What the example backend hears of a visitor: it reads the gateway's headers, as any
//! backend would, and believes nothing else. No key and no token is known here.

use http::{HeaderMap, Request};
use percent_encoding::percent_decode_str;
use serde_json::{Value, json};

use super::web::parameter;

/// The visitor of a request.
#[derive(Clone, Debug, PartialEq)]
pub struct Visitor {
    /// Which site's.
    pub site: String,
    /// Whether the gateway vouches.
    pub verified: bool,
    /// Proven id.
    pub id: Option<String>,
    /// Proven name.
    pub name: Option<String>,
    /// Proven email.
    pub email: Option<String>,
    /// The other proven attributes, an object.
    pub attributes: Value,
    /// What was said without proof, an object.
    pub claimed: Value,
    /// What the website's server has said of them, an object.
    pub details: Value,
    /// Why a guest is one.
    pub reason: Option<String>,
    /// Which of the website's keys vouched.
    pub key: Option<String>,
    /// What a browser calls itself, to tell guests apart; proves nothing.
    pub browser: String,
}

impl Visitor {
    /// Reads the headers. Without the gateway's status nobody is verified.
    pub fn of<B>(request: &Request<B>) -> Self {
        let headers = request.headers();
        Self {
            site: plain(headers, "Countersign-Site").unwrap_or_default(),
            verified: plain(headers, "Countersign-Status").as_deref() == Some("verified"),
            id: plain(headers, "Countersign-Id"),
            name: plain(headers, "Countersign-Name"),
            email: plain(headers, "Countersign-Email"),
            attributes: object(headers, "Countersign-Attributes"),
            claimed: object(headers, "Countersign-Claimed"),
            details: object(headers, "Countersign-Details"),
            reason: plain(headers, "Countersign-Reason"),
            key: plain(headers, "Countersign-Key"),
            browser: parameter(request.uri(), "browser").unwrap_or_default(),
        }
    }

    /// What its conversation is filed under: the proven id, wherever it comes from; for a
    /// guest only this very browser.
    pub fn key(&self) -> String {
        match &self.id {
            Some(id) if self.verified => Self::proven(id),
            _ => format!("browser {}", self.browser),
        }
    }

    /// What the conversation of a proven id is filed under.
    pub fn proven(id: &str) -> String {
        format!("id {id}")
    }

    /// For the page.
    pub fn json(&self) -> Value {
        let Self { verified, id, name, email, attributes, claimed, details, reason, key, .. } =
            self;
        json!({
            "verified": verified, "id": id, "name": name, "email": email, "key": key,
            "attributes": attributes, "claimed": claimed, "details": details, "reason": reason,
        })
    }
}

/// The request as it came in, for the page to compare: request line, fields, body.
pub fn request<B>(request: &Request<B>, body: &[u8]) -> Value {
    let fields: Vec<_> = request
        .headers()
        .iter()
        .map(|(name, value)| {
            json!([capitals(name.as_str()), String::from_utf8_lossy(value.as_bytes())])
        })
        .collect();
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    json!({
        "method": request.method().as_str(), "target": target, "headers": fields,
        "body": String::from_utf8_lossy(body),
    })
}

/// `countersign-id` → `Countersign-Id`, as people write it.
pub fn capitals(name: &str) -> String {
    let mut start = true;
    let letter = |c: char| {
        let shown = if start { c.to_ascii_uppercase() } else { c };
        start = c == '-';
        shown
    };
    name.chars().map(letter).collect()
}

/// A plain value: percent-encoded UTF-8.
fn plain(headers: &HeaderMap, name: &str) -> Option<String> {
    let value = headers.get(name)?.to_str().ok()?;
    Some(percent_decode_str(value).decode_utf8_lossy().into_owned())
}

/// A JSON object; empty if there is none.
fn object(headers: &HeaderMap, name: &str) -> Value {
    let value = headers.get(name).and_then(|value| serde_json::from_slice(value.as_bytes()).ok());
    value.filter(Value::is_object).unwrap_or_else(|| json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visitor(fields: &[(&str, &str)]) -> Visitor {
        let builder = Request::get("/x?browser=b1");
        let request = fields.iter().fold(builder, |builder, (n, v)| builder.header(*n, *v));
        Visitor::of(&request.body(()).unwrap())
    }

    #[test]
    fn a_verified_visitor_is_filed_under_the_proven_id_in_any_browser() {
        let fields = [
            ("Countersign-Status", "verified"),
            ("Countersign-Id", "user%20ü"),
            ("Countersign-Name", "J%C3%BCrgen"),
            ("Countersign-Claimed", r#"{"name":"Ben"}"#),
        ];
        let visitor = visitor(&fields[..1].iter().chain(&fields[2..]).copied().collect::<Vec<_>>());
        assert_eq!(visitor.name.as_deref(), Some("Jürgen"));
        assert_eq!(visitor.claimed["name"], "Ben");
        assert_eq!(visitor.key(), "browser b1");
        let known = Visitor { id: Some("user-1".into()), ..visitor };
        assert_eq!(known.key(), "id user-1");
    }

    #[test]
    fn an_id_without_the_gateways_word_is_a_guests() {
        let visitor = visitor(&[("Countersign-Id", "user-1")]);
        assert!(!visitor.verified);
        assert_eq!(visitor.key(), "browser b1");
    }

    #[test]
    fn the_request_is_told_as_it_came() {
        let asked = Request::get("/m?a=1").header("x-amz-token", "t").body(()).unwrap();
        let told = request(&asked, b"{}");
        assert_eq!(told["target"], "/m?a=1");
        assert_eq!(told["headers"][0], json!(["X-Amz-Token", "t"]));
        assert_eq!(told["body"], "{}");
    }
}
