//! What the life of a plugin orders, done: forks, searches, signals, notices.

use super::lifecycle::{Act, Event, Left, Rules, State, step};
use super::plugins::Found;
use super::{Supervisor, spawn};
use crate::configuration::room;
use crate::descendants::{PATIENCE, Process, View};
use crate::error::plain;
use crate::log::PluginId;
use crate::notice::{Notice, describe};
use crate::numbered::Sorted;
use crate::plugin::entry::{Decision, Entry};
use crate::sys::{self, Change, Pid};
use std::io;
use std::time::{Duration, Instant};

impl Supervisor {
    /// Something happened to a plugin: what follows is decided, and done, until nothing more follows.
    pub(super) fn happen(&mut self, id: PluginId, event: Event) {
        let mut events = vec![event];
        while let Some(event) = events.pop() {
            let now = Instant::now();
            let Some(plugin) = self.plugins.get_mut(id) else { return };
            let rules = Rules { policy: plugin.policy, is_over: self.ending.is_some() };
            let (state, acts) = step(plugin.state(), event, rules, &mut plugin.backoff, now);
            self.plugins.set_state(id, state);
            for act in acts {
                events.extend(self.perform(id, act, now));
            }
        }
    }

    fn perform(&mut self, id: PluginId, act: Act, now: Instant) -> Option<Event> {
        debug_assert!(self.plugins.get(id).is_some(), "nothing follows once a plugin is forgotten");
        match act {
            Act::Spawn => return Some(self.spawn(id, now)),
            Act::SayStarted => self.say_started(id),
            Act::SayRestarting(delay) => self.say_restarting(id, delay),
            Act::SayFailed => {
                let plugin = self.plugins.get(id)?;
                self.say(&Notice::Failed { plugin: &plugin.name, reason: &plugin.problem });
            }
            Act::Settle(change) => self.settle(id, change),
            Act::Search => return Some(Event::Found(self.search_for(id))),
            Act::Ask => {
                let plugin = self.plugins.get_mut(id)?;
                plugin.hunt.ask(&plugin.prey);
            }
            Act::Kill => self.kill(id, now),
            Act::Forget => {
                self.plugins.remove(id);
            }
        }
        None
    }

    // ------------------------------------------------------------ starting

    /// Adds what was found to the plugins, or says why not.
    pub(super) fn take_in(&mut self, entry: Entry) {
        for warning in &entry.warnings {
            self.say(&Notice::Warning { plugin: Some(&entry.name), reason: warning });
        }
        let command = match entry.decision {
            Decision::Run { command, .. } => command,
            Decision::Skip { reason } => return self.say(&Notice::Skipped { plugin: &entry.name, reason: &reason }),
            Decision::Error { reason } => {
                return self.say(&Notice::Failed { plugin: &entry.name, reason: &reason });
            }
        };
        let file_name = entry.path.file_name().unwrap_or_default().to_string_lossy();
        let policy = self.settings.policy(&file_name);
        let content = entry.fingerprint.digest;
        self.plugins.add(Found { name: entry.name, path: entry.path, command, policy, content });
    }

    /// It could not be forked, or executed.
    pub(super) fn not_started(&mut self, id: PluginId, error: &io::Error) -> Event {
        let problem = match error.kind() {
            io::ErrorKind::ArgumentListTooLong => {
                let configuration = self.settings.configuration.len();
                let all: usize = self.environment.iter().map(|variable| variable.count_bytes() + 1).sum();
                room::too_small(configuration, all.saturating_sub(2 * configuration))
            }
            _ => format!("cannot be started: {}", plain(error)),
        };
        if let Some(plugin) = self.plugins.get_mut(id) {
            plugin.problem = problem;
        }
        Event::NotStarted { may_pass: sys::may_pass(error) }
    }

    fn say_started(&self, id: PluginId) {
        let Some(plugin) = self.plugins.get(id) else { return };
        let Some(pid) = plugin.state().leader() else { return };
        self.say(&Notice::Started { plugin: &plugin.name, pid, command: &plugin.command });
        for warning in spawn::refusals(&self.settings, pid) {
            self.say(&Notice::Warning { plugin: Some(&plugin.name), reason: &warning });
        }
    }

    fn say_restarting(&self, id: PluginId, delay: Duration) {
        let Some(plugin) = self.plugins.get(id) else { return };
        let ended = plugin.last.map(describe).unwrap_or_default();
        // It has ended, or was not even started.
        let reason = if plugin.problem.is_empty() { &ended } else { &plugin.problem };
        self.say(&Notice::Restarting { plugin: &plugin.name, reason, delay, count: plugin.starts });
    }

    /// Logs what a plugin wrote before its end, and then the end.
    fn settle(&mut self, id: PluginId, change: Change) {
        let Some(plugin) = self.plugins.get_mut(id) else { return };
        plugin.problem.clear();
        let is_wanted =
            self.ending.is_some() || matches!(plugin.state(), State::Stopping(stopping) if stopping.is_wanted);
        let notice = Notice::Exited { plugin: &plugin.name, change, is_wanted };
        self.log.settle(id, &notice);
    }

    // ------------------------------------------------------------ what is left of a plugin

    /// Whom the search can see. Opened when it is first needed.
    pub(super) fn view(&mut self) -> &View {
        if self.view.is_none() {
            let view = View::open(self.above.callers_session());
            if let Some(problem) = view.problem() {
                self.warn(&format!("{problem}: stopping process groups and direct children only"));
            }
            self.view = Some(view);
        }
        self.view.get_or_insert_with(|| View::open(self.above.callers_session()))
    }

    fn search_for(&mut self, id: PluginId) -> Left {
        if self.census.is_none() {
            let has_children = self.has_children;
            self.census = Some(self.view().look(has_children));
        }
        let Some(plugin) = self.plugins.get(id) else { return Left::Nothing };
        let (leader, mark) = (plugin.state().leader(), plugin.mark);
        let mut family: Sorted<Pid> = leader.into_iter().collect();
        let is_its = |process: &&Process| {
            // Whoever runs as another plugin is not this one's, whatever it inherited.
            let is_its = self.plugins.led_by(process.pid).is_none_or(|of| of == id)
                && (family.contains(process.pid)
                    || family.contains(process.parent)
                    || sys::mark_of(process.pid) == Some(mark));
            if is_its {
                family.insert(process.pid);
            }
            is_its
        };
        // Parents come before their children.
        let prey: Vec<Process> = self.census.iter().flatten().filter(is_its).copied().collect();
        let Some(plugin) = self.plugins.get_mut(id) else { return Left::Nothing };
        plugin.prey = prey;
        let is_nothing = plugin.prey.is_empty() || plugin.is_given_up;
        if is_nothing && leader.is_none() { Left::Nothing } else { Left::Something }
    }

    fn kill(&mut self, id: PluginId, now: Instant) {
        self.view();
        let (Some(plugin), Some(view)) = (self.plugins.get_mut(id), &self.view) else { return };
        let killed = plugin.hunt.kill(&plugin.prey, view);
        let is_late = matches!(plugin.state(), State::Stopping(stopping) if stopping.kill_at + PATIENCE <= now);
        if is_late && killed.is_in_vain(&plugin.prey) {
            plugin.is_given_up = true;
            self.warn_of_unreachable(&killed.unreachable);
        }
        self.say_killed(&killed.new);
    }

    pub(super) fn warn_of_unreachable(&self, left: &[Process]) {
        for process in left {
            self.warn(&format!("pid {} cannot be killed; leaving it behind", process.pid));
        }
    }

    pub(super) fn say_killed(&self, processes: &[Process]) {
        for process in processes {
            let plugin = self.plugins.values().find(|plugin| plugin.group == Some(process.group));
            self.say(&Notice::Killed { plugin: plugin.map(|plugin| plugin.name.as_os_str()), pid: process.pid });
        }
    }
}
