//! What is claimed without proof leaves the request, and is handed over as a claim.
//!
//! A field that the dialect names as identity reaches the backend only if it equals what
//! the credential proved. Every other one is removed from query and headers, repeats
//! included, and shown in `Countersign-Claimed` as [`Fields`] says; the first source (query,
//! then headers, then the body) wins. Names are compared as [`naming`](super::naming) has it,
//! those of headers folded. Some backends part parameters at `;` too, so a field behind one
//! is found and cut as well.
//!
//! Fields with the dialect's `copied` names (`custom_*`) are no identity: they stay, and
//! are shown as well. What JSON bodies claim is found in [`document`](super::document).

use http::{HeaderName, HeaderValue};

use super::content::Content;
use super::contract::{self, MAX_CLAIMED};
use super::fields::{Field, Fields};
use super::naming::{Covering, Reach};
use super::of_http::belongs_to_http;
use super::query::{self, Fate, Parameter};
use super::source::text;
use super::{Edits, RequestView, document};
use crate::dialect::FieldName;
use crate::dialect::json::{Json, write_string};

/// Collects claims while it judges the fields.
pub(super) struct Claims<'r> {
    fields: &'r Fields,
    /// Signed values, by the field's index.
    proven: &'r [(usize, String)],
    /// Only whether there are any matters.
    keeps_none: bool,
    /// Names, and values as JSON.
    entries: Vec<(String, String)>,
    size: usize,
    /// More was claimed than may be handed over: nothing is.
    pub oversized: bool,
    /// An identity field (no copied one) with a value was among them.
    pub identity: bool,
}

impl<'r> Claims<'r> {
    /// Begins with what the credential proved; nothing for guests.
    pub fn new(fields: &'r Fields, proven: &'r [(usize, String)]) -> Self {
        Self {
            fields,
            proven,
            keeps_none: false,
            entries: Vec::new(),
            size: "{}".len(),
            oversized: false,
            identity: false,
        }
    }

    /// Claims nothing: only what becomes of the fields matters.
    pub fn of_none(fields: &'r Fields) -> Self {
        Self { keeps_none: true, ..Self::new(fields, &[]) }
    }

    /// Whether a request names an identity at all, whatever it says of it.
    pub fn any_in(fields: &'r Fields, request: &RequestView<'_>, content: &Content<'_>) -> bool {
        let mut claims = Self::of_none(fields);
        claims.read(request, content);
        claims.identity
    }

    /// Collects from query, headers and body, and changes nothing.
    pub fn read(&mut self, request: &RequestView<'_>, content: &Content<'_>) {
        if self.fields.is_idle() {
            return;
        }
        for parameter in request.query().into_iter().flat_map(query::parameters) {
            self.parameter(&parameter);
        }
        self.headers(request, &mut Edits::default());
        match content {
            Content::Json { text, .. } => _ = document::edited(text, Some(self), None),
            Content::Form { text, lines } => {
                _ = query::edited_lines(text, *lines, |parameter| self.parameter(parameter));
            }
            Content::Parts { .. } | Content::Nothing => {}
        }
    }

    /// Collects a query parameter and says what becomes of it.
    pub fn parameter(&mut self, parameter: &Parameter<'_>) -> Fate {
        if self.fields.is_idle() {
            return Fate::Keep;
        }
        let Some((first, rest)) = parameter.raw.split_once(';') else {
            return if self.keeps(parameter) { Fate::Keep } else { Fate::Cut };
        };
        let head = Parameter::read(first);
        if let Some(covering) = self.covering(&head.name()) {
            // Two readers see two values: neither is what was proven.
            let value = if first.contains('=') { parameter.value() } else { head.value() };
            self.claim(covering, &head.name(), &value);
            return Fate::Cut;
        }
        self.copy(&head.name(), &parameter.value());
        let mut kept = vec![first];
        kept.extend(rest.split(';').filter(|part| self.keeps(&Parameter::read(part))));
        let shortened = kept.join(";");
        if shortened == parameter.raw { Fate::Keep } else { Fate::Shorten(shortened) }
    }

    /// Judges one parameter without `;`; what is not kept is claimed.
    fn keeps(&mut self, parameter: &Parameter<'_>) -> bool {
        let name = parameter.name();
        let Some(covering) = self.covering(&name) else {
            self.copy(&name, &parameter.value());
            return true;
        };
        let value = parameter.value();
        if covering.reach == Reach::Exact && self.proves(covering.index, &value) {
            return true;
        }
        self.claim(covering, &name, &value);
        false
    }

    /// Collects header fields, and removes them from the request.
    pub fn headers(&mut self, request: &RequestView<'_>, edits: &mut Edits) {
        if self.fields.is_empty() {
            return;
        }
        for name in request.headers.keys() {
            if !self.fields.may_name(name.as_str()) {
                continue;
            }
            let Some(index) = self.header(name) else { continue };
            edits.retain(request.headers, name, |value: &HeaderValue| {
                let value = text(value);
                let proven = self.proves(index, &value);
                if !proven && let Some(field) = self.field(index) {
                    self.identity |= !value.is_empty();
                    self.enter(&field.shown, &value);
                }
                proven
            });
        }
    }

    /// The field that a header is, if it is one and HTTP can do without it.
    fn header(&self, name: &HeaderName) -> Option<usize> {
        let name = name.as_str();
        let found = self.fields.find(|field| match &field.name {
            FieldName::Plain(own) => contract::folds_alike(own, name),
            FieldName::At(_) => false,
        });
        found.filter(|_| !belongs_to_http(name))
    }

    /// Whether a field's value is what was proven.
    pub fn proves(&self, index: usize, value: &str) -> bool {
        self.proven.iter().any(|(of, proven)| *of == index && proven == value)
    }

    /// The field that a parameter's name falls under, and how.
    pub fn covering(&self, name: &str) -> Option<Covering> {
        self.fields.covering(name)
    }

    /// The field of a position.
    pub fn field(&self, index: usize) -> Option<&'r Field> {
        self.fields.get(index)
    }

    /// Whether a field at the top has exactly this name.
    fn names(&self, name: &str) -> bool {
        let is_it = |field: &Field| matches!(&field.name, FieldName::Plain(own) if own == name);
        self.fields.find(is_it).is_some()
    }

    /// How deep in a JSON body a field may lie; a name at its top is 1.
    pub const fn depth(&self) -> usize {
        self.fields.depth()
    }

    /// Shows a member of a JSON body that is copied although it is no identity, and says
    /// whether it is one.
    pub fn copies(&mut self, name: &str, value: &Json<'_>) -> bool {
        let fields = self.fields;
        let shown = fields.copied(name);
        shown.map(|shown| self.enter_json(shown, value)).is_some()
    }

    /// Shows a parameter that is copied.
    fn copy(&mut self, name: &str, value: &str) {
        let fields = self.fields;
        if let Some(shown) = fields.copied(name) {
            self.enter(shown, value);
        }
    }

    /// Claims an identity field: under the name that [`Fields`] shows, or, beneath a field, under the
    /// request's own.
    fn claim(&mut self, covering: Covering, name: &str, value: &str) {
        self.identity |= !value.is_empty();
        self.enter(self.shown(covering, name), value);
    }

    /// Claims an identity field of a JSON body. An object of the dialect's fields
    /// (RingCentral's `identity`) is claimed as these.
    pub fn claim_json(&mut self, covering: Covering, name: &str, value: &Json<'_>) {
        self.identity |= !matches!(value, Json::Null) && value.as_str() != Some("");
        match value {
            Json::Object(members) if members.iter().any(|(name, _)| self.names(name)) => {
                members.iter().for_each(|(name, value)| self.enter_json(name, value));
            }
            _ => self.enter_json(self.shown(covering, name), value),
        }
    }

    fn shown<'n>(&self, covering: Covering, name: &'n str) -> &'n str
    where
        'r: 'n,
    {
        match self.field(covering.index) {
            Some(field) if covering.reach != Reach::Beneath => &field.shown,
            _ => self.member(name).unwrap_or(name),
        }
    }

    /// A member that is itself a field's name: `identity[uuid]` is the `uuid` that a JSON
    /// body's `identity` would show.
    fn member<'n>(&self, name: &'n str) -> Option<&'n str> {
        let member = name.split_once('[')?.1.strip_suffix(']')?;
        self.names(member).then_some(member)
    }

    fn enter(&mut self, name: &str, value: &str) {
        if value.is_empty() || !self.has_room(name, value.len() + 2) {
            return;
        }
        let mut written = String::with_capacity(value.len() + 2);
        write_string(value, &mut written);
        self.entries.push((name.into(), written));
    }

    /// Shows a value of a JSON body as it is.
    pub fn enter_json(&mut self, name: &str, value: &Json<'_>) {
        if matches!(value, Json::Null) || value.as_str() == Some("") {
            return;
        }
        let mut written = String::new();
        value.write_without(&[], &mut written);
        if self.has_room(name, written.len()) {
            self.entries.push((name.into(), written));
        }
    }

    /// Makes room for a value of at least that length; there is none for what is known.
    fn has_room(&mut self, name: &str, length: usize) -> bool {
        if self.keeps_none || self.oversized || self.entries.iter().any(|(known, _)| known == name)
        {
            return false;
        }
        // At least `"":,` and the bytes themselves: a lower bound that stops a flood early.
        self.size += name.len() + length + 3;
        if self.size > MAX_CLAIMED {
            self.oversized = true;
            self.entries.clear();
        }
        !self.oversized
    }

    /// The claims as one flat, compact JSON object in ASCII; none if there are none.
    pub fn into_json(self) -> Option<String> {
        if self.entries.is_empty() {
            return None;
        }
        let mut json = String::with_capacity(self.size + 16);
        for (name, value) in &self.entries {
            json.push(if json.is_empty() { '{' } else { ',' });
            write_string(name, &mut json);
            json.push(':');
            json.push_str(value);
        }
        json.push('}');
        Some(json)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{applied, headers, unsigned, view};

    fn rules(names: &[&str], copied: &[&str]) -> Fields {
        Fields::of(&unsigned(names, copied))
    }

    /// What stays of a query, and what is claimed, with `user_id` proven to be `u1`.
    fn cleaned(query: &str, proven: &[(usize, &str)]) -> (String, String) {
        let rules = rules(
            &["user_id", "name", "identity", "/contact/email", "/a~1b/c"],
            &["custom_*", "plan"],
        );
        let proven: Vec<_> = proven.iter().map(|(i, v)| (*i, v.to_string())).collect();
        let mut claims = Claims::new(&rules, &proven);
        let edited = query::edited(query, |parameter| claims.parameter(parameter));
        (edited.unwrap_or(query.into()), claims.into_json().unwrap_or_default())
    }

    #[test]
    fn unproven_fields_leave_the_query_and_the_rest_stays_byte_for_byte() {
        for (query, left, claimed) in [
            ("", "", ""),
            ("a=%7e&b=+", "a=%7e&b=+", ""),
            ("user_id=u2", "", r#"{"user_id":"u2"}"#),
            ("a=1&user%5Fid=u2&b=2", "a=1&b=2", r#"{"user_id":"u2"}"#),
            ("user_id=u2&user_id=u3", "", r#"{"user_id":"u2"}"#),
            ("name=Ada+L&user_id=u2", "", r#"{"name":"Ada L","user_id":"u2"}"#),
            ("name=", "", ""),
            ("name", "", ""),
            ("name[]=x&name[]=y", "", r#"{"name":"x"}"#),
            ("name%5B%5D=x", "", r#"{"name":"x"}"#),
            (
                "identity[uuid]=7&identity[a][b]=8",
                "",
                r#"{"identity[uuid]":"7","identity[a][b]":"8"}"#,
            ),
            ("contact[email]=x", "", r#"{"email":"x"}"#),
            ("contact[email][]=x", "", r#"{"email":"x"}"#),
            ("contact[phone]=x&contact=y", "contact[phone]=x&contact=y", ""),
            ("a/b[c]=x", "", r#"{"c":"x"}"#),
            ("username=x&user_id2=y&xname=z", "username=x&user_id2=y&xname=z", ""),
            ("user.id=x", "", r#"{"user_id":"x"}"#),
            ("+user+id=x", "", r#"{"user_id":"x"}"#),
            ("user_id%00z=x", "", r#"{"user_id":"x"}"#),
            ("user_id[=x&user_id[y=z", "", r#"{"user_id":"x"}"#),
            ("user[id=x", "", r#"{"user_id":"x"}"#),
            ("user_id%09=x", "", r#"{"user_id":"x"}"#),
            ("user%5Bid=x", "", r#"{"user_id":"x"}"#),
            ("user[id.z=x&user[id]=y", "user[id.z=x&user[id]=y", ""),
            ("User_ID=x&NAME[]=y", "", r#"{"user_id":"x","name":"y"}"#),
            ("identity.uuid=7", "", r#"{"identity.uuid":"7"}"#),
            ("contact.email=x", "", r#"{"email":"x"}"#),
            ("Contact[Email]=x", "", r#"{"email":"x"}"#),
            ("contact.phone=x&user.identity=y", "contact.phone=x&user.identity=y", ""),
            (
                "custom_a=1&plan=pro&planet=2",
                "custom_a=1&plan=pro&planet=2",
                r#"{"custom_a":"1","plan":"pro"}"#,
            ),
            ("name=Kr%C5%ABmi%C5%86a", "", r#"{"name":"Kr\u016bmi\u0146a"}"#),
            ("a=1;user_id=u2;b=2&c=3", "a=1;b=2&c=3", r#"{"user_id":"u2"}"#),
            ("user_id=u2;b=2&c=3", "c=3", r#"{"user_id":"u2;b=2"}"#),
            ("a=1;b=2", "a=1;b=2", ""),
            ("custom_a=1;b=2", "custom_a=1;b=2", r#"{"custom_a":"1;b=2"}"#),
        ] {
            assert_eq!(cleaned(query, &[]), (left.into(), claimed.into()), "{query}");
        }
    }

    #[test]
    fn a_value_equal_to_the_proven_one_stays() {
        for (query, left, claimed) in [
            ("user_id=u1", "user_id=u1", ""),
            ("user_id=%751&user_id=u1", "user_id=%751&user_id=u1", ""),
            ("user_id=u1&user_id=u2", "user_id=u1", r#"{"user_id":"u2"}"#),
            ("user_id=U1", "", r#"{"user_id":"U1"}"#),
            ("user_id[]=u1", "", r#"{"user_id":"u1"}"#),
            ("user_id[x]=u1", "", r#"{"user_id[x]":"u1"}"#),
            ("user_id=&a=1", "a=1", ""),
            ("user.id=u1", "", r#"{"user_id":"u1"}"#),
            ("user[id=u1", "", r#"{"user_id":"u1"}"#),
            ("User_Id=u1", "", r#"{"user_id":"u1"}"#),
            ("name=u1", "", r#"{"name":"u1"}"#),
            ("user_id=u1;x=2", "", r#"{"user_id":"u1;x=2"}"#),
            ("contact[email]=e", "contact[email]=e", ""),
        ] {
            let proven = [(0, "u1"), (3, "e")];
            assert_eq!(cleaned(query, &proven), (left.into(), claimed.into()), "{query}");
        }
    }

    #[test]
    fn header_fields_are_compared_folded_and_repeats_are_removed() {
        let rules = rules(&["X-User-Id", "X-User-Name", "host", "/email"], &[]);
        let proven = [(0, "u1".to_string())];
        let inbound = headers(&[
            ("host", "a.example"),
            ("x-user-id", "u1"),
            ("x-user-id", "u2"),
            ("x_user_id", "u3"),
            ("x.user..id", "u1"),
            ("x-user-name", "Krūmiņa"),
            ("x-user-names", "kept"),
            ("email", "kept"),
        ]);
        let mut claims = Claims::new(&rules, &proven);
        let mut edits = Edits::default();
        claims.headers(&view(&inbound, "/"), &mut edits);
        let mut left = applied(&edits, &inbound);
        left.sort();
        let expected = [
            ("email", "kept"),
            ("host", "a.example"),
            ("x-user-id", "u1"),
            ("x-user-names", "kept"),
            ("x.user..id", "u1"),
        ];
        assert_eq!(left, expected.map(|(name, value)| (name.to_string(), value.to_string())));
        assert!(claims.identity);
        let json = claims.into_json().unwrap();
        assert!(json.contains(r#""X-User-Name":"Kr\u016bmi\u0146a""#), "{json}");
        assert!(json.contains(r#""X-User-Id":"u"#), "{json}");
    }

    #[test]
    fn the_query_wins_over_headers() {
        let rules = rules(&["user_id"], &[]);
        let inbound = headers(&[("user-id", "h")]);
        let mut claims = Claims::new(&rules, &[]);
        claims.read(&view(&inbound, "/?user_id=q"), &Content::Nothing);
        assert_eq!(claims.into_json().unwrap(), r#"{"user_id":"q"}"#);
    }

    #[test]
    fn copied_names_and_empty_fields_are_no_identity() {
        let rules = rules(&["user_id"], &["custom_*"]);
        for (target, identity) in [
            ("/?custom_a=1", false),
            ("/?user_id=", false),
            ("/?a=1", false),
            ("/?user_id=1", true),
            ("/?a=1;user_id=1", true),
        ] {
            let mut claims = Claims::new(&rules, &[]);
            claims.read(&view(&headers(&[]), target), &Content::Nothing);
            assert_eq!(claims.identity, identity, "{target}");
        }
    }

    #[test]
    fn a_flood_of_claims_is_left_out_whole() {
        let rules = rules(&[], &["custom_*"]);
        let many: Vec<_> = (0..5000).map(|n| format!("custom_{n}=x")).collect();
        let mut claims = Claims::new(&rules, &[]);
        claims.read(&view(&headers(&[]), &format!("/?{}", many.join("&"))), &Content::Nothing);
        assert!(claims.oversized);
        assert_eq!(claims.into_json(), None);
    }
}
