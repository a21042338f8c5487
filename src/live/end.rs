//! Why and how a live connection is ended by us, rather than by its two ends.
//!
//! The close codes are those that IANA registers for WebSockets; the same as for a refused
//! handshake with `refuse_upgrade: close`. An answer knows no code: it is cut.

use crate::dialect::Reason;
use crate::telemetry::CloseReason;

/// Unauthorized: come back with a proof that holds.
const UNAUTHORIZED: u16 = 3000;
/// Forbidden: a proof will not help.
const FORBIDDEN: u16 = 3003;

/// The end of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct End {
    /// The code of the client's Close frame.
    pub code: u16,
    /// The metric's word.
    pub reason: CloseReason,
    /// The text of the client's Close frame, to be left out where refusals are terse.
    pub text: &'static str,
}

impl End {
    /// The identity is banned.
    pub const BANNED: Self = Self::new(FORBIDDEN, CloseReason::Banned, "banned");
    /// The identity has logged out, or the key that proved it is in force no more.
    pub const REVOKED: Self = Self::new(UNAUTHORIZED, CloseReason::Revoked, "revoked");
    /// The proof has expired, and nobody has brought another.
    pub const EXPIRED: Self = Self::new(UNAUTHORIZED, CloseReason::Expired, "identity expired");
    /// The identity has opened more WebSockets than it may.
    pub const TOO_MANY: Self =
        Self::new(UNAUTHORIZED, CloseReason::TooMany, "too many connections");
    /// Somebody asked for it through the admin API.
    pub const BY_OPERATOR: Self =
        Self::new(UNAUTHORIZED, CloseReason::Operator, "closed by operator");

    const fn new(code: u16, reason: CloseReason, text: &'static str) -> Self {
        Self { code, reason, text }
    }

    /// A guest's, where such guests are let in no more.
    pub const fn narrowed(reason: Reason) -> Self {
        let code = if reason.status() == 403 { FORBIDDEN } else { UNAUTHORIZED };
        Self::new(code, CloseReason::Narrowed, reason.code())
    }

    /// Whether it is a judgement of identity: `observe` and `off` make none.
    pub(super) const fn judges_identity(&self) -> bool {
        !matches!(self.reason, CloseReason::Operator | CloseReason::TooMany)
    }
}
