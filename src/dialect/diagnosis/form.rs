//! A credential without its dialect's form: what was pasted or sent around it, what became
//! of it on its way, or what it is instead.
//!
//! [`mend`] takes away what does not belong; what is left is diagnosed anew.

use base64::prelude::Engine as _;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::Hint;
use super::token::{Token, URL, shown};
use crate::dialect::json::{self, Fault};
use crate::dialect::placeholder::is_placeholder;

/// The credential within what was presented, and what lay around it.
pub(super) fn mend(proof: &str) -> (String, Vec<Hint>) {
    let mut text = proof.to_owned();
    let mut hints: Vec<Hint> = Vec::new();
    let mends = [white_space, quotes, object, scheme, address, parameter, percent, line_breaks];
    // Each may uncover another; more layers than this nobody wraps.
    for _ in 0..6 {
        let Some((cause, sentence, inner)) = mends.iter().find_map(|mend| mend(&text)) else {
            break;
        };
        text = inner;
        if hints.iter().all(|hint| hint.cause != cause) {
            hints.push(Hint::new(cause, sentence));
        }
    }
    (text, hints)
}

type Mended = Option<(&'static str, &'static str, String)>;

fn white_space(text: &str) -> Mended {
    let unseen = |c: char| c.is_whitespace() || matches!(c, '\u{200b}' | '\u{feff}' | '\0');
    let inner = text.trim_matches(unseen);
    let sentence = "there is white space around the credential: send it without";
    (inner != text).then(|| ("whitespace", sentence, inner.to_owned()))
}

fn quotes(text: &str) -> Mended {
    let pairs = [('"', '"'), ('\'', '\''), ('`', '`'), ('<', '>'), ('\u{201c}', '\u{201d}')];
    let inner =
        pairs.iter().find_map(|(open, close)| text.strip_prefix(*open)?.strip_suffix(*close))?;
    let sentence = "the credential is sent in quotation marks: send it without (text, not JSON)";
    (!inner.is_empty()).then(|| ("quotes", sentence, inner.to_owned()))
}

/// `{"token": "…"}`, as an endpoint answers it.
fn object(text: &str) -> Mended {
    let Ok(Value::Object(members)) = serde_json::from_str(text) else { return None };
    let texts = members.values().filter_map(Value::as_str);
    let inner = texts.max_by_key(|text| text.len())?.to_owned();
    let sentence = "a whole JSON object is sent as the credential: send the token within alone";
    Some(("json_pasted", sentence, inner))
}

fn scheme(text: &str) -> Mended {
    let header = |text: &str| {
        let (name, rest) = text.split_once(':')?;
        name.eq_ignore_ascii_case("authorization").then(|| rest.trim_start().to_owned())
    };
    let text = &header(text).unwrap_or_else(|| text.to_owned());
    let (scheme, rest) = text.split_once(' ')?;
    let known = ["bearer", "jwt", "token"].iter().any(|s| scheme.eq_ignore_ascii_case(s));
    let sentence = "the scheme belongs to the header and not to the credential: leave `Bearer` out \
                    here, and let the website send it once";
    known.then(|| ("bearer_prefix", sentence, rest.trim().to_owned()))
}

/// A whole address with the credential in its query.
fn address(text: &str) -> Mended {
    let (_, query) = text.split_once("://")?.1.split_once('?')?;
    let values = query.split(['&', '#']).filter_map(|pair| Some(pair.split_once('=')?.1));
    let inner = values.max_by_key(|value| value.len())?.to_owned();
    let sentence = "a whole address is given: the credential is the parameter's value alone";
    Some(("url_pasted", sentence, inner))
}

fn parameter(text: &str) -> Mended {
    let (name, inner) = text.split_once('=')?;
    let named = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-".contains(&byte));
    let sentence = "a name stands before the credential: its value alone is to be sent";
    (named && (1..=32).contains(&name.len()) && inner.len() > 16)
        .then(|| ("parameter", sentence, inner.to_owned()))
}

fn percent(text: &str) -> Mended {
    let inner = percent_decode_str(text).decode_utf8().ok()?;
    let sentence = "the credential is percent-encoded, perhaps twice: encode it once, where it \
                    goes into an address";
    (*inner != *text && !is_placeholder(text))
        .then(|| ("url_encoded", sentence, inner.into_owned()))
}

fn line_breaks(text: &str) -> Mended {
    let inner: String = text.split(['\n', '\r', '\t']).collect();
    let sentence = "there are line breaks within the credential: the website's base64 function \
                    wraps its lines";
    (inner != text).then_some(("line_breaks", sentence, inner))
}

/// A token in padded or standard base64, rewritten as tokens are.
pub(super) fn as_base64url(proof: &str) -> Option<(String, Hint)> {
    let padded = proof.contains('=');
    let standard = proof.contains(['+', '/']);
    let hint = match (padded, standard) {
        (_, true) => Hint::new(
            "standard_base64",
            "the token's parts are in standard base64: tokens need base64url (`-` and `_` in \
             place of `+` and `/`, no `=`), before they are signed",
        ),
        (true, false) => Hint::new(
            "padded_base64",
            "the token's parts are padded with `=`: leave the padding out before signing",
        ),
        (false, false) => return None,
    };
    Some((proof.replace('=', "").replace('+', "-").replace('/', "_"), hint))
}

/// What a text is that has not the form of a token.
pub(super) fn instead_of_token(proof: &str, token: &Token<'_>, required: &[String]) -> Hint {
    let hexadecimal = proof.len() >= 32 && proof.bytes().all(|byte| byte.is_ascii_hexdigit());
    match token.parts.as_slice() {
        _ if is_placeholder(proof) => placeholder(),
        [_] if hexadecimal => Hint::new(
            "hash_for_token",
            "this is a hash, and the site's dialect wants a token: sign a token, or give the site \
             a hash dialect",
        ),
        [_] => Hint::new(
            "not_a_token",
            "this is no token: three parts with two dots between them are needed; perhaps a \
             session key, an API key or the secret itself is sent",
        ),
        [_, _, ""] | [_, _] if token.header.is_some() => Hint::new(
            "unsigned_token",
            "the third part is missing: the token is not signed at all, or was cut off",
        ),
        [_, _, _, _, _] => Hint::new(
            "jwe",
            "this is an encrypted token (JWE, five parts): Countersign reads signed ones (JWS), so \
             sign and do not encrypt",
        ),
        [_, _, _] => damaged(token, required),
        _ => {
            Hint::new("not_a_token", "a token has exactly three parts, with two dots between them")
        }
    }
}

/// Three parts, and yet no token.
fn damaged(token: &Token<'_>, required: &[String]) -> Hint {
    let readable = |part: Option<&&str>| part.and_then(|part| URL.decode(part).ok());
    let header = readable(token.parts.first());
    if let Some(plain) = token.parts.first().filter(|part| part.trim_start().starts_with('{')) {
        let text = format!("`{}` is JSON as it stands: encode it as base64url", shown(plain));
        return Hint::new("not_encoded", text);
    }
    if header.is_some_and(|header| header.starts_with(b"eyJ")) {
        return Hint::new("encoded_twice", "the token's parts are base64 twice: encode them once");
    }
    let decoded = token.parts.iter().take(2).filter_map(|part| URL.decode(part).ok());
    if decoded.into_iter().any(|json| json::parse(&json) == Err(Fault::Duplicate)) {
        return Hint::new(
            "duplicate_member",
            "a name stands twice in the same JSON object: two readers could read two things",
        );
    }
    let Some(header) = &token.header else {
        return Hint::new(
            "damaged",
            "the first part is not a JSON object in base64url: something changed the token on its \
             way, or this is none",
        );
    };
    if header.get("typ").and_then(Value::as_str).is_some_and(|t| t.starts_with("countersign")) {
        return Hint::new(
            "assertion",
            "this is Countersign's own assertion to the backend; it is never a credential",
        );
    }
    for (member, why) in FORBIDDEN {
        if header.get(member).is_some() {
            let text = format!("the header has `{member}`, {why}: leave it out");
            return Hint::new("header_forbidden", text);
        }
    }
    if let Some(typ) = header.get("typ").filter(|typ| !is_jwt(typ)) {
        let text =
            format!("the header says `typ: {}`; `JWT` is due", super::token::shown_value(typ));
        return Hint::new("header_typ", text);
    }
    if let Some(name) =
        ["alg", "kid"].into_iter().find(|n| header.get(n).is_some_and(|v| !v.is_string()))
    {
        let text = format!("the header's `{name}` must be a string in quotation marks");
        return Hint::new("header_type", text);
    }
    let required = required.iter().map(String::as_str).filter(|name| *name != "kid");
    for name in std::iter::once("alg").chain(required) {
        if header.get(name).is_none_or(Value::is_null) {
            let text = format!("the header has no `{name}`: add it, for this dialect needs it");
            return Hint::new("header_incomplete", text);
        }
    }
    Hint::new(
        "damaged",
        "the token was changed or cut off on its way: compare its length where it is signed and \
         where it arrives",
    )
}

fn is_jwt(typ: &Value) -> bool {
    typ.is_null() || typ.as_str().is_some_and(|typ| typ.eq_ignore_ascii_case("JWT"))
}

const FORBIDDEN: [(&str, &str); 8] = [
    ("enc", "as encrypted tokens have"),
    ("zip", "so its payload is compressed"),
    ("crit", "which asks for an extension"),
    ("b64", "which changes what is signed"),
    ("jwk", "a key that it brings along, which proves nothing"),
    ("jku", "the address of a key, which proves nothing"),
    ("x5u", "the address of a certificate, which proves nothing"),
    ("x5c", "a certificate that it brings along, which proves nothing"),
];

/// What a text is that has not the form of a hash.
pub(super) fn instead_of_hash(proof: &str, wanted: usize) -> Hint {
    let token = Token::read(proof);
    if is_placeholder(proof) {
        return placeholder();
    }
    if token.parts.len() == 3 && token.header.is_some() {
        return Hint::new(
            "token_for_hash",
            "this is a token, and the site's dialect wants a hash: send the hash, or give the site \
             a dialect for tokens",
        );
    }
    Hint::new(
        "not_a_hash",
        format!(
            "this is no hash: exactly {wanted} characters are due; {} came",
            proof.chars().count()
        ),
    )
}

fn placeholder() -> Hint {
    Hint::new(
        "placeholder_credential",
        "a template was not filled in: the website must put the credential where the sample shows \
         a placeholder",
    )
}
