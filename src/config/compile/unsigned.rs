//! Which request fields claim identity, and what would prove each of them.

use super::pattern::name_or_pointer;
use crate::dialect::{FieldProof, HashField, Mechanism, Source, UnsignedField};

/// The fields of these names, each with what proves it. In hash dialects the id (email,
/// name) beside a hash is such a field by its nature, also where a site has sources of
/// its own: without the hash it is only a claim.
pub fn fields<'s>(
    names: impl IntoIterator<Item = String>,
    mechanism: &Mechanism,
    sources: impl IntoIterator<Item = &'s Source>,
) -> Vec<UnsignedField> {
    let mut fields: Vec<UnsignedField> = Vec::new();
    match mechanism {
        Mechanism::Jwt(_) => {
            for name in names {
                let proof = name_or_pointer(&name).map(FieldProof::Claim);
                push(&mut fields, UnsignedField { name, proof }, str::eq);
            }
        }
        Mechanism::Hmac(_) => {
            let parts: Vec<(String, HashField)> = sources.into_iter().flat_map(parts).collect();
            for name in names {
                let part = parts.iter().find(|(part, _)| part.eq_ignore_ascii_case(&name));
                let proof = part.map(|(_, field)| FieldProof::Hashed(*field));
                push(&mut fields, UnsignedField { name, proof }, str::eq);
            }
            for (name, field) in parts {
                let proof = Some(FieldProof::Hashed(field));
                push(&mut fields, UnsignedField { name, proof }, str::eq_ignore_ascii_case);
            }
        }
    }
    fields
}

fn push(fields: &mut Vec<UnsignedField>, field: UnsignedField, same: fn(&str, &str) -> bool) {
    if !fields.iter().any(|other| same(&other.name, &field.name)) {
        fields.push(field);
    }
}

/// What lies beside the hash in one source.
fn parts(source: &Source) -> Vec<(String, HashField)> {
    let names = source.carrier.names();
    let part = |name: &Option<String>, field| name.clone().map(|name| (name, field));
    [
        part(&names.id, HashField::Id),
        part(&names.email, HashField::Email),
        part(&names.name, HashField::Name),
    ]
    .into_iter()
    .flatten()
    .collect()
}
