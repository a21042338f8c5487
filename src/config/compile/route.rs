//! Exceptions by path and method: `routes`.

use http::Method;

use super::{Compiler, access, source};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::Mechanism;
use crate::gate::route::{PathPattern, Route, Routes};
use crate::plan::Settings;

const PATH: &str =
    "a path such as /assets/* or /chat/*/loader.js: `*` is one segment, a final `/*` the rest";

/// A site's routes; what a route does not say is the site's.
pub fn routes(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::List<raw::Route>,
    site: &Settings,
    mechanism: &Mechanism,
    place: &Place,
) -> Routes {
    let mut routes: Vec<Route> = Vec::new();
    for (index, raw) in raw.entries() {
        let place = place.index(index);
        let pattern = match &raw.path {
            Some(path) => pattern(compiler, path, &place.key("path")),
            None => {
                compiler.missing(&place, "path", "path: /assets/*");
                None
            }
        };
        let methods = methods(compiler, raw.methods.as_ref(), &place.key("methods"));
        let settings = settings(compiler, raw, site, mechanism, &place);
        let (Some(pattern), Some(methods)) = (pattern, methods) else { continue };
        let route = Route { pattern, methods, settings };
        if is_covered(&route, &routes) {
            compiler
                .report
                .value(&place, "this route can never match: earlier ones cover it")
                .hint("the first match wins: put the narrower route first");
        }
        routes.push(route);
    }
    Routes(routes)
}

fn settings(
    compiler: &mut Compiler<'_, '_>,
    raw: &raw::Route,
    site: &Settings,
    mechanism: &Mechanism,
    place: &Place,
) -> Settings {
    let mut settings = site.clone();
    if let Some(raw::Mode(mode)) = raw.mode {
        settings.mode = mode;
    }
    if let Some(list) = &raw.sources {
        settings.sources = source::sources(compiler, list, mechanism, &place.key("sources")).into();
    }
    if let Some(word) = raw.unsigned {
        settings.keep_unsigned = word == raw::UnsignedWord::Keep;
    }
    if let Some(forward) = raw.forward_credential {
        settings.forward_credential = forward;
    }
    if let Some(list) = &raw.allowed_origins {
        settings.allowed_origins = access::origins(compiler, list, &place.key("allowed_origins"));
    }
    settings
}

fn methods(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::List<String>>,
    place: &Place,
) -> Option<Vec<Method>> {
    if compiler.report.was_removed(place) {
        return None;
    }
    let Some(list) = raw else { return Some(Vec::new()) };
    let mut sound = true;
    if list.is_empty() {
        compiler
            .report
            .key(place, "an empty list of methods")
            .expected("[GET]")
            .hint("leave `methods` out for any");
        sound = false;
    }
    let mut methods = Vec::new();
    for (index, text) in list.entries() {
        let upper = text.to_ascii_uppercase();
        match Method::from_bytes(text.as_bytes()) {
            Ok(method) if upper == *text => methods.push(method),
            _ => {
                let problem =
                    compiler.report.value(&place.index(index), format!("`{text}` is no method"));
                problem.expected("a method in capitals: GET, POST, …");
                if upper != *text {
                    problem.hint(format!("write `{upper}`"));
                }
                sound = false;
            }
        }
    }
    (sound && !methods.is_empty()).then_some(methods)
}

/// Reads a pattern. Refused is, beside what is no path, whatever no request could match in
/// both readings of its path (raw, and as lenient backends read it), and would only ever
/// be turned away.
fn pattern(compiler: &mut Compiler<'_, '_>, text: &str, place: &Place) -> Option<PathPattern> {
    let mut wrong = |what: &str, hint: &str| {
        let problem = compiler.report.value(place, format!("`{text}`: {what}"));
        problem.expected(PATH);
        if !hint.is_empty() {
            problem.hint(hint);
        }
        None
    };
    let Some(path) = text.strip_prefix('/') else {
        return wrong("a path begins with `/`", "");
    };
    if path.contains(['?', '#']) {
        return wrong("a path without query", "the query is not looked at");
    }
    if path.contains('%') || !path.is_ascii() {
        return wrong("encoded or non-ASCII characters", "write `*` for such a segment");
    }
    if path.bytes().any(|byte| byte <= b' ' || b"\\;\"<>^`{|}\x7f".contains(&byte)) {
        return wrong("a character that paths do not have", "");
    }
    let (rest, path) = match path {
        "*" => (true, ""),
        path => match path.strip_suffix("/*") {
            Some(above) => (true, above),
            None => (false, path),
        },
    };
    if path.is_empty() {
        return Some(PathPattern { segments: Vec::new(), rest });
    }
    let mut segments = Vec::new();
    for segment in path.split('/') {
        match segment {
            "" if text.ends_with('/') => {
                let bare = text.trim_end_matches('/');
                return wrong("a final `/`", &format!("write `{bare}`, or `{bare}/*`"));
            }
            "" => return wrong("an empty segment", ""),
            "." | ".." => return wrong("a dot segment", "write the path that it leads to"),
            "*" => segments.push(None),
            _ if segment.contains('*') => {
                return wrong("`*` as a part of a segment", "a whole segment, or none");
            }
            _ => segments.push(Some(segment.to_owned())),
        }
    }
    Some(PathPattern { segments, rest })
}

/// Whether every request that could match `route` matches an earlier one.
fn is_covered(route: &Route, earlier: &[Route]) -> bool {
    let over = || earlier.iter().filter(|other| covers(&other.pattern, &route.pattern));
    if route.methods.is_empty() {
        return over().any(|other| other.methods.is_empty());
    }
    route.methods.iter().all(|method| {
        over().any(|other| other.methods.is_empty() || other.methods.contains(method))
    })
}

fn covers(wide: &PathPattern, narrow: &PathPattern) -> bool {
    let long_enough = if wide.rest {
        narrow.segments.len() >= wide.segments.len()
    } else {
        !narrow.rest && narrow.segments.len() == wide.segments.len()
    };
    let fits =
        |(wide, narrow): (&Option<String>, &Option<String>)| wide.is_none() || (wide == narrow);
    long_enough && wide.segments.iter().zip(&narrow.segments).all(fits)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::place::Marks;
    use crate::config::report::Report;

    fn read(text: &str) -> Option<PathPattern> {
        let marks = Marks::default();
        let mut report = Report::new(&marks, Vec::new());
        let mut compiler = Compiler {
            folder: std::path::PathBuf::new(),
            options: crate::config::Options::default(),
            now: crate::clock::UnixTime::from_secs(0),
            report: &mut report,
            watched: Vec::new(),
        };
        pattern(&mut compiler, text, &Place::root())
    }

    #[test]
    fn patterns_are_read_segment_by_segment() {
        let segment = |text: &str| Some(text.to_owned());
        let pattern = |segments: &[Option<String>], rest| {
            Some(PathPattern { segments: segments.to_vec(), rest })
        };
        assert_eq!(read("/"), pattern(&[], false));
        assert_eq!(read("/*"), pattern(&[], true));
        assert_eq!(read("/embed/*"), pattern(&[segment("embed")], true));
        assert_eq!(
            read("/chat/*/loader.js"),
            pattern(&[segment("chat"), None, segment("loader.js")], false)
        );
        for bad in ["", "a", "/a/", "//", "/a//b", "/a/../b", "/a*", "/a?b", "/a%20b", "/é", "/a b"]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_wider_route_covers_a_narrower_one() {
        for (wide, narrow) in [
            ("/*", "/"),
            ("/*", "/a/*"),
            ("/embed/*", "/embed"),
            ("/embed/*", "/embed/*/x"),
            ("/*/x", "/a/x"),
        ] {
            let (wide, narrow) = (read(wide).unwrap(), read(narrow).unwrap());
            assert!(covers(&wide, &narrow), "{wide:?} {narrow:?}");
            assert!(!covers(&narrow, &wide), "{narrow:?} {wide:?}");
        }
    }
}
