//! When an endpoint is left alone: after ten failures in a row that say that it is in
//! trouble, for a second, then twice as long each time, up to a minute; then one attempt
//! tries it out. And for as long as it asks to be (`Retry-After`). No attempt is used up
//! meanwhile.

use std::time::Duration;

use crate::clock::UnixTime;

const FAILURES: u32 = 10;
const SHORTEST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);

/// How an endpoint has answered lately.
#[derive(Debug, Default)]
pub struct Breaker {
    failures: u32,
    /// How long it is left alone at the next failure; none: it is not in trouble.
    pause: Option<Duration>,
    until: UnixTime,
}

impl Breaker {
    /// How many attempts may be under way at once, when it may be tried at all.
    pub fn allows(&self, most: usize) -> usize {
        if self.pause.is_some() { 1 } else { most }
    }

    /// Until when it is left alone; none: it is not.
    pub fn rests(&self, now: UnixTime) -> Option<UnixTime> {
        (now < self.until).then_some(self.until)
    }

    /// It answered as somebody does who is well, whatever it said.
    pub fn well(&mut self) {
        (self.failures, self.pause) = (0, None);
    }

    /// It did not; says for how long it is left alone, if it is from now on.
    pub fn ill(&mut self, now: UnixTime) -> Option<Duration> {
        self.failures = self.failures.saturating_add(1);
        let rests = self.rests(now).is_some();
        let pause = match self.pause {
            // Attempts that were under way say nothing new.
            Some(_) if rests => return None,
            Some(before) => (before * 2).min(LONGEST),
            None if self.failures >= FAILURES => SHORTEST,
            None => return None,
        };
        self.pause = Some(pause);
        self.until = self.until.max(now.after(pause));
        Some(pause)
    }

    /// It asks to be left alone.
    pub fn hush(&mut self, until: UnixTime) {
        self.until = self.until.max(until);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> UnixTime {
        UnixTime::from_secs(secs)
    }

    #[test]
    fn ten_failures_in_a_row_are_needed_and_one_answer_makes_it_well() {
        let mut breaker = Breaker::default();
        for _ in 0..9 {
            assert_eq!(breaker.ill(at(0)), None);
        }
        breaker.well();
        for _ in 0..9 {
            assert_eq!(breaker.ill(at(0)), None);
        }
        assert_eq!((breaker.rests(at(0)), breaker.allows(8)), (None, 8));
        assert_eq!(breaker.ill(at(0)), Some(Duration::from_secs(1)));
        assert_eq!((breaker.rests(at(0)), breaker.allows(8)), (Some(at(1)), 1));
        assert_eq!(breaker.rests(at(1)), None);
        breaker.well();
        assert_eq!(breaker.allows(8), 8);
    }

    #[test]
    fn each_failed_try_doubles_the_rest_up_to_a_minute() {
        let mut breaker = Breaker::default();
        (0..10).for_each(|_| _ = breaker.ill(at(0)));
        // The others that were under way.
        (0..7).for_each(|_| assert_eq!(breaker.ill(at(0)), None));
        let (mut now, mut rests) = (at(0), Vec::new());
        for _ in 0..7 {
            now = breaker.rests(now).unwrap();
            rests.push(breaker.ill(now).unwrap().as_secs());
        }
        assert_eq!(rests, [2, 4, 8, 16, 32, 60, 60]);
    }

    #[test]
    fn an_endpoint_that_asks_for_it_is_left_alone_and_is_well_all_the_same() {
        let mut breaker = Breaker::default();
        breaker.hush(at(30));
        breaker.well();
        assert_eq!(breaker.rests(at(29)), Some(at(30)));
        assert_eq!((breaker.rests(at(30)), breaker.allows(8)), (None, 8));
    }
}
