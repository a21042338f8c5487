//! What a token's claims say, once its signature holds: presence, types, who it is, for
//! whom and by whom, and which attributes come with it.
//!
//! - JSON `null` is absence. An empty name or email is absent too; an empty id is no id and
//!   refused (`invalid_claim`), for somebody meant to send one.
//! - Presence is judged before types, types before the id's contents.
//! - Details name claims by the dialect's own words and never repeat a value.

use std::borrow::Cow;

use super::json::{self, Json};
use super::placeholder::is_placeholder;
use super::times::{Times, time};
use super::{
    Attributes, AudienceRule, ClaimRules, ClaimType, FieldProof, JwtRules, Key, Pattern, Piece,
    Pointer, Reason, Rejection, UnsignedRules,
};
use crate::clock::UnixTime;
use crate::identity::Proven;

/// Claims that speak of the token, not of the visitor: never attributes.
const REGISTERED: [&str; 7] = ["iss", "sub", "aud", "exp", "nbf", "iat", "jti"];

/// A token's payload.
pub(super) struct Claims<'a>(Json<'a>);

impl<'a> Claims<'a> {
    /// Reads a payload.
    ///
    /// # Errors
    /// `malformed` for anything but one strict JSON object.
    pub fn parse(payload: &'a [u8]) -> Result<Self, Rejection> {
        match json::parse(payload) {
            Ok(object @ Json::Object(_)) => Ok(Self(object)),
            Ok(_) => Err(Rejection::new(Reason::Malformed, "the payload is not a JSON object")),
            Err(fault) => Err(Rejection::new(Reason::Malformed, format!("the payload {fault}"))),
        }
    }

    /// The claim of that name, if there is one.
    #[inline]
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        self.0.get(name).filter(|value| **value != Json::Null)
    }

    fn at(&self, place: &Pointer) -> Option<&Json<'a>> {
        self.0.at(&place.0).filter(|value| **value != Json::Null)
    }
}

impl Pattern {
    /// The claims that it is made of.
    pub fn places(&self) -> impl Iterator<Item = &Pointer> {
        let (claim, pieces) = match self {
            Self::Claim(place) => (Some(place), [].as_slice()),
            Self::Text(pieces) => (None, pieces.as_slice()),
        };
        let pieces = pieces.iter().filter_map(|piece| match piece {
            Piece::Claim(place) => Some(place),
            Piece::Literal(_) => None,
        });
        claim.into_iter().chain(pieces)
    }
}

/// Reads and judges the claims of a payload that `key` signed.
///
/// # Errors
/// The first failing check: claim types and presence, audience and issuer, times, lifetime.
pub(super) fn prove(
    rules: &JwtRules,
    unsigned: &UnsignedRules,
    payload: &[u8],
    key: &Key,
    now: UnixTime,
) -> Result<Proven, Rejection> {
    let claims = &Claims::parse(payload)?;
    check_presence(&rules.claims, claims)?;
    let times = Times::read(rules, claims)?;
    check_types(&rules.claims, claims)?;
    let person = Person::read(&rules.claims, claims)?;
    let attributes = attributes(&rules.claims, unsigned, claims, &person.gave)?;
    check_audience(&rules.claims, claims)?;
    check_issuer(&rules.claims, claims)?;
    let single_use = rules.single_use.then(|| own_id(claims)).transpose()?;
    times.judge(rules, now).map_err(|rejection| rejection.of(person.id.as_deref()))?;
    Ok(Proven {
        id: person.id.map(Cow::into_owned),
        name: person.name.map(Cow::into_owned),
        email: person.email.map(Cow::into_owned),
        attributes,
        key: key.id().clone(),
        print: key.print(),
        single_use,
        expires: times.expires.map(UnixTime::from_secs),
        issued_at: times.issued_at.map(UnixTime::from_secs),
        fields: signed_fields(unsigned, claims),
    })
}

/// The credential's own id (RFC 7519 §4.1.7), for a dialect that lets it be used only once.
fn own_id(claims: &Claims<'_>) -> Result<String, Rejection> {
    let id = claims.get("jti").ok_or_else(|| missing("jti"))?;
    match id.as_str() {
        Some("") => Err(invalid("`jti` is empty")),
        Some(id) => Ok(id.to_owned()),
        None => Err(wrong_kind("jti", id, "a string")),
    }
}

fn check_presence(rules: &ClaimRules, claims: &Claims<'_>) -> Result<(), Rejection> {
    let absent = |place: &&Pointer| claims.at(place).is_none();
    if let Some(place) = rules.required.iter().map(|(place, _)| place).find(absent) {
        return Err(missing(&name_of(place)));
    }
    let mut places = rules.id.iter().flat_map(Pattern::places);
    if rules.id_optional || places.any(|place| !absent(&place)) {
        return Ok(());
    }
    Err(missing_id(rules))
}

fn check_types(rules: &ClaimRules, claims: &Claims<'_>) -> Result<(), Rejection> {
    for (place, wanted) in rules.required.iter().chain(&rules.optional) {
        if let Some(value) = claims.at(place) {
            check_type(place, value, wanted)?;
        }
    }
    if rules.audience == AudienceRule::Aud {
        match claims.get("aud") {
            None | Some(Json::String(_)) => {}
            Some(Json::Array(all)) if all.iter().all(|one| one.as_str().is_some()) => {}
            Some(other) => return Err(wrong_kind("aud", other, "a string or an array of strings")),
        }
    }
    let sub = (rules.audience == AudienceRule::Sub).then_some("sub");
    let iss = rules.issuer.as_ref().map(|_| "iss");
    for name in sub.into_iter().chain(iss) {
        if let Some(value) = claims.get(name).filter(|value| value.as_str().is_none()) {
            return Err(wrong_kind(name, value, "a string"));
        }
    }
    Ok(())
}

fn check_type(place: &Pointer, value: &Json<'_>, wanted: &ClaimType) -> Result<(), Rejection> {
    let (fits, wanted) = match (wanted, value) {
        (ClaimType::Time, _) => return time(&name_of(place), value).map(|_| ()),
        (ClaimType::String, Json::String(text)) if text.is_empty() => {
            return Err(invalid(format!("`{}` is empty", name_of(place))));
        }
        (ClaimType::Strings, Json::Object(members)) => {
            if members.iter().any(|(key, _)| key.is_empty()) {
                return Err(invalid(format!("`{}` has a key without a name", name_of(place))));
            }
            if members.iter().any(|(_, member)| member.as_str().is_none()) {
                let name = name_of(place);
                return Err(invalid(format!("`{name}` has a value that is not a string")));
            }
            (true, "")
        }
        (ClaimType::Exactly(text), Json::String(found)) if found != text => {
            return Err(invalid(format!("`{}` is not `{text}`", name_of(place))));
        }
        (ClaimType::String | ClaimType::Exactly(_), _) => (value.as_str().is_some(), "a string"),
        (ClaimType::Strings, _) => (false, "an object of strings"),
        (ClaimType::Object, _) => (matches!(value, Json::Object(_)), "an object"),
        (ClaimType::Boolean, _) => (matches!(value, Json::Bool(_)), "true or false"),
        (ClaimType::Any, _) => (true, ""),
    };
    if fits { Ok(()) } else { Err(wrong_kind(&name_of(place), value, wanted)) }
}

/// Who the token says it is.
struct Person<'c, 'a> {
    id: Option<Cow<'c, str>>,
    name: Option<Cow<'c, str>>,
    email: Option<Cow<'c, str>>,
    /// The claims that said so and are therefore no attributes.
    gave: Vec<&'c Json<'a>>,
}

impl<'c, 'a> Person<'c, 'a> {
    fn read(rules: &'c ClaimRules, claims: &'c Claims<'a>) -> Result<Self, Rejection> {
        let mut gave = Vec::with_capacity(4);
        let mut first = |patterns: &'c [Pattern], empty_counts| {
            for pattern in patterns {
                let before = gave.len();
                match text(pattern, &rules.keep, claims, &mut gave)? {
                    Some(text) if empty_counts || !text.is_empty() => return Ok(Some(text)),
                    _ => gave.truncate(before),
                }
            }
            Ok::<_, Rejection>(None)
        };
        let id = first(&rules.id, true)?;
        let name = first(&rules.name, false)?;
        let email = first(&rules.email, false)?;
        match &id {
            Some(id) => check_id(id)?,
            None if rules.id_optional => {}
            None => return Err(missing_id(rules)),
        }
        check_text("name", name.as_deref())?;
        check_text("email", email.as_deref())?;
        Ok(Self { id, name, email, gave })
    }
}

/// A pattern's text, if it is there, noting the claims that it is made of.
fn text<'c, 'a>(
    pattern: &'c Pattern,
    keep: &[String],
    claims: &'c Claims<'a>,
    gave: &mut Vec<&'c Json<'a>>,
) -> Result<Option<Cow<'c, str>>, Rejection> {
    let mut part = |place: &Pointer| {
        let Some(value) = claims.at(place) else { return Ok(None) };
        if !place.0.first().is_some_and(|name| keep.contains(name)) {
            gave.push(value);
        }
        let text = value.as_str();
        text.map(Some).ok_or_else(|| wrong_kind(&name_of(place), value, "a string"))
    };
    match pattern {
        Pattern::Claim(place) => Ok(part(place)?.map(Cow::Borrowed)),
        Pattern::Text(pieces) => {
            let mut whole = String::new();
            let mut any = false;
            for piece in pieces {
                match piece {
                    Piece::Literal(literal) => whole.push_str(literal),
                    Piece::Claim(place) => {
                        let text = part(place)?.unwrap_or_default();
                        any |= !text.is_empty();
                        whole.push_str(text);
                    }
                }
            }
            let whole = whole.trim();
            Ok((any && !whole.is_empty()).then(|| Cow::Owned(whole.to_owned())))
        }
    }
}

/// The rules for ids, whatever the dialect: 1–256 bytes, no control characters, and not
/// an unfilled template.
pub(super) fn check_id(id: &str) -> Result<(), Rejection> {
    if id.is_empty() || id.len() > 256 {
        return Err(invalid("the id must have 1 to 256 bytes"));
    }
    if has_control(id) {
        return Err(invalid("the id holds a control character"));
    }
    if is_placeholder(id) {
        return Err(Rejection::new(
            Reason::PlaceholderIdentity,
            "the id is an unfilled template or a printed nothing; the website must put the \
             visitor's own id there",
        ));
    }
    Ok(())
}

/// Whether [`check_id`] lets it be one.
pub fn is_id(text: &str) -> bool {
    check_id(text).is_ok()
}

/// The rules for names and email addresses: at most 1024 bytes. Control characters, which
/// an id may not have, are encoded on the way to the backend.
pub(super) fn check_text(what: &str, text: Option<&str>) -> Result<(), Rejection> {
    match text {
        Some(text) if text.len() > 1024 => {
            Err(invalid(format!("the {what} is longer than 1024 bytes")))
        }
        _ => Ok(()),
    }
}

/// Whether there is a control character, of ASCII or of Latin-1.
fn has_control(text: &str) -> bool {
    let (mut control, mut ascii) = (false, true);
    for byte in text.bytes() {
        control |= byte.is_ascii_control();
        ascii &= byte.is_ascii();
    }
    control || !ascii && text.chars().any(char::is_control)
}

/// `Countersign-Attributes`, unless there are none.
fn attributes(
    rules: &ClaimRules,
    unsigned: &UnsignedRules,
    claims: &Claims<'_>,
    gave: &[&Json<'_>],
) -> Result<Option<String>, Rejection> {
    let (source, rest) = match &rules.attributes {
        Attributes::None => return Ok(None),
        Attributes::Rest => (Some(&claims.0), true),
        Attributes::At(place) => (claims.at(place), false),
    };
    let members = match (source, &rules.attributes) {
        (Some(Json::Object(members)), _) => members,
        (Some(other), Attributes::At(place)) => {
            return Err(wrong_kind(&name_of(place), other, "an object"));
        }
        _ => return Ok(None),
    };
    let gave = if rest { gave } else { &[] };
    let kept = members.iter().filter(|(name, value)| {
        let about_token = *value == Json::Null || REGISTERED.contains(&&**name);
        let given = || gave.iter().any(|given| std::ptr::eq(*given, value));
        !(rest && (about_token || given()))
    });
    let prefix = unsigned.prefix.as_deref().filter(|prefix| !prefix.is_empty());
    if let Some(prefix) = prefix
        && kept.clone().any(|(name, _)| name.starts_with(prefix))
    {
        return Err(invalid(format!(
            "a signed attribute begins with `{prefix}`, which marks unsigned ones"
        )));
    }
    let mut written = String::with_capacity(256);
    json::write_members(kept.map(|(name, value)| (&**name, value)), gave, &mut written);
    Ok((written != "{}").then_some(written))
}

fn check_audience(rules: &ClaimRules, claims: &Claims<'_>) -> Result<(), Rejection> {
    let name = match rules.audience {
        AudienceRule::None => return Ok(()),
        AudienceRule::Aud => "aud",
        AudienceRule::Sub => "sub",
    };
    let ours = |value: &Json<'_>| {
        value.as_str().is_some_and(|value| rules.audiences.iter().any(|ours| ours == value))
    };
    let meant = match claims.get(name) {
        None if rules.audience == AudienceRule::Aud && rules.audiences.is_empty() => true,
        None => return Err(missing(name)),
        Some(Json::Array(all)) => all.iter().any(ours),
        Some(one) => ours(one),
    };
    if meant {
        return Ok(());
    }
    let detail = if rules.audiences.is_empty() {
        format!("the token has `{name}`, and this site has no `audience` to compare it with")
    } else {
        format!("`{name}` does not name this site's audience")
    };
    Err(Rejection::new(Reason::WrongAudience, detail))
}

fn check_issuer(rules: &ClaimRules, claims: &Claims<'_>) -> Result<(), Rejection> {
    let Some(wanted) = &rules.issuer else { return Ok(()) };
    match claims.get("iss") {
        None => Err(missing("iss")),
        Some(issuer) if issuer.as_str() == Some(wanted) => Ok(()),
        Some(_) => Err(Rejection::new(
            Reason::WrongIssuer,
            "`iss` is not the issuer that this site trusts",
        )),
    }
}

/// The signed values of request fields: strings, and numbers by their literal digits.
fn signed_fields(unsigned: &UnsignedRules, claims: &Claims<'_>) -> Vec<(usize, String)> {
    let signed = |proof: &Option<FieldProof>| match proof {
        Some(FieldProof::Claim(place)) => match claims.at(place)? {
            Json::String(text) => Some(text.clone().into_owned()),
            Json::Number(literal) => Some((*literal).to_owned()),
            _ => None,
        },
        _ => None,
    };
    let fields = unsigned.fields.iter().enumerate();
    fields.filter_map(|(index, field)| Some((index, signed(&field.proof)?))).collect()
}

/// A claim's name as its website's developer knows it.
fn name_of(place: &Pointer) -> String {
    match place.0.as_slice() {
        [name] => name.clone(),
        segments => segments.iter().flat_map(|segment| ["/", segment]).collect(),
    }
}

fn missing_id(rules: &ClaimRules) -> Rejection {
    let place = rules.id.iter().flat_map(Pattern::places).next();
    missing(&place.map_or_else(|| "id".to_owned(), name_of))
}

/// `missing_claim`, naming the claim.
pub(super) fn missing(name: &str) -> Rejection {
    Rejection::new(Reason::MissingClaim, format!("`{name}` is missing"))
}

fn wrong_kind(name: &str, value: &Json<'_>, wanted: &str) -> Rejection {
    invalid(format!("`{name}` is {}; {wanted} is needed", value.kind()))
}

fn invalid(detail: impl Into<Cow<'static, str>>) -> Rejection {
    Rejection::new(Reason::InvalidClaim, detail)
}
