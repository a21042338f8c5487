//! The one judgement, the same for the proxy and for whoever embeds the library.
//!
//! Today it is the gate's examination alone. What a judgement remembers (bans, logouts,
//! sessions, verdicts of tokens seen before) will stand between the credential and the
//! decision here, so callers need not know of it.
//!
//! Nothing in it waits, logs or looks at a clock: a lane for requests other than Pingora's
//! can use it as it is.

use crate::clock::UnixTime;
use crate::gate::{RequestView, Verdict, examine};
use crate::plan::Plan;

/// Judges one request under one Plan at one moment.
///
/// The verdict says whether the request is to be forwarded, with which edits, and on whose
/// behalf; or refused, and why.
pub fn judge<'p>(plan: &'p Plan, request: &RequestView<'_>, now: UnixTime) -> Verdict<'p> {
    examine(plan, request, now)
}
