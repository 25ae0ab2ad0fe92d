//! What is read from disk, by the loader: when that is asked for, and what comes of it.

use super::loader::Loaded;
use super::{Supervisor, spawn, token};
use crate::error::plain;
use crate::notice::Notice;
use crate::plugin::entry::Plan;
use crate::watch::Watch;
use std::io;
use std::os::fd::AsFd;

impl Supervisor {
    /// Has the locations searched for the first time.
    pub(super) fn search(&mut self) {
        if self.ending.is_none() {
            self.loader.search(&self.arguments, &self.settings);
        }
    }

    /// Says what was found in the settings, before there was a log.
    pub(super) fn say_what_was_noted(&mut self) {
        self.warnings = std::mem::take(&mut self.settings.warnings);
        self.warnings.iter().for_each(|warning| self.warn(warning));
        if let Some(change) = self.settings.environment_of_program().filter(|_| !self.settings.is_quiet) {
            self.warn(change.notice);
        }
    }

    pub(super) fn take_loaded(&mut self) {
        let Some(answer) = self.loader.take() else { return };
        if self.ending.is_some() {
            return;
        }
        self.begin_to_watch(answer.watch);
        match answer.outcome {
            Ok(Loaded { plan, taken, settings: None }) => self.begin_with(plan, &taken),
            Ok(Loaded { plan, taken, settings: Some(settings) }) => {
                self.reloads.last = Ok(self.renew(plan, &taken, *settings));
                self.reloads.done += 1;
            }
            Err(problem) if self.reloads.begun == 0 => {
                self.has_failed = true;
                self.warn(&format!("cannot look for plugins: {problem}"));
            }
            Err(problem) => {
                let problem = format!("not reloaded, nothing was changed: {problem}");
                self.warn(&problem);
                self.reloads.last = Err(problem);
                self.reloads.done += 1;
            }
        }
        if std::mem::take(&mut self.wants_reload) {
            self.reload();
        }
    }

    /// Reads everything again. Reloads that are asked for together are one.
    pub(super) fn reload(&mut self) {
        // Before PROGRAM runs, and shortly after, nothing was searched for the first time.
        let is_first_to_come = self.search_at.is_some() || self.job.as_ref().is_some_and(|job| job.outcome.is_some());
        if self.loader.is_busy || is_first_to_come {
            self.wants_reload = true;
        } else if self.ending.is_none() {
            self.reloads.begun += 1;
            let watch = self.watch.take();
            if let Some(watch) = &watch {
                self.epoll.remove(watch.as_fd());
            }
            self.loader.reload(&self.arguments, &self.settings, watch);
        }
    }

    /// Watches what the loader has set up. That not everything is watched is said once.
    fn begin_to_watch(&mut self, watch: Option<io::Result<Watch>>) {
        let problem = match watch {
            None => return,
            Some(Err(error)) => Some(plain(&error)),
            Some(Ok(watch)) => {
                let problem = watch.problem();
                let added = self.epoll.add(watch.as_fd(), token::WATCH);
                self.watch = added.is_ok().then_some(watch);
                problem.or(added.err().map(|error| plain(&error)))
            }
        };
        if let Some(problem) = problem
            && !std::mem::replace(&mut self.has_said_unwatched, true)
        {
            self.warn(&["--watch sees not every change: ", &problem, "; `reload` and SIGHUP do"].concat());
        }
    }

    /// Says what was found, and has every plugin wait for its start.
    fn begin_with(&mut self, plan: Plan, taken: &str) {
        self.note_plan(&plan, taken);
        for entry in plan.entries {
            self.take_in(entry);
        }
    }

    /// Takes from a plan what is not one plugin's, and says which locations cannot be used.
    pub(super) fn note_plan(&mut self, plan: &Plan, taken: &str) {
        self.environment = spawn::environment(&self.settings, &self.about_launcher, self.attached_to, taken);
        self.has_failed = plan.has_failed();
        for bad in &plan.bad_locations {
            self.say(&Notice::Failed { plugin: bad.location.as_os_str(), reason: &bad.problem });
        }
        self.log.align(plan.names());
    }
}
