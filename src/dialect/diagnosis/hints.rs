//! Which mistakes are looked for, by the word of the refusal.

use super::afterwards::and_then;
use super::hashes::{self, Hashed};
use super::signature::Signature;
use super::token::Token;
use super::{Case, Hint, Presented, claims, form, purpose, times};
use crate::dialect::keyring::KeyState;
use crate::dialect::{HmacRules, JwtRules, Mechanism, Reason, Rejection, digest};

/// What to mend after a refusal.
pub(super) fn about(
    case: &Case<'_>,
    presented: &Presented<'_>,
    proof: &str,
    token: &Token<'_>,
    rejection: &Rejection,
) -> Vec<Hint> {
    let by_request = about_request(case, rejection);
    if !by_request.is_empty() {
        return by_request;
    }
    if let Some(other) = case.others.iter().find(|other| other_takes(case, other, presented)) {
        return vec![Hint::new(
            "wrong_site",
            format!(
                "the site `{0}` verifies this credential as it is: it was made for `{0}`, and not \
                 for `{1}`",
                other.name, case.site.name
            ),
        )];
    }
    match &case.site.dialect.mechanism {
        Mechanism::Jwt(rules) => about_token(case, rules, proof, token, rejection),
        Mechanism::Hmac(rules) => about_hash(case, rules, presented, proof, rejection),
    }
}

/// What concerns the request, or the site's keys, whatever the dialect.
fn about_request(case: &Case<'_>, rejection: &Rejection) -> Vec<Hint> {
    let hint = match rejection.reason {
        Reason::Missing | Reason::Unsigned => Hint::new(
            "nothing_presented",
            format!(
                "the website must send the credential where `{}` looks for it (`countersign \
                 dialects {}` shows its sources)",
                case.site.dialect.name, case.site.dialect.name
            ),
        ),
        Reason::Ambiguous => Hint::new(
            "two_credentials",
            "send one credential: an old one may be left over in a cookie or in the page's address",
        ),
        Reason::KeyExpired => outside_window(case, rejection),
        _ => return Vec::new(),
    };
    vec![hint]
}

fn outside_window(case: &Case<'_>, rejection: &Rejection) -> Hint {
    let id = rejection.key.as_deref().unwrap_or("?");
    let key = case.site.keyring.get(id);
    let now = case.now.as_secs();
    let others = case.site.keyring.keys().iter();
    let others = others.filter(|key| key.state(case.now) == KeyState::Active);
    let others: Vec<_> = others.map(|key| format!("`{}`", key.id())).collect();
    let instead = if others.is_empty() {
        "no key of this site is in force".to_owned()
    } else {
        format!("sign with {}", others.join(" or "))
    };
    match key.map(|key| (key.state(case.now), key.not_before(), key.not_after())) {
        Some((KeyState::Scheduled, Some(start), _)) => Hint::new(
            "key_not_yet",
            format!(
                "key `{id}` is the right one, but comes into force in {} s (`not_before`): {instead} \
                 until then",
                start.as_secs().saturating_sub(now)
            ),
        ),
        Some((_, _, Some(end))) => Hint::new(
            "key_lapsed",
            format!(
                "the website still signs with key `{id}`, which lapsed here {} s ago \
                 (`not_after`): {instead}",
                now.saturating_sub(end.as_secs())
            ),
        ),
        _ => Hint::new("key_lapsed", format!("key `{id}` is not in force: {instead}")),
    }
}

/// Whether another site would let it in as it is.
fn other_takes(case: &Case<'_>, other: &super::Party<'_>, presented: &Presented<'_>) -> bool {
    let there = Case { site: *other, others: &[], ..*case };
    let credential = super::checks::credential(&there, presented);
    other.dialect.verify(&credential, other.keyring, case.now).is_ok()
}

fn about_token(
    case: &Case<'_>,
    rules: &JwtRules,
    proof: &str,
    token: &Token<'_>,
    rejection: &Rejection,
) -> Vec<Hint> {
    match rejection.reason {
        Reason::TooLarge => vec![Hint::new(
            "too_large",
            format!(
                "the token has {} bytes: leave out claims that the chat does not need (pictures, \
                 lists of rights)",
                proof.len()
            ),
        )],
        Reason::Malformed if rejection.key.is_none() => token_form(case, rules, proof, token),
        Reason::Malformed => vec![Hint::new(
            "payload",
            "the payload must be one JSON object in UTF-8, with each name once",
        )],
        Reason::UnsupportedAlgorithm | Reason::UnknownKey | Reason::BadSignature => {
            Signature { case, rules, proof, token, reason: rejection.reason }.look()
        }
        Reason::MissingClaim => claims::missing(rules, token),
        Reason::InvalidClaim => claims::invalid(rules, token),
        Reason::PlaceholderIdentity => vec![claims::placeholder(claims::id(rules, token))],
        Reason::WrongAudience => vec![purpose::audience(case, rules, token)],
        Reason::WrongIssuer => vec![purpose::issuer(case, rules, token)],
        Reason::Expired => times::expired(rules, token, case.now),
        Reason::NotYetValid => times::not_yet_valid(rules, token, case.now),
        Reason::LifetimeTooLong => times::too_long(rules, token),
        _ => Vec::new(),
    }
}

/// Unwraps a token; what is within is diagnosed anew.
fn token_form(case: &Case<'_>, rules: &JwtRules, proof: &str, token: &Token<'_>) -> Vec<Hint> {
    let (inner, mut hints) = form::mend(proof);
    let read = Token::read(&inner);
    if inner == proof && read.parts.len() != 3 {
        return vec![form::instead_of_token(proof, token, &rules.required_header)];
    }
    let mut clean = inner.clone();
    if let Some((rewritten, hint)) = form::as_base64url(&inner) {
        hints.push(hint);
        // Signed as it was sent: the mistake is told, and nothing else is wrong with it.
        let signature = rewritten.rsplit_once('.').and_then(|_| Token::read(&rewritten).signature);
        let keys = case.site.keyring.keys();
        let message = read.message.as_bytes();
        let signed = |code: Vec<u8>| keys.iter().any(|key| key.verifies(message, &code));
        if signature.is_some_and(signed) {
            return hints;
        }
        clean = rewritten;
    }
    if clean == proof {
        return vec![form::instead_of_token(proof, token, &rules.required_header)];
    }
    let presented = [Presented::proof(&clean)];
    and_then(hints, &Case { presented: &presented, ..*case })
}

fn about_hash(
    case: &Case<'_>,
    rules: &HmacRules,
    presented: &Presented<'_>,
    proof: &str,
    rejection: &Rejection,
) -> Vec<Hint> {
    match rejection.reason {
        Reason::MissingClaim => {
            return vec![Hint::new(
                "hash_alone",
                format!(
                    "{}: the website must send the fields that it hashes beside the hash, in the \
                     same place",
                    rejection.detail
                ),
            )];
        }
        Reason::PlaceholderIdentity => return vec![claims::placeholder(presented.id.as_deref())],
        Reason::InvalidClaim => {
            return vec![Hint::new("id_form", format!("{}: use a plain id", rejection.detail))];
        }
        Reason::TooLarge => return vec![form::instead_of_hash(proof, digest::length(rules))],
        _ => {}
    }
    let found = hashes::concerns(rejection.reason)
        .then(|| Hashed { case, rules, presented, proof }.look())
        .flatten();
    if let Some(hints) = found {
        return hints;
    }
    let (inner, hints) = form::mend(proof);
    if inner != proof {
        let mended = [Presented { proof: Some(inner.as_str().into()), ..presented.clone() }];
        return and_then(hints, &Case { presented: &mended, ..*case });
    }
    if rejection.reason == Reason::Malformed {
        return vec![form::instead_of_hash(proof, digest::length(rules))];
    }
    vec![Hint::new("nothing_fits", nothing_fits(case))]
}

fn nothing_fits(case: &Case<'_>) -> String {
    let untried = if case.site.written.is_empty() {
        " (the secrets' texts were not at hand, so other forms of them were not tried)"
    } else {
        ""
    };
    format!(
        "none of the usual mistakes fits{untried}: the hash was made with another secret or for \
         another id; compare with what `countersign sign` prints for the same id"
    )
}

/// What to know about a credential although it verifies.
pub(super) fn about_verified(case: &Case<'_>, proof: &str, token: &Token<'_>) -> Vec<Hint> {
    let Mechanism::Jwt(rules) = &case.site.dialect.mechanism else { return Vec::new() };
    let mut hints = claims::unread(rules, token);
    if let Some(most) = rules.warn_bytes.filter(|most| proof.len() > *most) {
        hints.push(Hint::new(
            "large_for_the_widget",
            format!(
                "the token has {} characters; beyond {most} the vendor's own widget will not carry it",
                proof.len()
            ),
        ));
    }
    hints
}
