//! A sound token that is meant for somebody else, or comes from somebody else.

use super::token::{Token, shown, shown_value};
use super::{Case, Hint};
use crate::dialect::{AudienceRule, JwtRules, Mechanism};

/// Whom is it for?
pub(super) fn audience(case: &Case<'_>, rules: &JwtRules, token: &Token<'_>) -> Hint {
    let name = if rules.claims.audience == AudienceRule::Sub { "sub" } else { "aud" };
    let Some(value) = token.claim(name) else {
        return Hint::new("audience", format!("`{name}` is missing"));
    };
    let ours = &rules.claims.audiences;
    let has = |wanted: &String| match value.as_array() {
        Some(all) => all.iter().any(|one| one.as_str() == Some(wanted)),
        None => value.as_str() == Some(wanted),
    };
    let other = case.others.iter().find(|other| match &other.dialect.mechanism {
        Mechanism::Jwt(rules) => rules.claims.audiences.iter().any(has),
        Mechanism::Hmac(_) => false,
    });
    if let Some(other) = other {
        let text = format!("`{name}` names the site `{}`: the token is meant for it", other.name);
        return Hint::new("other_sites_audience", text);
    }
    let said = shown_value(value);
    if ours.is_empty() {
        let text = format!(
            "the token has `{name}` {said}: give the site that `audience`, or leave `{name}` out"
        );
        return Hint::new("audience_not_configured", text);
    }
    let ours: Vec<_> = ours.iter().map(|ours| format!("\"{ours}\"")).collect();
    let wanted = ours.join(" or ");
    let close = value
        .as_str()
        .is_some_and(|said| rules.claims.audiences.iter().any(|ours| alike(said, ours)));
    if close {
        let text = format!("`{name}` is {said}; exactly {wanted} is due");
        return Hint::new("audience_spelling", text);
    }
    if name == "sub" {
        return Hint::new(
            "sub_is_no_user",
            format!(
                "`sub` must be the widget's id {wanted}, not {said}: the visitor's id stands in \
                 another claim (`id_claim`)"
            ),
        );
    }
    Hint::new("audience", format!("`{name}` is {said}; {wanted} is due"))
}

/// From whom is it?
pub(super) fn issuer(case: &Case<'_>, rules: &JwtRules, token: &Token<'_>) -> Hint {
    let said = token.claim("iss").and_then(|iss| iss.as_str()).unwrap_or_default();
    let wanted = rules.claims.issuer.as_deref().unwrap_or_default();
    let other = case.others.iter().find(|other| match &other.dialect.mechanism {
        Mechanism::Jwt(rules) => rules.claims.issuer.as_deref() == Some(said),
        Mechanism::Hmac(_) => false,
    });
    let (said, wanted) = (shown(said), shown(wanted));
    if let Some(other) = other {
        let text = format!("`iss` is \"{said}\", the issuer of the site `{}`", other.name);
        return Hint::new("other_sites_issuer", text);
    }
    let text = format!("`iss` is \"{said}\"; exactly \"{wanted}\" is due");
    let cause = if alike(&said, &wanted) { "issuer_spelling" } else { "issuer" };
    Hint::new(cause, text)
}

/// Equal but for case, white space, a final slash, or http and https.
fn alike(one: &str, other: &str) -> bool {
    let folded = |text: &str| {
        let text = text.trim().trim_end_matches('/').to_lowercase();
        text.strip_prefix("http://").map(|rest| format!("https://{rest}")).unwrap_or(text)
    };
    folded(one) == folded(other)
}
