//! Exceptions by path and method: `routes`.

use http::Method;

use super::{Compiler, access, source};
use crate::config::place::Place;
use crate::config::raw;
use crate::dialect::Mechanism;
use crate::gate::route::{PathPattern, Route, Routes};
use crate::plan::{RefuseUpgrade, Settings};

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
    if let Some(list) = &raw.frame_ancestors {
        let place = place.key("frame_ancestors");
        settings.frame_ancestors = access::frame_ancestors(compiler, list, &place);
    }
    if let Some(way) = refuse_upgrade(raw.refuse_upgrade) {
        settings.refuse_upgrade = way;
    }
    if raw.body_limit.is_some() {
        let place = place.key("body_limit");
        settings.body_limit = super::settings::body_limit(compiler, raw.body_limit, &place);
    }
    settings
}

/// How a handshake is refused, if that is said.
pub fn refuse_upgrade(word: Option<raw::RefuseUpgradeWord>) -> Option<RefuseUpgrade> {
    Some(match word? {
        raw::RefuseUpgradeWord::Http => RefuseUpgrade::Http,
        raw::RefuseUpgradeWord::Close => RefuseUpgrade::Close,
    })
}

/// The methods that something is limited to; empty: any. None for what is unsound.
pub fn methods(
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
        match method(compiler, text, &place.index(index)) {
            Some(method) => methods.push(method),
            None => sound = false,
        }
    }
    (sound && !methods.is_empty()).then_some(methods)
}

/// A request's method.
pub fn method(compiler: &mut Compiler<'_, '_>, text: &str, place: &Place) -> Option<Method> {
    let upper = text.to_ascii_uppercase();
    match Method::from_bytes(text.as_bytes()) {
        Ok(method) if upper == *text => Some(method),
        _ => {
            let problem = compiler.report.value(place, format!("`{text}` is no method"));
            problem.expected("a method in capitals: GET, POST, …");
            if upper != *text {
                problem.hint(format!("write `{upper}`"));
            }
            None
        }
    }
}

/// A path pattern.
pub fn pattern(compiler: &mut Compiler<'_, '_>, text: &str, place: &Place) -> Option<PathPattern> {
    match PathPattern::parse(text) {
        Ok(pattern) => Some(pattern),
        Err(sentence) => {
            compiler.report.value(place, format!("`{text}`: {sentence}")).expected(PATH);
            None
        }
    }
}

/// Whether every request that could match `route` matches an earlier one.
fn is_covered(route: &Route, earlier: &[Route]) -> bool {
    let over = || earlier.iter().filter(|other| other.pattern.covers(&route.pattern));
    if route.methods.is_empty() {
        return over().any(|other| other.methods.is_empty());
    }
    route.methods.iter().all(|method| {
        over().any(|other| other.methods.is_empty() || other.methods.contains(method))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, methods: &[Method]) -> Route {
        let settings = Settings {
            mode: crate::gate::Mode::Off,
            sources: [].into(),
            keep_unsigned: false,
            forward_credential: false,
            allowed_origins: [].into(),
            frame_ancestors: None,
            refuse_upgrade: RefuseUpgrade::default(),
            body_limit: None,
        };
        let pattern = PathPattern::parse(path).unwrap();
        Route { pattern, methods: methods.to_vec(), settings }
    }

    #[test]
    fn a_route_is_covered_by_earlier_ones_together() {
        let (get, post) = (Method::GET, Method::POST);
        let earlier =
            [route("/a/*", std::slice::from_ref(&get)), route("/*", std::slice::from_ref(&post))];
        assert!(is_covered(&route("/a/b", &[get.clone(), post.clone()]), &earlier));
        assert!(!is_covered(&route("/b", &[get, post]), &earlier));
        assert!(!is_covered(&route("/a/b", &[]), &earlier));
        assert!(is_covered(&route("/a/b", &[]), &[route("/*/b", &[])]));
    }
}
