//! The one place that looks at the wall clock. Everything else is handed a [`UnixTime`].

use std::time::{SystemTime, UNIX_EPOCH};

/// Whole seconds since 1970-01-01T00:00:00Z (the unit of RFC 7519 `NumericDate`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(u64);

impl UnixTime {
    /// A moment given in whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs)
    }

    /// The moment in whole seconds.
    pub const fn as_secs(self) -> u64 {
        self.0
    }

    /// Now, by the system's clock; a clock before 1970 reads as 0.
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |elapsed| elapsed.as_secs()))
    }
}
