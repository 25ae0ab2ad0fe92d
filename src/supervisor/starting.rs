//! Plugins whose exec is under way. What came of each is told in the order in which they were started, so that the log
//! reads as it happened; an exec that hangs holds up the others for a moment only.

use super::lifecycle::{Event, State};
use super::{Supervisor, spawn, token};
use crate::log::{PluginId, Source};
use crate::sys::{self, Change, Interest};
use std::os::fd::AsFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How long an exec may hold up what came of later ones.
const PATIENCE: Duration = Duration::from_secs(1);

impl Supervisor {
    /// Forks a plugin. How its exec goes is told later.
    pub(super) fn spawn(&mut self, id: PluginId, now: Instant) -> Event {
        let Some(plugin) = self.plugins.get_mut(id) else { return Event::NotStarted { may_pass: false } };
        plugin.starts += 1;
        plugin.began = now;
        plugin.is_given_up = false;
        plugin.hunt = Default::default();
        if let Some(problem) = self.settings.configuration.problem() {
            plugin.problem = problem;
            return Event::NotStarted { may_pass: false };
        }
        let forked = spawn::plugin(&plugin.command, plugin.mark, &self.environment, &self.settings, &self.inherited);
        let forked = match forked {
            Ok(forked) => forked,
            Err(error) => return self.not_started(id, &error),
        };
        let pid = forked.spawned.pid;
        // Where the kernel has no memory to watch it, the outcome is asked for when the process ends.
        let _ = self.epoll.add(forked.spawned.outcome.as_fd(), token::PLUGINS + id as u64);
        plugin.outcome = Some(forked.spawned.outcome);
        plugin.pipes = forked.pipes;
        plugin.group = Some(pid);
        self.starting.push((id, now + PATIENCE));
        self.plugins.note_leader(pid, id);
        self.has_children = true;
        Event::Forked(pid)
    }

    /// When those that are held up are not any more.
    pub(super) fn patience_ends(&self) -> Option<Instant> {
        self.starting.first().filter(|_| self.starting.len() > 1).map(|(_, until)| *until)
    }

    /// The exec of a plugin has succeeded or failed.
    pub(super) fn note_outcome(&mut self, id: PluginId) {
        if let Some(outcome) = self.plugins.get(id).and_then(|plugin| plugin.outcome.as_ref()) {
            self.epoll.remove(outcome.as_fd());
        }
        match self.is_starting(id) {
            true => self.take_outcomes(),
            false => self.take_outcome(id),
        }
    }

    /// Whether what came of its exec is still to be told.
    pub(super) fn is_starting(&self, id: PluginId) -> bool {
        self.starting.iter().any(|(starting, _)| *starting == id)
    }

    /// Tells what came of each, in order, as far as it is known.
    pub(super) fn take_outcomes(&mut self) {
        while let Some(&(id, until)) = self.starting.first() {
            let outcome = self.plugins.get(id).and_then(|plugin| plugin.outcome.as_ref());
            let is_known = outcome.is_none_or(|outcome| sys::is_ready(outcome.as_fd(), Interest::Readable));
            if !is_known && Instant::now() < until && self.ending.is_none() {
                return;
            }
            self.starting.remove(0);
            if is_known {
                self.take_outcome(id);
            }
        }
    }

    fn take_outcome(&mut self, id: PluginId) {
        let Some(plugin) = self.plugins.get_mut(id) else { return };
        let Some(outcome) = plugin.outcome.take() else { return };
        self.epoll.remove(outcome.as_fd());
        let pipes = std::mem::take(&mut plugin.pipes);
        let early_end = plugin.early_end.take();
        match outcome.take() {
            Some(error) => {
                // Its process is about to end, and is nobody's.
                if let (State::Starting { leader, .. }, None) = (plugin.state(), early_end) {
                    self.plugins.forget_leader(leader);
                }
                let event = self.not_started(id, &error);
                self.happen(id, event);
            }
            None => {
                self.happen(id, Event::Executed);
                for (stream, pipe) in pipes {
                    let Some(plugin) = self.plugins.get(id) else { return };
                    let (name, counters) = (plugin.name.clone(), Arc::clone(&plugin.counters));
                    self.log.follow(Source { plugin: id, name, pipe: Arc::new(pipe), stream, counters });
                }
                if let Some(change) = early_end {
                    self.note_end_of_leader(id, change);
                }
            }
        }
    }

    /// The first process of a plugin has ended. How its exec went is told before that.
    pub(super) fn note_end_of_leader(&mut self, id: PluginId, change: Change) {
        let Some(plugin) = self.plugins.get_mut(id) else { return };
        if plugin.outcome.is_some() {
            plugin.early_end = Some(change);
            self.note_outcome(id);
        } else {
            plugin.last = Some(change);
            self.happen(id, Event::LeaderEnded(change));
        }
    }
}
