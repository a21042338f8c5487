//! Host → site, path and method → settings.
//!
//! Patterns are compared raw and segment by segment; how one path can be read in several
//! ways is `path`'s subject.

use std::collections::HashMap;

use http::Method;

use crate::plan::Settings;

/// Which host belongs to which site (index into `Plan::sites`).
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Lower-case host without port and final dot (as [`super::host::Host::name`] has it).
    pub exact: HashMap<String, usize>,
    /// `.chat.acme.example` for `*.chat.acme.example`, the longest first.
    pub wildcards: Vec<(String, usize)>,
    /// The one site without `hosts`.
    pub fallback: Option<usize>,
}

impl Hosts {
    /// The site of a host (in lower case, without port and final dot): exact, then
    /// wildcard at any depth, then the site without `hosts`.
    pub fn find(&self, host: &str) -> Option<usize> {
        let wildcard = || {
            let fits = |suffix: &str| host.len() > suffix.len() && host.ends_with(suffix);
            self.wildcards.iter().find(|(suffix, _)| fits(suffix)).map(|(_, site)| *site)
        };
        self.exact.get(host).copied().or_else(wildcard).or(self.fallback)
    }
}

/// A site's routes.
#[derive(Clone, Debug, Default)]
pub struct Routes(pub Vec<Route>);

/// One entry of `routes:`.
#[derive(Clone, Debug)]
pub struct Route {
    /// What path it is for.
    pub pattern: PathPattern,
    /// Which methods; empty: any.
    pub methods: Vec<Method>,
    /// What holds there.
    pub settings: Settings,
}

impl Routes {
    /// The first route for a raw path (without query) and a method.
    pub fn find(&self, path: &str, method: &Method) -> Option<&Route> {
        self.read(path.as_bytes(), Case::Exact, method)
    }

    /// The first route for one reading of a path.
    pub(super) fn read(&self, path: &[u8], case: Case, method: &Method) -> Option<&Route> {
        self.0.iter().find(|route| {
            (route.methods.is_empty() || route.methods.contains(method))
                && route.pattern.reads(path, case)
        })
    }
}

/// How letters are compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Case {
    /// As they are.
    Exact,
    /// ASCII letters without their case.
    Folded,
}

/// A path pattern: `*` is one segment, a final `/*` the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// `None` is `*`.
    pub segments: Vec<Option<String>>,
    /// Whether everything below belongs to it too.
    pub rest: bool,
}

impl PathPattern {
    /// Reads a pattern: `/embed` is that path alone, `/embed/*` is `/embed`, `/embed/` and
    /// all below, `/chat/*/web` has any one (non-empty) segment in the middle, `/*` is all.
    ///
    /// # Errors
    /// A sentence for the configuration's author.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(inner) = text.strip_prefix('/') else {
            return Err("a path begins with `/`".into());
        };
        if let Some(bad) = inner.chars().find(|c| !c.is_ascii_graphic() || "?#%;\\\"".contains(*c))
        {
            return Err(format!(
                "{bad:?} cannot stand in a path pattern (write the plain path, without query and escapes)"
            ));
        }
        if inner.is_empty() {
            return Ok(Self { segments: Vec::new(), rest: false });
        }
        let mut segments: Vec<&str> = inner.split('/').collect();
        let rest = segments.last() == Some(&"*");
        if rest {
            segments.pop();
        }
        let segments = segments.into_iter().map(Self::segment).collect::<Result<_, _>>()?;
        Ok(Self { segments, rest })
    }

    fn segment(text: &str) -> Result<Option<String>, String> {
        match text {
            "*" => Ok(None),
            "" => Err("no empty segments: write `/a` or `/a/*`, not `/a/` or `//`".into()),
            "." | ".." => Err("no dot segments".into()),
            _ if text.contains('*') => {
                Err("`*` stands for a whole segment, as in `/chat/*/web`".into())
            }
            _ => Ok(Some(text.into())),
        }
    }

    /// Whether a raw path (without query) belongs to it.
    pub fn matches(&self, path: &str) -> bool {
        self.reads(path.as_bytes(), Case::Exact)
    }

    pub(super) fn reads(&self, path: &[u8], case: Case) -> bool {
        let path = path.strip_prefix(b"/").unwrap_or(path);
        let mut found =
            (!path.is_empty()).then(|| path.split(|byte| *byte == b'/')).into_iter().flatten();
        for wanted in &self.segments {
            let fits = match (found.next(), wanted) {
                (None, _) => false,
                (Some(segment), None) => !segment.is_empty(),
                (Some(segment), Some(name)) => match case {
                    Case::Exact => segment == name.as_bytes(),
                    Case::Folded => segment.eq_ignore_ascii_case(name.as_bytes()),
                },
            };
            if !fits {
                return false;
            }
        }
        self.rest || found.next().is_none()
    }

    /// Whether some path is both its own and one of `other`.
    pub fn meets(&self, other: &Self) -> bool {
        let enough =
            |one: &Self, other: &Self| one.rest || one.segments.len() >= other.segments.len();
        let alike = |(one, other): (&Option<String>, &Option<String>)| match (one, other) {
            (Some(one), Some(other)) => one.eq_ignore_ascii_case(other),
            _ => true,
        };
        enough(self, other)
            && enough(other, self)
            && self.segments.iter().zip(&other.segments).all(alike)
    }

    /// Whether every path of `other` is one of its own.
    pub fn covers(&self, other: &Self) -> bool {
        let enough = if self.rest {
            other.segments.len() >= self.segments.len()
        } else {
            !other.rest && other.segments.len() == self.segments.len()
        };
        enough
            && self
                .segments
                .iter()
                .zip(&other.segments)
                .all(|(own, others)| own.is_none() || own == others)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_is_looked_up_exactly_then_by_wildcard_then_by_default() {
        let hosts = Hosts {
            exact: HashMap::from([("chat.acme.example".into(), 0), ("[::1]".into(), 4)]),
            wildcards: vec![(".eu.acme.example".into(), 1), (".acme.example".into(), 2)],
            fallback: None,
        };
        for (host, site) in [
            ("chat.acme.example", Some(0)),
            ("[::1]", Some(4)),
            ("shop.acme.example", Some(2)),
            ("a.b.acme.example", Some(2)),
            ("a.eu.acme.example", Some(1)),
            ("acme.example", None),
            ("notacme.example", None),
            (".acme.example", None),
        ] {
            assert_eq!(hosts.find(host), site, "{host}");
        }
        let fallback = Hosts { fallback: Some(3), ..hosts };
        assert_eq!(fallback.find("acme.example"), Some(3));
        assert_eq!(fallback.find("chat.acme.example"), Some(0));
    }

    #[test]
    fn patterns_match_what_they_say() {
        for (pattern, matching, other) in [
            (
                "/embed/*",
                &["/embed", "/embed/", "/embed/a", "/embed/a/b"][..],
                &["/embedx", "/", "/x/embed"][..],
            ),
            ("/embed", &["/embed"], &["/embed/", "/embed/a", "/Embed"]),
            (
                "/chat/*/web",
                &["/chat/7/web"],
                &["/chat//web", "/chat/web", "/chat/7/web/", "/chat/7/8/web"],
            ),
            (
                "/chat/*/*",
                &["/chat/7", "/chat/7/", "/chat/7/a/b"],
                &["/chat", "/chat/", "/chat//x"],
            ),
            ("/*", &["/", "/a", "/a/b"], &[]),
            ("/", &["/"], &["/a", "//"]),
        ] {
            let parsed = PathPattern::parse(pattern).unwrap();
            for path in matching {
                assert!(parsed.matches(path), "{pattern} should match {path}");
            }
            for path in other {
                assert!(!parsed.matches(path), "{pattern} should not match {path}");
            }
        }
    }

    #[test]
    fn patterns_that_could_never_match_are_errors() {
        for pattern in [
            "", "embed", "/embed/", "//", "/a//b", "/a*", "/a/**", "/a/../b", "/./a", "/a?b",
            "/a%20", "/a b", "/a;b", "/ā",
        ] {
            assert!(PathPattern::parse(pattern).is_err(), "{pattern}");
        }
    }

    #[test]
    fn a_pattern_covers_what_it_includes() {
        for (own, other, covers) in [
            ("/*", "/embed", true),
            ("/embed/*", "/embed", true),
            ("/embed/*", "/embed/*", true),
            ("/embed/*", "/embed/a/*", true),
            ("/chat/*/web", "/chat/7/web", true),
            ("/chat/7/web", "/chat/*/web", false),
            ("/embed", "/embed/*", false),
            ("/embed/a/*", "/embed/*", false),
            ("/a/*/*", "/a/*", false),
        ] {
            let parse = |text| PathPattern::parse(text).unwrap();
            assert_eq!(parse(own).covers(&parse(other)), covers, "{own} over {other}");
        }
    }

    #[test]
    fn methods_limit_a_route_and_the_first_match_wins() {
        let settings = crate::gate::testing::settings();
        let route = |pattern, methods: &[Method]| Route {
            pattern: PathPattern::parse(pattern).unwrap(),
            methods: methods.to_vec(),
            settings: settings.clone(),
        };
        let routes =
            Routes(vec![route("/a/*", &[Method::GET]), route("/a/b", &[]), route("/*", &[])]);
        let found = |path, method| {
            let found = routes.find(path, &method).unwrap();
            routes.0.iter().position(|route| std::ptr::eq(route, found)).unwrap()
        };
        assert_eq!(found("/a/b", Method::GET), 0);
        assert_eq!(found("/a/b", Method::POST), 1);
        assert_eq!(found("/a/b", Method::HEAD), 1);
        assert_eq!(found("/c", Method::POST), 2);
    }
}
