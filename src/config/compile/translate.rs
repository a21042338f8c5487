//! The backend's own proof: `translate`.

use std::sync::Arc;

use super::dialect::{Compiled, Dialects};
use super::translate_identity::identity;
use super::translate_into::{Where, location, names_of};
use super::translate_terms::{kid, template, ttl};
use super::{Compiler, algorithm, secret};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{Algorithm, AudienceRule, Dialect, Key, Mechanism, Signer, UnsignedField};
use crate::gate::contract::SiteHeaders;
use crate::plan::{Session, Translation, Translations};
use crate::translate::Translator;

/// What a site's translations come to.
#[derive(Default)]
pub struct Entries {
    /// Those that are sound; none where secrets are not to be read.
    pub translations: Translations,
    /// What each of their backends takes for identity: as many lists as translations, and
    /// further ones of those that are left out.
    pub fields: Vec<Vec<UnsignedField>>,
}

/// What is known of the site already.
pub struct Ours<'s> {
    pub site: &'s str,
    /// Those that verify, of any of its dialects.
    pub keys: Vec<&'s Arc<Key>>,
    pub session: Option<&'s Session>,
    /// What its backend is told by.
    pub headers: &'s SiteHeaders,
    /// Some mode of it changes requests.
    pub cleans: bool,
}

/// Compiles the entries.
pub fn translations(
    compiler: &mut Compiler<'_, '_>,
    dialects: &mut Dialects<'_>,
    raw: &raw::List<raw::Translate>,
    ours: &Ours<'_>,
    place: &Place,
) -> Entries {
    if !ours.cleans && !raw.is_empty() {
        compiler.warn(format!(
            "site {}: `translate` has no effect: `observe` and `off` leave requests as they came",
            ours.site
        ));
    }
    let mut places: Vec<Where> = Vec::new();
    let (mut sound, mut fields, mut others) = (Vec::new(), Vec::new(), Vec::new());
    for (index, raw) in raw.entries() {
        let place = place.index(index);
        if index == Translations::MOST {
            compiler
                .report
                .value(&place, "too many translations")
                .expected(format!("at most {}", Translations::MOST));
            break;
        }
        let name = raw.dialect.as_deref();
        if name.is_none() {
            compiler.missing(
                &place,
                "dialect",
                "dialect: chatwoot (`countersign dialects` lists them)",
            );
        }
        if raw.key.is_none() {
            compiler.missing(&place, "key", "key: { file: keys/chatwoot.secret }");
        }
        let compiled = name.and_then(|name| dialects.find(compiler, name, &place.key("dialect")));
        let entry = compiled.as_deref().map(|compiled| Entry {
            raw,
            compiled,
            site: ours.site,
            place: &place,
        });
        let translator = entry.as_ref().and_then(|entry| translator(compiler, entry, ours));
        let own = location(compiler, raw, compiled.as_deref(), ours, &place);
        let Some(own) = own else { continue };
        if let Some(other) = places.iter().find(|other| other.meets(&own)) {
            compiler
                .report
                .key(&place.key("into"), format!("`{}` is written to already", other.name()))
                .expected("a place of its own, or another `path` or `methods`");
        }
        places.push(own.clone());
        let by_session = raw.by_session.unwrap_or(false);
        if by_session && ours.session.is_none() {
            compiler
                .report
                .key(&place.key("by_session"), "this site has no `session`")
                .hint("remove it: every visitor is verified by a credential");
        }
        let identity = compiled.map(|compiled| identity(&compiled.dialect, &own.source));
        let identity = identity.unwrap_or_default();
        let Some(translator) = translator else {
            others.push(identity);
            continue;
        };
        fields.push(identity);
        let Where { into, path, methods, .. } = own;
        let (names, known) = (Arc::new(names_of(&into)), Vec::new());
        let one = Translation { translator, into, fields: names, known, path, methods, by_session };
        sound.push(one);
    }
    fields.append(&mut others);
    Entries { translations: Translations(sound), fields }
}

/// One entry whose dialect there is.
pub struct Entry<'e> {
    pub raw: &'e raw::Translate,
    pub compiled: &'e Compiled,
    pub site: &'e str,
    pub place: &'e Place,
}

/// What writes.
fn translator(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    ours: &Ours<'_>,
) -> Option<Translator> {
    let Entry { raw, place, .. } = entry;
    let dialect = dialect(compiler, entry);
    let ttl = ttl(compiler, entry);
    let id = template(compiler, raw, ours.site, place);
    let kid = kid(compiler, entry);
    let signer = signer(compiler, entry, kid?, ours)?;
    match Translator::new(dialect?, signer, id?, ttl?, compiler.now) {
        Ok(translator) => Some(translator),
        Err(why) => {
            let name = &entry.compiled.dialect.name;
            compiler
                .report
                .key(&place.key("dialect"), format!("{name} would refuse what is written: {why}"))
                .expected("a dialect that asks for nothing but id, name, email and times");
            None
        }
    }
}

/// The dialect with audience and issuer worked in.
fn dialect(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>) -> Option<Dialect> {
    let Entry { raw, compiled, place, .. } = entry;
    let mut dialect = compiled.dialect.clone();
    let name = &compiled.dialect.name;
    let said = [("audience", &raw.audience), ("issuer", &raw.issuer)];
    let mut sound = said.iter().all(|(member, _)| !compiler.report.was_removed(&place.key(member)));
    for (member, text) in said {
        let text = text.as_deref();
        let (what, hint) = match &dialect.mechanism {
            _ if text == Some("") => (format!("an empty {member}"), ""),
            Mechanism::Hmac(_) if text.is_some() => (
                format!("`{member}` has no meaning with {name}"),
                "it is for tokens, and this dialect's proof is a hash",
            ),
            Mechanism::Jwt(rules)
                if member == "audience"
                    && text.is_some()
                    && rules.claims.audience == AudienceRule::None =>
            {
                (format!("the dialect {name} has no audience"), "remove it")
            }
            _ => continue,
        };
        let problem = compiler.report.key(&place.key(member), what);
        if !hint.is_empty() {
            problem.hint(hint);
        }
        sound = false;
    }
    if let Mechanism::Jwt(rules) = &mut dialect.mechanism {
        if rules.claims.audience == AudienceRule::Sub && raw.audience.is_none() {
            compiler.missing(place, "audience", "audience: 0b1c2d3e");
            sound = false;
        }
        rules.claims.audiences.extend(raw.audience.clone());
        rules.claims.issuer = raw.issuer.clone().or(rules.claims.issuer.take());
    }
    sound.then_some(dialect)
}

/// The key that signs: a secret, or a private key in PEM.
fn signer(
    compiler: &mut Compiler<'_, '_>,
    entry: &Entry<'_>,
    kid: Option<&str>,
    ours: &Ours<'_>,
) -> Option<Signer> {
    let Entry { raw, compiled, place, .. } = entry;
    let wanted = wanted(compiler, entry)?;
    let written = raw.key.as_ref()?;
    let place_of_key = place.key("key");
    let (material, text) = secret::with_text(compiler, written, compiled.encoding, &place_of_key)?;
    let is_pem = text.expose().trim_ascii_start().starts_with(b"-----BEGIN ");
    let is_hash = matches!(compiled.dialect.mechanism, Mechanism::Hmac(_));
    let signer = match is_pem && !is_hash {
        true => Signer::private_pem(kid, wanted, text.expose()),
        false => {
            let algorithm = wanted.unwrap_or_else(|| algorithm::default_of_secrets(compiled));
            let who = format!("site {}, translate into {}", ours.site, compiled.dialect.name);
            if !is_pem {
                secret::warn_if_weak(compiler, &who, &material, &compiled.family);
            }
            Signer::secret(kid, algorithm, &material)
        }
    };
    let signer = match signer {
        Ok(signer) => signer,
        Err(error) => {
            let hint = "a secret signs HS256, HS384 and HS512, a private key all else";
            compiler.report.key(&place_of_key, error.to_string()).hint(hint);
            return None;
        }
    };
    if !is_hash {
        algorithm::check_allowed(compiler, signer.algorithm(), wanted.is_some(), compiled, place)?;
    }
    if let Some(key) = ours.keys.iter().find(|key| signer.is_verified_by(key)) {
        compiler
            .report
            .key(&place_of_key, format!("the key `{}` of this site is the same", key.id()))
            .expected("a key that verifies none of the site's visitors")
            .hint("whoever saw what is written could present it as a credential");
        return None;
    }
    Some(signer)
}

/// The algorithm that is written; `None` when it is wrong.
fn wanted(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>) -> Option<Option<Algorithm>> {
    let place = entry.place.key("algorithm");
    let Some(name) = entry.raw.algorithm.as_deref() else {
        return (!compiler.report.was_removed(&place)).then_some(None);
    };
    let Some(algorithm) = Algorithm::from_name(name) else {
        algorithm::unknown_algorithm(compiler, name, &place);
        return None;
    };
    algorithm::check_allowed(compiler, algorithm, true, entry.compiled, entry.place)?;
    Some(Some(algorithm))
}
