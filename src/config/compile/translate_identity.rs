//! What the backends that are written for take for identity, and whom for one visitor.

use super::{Compiler, unsigned};
use crate::dialect::{Dialect, Source, UnsignedField};
use crate::plan::{Site, Translation, Translations};

/// What the backend takes for identity, wherever it stands: what its dialect says, and what
/// lies beside a hash by its own sources or in this place.
pub fn identity(dialect: &Dialect, into: &Source) -> Vec<UnsignedField> {
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
