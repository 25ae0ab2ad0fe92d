//! How long a plugin that ended waits until it is started again. Pure arithmetic.

use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// After so long a run the next delay is the first again.
const HEALTHY: Duration = Duration::from_secs(60);

/// The delays of one plugin: 1 s, doubled to 60 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    next: Duration,
}

impl Default for Backoff {
    fn default() -> Backoff {
        Backoff { next: FIRST_DELAY }
    }
}

impl Backoff {
    /// The delay before the next start, after a run of this length.
    pub fn delay(&mut self, ran: Duration) -> Duration {
        if ran >= HEALTHY {
            self.next = FIRST_DELAY;
        }
        let delay = self.next;
        self.next = (delay * 2).min(LONGEST_DELAY);
        delay
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_a_minute() {
        let mut backoff = Backoff::default();
        let delays: Vec<u64> = (0..9).map(|_| backoff.delay(Duration::from_millis(1)).as_secs()).collect();
        assert_eq!(delays, [1, 2, 4, 8, 16, 32, 60, 60, 60]);
    }

    #[test]
    fn a_healthy_minute_starts_over() {
        let mut backoff = Backoff::default();
        for _ in 0..5 {
            backoff.delay(Duration::ZERO);
        }
        assert_eq!(backoff.delay(Duration::from_millis(59_999)).as_secs(), 32);
        assert_eq!(backoff.delay(Duration::from_secs(60)).as_secs(), 1);
        assert_eq!(backoff.delay(Duration::ZERO).as_secs(), 2);
    }
}
