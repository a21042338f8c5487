//! What the admin listener's answers look like.

use bytes::Bytes;
use http::header::{self, HeaderValue};
use serde::Serialize;

use crate::refusal::{Problem, REQUEST_ID, Reply};

const JSON: HeaderValue = HeaderValue::from_static("application/json");

pub(super) fn not_allowed(allow: &'static str) -> Reply {
    let mut reply =
        problem(405, "method_not_allowed", "Method not allowed", "see the Allow header");
    reply.headers.push((header::ALLOW, HeaderValue::from_static(allow)));
    reply
}

pub(super) fn not_found() -> Reply {
    problem(404, "not_found", "Not found", "there is nothing at this path")
}

pub(super) fn too_large(limit: usize) -> Reply {
    let detail = format!("the body is larger than {limit} bytes");
    problem(413, "body_too_large", "Body too large", &detail)
}

pub(super) fn problem(status: u16, code: &str, title: &str, detail: &str) -> Reply {
    Problem::new(status, code, title, detail, &request_id()).reply()
}

pub(super) fn json(status: u16, value: &impl Serialize) -> Reply {
    // Structs with text keys always serialise.
    reply(status, JSON, serde_json::to_vec(value).unwrap_or_default())
}

pub(super) fn reply(status: u16, content_type: HeaderValue, body: Vec<u8>) -> Reply {
    let mut headers = vec![
        (header::CONTENT_TYPE, content_type),
        (header::CONTENT_LENGTH, HeaderValue::from(body.len())),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
    ];
    let id = HeaderValue::from_str(&request_id()).ok();
    headers.extend(id.map(|id| (REQUEST_ID, id)));
    Reply { status, headers, body: Bytes::from(body) }
}

pub(super) fn request_id() -> String {
    uuid::Uuid::now_v7().simple().to_string()
}

/// A status that says it all.
pub(super) fn empty(status: u16) -> Reply {
    let mut headers = vec![(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))];
    headers.extend(HeaderValue::from_str(&request_id()).ok().map(|id| (REQUEST_ID, id)));
    Reply { status, headers, body: Bytes::new() }
}
