//! Times: written wrongly, passed, or not come. Which clock is wrong, and by how much?

use serde_json::Value;

use super::Hint;
use super::token::{Token, shown};
use crate::clock::UnixTime;
use crate::dialect::JwtRules;

/// A time before this (2001) is no moment but a duration.
const EARLIEST: u64 = 1_000_000_000;
/// From here on milliseconds are counted.
const MILLISECONDS: u64 = 100_000_000_000;
/// Clocks that differ by less than this from whole hours differ by a time zone.
const SLACK: u64 = 90;

/// What is wrong with how the times are written.
pub(super) fn invalid(token: &Token<'_>) -> Vec<Hint> {
    let mut hints = Vec::new();
    for name in ["iat", "nbf", "exp"] {
        let Some(value) = token.claim(name) else { continue };
        let hint = match value {
            Value::Number(number) => match (number.as_u64(), number.as_f64()) {
                (Some(time), _) if time >= MILLISECONDS => Some(too_large(name, time)),
                (Some(_), _) => None,
                (None, Some(time)) if time >= 0.0 => Some(Hint::new(
                    "fractional_time",
                    format!("`{name}` has a fraction: round it down to whole seconds"),
                )),
                _ => Some(Hint::new("negative_time", format!("`{name}` is before 1970"))),
            },
            Value::String(text) => Some(as_text(name, text)),
            _ => Some(Hint::new("time_type", format!("`{name}` must be a number of seconds"))),
        };
        hints.extend(hint);
    }
    if hints.is_empty()
        && let (Some(start), Some(end)) = (token.time("iat"), token.time("exp"))
        && end <= start
    {
        hints.push(if end < EARLIEST {
            relative()
        } else {
            Hint::new("exp_before_iat", "`exp` lies before `iat`: are they swapped?")
        });
    }
    hints
}

fn too_large(name: &str, time: u64) -> Hint {
    let (unit, divisor) = match time {
        0..100_000_000_000_000 => ("milliseconds", "1000"),
        100_000_000_000_000..100_000_000_000_000_000 => ("microseconds", "1000000"),
        _ => ("nanoseconds", "1000000000"),
    };
    let text = format!(
        "`{name}` counts {unit}: divide by {divisor} and round down (as `Math.floor(Date.now() / \
         1000)` does)"
    );
    Hint::new("milliseconds", text)
}

fn as_text(name: &str, text: &str) -> Hint {
    if text.trim().parse::<f64>().is_ok() {
        let text = format!("`{name}` is a string: write the number without quotation marks");
        return Hint::new("time_as_string", text);
    }
    Hint::new(
        "time_as_date",
        format!("`{name}` is the text \"{}\": write Unix seconds as a number", shown(text)),
    )
}

fn relative() -> Hint {
    Hint::new(
        "relative_exp",
        "`exp` is a duration: it must be a moment, the current Unix time plus that duration",
    )
}

/// Why a token is too old.
pub(super) fn expired(rules: &JwtRules, token: &Token<'_>, now: UnixTime) -> Vec<Hint> {
    let now = now.as_secs();
    let issued = token.time("iat");
    let lifetime = issued.zip(token.time("exp")).map(|(start, end)| end.saturating_sub(start));
    let lifetime = lifetime.or(rules.lifetime_without_exp);
    let expires = token.time("exp").or_else(|| Some(issued?.saturating_add(lifetime?)));
    let Some(expires) = expires else { return Vec::new() };
    if expires < EARLIEST {
        return vec![relative()];
    }
    let late = now.saturating_sub(expires);
    if now < expires {
        let text = format!(
            "the token is still good for {} s, but this dialect wants {} s left: renew it earlier",
            expires.saturating_sub(now),
            rules.min_remaining
        );
        return vec![Hint::new("ends_too_soon", text)];
    }
    let mut hints = Vec::new();
    if let (Some(issued), Some(lifetime)) = (issued, lifetime)
        && let Some(hours) = whole_hours(now.saturating_sub(issued))
        && lifetime < 3600
    {
        hints.push(Hint::new(
            "time_zone",
            format!(
                "the token says that it was issued almost exactly {hours} h ago: the website may \
                 take its local time for UTC"
            ),
        ));
    }
    let age = issued.map(|issued| now.saturating_sub(issued));
    let life = lifetime.map(|life| format!(" and lives {life} s")).unwrap_or_default();
    let age = age.map(|age| format!("it is {age} s old{life}: ")).unwrap_or_default();
    hints.push(Hint::new(
        "old_token",
        format!(
            "{age}let the website sign a fresh token each time it is asked, and keep none; if it is \
             fresh, the website's clock is at least {late} s behind this one"
        ),
    ));
    hints
}

/// Why a token is too early.
pub(super) fn not_yet_valid(rules: &JwtRules, token: &Token<'_>, now: UnixTime) -> Vec<Hint> {
    let now = now.as_secs();
    let times = ["iat", "nbf"].iter().filter_map(|name| token.time(name));
    let Some(ahead) = times.filter_map(|time| time.checked_sub(now)).max() else {
        return Vec::new();
    };
    let mut hints = Vec::new();
    if let Some(hours) = whole_hours(ahead) {
        hints.push(Hint::new(
            "time_zone",
            format!(
                "the token is issued almost exactly {hours} h ahead: the website may take its local \
                 time for UTC"
            ),
        ));
    }
    hints.push(Hint::new(
        "clock_ahead",
        format!(
            "your clock is {ahead} s ahead of this one (leeway is {} s): set the website's clock by \
             NTP, or this one's if it is wrong",
            rules.leeway_iat
        ),
    ));
    hints
}

/// Why a token lives too long.
pub(super) fn too_long(rules: &JwtRules, token: &Token<'_>) -> Vec<Hint> {
    let Some(max) = rules.max_lifetime else { return Vec::new() };
    let lifetime = token.time("exp").zip(token.time("iat"));
    let lifetime = lifetime.map(|(end, start)| end.saturating_sub(start)).unwrap_or_default();
    let text = format!(
        "the token lives {lifetime} s: set `exp` to `iat` + {max} at most, and sign a fresh one when \
         the widget asks again"
    );
    vec![Hint::new("lifetime", text)]
}

/// 1 to 14 hours, if it is almost exactly that.
fn whole_hours(seconds: u64) -> Option<u64> {
    let hours = seconds.saturating_add(SLACK) / 3600;
    let off = seconds.abs_diff(hours.saturating_mul(3600));
    ((1..=14).contains(&hours) && off <= SLACK).then_some(hours)
}
