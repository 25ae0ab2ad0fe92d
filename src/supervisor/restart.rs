//! When a plugin that ended is started again. Pure arithmetic.

use crate::settings::Restart;
use crate::sys::Change;
use std::time::Duration;

const FIRST_DELAY: Duration = Duration::from_secs(1);
const LONGEST_DELAY: Duration = Duration::from_secs(60);
/// After so long a run the next delay is the first again.
const HEALTHY: Duration = Duration::from_secs(60);

/// The delays of one plugin: 1 s, doubled to 60 s.
#[derive(Clone, Copy, Debug)]
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

/// Whether a plugin that ended so is started again.
pub fn is_wanted(restart: Restart, change: Change) -> bool {
    match restart {
        Restart::Never => false,
        Restart::OnFailure => change != Change::Exited(0),
        Restart::Always => true,
    }
}

/// Whether an error of exec or fork may pass by itself: EAGAIN, ENOMEM, ENFILE, EMFILE, ETXTBSY, and EIO of a network
/// file system. ENOENT, EACCES, ENOEXEC and E2BIG will be the same the next time.
pub fn is_retryable(error: &std::io::Error) -> bool {
    matches!(error.raw_os_error(), Some(5 | 11 | 12 | 23 | 24 | 26))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;

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

    #[test]
    fn the_policy_decides_by_how_it_ended() {
        for (restart, change, expected) in [
            (Restart::Never, Change::Exited(1), false),
            (Restart::OnFailure, Change::Exited(0), false),
            (Restart::OnFailure, Change::Exited(1), true),
            (Restart::OnFailure, Change::Signaled(9), true),
            (Restart::Always, Change::Exited(0), true),
        ] {
            assert_eq!(is_wanted(restart, change), expected, "{restart:?} {change:?}");
        }
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        for (errno, expected) in
            [(11, true), (12, true), (26, true), (24, true), (2, false), (8, false), (13, false), (7, false)]
        {
            assert_eq!(is_retryable(&Error::from_raw_os_error(errno)), expected, "{errno}");
        }
    }
}
