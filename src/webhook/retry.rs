//! What an attempt's outcome means: delivered, tried again and when, or a dead letter.

use std::time::Duration;

use http::HeaderMap;
use http::header::RETRY_AFTER;

use crate::clock::UnixTime;
use crate::outbound::{self, Failure};
use crate::store::outbox::{DeliveryState, Progress};

/// The longest that a receiver can ask to be waited for.
const LONGEST: Duration = Duration::from_secs(24 * 3600);
/// How long a delivery rests that was answered with 410: also where a receiver says that it
/// wants events and answers them so, nobody is asked in a circle.
const GONE: Duration = Duration::from_secs(60);
/// Delays from here on are spread, so that those of one outage do not all come at once.
const SPREAD_FROM: Duration = Duration::from_secs(60);

/// How an attempt ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// 2xx.
    Delivered(u16),
    /// 410: the receiver wants no more.
    Gone,
    /// Any other status, and how long the receiver asks to be waited for.
    Refused(u16, Option<Duration>),
    /// No answer.
    Failed(Failure),
    /// It could not be written: a sentence.
    Unwritable(String),
}

impl Outcome {
    /// What an answer means.
    pub fn of(status: u16, headers: &HeaderMap, now: UnixTime) -> Self {
        match status {
            200..=299 => Self::Delivered(status),
            410 => Self::Gone,
            _ => Self::Refused(status, retry_after(headers, now)),
        }
    }

    /// The same of somebody who cannot want no more: the backend.
    pub fn without_goodbye(self) -> Self {
        match self {
            Self::Gone => Self::Refused(410, None),
            other => other,
        }
    }

    /// The answer's status, if there was one.
    pub const fn status(&self) -> Option<u16> {
        match self {
            Self::Delivered(status) | Self::Refused(status, _) => Some(*status),
            Self::Gone => Some(410),
            Self::Failed(_) | Self::Unwritable(_) => None,
        }
    }

    /// Whether it says that the receiver is in trouble, and not just the event.
    pub const fn is_trouble(&self) -> bool {
        match self {
            Self::Refused(status, _) => *status >= 500 || *status == 429,
            Self::Failed(failure) => !matches!(failure, Failure::Blocked(_)),
            Self::Delivered(_) | Self::Gone | Self::Unwritable(_) => false,
        }
    }

    /// For how long the receiver asks to be left alone, by all.
    pub fn hush(&self) -> Option<Duration> {
        match self {
            Self::Refused(429 | 503, wait) => *wait,
            _ => None,
        }
    }

    /// What was wrong, in a sentence.
    pub fn problem(&self) -> Option<String> {
        match self {
            Self::Delivered(_) => None,
            Self::Gone => Some("status 410: the receiver wants no more".to_owned()),
            Self::Refused(status, _) => Some(outbound::in_words(*status)),
            Self::Failed(failure) => Some(failure.to_string()),
            Self::Unwritable(why) => Some(why.clone()),
        }
    }

    /// How far the delivery has come with this attempt. `luck` (0 to 1) spreads the delays.
    pub fn after(
        &self,
        before: &Progress,
        retry: &[Duration],
        now: UnixTime,
        luck: f64,
    ) -> Progress {
        let attempts = before.attempts.saturating_add(1);
        let progress = Progress {
            state: DeliveryState::Queued,
            attempts,
            last_status: self.status(),
            problem: self.problem(),
            at: now,
            due: now,
            replayed: before.replayed,
        };
        let asked = match self {
            Self::Delivered(_) => {
                return Progress { state: DeliveryState::Delivered, ..progress };
            }
            // Not the event's fault: it waits until the receiver wants events again.
            Self::Gone => {
                return Progress { attempts: before.attempts, due: now.after(GONE), ..progress };
            }
            Self::Refused(_, wait) => wait.unwrap_or_default(),
            Self::Failed(_) | Self::Unwritable(_) => Duration::ZERO,
        };
        let made = usize::try_from(attempts).unwrap_or(usize::MAX);
        match retry.get(made) {
            None => Progress { state: DeliveryState::Dead, ..progress },
            Some(delay) => Progress { due: now.after(spread(*delay, luck).max(asked)), ..progress },
        }
    }
}

fn spread(delay: Duration, luck: f64) -> Duration {
    if delay < SPREAD_FROM { delay } else { delay + delay.mul_f64(luck.clamp(0.0, 1.0) / 10.0) }
}

/// RFC 9110 §10.2.3: seconds, or a date.
fn retry_after(headers: &HeaderMap, now: UnixTime) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    let wait = match text.parse::<u64>() {
        Ok(secs) => Duration::from_secs(secs),
        Err(_) => {
            let date = jiff::fmt::rfc2822::DateTimeParser::new().parse_timestamp(text).ok()?;
            UnixTime::from_secs(date.as_second().try_into().ok()?).since(now)
        }
    };
    Some(wait.min(LONGEST))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);
    const RETRY: [Duration; 3] = [Duration::ZERO, MINUTE, Duration::from_secs(240)];

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    fn asking(wait: &str) -> HeaderMap {
        HeaderMap::from_iter([(RETRY_AFTER, wait.parse().unwrap())])
    }

    fn refused(status: u16) -> Outcome {
        Outcome::of(status, &HeaderMap::new(), at(0))
    }

    #[test]
    fn attempts_follow_the_schedule_and_the_last_failure_is_a_dead_letter() {
        let first = refused(500).after(&Progress::fresh(at(0)), &RETRY, at(10), 0.0);
        assert_eq!((first.state, first.attempts), (DeliveryState::Queued, 1));
        assert_eq!((first.due, first.last_status), (at(70), Some(500)));
        let second = refused(404).after(&first, &RETRY, at(70), 0.0);
        assert_eq!((second.attempts, second.due), (2, at(310)));
        let failed = Outcome::Failed(Failure::Timeout(Duration::from_secs(15)));
        let third = failed.after(&second, &RETRY, at(310), 0.0);
        assert_eq!((third.state, third.attempts), (DeliveryState::Dead, 3));
        assert_eq!(third.problem.as_deref(), Some("no whole answer within 15 s"));
        let delivered = refused(204).after(&second, &RETRY, at(310), 0.0);
        assert_eq!((delivered.state, delivered.problem), (DeliveryState::Delivered, None));
    }

    #[test]
    fn long_delays_are_spread_by_a_tenth_at_most_and_short_ones_not() {
        let due = |delay, luck| {
            let retry = [Duration::ZERO, Duration::from_secs(delay)];
            refused(500).after(&Progress::fresh(at(0)), &retry, at(0), luck).due
        };
        assert_eq!((due(59, 1.0), due(60, 0.0), due(60, 1.0)), (at(59), at(60), at(66)));
        assert_eq!(due(3600, 0.5), at(3780));
    }

    #[test]
    fn a_receiver_is_waited_for_as_long_as_it_asks_up_to_a_day() {
        let due = |wait: &str| {
            let outcome = Outcome::of(503, &asking(wait), at(784_111_700));
            outcome.after(&Progress::fresh(at(0)), &RETRY, at(0), 0.0).due
        };
        assert_eq!(due("120"), at(120));
        assert_eq!(due("5"), at(60), "no sooner than the schedule says");
        assert_eq!(due("9999999"), at(86400));
        assert_eq!(due("Sun, 06 Nov 1994 08:49:37 GMT"), at(77));
        assert_eq!(due("soon"), at(60));
        let hush = |status| Outcome::of(status, &asking("120"), at(0)).hush();
        assert_eq!([hush(429), hush(503)], [Some(Duration::from_secs(120)); 2]);
        assert_eq!(hush(500), None);
    }

    #[test]
    fn a_410_costs_no_attempt() {
        let gone = refused(410).after(&Progress::fresh(at(0)), &RETRY, at(9), 0.0);
        assert_eq!(
            (gone.state, gone.attempts, gone.last_status),
            (DeliveryState::Queued, 0, Some(410))
        );
        assert_eq!(gone.due, at(69));
    }

    #[test]
    fn a_410_of_the_backend_is_a_refusal_like_others() {
        let refused = refused(410).without_goodbye();
        let after = refused.after(&Progress::fresh(at(0)), &RETRY, at(9), 0.0);
        assert_eq!((after.attempts, after.due, after.last_status), (1, at(69), Some(410)));
    }

    #[test]
    fn trouble_is_told_from_a_refusal() {
        let blocked = Outcome::Failed(Failure::Blocked("inside".to_owned()));
        let timeout = Outcome::Failed(Failure::Timeout(MINUTE));
        let trouble = [refused(500), refused(429), timeout];
        assert!(trouble.iter().all(Outcome::is_trouble));
        let none = [refused(200), refused(302), refused(400), refused(410), blocked];
        assert!(!none.iter().any(Outcome::is_trouble));
        assert!(refused(302).problem().unwrap().ends_with("not followed"));
    }
}
