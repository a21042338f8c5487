//! What leaves a JSON body: members that claim identity without proof, and the spent
//! credential. Every other byte stays.
//!
//! - A member counts wherever a pointer of the dialect leads to it, through lists too; its
//!   name is compared as a parameter's is (`{"contact": {"email": …}}` is
//!   `contact[email]`). `null` claims nothing and stays.
//! - A number is proven by its literal digits, if it is an integer.
//! - An object under a field with a prefix stays, its keys marked with that prefix: two
//!   that become one are refused.

use std::borrow::Cow;
use std::ops::Range;

use super::claimed::Claims;
use super::naming::Reach;
use super::spent::AllSpent;
use super::{Fault, Refusal};
use crate::dialect::Pointer;
use crate::dialect::json::{self, Json, Member};

/// A JSON text that has been accepted, without what is cut. `None`: nothing changes.
///
/// # Errors
/// [`Fault::BadRequest`] where two keys become one.
pub(super) fn edited(
    text: &str,
    claims: Option<&mut Claims<'_>>,
    spent: Option<&AllSpent<'_>>,
) -> Result<Option<String>, Refusal> {
    let depth = claims.as_ref().map_or(0, |claims| claims.depth());
    let depth = depth.max(spent.map_or(0, AllSpent::depth));
    let mut editor = Editor { text, claims, spent, depth, edits: Vec::new() };
    let start = text.len() - text.trim_start().len();
    if text.get(start..).is_some_and(|text| text.starts_with('{')) {
        editor.object(start, &Path::default())?;
    }
    Ok(editor.finish())
}

/// Whether somebody who takes this JSON for a form would find a field in it.
pub(super) fn reads_as_form(text: &str, is_one: impl Fn(&str) -> bool) -> bool {
    let parameters = text.split(['&', ';', '\n']).skip(1).map(super::query::Parameter::read);
    parameters.into_iter().any(|parameter| is_one(&parameter.name()))
}

/// The same JSON with nothing in it that parts parameters. `&` and `;` stand only in
/// strings, where an escape means the same.
pub(super) fn without_separators(text: &str) -> String {
    text.replace('&', "\\u0026").replace(';', "\\u003b")
}

/// Where a member lies.
#[derive(Clone, Default)]
struct Path<'a> {
    /// As a parameter's name: `contact[email]`.
    name: String,
    /// As a pointer's segments; none within a list.
    segments: Option<Vec<Cow<'a, str>>>,
    depth: usize,
    /// It has been shown already, with all beneath.
    copied: bool,
}

impl<'a> Path<'a> {
    fn beneath(&self, member: &Member<'a>) -> Self {
        let mut path = self.clone();
        match &member.name {
            None => path.segments = Some(Vec::new()).filter(|_| false),
            Some(name) => {
                path.name = match path.depth {
                    0 => name.to_string(),
                    _ => format!("{}[{name}]", path.name),
                };
                path.segments = match (path.segments, path.depth) {
                    (None, 0) => Some(vec![name.clone()]),
                    (segments, _) => segments.map(|mut segments| {
                        segments.push(name.clone());
                        segments
                    }),
                };
                path.depth += 1;
            }
        }
        path
    }

    fn is(&self, pointer: &Pointer) -> bool {
        self.segments.as_ref().is_some_and(|own| own.iter().eq(&pointer.0))
    }
}

struct Editor<'t, 'c, 'r, 's> {
    text: &'t str,
    claims: Option<&'c mut Claims<'r>>,
    spent: Option<&'s AllSpent<'s>>,
    /// Deeper members are nobody's business.
    depth: usize,
    /// What stands instead of what, in the order of the text.
    edits: Vec<(Range<usize>, String)>,
}

impl<'t> Editor<'t, '_, '_, '_> {
    fn object(&mut self, start: usize, path: &Path<'t>) -> Result<(), Refusal> {
        let members = json::members(self.text, start);
        let mut kept = vec![true; members.len()];
        for (member, keeps) in members.iter().zip(&mut kept) {
            *keeps = self.member(member, path)?;
        }
        for cut in json::cuts(&members, |index| kept.get(index).copied().unwrap_or(true)) {
            self.edits.push((cut, String::new()));
        }
        Ok(())
    }

    /// Judges one member, and says whether it stays.
    fn member(&mut self, member: &Member<'t>, above: &Path<'t>) -> Result<bool, Refusal> {
        let mut path = above.beneath(member);
        let is_spent = self.spent.is_some_and(|spent| {
            spent.is_member(|pointer| path.is(pointer), &text_of(&member.value))
        });
        if is_spent {
            return Ok(false);
        }
        let covering = self.claims.as_ref().and_then(|claims| claims.covering(&path.name));
        let (Some(claims), Some(covering)) = (self.claims.as_deref_mut(), covering) else {
            if let Some(claims) = self.claims.as_deref_mut()
                && !path.copied
            {
                path.copied = claims.copies(&path.name, &member.value);
            }
            if path.depth < self.depth {
                self.object(member.value_start, &path)?;
            }
            return Ok(true);
        };
        let prefix = claims.field(covering.index).and_then(|field| field.prefix.as_deref());
        if let (Some(prefix), Json::Object(_), true) =
            (prefix, &member.value, covering.reach != Reach::Beneath)
        {
            self.mark(member.value_start, prefix)?;
            return Ok(true);
        }
        let proven = match &member.value {
            Json::Null => return Ok(true),
            Json::String(text) => claims.proves(covering.index, text),
            Json::Number(digits) => is_integer(digits) && claims.proves(covering.index, digits),
            _ => false,
        };
        if proven && covering.reach == Reach::Exact {
            return Ok(true);
        }
        claims.claim_json(covering, &path.name, &member.value);
        Ok(false)
    }

    /// Marks an object's keys with the prefix of what nobody signed.
    fn mark(&mut self, start: usize, prefix: &str) -> Result<(), Refusal> {
        let members = json::members(self.text, start);
        let marked = |name: &str| match name.starts_with(prefix) {
            true => name.to_owned(),
            false => format!("{prefix}{name}"),
        };
        let mut names: Vec<String> =
            members.iter().filter_map(|member| member.name.as_deref().map(marked)).collect();
        let mut quoted = String::new();
        json::write_string(prefix, &mut quoted);
        for (member, name) in members.iter().zip(&names) {
            if member.name.as_deref() != Some(name) {
                let quote = member.place.start..member.place.start + 1;
                self.edits.push((quote, quoted.trim_end_matches('"').to_owned()));
            }
            if let Some(claims) = self.claims.as_deref_mut() {
                claims.enter_json(name, &member.value);
            }
        }
        names.sort_unstable();
        if names.windows(2).any(|pair| matches!(pair, [one, other] if one == other)) {
            let detail = format!("with the prefix {prefix} two attributes would have one name");
            return Err(Refusal::fault(Fault::BadRequest, detail));
        }
        Ok(())
    }

    fn finish(mut self) -> Option<String> {
        if self.edits.is_empty() {
            return None;
        }
        self.edits.sort_by_key(|(place, _)| place.start);
        Some(replaced(self.text, self.edits))
    }
}

/// A text with something else in these places, which are in its order and none over another.
pub(super) fn replaced<I: AsRef<str>>(
    text: &str,
    edits: impl IntoIterator<Item = (Range<usize>, I)>,
) -> String {
    let mut left = String::with_capacity(text.len() + 64);
    let mut at = 0;
    for (place, instead) in edits {
        left.push_str(text.get(at..place.start).unwrap_or_default());
        left.push_str(instead.as_ref());
        at = place.end;
    }
    left.push_str(text.get(at..).unwrap_or_default());
    left
}

/// What a value counts as where a credential is looked for.
pub(super) fn text_of<'j>(value: &'j Json<'_>) -> Cow<'j, str> {
    match value {
        Json::Null => Cow::Borrowed(""),
        Json::String(text) => Cow::Borrowed(text),
        Json::Number(literal) => Cow::Borrowed(literal),
        other => {
            let mut written = String::new();
            other.write_without(&[], &mut written);
            Cow::Owned(written)
        }
    }
}

/// Whether a number's literal says the same to every reader.
pub(super) fn is_integer(literal: &str) -> bool {
    literal.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::fields::Fields;
    use crate::gate::testing::unsigned;

    fn rules() -> Fields {
        let names = ["user_id", "name", "uuid", "identity", "/contact/email", "Attributes"];
        let mut rules = unsigned(&names, &["custom_*", "/visitor/fields"]);
        rules.fields[5].prefix = Some("HostedWidget-".into());
        Fields::of(&rules)
    }

    /// What is left, what is claimed, and whether that is identity; `user_id` is proven to
    /// be `7`.
    fn cleaned(text: &str) -> (String, String, bool) {
        let (rules, proven) = (rules(), [(0, "7".to_string())]);
        let mut claims = Claims::new(&rules, &proven);
        let left = edited(text, Some(&mut claims), None).unwrap();
        let identity = claims.identity;
        (left.unwrap_or(text.into()), claims.into_json().unwrap_or_default(), identity)
    }

    #[test]
    fn unproven_members_leave_and_the_rest_stays_byte_for_byte() {
        for (text, left, claimed, identity) in [
            ("{}", "{}", "", false),
            (r#"{ "a" : 1.0 , "b":"\u0041" }"#, r#"{ "a" : 1.0 , "b":"\u0041" }"#, "", false),
            (r#"{"user_id":"8","a":[ ]}"#, r#"{"a":[ ]}"#, r#"{"user_id":"8"}"#, true),
            (r#"{"user_id":"7","name":"Ada"}"#, r#"{"user_id":"7"}"#, r#"{"name":"Ada"}"#, true),
            (r#"{"user_id":7}"#, r#"{"user_id":7}"#, "", false),
            (r#"{"user_id":7.0}"#, "{}", r#"{"user_id":7.0}"#, true),
            (r#"{"user_id":null,"name":""}"#, r#"{"user_id":null}"#, "", false),
            (r#"{"\u0075ser_id":"8"}"#, "{}", r#"{"user_id":"8"}"#, true),
            (r#"{"User_Id":"7"}"#, "{}", r#"{"user_id":"7"}"#, true),
            (r#"{"user_id":["7"]}"#, "{}", r#"{"user_id":["7"]}"#, true),
            (
                r#"{"contact":{"email":"x","phone":"1"}}"#,
                r#"{"contact":{"phone":"1"}}"#,
                r#"{"email":"x"}"#,
                true,
            ),
            (
                r#"{"contact":[{"email":"x"},{"b":1}]}"#,
                r#"{"contact":[{},{"b":1}]}"#,
                r#"{"email":"x"}"#,
                true,
            ),
            (r#"{"contact[email]":"x"}"#, "{}", r#"{"email":"x"}"#, true),
            (r#"{"contact.email":"x"}"#, "{}", r#"{"email":"x"}"#, true),
            (
                r#"{"email":"x","a":{"user_id":"8"}}"#,
                r#"{"email":"x","a":{"user_id":"8"}}"#,
                "",
                false,
            ),
            (
                r#"{"identity":{"uuid":"8","extra":{"a":[1]}},"x":1}"#,
                r#"{"x":1}"#,
                r#"{"uuid":"8","extra":{"a":[1]}}"#,
                true,
            ),
            (r#"{"identity":{"a":1}}"#, "{}", r#"{"identity":{"a":1}}"#, true),
            (
                r#"{"custom_a":"é","custom_b":{"c":true}}"#,
                r#"{"custom_a":"é","custom_b":{"c":true}}"#,
                r#"{"custom_a":"\u00e9","custom_b":{"c":true}}"#,
                false,
            ),
            (
                r#"{"visitor":{"fields":[{"key":"plan"},{"custom_x":1}],"a":1}}"#,
                r#"{"visitor":{"fields":[{"key":"plan"},{"custom_x":1}],"a":1}}"#,
                r#"{"fields":[{"key":"plan"},{"custom_x":1}]}"#,
                false,
            ),
            (
                r#"{"visitor":[{"fields":"x"}]}"#,
                r#"{"visitor":[{"fields":"x"}]}"#,
                r#"{"fields":"x"}"#,
                false,
            ),
            (r#"[{"user_id":"8"}]"#, r#"[{"user_id":"8"}]"#, "", false),
            (r#""user_id""#, r#""user_id""#, "", false),
        ] {
            assert_eq!(cleaned(text), (left.into(), claimed.into(), identity), "{text}");
        }
    }

    #[test]
    fn attributes_are_marked_in_place_and_are_no_identity() {
        for (text, left, claimed) in [
            (
                r#"{"Attributes":{ "a" : "1", "HostedWidget-b":"2" },"x":1}"#,
                r#"{"Attributes":{ "HostedWidget-a" : "1", "HostedWidget-b":"2" },"x":1}"#,
                r#"{"HostedWidget-a":"1","HostedWidget-b":"2"}"#,
            ),
            (
                r#"{"attributes":{"\u0061":"1"},"name":"x"}"#,
                r#"{"attributes":{"HostedWidget-\u0061":"1"}}"#,
                r#"{"HostedWidget-a":"1","name":"x"}"#,
            ),
            (r#"{"Attributes":{}}"#, r#"{"Attributes":{}}"#, ""),
            (r#"{"Attributes":"x"}"#, "{}", r#"{"Attributes":"x"}"#),
        ] {
            let (left_over, shown, _) = cleaned(text);
            assert_eq!((left_over.as_str(), shown.as_str()), (left, claimed), "{text}");
        }
        let rules = rules();
        let mut claims = Claims::new(&rules, &[]);
        let two = r#"{"Attributes":{"a":1,"HostedWidget-a":2}}"#;
        assert_eq!(edited(two, Some(&mut claims), None).unwrap_err().code(), "bad_request");
        assert!(!cleaned(r#"{"Attributes":{"a":1}}"#).2);
    }

    #[test]
    fn json_that_is_a_form_besides_loses_its_separators_and_no_meaning() {
        let text = r#"{"m":"x&user_id=8;a=b"}"#;
        assert!(reads_as_form(text, |name| name == "user_id"));
        assert!(reads_as_form(text, |name| name == "a"));
        assert!(!reads_as_form(text, |name| name == "b"));
        let same = without_separators(text);
        assert!(!reads_as_form(&same, |_| true));
        assert_eq!(json::parse(same.as_bytes()), json::parse(text.as_bytes()));
    }
}
