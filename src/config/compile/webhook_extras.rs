//! What a website adds to each event: `headers`, `properties`.
//!
//! Neither names nor values of a wrong header are cut out of what Countersign sends: they
//! are refused here. A header's value may be a password and is never shown.

use std::collections::HashSet;

use http::{HeaderName, HeaderValue};

use super::Compiler;
use crate::config::place::Place;
use crate::config::raw;
use crate::gate::contract;
use crate::gate::of_http::frames;

const MOST: usize = 32;
const LONGEST: usize = 4096;

/// Headers of one's own.
pub fn headers(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Named<String>>,
    place: &Place,
) -> Vec<(HeaderName, HeaderValue)> {
    let Some(raw::Named(written)) = raw else { return Vec::new() };
    few(compiler, written.len(), place);
    let mut headers: Vec<(HeaderName, HeaderValue)> = Vec::new();
    let mut seen: Vec<HeaderName> = Vec::new();
    for (name, value) in written {
        let place = place.key(name);
        let Some(header) = header(compiler, name, &place) else { continue };
        if seen.contains(&header) {
            compiler.report.key(&place, format!("`{name}` stands here for the second time"));
        }
        seen.push(header.clone());
        if let Some(value) = value_of(compiler, value, &place) {
            headers.push((header, value));
        }
    }
    headers
}

fn header(compiler: &mut Compiler<'_, '_>, name: &str, place: &Place) -> Option<HeaderName> {
    let Ok(header) = HeaderName::from_bytes(name.as_bytes()) else {
        compiler
            .report
            .key(place, format!("`{name}` cannot be a header's name"))
            .expected("letters, digits and -");
        return None;
    };
    if is_taken(header.as_str()) {
        compiler
            .report
            .key(place, format!("`{name}` is not yours to set"))
            .expected("a header that neither HTTP nor the format of the event needs");
        return None;
    }
    Some(header)
}

/// What frames a request and what our client says itself, what signs an event, and
/// Countersign's own. The rest of HTTP's is the website's to set here, such as `Authorization`.
fn is_taken(name: &str) -> bool {
    const OURS: [&str; 4] = ["accept-encoding", "date", "ms-signature", "via"];
    frames(name)
        || OURS.iter().any(|own| contract::folds_alike(own, name))
        || contract::folds_into(name, "webhook-")
        || contract::is_reserved(name)
}

fn value_of(compiler: &mut Compiler<'_, '_>, text: &str, place: &Place) -> Option<HeaderValue> {
    let printable = text.bytes().all(|byte| byte == b' ' || byte.is_ascii_graphic());
    let value = HeaderValue::from_str(text).ok().filter(|_| printable && text.len() <= LONGEST);
    let Some(mut value) = value else {
        compiler
            .report
            .value(place, "this cannot be a header's value")
            .expected(format!("at most {LONGEST} visible ASCII characters and spaces"));
        return None;
    };
    value.set_sensitive(true);
    Some(value)
}

/// `Properties` of an event.
pub fn properties(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::Named<String>>,
    place: &Place,
) -> Vec<(String, String)> {
    let Some(raw::Named(written)) = raw else { return Vec::new() };
    few(compiler, written.len(), place);
    let mut folded = HashSet::new();
    for (name, value) in written {
        let place = place.key(name);
        if name.is_empty() || name.len() + value.len() > LONGEST {
            compiler
                .report
                .key(&place, "a property without a name, or a very long one")
                .expected(format!("name and value of 1 to {LONGEST} bytes together"));
        }
        // Receivers look properties up ignoring case.
        if !folded.insert(name.to_lowercase()) {
            compiler
                .report
                .key(&place, format!("`{name}` stands here for the second time"))
                .expected("names that differ in more than case");
        }
    }
    written.clone()
}

fn few(compiler: &mut Compiler<'_, '_>, count: usize, place: &Place) {
    if count > MOST {
        compiler.report.key(place, format!("{count} of them")).expected(format!("at most {MOST}"));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_website_sets_only_headers_that_are_its_own() {
        for name in [
            "host",
            "content-length",
            "content-type",
            "ms-signature",
            "webhook-id",
            "transfer-encoding",
            "transfer_encoding",
            "content.type",
            "_host",
            "webhook_id",
            "ms_signature",
            "via",
            "countersign-id",
        ] {
            assert!(is_taken(name), "{name}");
        }
        for name in ["authorization", "x-api-key", "user-agent", "cookie", "x-webhook-id"] {
            assert!(!is_taken(name), "{name}");
        }
    }
}
