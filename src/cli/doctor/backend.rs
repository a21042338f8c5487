//! The backend: does it see what Countersign sends, and does it believe the same from anybody?

use http::StatusCode;

use super::ask::{Answer, Place, Unanswered};
use super::gateway::{Chain, clock};
use super::report::Check;
use super::visitor::{Visitor, forged, mark, plain};
use crate::gate::{Mode, path};

/// What tells the two apart who see a page.
const NAME_A_PAGE: &str = "--path names a page that shows who is logged in";

/// Whether a signed visitor is seen by the backend, and made-up headers are not, both through
/// the gateway.
pub async fn sees(chain: &Chain<'_>, visitor: Option<&Visitor>, path: &str) -> Vec<Check> {
    let Some(visitor) = visitor else { return Vec::new() };
    let mut checks = Vec::new();
    let request = match visitor.asks(path) {
        Ok(request) => request,
        Err(why) => return vec![Check::unknown("backend", why)],
    };
    let settings = path::settings(chain.site, request.uri().path(), request.method());
    if settings.is_ok_and(|settings| settings.mode == Mode::Off) {
        let detail = format!("{path} lies on a route of mode `off`: nobody is verified there");
        return vec![Check::unknown("backend", detail).hint(NAME_A_PAGE)];
    }
    let seen = chain.ask(request.clone()).await;
    let shown = match &seen {
        Err(why) => {
            return vec![Check::finding("backend", why.to_string())];
        }
        Ok(answer) if matches!(answer.status.as_u16(), 502..=504) => {
            let detail = format!("the gateway answers {path} with {}", answer.status);
            return vec![
                Check::finding("backend", detail).hint("is the backend up, and `upstream` right?"),
            ];
        }
        Ok(answer) if answer.shows(&visitor.mark) => {
            let detail = format!("{path} shows the visitor whom the gateway let through");
            checks.push(Check::ok("backend", detail));
            true
        }
        Ok(answer) => {
            let status = answer.status.as_u16();
            let detail = format!("{path} was answered {status} and shows no visitor");
            checks.push(Check::unknown("backend", detail).hint(NAME_A_PAGE));
            false
        }
    };
    let mark = mark();
    let mut forgery = request;
    forgery.headers_mut().extend(forged(chain.site, &mark));
    let spoofed = match chain.ask(forgery).await {
        Ok(answer) if answer.shows(&mark) => {
            let detail = "headers that a client made up reach the backend through the gateway";
            Check::finding("spoofing", detail)
                .hint("something between removes the gateway from the way, or it is another one")
        }
        Ok(_) if shown => {
            Check::ok("spoofing", "headers that a client makes up never reach the backend")
        }
        Ok(_) => Check::unknown("spoofing", format!("{path} does not show what the backend got"))
            .hint(NAME_A_PAGE),
        Err(why) => Check::unknown("spoofing", why.to_string()),
    };
    checks.push(spoofed);
    checks
}

/// Whether somebody who goes round the gateway is believed.
pub async fn bypass(chain: &Chain<'_>, path: &str) -> Vec<Check> {
    let upstream = &chain.site.upstream;
    let mut checks = Vec::new();
    for target in &upstream.targets {
        let places = match Place::of_backend(target, upstream.tls.as_ref()).await {
            Ok(places) => places,
            Err(why) => {
                checks.push(Check::unknown("bypass", format!("{why} (from here)")));
                continue;
            }
        };
        for place in places {
            let host = upstream.host.as_deref().unwrap_or(chain.host);
            checks.extend(asked_directly(chain, &place, host, path).await);
        }
    }
    checks
}

async fn asked_directly(chain: &Chain<'_>, place: &Place, host: &str, path: &str) -> Vec<Check> {
    let mark = mark();
    let (Ok(nobody), Ok(mut forgery)) = (plain(path), plain(path)) else { return Vec::new() };
    forgery.headers_mut().extend(forged(chain.site, &mark));
    let nobody = match place.ask(nobody, host).await {
        Ok(answer) => answer,
        Err(Unanswered::Unreachable(..)) => {
            let detail =
                format!("from here nobody gets to {} but through the gateway", place.shown);
            return vec![Check::ok("bypass", detail)];
        }
        Err(why) => return vec![Check::unknown("bypass", why.to_string())],
    };
    let mut checks: Vec<Check> = clock("the backend", &nobody).into_iter().collect();
    let believed = match place.ask(forgery, host).await {
        Ok(answer) => believed(&nobody, &answer, &mark),
        Err(_) => None,
    };
    let shown = &place.shown;
    checks.push(match believed {
        Some(true) => {
            let whoever = match place.is_local() {
                true => "whoever runs a program on this machine",
                false => "whoever can connect to it",
            };
            let detail = format!("{shown} believes made-up Countersign headers of {whoever}");
            Check::finding("bypass", detail).hint(
                "let only the gateway reach it (a socket, a network policy), or have it check \
                 Countersign-Assertion",
            )
        }
        Some(false) => Check::ok("bypass", format!("{shown} believes no made-up headers")),
        None => {
            let detail =
                format!("{shown} can be asked directly; whether it believes made-up headers cannot be told from {path}");
            Check::unknown("bypass", detail).hint(NAME_A_PAGE)
        }
    });
    checks
}

/// Whether a backend took somebody for whom he said he was; `None`: it cannot be told.
fn believed(nobody: &Answer, forged: &Answer, mark: &str) -> Option<bool> {
    let welcome = |status: StatusCode| status.is_success() || status.is_redirection();
    if forged.shows(mark) || (nobody.turns_away() && welcome(forged.status)) {
        return Some(true);
    }
    forged.turns_away().then_some(false)
}
