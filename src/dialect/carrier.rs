//! Where a request may carry a credential, and under which names.
//!
//! How it is found is the gate's business (`gate::source`).

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
        /// JSON pointers (RFC 6901) through objects.
        names: Names,
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
    /// The names to look for.
    pub const fn names(&self) -> &Names {
        match self {
            Self::Header { names, .. }
            | Self::Query { names, .. }
            | Self::Cookie { names }
            | Self::Protocol { names }
            | Self::Json { names }
            | Self::Form { names }
            | Self::Multipart { names } => names,
        }
    }

    /// Whether it lies in a request's body.
    pub const fn is_in_body(&self) -> bool {
        matches!(self, Self::Json { .. } | Self::Form { .. } | Self::Multipart { .. })
    }
}

/// The names of a credential's parts in one carrier. Tokens have only `proof`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names {
    /// The token, or the hash.
    pub proof: String,
    /// Hash dialects: the id that is hashed.
    pub id: Option<String>,
    /// Hash dialects: the email, where the message has one.
    pub email: Option<String>,
    /// Hash dialects: the name, where the message has one.
    pub name: Option<String>,
}
