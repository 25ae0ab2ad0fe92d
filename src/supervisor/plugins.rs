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
