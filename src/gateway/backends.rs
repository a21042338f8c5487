//! Has the names of each new Plan's backends resolved, and readiness informed of those that
//! fail.

use std::sync::Arc;
use std::time::Duration;

use crate::drain::{Drain, Phase};
use crate::readiness::Readiness;
use crate::reload::Current;
use crate::upstream::Upstreams;

/// How often readiness looks at what changes by itself.
pub const READINESS_ROUND: Duration = Duration::from_millis(500);

/// Waits until every name has been resolved once.
pub async fn first_resolution(upstreams: &Upstreams) {
    while !upstreams.unresolved().is_empty() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Runs until a shutdown closes what is open.
pub async fn keep(
    current: Arc<Current>,
    upstreams: Upstreams,
    readiness: Arc<Readiness>,
    drain: Arc<Drain>,
) {
    let mut changes = current.subscribe();
    while drain.phase() < Phase::Closing {
        upstreams.adopt(&current.load().plan);
        let unresolved = upstreams.unresolved();
        let ill = upstreams.ill();
        let detail = match (unresolved.is_empty(), ill.is_empty()) {
            (true, true) => "every name resolves".to_owned(),
            (true, false) => format!("ill: {}", ill.join(", ")),
            (false, _) => format!("cannot resolve {}", unresolved.join(", ")),
        };
        readiness.set_check("upstream", unresolved.is_empty() && ill.is_empty(), detail);
        let _ = tokio::time::timeout(READINESS_ROUND, changes.changed()).await;
    }
}
