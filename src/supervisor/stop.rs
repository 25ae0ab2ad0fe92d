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
    kill_at: Instant,
    is_killing: bool,
    sweep: Sweep,
    next_search: Instant,
    pause: Duration,
    /// Without /proc: whether the caller was told to kill.
    blind: Option<bool>,
}

/// What the caller should know, or do, after a step.
pub enum Step {
    /// SIGKILL was sent, to these for the first time.
    Killed(Vec<Process>),
    /// These are still there long after SIGKILL.
    Stuck(Vec<Process>),
    /// Without /proc no process can be found: the caller signals those it knows. Said once for each signal.
    Blind { is_killing: bool },
}

impl Stop {
    /// A stop that begins now. The first [`Stop::step`] is due at once.
    pub fn begin(now: Instant, kill_at: Instant) -> Stop {
        Stop { kill_at, is_killing: false, sweep: Sweep::default(), next_search: now, pause: FIRST_PAUSE, blind: None }
    }

    /// SIGKILL is due now.
    pub fn skip_grace_period(&mut self, now: Instant) {
        self.kill_at = self.kill_at.min(now);
        self.next_search = now;
    }

    /// When the next step is due.
    pub fn deadline(&self) -> Instant {
        self.next_search
    }

    /// When SIGKILL is due.
    pub fn kill_at(&self) -> Instant {
        self.kill_at
    }

    /// Does what is due: SIGTERM to what is new below us or, when it is time, SIGKILL to all.
    pub fn step(&mut self, now: Instant) -> Option<Step> {
        if now < self.next_search {
            return None;
        }
        let is_killing = now >= self.kill_at;
        if is_killing && !self.is_killing {
            self.is_killing = true;
            self.pause = FIRST_PAUSE;
        }
        self.next_search = now + self.pause;
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if !is_killing {
            self.next_search = self.next_search.min(self.kill_at);
        }
        self.search(now, is_killing).unwrap_or_else(|_| {
            let is_news = self.blind != Some(is_killing);
            self.blind = Some(is_killing);
            is_news.then_some(Step::Blind { is_killing })
        })
    }

    fn search(&mut self, now: Instant, is_killing: bool) -> io::Result<Option<Step>> {
        if !is_killing {
            return self.sweep.terminate().map(|()| None);
        }
        let left = self.sweep.kill()?;
        // As long as new ones appear they are not stuck, only quick.
        let is_stuck = now >= self.kill_at + PATIENCE && left.new.is_empty();
        Ok(Some(if is_stuck { Step::Stuck(left.all) } else { Step::Killed(left.new) }))
    }
}
