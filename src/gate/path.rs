//! One path, several readers: the route must be the same for all of them, and so must what
//! is written there for the backend (`translate`).
//!
//! A backend may decode a path once or twice, take `\` for `/`, join `//`, drop `;…`,
//! resolve dot segments, ignore case or a final `/`. Were `/assets/%2e%2e/admin` let
//! through under the settings of `/assets/*`, such a backend would serve `/admin` to
//! somebody who never proved a thing. So all those habits are tried in every order (`new
//! URL` of JavaScript resolves `%2e%2e` and decodes nothing else; a router behind it decodes
//! then), and where two readings meet different settings the request is a fault. A path of
//! one meaning is forwarded unchanged.

use std::borrow::Cow;

use http::Method;

use super::route::{Case, PathPattern};
use super::{Fault, Refusal};
use crate::plan::{Due, Settings, Site};

/// The settings in force for a raw path (without query) and a method.
///
/// # Errors
/// [`Fault::BadRequest`] if the path has two meanings.
///
/// # Cost
/// Nothing on a site without routes; no allocation unless the path holds `%`, `\`, `;`,
/// `//` or a segment beginning with a dot.
pub fn settings<'p>(site: &'p Site, path: &str, method: &Method) -> Result<&'p Settings, Refusal> {
    met(site, path, method).map(|(settings, _)| settings)
}

/// The same, and which of the site's translations are due there.
pub(super) fn met<'p>(
    site: &'p Site,
    path: &str,
    method: &Method,
) -> Result<(&'p Settings, Due), Refusal> {
    let due = |fits: &dyn Fn(&PathPattern) -> bool| site.translations.due(fits);
    if site.routes.0.is_empty() && site.translations.0.iter().all(|one| one.path.is_none()) {
        return Ok((&site.settings, due(&|_| true)));
    }
    let meets = |path: &[u8], case| {
        let route = site.routes.read(path, case, method);
        let settings = route.map_or(&site.settings, |route| &route.settings);
        (settings, due(&|pattern| pattern.reads(path, case)))
    };
    let raw = path.as_bytes();
    let chosen = meets(raw, Case::Exact);
    let agrees = |reading: &[u8]| {
        let shorter = match reading.strip_suffix(b"/") {
            Some(shorter) if !shorter.is_empty() => shorter,
            _ => reading,
        };
        [
            (reading, Case::Exact),
            (reading, Case::Folded),
            (shorter, Case::Exact),
            (shorter, Case::Folded),
        ]
        .into_iter()
        .all(|(reading, case)| {
            let met = meets(reading, case);
            met.1 == chosen.1 && (std::ptr::eq(met.0, chosen.0) || met.0 == chosen.0)
        })
    };
    let clear = if is_plain(raw) {
        agrees(raw)
    } else {
        readings(raw).is_some_and(|readings| readings.iter().all(|reading| agrees(&reading.path)))
    };
    if clear {
        Ok(chosen)
    } else {
        Err(Refusal::fault(
            Fault::BadRequest,
            "the path can be read in two ways, and this site does not treat both alike",
        ))
    }
}

/// Whether a lenient backend may read a raw path as one that fits. One with too many
/// readings may be anything.
pub(super) fn may_be_read(path: &str, fits: impl Fn(&[u8]) -> bool) -> bool {
    let raw = path.as_bytes();
    if is_plain(raw) {
        return fits(raw);
    }
    readings(raw).is_none_or(|readings| readings.iter().any(|reading| fits(&reading.path)))
}

/// Whether a lenient backend may read a raw path (without query) as one of a pattern's,
/// without case or a final `/`.
pub fn may_be_one_of(pattern: &PathPattern, path: &str) -> bool {
    may_be_read(path, |reading| {
        let shorter = reading.strip_suffix(b"/").filter(|shorter| !shorter.is_empty());
        pattern.reads(shorter.unwrap_or(reading), Case::Folded)
    })
}

/// Whether all readings are the same but for case and a final `/`.
fn is_plain(path: &[u8]) -> bool {
    let mut previous = 0;
    path.iter().all(|&byte| {
        let odd = matches!(byte, b'%' | b'\\' | b';')
            || (previous == b'/' && matches!(byte, b'/' | b'.'));
        previous = byte;
        !odd
    })
}

/// No path that anybody means has more readings than this.
const MOST_READINGS: usize = 48;

struct Reading<'p> {
    path: Cow<'p, [u8]>,
    /// How often it was percent-decoded: twice at most.
    decoded: u8,
}

/// A way to read a path; none where it changes nothing.
type Habit = fn(&[u8]) -> Option<Vec<u8>>;

/// The path as it came and after every sequence of a lenient backend's habits; none if
/// there are too many to be looked at.
fn readings(raw: &[u8]) -> Option<Vec<Reading<'_>>> {
    const HABITS: [Habit; 5] =
        [with_slashes, without_parameters, joined, resolved, resolved_by_url];
    let mut readings = vec![Reading { path: Cow::Borrowed(raw), decoded: 0 }];
    let mut next = 0;
    while let Some(Reading { path, decoded: times }) = readings.get(next) {
        let habits = HABITS.iter().filter_map(|habit| Some((habit(path)?, *times)));
        let decoded = decoded(path).filter(|_| *times < 2).map(|path| (path, times + 1));
        let more: Vec<_> = habits.chain(decoded).collect();
        for (path, decoded) in more {
            let known = |reading: &Reading<'_>| reading.decoded <= decoded && reading.path == path;
            if !readings.iter().any(known) {
                readings.push(Reading { path: Cow::Owned(path), decoded });
            }
        }
        if readings.len() > MOST_READINGS {
            return None;
        }
        next += 1;
    }
    Some(readings)
}

fn decoded(path: &[u8]) -> Option<Vec<u8>> {
    match Cow::from(percent_encoding::percent_decode(path)) {
        Cow::Borrowed(_) => None,
        Cow::Owned(decoded) => Some(decoded),
    }
}

fn with_slashes(path: &[u8]) -> Option<Vec<u8>> {
    let slash = |byte: &u8| if *byte == b'\\' { b'/' } else { *byte };
    path.contains(&b'\\').then(|| path.iter().map(slash).collect())
}

fn without_parameters(path: &[u8]) -> Option<Vec<u8>> {
    path.contains(&b';').then(|| {
        let bare = |segment: &[u8]| {
            segment.split(|byte| *byte == b';').next().unwrap_or_default().to_vec()
        };
        let segments: Vec<_> = path.split(|byte| *byte == b'/').map(bare).collect();
        segments.join(&b'/')
    })
}

fn joined(path: &[u8]) -> Option<Vec<u8>> {
    path.windows(2).any(|pair| pair == b"//").then(|| {
        let mut path = path.to_vec();
        path.dedup_by(|next, previous| *next == b'/' && *previous == b'/');
        path
    })
}

/// Dot segments removed as in RFC 3986 §5.2.4.
fn resolved(path: &[u8]) -> Option<Vec<u8>> {
    without_dots(path, |segment| match segment {
        b"." => Dots::One,
        b".." => Dots::Two,
        _ => Dots::None,
    })
}

/// The same, as WHATWG URL has it: `%2e` is a dot, whatever else is encoded.
fn resolved_by_url(path: &[u8]) -> Option<Vec<u8>> {
    without_dots(path, |segment| {
        let mut rest = segment;
        let mut dots = 0;
        while let Some(dot) =
            [b".".as_slice(), b"%2e", b"%2E"].into_iter().find(|dot| rest.starts_with(dot))
        {
            rest = rest.get(dot.len()..).unwrap_or_default();
            dots += 1;
        }
        match (rest, dots) {
            (b"", 1) => Dots::One,
            (b"", 2) => Dots::Two,
            _ => Dots::None,
        }
    })
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Dots {
    None,
    One,
    Two,
}

fn without_dots(path: &[u8], dots: fn(&[u8]) -> Dots) -> Option<Vec<u8>> {
    let is_dots = |segment: &[u8]| dots(segment) != Dots::None;
    if !path.split(|byte| *byte == b'/').any(is_dots) {
        return None;
    }
    let mut segments: Vec<&[u8]> = Vec::new();
    let inner = path.strip_prefix(b"/").unwrap_or(path);
    for segment in inner.split(|byte| *byte == b'/') {
        match dots(segment) {
            Dots::One => {}
            Dots::Two => {
                segments.pop();
            }
            Dots::None => segments.push(segment),
        }
    }
    if inner.rsplit(|byte| *byte == b'/').next().is_some_and(is_dots) {
        segments.push(b"");
    }
    let mut resolved = vec![b'/'];
    resolved.extend(segments.join(&b'/'));
    Some(resolved)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::Mode;
    use crate::gate::testing::{PlanBuilder, token_dialect};

    fn mode_of(path: &str) -> Result<Mode, &'static str> {
        let plan = PlanBuilder::new(token_dialect())
            .mode(Mode::Require)
            .route("/assets/*", Mode::Off)
            .route("/embed", Mode::Prefer)
            .route("/same/*", Mode::Require)
            .route("/Case/*", Mode::Accept)
            .build();
        settings(&plan.sites[0], path, &Method::GET).map(|s| s.mode).map_err(|r| r.code())
    }

    #[test]
    fn a_path_of_one_meaning_has_its_settings() {
        for (path, mode) in [
            ("/", Mode::Require),
            ("/assets", Mode::Off),
            ("/assets/", Mode::Off),
            ("/assets/app.js", Mode::Off),
            ("/assets/App.JS", Mode::Off),
            ("/assets/a%20b", Mode::Off),
            ("/assets//a", Mode::Off),
            ("/assets/a;v=1", Mode::Off),
            ("/assets/./a", Mode::Off),
            ("/assets/x/../a", Mode::Off),
            ("/assets/.well-known", Mode::Off),
            ("/embed", Mode::Prefer),
            ("/Case/x", Mode::Accept),
            ("/other/../elsewhere", Mode::Require),
            ("/caf%C3%A9", Mode::Require),
            ("/%zz", Mode::Require),
            // Another route, but the same settings: nothing to choose between.
            ("/same/../x", Mode::Require),
            ("/SAME/x", Mode::Require),
        ] {
            assert_eq!(mode_of(path), Ok(mode), "{path}");
        }
    }

    #[test]
    fn a_path_of_two_meanings_is_a_bad_request() {
        for path in [
            "/assets/../admin",
            "/assets/..",
            "/assets/%2e%2e/admin",
            "/assets/%2E%2e/admin",
            "/assets/%252e%252e/admin",
            "/assets/..%2fadmin",
            "/assets%2f..%2fadmin",
            "/assets/..\\admin",
            "/assets/..%5cadmin",
            "/assets/..;/admin",
            "/assets/..;a=b/admin",
            "/assets/%2e%2e%3b/admin",
            "/x/../assets/a",
            "//assets/a",
            "/\\assets/a",
            "/%61ssets/a",
            "/%2561ssets/a",
            "/assets;x/a",
            "/ASSETS/a",
            "/Assets",
            "/./assets/a",
            "/embed/",
            "/Embed",
            "/embed;x",
            "/embed/.",
            "/case/x",
            // A reader that ignores case but leaves dots alone sees /assets.
            "/ASSETS/../x",
            "/ASSETS/%2e%2e/x",
            // Dot segments resolved before anything is decoded, `%2e` being one (WHATWG URL).
            "/assets/x%2fy/%2e%2e/%2e%2e/admin",
            "/assets/x%2fy/.%2E/%2e./admin",
            // Decoded again after the dot segments of the first reading are gone.
            "/%2561ssets/x%252fy/%2e%2e/%2e%2e/%2561ssets",
        ] {
            assert_eq!(mode_of(path), Err("bad_request"), "{path}");
        }
    }

    #[test]
    fn who_writes_no_routes_is_told_of_none() {
        let site = PlanBuilder::new(token_dialect()).route("/embed", Mode::Off).build();
        let refusal = settings(&site.sites[0], "/embed/", &Method::GET).unwrap_err();
        // A translation's own path may be what two readings differ about.
        assert!(!refusal.detail.contains("route"), "{}", refusal.detail);
    }

    #[test]
    fn without_routes_nothing_can_be_mistaken() {
        let plan = PlanBuilder::new(token_dialect()).mode(Mode::Accept).build();
        let found = settings(&plan.sites[0], "/a/../%2e%2e//b;c", &Method::GET);
        assert_eq!(found.map(|s| s.mode), Ok(Mode::Accept));
    }

    #[test]
    fn dot_segments_resolve_as_the_rfc_says() {
        for (path, expected) in [
            ("/a/b/c/./../../g", "/a/g"),
            ("/a/..", "/"),
            ("/a/.", "/a/"),
            ("/../../x", "/x"),
            ("/a//../b", "/a/b"),
        ] {
            let found = resolved(path.as_bytes()).unwrap();
            assert_eq!(String::from_utf8(found).unwrap(), expected, "{path}");
        }
        assert_eq!(resolved(b"/a/.b/..c"), None);
    }

    #[test]
    fn habits_are_tried_in_every_order() {
        let reads = |path: &str, reading: &str| {
            let readings = readings(path.as_bytes()).unwrap();
            readings.iter().any(|found| found.path == reading.as_bytes())
        };
        for (path, reading) in [
            ("/a/x%2fy/%2e%2e/b", "/a/b"),
            ("/a/x%2fy/%2e%2e/b", "/a/x/b"),
            ("/%61/x%2fy/%2e%2e/b", "/a/b"),
            ("/x//..//b", "/x/b"),
            ("/x//..//b", "/b"),
            ("/a/x%2fy/.%2E;z/%2562", "/a/b"),
            ("/a%255c..%5cb", "/b"),
        ] {
            assert!(reads(path, reading), "{path} can be read as {reading}");
        }
        assert!(!reads("/%252541", "/A"), "nobody decodes three times");
    }

    #[test]
    fn a_path_with_too_many_readings_is_given_up() {
        for path in
            ["/%2541\\..;x//%2e/".repeat(200), "%25".repeat(4000), "/%2e;/..\\".repeat(3000)]
        {
            let path = format!("/{path}");
            let begun = std::time::Instant::now();
            assert!(readings(path.as_bytes()).is_none_or(|all| all.len() <= MOST_READINGS));
            assert!(begun.elapsed().as_secs() < 2, "{:?}", begun.elapsed());
        }
        assert_eq!(mode_of(&"/%2541\\..;x//%2e/".repeat(200)), Err("bad_request"));
    }
}
