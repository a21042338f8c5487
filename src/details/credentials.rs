//! Who posts: HTTP Basic (RFC 7617) with the credentials of one site's `details:`.
//!
//! Every site is compared with, in time that does not depend on where something differs, so
//! an unknown user name takes as long as a wrong password, and is answered the same.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::{HeaderMap, header};
use subtle::{Choice, ConstantTimeEq as _};
use zeroize::Zeroizing;

use crate::plan::Site;

/// With or without padding: some clients leave it out.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A user name and a password, as they were sent.
struct Basic {
    decoded: Zeroizing<Vec<u8>>,
    colon: usize,
}

impl Basic {
    /// The one `Authorization` field of a request, if it is one of these.
    fn of(headers: &HeaderMap) -> Option<Self> {
        let mut fields = headers.get_all(header::AUTHORIZATION).iter();
        let field = fields.next().filter(|_| fields.next().is_none())?.as_bytes();
        let (scheme, rest) = field.split_at_checked(6)?;
        if !scheme.eq_ignore_ascii_case(b"basic ") {
            return None;
        }
        let decoded = Zeroizing::new(BASE64.decode(rest.trim_ascii()).ok()?);
        let colon = decoded.iter().position(|byte| *byte == b':')?;
        Some(Self { decoded, colon })
    }

    fn is_of(&self, site: &Site) -> Choice {
        let Some(details) = &site.website.details else { return Choice::from(0) };
        let (username, rest) = self.decoded.split_at(self.colon);
        let password = rest.get(1..).unwrap_or_default();
        let is_user = details.username.as_bytes().ct_eq(username);
        is_user & Choice::from(u8::from(details.password.matches(password)))
    }
}

/// The site whose credentials a request has; user names are unique over all sites.
pub(super) fn site<'p>(
    sites: impl Iterator<Item = &'p Site>,
    headers: &HeaderMap,
) -> Option<&'p Site> {
    let basic = Basic::of(headers)?;
    let mut found = None;
    for site in sites {
        if bool::from(basic.is_of(site)) {
            found = Some(site);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::super::tests::{basic, sites};
    use super::*;

    fn found(fields: &[&str]) -> Option<String> {
        let mut headers = HeaderMap::new();
        for field in fields {
            headers.append(header::AUTHORIZATION, field.parse().unwrap());
        }
        site(sites().iter(), &headers).map(|site| site.name.to_string())
    }

    #[test]
    fn each_site_is_found_by_its_own_user_name_and_password() {
        assert_eq!(found(&[&basic("acme", "open sesame")]).as_deref(), Some("acme"));
        assert_eq!(found(&[&basic("other", "a:b")]).as_deref(), Some("other"));
        // "acme:open sesame" without its padding, the scheme in other letters.
        assert_eq!(found(&["bAsIc  YWNtZTpvcGVuIHNlc2FtZQ"]).as_deref(), Some("acme"));
    }

    #[test]
    fn nobody_else_is_let_in() {
        for fields in [
            &[][..],
            &[&*basic("acme", "open sesam")],
            &[&*basic("acme", "open sesame ")],
            &[&*basic("acme", "")],
            &[&*basic("ACME", "open sesame")],
            &[&*basic("acme", "a:b")],
            &[&*basic("nobody", "open sesame")],
            &[&*basic("", "")],
            &["Basic"],
            &["Basic "],
            &["Basic !!!!"],
            &["Basic YWNtZQ=="],
            &["Bearer YWNtZTpvcGVuIHNlc2FtZQ=="],
            &[&*basic("acme", "open sesame"), &*basic("acme", "open sesame")],
        ] {
            assert_eq!(found(fields), None, "{fields:?}");
        }
    }
}
