//! `POST /api/visitors/{id}/details` for all sites: whose they are is said by the credentials,
//! which are the site's own and not the admin token.

use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

use super::AdminState;
use super::answer::Asked;
use super::reply::request_id;
use crate::clock::UnixTime;
use crate::details::{self, Body};
use crate::refusal::Reply;

/// The answer, if that is what is asked.
pub(super) async fn answer(state: &AdminState, asked: &Asked<'_>) -> Option<Reply> {
    let place = details::place(asked.path)?;
    let sites = &state.current.load().plan.sites;
    let admitted = state.details.admit(sites.iter(), asked.headers, client(asked), Instant::now());
    let taken = match admitted {
        Ok(site) => {
            let body = match asked.too_large {
                true => Body::TooLarge,
                false => Body::Whole(asked.body),
            };
            let (method, headers) = (asked.method, asked.headers);
            let asked = details::Asked { method, place, headers, body };
            state.details.take(site, &asked, UnixTime::now()).await
        }
        Err(refusal) => Err(refusal),
    };
    Some(details::reply(taken, &request_id()))
}

/// Who asks; all who use a Unix socket are one.
fn client(asked: &Asked<'_>) -> Option<IpAddr> {
    Some(asked.peer.as_deref()?.parse::<SocketAddr>().ok()?.ip())
}
