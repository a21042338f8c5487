//! How the names of header fields are written in HTTP/1.x: in Canonical-Case, the spelling
//! that people and old software expect.

use bytes::Bytes;
use http::HeaderName;

use crate::gate::contract::{self, SiteHeaders};

/// A field's name as it is written to a site's backend: as the configuration spells it, if it
/// does.
pub fn spelled_for(site: Option<&SiteHeaders>, name: &HeaderName) -> Bytes {
    match site.and_then(|site| site.spelling(name)) {
        Some(spelling) => spelling.clone(),
        None => spelled(name),
    }
}

/// A field's name as it is written in HTTP/1.x. Nothing is allocated for a name that every
/// request gains.
pub fn spelled(name: &HeaderName) -> Bytes {
    let name = name.as_str();
    match contract::spelling(name) {
        Some(spelling) => Bytes::from_static(spelling.as_bytes()),
        None => canonical(name),
    }
}

fn canonical(name: &str) -> Bytes {
    let mut start = true;
    let letters = name.bytes().map(|byte| {
        let letter = if start { byte.to_ascii_uppercase() } else { byte };
        start = byte == b'-';
        letter
    });
    letters.collect::<Vec<u8>>().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn injected_names_are_spelled_as_any_other_would_be() {
        for (name, spelling) in contract::SPELLINGS {
            assert_eq!(canonical(name), spelling, "{name}");
        }
    }
}
