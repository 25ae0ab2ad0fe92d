//! The end of everything below us: SIGTERM at once, SIGKILL after the grace period, again and again until nothing is
//! left. The supervisor uses it, and the guard when the supervisor is gone.

use super::descendants::{Process, Sweep};
use std::io;
use std::time::{Duration, Instant};

/// The pauses between two searches for processes that were forked meanwhile; a process that ends is noticed without.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// A process that survives SIGKILL for so long is stuck in the kernel, or not ours to kill.
const PATIENCE: Duration = Duration::from_secs(5);

/// A stop in progress. Over as soon as no child is left.
pub struct Stop {
    began: Instant,
    kill_at: Instant,
    sweep: Sweep,
    next_search: Instant,
    pause: Duration,
}

/// What one step of a stop found.
pub enum Step {
    /// SIGTERM is out; waiting.
    Asked,
    /// SIGKILL was sent to these.
    Killed(Vec<Process>),
    /// These are still there long after SIGKILL.
    Stuck(Vec<Process>),
    /// Without /proc no process can be found: the caller signals those it knows.
    Blind { is_killing: bool },
}

impl Stop {
    /// A stop that begins now. The first [`Stop::step`] is due at once.
    pub fn begin(now: Instant, kill_at: Instant) -> Stop {
        Stop { began: now, kill_at, sweep: Sweep::default(), next_search: now, pause: FIRST_PAUSE }
    }

    /// SIGKILL is due now.
    pub fn skip_grace_period(&mut self, now: Instant) {
        self.kill_at = self.kill_at.min(now);
        self.next_search = now;
        self.pause = FIRST_PAUSE;
    }

    /// When the next step is due.
    pub fn deadline(&self) -> Instant {
        self.next_search
    }

    /// When SIGKILL is due.
    pub fn kill_at(&self) -> Instant {
        self.kill_at
    }

    /// Does what is due.
    pub fn step(&mut self, now: Instant) -> Option<Step> {
        if now < self.next_search {
            return None;
        }
        let is_killing = now >= self.kill_at;
        self.next_search = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if !is_killing {
            self.next_search = self.next_search.min(self.kill_at);
        }
        Some(self.search(now, is_killing).unwrap_or(Step::Blind { is_killing }))
    }

    fn search(&mut self, now: Instant, is_killing: bool) -> io::Result<Step> {
        if !is_killing {
            return self.sweep.terminate().map(|()| Step::Asked);
        }
        let left = self.sweep.kill()?;
        let is_stuck = now >= self.kill_at.max(self.began) + PATIENCE;
        Ok(if is_stuck { Step::Stuck(left) } else { Step::Killed(left) })
    }
}
