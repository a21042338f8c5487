//! What of a request's body is looked at, and the session tokens that it carries.

use http::{HeaderName, header};

use super::body::{Body, Interest, Kind};
use super::content::Content;
use super::examination::Place;
use super::session::{self, SessionToken};
use super::{Fault, Refusal, RequestView};
use crate::plan::Plan;

/// Without any of these a body is not there, or was read if it matters.
const BODY_FIELDS: [HeaderName; 3] =
    [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::CONTENT_ENCODING];

/// The body, as far as anybody looks at it, and what it is. What `observe` cannot read
/// passes unread.
pub(super) fn content<'b>(
    place: &Place<'_, '_>,
    plan: &Plan,
    request: &RequestView<'b>,
) -> Result<(Option<Kind>, Content<'b>), Refusal> {
    match request.body {
        // The usual GET: nothing says that there is a body, and nobody has read one.
        Body::Unseen if !BODY_FIELDS.iter().any(|name| request.headers.contains_key(name)) => {
            return Ok((None, Content::Nothing));
        }
        Body::Elsewhere => return Ok((None, Content::Nothing)),
        Body::Late => {
            let detail = "the request body did not arrive in time";
            return Err(Refusal::fault(Fault::BodyTimeout, detail));
        }
        Body::Broken => {
            let detail = "the request's body breaks off or is not well framed";
            return Err(Refusal::fault(Fault::BadRequest, detail));
        }
        Body::Unseen | Body::Whole(_) | Body::TooLarge => {}
    }
    let Some(interest) = Interest::of(plan, place.site, place.settings, place.due) else {
        return Ok((None, Content::Nothing));
    };
    let kind = match (interest.kind(request), request.body) {
        (Ok(Some(_)), Body::TooLarge) => Err(interest.too_large()),
        (kind, _) => kind,
    };
    let kind = match kind {
        Err(_) if !interest.refuses() => None,
        kind => kind?,
    };
    let content = match (&kind, request.body) {
        (Some(kind), Body::Whole(bytes)) => Content::read(kind, bytes),
        _ => Ok(Content::Nothing),
    };
    match content {
        Err(_) if !place.settings.mode.cleans() => Ok((None, Content::Nothing)),
        content => Ok((kind, content?)),
    }
}

/// The session tokens that a request carries.
///
/// # Errors
/// [`Fault::BadRequest`]: there are too many to be looked up. `observe` looks up none.
pub(super) fn sessions<'a>(
    place: &Place<'_, '_>,
    request: &RequestView<'a>,
    content: &'a Content<'_>,
) -> Result<Vec<SessionToken<'a>>, Refusal> {
    let Some(session) = place.site.remembers.session.as_deref() else { return Ok(Vec::new()) };
    match session::tokens(session, request, content) {
        Ok(tokens) => Ok(tokens),
        Err(_) if !place.settings.mode.cleans() => Ok(Vec::new()),
        Err(_) => {
            let detail = "the request carries too many different session tokens";
            Err(Refusal::fault(Fault::BadRequest, detail))
        }
    }
}
