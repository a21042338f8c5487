//! The keys that verify assertions, at every public listener and whatever host is asked for: a
//! backend may know us by another name than visitors do.

use http::{HeaderValue, Method, header};
use pingora::proxy::Session;

use super::hooks::{path_of, view};
use super::journey::Journey;
use crate::assertion;
use crate::gate::Body;
use crate::refusal::{self, Reply};

/// The answer, if the request is for these keys and the paths of ours are not given back.
pub(super) fn answer(session: &Session, journey: &mut Journey) -> Option<Reply> {
    if path_of(session.req_header()) != assertion::KEY_SET_PATH {
        return None;
    }
    let generation = journey.generation()?.clone();
    if !generation.plan.verbs {
        return None;
    }
    journey.enter(&view(session, Body::Unseen), &generation, None);
    let method = &session.req_header().method;
    if !matches!(*method, Method::GET | Method::HEAD) {
        let mut reply = refusal::bare(405, journey.request_id());
        reply.headers.push((header::ALLOW, HeaderValue::from_static("GET, HEAD")));
        return Some(reply);
    }
    Some(refusal::key_set(generation.plan.key_set(), journey.request_id()))
}
