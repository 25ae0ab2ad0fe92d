//! From what was found to processes that run.

use super::{Plugin, State, Supervisor, canonical, restart, spawn};
use crate::answer::complain;
use crate::configuration::{Location, room};
use crate::document::{Value, json};
use crate::error::plain;
use crate::log::{PluginId, Source};
use crate::notice::Notice;
use crate::plugin::plan::{self, Decision};
use crate::settings::Restart;
use crate::supervisor::job::Job;
use crate::supervisor::restart::Backoff;
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

impl Supervisor {
    /// Starts PROGRAM, if there is one. A failure ends the launcher as it would end a shell's command.
    pub(super) fn start_program(&mut self) -> Result<(), u8> {
        let Some(word) = self.settings.program.first() else { return Ok(()) };
        let group = self.link.as_ref().map_or(0, |link| link.group);
        match spawn::program(&self.settings.program, group, &self.inherited) {
            Ok(pid) => {
                self.job = Some(Job::new(pid, self.guard, group));
                self.attached_to = Some(pid);
                self.has_children = true;
                Ok(())
            }
            Err(error) => {
                let is_there = is_there(word, &error);
                let reason = match error.kind() {
                    io::ErrorKind::NotFound if is_there => "its interpreter does not exist".into(),
                    _ if is_there || is_path(word) => plain(&error),
                    _ => "not found in PATH".into(),
                };
                complain(&format!("cannot run `{}`: {reason}", word.to_string_lossy()));
                Err(if is_there { 126 } else { 127 })
            }
        }
    }

    /// Says what was found and has every plugin wait for its start.
    pub(super) fn prepare(&mut self) {
        let locations = self.settings.locations.clone().unwrap_or_default();
        self.set_environment(&locations);
        for warning in std::mem::take(&mut self.settings.warnings) {
            self.say(&Notice::Warning { plugin: None, reason: &warning });
        }
        let plan = plan::plan(&locations, &self.settings.identity);
        for bad in &plan.bad_locations {
            self.has_failed = true;
            self.say(&Notice::Failed { plugin: bad.location.as_os_str(), reason: &bad.problem });
        }
        self.log.align(plan.names());
        for entry in plan.entries {
            self.take_in(entry);
        }
    }

    pub(super) fn set_environment(&mut self, locations: &[Location]) {
        let canonical =
            Value::Array(locations.iter().map(|location| Value::String(canonical(&location.path).into())).collect());
        let mut text = String::new();
        json::write(&canonical, &mut text);
        self.environment = spawn::environment(&self.settings, self.attached_to, &text);
    }

    /// Adds what was found to the plugins, or says why not.
    pub(super) fn take_in(&mut self, entry: plan::Entry) {
        for warning in &entry.warnings {
            self.say(&Notice::Warning { plugin: Some(&entry.name), reason: warning });
        }
        let command = match entry.decision {
            Decision::Run { command, .. } => command,
            Decision::Skip { reason } => return self.say(&Notice::Skipped { plugin: &entry.name, reason: &reason }),
            Decision::Error { reason } => {
                self.has_failed = true;
                return self.say(&Notice::Failed { plugin: &entry.name, reason: &reason });
            }
        };
        let id = self.next_id;
        self.next_id += 1;
        let file_name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let plugin = Plugin {
            content: entry.fingerprint.digest,
            name: entry.name,
            path: entry.path,
            command,
            policy: self.settings.policy(&file_name),
            state: State::Waiting { until: Instant::now() },
            backoff: Backoff::default(),
            restarts: 0,
            last: None,
            has_failed: false,
            counters: Arc::default(),
        };
        self.plugins.insert(id, plugin);
    }

    pub(super) fn start(&mut self, id: PluginId, now: Instant) {
        let mark = self.mark(id);
        let Some(plugin) = self.plugins.get(&id) else { return };
        let name = plugin.name.clone();
        if let Some(problem) = self.settings.configuration.problem() {
            return self.fail(id, &name, &problem);
        }
        match spawn::plugin(&plugin.command, &mark, &self.environment, &self.settings, &self.inherited) {
            Ok(started) => {
                self.has_children = true;
                self.say(&Notice::Started { plugin: &name, pid: started.pid, command: &plugin.command });
                for warning in &started.warnings {
                    self.say(&Notice::Warning { plugin: Some(&name), reason: warning });
                }
                for (stream, pipe) in started.pipes {
                    let (name, counters) = (name.clone(), Arc::clone(&plugin.counters));
                    self.log.follow(Source { plugin: id, name, pipe, stream, counters });
                }
                if let Some(plugin) = self.plugins.get_mut(&id) {
                    plugin.state = State::Running { leader: started.pid, since: now };
                }
            }
            Err(error) => {
                let reason = match error.kind() {
                    io::ErrorKind::ArgumentListTooLong => {
                        let configuration = self.settings.configuration.len();
                        let all: usize = self.environment.iter().map(|variable| variable.count_bytes() + 1).sum();
                        room::too_small(configuration, all.saturating_sub(2 * configuration))
                    }
                    _ => format!("cannot be started: {}", plain(&error)),
                };
                let is_retried = restart::is_retryable(&error) && plugin.policy.restart != Restart::Never;
                if !is_retried {
                    return self.fail(id, &name, &reason);
                }
                if let Some(plugin) = self.plugins.get_mut(&id) {
                    let delay = plugin.backoff.delay(Duration::ZERO);
                    plugin.restarts += 1;
                    plugin.state = State::Waiting { until: now + delay };
                    let count = plugin.restarts;
                    self.say(&Notice::Restarting { plugin: &name, reason: &reason, delay, count });
                }
            }
        }
    }

    fn fail(&mut self, id: PluginId, name: &OsStr, reason: &str) {
        self.say(&Notice::Failed { plugin: name, reason });
        if let Some(plugin) = self.plugins.get_mut(&id) {
            plugin.has_failed = true;
            plugin.state = State::Ended;
        }
    }
}

/// Whether a command names its file itself, so that PATH is not searched (execvp(3)).
fn is_path(word: &OsStr) -> bool {
    word.as_bytes().contains(&b'/')
}

/// Whether the file of a command that failed is there. The error alone does not tell: ENOENT is also that of a missing
/// interpreter, and EACCES that of a directory in PATH that may not be searched.
fn is_there(word: &OsStr, error: &io::Error) -> bool {
    if is_path(word) {
        return error.kind() != io::ErrorKind::NotFound || Path::new(word).exists();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|directory| directory.join(word).is_file())
}
