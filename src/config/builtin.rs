//! A built-in dialect as people are told of it: its rules, and what its file says in words.

use super::compile::compile_builtin;
use super::raw::SecretEncoding;
use crate::dialect::Dialect;
use crate::dialect::builtin::builtin;

/// A built-in dialect.
#[derive(Clone, Debug)]
pub struct Builtin {
    /// Its rules.
    pub dialect: Dialect,
    /// How its sites' secrets are written unless they say so themselves: `raw`, `base64`,
    /// `base64url` or `hex`.
    pub key_encoding: &'static str,
    /// The paragraphs that its file opens with.
    pub notes: Vec<String>,
}

/// The built-in dialect of that name.
pub fn builtin_dialect(name: &str) -> Option<Builtin> {
    let text = builtin(name)?;
    let compiled = compile_builtin(name).ok()?;
    Some(Builtin {
        dialect: compiled.dialect,
        key_encoding: match compiled.encoding {
            SecretEncoding::Raw => "raw",
            SecretEncoding::Base64 => "base64",
            SecretEncoding::Base64url => "base64url",
            SecretEncoding::Hex => "hex",
        },
        notes: opening(text),
    })
}

/// The comment that a file opens with, cut into paragraphs at its empty lines. An indented
/// line stands alone: it is a formula or a sample.
fn opening(text: &str) -> Vec<String> {
    let mut paragraphs = vec![String::new()];
    let comment = text.lines().map_while(|line| line.strip_prefix('#'));
    for line in comment.map(|line| line.strip_prefix(' ').unwrap_or(line)) {
        let stands_alone = line.starts_with("  ");
        match paragraphs.last_mut() {
            Some(paragraph) if !line.is_empty() && !stands_alone => {
                if !paragraph.is_empty() && !paragraph.starts_with(' ') {
                    paragraph.push(' ');
                }
                paragraph.push_str(line);
            }
            _ => paragraphs.push(line.to_owned()),
        }
    }
    paragraphs.retain(|paragraph| !paragraph.is_empty());
    paragraphs
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_opens_with_paragraphs_and_formulas() {
        let text = "# One\n# two.\n#\n#   a = b\n#\n# Three.\ndialects:\n# not this\n";
        assert_eq!(opening(text), ["One two.", "  a = b", "Three."]);
        assert_eq!(opening("dialects: {}\n"), Vec::<String>::new());
    }

    #[test]
    fn a_built_in_dialect_comes_with_its_words() {
        let zendesk = builtin_dialect("zendesk-chat").unwrap();
        assert_eq!((&*zendesk.dialect.name, zendesk.key_encoding), ("zendesk-chat", "raw"));
        assert!(zendesk.notes[0].starts_with("Zendesk Chat"));
        assert!(builtin_dialect("nobody").is_none());
    }
}
