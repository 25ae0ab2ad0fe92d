//! The plugins that are meant to run, and what is derived from their states: who leads which, and what is due when.

use super::backoff::Backoff;
use super::lifecycle::State;
use crate::descendants::{Hunt, Process};
use crate::log::{Counters, PluginId, Stream};
use crate::notice::Status;
use crate::numbered::{Numbered, Sorted};
use crate::settings::Policy;
use crate::sys::{Change, Mark, Outcome, Pid};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::ffi::OsString;
use std::hash::BuildHasher;
use std::io::PipeReader;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Instant;

/// One plugin.
pub struct Plugin {
    pub name: OsString,
    pub path: PathBuf,
    pub command: Vec<OsString>,
    pub policy: Policy,
    /// A digest of the file as it was when found.
    pub content: u64,
    pub mark: Mark,
    state: State,
    pub backoff: Backoff,
    /// Of an exec that is under way.
    pub outcome: Option<Outcome>,
    /// Its output, until the log follows it.
    pub pipes: Vec<(Stream, PipeReader)>,
    /// How its first process ended, where that was known before the outcome of its exec.
    pub early_end: Option<Change>,
    /// The process group of its latest run.
    pub group: Option<Pid>,
    /// What was found of it last, and who of it was sent what.
    pub prey: Vec<Process>,
    pub hunt: Hunt,
    /// What is left of it cannot be killed.
    pub is_given_up: bool,
    /// How often it was started, and when last.
    pub starts: u64,
    pub began: Instant,
    pub last: Option<Change>,
    /// Why it could not be started.
    pub problem: String,
    pub counters: Arc<Counters>,
}

/// What is known of a plugin before it runs.
pub struct Found {
    pub name: OsString,
    pub path: PathBuf,
    pub command: Vec<OsString>,
    pub policy: Policy,
    pub content: u64,
}

impl Plugin {
    fn new(found: Found, mark: Mark, state: State) -> Plugin {
        let Found { name, path, command, policy, content } = found;
        Plugin {
            name,
            path,
            command,
            policy,
            content,
            mark,
            state,
            backoff: Backoff::default(),
            outcome: None,
            pipes: Vec::new(),
            early_end: None,
            group: None,
            prey: Vec::new(),
            hunt: Hunt::default(),
            is_given_up: false,
            starts: 0,
            began: Instant::now(),
            last: None,
            problem: String::new(),
            counters: Arc::default(),
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn status(&self, now: Instant) -> Status {
        Status {
            state: self.state.name(),
            pid: self.state.leader(),
            uptime: now.saturating_duration_since(self.began),
            restarts: self.starts.saturating_sub(1),
            last: self.last,
            lines: self.counters.lines.load(Ordering::Relaxed),
            bytes: self.counters.bytes.load(Ordering::Relaxed),
        }
    }
}

/// See the module.
pub struct Plugins {
    list: Numbered<PluginId, Plugin>,
    next: PluginId,
    leaders: HashMap<Pid, PluginId>,
    deadlines: Sorted<(Instant, PluginId)>,
    at_work: usize,
    /// Makes marks that no other launcher has.
    random: u64,
}

impl Plugins {
    pub fn new() -> Plugins {
        Plugins {
            list: Numbered::new(),
            next: 0,
            leaders: HashMap::new(),
            deadlines: Sorted::new(),
            at_work: 0,
            random: RandomState::new().hash_one(0),
        }
    }

    /// Adds a plugin that waits for its start.
    pub fn add(&mut self, found: Found) {
        let id = self.next;
        self.next += 1;
        let state = State::Waiting { until: Instant::now() };
        self.list.push(id, Plugin::new(found, Mark::new(self.random, id as u64), state));
        self.note_state(id, State::Ended, state);
    }

    pub fn remove(&mut self, id: PluginId) {
        if let Some(plugin) = self.list.remove(&id) {
            self.note_state(id, plugin.state, State::Ended);
        }
    }

    pub fn set_state(&mut self, id: PluginId, state: State) {
        if let Some(plugin) = self.list.get_mut(&id) {
            let before = std::mem::replace(&mut plugin.state, state);
            self.note_state(id, before, state);
        }
    }

    fn note_state(&mut self, id: PluginId, before: State, after: State) {
        if let Some(at) = before.deadline() {
            self.deadlines.remove((at, id));
        }
        if let Some(at) = after.deadline() {
            self.deadlines.insert((at, id));
        }
        self.at_work = self.at_work + usize::from(after.has_work()) - usize::from(before.has_work());
    }

    pub fn get(&self, id: PluginId) -> Option<&Plugin> {
        self.list.get(&id)
    }

    pub fn get_mut(&mut self, id: PluginId) -> Option<&mut Plugin> {
        self.list.get_mut(&id)
    }

    /// In the order in which they came.
    pub fn iter(&self) -> impl Iterator<Item = (PluginId, &Plugin)> {
        self.list.iter()
    }

    pub fn values(&self) -> impl Iterator<Item = &Plugin> {
        self.list.values()
    }

    /// Their numbers, to be gone through while things change.
    pub fn ids(&self) -> Vec<PluginId> {
        self.list.numbers()
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// Whether there was ever one.
    pub fn were_any(&self) -> bool {
        self.next > 0
    }

    /// Whether one runs, or will.
    pub fn is_any_at_work(&self) -> bool {
        self.at_work > 0
    }

    // ------------------------------------------------------------ leaders

    /// `leader` is the first process of a plugin from now on.
    pub fn note_leader(&mut self, leader: Pid, id: PluginId) {
        self.leaders.insert(leader, id);
    }

    /// The process has ended: says whose leader it was.
    pub fn forget_leader(&mut self, leader: Pid) -> Option<PluginId> {
        self.leaders.remove(&leader)
    }

    pub fn led_by(&self, leader: Pid) -> Option<PluginId> {
        self.leaders.get(&leader).copied()
    }

    /// The process groups of those that run.
    pub fn groups(&self) -> Vec<Pid> {
        self.leaders.keys().copied().collect()
    }

    // ------------------------------------------------------------ deadlines

    /// What is due next, and when.
    pub fn next_due(&self) -> Option<(Instant, PluginId)> {
        self.deadlines.first()
    }

    /// Those for which something will be due.
    pub fn with_deadline(&self) -> Vec<PluginId> {
        self.deadlines.iter().map(|(_, id)| id).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Restart;
    use std::time::Duration;

    fn plugins(names: &[&str]) -> Plugins {
        let mut plugins = Plugins::new();
        for name in names {
            plugins.add(Found {
                name: name.into(),
                path: name.into(),
                command: Vec::new(),
                policy: Policy { restart: Restart::Never, grace_period: Duration::ZERO },
                content: 0,
            });
        }
        plugins
    }

    fn running(leader: Pid) -> State {
        State::Running { leader, since: Instant::now() }
    }

    #[test]
    fn plugins_have_numbers_in_the_order_in_which_they_came() {
        let mut plugins = plugins(&["a", "b", "c"]);
        plugins.remove(1);
        plugins.remove(7);
        let names: Vec<(PluginId, &str)> = plugins.iter().map(|(id, one)| (id, one.name.to_str().unwrap())).collect();
        assert_eq!((names, plugins.ids()), (vec![(0, "a"), (2, "c")], vec![0, 2]));
        assert_eq!(plugins.values().map(|one| &one.name).collect::<Vec<_>>(), ["a", "c"]);
        assert!(plugins.get(1).is_none() && plugins.get_mut(1).is_none());
        plugins.get_mut(2).unwrap().starts = 5;
        assert_eq!(plugins.get(2).unwrap().starts, 5);
    }

    #[test]
    fn whether_there_is_one_and_whether_there_was_are_two_questions() {
        let none = plugins(&[]);
        assert!(none.is_empty() && !none.were_any());
        let mut one = plugins(&["a"]);
        assert!(!one.is_empty() && one.were_any());
        one.remove(0);
        assert!(one.is_empty() && one.were_any());
        assert!(plugins(&["a", "b"]).were_any());
    }

    #[test]
    fn one_is_at_work_until_the_last_has_ended_or_gone() {
        let mut plugins = plugins(&["a", "b", "c"]);
        for (id, state, expected) in [
            (0, running(10), true),
            (0, State::Ended, true),
            (1, State::Failed, true),
            (2, State::Stopped, true),
            (2, State::Ended, false),
            (1, running(11), true),
            (7, running(12), true),
            (1, State::Failed, false),
            (0, running(10), true),
        ] {
            plugins.set_state(id, state);
            assert_eq!(plugins.is_any_at_work(), expected, "{id} {state:?}");
        }
        plugins.remove(0);
        assert!(!plugins.is_any_at_work());
        assert_eq!(plugins.get(2).unwrap().state(), State::Ended);
    }

    #[test]
    fn what_is_due_next_is_that_of_the_states() {
        let mut plugins = plugins(&["a", "b", "c"]);
        let now = Instant::now();
        let [soon, late] = [1, 2].map(|seconds| now + Duration::from_secs(seconds));
        plugins.set_state(0, State::Waiting { until: late });
        plugins.set_state(1, State::Waiting { until: soon });
        plugins.set_state(2, running(10));
        assert_eq!((plugins.next_due(), plugins.with_deadline()), (Some((soon, 1)), vec![1, 0]));
        plugins.set_state(1, running(11));
        assert_eq!(plugins.next_due(), Some((late, 0)));
        plugins.remove(0);
        assert_eq!((plugins.next_due(), plugins.with_deadline()), (None, vec![]));
    }

    #[test]
    fn a_process_leads_one_plugin_until_it_has_ended() {
        let mut plugins = plugins(&["a", "b"]);
        plugins.note_leader(10, 0);
        plugins.note_leader(11, 1);
        assert_eq!([10, 11, 12].map(|leader| plugins.led_by(leader)), [Some(0), Some(1), None]);
        let mut groups = plugins.groups();
        groups.sort();
        assert_eq!(groups, [10, 11]);
        assert_eq!([11, 11].map(|leader| plugins.forget_leader(leader)), [Some(1), None]);
        assert_eq!((plugins.led_by(11), plugins.groups()), (None, vec![10]));
    }
}
