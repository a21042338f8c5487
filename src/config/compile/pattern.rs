//! The small notations of dialects: claim patterns, hashed messages.

use crate::dialect::{HashField, MessagePiece, Pattern, Piece, Pointer};

/// What a pattern may look like, for messages.
pub const PATTERN: &str =
    "a JSON pointer such as /uuid, or text with pointers: \"{/firstname} {/lastname}\"";
/// What a message may look like, for messages.
pub const MESSAGE: &str =
    "text with {id}, {email} or {name} in it: \"{email}:{name}\", \"{id|email}\"";

/// A claim by name, or by pointer.
pub fn name_or_pointer(text: &str) -> Option<Pointer> {
    if text.starts_with('/') {
        return Pointer::parse(text);
    }
    (!text.is_empty()).then(|| Pointer(vec![text.to_owned()]))
}

/// A claim, or text made of several.
pub fn pattern(text: &str) -> Option<Pattern> {
    if text.starts_with('/') {
        return Pointer::parse(text).map(Pattern::Claim);
    }
    let pieces: Option<Vec<Piece>> = pieces(text)?
        .into_iter()
        .map(|part| match part {
            Part::Literal(text) => Some(Piece::Literal(text.to_owned())),
            Part::Braced(text) => Pointer::parse(text).map(Piece::Claim),
        })
        .collect();
    let pieces = pieces?;
    let refers = pieces.iter().any(|piece| matches!(piece, Piece::Claim(_)));
    refers.then_some(Pattern::Text(pieces))
}

/// What a hash covers.
pub fn message(text: &str) -> Option<Vec<MessagePiece>> {
    let pieces: Option<Vec<MessagePiece>> = pieces(text)?
        .into_iter()
        .map(|part| match part {
            Part::Literal(text) => Some(MessagePiece::Literal(text.to_owned())),
            Part::Braced(text) => {
                let fields: Option<Vec<HashField>> = text.split('|').map(field).collect();
                fields.map(MessagePiece::Field)
            }
        })
        .collect();
    let pieces = pieces?;
    let refers = pieces.iter().any(|piece| matches!(piece, MessagePiece::Field(_)));
    refers.then_some(pieces)
}

fn field(word: &str) -> Option<HashField> {
    match word {
        "id" => Some(HashField::Id),
        "email" => Some(HashField::Email),
        "name" => Some(HashField::Name),
        _ => None,
    }
}

enum Part<'t> {
    Literal(&'t str),
    Braced(&'t str),
}

/// Cuts text at its `{…}`; `None` for a brace without its other half.
fn pieces(text: &str) -> Option<Vec<Part<'_>>> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        let (inside, behind) = after.split_once('}')?;
        if before.contains('}') || inside.contains('{') {
            return None;
        }
        if !before.is_empty() {
            parts.push(Part::Literal(before));
        }
        parts.push(Part::Braced(inside));
        rest = behind;
    }
    if rest.contains('}') {
        return None;
    }
    if !rest.is_empty() {
        parts.push(Part::Literal(rest));
    }
    Some(parts)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(segments: &[&str]) -> Pointer {
        Pointer(segments.iter().map(|segment| (*segment).to_owned()).collect())
    }

    #[test]
    fn a_pattern_is_a_claim_or_text_with_claims() {
        assert_eq!(pattern("/uuid"), Some(Pattern::Claim(at(&["uuid"]))));
        assert_eq!(
            pattern("{/first} {/last}"),
            Some(Pattern::Text(vec![
                Piece::Claim(at(&["first"])),
                Piece::Literal(" ".into()),
                Piece::Claim(at(&["last"])),
            ]))
        );
        for bad in ["uuid", "", "{uuid}", "{/a", "/a}b{", "a}{/b}", "{{/a}}"] {
            assert!(!matches!(pattern(bad), Some(Pattern::Text(_))), "{bad}");
        }
    }

    #[test]
    fn a_message_names_what_it_hashes() {
        use MessagePiece::{Field, Literal};
        assert_eq!(
            message("{email}:{name}"),
            Some(vec![
                Field(vec![HashField::Email]),
                Literal(":".into()),
                Field(vec![HashField::Name])
            ])
        );
        assert_eq!(message("{id|email}"), Some(vec![Field(vec![HashField::Id, HashField::Email])]));
        for bad in ["", "id", "{uid}", "{id", "{}", "{id|}"] {
            assert_eq!(message(bad), None, "{bad}");
        }
    }
}
