//! Which request fields claim identity, and what would prove each of them.

use super::pattern::name_or_pointer;
use crate::dialect::{
    Carrier, Dialect, FieldProof, HashField, Mechanism, Source, UnsignedField, UnsignedRules,
};

/// The fields of these names, each with what proves it. In hash dialects the id (email,
/// name) beside a hash is such a field by its nature, also where a site has sources of
/// its own: without the hash it is only a claim.
pub fn fields<'s>(
    names: impl IntoIterator<Item = String>,
    prefix: Option<&str>,
    mechanism: &Mechanism,
    sources: impl IntoIterator<Item = &'s Source>,
) -> Vec<UnsignedField> {
    let mut fields: Vec<UnsignedField> = Vec::new();
    let prefix = prefix.map(str::to_owned);
    match mechanism {
        Mechanism::Jwt(_) => {
            for name in names {
                let proof = name_or_pointer(&name).map(FieldProof::Claim);
                push(&mut fields, UnsignedField { name, proof, prefix: prefix.clone() }, str::eq);
            }
        }
        Mechanism::Hmac(_) => {
            let parts: Vec<(String, HashField)> = sources.into_iter().flat_map(parts).collect();
            for name in names {
                let part = parts.iter().find(|(part, _)| part.eq_ignore_ascii_case(&name));
                let proof = part.map(|(_, field)| FieldProof::Hashed(*field));
                push(&mut fields, UnsignedField { name, proof, prefix: prefix.clone() }, str::eq);
            }
            for (name, field) in parts {
                let proof = Some(FieldProof::Hashed(field));
                let field = UnsignedField { name, proof, prefix: None };
                push(&mut fields, field, str::eq_ignore_ascii_case);
            }
        }
    }
    fields
}

/// Gives all dialects of one site the same fields in the same order, each with its own
/// proofs: whoever vouches, nothing passes that any of them takes for identity.
pub fn unite(dialects: &mut [&mut Dialect]) {
    let all: Vec<UnsignedRules> = dialects.iter().map(|dialect| dialect.unsigned.clone()).collect();
    let mut fields: Vec<UnsignedField> = Vec::new();
    for field in all.iter().flat_map(|rules| &rules.fields) {
        push(&mut fields, UnsignedField { proof: None, ..field.clone() }, str::eq);
    }
    let mut copied: Vec<String> = all.iter().flat_map(|rules| rules.copied.clone()).collect();
    copied.sort_unstable();
    copied.dedup();
    for dialect in dialects {
        let own = std::mem::take(&mut dialect.unsigned.fields);
        let proof = |name: &str| {
            own.iter().find(|field| field.name == name).and_then(|field| field.proof.clone())
        };
        let united =
            fields.iter().map(|field| UnsignedField { proof: proof(&field.name), ..field.clone() });
        dialect.unsigned.fields = united.collect();
        dialect.unsigned.copied.clone_from(&copied);
    }
}

fn push(fields: &mut Vec<UnsignedField>, field: UnsignedField, same: fn(&str, &str) -> bool) {
    if !fields.iter().any(|other| same(&other.name, &field.name)) {
        fields.push(field);
    }
}

/// What lies beside the hash in one source.
fn parts(source: &Source) -> Vec<(String, HashField)> {
    let names = source.carrier.names();
    // At the top of a body a pointer is a name like any other.
    let shown = |name: &String| match (&source.carrier, name.strip_prefix('/')) {
        (Carrier::Json { .. }, Some(top)) if !top.contains(['/', '~']) => top.to_owned(),
        _ => name.clone(),
    };
    let part = |name: &Option<String>, field| name.as_ref().map(|name| (shown(name), field));
    [
        part(&names.id, HashField::Id),
        part(&names.email, HashField::Email),
        part(&names.name, HashField::Name),
    ]
    .into_iter()
    .flatten()
    .collect()
}
