//! Which bodies could carry identity fields, and must therefore not be too large to inspect.

use http::{HeaderMap, header};

use super::{Fault, Refusal, RequestView};

/// The limit for this request's body, if its type can carry fields: JSON, form,
/// `text/plain`, or none named. Multipart and other media types stream however large.
///
/// # Errors
/// [`Fault::BodyTooLarge`] if the request announces more at once.
pub(super) fn limit(request: &RequestView<'_>, limit: usize) -> Result<Option<usize>, Refusal> {
    let announced = announced(request.headers);
    // After a handshake the bytes are messages, no body.
    let handshake = request.upgrade
        && announced.is_none()
        && !request.headers.contains_key(header::TRANSFER_ENCODING);
    if handshake || announced == Some(0) || !can_carry_fields(request.headers) {
        return Ok(None);
    }
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Refusal::fault(
            Fault::BodyTooLarge,
            format!("a body of this type may hold at most {limit} bytes here"),
        ));
    }
    Ok(Some(limit))
}

fn announced(headers: &HeaderMap) -> Option<u64> {
    headers.get(header::CONTENT_LENGTH)?.to_str().ok()?.trim().parse().ok()
}

/// Whether a backend might read fields from a body of this type. A type that cannot be
/// read, or two of them, might be anything.
fn can_carry_fields(headers: &HeaderMap) -> bool {
    let mut fields = headers.get_all(header::CONTENT_TYPE).iter();
    let (Some(value), None) = (fields.next(), fields.next()) else { return true };
    let Ok(value) = value.to_str() else { return true };
    let essence = value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match essence.split_once('/') {
        None => true,
        Some(("application", "x-www-form-urlencoded" | "json") | ("text", "plain" | "json")) => {
            true
        }
        Some((_, subtype)) => subtype.ends_with("+json") || value.contains(','),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{headers, view};

    #[test]
    fn only_bodies_that_can_carry_fields_are_limited() {
        for (fields, expected) in [
            (&[][..], Ok(Some(100))),
            (&[("content-type", "application/json")], Ok(Some(100))),
            (&[("content-type", "Application/JSON; charset=utf-8")], Ok(Some(100))),
            (&[("content-type", "application/vnd.api+json")], Ok(Some(100))),
            (&[("content-type", "application/x-www-form-urlencoded")], Ok(Some(100))),
            (&[("content-type", "text/plain")], Ok(Some(100))),
            (&[("content-type", "nonsense")], Ok(Some(100))),
            (&[("content-type", "image/png, application/json")], Ok(Some(100))),
            (&[("content-type", "image/png"), ("content-type", "text/plain")], Ok(Some(100))),
            (&[("content-length", "100")], Ok(Some(100))),
            (&[("content-length", "0")], Ok(None)),
            (&[("content-length", "101")], Err("body_too_large")),
            (
                &[("content-type", "application/json"), ("content-length", "101")],
                Err("body_too_large"),
            ),
            (
                &[("content-type", "multipart/form-data; boundary=x"), ("content-length", "101")],
                Ok(None),
            ),
            (&[("content-type", "image/png"), ("content-length", "101")], Ok(None)),
        ] {
            let headers = headers(fields);
            let found = limit(&view(&headers, "/"), 100).map_err(|refusal| refusal.code());
            assert_eq!(found, expected, "{fields:?}");
        }
    }

    #[test]
    fn messages_after_a_handshake_are_no_body() {
        let plain = headers(&[]);
        let request = RequestView { upgrade: true, ..view(&plain, "/") };
        assert_eq!(limit(&request, 100), Ok(None));
        let odd = headers(&[("content-length", "5")]);
        let request = RequestView { upgrade: true, ..view(&odd, "/") };
        assert_eq!(limit(&request, 100), Ok(Some(100)));
    }
}
