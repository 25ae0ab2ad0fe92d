//! The end of one plugin with all that it started, and the end of everything.

use super::descendants::{self, Census};
use super::job::Job;
use super::stop::{Step, Stop};
use super::{Event, Plugin, Pressure, SEARCH_DELAY, State, Stopping, Supervisor, Then, spawn};
use crate::log::PluginId;
use crate::notice::Notice;
use crate::sys::{self, signal};
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How often to look for what a plugin left behind while it is being stopped.
const SEARCH_PAUSE: Duration = Duration::from_millis(50);
/// From the end of a process to a search, at most.
const LONGEST_SEARCH_DELAY: Duration = Duration::from_millis(250);
/// What the last lines get to reach a reader that is alive, if the grace period is used up.
const LAST_WORDS: Duration = Duration::from_millis(250);

impl Supervisor {
    /// Begins to stop one plugin, whatever it does at the moment.
    pub(super) fn stop_one(&mut self, id: PluginId, then: Then, now: Instant) {
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        match &mut plugin.state {
            State::Running { leader, .. } => {
                let leader = *leader;
                plugin.state = State::Stopping {
                    leader,
                    is_leader_gone: false,
                    pressure: Pressure::None,
                    kill_at: now + plugin.policy.grace_period,
                    search_at: Some(now),
                    then,
                };
            }
            State::Stopping { then: planned, .. } => *planned = then,
            State::Waiting { .. } | State::Ended => self.go_on(id, then),
        }
    }

    /// Moves on every plugin that is being stopped and was to be looked after by now.
    pub(super) fn search_due(&mut self, now: Instant) {
        let is_due = |plugin: &Plugin| matches!(plugin.state, State::Stopping { search_at: Some(at), .. } if at <= now);
        let due: Vec<PluginId> = self.plugins.iter().filter(|(_, plugin)| is_due(plugin)).map(|(&id, _)| id).collect();
        if due.is_empty() {
            return;
        }
        let census = Census::take(spawn::ID_VARIABLE);
        self.search_delay = (now.elapsed() * 4).clamp(SEARCH_DELAY, LONGEST_SEARCH_DELAY);
        for id in due {
            match &census {
                Ok(census) => self.search(id, census, now),
                Err(_) => self.search_blindly(id, now),
            }
        }
    }

    /// Looks whether all processes of a plugin are gone; else has them end, gently or not.
    fn search(&mut self, id: PluginId, census: &Census, now: Instant) {
        let mark = self.mark(id);
        let Some(Plugin {
            state: State::Stopping { leader, is_leader_gone, pressure, kill_at, search_at, then }, ..
        }) = self.plugins.get_mut(&id)
        else {
            return;
        };
        let left = census.marked(&mark, *leader);
        if *is_leader_gone && left.is_empty() {
            let then = *then;
            return self.go_on(id, then);
        }
        let (before, is_time) = (*pressure, now >= *kill_at);
        *pressure = if is_time { Pressure::Killing } else { Pressure::Asked };
        *search_at = Some(if is_time { now + SEARCH_PAUSE } else { (now + SEARCH_PAUSE).min(*kill_at) });
        match (before, is_time) {
            (Pressure::None, false) => left.iter().for_each(descendants::Process::ask_to_end),
            (Pressure::Asked | Pressure::Killing, false) => {}
            (Pressure::None | Pressure::Asked, true) => {
                census.kill(&left);
                self.say_killed(&left);
            }
            (Pressure::Killing, true) => census.kill(&left),
        }
    }

    /// Without /proc there is only the process group.
    fn search_blindly(&mut self, id: PluginId, now: Instant) {
        let Some(Plugin {
            state: State::Stopping { leader, is_leader_gone, pressure, kill_at, search_at, then }, ..
        }) = self.plugins.get_mut(&id)
        else {
            return;
        };
        let is_time = *is_leader_gone || now >= *kill_at;
        if is_time || *pressure == Pressure::None {
            let _ = sys::kill_group(*leader, if is_time { signal::KILL } else { signal::TERM });
        }
        *pressure = if is_time { Pressure::Killing } else { Pressure::Asked };
        *search_at = Some(now + SEARCH_PAUSE);
        if *is_leader_gone {
            let then = *then;
            self.go_on(id, then);
        }
    }

    /// All processes of a plugin are gone.
    fn go_on(&mut self, id: PluginId, then: Then) {
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        match then {
            Then::End => plugin.state = State::Ended,
            Then::StartAt(until) => plugin.state = State::Waiting { until },
            Then::Forget => drop(self.plugins.remove(&id)),
        }
    }

    /// Begins to stop everything, on request.
    pub(super) fn stop(&mut self, reason: &str) {
        if let Some(stopping) = &mut self.stopping {
            stopping.is_requested = true;
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
        self.stopping = Some(Stopping {
            stop: Stop::begin(now, now + grace_period),
            is_requested,
            was_signalled: false,
            has_given_up: false,
        });
        let last = now + grace_period;
        for id in self.plugins.keys().copied().collect::<Vec<_>>() {
            self.stop_one(id, Then::End, now);
            if let Some(Plugin { state: State::Stopping { pressure, kill_at, search_at, .. }, .. }) =
                self.plugins.get_mut(&id)
            {
                // Everything below us is asked at once, and killed with the last; only who is due earlier is looked for.
                *pressure = Pressure::Asked;
                *search_at = (*kill_at < last).then_some(*kill_at);
            }
        }
    }

    pub(super) fn skip_grace_period(&mut self) {
        let now = Instant::now();
        if let Some(stopping) = &mut self.stopping {
            stopping.stop.skip_grace_period(now);
        }
        self.step_stop(now);
    }

    pub(super) fn step_stop(&mut self, now: Instant) {
        // Where no child is left there is nothing to search for.
        let Some(stopping) = self.stopping.as_mut().filter(|_| self.has_children) else { return };
        match stopping.stop.step(now) {
            None => {}
            Some(Step::Killed(new)) => self.say_killed(&new),
            Some(Step::Stuck(left)) => {
                stopping.has_given_up = true;
                for process in left {
                    let reason = format!("pid {} cannot be killed; leaving it behind", process.pid);
                    self.say(&Notice::Warning { plugin: None, reason: &reason });
                }
            }
            Some(Step::Blind { is_killing }) => {
                self.signal_groups(if is_killing { signal::KILL } else { signal::TERM })
            }
        }
    }

    /// All that can be done without /proc: the process groups of the leaders.
    fn signal_groups(&mut self, number: i32) {
        if number == signal::TERM {
            let reason = "/proc cannot be read: stopping process groups only";
            self.say(&Notice::Warning { plugin: None, reason });
        }
        for plugin in self.plugins.values() {
            if let State::Running { leader, .. } | State::Stopping { leader, is_leader_gone: false, .. } = plugin.state
            {
                let _ = sys::kill_group(leader, number);
                let _ = sys::kill_group(leader, signal::CONT);
            }
        }
        if let Some(job) = self.job.as_ref().filter(|job| job.is_running()) {
            let _ = sys::kill_group(job.pid(), number);
        }
    }

    fn say_killed(&self, processes: &[descendants::Process]) {
        for process in processes {
            let is_leader = |plugin: &&Plugin| match plugin.state {
                State::Running { leader, .. } | State::Stopping { leader, .. } => leader == process.group,
                State::Waiting { .. } | State::Ended => false,
            };
            let plugin = self.plugins.values().find(is_leader).map(|plugin| plugin.name.as_os_str());
            self.say(&Notice::Killed { plugin, pid: process.pid });
        }
    }

    /// Whether anything runs, or will.
    fn has_work(&self) -> bool {
        let is_over = |plugin: &Plugin| matches!(plugin.state, State::Ended);
        self.job.as_ref().is_some_and(Job::is_running) || !self.plugins.values().all(is_over)
    }

    pub(super) fn is_done(&mut self) -> bool {
        match &self.stopping {
            Some(stopping) => !self.has_children || stopping.has_given_up,
            None if self.has_work() => false,
            None if !self.has_children => true,
            None => {
                // What the plugins left behind goes with the last of them.
                self.begin_stop(false);
                false
            }
        }
    }

    /// Logs the last words and returns the exit status.
    pub(super) fn end(mut self) -> u8 {
        if self.next_id > 0 {
            self.say(&Notice::Stopped);
        }
        self.log.finish();
        let now = Instant::now();
        let mut last_words = self.stopping.as_ref().filter(|stopping| stopping.is_requested).map(|stopping| {
            let grace_period = self.settings.grace_period();
            stopping.stop.kill_at().max(now + LAST_WORDS.min(grace_period.max(LAST_WORDS / 5)))
        });
        loop {
            let timeout = last_words.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            let link = self.link.as_ref().map(|link| link.pipe.as_fd());
            let ready = sys::wait_readable([Some(self.log.ended()), Some(self.signals.as_fd()), link], timeout);
            if matches!(ready, Ok([true, ..])) || timeout == Some(Duration::ZERO) {
                break;
            }
            for event in self.wait(Some(Instant::now())) {
                let asks_to_stop = match event {
                    Event::Signal(number) => signal::STOPS.contains(&number),
                    Event::Direct(number) => last_words.is_none() && signal::STOPS.contains(&number),
                    Event::ParentGone | Event::GuardGone => true,
                };
                if asks_to_stop {
                    let now = Instant::now();
                    last_words = Some(last_words.map_or(now + self.settings.grace_period(), |_| now));
                }
            }
        }
        let is_requested = self.stopping.as_ref().is_some_and(|stopping| stopping.is_requested);
        match self.job.as_ref().and_then(Job::status) {
            Some(status) => status,
            None if self.log.has_lost_lines() => 1,
            None if is_requested => 0,
            None => u8::from(self.has_failed || self.plugins.values().any(|plugin| plugin.has_failed)),
        }
    }
}
