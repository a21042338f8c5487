//! The widget's own endpoints: paths that Countersign takes from every site
//! (`verbs: off` gives them back). They are judged under the site's own settings, as a
//! request to the backend would be, and need a page that may speak to the site.
//!
//! No spelling of them reaches a backend: it would take for its own what a page means for
//! Countersign, a logout for example.

use std::borrow::Cow;

use http::Method;
use percent_encoding::percent_decode;

use super::host::Host;
use super::origin::{self, Sender};
use super::{Body, Fault, Refusal, RequestView, path};
use crate::plan::{Plan, Settings};

/// Where they are.
const FOLDER: &str = "/.countersign";
/// What every spelling of it holds, once decoded.
const NAME: &[u8] = b"countersign";

/// What a widget asks of Countersign itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    /// Who am I?
    Whoami,
    /// This session is over.
    Logout,
    /// Here is a fresh proof.
    Refresh,
    /// There is nothing there.
    Unknown,
    /// There is something, for this other method alone.
    Wrong(&'static str),
}

impl Verb {
    /// What a request asks for, if it is Countersign's to answer.
    ///
    /// # Errors
    /// [`Fault::BadRequest`] if only some would read its path as one of these.
    pub(super) fn of(plan: &Plan, request: &RequestView<'_>) -> Result<Option<Self>, Refusal> {
        let path = request.path();
        if !plan.verbs || request.body == Body::Elsewhere || !hints_at_us(path) {
            return Ok(None);
        }
        let rest =
            path.strip_prefix(FOLDER).filter(|rest| rest.is_empty() || rest.starts_with('/'));
        let Some(rest) = rest else {
            let detail = "the path can be read as one of Countersign's own, and is not spelt so";
            let disguised = path::may_be_read(path, is_ours);
            return if disguised {
                Err(Refusal::fault(Fault::BadRequest, detail))
            } else {
                Ok(None)
            };
        };
        let (verb, method) = match rest {
            "/whoami" => (Self::Whoami, "GET"),
            "/logout" => (Self::Logout, "POST"),
            "/refresh" => (Self::Refresh, "POST"),
            _ => return Ok(Some(Self::Unknown)),
        };
        let fits = request.method.as_str() == method
            || origin::is_preflight(request.method, request.headers);
        Ok(Some(if fits { verb } else { Self::Wrong(method) }))
    }
}

/// Whether the name occurs in a path, however it is encoded: all others are not looked at
/// any further.
fn hints_at_us(path: &str) -> bool {
    let once: Cow<'_, [u8]> = percent_decode(path.as_bytes()).into();
    let twice: Cow<'_, [u8]> = percent_decode(&once).into();
    twice.windows(NAME.len()).any(|part| part.eq_ignore_ascii_case(NAME))
}

fn is_ours(reading: &[u8]) -> bool {
    let folder = reading.get(..FOLDER.len());
    folder.is_some_and(|folder| folder.eq_ignore_ascii_case(FOLDER.as_bytes()))
        && matches!(reading.get(FOLDER.len()), None | Some(b'/'))
}

/// Whether the page behind a request may not use the verbs: its origin is none that is
/// listed, where some are, nor the site's own.
pub(super) fn is_foreign(request: &RequestView<'_>, host: &Host<'_>, settings: &Settings) -> bool {
    let allowed = &settings.allowed_origins;
    match origin::sender(request.headers) {
        Sender::Unsaid => false,
        Sender::Opaque => true,
        Sender::Page(_) if allowed.is_empty() => false,
        Sender::Page(page) => !allowed.contains(&page) && !page.is_at(host, request.tls),
    }
}

/// Why a cookie may not stand for the visitor in this request, if it may not: the page
/// behind it is not known to be one that may speak to the site. Reading is no safer than
/// writing here: `whoami` tells a name.
pub(super) fn doubt(
    request: &RequestView<'_>,
    host: &Host<'_>,
    settings: &Settings,
) -> Option<&'static str> {
    let known = match origin::sender(request.headers) {
        Sender::Unsaid => origin::is_own_page(request.headers)
            .unwrap_or(matches!(*request.method, Method::GET | Method::HEAD)),
        Sender::Opaque => false,
        Sender::Page(page) => {
            settings.allowed_origins.contains(&page) || page.is_at(host, request.tls)
        }
    };
    (!known).then_some("a cookie counts here only for pages of this site's allowed_origins")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::testing::{PlanBuilder, headers, token_dialect, view};

    fn read(path: &str) -> Result<Option<Verb>, &'static str> {
        let plan = PlanBuilder::new(token_dialect()).build();
        let headers = headers(&[]);
        Verb::of(&plan, &view(&headers, path)).map_err(|refusal| refusal.code())
    }

    #[test]
    fn the_folder_and_all_in_it_is_ours_and_what_only_resembles_it_is_not() {
        assert_eq!(read("/.countersign/whoami?x=/"), Ok(Some(Verb::Whoami)));
        assert_eq!(read("/.countersign/logout"), Ok(Some(Verb::Wrong("POST"))));
        for path in [
            "/.countersign",
            "/.countersign/",
            "/.countersign/whoami/",
            "/.countersign/../.countersign/whoami",
            "/.countersign/%77hoami",
        ] {
            assert_eq!(read(path), Ok(Some(Verb::Unknown)), "{path}");
        }
        for path in [
            "/",
            "/countersign/whoami",
            "/.countersigned",
            "/a/.countersign/whoami",
            "/./a",
            "/a?b=/.countersign/whoami",
            "/go/http:%2f%2fchat.test%2f.countersign%2fwhoami",
        ] {
            assert_eq!(read(path), Ok(None), "{path}");
        }
    }

    #[test]
    fn a_path_that_some_read_as_ours_is_nobodys() {
        for path in [
            "/%2ecountersign/whoami",
            "/%2Ecounter%73ign/whoami",
            "/%252ecountersign/whoami",
            "/.Countersign/whoami",
            "//.countersign/whoami",
            "/./.countersign/whoami",
            "/x/../.countersign/logout",
            "/x/..%2f.countersign/logout",
            "/\\.countersign\\whoami",
            "/.countersign;x/whoami",
            "/.countersign%2fwhoami",
        ] {
            assert_eq!(read(path), Err("bad_request"), "{path}");
        }
    }
}
