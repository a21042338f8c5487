//! Origins (RFC 6454) of web pages.

/// A serialised origin in lower case, without the scheme's default port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Origin(String);

impl Origin {
    /// Parses `https://www.acme.example[:port]`; anything with a path, userinfo or another
    /// scheme than http(s) is none.
    pub fn parse(text: &str) -> Option<Self> {
        let _ = text;
        todo!()
    }

    /// The origin as browsers send it.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
