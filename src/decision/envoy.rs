//! What Envoy makes of a field that comes twice: one, its values joined by commas.
//!
//! Two credentials in one `Authorization` have the shape of none. So they are parted again
//! before anything is judged, and what is left of them is joined again for the answer.

use http::{HeaderMap, HeaderValue, header};

/// Parts what was sent as several `Authorization` fields.
pub fn unfold(headers: &mut HeaderMap) {
    let fields = || headers.get_all(header::AUTHORIZATION).iter();
    if !fields().any(|value| value.as_bytes().contains(&b',')) {
        return;
    }
    let parted: Vec<HeaderValue> = fields()
        .flat_map(|value| parted(value.as_bytes()))
        .filter_map(|part| HeaderValue::from_bytes(part).ok())
        .collect();
    headers.remove(header::AUTHORIZATION);
    for value in parted {
        headers.append(header::AUTHORIZATION, value);
    }
}

/// The credentials in a field: parted at each comma outside quotes, unless an `auth-param`
/// follows, which belongs to what stands before it (RFC 9110 §11.4).
fn parted(field: &[u8]) -> Vec<&[u8]> {
    let (mut parts, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, byte) in field.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b',' if !quoted && !field.get(at + 1..).is_some_and(is_parameter) => {
                parts.extend(field.get(begin..at));
                begin = at + 1;
            }
            _ => {}
        }
    }
    parts.extend(field.get(begin..));
    let parts = parts.into_iter().map(<[u8]>::trim_ascii);
    parts.filter(|part| !part.is_empty()).collect()
}

/// Whether this begins with `name=value`; the `=` that ends a base64 text stands before none.
fn is_parameter(rest: &[u8]) -> bool {
    let rest = rest.trim_ascii_start();
    let name = rest.iter().take_while(|byte| !matches!(byte, b'=' | b' ' | b'\t' | b',')).count();
    let (name, after) = rest.split_at_checked(name).unwrap_or_default();
    let value = after.trim_ascii_start().strip_prefix(b"=").map(<[u8]>::trim_ascii_start);
    let has_value = |value: &[u8]| value.first().is_some_and(|byte| !matches!(byte, b'=' | b','));
    !name.is_empty() && value.is_some_and(has_value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_parted_and_the_parameters_of_one_are_not() {
        for (field, expected) in [
            ("Bearer a", &["Bearer a"][..]),
            ("Bearer a,Bearer b", &["Bearer a", "Bearer b"]),
            ("Bearer a, Bearer b==,c.d.e", &["Bearer a", "Bearer b==", "c.d.e"]),
            ("a.b.c,YTpi==", &["a.b.c", "YTpi=="]),
            ("Basic YTpi,Bearer a", &["Basic YTpi", "Bearer a"]),
            ("Digest a=\"b\", c=d", &["Digest a=\"b\", c=d"]),
            (
                "Digest a=\"x, Bearer \\\" y\",b=c,Bearer d",
                &["Digest a=\"x, Bearer \\\" y\",b=c", "Bearer d"],
            ),
            (",Bearer a,", &["Bearer a"]),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(header::AUTHORIZATION, HeaderValue::from_static(field));
            unfold(&mut headers);
            let found: Vec<_> = headers.get_all(header::AUTHORIZATION).iter().collect();
            assert_eq!(found, expected, "{field}");
        }
    }
}
