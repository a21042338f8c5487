//! Which of a subscription's secrets signs, where there is room for one signature alone.
//!
//! The first does, until the receiver refuses what it signed (400, 401, 403): then the other
//! one has its turn, and keeps it for as long as it is taken. So a rotation needs both sides
//! to be changed in no particular order.

use std::sync::atomic::{AtomicUsize, Ordering};

/// Whose turn it is.
#[derive(Debug, Default)]
pub struct Turns(AtomicUsize);

impl Turns {
    /// The secret that signs now, counted on and on: to be taken modulo their number.
    pub fn now(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Hears what was answered to something that the secret of a turn signed. Of several
    /// that were under way at once, only the first refusal counts.
    pub fn heed(&self, turn: usize, status: u16) {
        if matches!(status, 400 | 401 | 403) {
            let next = turn.wrapping_add(1);
            let _ = self.0.compare_exchange(turn, next, Ordering::Relaxed, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_is_the_others_turn_and_many_at_once_are_one() {
        let turns = Turns::default();
        turns.heed(0, 500);
        turns.heed(0, 204);
        assert_eq!(turns.now(), 0);
        turns.heed(0, 400);
        turns.heed(0, 403);
        assert_eq!(turns.now(), 1);
        turns.heed(1, 401);
        assert_eq!(turns.now(), 2);
    }
}
