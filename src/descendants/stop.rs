//! The end of everything below us: SIGTERM at once, SIGKILL after the grace period or at the second sign of impatience,
//! again and again until nothing is left, or nothing that can be killed.

use super::hunt::Hunt;
use super::table::Process;
use super::view::View;
use crate::sys::Pid;
use std::time::{Duration, Instant};

/// The pauses between two searches for processes that were forked meanwhile; a process that ends is noticed without.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
/// The same while processes are being killed and end.
const SHORTEST_PAUSE: Duration = Duration::from_millis(1);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);
/// A process that survives SIGKILL for so long is stuck in the kernel, or not ours to kill.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// A stop in progress. Over as soon as no child is left.
pub struct Stop {
    kill_at: Instant,
    /// How many signals came of the kind of which the second skips the grace period.
    impatience: u32,
    hunt: Hunt,
    next_search: Instant,
    pause: Duration,
}

/// What the caller should know after a step.
pub enum Step {
    Nothing,
    /// SIGKILL was sent, to these for the first time.
    Killed(Vec<Process>),
    /// All that is left cannot be killed, and has been tried for long.
    Stuck(Vec<Process>),
}

impl Stop {
    /// A stop that begins now: with these groups, in which nobody else is, at once; with all others at the first
    /// [`Stop::step`], which follows when these had a moment to end, or is due now where there are none.
    pub fn begin(now: Instant, kill_at: Instant, groups: &[Pid]) -> Stop {
        let mut hunt = Hunt::default();
        groups.iter().for_each(|&group| hunt.ask_group(group));
        let next_search = if groups.is_empty() { now } else { (now + FIRST_PAUSE).min(kill_at) };
        Stop { kill_at, impatience: 0, hunt, next_search, pause: FIRST_PAUSE }
    }

    /// Somebody is in a hurry. The second time SIGKILL is due now.
    pub fn lose_patience(&mut self, now: Instant) {
        self.impatience += 1;
        if self.impatience == 2 {
            self.kill_at = self.kill_at.min(now);
            self.next_search = now;
        }
    }

    /// When the next step is due.
    pub fn deadline(&self) -> Instant {
        self.next_search
    }

    /// When SIGKILL is due.
    pub fn kill_at(&self) -> Instant {
        self.kill_at
    }

    /// A child has ended: where all are being killed, what it left is looked for at once.
    pub fn note_end(&mut self, pid: Pid, now: Instant) {
        if now >= self.kill_at {
            Hunt::chase(pid);
            self.pause = SHORTEST_PAUSE;
            self.next_search = self.next_search.min(now + self.pause);
        }
    }

    /// Does what is due: SIGTERM to what is new below us or, when it is time, SIGKILL to all. At least one child is left.
    pub fn step(&mut self, now: Instant, view: &View) -> Step {
        if now < self.next_search {
            return Step::Nothing;
        }
        let prey = view.look(true);
        // Searching takes at most half of the time.
        self.next_search = Instant::now() + self.pause.max(now.elapsed());
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
        if now < self.kill_at {
            self.next_search = self.next_search.min(self.kill_at);
            self.hunt.ask(&prey);
            return Step::Nothing;
        }
        let killed = self.hunt.kill(&prey, view);
        // As long as one can be killed, or none can be seen, it is not over.
        let is_stuck = killed.is_in_vain(&prey) && now >= self.kill_at + PATIENCE;
        if is_stuck { Step::Stuck(killed.unreachable) } else { Step::Killed(killed.new) }
    }
}
