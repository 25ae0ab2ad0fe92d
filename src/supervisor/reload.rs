//! SIGHUP: configuration and locations are read again. New plugins start, removed ones stop, changed ones restart, the
//! rest is left alone; a configuration that cannot be used changes nothing.

use super::{State, Supervisor, Then};
use crate::log::PluginId;
use crate::notice::Notice;
use crate::plugin::plan::{self, Decision};
use crate::settings::Settings;
use std::collections::HashMap;
use std::path::PathBuf;
use std::time::Instant;

impl Supervisor {
    /// Reads everything again and acts on the differences.
    pub(super) fn reload(&mut self) {
        let mut settings = match Settings::resolve(&self.arguments) {
            Ok(settings) if settings.locations.is_some() => settings,
            Ok(settings) => return self.refuse_reload(&settings.no_locations),
            Err(error) => return self.refuse_reload(error.message()),
        };
        let locations = settings.locations.clone().unwrap_or_default();
        // How records are written stays as it is, so that a log does not change its form half-way.
        settings.stderr = self.settings.stderr;
        self.settings = settings;
        self.set_environment(&locations);
        for warning in std::mem::take(&mut self.settings.warnings) {
            self.say(&Notice::Warning { plugin: None, reason: &warning });
        }
        let plan = plan::plan(&locations, &self.settings.identity);
        for bad in &plan.bad_locations {
            self.say(&Notice::Failed { plugin: bad.location.as_os_str(), reason: &bad.problem });
        }
        let is_error = |entry: &plan::Entry| matches!(entry.decision, Decision::Error { .. });
        self.has_failed = !plan.bad_locations.is_empty() || plan.entries.iter().any(is_error);

        let now = Instant::now();
        self.log.align(plan.names());
        let mut old: HashMap<PathBuf, PluginId> =
            self.plugins.iter().map(|(&id, plugin)| (plugin.path.clone(), id)).collect();
        for entry in plan.entries {
            let runs = matches!(entry.decision, Decision::Run { .. });
            match old.get(&entry.path).copied() {
                None if runs => self.take_in(entry),
                Some(id) if runs => {
                    old.remove(&entry.path);
                    self.renew(id, entry, now);
                }
                None | Some(_) => {}
            }
        }
        for id in old.into_values() {
            self.stop_one(id, Then::Forget, now);
        }
    }

    fn refuse_reload(&self, problem: &str) {
        let reason = format!("not reloaded, nothing was changed: {problem}");
        self.say(&Notice::Warning { plugin: None, reason: &reason });
    }

    /// A plugin that was there before and still is.
    fn renew(&mut self, id: PluginId, entry: plan::Entry, now: Instant) {
        let content = entry.fingerprint.digest;
        let file_name = entry.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let policy = self.settings.policy(&file_name);
        let Decision::Run { command, .. } = entry.decision else { return };
        let Some(plugin) = self.plugins.get_mut(&id) else { return };
        plugin.policy = policy;
        // One that was on its way out is wanted again.
        let was_leaving = matches!(plugin.state, State::Stopping { then: Then::Forget | Then::End, .. });
        if plugin.content != content || plugin.command != command || was_leaving {
            plugin.content = content;
            plugin.command = command;
            plugin.has_failed = false;
            plugin.backoff = Default::default();
            self.stop_one(id, Then::StartAt(now), now);
        }
    }
}
