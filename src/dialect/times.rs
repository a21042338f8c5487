//! A token's times (RFC 7519 §4.1.4–6), stricter than the RFC: JSON integers of seconds.
//!
//! Strings, fractions and milliseconds are refused by name rather than read: a time that
//! two readers take differently is no limit. All sums saturate; nothing here overflows.

use super::claims::{Claims, missing};
use super::json::Json;
use super::{JwtRules, Reason, Rejection};
use crate::clock::UnixTime;

/// Times lie below this; whatever is larger counts milliseconds (the year 5138).
pub(super) const LIMIT: u64 = 100_000_000_000;

/// When a token was issued, when it begins and when it ends.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    pub issued_at: Option<u64>,
    pub not_before: Option<u64>,
    /// `exp`, or what the dialect puts in its place.
    pub expires: Option<u64>,
}

impl Times {
    /// Reads them, and sees to it that the dialect's limits have something to measure.
    ///
    /// # Errors
    /// `invalid_claim` for what is no time, `missing_claim` where a limit needs one.
    pub fn read(rules: &JwtRules, claims: &Claims<'_>) -> Result<Self, Rejection> {
        let limited = rules.max_lifetime.is_some();
        let ends = claims.get("exp").is_some() || rules.lifetime_without_exp.is_some();
        if limited && claims.get("iat").is_none() {
            return Err(missing("iat"));
        }
        if limited && !ends {
            return Err(missing("exp"));
        }
        let time = |name| claims.get(name).map(|value| time(name, value)).transpose();
        let (issued_at, not_before, expires) = (time("iat")?, time("nbf")?, time("exp")?);
        if let (Some(issued_at), Some(expires)) = (issued_at, expires)
            && expires <= issued_at
        {
            return Err(Rejection::new(
                Reason::InvalidClaim,
                "`exp` is not after `iat`, so the token never was valid",
            ));
        }
        let without_exp = || Some(issued_at?.saturating_add(rules.lifetime_without_exp?));
        let expires = expires.or_else(without_exp);
        if expires.is_none() && rules.lifetime_without_exp.is_some() {
            return Err(missing("iat"));
        }
        Ok(Self { issued_at, not_before, expires })
    }

    /// Judges them at a moment.
    ///
    /// # Errors
    /// `expired` (also with less than the least remaining time), `not_yet_valid`, then
    /// `lifetime_too_long`.
    pub fn judge(&self, rules: &JwtRules, now: UnixTime) -> Result<(), Rejection> {
        let now = now.as_secs();
        if let Some(expires) = self.expires {
            if now >= expires.saturating_add(rules.leeway_exp) {
                return Err(expired(expires, rules.leeway_exp, now));
            }
            let remaining = expires.saturating_sub(now);
            if remaining < rules.min_remaining {
                return Err(Rejection::new(
                    Reason::Expired,
                    format!(
                        "the token ends in {remaining} s; at least {} s must be left",
                        rules.min_remaining
                    ),
                ));
            }
        }
        for (name, time) in [("iat", self.issued_at), ("nbf", self.not_before)] {
            if let Some(ahead) = time.and_then(|time| time.checked_sub(now))
                && ahead > rules.leeway_iat
            {
                let detail = format!(
                    "`{name}` lies {ahead} s ahead; leeway is {} s: compare the clocks",
                    rules.leeway_iat
                );
                return Err(Rejection::new(Reason::NotYetValid, detail));
            }
        }
        if let (Some(max), Some(issued_at), Some(expires)) =
            (rules.max_lifetime, self.issued_at, self.expires)
            && expires.saturating_sub(issued_at) > max
        {
            let lifetime = expires.saturating_sub(issued_at);
            let detail =
                format!("the token is valid for {lifetime} s; at most {max} s are allowed");
            return Err(Rejection::new(Reason::LifetimeTooLong, detail));
        }
        Ok(())
    }
}

fn expired(expires: u64, leeway: u64, now: u64) -> Rejection {
    let ago = now.saturating_sub(expires);
    Rejection::new(Reason::Expired, format!("the token expired {ago} s ago; leeway is {leeway} s"))
}

/// A JSON integer of seconds, 0 ≤ t < 10^11.
///
/// # Errors
/// `invalid_claim`, naming the slip.
pub(super) fn time(name: &str, value: &Json<'_>) -> Result<u64, Rejection> {
    let slip = match value {
        Json::Number(literal) => match literal.parse::<u64>() {
            Ok(seconds) if seconds < LIMIT => return Ok(seconds),
            Ok(_) => "is too large and seems to count milliseconds",
            Err(_) if literal.starts_with('-') => "is negative",
            Err(_) if literal.bytes().all(|byte| byte.is_ascii_digit()) => "is too large",
            Err(_) => "is not an integer",
        },
        other => {
            let detail =
                format!("`{name}` is {}; a JSON integer of seconds is needed", other.kind());
            return Err(Rejection::new(Reason::InvalidClaim, detail));
        }
    };
    let detail = format!("`{name}` {slip}; a JSON integer of seconds is needed");
    Err(Rejection::new(Reason::InvalidClaim, detail))
}
