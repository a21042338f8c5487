//! The backend's own proof: `translate`.

use std::sync::Arc;
use std::time::Duration;

use super::dialect::{Compiled, Dialects};
use super::translate_into::{Where, location, names_of};
use super::{Compiler, algorithm, key, secret, unsigned};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::{
    Algorithm, AudienceRule, Dialect, Key, KeySelection, Mechanism, Signer, Source, UnsignedField,
};
use crate::gate::contract::SiteHeaders;
use crate::plan::{Session, Site, Translation, Translations};
use crate::translate::{Template, Translator};

/// Beyond, a token is less of a proof than of a password.
const HOUR: Duration = Duration::from_secs(3600);

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

/// What the backend takes for identity, wherever it stands: what its dialect says, and what
/// lies beside a hash by its own sources or in this place.
fn identity(dialect: &Dialect, into: &Source) -> Vec<UnsignedField> {
    let rules = &dialect.unsigned;
    let names = rules.fields.iter().map(|field| field.name.clone());
    let sources = dialect.sources.iter().chain([into]);
    let mut fields = unsigned::fields(names, None, &dialect.mechanism, sources);
    for field in &mut fields {
        let own = rules.fields.iter().find(|own| own.name == field.name);
        field.prefix = own.and_then(|own| own.prefix.clone());
    }
    fields
}

/// Has each backend know its visitors by the fields of the site, which are all among these.
pub fn acquaint(
    translations: &mut Translations,
    fields: &[Vec<UnsignedField>],
    of_site: &[UnsignedField],
) {
    for (one, fields) in translations.0.iter_mut().zip(fields) {
        let known = fields.iter().filter_map(|field| {
            let index = of_site.iter().position(|own| own.name == field.name)?;
            Some((index, one.translator.dialect().signs_as(field.proof.as_ref()?)?))
        });
        one.known = known.collect();
    }
}

/// Where two sites' visitors of one id would be one person to a backend.
pub fn warn_of_one_account(compiler: &mut Compiler<'_, '_>, sites: &[Site]) {
    for (index, site) in sites.iter().enumerate() {
        for other in sites.iter().skip(index + 1) {
            let same = site.translations.0.iter().find(|one| {
                let of_other = |two: &Translation| one.translator.is_like(&two.translator);
                other.translations.0.iter().any(of_other)
            });
            let Some(one) = same else { continue };
            compiler.warn(format!(
                "sites {} and {} write the same for {} with one key: whoever has one id at both is \
                 one visitor to the backend, unless their `id` templates differ",
                site.name,
                other.name,
                one.translator.dialect().name
            ));
        }
    }
}

struct Entry<'e> {
    raw: &'e raw::Translate,
    compiled: &'e Compiled,
    site: &'e str,
    place: &'e Place,
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

fn ttl(compiler: &mut Compiler<'_, '_>, entry: &Entry<'_>) -> Option<Option<u64>> {
    let place = entry.place.key("ttl");
    let Some(raw::Period(ttl)) = entry.raw.ttl else {
        return (!compiler.report.was_removed(&place)).then_some(None);
    };
    let rules = match &entry.compiled.dialect.mechanism {
        Mechanism::Jwt(rules) => rules,
        Mechanism::Hmac(_) => {
            let name = &entry.compiled.dialect.name;
            compiler
                .report
                .key(&place, format!("`ttl` has no meaning with {name}"))
                .hint("a hash holds for as long as its key does");
            return None;
        }
    };
    let (least, most) = (rules.min_remaining.max(1), rules.max_lifetime.unwrap_or(u64::MAX));
    if ttl.subsec_nanos() > 0 || !(least..=most).contains(&ttl.as_secs()) {
        let problem =
            compiler.report.value(&place, "a token cannot hold for so long or so short a time");
        problem.expected(match most {
            u64::MAX => format!("at least {least}s, in whole seconds"),
            most => format!("{least}s to {most}s, in whole seconds"),
        });
        return None;
    }
    if ttl > HOUR {
        compiler.warn(format!(
            "site {}: tokens for {} may hold longer than an hour, and nothing takes them back",
            entry.site, entry.compiled.dialect.name
        ));
    }
    Some(Some(ttl.as_secs()))
}

fn template(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Translate,
    site: &str,
    place: &Place,
) -> Option<Template> {
    let place = place.key("id");
    let Some(text) = raw.id.as_deref() else {
        return (!compiler.report.was_removed(&place)).then(Template::default);
    };
    let template = Template::parse(text);
    if template.is_none() {
        compiler
            .report
            .value(&place, format!("`{text}` is not what a backend could call each visitor"))
            .expected("text with one `{id}` or `{email}` in it, such as c-{id} or c-{id|hex}");
    }
    if template.as_ref().is_some_and(Template::is_open) {
        compiler.warn(format!(
            "site {site}: in `{text}` an id may hold what parts it from the text behind it: write \
             `|hex`, unless the website's ids cannot"
        ));
    }
    template
}

/// What tokens call the key: none, unless the dialect wants it.
fn kid<'r>(compiler: &mut Compiler<'_, '_>, entry: &Entry<'r>) -> Option<Option<&'r str>> {
    let place = entry.place.key("kid");
    let (raw, dialect) = (entry.raw, &entry.compiled.dialect);
    let wanted = match &dialect.mechanism {
        Mechanism::Hmac(_) => None,
        Mechanism::Jwt(rules) => {
            let named = rules.required_header.iter().any(|name| name == "kid");
            Some(named || matches!(rules.key, KeySelection::Kid | KeySelection::Claim(_)))
        }
    };
    match (raw.kid.as_deref(), wanted) {
        (Some(_), None) => {
            compiler
                .report
                .key(&place, format!("`kid` has no meaning with {}", dialect.name))
                .hint("a hash names no key");
            None
        }
        (Some(kid), _) if !key::is_id(kid) => {
            compiler
                .report
                .value(&place, format!("`{kid}` cannot be a key's id"))
                .expected(key::ID);
            None
        }
        (None, Some(true)) => {
            compiler.missing(entry.place, "kid", "kid: \"2026-11\"");
            None
        }
        (kid, _) => (!compiler.report.was_removed(&place)).then_some(kid),
    }
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
