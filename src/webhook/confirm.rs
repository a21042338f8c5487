//! The challenge: a receiver answers a GET with what it was sent in `echo`, and so says that
//! it wants to hear. The answer is kept, for this URL and format; a restart asks nobody again.

use bytes::Bytes;
use http::header::{CONTENT_TYPE, ORIGIN};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};

use super::Webhooks;
use crate::outbound::Answer;
use crate::plan::Webhook;
use crate::store::outbox::Hook;
use crate::store::{Change, Confirmation};

/// What a receiver has said of events, if it has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing yet.
    Unsaid,
    /// It wants them.
    Wants,
    /// It wants no more of them.
    WantsNoMore,
}

impl Webhooks {
    /// What a subscription's receiver has said.
    pub(super) fn wish(&self, hook: &Hook, webhook: &Webhook) -> Wish {
        match self.said(&hook.site, webhook) {
            None => Wish::Unsaid,
            Some(said) if said.wanted => Wish::Wants,
            Some(_) => Wish::WantsNoMore,
        }
    }

    /// The last that was said about a subscription as it is now.
    pub(super) fn said(&self, site: &str, webhook: &Webhook) -> Option<Confirmation> {
        let known = self.store.memory().site(site)?;
        let said = known.subscriptions().confirmation(&webhook.name)?;
        (said.print == webhook.print).then_some(said)
    }

    /// Keeps what a receiver says.
    pub(super) fn heed_wish(&self, hook: &Hook, webhook: &Webhook, wanted: bool) {
        if self.said(&hook.site, webhook).is_some_and(|said| said.wanted == wanted) {
            return;
        }
        let confirmation = Confirmation { print: webhook.print, wanted, at: (self.clock)() };
        let (site, webhook) = (hook.site.clone(), hook.name.clone());
        self.store.note(Change::Confirmation { site, webhook, confirmation });
    }

    /// Asks a receiver, in the name of a page of this origin if one is named: what it
    /// answered, and what was wrong with that.
    ///
    /// # Errors
    /// There was no answer. A sentence.
    pub(super) async fn challenge(
        &self,
        webhook: &Webhook,
        origin: Option<&HeaderValue>,
    ) -> Result<(Answer, Result<(), String>), String> {
        let echo = uuid::Uuid::now_v7().simple().to_string();
        let mut request = question(webhook, &echo)?;
        if let Some(origin) = origin {
            request.headers_mut().insert(ORIGIN, origin.clone());
        }
        let answer = self.carry(webhook, request).await;
        let answer = answer.map_err(|failure| failure.to_string())?;
        let judged = check(&answer, &echo);
        Ok((answer, judged))
    }
}

fn question(webhook: &Webhook, echo: &str) -> Result<Request<Bytes>, String> {
    let mut request = Request::new(Bytes::new());
    *request.method_mut() = Method::GET;
    *request.uri_mut() = with_echo(&webhook.url, echo).ok_or("the URL has no room for `echo`")?;
    *request.headers_mut() = HeaderMap::from_iter(webhook.headers.iter().cloned());
    Ok(request)
}

fn with_echo(url: &Uri, echo: &str) -> Option<Uri> {
    let query = match url.query() {
        None | Some("") => format!("{}?echo={echo}", url.path()),
        Some(query) => format!("{}?{query}&echo={echo}", url.path()),
    };
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(query).ok()?);
    Uri::from_parts(parts).ok()
}

/// ASP.NET compares the body as it is; a page that ends its line means the same.
fn check(answer: &Answer, echo: &str) -> Result<(), String> {
    let status = answer.status;
    if !status.is_success() {
        return Err(format!("the challenge was answered with status {}", status.as_u16()));
    }
    let kind = answer.headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
    let kind = kind.and_then(|kind| kind.split(';').next()).unwrap_or_default().trim();
    if !kind.eq_ignore_ascii_case("text/plain") {
        let kind = if kind.is_empty() { "no content type" } else { kind };
        return Err(format!("the challenge was answered as {kind}, not as text/plain"));
    }
    let body = answer.body.as_ref().map_err(ToString::to_string)?;
    let body = body.strip_suffix(b"\n").unwrap_or(body);
    let body = body.strip_suffix(b"\r").unwrap_or(body);
    match body == echo.as_bytes() {
        true => Ok(()),
        false => Err("the challenge was answered with something else than `echo`".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    fn answer(status: u16, kind: &'static str, body: &'static str) -> Answer {
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind.parse().unwrap())]);
        let status = StatusCode::from_u16(status).unwrap();
        Answer { status, headers, body: Ok(body.into()), tls: None }
    }

    #[test]
    fn the_challenge_is_added_to_the_query_that_is_there() {
        let asked = |url: &str| with_echo(&url.parse().unwrap(), "ab12").unwrap().to_string();
        assert_eq!(asked("https://crm.example"), "https://crm.example/?echo=ab12");
        assert_eq!(asked("http://crm.example:8/h?"), "http://crm.example:8/h?echo=ab12");
        assert_eq!(
            asked("http://crm.example/h?a=%20b&c"),
            "http://crm.example/h?a=%20b&c&echo=ab12"
        );
    }

    #[test]
    fn only_the_same_text_as_text_confirms() {
        for body in ["ab12", "ab12\n", "ab12\r\n"] {
            assert_eq!(check(&answer(200, "Text/Plain; charset=utf-8", body), "ab12"), Ok(()));
        }
        for body in ["ab13", "AB12", "ab12\n\n", " ab12", "<p>ab12</p>", ""] {
            assert!(check(&answer(200, "text/plain", body), "ab12").is_err(), "{body}");
        }
        assert!(check(&answer(201, "text/plain", "ab12"), "ab12").is_ok());
        for (status, kind) in
            [(200, "text/html"), (200, ""), (302, "text/plain"), (500, "text/plain")]
        {
            assert!(check(&answer(status, kind, "ab12"), "ab12").is_err(), "{status} {kind}");
        }
    }
}
