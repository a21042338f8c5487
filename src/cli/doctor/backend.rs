//! The backend: does it see what Countersign sends, and does it believe the same from anybody?

use super::ask::{Answer, Place, Unanswered};
use super::gateway::{Chain, clock};
use super::report::Check;
use super::visitor::{Visitor, forged, mark, plain};
use crate::gate::{Mode, path};

/// What tells the two apart who see a page.
const NAME_A_PAGE: &str = "--path names a page that shows who is logged in";

/// Whether a signed visitor is seen by the backend, and made-up headers are not, both through
/// the gateway; and whether the backend answers it at all.
pub async fn sees(chain: &Chain<'_>, visitor: Option<&Visitor>, path: &str) -> (Vec<Check>, bool) {
    let asked = match visitor {
        Some(visitor) => visitor.asks(path),
        None => plain(path),
    };
    let request = match asked {
        Ok(request) => request,
        Err(why) => return (vec![Check::unknown("backend", why)], false),
    };
    let answer = match chain.ask(request.clone()).await {
        Ok(answer) => answer,
        Err(why) => return (vec![Check::finding("backend", why.to_string())], false),
    };
    if matches!(answer.status.as_u16(), 502..=504) {
        let detail = format!("the gateway answers {path} with {}", answer.status);
        let hint = "is the backend up, and `upstream` right?";
        return (vec![Check::finding("backend", detail).hint(hint)], false);
    }
    let Some(visitor) = visitor else {
        // A refusal is the gateway's own.
        let refused = answer.turns_away();
        let detail = match refused {
            true => "without a visitor to sign for nothing gets to it",
            false => "it answers; without a visitor to sign for no more can be told",
        };
        return (vec![Check::unknown("backend", detail)], !refused);
    };
    let settings = path::settings(chain.site, request.uri().path(), request.method());
    if settings.is_ok_and(|settings| settings.mode == Mode::Off) {
        let detail = format!("{path} lies on a route of mode `off`: nobody is verified there");
        return (vec![Check::unknown("backend", detail).hint(NAME_A_PAGE)], true);
    }
    let mut forgery = request;
    let mark = mark();
    forgery.headers_mut().extend(forged(chain.site, &mark));
    let spoofed = chain.ask(forgery).await;
    if !answer.shows(&visitor.mark) {
        let status = answer.status.as_u16();
        let detail = format!("{path} was answered {status} and shows no visitor");
        let unshown = Check::unknown("backend", detail).hint(NAME_A_PAGE);
        return (vec![unshown, spoofing(spoofed, None, &mark, path)], true);
    }
    let detail = format!("{path} shows the visitor whom the gateway let through");
    let shown = Check::ok("backend", detail);
    (vec![shown, spoofing(spoofed, Some(visitor), &mark, path)], true)
}

/// What came of headers that were made up; `shown` is the visitor beside whom they were, where
/// the page shows him.
fn spoofing(
    answer: Result<Answer, Unanswered>,
    shown: Option<&Visitor>,
    mark: &str,
    path: &str,
) -> Check {
    match (answer, shown) {
        (Err(why), _) => Check::unknown("spoofing", why.to_string()),
        (Ok(answer), _) if answer.shows(mark) => {
            let detail = "headers that a client made up reach the backend through the gateway";
            Check::finding("spoofing", detail).hint("is it this gateway that answers?")
        }
        (Ok(answer), Some(visitor)) if answer.shows(&visitor.mark) => {
            Check::ok("spoofing", "headers that a client makes up never reach the backend")
        }
        (Ok(_), _) => Check::unknown("spoofing", format!("{path} does not show what it got"))
            .hint(NAME_A_PAGE),
    }
}

/// Whether somebody who goes round the gateway is believed. `sees_backend` says that the
/// gateway itself gets there, so that it is up.
pub async fn bypass(chain: &Chain<'_>, path: &str, sees_backend: bool) -> Vec<Check> {
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
            checks.extend(asked_directly(chain, &place, host, path, sees_backend).await);
        }
    }
    checks
}

async fn asked_directly(
    chain: &Chain<'_>,
    place: &Place,
    host: &str,
    path: &str,
    sees_backend: bool,
) -> Vec<Check> {
    let mark = mark();
    let (Ok(nobody), Ok(mut forgery)) = (plain(path), plain(path)) else { return Vec::new() };
    forgery.headers_mut().extend(forged(chain.site, &mark));
    let nobody = match place.ask(nobody, host).await {
        Ok(answer) => answer,
        Err(Unanswered::Unreachable(..)) if sees_backend => {
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
    if forged.turns_away() {
        return Some(false);
    }
    let welcome = nobody.turns_away() && forged.status.is_success();
    (forged.shows(mark) || welcome).then_some(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_who_is_let_in_was_believed() {
        let answer = |status: u16, body: &'static str| Answer {
            status: http::StatusCode::from_u16(status).unwrap(),
            headers: http::HeaderMap::new(),
            body: bytes::Bytes::from_static(body.as_bytes()),
            ahead: None,
        };
        for (nobody, forged, expected) in [
            (answer(200, "hi"), answer(200, "hi doctor-1"), Some(true)),
            (answer(401, ""), answer(200, "hi"), Some(true)),
            (answer(401, ""), answer(401, "you sent doctor-1"), Some(false)),
            (answer(403, ""), answer(403, ""), Some(false)),
            (answer(401, ""), answer(302, "to the login"), None),
            (answer(200, "hi"), answer(200, "hi"), None),
            (answer(404, ""), answer(404, ""), None),
        ] {
            assert_eq!(believed(&nobody, &forged, "doctor-1"), expected, "{forged:?}");
        }
    }
}
