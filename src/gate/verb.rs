//! The widget's own endpoints: paths that Countersign takes from every site
//! (`verbs: off` gives them back). They are judged under the site's own settings, as a
//! request to the backend would be, and need a page that may speak to the site.

use super::RequestView;
use super::host::Host;
use super::origin::{self, Sender};
use crate::plan::{Plan, Settings};

/// Where they are.
const FOLDER: &str = "/.countersign/";

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
    pub(super) fn of(plan: &Plan, request: &RequestView<'_>) -> Option<Self> {
        let name = request.path().strip_prefix(FOLDER).filter(|_| plan.verbs)?;
        let (verb, method) = match name {
            "whoami" => (Self::Whoami, "GET"),
            "logout" => (Self::Logout, "POST"),
            "refresh" => (Self::Refresh, "POST"),
            _ => return Some(Self::Unknown),
        };
        let fits = request.method.as_str() == method
            || origin::is_preflight(request.method, request.headers);
        Some(if fits { verb } else { Self::Wrong(method) })
    }
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
        Sender::Unsaid => !origin::is_cross_site(request.headers),
        Sender::Opaque => false,
        Sender::Page(page) => {
            settings.allowed_origins.contains(&page) || page.is_at(host, request.tls)
        }
    };
    (!known).then_some("a cookie counts here only for pages of this site's allowed_origins")
}
