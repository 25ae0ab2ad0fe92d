//! Children that have ended, stopped or gone on: plugins' first processes, PROGRAM, and what they left to us.

use super::lifecycle::{Event, State};
use super::plugins::Plugin;
use super::{Supervisor, cannot_run};
use crate::link::Report;
use crate::log::PluginId;
use crate::notice::Notice;
use crate::sys::{self, Change, Pid, Reaped};
use std::ffi::OsString;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

/// How long PROGRAM has the processors to itself before plugins are looked for. One that ends sooner pays for none.
const HEAD_START: Duration = Duration::from_millis(2);

impl Supervisor {
    pub(super) fn reap(&mut self) {
        loop {
            match sys::reap() {
                Reaped::Ended(pid, change) => self.note_end(pid, change),
                Reaped::Stopped(pid, number) => {
                    if let Some(job) = self.job.as_ref().filter(|job| job.is(pid)) {
                        job.note_stop(number, &self.above);
                    }
                }
                Reaped::Continued(pid) => {
                    if let Some(job) = self.job.as_ref().filter(|job| job.is(pid)) {
                        job.note_continuation(&self.above);
                    }
                }
                Reaped::Nothing => {
                    self.has_children = true;
                    return;
                }
                Reaped::NoChildren => {
                    if std::mem::replace(&mut self.has_children, false) {
                        self.note_nothing_left();
                    }
                    return;
                }
            }
        }
    }

    fn note_end(&mut self, pid: Pid, change: Change) {
        if self.job.as_ref().is_some_and(|job| job.is(pid)) {
            return self.note_end_of_program(change);
        }
        match self.plugins.forget_leader(pid) {
            Some(id) => self.note_end_of_leader(id, change),
            None => {
                for id in self.plugins.with_deadline() {
                    self.happen(id, Event::OtherEnded);
                }
            }
        }
        if let Some(ending) = &mut self.ending {
            ending.note_end(pid);
        }
    }

    fn note_end_of_program(&mut self, change: Change) {
        if self.has_program_begun() {
            // It is too late for plugins.
            self.say_what_was_noted();
        }
        let Some(job) = self.job.as_mut().filter(|_| self.failure.is_none()) else { return };
        job.note_end(change, &self.above);
        // Where nobody named a location, we are not there.
        if self.settings.locations.is_some() {
            let program = self.settings.program.first().map(OsString::as_os_str).unwrap_or_default();
            self.say(&Notice::ProgramExited { program, change });
        }
        self.stop("the program ended");
    }

    /// No process is left below us.
    fn note_nothing_left(&mut self) {
        let stopping = |(id, plugin): (PluginId, &Plugin)| matches!(plugin.state(), State::Stopping(_)).then_some(id);
        let all: Vec<PluginId> = self.plugins.iter().filter_map(stopping).collect();
        all.into_iter().for_each(|id| self.happen(id, Event::NothingLeft));
    }

    /// The exec of PROGRAM has succeeded or failed.
    pub(super) fn take_outcome_of_program(&mut self) {
        if self.has_program_begun() {
            if let Some(job) = &self.job {
                self.above.tell(&Report::Program(job.pid()));
            }
            self.say_what_was_noted();
            self.search_at = Some(Instant::now() + HEAD_START);
        }
    }

    /// Whether it is only now known that PROGRAM was executed.
    fn has_program_begun(&mut self) -> bool {
        let Some(outcome) = self.job.as_mut().and_then(|job| job.outcome.take()) else { return false };
        self.epoll.remove(outcome.as_fd());
        let error = outcome.take();
        self.failure = error.as_ref().map(|error| cannot_run(&self.settings, error));
        error.is_none()
    }
}
