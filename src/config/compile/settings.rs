//! Numbers: `limits`, `timeouts`, `drain`, `log`. What is not said keeps its default.

use std::time::Duration;

use super::Compiler;
use crate::config::place::Place;
use crate::config::raw;
use crate::plan::{AccessLog, Drain, Limits, LogIdentities, LogSettings, Timeouts};

/// Bodies are held in memory while they are inspected; 64 KiB is what the proxy can hold
/// and still repeat.
const MAX_BODY: usize = 64 * 1024;

/// Sizes and counts.
pub fn limits(compiler: &mut Compiler<'_, '_>, raw: Option<&raw::Limits>) -> Limits {
    let mut limits = Limits::default();
    let Some(raw) = raw else { return limits };
    let size = |size: Option<raw::Size>| size.map(|size| size.0);
    let mut set =
        |member: &str, value: Option<usize>, least: usize, most: usize, to: &mut usize| {
            let Some(value) = value else { return };
            if (least..=most).contains(&value) {
                *to = value;
            } else {
                let place = Place::root().key("limits").key(member);
                compiler
                    .report
                    .value(&place, format!("{value} is out of range"))
                    .expected(format!("{least} to {most}"));
            }
        };
    set("head", size(raw.head), 1024, 1024 * 1024, &mut limits.head);
    set("headers", raw.headers, 8, 1000, &mut limits.headers);
    set("credential", size(raw.credential), 64, 64 * 1024, &mut limits.credential);
    set("body", size(raw.body), 1, MAX_BODY, &mut limits.body);
    set("connections", raw.connections, 1, 10_000_000, &mut limits.connections);
    limits
}

/// A site's or route's `body_limit`.
pub fn body_limit(
    compiler: &mut Compiler<'_, '_>,
    raw: Option<raw::Size>,
    place: &Place,
) -> Option<usize> {
    let raw::Size(limit) = raw?;
    if !(1..=MAX_BODY).contains(&limit) {
        compiler
            .report
            .value(place, format!("{limit} is out of range"))
            .expected(format!("1 to {MAX_BODY}"));
    }
    Some(limit)
}

/// Times; all but `websocket_idle` must have an end.
pub fn timeouts(compiler: &mut Compiler<'_, '_>, raw: Option<&raw::Timeouts>) -> Timeouts {
    let mut timeouts = Timeouts::default();
    let Some(raw) = raw else { return timeouts };
    let mut positive = |member: &str, value: Duration| {
        if value.is_zero() {
            let place = Place::root().key("timeouts").key(member);
            compiler
                .report
                .value(&place, "nothing could ever be in time")
                .expected("a duration longer than 0s");
        }
        value
    };
    let mut set = |member: &str, value: Option<raw::Period>, to: &mut Duration| {
        if let Some(raw::Period(value)) = value {
            *to = positive(member, value);
        }
    };
    set("head", raw.head, &mut timeouts.head);
    set("body", raw.body, &mut timeouts.body);
    set("idle", raw.idle, &mut timeouts.idle);
    set("connect", raw.connect, &mut timeouts.connect);
    set("response", raw.response, &mut timeouts.response);
    set("upstream_idle", raw.upstream_idle, &mut timeouts.upstream_idle);
    if let Some(raw::PeriodOrNone(value)) = raw.websocket_idle {
        timeouts.websocket_idle = value.map(|value| positive("websocket_idle", value));
    }
    timeouts
}

/// How a shutdown goes; zero is allowed everywhere.
pub fn drain(raw: Option<&raw::Drain>) -> Drain {
    let default = Drain::default();
    let Some(raw) = raw else { return default };
    let or = |value: Option<raw::Period>, default| value.map_or(default, |period| period.0);
    Drain {
        delay: or(raw.delay, default.delay),
        spread: or(raw.spread, default.spread),
        timeout: or(raw.timeout, default.timeout),
    }
}

/// What the access log holds.
pub fn log(raw: Option<&raw::Log>) -> LogSettings {
    let access = match raw.and_then(|log| log.access) {
        None | Some(raw::Access::All) => AccessLog::All,
        Some(raw::Access::Refusals) => AccessLog::Refusals,
        Some(raw::Access::None) => AccessLog::None,
    };
    let identities = match raw.and_then(|log| log.identities) {
        None | Some(raw::Identities::Hashed) => LogIdentities::Hashed,
        Some(raw::Identities::Plain) => LogIdentities::Plain,
        Some(raw::Identities::None) => LogIdentities::None,
    };
    LogSettings { access, identities }
}
