//! The mode's one total match.

use serde::{Deserialize, Serialize};

/// Who is let through (per site, overridable per route).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// Every visitor is verified.
    Require,
    /// Guests are welcome, forgeries are not.
    #[default]
    Prefer,
    /// Nobody is turned away.
    Accept,
    /// A dry run of `require`.
    Observe,
    /// Identity is not looked at.
    Off,
}

impl Mode {
    /// Every mode.
    pub const ALL: &[Mode] = &[Self::Require, Self::Prefer, Self::Accept, Self::Observe, Self::Off];

    /// Its word in configuration and metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Require => "require",
            Self::Prefer => "prefer",
            Self::Accept => "accept",
            Self::Observe => "observe",
            Self::Off => "off",
        }
    }
}
