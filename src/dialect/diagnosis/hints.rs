//! Which mistakes are looked for, by the word of the refusal.

use super::token::Token;
use super::{Case, Hint, Presented};
use crate::dialect::Rejection;

/// What to mend after a refusal.
pub(super) fn about(
    _case: &Case<'_>,
    _presented: &Presented<'_>,
    _proof: &str,
    _token: &Token<'_>,
    _rejection: &Rejection,
) -> Vec<Hint> {
    Vec::new()
}

/// What to know about a credential although it verifies.
pub(super) fn about_verified(_case: &Case<'_>, _proof: &str, _token: &Token<'_>) -> Vec<Hint> {
    Vec::new()
}
