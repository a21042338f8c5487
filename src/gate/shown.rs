//! What `Debug` shows of requests and answers: names and lengths.
//!
//! A value may be a credential or say who a visitor is, and a query may hold both; none of
//! that may come to a log because somebody prints a structure. A path is shown as it is.

use std::fmt::{Debug, Formatter, Result};

use http::{HeaderMap, HeaderName, HeaderValue};

/// How long something is.
pub(crate) struct Size(pub usize);

impl Debug for Size {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        write!(f, "{} bytes", self.0)
    }
}

/// A target in origin form, without what its query says.
pub(crate) struct Target<'a>(pub &'a str);

impl Debug for Target<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        match self.0.split_once('?') {
            Some((path, query)) => write!(f, "{path}?({:?})", Size(query.len())),
            None => f.write_str(self.0),
        }
    }
}

/// Header fields without their values.
pub(crate) struct Headers<'a>(pub &'a HeaderMap);

impl Debug for Headers<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        f.debug_map().entries(self.0.iter().map(without_value)).finish()
    }
}

/// The same, of a list of them.
pub(crate) struct List<'a>(pub &'a [(HeaderName, HeaderValue)]);

impl Debug for List<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> Result {
        let fields = self.0.iter().map(|(name, value)| without_value((name, value)));
        f.debug_map().entries(fields).finish()
    }
}

fn without_value<'a>((name, value): (&'a HeaderName, &HeaderValue)) -> (&'a str, Size) {
    (name.as_str(), Size(value.len()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dialect::{Credential, Hash, Reason};
    use crate::gate::multipart::Renamer;
    use crate::gate::testing::headers;
    use crate::gate::{
        Body, Edits, Forward, NewBody, Outcome, Peer, Refusal, RequestView, Verdict,
    };
    use crate::identity::{Standing, Visitor};

    fn edits() -> Edits {
        let field = |name, value| (HeaderName::from_static(name), HeaderValue::from_static(value));
        Edits {
            target: Some("/chat?token=hunter2".into()),
            remove: vec![HeaderName::from_static("authorization")],
            set: vec![field("countersign-assertion", "hunter2")],
            append: vec![field("cookie", "a=hunter2")],
        }
    }

    #[test]
    fn what_changes_in_a_request_is_shown_by_names_and_lengths() {
        assert_eq!(
            format!("{:?}", edits()),
            "Edits { target: Some(/chat?(13 bytes)), remove: [\"authorization\"], set: \
             {\"countersign-assertion\": 7 bytes}, append: {\"cookie\": 9 bytes} }"
        );
        let replaced = NewBody::Replaced(bytes::Bytes::from_static(b"{\"token\":\"hunter2\"}"));
        assert_eq!(format!("{replaced:?}"), "Replaced(19 bytes)");
    }

    #[test]
    fn nothing_that_holds_a_proof_shows_it() {
        let fields = std::sync::Arc::default();
        let mut renamer = Renamer::new("b", fields, &[(0, "hunter2".into())], Vec::new());
        let _ = renamer.push(b"hunter2", false);
        let standing = Standing::Guest(Reason::Missing);
        let forward = |body| Forward {
            visitor: Visitor { standing: standing.clone(), claimed: None, details: None },
            edits: edits(),
            overlooked: Some(Box::new(Refusal::identity(Reason::Missing, "none"))),
            omitted: Vec::new(),
            body,
        };
        let renamed = Outcome::Forward(Box::new(forward(NewBody::Renamed(Box::new(renamer)))));
        let verdict = Verdict {
            site: None,
            mode: None,
            verb: None,
            way: 0,
            settings: None,
            allowed_origins: Vec::new().into(),
            outcome: Outcome::Forward(Box::new(forward(NewBody::Replaced("hunter2".into())))),
            stripped: 0,
            distrusted: false,
        };
        let fields = headers(&[("authorization", "Bearer hunter2"), ("cookie", "a=hunter2")]);
        let request = RequestView {
            method: &http::Method::POST,
            target: "/login?jwt=hunter2",
            authority: None,
            headers: &fields,
            peer: Peer::Unix,
            tls: false,
            local_port: None,
            upgrade: false,
            request_id: "r",
            body: Body::Whole(b"hunter2"),
        };
        let hash = Hash { proof: "hunter2".into(), id: Some("ada".into()), ..Hash::default() };
        let (token, hash) = (Credential::Token("hunter2".into()), Credential::Hash(hash));
        let printed = format!("{renamed:?} {verdict:?} {request:?} {token:?} {hash:?}");
        assert!(!printed.contains("hunter2"), "{printed}");
        // Bytes are printed as a list of numbers.
        assert!(!printed.contains("104, 117"), "{printed}");
        assert!(printed.contains("\"authorization\": 14 bytes"), "{printed}");
        assert!(printed.contains("/login?(11 bytes)"), "{printed}");
    }
}
