//! What is posted: LiveSupporti's JSON object, read strictly.
//!
//! `{"AccountId", "AgentId", "VisitorId", "Fields": [{"name", "value"}, …]}`, all of them
//! texts. Members beside these are not looked at. Two readers must not see two posts, so a
//! member that is named twice is refused, and so is all that is not strict UTF-8 JSON.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::Arc;

use http::{HeaderMap, header};

use crate::dialect::json::{self, Json};
use crate::store::{MOST_FIELDS, Visit};

/// Bytes of a body.
pub const MOST_BYTES: usize = 64 * 1024;
/// Bytes of a field's name.
const MOST_NAME: usize = 256;
/// Bytes of a field's value.
const MOST_VALUE: usize = 4096;
/// Bytes of a visitor's id, as of any identity's.
const MOST_ID: usize = 256;

/// What is wrong with a post: a sentence for whoever programs the website's server.
pub(super) type Wrong = Cow<'static, str>;

/// What is posted of a visitor, sound in itself.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Post<'a> {
    account_id: Cow<'a, str>,
    agent_id: Cow<'a, str>,
    /// What: distinct names, each with its value.
    pub fields: Vec<(Arc<str>, Arc<str>)>,
}

/// The visitor's id that a part of a path stands for: percent-encoded UTF-8.
pub(super) fn visitor(part: &str) -> Result<String, Wrong> {
    let two = |rest: &str| {
        rest.as_bytes().first_chunk::<2>().is_some_and(|two| two.iter().all(u8::is_ascii_hexdigit))
    };
    if !part.split('%').skip(1).all(two) {
        return Err("the visitor's id in the path is not percent-encoded".into());
    }
    let id = percent_encoding::percent_decode_str(part)
        .decode_utf8()
        .map_err(|_| "the visitor's id in the path is not UTF-8")?;
    if id.is_empty() || id.len() > MOST_ID || id.chars().any(char::is_control) {
        return Err("a visitor's id has 1 to 256 bytes and no control characters".into());
    }
    Ok(id.into_owned())
}

/// Whether the body is said to be JSON in UTF-8, as it is.
pub(super) fn check_type(headers: &HeaderMap) -> Result<(), Wrong> {
    let wrong = || Wrong::from("the Content-Type is not `application/json; charset=utf-8`");
    let encoded = headers.get_all(header::CONTENT_ENCODING).iter();
    if encoded.into_iter().any(|value| !value.as_bytes().eq_ignore_ascii_case(b"identity")) {
        return Err("the body is compressed; send it as it is".into());
    }
    let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
    let field = fields.next().filter(|_| fields.next().is_none()).ok_or_else(wrong)?;
    let mut parts = field.to_str().map_err(|_| wrong())?.split(';').map(str::trim);
    if !parts.next().is_some_and(|essence| essence.eq_ignore_ascii_case("application/json")) {
        return Err(wrong());
    }
    for (name, value) in parts.filter_map(|part| part.split_once('=')) {
        let value = value.trim().trim_matches('"');
        if name.trim().eq_ignore_ascii_case("charset") && !value.eq_ignore_ascii_case("utf-8") {
            return Err(wrong());
        }
    }
    Ok(())
}

impl<'a> Post<'a> {
    /// Reads a body that is to be about this visitor.
    pub fn read(body: &'a [u8], visitor: &str) -> Result<Self, Wrong> {
        let mut value = json::parse(body).map_err(|fault| format!("the body {fault}"))?;
        if !matches!(value, Json::Object(_)) {
            return Err(format!("the body is {} and no JSON object", value.kind()).into());
        }
        let (account_id, agent_id) = (text(&mut value, "AccountId")?, text(&mut value, "AgentId")?);
        if text(&mut value, "VisitorId")? != visitor {
            return Err("`VisitorId` is not the visitor's id in the path".into());
        }
        let fields = match value.get("Fields") {
            Some(Json::Array(fields)) => fields,
            Some(other) => return Err(format!("`Fields` is {} and no array", other.kind()).into()),
            None => return Err("the body has no `Fields`".into()),
        };
        if fields.is_empty() || fields.len() > MOST_FIELDS {
            let count = fields.len();
            return Err(format!("`Fields` has {count} fields; 1 to {MOST_FIELDS} are taken").into());
        }
        let mut seen = HashSet::with_capacity(fields.len());
        let read = |(index, each)| field(index, each, &mut seen);
        let fields = fields.iter().enumerate().map(read).collect::<Result<_, _>>()?;
        Ok(Self { account_id, agent_id, fields })
    }

    /// Whether it is about the visitor of whom something is known, as it was notified.
    pub fn check_against(&self, known: Option<&Visit>) -> Result<(), Wrong> {
        let Some(known) = known else {
            return Err("no visitor of this id is known: no chat has begun within `ttl`".into());
        };
        if *self.account_id != *known.account_id {
            return Err("`AccountId` is not the one of the notification".into());
        }
        if *self.agent_id != *known.agent_id {
            return Err("`AgentId` is not the one of the notification".into());
        }
        let is_known = |name: &str| known.fields.iter().any(|(known, _)| **known == *name);
        let new = self.fields.iter().filter(|(name, _)| !is_known(name)).count();
        if known.fields.len() + new > MOST_FIELDS {
            let sum = format!("{} are known, and {new} are new", known.fields.len());
            return Err(format!("a visitor has at most {MOST_FIELDS} fields: {sum}").into());
        }
        Ok(())
    }
}

fn text<'a>(object: &mut Json<'a>, name: &str) -> Result<Cow<'a, str>, Wrong> {
    let Json::Object(members) = object else { return Err("the body is no JSON object".into()) };
    match members.iter_mut().find(|(found, _)| found == name) {
        Some((_, Json::String(text))) => Ok(std::mem::take(text)),
        Some((_, other)) => Err(format!("`{name}` is {} and no string", other.kind()).into()),
        None => Err(format!("the body has no `{name}`").into()),
    }
}

/// The `index`-th field, whose name is none of those `seen`.
fn field<'j>(
    index: usize,
    field: &'j Json<'_>,
    seen: &mut HashSet<&'j str>,
) -> Result<(Arc<str>, Arc<str>), Wrong> {
    let wrong = |what: &str| Wrong::from(format!("`Fields[{index}]` {what}"));
    if !matches!(field, Json::Object(_)) {
        return Err(wrong(&format!("is {} and no object", field.kind())));
    }
    let text = |name: &str| match field.get(name) {
        Some(Json::String(text)) => Ok(&**text),
        Some(other) => Err(wrong(&format!("has a `{name}` that is {}, no string", other.kind()))),
        None => Err(wrong(&format!("has no `{name}`"))),
    };
    let (name, value) = (text("name")?, text("value")?);
    if name.trim().is_empty() {
        return Err(wrong("has an empty `name`"));
    }
    if name.len() > MOST_NAME || name.chars().any(char::is_control) {
        return Err(wrong("has a `name` of over 256 bytes or with control characters"));
    }
    if value.len() > MOST_VALUE {
        return Err(wrong("has a `value` of over 4096 bytes"));
    }
    if !seen.insert(name) {
        return Err(wrong("has the `name` of another field"));
    }
    Ok((name.into(), value.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    const VISITOR: &str = "169.26.97.99-1231178";

    /// The example of LiveSupporti's documents, with another list of fields.
    fn with(fields: &str) -> String {
        format!(
            r#"{{"AccountId":"b943010f-b565-4731-9f34-42c54319957f","AgentId":"150",
               "VisitorId":"{VISITOR}","Fields":{fields}}}"#
        )
    }

    fn read(body: &str) -> Result<Vec<(String, String)>, String> {
        let post = Post::read(body.as_bytes(), VISITOR).map_err(Cow::into_owned)?;
        Ok(post.fields.iter().map(|(name, value)| (name.to_string(), value.to_string())).collect())
    }

    #[test]
    fn the_vendor_s_own_example_is_read() {
        let body = with(r#"[{"name":"Name","value":"Jason"},{"name":"Age","value":"25"}]"#);
        let pair = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        assert_eq!(read(&body), Ok(vec![pair("Name", "Jason"), pair("Age", "25")]));
        // Case tells names apart, a value may be empty, and other members are nobody's.
        let body = with(r#"[{"name":"a","value":"","type":7},{"name":"A","value":"\n"}]"#);
        let body = body.replacen('{', "{\"Extra\":null,", 1);
        assert_eq!(read(&body), Ok(vec![pair("a", ""), pair("A", "\n")]));
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said() {
        let one = r#"[{"name":"Name","value":"Jason"}]"#;
        let many = |count: usize| {
            let each = (0..count).map(|n| format!(r#"{{"name":"n{n}","value":"v"}}"#));
            with(&format!("[{}]", each.collect::<Vec<_>>().join(",")))
        };
        assert_eq!(read(&many(100)).map(|fields| fields.len()), Ok(100));
        let long_name = format!(r#"[{{"name":"{}","value":""}}]"#, "n".repeat(257));
        let long_value = format!(r#"[{{"name":"n","value":"{}"}}]"#, "v".repeat(4097));
        for (body, said) in [
            (String::new(), "not valid JSON"),
            ("{".into(), "not valid JSON"),
            ("[]".into(), "an array and no JSON object"),
            ("\u{feff}{}".into(), "not valid JSON"),
            ("{}".into(), "no `AccountId`"),
            (with(one).replace("\"150\"", "150"), "`AgentId` is a number"),
            (with(one).replace("\"150\"", "null"), "`AgentId` is null"),
            (with(one).replace("\"AgentId\"", "\"agentId\""), "no `AgentId`"),
            (with(one).replace("1231178", "1231179"), "`VisitorId` is not"),
            (with(one).replace("\"VisitorId\"", "\"AgentId\""), "names a member twice"),
            (with("{}"), "`Fields` is an object"),
            (with(one).replace("Fields", "fields"), "no `Fields`"),
            (with("[]"), "0 fields; 1 to 100"),
            (many(101), "101 fields; 1 to 100"),
            (many(10_000), "10000 fields"),
            (with(r#"["Name"]"#), "`Fields[0]` is a string"),
            (with(r#"[{"name":"Age","value":25}]"#), "a `value` that is a number"),
            (with(r#"[{"name":"Age","value":null}]"#), "a `value` that is null"),
            (with(r#"[{"name":["a"],"value":""}]"#), "a `name` that is an array"),
            (with(r#"[{"Name":"Age","Value":"25"}]"#), "has no `name`"),
            (with(r#"[{"name":"Age"}]"#), "has no `value`"),
            (with(r#"[{"name":" ","value":"x"}]"#), "an empty `name`"),
            (with(r#"[{"name":"a\u0000b","value":"x"}]"#), "control characters"),
            (with(&long_name), "over 256 bytes"),
            (with(&long_value), "over 4096 bytes"),
            (
                with(r#"[{"name":"a","value":"1"},{"name":"\u0061","value":"2"}]"#),
                "`Fields[1]` has the `name` of another",
            ),
            (with(r#"[{"name":"a","name":"b","value":"1"}]"#), "names a member twice"),
        ] {
            let wrong = read(&body).unwrap_err();
            assert!(wrong.contains(said), "{wrong:?} should say {said:?}");
        }
        assert!(Post::read(b"{\"AccountId\":\"\xff\"}", VISITOR).is_err());
    }

    #[test]
    fn the_id_in_the_path_is_percent_encoded() {
        for (part, id) in [
            (VISITOR, Some(VISITOR)),
            ("J%C3%BCrgen", Some("Jürgen")),
            ("a%2Fb", Some("a/b")),
            ("a+b@c", Some("a+b@c")),
            ("", None),
            ("%", None),
            ("%zz", None),
            ("%ff", None),
            ("%0a", None),
        ] {
            assert_eq!(visitor(part).ok().as_deref(), id, "{part}");
        }
        assert!(visitor(&"a".repeat(256)).is_ok() && visitor(&"a".repeat(257)).is_err());
    }

    #[test]
    fn only_json_in_utf_8_is_taken() {
        let checked = |fields: &[(header::HeaderName, &str)]| {
            let mut headers = HeaderMap::new();
            for (name, value) in fields {
                headers.append(name, value.parse().unwrap());
            }
            check_type(&headers).is_ok()
        };
        for fine in [
            "application/json",
            "application/json; charset=utf-8",
            "Application/JSON;Charset=\"UTF-8\"",
            "application/json; charset=utf-8; v=1",
        ] {
            assert!(checked(&[(header::CONTENT_TYPE, fine)]), "{fine}");
        }
        for wrong in [
            "",
            "text/plain",
            "application/x-www-form-urlencoded",
            "application/jsonp",
            "application/problem+json",
            "application/json; charset=utf-16",
            "application/json; charset=iso-8859-1",
        ] {
            assert!(!checked(&[(header::CONTENT_TYPE, wrong)]), "{wrong}");
        }
        let json = (header::CONTENT_TYPE, "application/json");
        assert!(!checked(&[]) && !checked(&[json.clone(), json.clone()]));
        assert!(!checked(&[json.clone(), (header::CONTENT_ENCODING, "gzip")]));
        assert!(checked(&[json, (header::CONTENT_ENCODING, "identity")]));
    }
}
