//! What Caddy makes of a target when it rewrites: it decodes the path and encodes it anew as Go
//! does, it keeps the old query unless there is a new one, and it fills in placeholders.

use crate::gate::{Fault, Refusal};

/// A target that reads the same once Caddy has rewritten to it.
///
/// # Errors
/// There is none: the path would come out as another (`%2F` would become `/`).
pub fn rewritable(target: &str) -> Result<String, Refusal> {
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    if !survives(path.as_bytes()) {
        let detail = "behind Caddy a path with an encoded `/`, `;`, `:`, `@`, `&`, `=`, `+`, `$` or \
                      `,` cannot be kept while something is cut out of the query";
        return Err(Refusal::fault(Fault::BadRequest, detail));
    }
    // The braces of a placeholder.
    let query = query.replace('{', "%7B").replace('}', "%7D");
    Ok(format!("{path}?{query}"))
}

/// Whether a path means the same once Go has decoded and encoded it: what has a meaning of its
/// own in a path (RFC 3986 §2.2) is not encoded again.
fn survives(path: &[u8]) -> bool {
    const LEFT_BARE: [&[u8; 2]; 9] =
        [b"24", b"26", b"2b", b"2c", b"2f", b"3a", b"3b", b"3d", b"40"];
    !path.windows(3).any(|part| match part {
        [b'%', digits @ ..] => LEFT_BARE.iter().any(|bare| digits.eq_ignore_ascii_case(*bare)),
        _ => false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_rewritten_only_to_what_stays_itself() {
        for (target, expected) in [
            ("/c", Some("/c?")),
            ("/c?a=%7e+b", Some("/c?a=%7e+b")),
            ("/My%20Room/%C3%BC;x=1?", Some("/My%20Room/%C3%BC;x=1?")),
            ("/c?a={env.HOME}&b=?", Some("/c?a=%7Benv.HOME%7D&b=?")),
            ("/%7e/%c3%bc/a!b", Some("/%7e/%c3%bc/a!b?")),
            ("/%2Fadmin", None),
            ("/a%2fb", None),
            ("/a%3Bb", None),
        ] {
            assert_eq!(rewritable(target).ok().as_deref(), expected, "{target}");
        }
    }
}
