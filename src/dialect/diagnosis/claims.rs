//! Claims that are missing or of another type: what stands in their place?

use serde_json::{Map, Value};

use super::token::{Token, shown, shown_value};
use super::{Hint, times};
use crate::dialect::placeholder::is_placeholder;
use crate::dialect::{AudienceRule, ClaimType, JwtRules, Pointer};

/// What websites call the stable id where the dialect calls it otherwise, in lower case
/// without `_` and `-`, the likeliest first.
const IDS: [&str; 14] = [
    "externalid",
    "userid",
    "uuid",
    "sub",
    "uid",
    "customerid",
    "identifier",
    "id",
    "memberid",
    "accountid",
    "contactid",
    "visitorid",
    "clientid",
    "username",
];

/// The same for other claims.
const OTHERS: [(&str, &[&str]); 5] = [
    ("exp", &["expires", "expiry", "expiration", "expiresat", "expiresin", "expire", "ttl"]),
    ("iat", &["issuedat", "issued", "timestamp", "time", "createdat", "nbf"]),
    ("aud", &["audience"]),
    ("iss", &["issuer"]),
    ("email", &["mail", "emailaddress", "useremail"]),
];

/// What to mend about claims that are missing.
pub(super) fn missing(rules: &JwtRules, token: &Token<'_>) -> Vec<Hint> {
    let Some(Value::Object(payload)) = &token.payload else { return Vec::new() };
    let ids: Vec<&Pointer> = rules.claims.id.iter().flat_map(|id| id.places()).collect();
    let mut places: Vec<&Pointer> = rules.claims.required.iter().map(|(place, _)| place).collect();
    let has = |place: &Pointer| at(payload, place).is_some_and(|value| !value.is_null());
    if !rules.claims.id_optional && !ids.iter().any(|place| has(place)) {
        places.extend(ids.first().filter(|first| !places.contains(first)));
    }
    let by_name = |name: &str| Pointer(vec![name.to_owned()]);
    let limits = [
        rules.max_lifetime.map(|_| "iat"),
        rules.max_lifetime.filter(|_| rules.lifetime_without_exp.is_none()).map(|_| "exp"),
        (rules.claims.audience == AudienceRule::Aud && !rules.claims.audiences.is_empty())
            .then_some("aud"),
        (rules.claims.audience == AudienceRule::Sub).then_some("sub"),
        rules.claims.issuer.as_ref().map(|_| "iss"),
    ];
    let limits: Vec<Pointer> = limits.into_iter().flatten().map(by_name).collect();
    for place in &limits {
        if !places.contains(&place) {
            places.push(place);
        }
    }
    let absent = places.into_iter().filter(|place| !has(place));
    absent.map(|place| instead(place, ids.contains(&place), payload, token)).collect()
}

/// What stands where this claim is due.
fn instead(place: &Pointer, is_id: bool, payload: &Map<String, Value>, token: &Token<'_>) -> Hint {
    let name = title(place);
    if at(payload, place).is_some_and(Value::is_null) {
        let text = format!("`{name}` is null: the website knows no value for this visitor");
        return Hint::new("claim_null", text);
    }
    let last = place.0.last().map(String::as_str).unwrap_or_default();
    if let Some(other) = in_other_case(payload, last) {
        let text = format!("`{}` is written as `{}`: names are case-sensitive", name, shown(other));
        return Hint::new("claim_case", text);
    }
    if token.header.as_ref().is_some_and(|header| header.get(last).is_some()) {
        let text = format!("`{name}` stands in the header: it belongs among the claims");
        return Hint::new("claim_in_header", text);
    }
    let inside = payload.iter().find_map(|(outer, value)| Some((outer, value.get(last)?)));
    if let Some((outer, _)) = inside {
        let text = format!("`{name}` stands within `{}`: it belongs at the top", shown(outer));
        return Hint::new("claim_nested", text);
    }
    let aliases = if is_id {
        IDS.as_slice()
    } else {
        OTHERS.iter().find(|(known, _)| *known == last).map_or(&[][..], |(_, aliases)| aliases)
    };
    let folded = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let alias = aliases.iter().find_map(|alias| {
        payload.keys().find(|other| folded(other) == *alias && other.as_str() != last)
    });
    if let Some(other) = alias {
        let text = format!("the token has `{}` where this dialect wants `{name}`", shown(other));
        return Hint::new("claim_name", text);
    }
    let text = format!(
        "add the claim `{name}`; the token has {}",
        super::token::names(token.payload.as_ref())
    );
    Hint::new("claim_missing", text)
}

/// What to mend about claims of another type than is due.
pub(super) fn invalid(rules: &JwtRules, token: &Token<'_>) -> Vec<Hint> {
    let Some(Value::Object(payload)) = &token.payload else { return Vec::new() };
    let mut hints = times::invalid(token);
    let ids =
        rules.claims.id.iter().flat_map(|id| id.places()).map(|place| (place, &ClaimType::String));
    let typed = rules.claims.required.iter().chain(&rules.claims.optional);
    let mut seen: Vec<&Pointer> = Vec::new();
    for (place, wanted) in typed.map(|(place, wanted)| (place, wanted)).chain(ids) {
        let value = at(payload, place).filter(|value| !value.is_null());
        if let Some(value) = value
            && !seen.contains(&place)
        {
            seen.push(place);
            hints.extend(mistyped(&title(place), value, wanted));
        }
    }
    hints
}

fn mistyped(name: &str, value: &Value, wanted: &ClaimType) -> Option<Hint> {
    match (wanted, value) {
        (ClaimType::String, Value::Number(number)) => Some(Hint::new(
            "number_id",
            format!("`{name}` is the number {number}: write it as a string, \"{number}\""),
        )),
        (ClaimType::String, Value::String(text)) if text.is_empty() => {
            Some(Hint::new("empty_claim", format!("`{name}` is empty: sign no token for guests")))
        }
        (ClaimType::String, Value::String(text)) if text.len() > 256 => {
            Some(Hint::new("claim_long", format!("`{name}` is longer than 256 bytes")))
        }
        (ClaimType::String, Value::String(text)) if text.chars().any(char::is_control) => {
            let text = format!("`{name}` holds a control character, such as a newline");
            Some(Hint::new("claim_control", text))
        }
        (ClaimType::String, Value::Bool(_) | Value::Array(_) | Value::Object(_)) => {
            Some(Hint::new("claim_type", format!("`{name}` must be a string")))
        }
        (ClaimType::Strings, Value::Object(members)) => {
            let (key, value) =
                members.iter().find(|(key, value)| key.is_empty() || !value.is_string())?;
            Some(Hint::new(
                "attribute_type",
                format!(
                    "`{name}` may hold strings alone: `{}` is {}; write it in quotation marks",
                    shown(key),
                    shown_value(value)
                ),
            ))
        }
        (ClaimType::Strings | ClaimType::Object, Value::String(text)) if text.starts_with('{') => {
            let text = format!("`{name}` is JSON written as a string: put the object itself there");
            Some(Hint::new("claim_stringified", text))
        }
        (ClaimType::Strings | ClaimType::Object, value) if !value.is_object() => {
            Some(Hint::new("claim_type", format!("`{name}` must be an object")))
        }
        (ClaimType::Exactly(due), value) if value.as_str() != Some(due) => Some(Hint::new(
            "claim_value",
            format!("`{name}` is {}; exactly \"{due}\" is due", shown_value(value)),
        )),
        (ClaimType::Boolean, Value::String(_)) => Some(Hint::new(
            "claim_type",
            format!("`{name}` must be true or false, without quotation marks"),
        )),
        _ => None,
    }
}

/// Attributes that a verified token carries where nobody reads them.
pub(super) fn unread(rules: &JwtRules, token: &Token<'_>) -> Vec<Hint> {
    let Some(Value::Object(payload)) = &token.payload else { return Vec::new() };
    let wanted = rules.claims.optional.iter().map(|(place, _)| place);
    let mut hints: Vec<Hint> = wanted
        .filter(|place| at(payload, place).is_none())
        .filter_map(|place| {
            let other = in_other_case(payload, place.0.last()?)?;
            let (name, other) = (title(place), shown(other));
            let text =
                format!("`{other}` is not read: this dialect knows `{name}`, exactly so spelt");
            Some(Hint::new("claim_case", text))
        })
        .collect();
    let ids = || rules.claims.id.iter().flat_map(|id| id.places());
    if rules.claims.id_optional && ids().all(|place| at(payload, place).is_none()) {
        hints.push(without_id(ids().next(), payload));
    }
    hints
}

/// A token that proves nobody in particular, and where its id may stand.
fn without_id(place: Option<&Pointer>, payload: &Map<String, Value>) -> Hint {
    let folded = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    let named = |members: &Map<String, Value>, above: &str| {
        let known = IDS.iter().filter(|name| **name != "sub");
        known.into_iter().find_map(|name| {
            let found = members.keys().find(|key| folded(key) == *name)?;
            Some(format!("{above}/{}", shown(found)))
        })
    };
    let inside = || {
        payload
            .iter()
            .find_map(|(name, value)| named(value.as_object()?, &format!("/{}", shown(name))))
    };
    let place = place.map(title).unwrap_or_default();
    let text = match named(payload, "").or_else(inside) {
        Some(found) => format!(
            "the visitor has no id, for the token has no `{place}`: if `{found}` is it, give the \
             site `id_claim: {found}`"
        ),
        None => format!(
            "the visitor has no id, for the token has no `{place}`: bans, logouts and sessions do \
             not apply; `id_claim` says where the id stands"
        ),
    };
    Hint::new("no_id", text)
}

/// An id that nobody filled in.
pub(super) fn placeholder(id: Option<&str>) -> Hint {
    let id = id.filter(|id| is_placeholder(id)).map(|id| format!("`{}`", shown(id)));
    let id = id.unwrap_or_else(|| "the id".to_owned());
    Hint::new(
        "placeholder_id",
        format!(
            "{id} is what a template or a program prints where it has no value: let the website put \
             the visitor's own id there, and sign nothing for guests"
        ),
    )
}

/// The id that a token gives.
pub(super) fn id<'t>(rules: &JwtRules, token: &'t Token<'_>) -> Option<&'t str> {
    let Some(Value::Object(payload)) = &token.payload else { return None };
    rules.claims.id.iter().flat_map(|id| id.places()).find_map(|place| at(payload, place)?.as_str())
}

fn at<'v>(payload: &'v Map<String, Value>, place: &Pointer) -> Option<&'v Value> {
    let (first, rest) = place.0.split_first()?;
    rest.iter().try_fold(payload.get(first)?, |value, segment| value.get(segment))
}

fn in_other_case<'p>(payload: &'p Map<String, Value>, name: &str) -> Option<&'p str> {
    let folded = |name: &str| name.replace(['_', '-'], "").to_lowercase();
    payload.keys().map(String::as_str).find(|other| *other != name && folded(other) == folded(name))
}

fn title(place: &Pointer) -> String {
    match place.0.as_slice() {
        [name] => name.clone(),
        segments => segments.iter().flat_map(|segment| ["/", segment]).collect(),
    }
}
