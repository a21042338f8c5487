//! How the admin listener writes and reads moments: RFC 3339, in UTC.

use crate::clock::UnixTime;

/// None for a moment past the year 9999.
pub(super) fn rfc3339(time: UnixTime) -> Option<String> {
    let millis = i64::try_from(time.as_millis()).ok()?;
    Some(jiff::Timestamp::from_millisecond(millis).ok()?.to_string())
}

/// A moment of any offset; none before 1970.
pub(super) fn moment(text: &str) -> Option<UnixTime> {
    let time: jiff::Timestamp = text.parse().ok()?;
    u64::try_from(time.as_millisecond()).ok().map(UnixTime::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_is_read_in_any_offset_and_written_in_utc() {
        for (text, written) in [
            ("2026-12-24T00:00:00Z", Some("2026-12-24T00:00:00Z")),
            ("2026-12-24T01:00:00+01:00", Some("2026-12-24T00:00:00Z")),
            ("2026-12-24T00:00:00.250Z", Some("2026-12-24T00:00:00.25Z")),
            ("2026-12-24T00:00:00", None),
            ("2026-12-24", None),
            ("tomorrow", None),
            ("1800000000", None),
            ("1960-01-01T00:00:00Z", None),
            ("", None),
        ] {
            assert_eq!(moment(text).and_then(rfc3339).as_deref(), written, "{text}");
        }
        assert_eq!(rfc3339(UnixTime::from_millis(u64::MAX)), None);
    }
}
