//! The checks in the order in which they run, with what each found.
//!
//! The judgement itself is [`Dialect::verify`](crate::dialect::Dialect::verify)'s; the
//! refusal's word says which check failed, and so which held.

use super::token::{Token, names, shown, shown_value};
use super::{Case, Check, Presented, Report, hints};
use crate::clock::UnixTime;
use crate::dialect::{
    AudienceRule, Credential, Hash, HmacRules, JwtRules, KeySelection, Mechanism, Output, Reason,
    Rejection,
};
use crate::identity::Identity;

const OF_TOKENS: [&str; 12] = [
    "presence",
    "ambiguity",
    "size",
    "form",
    "algorithm",
    "key",
    "signature",
    "claims",
    "audience",
    "issuer",
    "times",
    "lifetime",
];
const OF_HASHES: [&str; 8] =
    ["presence", "ambiguity", "size", "form", "fields", "key", "signature", "claims"];

/// What judging needs and found.
struct Judged<'a> {
    case: &'a Case<'a>,
    presented: &'a Presented<'a>,
    proof: &'a str,
    token: Token<'a>,
    verdict: Result<Identity, Rejection>,
}

pub(super) fn judge(case: &Case<'_>) -> Report {
    let nothing = Presented::default();
    let carrying: Vec<_> = case.presented.iter().filter(|one| !proof(one).is_empty()).collect();
    let first = carrying.first().copied().or(case.presented.first()).unwrap_or(&nothing);
    let proof = proof(first);
    let verdict = present(case, &carrying).and_then(|()| {
        case.site.dialect.verify(&credential(case, first), case.site.keyring, case.now)
    });
    let judged = Judged { case, presented: first, proof, token: Token::read(proof), verdict };
    judged.report()
}

fn proof<'a>(presented: &'a Presented<'_>) -> &'a str {
    presented.proof.as_deref().unwrap_or_default()
}

/// Presence and ambiguity, which concern the request rather than one credential.
fn present(case: &Case<'_>, carrying: &[&Presented<'_>]) -> Result<(), Rejection> {
    let Some((first, rest)) = carrying.split_first() else {
        let claims = case
            .presented
            .iter()
            .any(|one| [&one.id, &one.email, &one.name].iter().any(|field| field.is_some()));
        return Err(if claims {
            Rejection::new(Reason::Unsigned, "somebody is named, but nothing proves it")
        } else {
            Rejection::new(Reason::Missing, "there is no credential")
        });
    };
    let same = |other: &&Presented<'_>| match &case.site.dialect.mechanism {
        Mechanism::Jwt(_) => other.proof == first.proof,
        Mechanism::Hmac(_) => **other == **first,
    };
    if rest.iter().all(same) {
        return Ok(());
    }
    Err(Rejection::new(Reason::Ambiguous, "two sources carry different credentials"))
}

/// As the dialect takes it: empty fields are absent.
pub(super) fn credential<'a>(case: &Case<'_>, presented: &'a Presented<'_>) -> Credential<'a> {
    let field = |value: &'a Option<std::borrow::Cow<'_, str>>| {
        value.as_deref().filter(|value| !value.is_empty()).map(Into::into)
    };
    match &case.site.dialect.mechanism {
        Mechanism::Jwt(_) => Credential::Token(proof(presented).into()),
        Mechanism::Hmac(_) => Credential::Hash(Hash {
            proof: proof(presented).into(),
            id: field(&presented.id),
            email: field(&presented.email),
            name: field(&presented.name),
        }),
    }
}

impl Judged<'_> {
    fn report(&self) -> Report {
        let names: &[&'static str] = match &self.case.site.dialect.mechanism {
            Mechanism::Jwt(_) => &OF_TOKENS,
            Mechanism::Hmac(_) => &OF_HASHES,
        };
        let failed = self.verdict.as_ref().err();
        let place = failed.map(|rejection| self.failing(rejection));
        let mut passed = true;
        let mut checks = Vec::with_capacity(names.len());
        for name in names {
            let check = match failed {
                Some(rejection) if place == Some(*name) => {
                    passed = false;
                    let detail = rejection.detail.clone().into_owned();
                    Check { name, ok: Some(false), detail }
                }
                _ if passed => Check { name, ok: Some(true), detail: self.found(name) },
                _ => Check { name, ok: None, detail: "not judged".to_owned() },
            };
            checks.push(check);
        }
        let hints = match &self.verdict {
            Ok(_) => hints::about_verified(self.case, self.proof, &self.token),
            Err(rejection) => {
                hints::about(self.case, self.presented, self.proof, &self.token, rejection)
            }
        };
        Report { verified: failed.is_none(), code: failed.map(|r| r.reason), checks, hints }
    }

    /// The check that a refusal comes from.
    fn failing(&self, rejection: &Rejection) -> &'static str {
        let hashed = matches!(self.case.site.dialect.mechanism, Mechanism::Hmac(_));
        match rejection.reason {
            Reason::Missing | Reason::Unsigned => "presence",
            Reason::Ambiguous => "ambiguity",
            Reason::TooLarge => "size",
            // A payload is read once its signature holds.
            Reason::Malformed if rejection.key.is_none() => "form",
            Reason::UnsupportedAlgorithm => "algorithm",
            Reason::UnknownKey | Reason::KeyExpired => "key",
            Reason::BadSignature => "signature",
            Reason::MissingClaim if hashed && rejection.key.is_none() => "fields",
            Reason::WrongAudience => "audience",
            Reason::WrongIssuer => "issuer",
            Reason::Expired | Reason::NotYetValid => "times",
            Reason::LifetimeTooLong => "lifetime",
            _ => "claims",
        }
    }

    /// What a check that held found.
    fn found(&self, name: &str) -> String {
        match (&self.case.site.dialect.mechanism, name) {
            (_, "ambiguity") => "nothing contradicts it".to_owned(),
            (_, "size") => {
                format!(
                    "{} bytes of at most {}",
                    self.proof.len(),
                    self.case.site.dialect.max_bytes()
                )
            }
            (_, "key") => self.key(),
            (_, "signature") => format!("fits key `{}`", self.key_id().unwrap_or("?")),
            (Mechanism::Jwt(rules), _) => self.found_in_token(rules, name),
            (Mechanism::Hmac(rules), _) => self.found_beside_hash(rules, name),
        }
    }

    fn found_in_token(&self, rules: &JwtRules, name: &str) -> String {
        let token = &self.token;
        match name {
            "presence" => "a token".to_owned(),
            "form" => {
                let [header, payload] =
                    [&token.header, &token.payload].map(|part| names(part.as_ref()));
                format!("header: {header}; payload: {payload}")
            }
            "algorithm" => token.header_text("alg").map(shown).unwrap_or_default(),
            "claims" => self.id(),
            "audience" => {
                let claim = match rules.claims.audience {
                    AudienceRule::None => None,
                    AudienceRule::Aud => Some("aud"),
                    AudienceRule::Sub => Some("sub"),
                };
                match claim.and_then(|claim| Some((claim, token.claim(claim)?))) {
                    Some((claim, value)) => format!("`{claim}` is {}", shown_value(value)),
                    None => "this site asks for none".to_owned(),
                }
            }
            "issuer" => match &rules.claims.issuer {
                Some(issuer) => format!("`iss` is \"{issuer}\""),
                None => "this site asks for none".to_owned(),
            },
            "times" => self.times(rules),
            "lifetime" => match (rules.max_lifetime, token.time("iat"), token.time("exp")) {
                (None, ..) => "this dialect sets no limit".to_owned(),
                (Some(max), Some(start), Some(end)) => {
                    format!("{} s of at most {max} s", end.saturating_sub(start))
                }
                (Some(max), ..) => format!("{max} s, for the token says no `exp`"),
            },
            _ => String::new(),
        }
    }

    fn found_beside_hash(&self, rules: &HmacRules, name: &str) -> String {
        match (name, rules.output) {
            ("presence", _) => "a hash".to_owned(),
            ("form", Output::Hex) => format!("{} hexadecimal digits", self.proof.len()),
            ("form", Output::Base64) => format!("{} characters of base64", self.proof.len()),
            ("fields", _) => {
                let fields = [
                    ("id", &self.presented.id),
                    ("email", &self.presented.email),
                    ("name", &self.presented.name),
                ];
                let given = fields.iter().filter_map(|(name, value)| {
                    Some(format!("{name} `{}`", shown(value.as_deref()?)))
                });
                given.collect::<Vec<_>>().join(", ")
            }
            ("claims", _) => self.id(),
            _ => String::new(),
        }
    }

    fn id(&self) -> String {
        match &self.verdict {
            Ok(identity) => match &identity.id {
                Some(id) => format!("id `{}`", shown(id)),
                None => "no id: the visitor is verified, but nobody in particular".to_owned(),
            },
            Err(_) => "all that are required are there, with their types".to_owned(),
        }
    }

    fn key_id(&self) -> Option<&str> {
        match &self.verdict {
            Ok(identity) => Some(&identity.key),
            Err(rejection) => rejection.key.as_deref(),
        }
    }

    fn key(&self) -> String {
        let site = &self.case.site;
        if let Some(id) = self.key_id() {
            let state = site.keyring.get(id).map_or("", |key| key.state(self.case.now).name());
            return format!("`{id}`, {state}");
        }
        let count = site.keyring.keys().len();
        let all = if count == 1 { "the site's only key" } else { "any of the site's keys" };
        let named = self.token.header_text("kid").filter(|kid| site.keyring.get(kid).is_some());
        if let (Mechanism::Jwt(rules), Some(kid)) = (&site.dialect.mechanism, named)
            && rules.key != KeySelection::Any
        {
            return format!("`{}`, named by `kid`", shown(kid));
        }
        all.to_owned()
    }

    fn times(&self, rules: &JwtRules) -> String {
        let now = self.case.now.as_secs();
        let mut said = Vec::new();
        if let Some(issued) = self.token.time("iat") {
            said.push(match now.checked_sub(issued) {
                Some(ago) => format!("issued {ago} s ago"),
                None => format!("issued {} s ahead, within the leeway", issued.saturating_sub(now)),
            });
        }
        let expires = match &self.verdict {
            Ok(identity) => identity.expires.map(UnixTime::as_secs),
            Err(_) => self.token.time("exp"),
        };
        match expires {
            Some(expires) => said.push(match expires.checked_sub(now) {
                Some(left) => format!("ends in {left} s"),
                None => format!(
                    "ended {} s ago, leeway {} s",
                    now.saturating_sub(expires),
                    rules.leeway_exp
                ),
            }),
            None => said.push("never ends".to_owned()),
        }
        said.join(", ")
    }
}
