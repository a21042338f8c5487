//! Host → site, path and method → settings.

use std::collections::HashMap;

use http::Method;

use crate::plan::Settings;

/// Which host belongs to which site (index into `Plan::sites`).
#[derive(Clone, Debug, Default)]
pub struct Hosts {
    /// Lower-case host without port and final dot.
    pub exact: HashMap<String, usize>,
    /// `.chat.acme.example` for `*.chat.acme.example`, the longest first.
    pub wildcards: Vec<(String, usize)>,
    /// The one site without `hosts`.
    pub fallback: Option<usize>,
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

/// A path pattern: `*` is one segment, a final `/*` the rest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PathPattern {
    /// `None` is `*`.
    pub segments: Vec<Option<String>>,
    /// Whether everything below belongs to it too.
    pub rest: bool,
}
