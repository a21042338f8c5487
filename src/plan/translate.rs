//! What is written for a backend that wants a proof of its own (`translate:`).

use std::borrow::Cow;
use std::sync::Arc;

use http::Method;

use crate::dialect::{Carrier, HashField, Names};
use crate::gate::Fields;
use crate::gate::route::PathPattern;
use crate::identity::Proven;
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
    /// The names of that place, as whatever carries it spells them: a client's own leaves.
    pub fields: Arc<Fields>,
    /// The site's identity fields, by position, that this backend knows somebody by.
    pub known: Vec<(usize, HashField)>,
    /// Which paths; none: all.
    pub path: Option<PathPattern>,
    /// To which methods it is written; empty: any. A client's own leaves whatever the method.
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

    /// Whether bodies are looked into for a client's own. A parameter's as well: PHP's
    /// `$_REQUEST` and many a framework take it from either, and a body's wins.
    pub const fn is_in_body(&self) -> bool {
        !matches!(self, Self::Header(..))
    }

    /// Whether it is written into a body.
    pub const fn is_written_in_body(&self) -> bool {
        matches!(self, Self::Json(_) | Self::Form(_))
    }
}

impl Translation {
    /// Whether it is written to requests of this method.
    pub fn writes(&self, method: &Method) -> bool {
        self.methods.is_empty() || self.methods.contains(method)
    }
}

/// On which of a site's translations' paths a request is.
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

    /// Those whose paths, as far as they are limited, fit. Their methods are looked at when
    /// something is written: a backend may take a POST for what `X-HTTP-Method-Override` or a
    /// field says.
    pub fn due(&self, fits: impl Fn(&PathPattern) -> bool) -> Due {
        let is_due = |one: &Translation| one.path.as_ref().is_none_or(&fits);
        let bit = |due: Due, (index, one)| Due(due.0 | u64::from(is_due(one)) << (index % 64));
        self.0.iter().enumerate().fold(Due::NONE, bit)
    }

    /// The values that a verified visitor's identity fields may have, by position: those that
    /// the credential proved. But what a backend takes for the id is what is written as one:
    /// another template's, and be it the website's own id, is another visitor there.
    pub fn proven<'i>(&self, visitor: &'i Proven) -> Cow<'i, [(usize, String)]> {
        let known = || self.0.iter().flat_map(|one| one.known.iter().map(move |it| (one, *it)));
        if known().next().is_none() {
            return Cow::Borrowed(&visitor.fields);
        }
        let is_id = |index: usize| known().any(|(_, own)| own == (index, HashField::Id));
        let own = visitor.fields.iter().filter(|(index, _)| !is_id(*index)).cloned();
        let ours = known().filter_map(|(one, (index, field))| {
            let value = match field {
                HashField::Id => one.translator.id(visitor),
                HashField::Email => visitor.email.clone(),
                HashField::Name => visitor.name.clone(),
            };
            Some((index, value?))
        });
        Cow::Owned(own.chain(ours).collect())
    }

    /// Those that are due, in the order of the file.
    pub fn these(&self, due: Due) -> impl Iterator<Item = &Translation> {
        let is_due = move |index: &usize| due.0 >> (index % 64) & 1 == 1;
        self.0.iter().enumerate().filter(move |(index, _)| is_due(index)).map(|(_, one)| one)
    }
}
