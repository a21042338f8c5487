//! What the website's server said of whoever a request is forwarded as: of a verified
//! visitor, or of a guest, who is known by the backend's session alone.
//!
//! Nobody speaks for somebody else here: whoever a refused credential names has no say.

use std::sync::Arc;

use super::Carried;
use crate::clock::UnixTime;
use crate::gate::Mode;
use crate::gate::policy::Finding;
use crate::store::{Memory, SiteMemory};

/// One compact ASCII JSON object of texts. Costs nothing where nobody is known.
pub(super) fn of(
    finding: &Finding,
    mode: Mode,
    carried: &Carried,
    (memory, known): (&Memory, &SiteMemory),
    now: UnixTime,
) -> Option<Arc<str>> {
    let visits = known.visits();
    if visits.is_empty() {
        return None;
    }
    let identity = match finding {
        Finding::Proven(identity) => Some(identity),
        Finding::Barred(identity, _) if mode == Mode::Observe => Some(identity),
        Finding::Barred(..) | Finding::Rejected(_) | Finding::Absent { .. } => None,
    };
    match identity.and_then(|identity| identity.id.as_deref()) {
        Some(id) => visits.details(id, now),
        None => carried.backends().find_map(|session| {
            let guest = memory.guest(&session);
            visits.details(&guest, now)
        }),
    }
}
