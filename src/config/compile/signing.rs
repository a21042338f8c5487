//! What is said of how a credential is signed, by a site of its own dialect or by one of its
//! `accepts`, and the dialect with that worked in.

use super::dialect::Compiled;
use super::token_settings::token_settings;
use super::{Compiler, source};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{Dialect, Mechanism};

/// How a credential is signed: what a site says of its own dialect, or of a further one.
pub struct Signing<'r> {
    pub audience: &'r Option<raw::OneOrMany>,
    pub issuer: &'r Option<String>,
    pub id_claim: &'r Option<String>,
    pub require_claims: &'r Option<raw::List<String>>,
    pub leeway: &'r Option<raw::JwtLeeway>,
    pub single_use: &'r Option<raw::SingleUse>,
    pub sources: &'r Option<raw::List<raw::Source>>,
}

macro_rules! signing {
    ($($raw:ident)*) => {$(
        impl<'r> From<&'r raw::$raw> for Signing<'r> {
            fn from(raw: &'r raw::$raw) -> Self {
                Self {
                    audience: &raw.audience,
                    issuer: &raw.issuer,
                    id_claim: &raw.id_claim,
                    require_claims: &raw.require_claims,
                    leeway: &raw.leeway,
                    single_use: &raw.single_use,
                    sources: &raw.sources,
                }
            }
        }
    )*};
}

signing! { Site Accept }

/// The dialect with these settings worked in.
pub fn configured(
    compiler: &mut Compiler<'_, '_>,
    name: &str,
    raw: &Signing<'_>,
    compiled: &Compiled,
    place: &Place,
) -> Dialect {
    let mut dialect = compiled.dialect.clone();
    match &mut dialect.mechanism {
        Mechanism::Jwt(rules) => token_settings(compiler, name, raw, rules, compiled, place),
        Mechanism::Hmac(_) => no_token_settings(compiler, raw, &dialect, place),
    }
    if let Some(list) = raw.sources {
        dialect.sources =
            source::sources(compiler, list, &dialect.mechanism, &place.key("sources"));
    }
    dialect
}

/// A setting for tokens on a site of hashes would be silently without effect.
fn no_token_settings(
    compiler: &mut Compiler<'_, '_>,
    raw: &Signing<'_>,
    dialect: &Dialect,
    place: &Place,
) {
    for (member, written) in [
        ("audience", raw.audience.is_some()),
        ("issuer", raw.issuer.is_some()),
        ("id_claim", raw.id_claim.is_some()),
        ("require_claims", raw.require_claims.is_some()),
        ("leeway", raw.leeway.is_some()),
        ("single_use", raw.single_use.is_some()),
    ] {
        if written {
            compiler
                .report
                .key(&place.key(member), format!("`{member}` has no meaning with {}", dialect.name))
                .hint("it is for tokens, and this dialect's credential is a hash");
        }
    }
}
