//! The end of everything: when it begins, asked for or because nothing is left to do, how long it may last, and the last
//! words.

use super::Supervisor;
use super::above::News;
use super::lifecycle::Event;
use crate::descendants::{Step, Stop};
use crate::link::{Order, Report};
use crate::notice::Notice;
use crate::sys::{Arrived, Pid, signal};
use std::iter;
use std::time::{Duration, Instant};

/// What the last lines get to reach a reader that is alive, if the grace period is used up.
const LAST_WORDS: Duration = Duration::from_millis(250);
/// How long the guard is to wait on while what was killed is not yet gone.
const STILL_KILLING: Duration = Duration::from_secs(1);

/// The stop of everything.
pub struct Ending {
    stop: Stop,
    /// Somebody asked for it, so that a stalled reader is not waited for.
    is_requested: bool,
    /// What is left cannot be killed.
    has_given_up: bool,
}

impl Ending {
    pub fn deadline(&self) -> Instant {
        self.stop.deadline()
    }

    /// A process below us has ended.
    pub fn note_end(&mut self, pid: Pid) {
        self.stop.note_end(pid, Instant::now());
    }
}

impl Supervisor {
    /// Begins to stop everything, on request.
    pub(super) fn stop(&mut self, reason: &str) {
        if let Some(ending) = &mut self.ending {
            ending.is_requested = true;
            return;
        }
        if !self.plugins.is_empty() {
            self.say(&Notice::Stopping { reason });
        }
        self.begin_stop(true);
    }

    fn begin_stop(&mut self, is_requested: bool) {
        let now = Instant::now();
        let longest = self.plugins.values().map(|plugin| plugin.policy.grace_period).max();
        let of_program = self.job.as_ref().map(|_| self.settings.grace_period());
        let grace_period = longest.max(of_program).unwrap_or(self.settings.grace_period());
        // That PROGRAM has ended, and its parent, the guard knows: where there is nothing else it is about to be over.
        if is_requested && (self.job.is_none() || !self.plugins.is_empty()) {
            self.above.tell(&Report::Stopping(grace_period));
        }
        let last = now + grace_period;
        let stop = Stop::begin(now, last, &self.plugins.groups());
        self.ending = Some(Ending { stop, is_requested, has_given_up: false });
        // Nobody is held up any more.
        self.take_outcomes();
        for id in self.plugins.ids() {
            self.happen(id, Event::EverythingStops { last });
        }
    }

    /// Somebody is in a hurry.
    pub(super) fn lose_patience(&mut self) {
        if let Some(ending) = &mut self.ending {
            ending.stop.lose_patience(Instant::now());
        }
    }

    /// Does what is due of the stop of everything.
    pub(super) fn step_ending(&mut self) {
        let now = Instant::now();
        // Where no child is left there is nothing to search for.
        let ending = self.ending.as_ref().filter(|_| self.has_children);
        if ending.filter(|ending| ending.deadline() <= now).is_none() {
            return;
        }
        self.view();
        let (Some(ending), Some(view)) = (&mut self.ending, &self.view) else { return };
        match ending.stop.step(now, view) {
            Step::Nothing => {}
            Step::Killed(new) => {
                if ending.is_requested {
                    self.above.tell(&Report::Stopping(STILL_KILLING));
                }
                self.say_killed(&new);
            }
            Step::Stuck(left) => {
                ending.has_given_up = true;
                self.warn_of_unreachable(&left);
            }
        }
    }

    /// Where no plugin runs or will, what plugins left behind goes with the last of them.
    pub(super) fn stop_when_idle(&mut self) {
        if self.ending.is_none() && self.is_idle() && self.has_children {
            self.begin_stop(false);
        }
    }

    fn is_idle(&self) -> bool {
        // What is yet to come may be started.
        let is_open = self.settings.is_watching && self.job.is_none();
        !(self.plugins.is_any_at_work() || self.is_program_running() || self.loader.is_busy || is_open)
    }

    /// Whether nothing is left to do.
    pub(super) fn is_done(&self) -> bool {
        match &self.ending {
            Some(ending) => !self.has_children || ending.has_given_up,
            None => self.is_idle() && !self.has_children,
        }
    }

    /// Logs the last words and returns the exit status.
    pub(super) fn end(&mut self) -> u8 {
        if self.plugins.were_any() {
            self.say(&Notice::Stopped);
        }
        self.log.finish();
        let now = Instant::now();
        let is_requested = self.ending.as_ref().is_some_and(|ending| ending.is_requested);
        let has_given_up = self.ending.as_ref().is_some_and(|ending| ending.has_given_up);
        let mut last_words = self.ending.as_ref().filter(|ending| ending.is_requested).map(|ending| {
            let grace_period = self.settings.grace_period();
            ending.stop.kill_at().max(now + LAST_WORDS.min(grace_period.max(LAST_WORDS / 5)))
        });
        if let Some(server) = self.server.take() {
            server.address.remove();
        }
        // Whatever it reads still, nobody asks for it any more.
        self.epoll.remove(self.loader.news());
        let mut ready = Vec::new();
        while !self.log.is_over() {
            let timeout = last_words.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if timeout == Some(Duration::ZERO) {
                break;
            }
            self.wait_at_most(timeout.into_iter().chain(self.above.tick()).min(), &mut ready);
            if self.take_haste(&ready, last_words.is_none()) {
                let now = Instant::now();
                last_words = Some(last_words.map_or(now + self.settings.grace_period(), |_| now));
            }
        }
        let has_failed = self.has_failed || self.plugins.values().any(|plugin| plugin.state().has_failed());
        // PROGRAM's own status is the guard's to give.
        u8::from(has_given_up || self.log.has_lost_lines() || has_failed && !is_requested)
    }

    /// Takes what came, and says whether somebody wants an end of the last words. `is_first`: nobody did so before.
    fn take_haste(&mut self, ready: &[u64], is_first: bool) -> bool {
        let asks = |news: News| match news {
            News::Order(Order::Signal(number)) if !is_first => signal::IMPATIENT.contains(&number),
            News::Order(Order::Signal(number)) => signal::STOPS.contains(&number),
            News::Order(Order::ParentGone | Order::TerminalGone) | News::GuardGone => is_first,
        };
        let is_asked = self.above.news(ready, &self.epoll).into_iter().any(asks);
        let is_stop = |arrived: Arrived| signal::STOPS.contains(&arrived.number);
        let is_signalled = iter::from_fn(|| self.signals.take()).any(is_stop);
        is_asked || is_first && is_signalled
    }
}
