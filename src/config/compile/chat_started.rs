//! What begins a chat: `chat_started`.

use std::sync::Arc;

use http::Method;

use super::{Compiler, route};
use crate::config::place::Place;
use crate::config::raw;
use crate::plan::Starts;

const STATUSES: [u16; 2] = [200, 201];
const LONGEST_ID: usize = 256;

/// What begins a chat, and whose it is.
pub struct Started {
    pub starts: Starts,
    pub account_id: Option<Arc<str>>,
    pub agent_id: Option<Arc<str>>,
}

/// What is said of it.
pub fn started(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<&raw::ChatStarted>,
    place: &Place,
) -> Started {
    let none = Started { starts: Starts::WebSocket, account_id: None, agent_id: None };
    let Some(raw) = raw else { return none };
    let account_id = id(compiler, raw.account_id.as_deref(), &place.key("account_id"));
    let agent_id = id(compiler, raw.agent_id.as_deref(), &place.key("agent_id"));
    let method = match raw.method.as_deref() {
        Some(text) => route::method(compiler, text, &place.key("method")),
        None => Some(Method::POST),
    };
    let statuses = statuses(compiler, raw.status.as_ref(), &place.key("status"));
    let path = match raw.path.as_deref() {
        Some(text) => route::pattern(compiler, text, &place.key("path")),
        None => {
            compiler.missing(place, "path", "path: /api/conversations");
            None
        }
    };
    match (method, path) {
        (Some(method), Some(path)) => {
            Started { starts: Starts::Answer { method, path, statuses }, account_id, agent_id }
        }
        _ => none,
    }
}

fn statuses(
    compiler: &mut Compiler<'_, '_>,
    list: Option<&raw::List<u16>>,
    place: &Place,
) -> Vec<u16> {
    let Some(list) = list else { return STATUSES.to_vec() };
    if list.is_empty() {
        compiler
            .report
            .key(place, "no answer could begin a chat")
            .expected("[200, 201], which is also the default");
    }
    for (index, status) in list.entries() {
        // Other 1xx answers are not the last.
        if !matches!(status, 101 | 200..=599) {
            compiler
                .report
                .value(&place.index(index), format!("{status} is no status of an answer"))
                .expected("200 to 599, or 101 for a WebSocket");
        }
    }
    list.entries().map(|(_, status)| *status).collect()
}

fn id(compiler: &mut Compiler<'_, '_>, text: Option<&str>, place: &Place) -> Option<Arc<str>> {
    let text = text?;
    if text.len() > LONGEST_ID || text.chars().any(char::is_control) {
        compiler
            .report
            .value(place, "this cannot be an id")
            .expected(format!("at most {LONGEST_ID} bytes without control characters"));
    }
    Some(text.into())
}
