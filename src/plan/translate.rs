//! What is written for a backend that wants a proof of its own (`translate:`).

use http::Method;

use crate::dialect::{Carrier, Names};
use crate::gate::Fields;
use crate::gate::route::PathPattern;
use crate::translate::Translator;

/// A site's translations, in the order of the file.
#[derive(Debug, Default)]
pub struct Translations(pub Vec<Translation>);

/// One entry of `translate:`.
#[derive(Debug)]
pub struct Translation {
    /// What writes.
    pub translator: Translator,
    /// Where to.
    pub into: Target,
    /// The names of that place, as whatever carries it spells them: nobody's own survives.
    pub fields: Fields,
    /// Which paths; none: all.
    pub path: Option<PathPattern>,
    /// Which methods; empty: any.
    pub methods: Vec<Method>,
    /// Also where only a session says who the visitor is.
    pub by_session: bool,
}

/// A place of a request that a proof is written into.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Header fields, in lower case; the scheme stands before the proof.
    Header(Names, Option<String>),
    /// Query parameters; the scheme stands before the proof.
    Query(Names, Option<String>),
    /// Members of a JSON body.
    Json(Names<crate::dialect::Pointer>),
    /// Fields of a urlencoded body.
    Form(Names),
}

impl Target {
    /// The place that a carrier of credentials is, if a proof can be written there.
    pub fn of(carrier: Carrier) -> Option<Self> {
        match carrier {
            Carrier::Header { names, scheme } => Some(Self::Header(names, scheme)),
            Carrier::Query { names, scheme } => Some(Self::Query(names, scheme)),
            Carrier::Json { names } => Some(Self::Json(names)),
            Carrier::Form { names } => Some(Self::Form(names)),
            Carrier::Cookie { .. } | Carrier::Protocol { .. } | Carrier::Multipart { .. } => None,
        }
    }

    /// The header fields that it is, in lower case.
    pub fn header_names(&self) -> impl Iterator<Item = &str> {
        let names = match self {
            Self::Header(names, _) => Some(names),
            _ => None,
        };
        names.into_iter().flat_map(Names::all).map(String::as_str)
    }

    /// Whether it lies in a request's body.
    pub const fn is_in_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Form(_))
    }
}

/// Which of a site's translations a request is due.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Due(u64);

impl Due {
    /// None of them.
    pub const NONE: Self = Self(0);

    /// Whether it is none.
    pub const fn is_none(self) -> bool {
        self.0 == 0
    }
}

impl Translations {
    /// A site has at most as many.
    pub const MOST: usize = 64;

    /// Those of this method whose paths, as far as they are limited, fit.
    pub fn due(&self, method: &Method, fits: impl Fn(&PathPattern) -> bool) -> Due {
        let is_due = |one: &Translation| {
            (one.methods.is_empty() || one.methods.contains(method))
                && one.path.as_ref().is_none_or(&fits)
        };
        let bit = |due: Due, (index, one)| Due(due.0 | u64::from(is_due(one)) << (index % 64));
        self.0.iter().enumerate().fold(Due::NONE, bit)
    }

    /// Those that are due, in the order of the file.
    pub fn these(&self, due: Due) -> impl Iterator<Item = &Translation> {
        let is_due = move |index: &usize| due.0 >> (index % 64) & 1 == 1;
        self.0.iter().enumerate().filter(move |(index, _)| is_due(index)).map(|(_, one)| one)
    }
}
