//! The one place that looks at the wall clock. Everything else is handed a [`UnixTime`].

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Deserialize, Serialize};

/// A moment: milliseconds since 1970-01-01T00:00:00Z. Tokens count in whole seconds
/// (RFC 7519 `NumericDate`); what happens within one of them is told apart by the rest.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct UnixTime(u64);

impl UnixTime {
    /// A moment given in whole seconds.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1000))
    }

    /// The second that it lies in.
    pub const fn as_secs(self) -> u64 {
        self.0 / 1000
    }

    /// A moment given in milliseconds.
    pub const fn from_millis(millis: u64) -> Self {
        Self(millis)
    }

    /// The moment in milliseconds.
    pub const fn as_millis(self) -> u64 {
        self.0
    }

    /// The moment so much later; the end of time at the latest.
    pub fn after(self, wait: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(wait.as_millis()).unwrap_or(u64::MAX)))
    }

    /// How long ago another moment was; zero if it is still to come.
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_millis(self.0.saturating_sub(earlier.0))
    }

    /// Now, by the system's clock; a clock before 1970 reads as 0.
    #[allow(clippy::disallowed_methods)] // the one place
    pub fn now() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH);
        Self(since.map_or(0, |elapsed| u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX)))
    }
}
