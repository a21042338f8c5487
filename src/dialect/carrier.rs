//! Where a request may carry a credential, and under which names.
//!
//! How it is found is the gate's business (`gate::source`).

use super::{HashField, Pointer};

/// One place where a request may carry the credential.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The place.
    pub carrier: Carrier,
    /// Others use this place too: a value without the dialect's shape is somebody else's.
    pub shared: bool,
}

/// A place in a request, with the names to look for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Carrier {
    /// A header field; `scheme` is an authentication scheme such as `Bearer`, compared
    /// without case. `names` are header names in lower case.
    Header {
        /// In lower case.
        names: Names,
        /// Such as `Bearer`.
        scheme: Option<String>,
    },
    /// A query parameter (names compared percent-decoded); `scheme` as in a header.
    Query {
        /// As they read when decoded.
        names: Names,
        /// Such as `JWT`.
        scheme: Option<String>,
    },
    /// A cookie.
    Cookie {
        /// As they stand.
        names: Names,
    },
    /// A subprotocol that a WebSocket handshake offers (tokens only): `proof` is what
    /// stands before the token, as `countersign.jwt.`.
    Protocol {
        /// `proof` alone.
        names: Names,
    },
    /// Members of a JSON body, also of one that is labelled as a form, as text or not at all.
    Json {
        /// Pointers through objects.
        names: Names<Pointer>,
    },
    /// A field of a urlencoded body.
    Form {
        /// As they read when decoded.
        names: Names,
    },
    /// A part of a `multipart/form-data` body.
    Multipart {
        /// The parts' names.
        names: Names,
    },
}

impl Carrier {
    /// The names to look for, pointers as text.
    pub fn names(&self) -> Names {
        match self {
            Self::Header { names, .. }
            | Self::Query { names, .. }
            | Self::Cookie { names }
            | Self::Protocol { names }
            | Self::Form { names }
            | Self::Multipart { names } => names.clone(),
            Self::Json { names } => names.map(Pointer::to_string),
        }
    }

    /// The name of a part where names are text; in JSON they are pointers.
    pub fn name(&self, part: Part) -> Option<&str> {
        match self {
            Self::Header { names, .. }
            | Self::Query { names, .. }
            | Self::Cookie { names }
            | Self::Protocol { names }
            | Self::Form { names }
            | Self::Multipart { names } => names.of(part).map(String::as_str),
            Self::Json { .. } => None,
        }
    }

    /// Whether it lies in a request's body.
    pub const fn is_in_body(&self) -> bool {
        matches!(self, Self::Json { .. } | Self::Form { .. } | Self::Multipart { .. })
    }
}

/// The names of a credential's parts in one carrier: texts, or pointers. Tokens have only
/// `proof`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names<N = String> {
    /// The token, or the hash.
    pub proof: N,
    /// Hash dialects: the id that is hashed.
    pub id: Option<N>,
    /// Hash dialects: the email, where the message has one.
    pub email: Option<N>,
    /// Hash dialects: the name, where the message has one.
    pub name: Option<N>,
}

/// One part of a credential.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// The token, or the hash.
    Proof,
    /// What lies beside a hash.
    Beside(HashField),
}

impl<N> Names<N> {
    /// The name of a part, if the carrier has room for it.
    pub const fn of(&self, part: Part) -> Option<&N> {
        match part {
            Part::Proof => Some(&self.proof),
            Part::Beside(HashField::Id) => self.id.as_ref(),
            Part::Beside(HashField::Email) => self.email.as_ref(),
            Part::Beside(HashField::Name) => self.name.as_ref(),
        }
    }

    /// Every name.
    pub fn all(&self) -> impl Iterator<Item = &N> {
        let beside = [&self.id, &self.email, &self.name];
        std::iter::once(&self.proof).chain(beside.into_iter().flatten())
    }

    /// The same names, read or written otherwise.
    pub fn map<M>(&self, read: impl Fn(&N) -> M) -> Names<M> {
        Names {
            proof: read(&self.proof),
            id: self.id.as_ref().map(&read),
            email: self.email.as_ref().map(&read),
            name: self.name.as_ref().map(&read),
        }
    }

    /// The same, if every one of them can be read so.
    pub fn try_map<M>(&self, read: impl Fn(&N) -> Option<M>) -> Option<Names<M>> {
        let beside = |name: &Option<N>| match name {
            None => Some(None),
            Some(name) => read(name).map(Some),
        };
        Some(Names {
            proof: read(&self.proof)?,
            id: beside(&self.id)?,
            email: beside(&self.email)?,
            name: beside(&self.name)?,
        })
    }
}
