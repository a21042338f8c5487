//! Which request fields claim identity, and what would prove each of them.

use crate::dialect::{
    Carrier, Dialect, FieldName, FieldProof, HashField, Mechanism, Part, Pointer, Source,
    UnsignedField, UnsignedRules,
};

/// The fields of these names, each with what proves it. In hash dialects the id (email,
/// name) beside a hash is such a field by its nature, also where a site has sources of
/// its own: without the hash it is only a claim.
pub fn fields<'s>(
    names: impl IntoIterator<Item = FieldName>,
    prefix: Option<&str>,
    mechanism: &Mechanism,
    sources: impl IntoIterator<Item = &'s Source>,
) -> Vec<UnsignedField> {
    let mut fields: Vec<UnsignedField> = Vec::new();
    let prefix = prefix.map(str::to_owned);
    match mechanism {
        Mechanism::Jwt(_) => {
            for name in names {
                let claim = Pointer(name.segments().to_vec());
                let proof = Some(FieldProof::Claim(claim));
                push(&mut fields, UnsignedField { name, proof, prefix: prefix.clone() });
            }
        }
        Mechanism::Hmac(_) => {
            let parts: Vec<(FieldName, HashField)> = sources.into_iter().flat_map(parts).collect();
            for name in names {
                let part = parts.iter().find(|(part, _)| is_same(part, &name));
                let proof = part.map(|(_, field)| FieldProof::Hashed(*field));
                push(&mut fields, UnsignedField { name, proof, prefix: prefix.clone() });
            }
            for (name, field) in parts {
                if !fields.iter().any(|known| is_same(&known.name, &name)) {
                    let proof = Some(FieldProof::Hashed(field));
                    fields.push(UnsignedField { name, proof, prefix: None });
                }
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
        push(&mut fields, UnsignedField { proof: None, ..field.clone() });
    }
    let mut copied: Vec<FieldName> = Vec::new();
    for name in all.into_iter().flat_map(|rules| rules.copied) {
        if !copied.contains(&name) {
            copied.push(name);
        }
    }
    for dialect in dialects {
        let own = std::mem::take(&mut dialect.unsigned.fields);
        let proof = |name: &FieldName| {
            own.iter().find(|field| field.name == *name).and_then(|field| field.proof.clone())
        };
        let united =
            fields.iter().map(|field| UnsignedField { proof: proof(&field.name), ..field.clone() });
        dialect.unsigned.fields = united.collect();
        dialect.unsigned.copied.clone_from(&copied);
    }
}

/// Adds what somebody else takes for identity: nothing of this dialect proves it.
pub fn also<'f>(dialect: &mut Dialect, further: impl Iterator<Item = &'f UnsignedField>) {
    for field in further {
        push(&mut dialect.unsigned.fields, UnsignedField { proof: None, ..field.clone() });
    }
}

fn push(fields: &mut Vec<UnsignedField>, field: UnsignedField) {
    if !fields.iter().any(|other| other.name == field.name) {
        fields.push(field);
    }
}

/// Header names have no case, and what lies beside a hash may be a header.
fn is_same(one: &FieldName, other: &FieldName) -> bool {
    let segments = one.segments().iter().zip(other.segments());
    std::mem::discriminant(one) == std::mem::discriminant(other)
        && one.segments().len() == other.segments().len()
        && segments.into_iter().all(|(one, other)| one.eq_ignore_ascii_case(other))
}

/// What lies beside the hash in one source.
fn parts(source: &Source) -> Vec<(FieldName, HashField)> {
    let names = match &source.carrier {
        Carrier::Json { names } => names.map(|pointer| match pointer.0.as_slice() {
            // At the top of a body a pointer is a name like any other.
            [name] => FieldName::Plain(name.clone()),
            _ => FieldName::At(pointer.clone()),
        }),
        other => other.names().map(|name| FieldName::Plain(name.clone())),
    };
    let fields = [HashField::Id, HashField::Email, HashField::Name].into_iter();
    fields.filter_map(|field| Some((names.of(Part::Beside(field))?.clone(), field))).collect()
}
