//! What a reload changes: what was found now, against what is there. A pure comparison; a configuration that cannot be used
//! never comes here, and changes nothing.

use super::lifecycle::{Event, Wish};
use super::{Plugin, Supervisor, spawn};
use crate::link::Report;
use crate::log::PluginId;
use crate::notice::{Notice, ReloadCounts};
use crate::plugin::plan::{Decision, Entry, Plan};
use crate::settings::Settings;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// A plugin that is there.
struct Known<'a> {
    id: PluginId,
    path: &'a Path,
    command: &'a [OsString],
    content: u64,
}

/// What is to become of one plugin.
#[derive(Debug, PartialEq)]
enum Change {
    /// It is new.
    Start(Entry),
    /// It is there and is to be started anew, as it is now.
    Renew(PluginId, Entry),
    Keep(PluginId),
    Remove(PluginId),
    /// It should run and cannot; who runs as such is left alone.
    Refuse(Entry),
}

/// Compares. `are_all_new`: what plugins are told has changed. Plugins below what cannot be read now are left alone.
fn compare(known: &[Known<'_>], found: Vec<Entry>, are_all_new: bool, unreadable: &[PathBuf]) -> Vec<Change> {
    let mut old: HashMap<&Path, &Known<'_>> = known.iter().map(|known| (known.path, known)).collect();
    let mut changes = Vec::new();
    for entry in found {
        let before = match &entry.decision {
            Decision::Run { .. } | Decision::Error { .. } => old.remove(entry.path.as_path()),
            Decision::Skip { .. } => continue,
        };
        match (&entry.decision, before) {
            (Decision::Run { command, .. }, Some(known)) => {
                let is_same = known.content == entry.fingerprint.digest && known.command == *command && !are_all_new;
                changes.push(if is_same { Change::Keep(known.id) } else { Change::Renew(known.id, entry) });
            }
            (Decision::Run { .. }, None) => changes.push(Change::Start(entry)),
            (Decision::Error { .. } | Decision::Skip { .. }, before) => {
                changes.extend(before.map(|known| Change::Keep(known.id)));
                changes.push(Change::Refuse(entry));
            }
        }
    }
    let is_hidden = |known: &Known<'_>| unreadable.iter().any(|place| known.path.starts_with(place));
    // In the order in which they came.
    for known in known.iter().filter(|known| old.contains_key(known.path)) {
        changes.push(if is_hidden(known) { Change::Keep(known.id) } else { Change::Remove(known.id) });
    }
    changes
}

impl Supervisor {
    /// Acts on what was read again. Returns what came of it.
    pub(super) fn renew(&mut self, plan: Plan, taken: &str, mut settings: Settings) -> ReloadCounts {
        let are_all_new = settings.configuration != self.settings.configuration;
        // How streams are read stays as it is, as does how records are written: a log does not change half-way.
        settings.stderr = self.settings.stderr;
        let warnings = std::mem::take(&mut settings.warnings);
        self.settings = settings;
        warnings.iter().for_each(|warning| self.warn(warning));
        if let Some(link) = &self.link {
            link.send(&Report::GracePeriod(self.settings.longest_grace_period()));
        }
        self.environment = spawn::environment(&self.settings, &self.about_launcher, self.attached_to, taken);
        for bad in &plan.bad_locations {
            self.say(&Notice::Failed { plugin: bad.location.as_os_str(), reason: &bad.problem });
        }
        let is_error = |entry: &Entry| matches!(entry.decision, Decision::Error { .. });
        self.has_failed = !plan.bad_locations.is_empty() || plan.entries.iter().any(is_error);
        self.log.align(plan.names());
        let unreadable = plan.bad_locations.iter().filter(|bad| !bad.is_gone).map(|bad| bad.location.clone());
        let known: Vec<Known<'_>> = self.plugins.iter().map(|(id, plugin)| plugin.known(id)).collect();
        let changes = compare(&known, plan.entries, are_all_new, &unreadable.collect::<Vec<_>>());
        self.apply(changes)
    }

    fn apply(&mut self, changes: Vec<Change>) -> ReloadCounts {
        let mut counts = ReloadCounts::default();
        for change in changes {
            match change {
                Change::Start(entry) => {
                    counts.started += 1;
                    self.take_in(entry);
                }
                Change::Renew(id, entry) => {
                    let was_stopped = self.renew_one(id, entry);
                    counts.restarted += usize::from(!was_stopped);
                    counts.unchanged += usize::from(was_stopped);
                }
                Change::Keep(id) => {
                    counts.unchanged += 1;
                    self.take_policy(id);
                    // One that was on its way out is wanted again.
                    if self.plugins.get(&id).is_some_and(|plugin| plugin.state.is_leaving()) {
                        self.happen(id, Event::Asked(Wish::Renew));
                    }
                }
                Change::Remove(id) => {
                    counts.stopped += 1;
                    self.happen(id, Event::Asked(Wish::Forget));
                }
                Change::Refuse(entry) => self.take_in(entry),
            }
        }
        self.say(&Notice::Reloaded { counts: &counts });
        counts
    }

    /// Has a plugin started anew as it is now, unless it was stopped on request: says whether it was.
    fn renew_one(&mut self, id: PluginId, entry: Entry) -> bool {
        let Decision::Run { command, .. } = entry.decision else { return false };
        if let Some(plugin) = self.plugins.get_mut(&id) {
            plugin.content = entry.fingerprint.digest;
            plugin.command = command;
        }
        self.take_policy(id);
        self.happen(id, Event::Asked(Wish::Renew));
        self.plugins.get(&id).is_some_and(|plugin| plugin.state.is_stopped_on_request())
    }

    fn take_policy(&mut self, id: PluginId) {
        if let Some(plugin) = self.plugins.get_mut(&id) {
            let file_name = plugin.path.file_name().unwrap_or_default().to_string_lossy();
            plugin.policy = self.settings.policy(&file_name);
        }
    }
}

impl Plugin {
    fn known(&self, id: PluginId) -> Known<'_> {
        Known { id, path: &self.path, command: &self.command, content: self.content }
    }
}
