//! When a line that is overwritten again and again, such as a progress bar, is logged before its end: on a quiet moment,
//! and ever more rarely, so that a hundred steps are a few lines. Pure.

use std::time::{Duration, Instant};

/// After so long without more the line stands.
const QUIET: Duration = Duration::from_millis(200);
/// Between the first two times that a line is logged; doubled at each.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(600);

/// The line of one source.
#[derive(Debug)]
pub struct Bar {
    not_before: Option<Instant>,
    pause: Duration,
}

impl Default for Bar {
    fn default() -> Bar {
        Bar { not_before: None, pause: FIRST_PAUSE }
    }
}

impl Bar {
    /// When a line that was overwritten just now is to be logged, if no more comes.
    pub fn due(&self, now: Instant) -> Instant {
        self.not_before.map_or(now + QUIET, |at| at.max(now + QUIET))
    }

    /// It was logged as it stood.
    pub fn note_shown(&mut self, now: Instant) {
        self.not_before = Some(now + self.pause);
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }

    /// A line has ended: the next one is another bar.
    #[inline(always)]
    pub fn note_line(&mut self) {
        *self = Bar::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How often a bar is logged whose steps come so far apart.
    fn times_shown(steps: u32, apart: Duration) -> usize {
        let start = Instant::now();
        let mut bar = Bar::default();
        let mut shown = 0;
        for step in 0..steps {
            let due = bar.due(start + apart * step);
            if due <= start + apart * (step + 1) {
                shown += 1;
                bar.note_shown(due);
            }
        }
        shown
    }

    #[test]
    fn a_bar_of_a_hundred_steps_is_few_lines() {
        for (milliseconds, expected) in [(20, 0), (199, 0), (250, 5), (1000, 7), (5000, 9), (60_000, 18)] {
            let shown = times_shown(100, Duration::from_millis(milliseconds));
            assert_eq!(shown, expected, "lines with {milliseconds} ms between steps");
        }
    }

    #[test]
    fn the_next_bar_is_seen_as_soon_as_the_first_was() {
        let now = Instant::now();
        let mut bar = Bar::default();
        bar.note_shown(now);
        assert_eq!(bar.due(now), now + FIRST_PAUSE);
        let later = now + FIRST_PAUSE * 2;
        assert_eq!(bar.due(later), later + QUIET, "a quiet moment is waited for each time");
        bar.note_line();
        assert_eq!(bar.due(now), now + QUIET);
    }
}
