//! What a reload changes: what was found now, against what is there. Plugins below what cannot be read now are left alone.
//! A pure comparison; a configuration that cannot be used never comes here, and changes nothing.

use super::Supervisor;
use super::lifecycle::{Event, Wish};
use super::plugins::Plugin;
use crate::link::Report;
use crate::log::PluginId;
use crate::notice::{Notice, ReloadCounts};
use crate::plugin::entry::{Decision, Entry, Plan};
use crate::plugin::plan::last_components;
use crate::settings::Settings;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
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
            Decision::Skip { .. } => {
                let unreadable = entry.is_unreadable.then(|| old.remove(entry.path.as_path()));
                changes.extend(unreadable.flatten().map(|known| Change::Keep(known.id)));
                continue;
            }
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
        let is_new = |warning: &&String| !self.warnings.contains(warning);
        warnings.iter().filter(is_new).for_each(|warning| self.warn(warning));
        self.warnings = warnings;
        self.above.tell(&Report::GracePeriod(self.settings.longest_grace_period()));
        self.note_plan(&plan, taken);
        let unreadable = plan.bad_locations.iter().filter(|bad| !bad.is_gone).map(|bad| bad.location.clone());
        let known: Vec<Known<'_>> = self.plugins.iter().map(|(id, plugin)| plugin.known(id)).collect();
        let changes = compare(&known, plan.entries, are_all_new, &unreadable.collect::<Vec<_>>());
        self.apply(changes)
    }

    fn apply(&mut self, mut changes: Vec<Change>) -> ReloadCounts {
        let mut counts = ReloadCounts::default();
        // Who goes has no name any more when those who come are named.
        changes.sort_by_key(|change| !matches!(change, Change::Remove(_)));
        for change in changes {
            match change {
                Change::Start(mut entry) => {
                    counts.started += 1;
                    entry.name = self.name_apart(None, &entry.path, entry.name);
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
                    if self.plugins.get(id).is_some_and(|plugin| plugin.state().is_leaving()) {
                        self.rename_apart(id);
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
        if let Some(plugin) = self.plugins.get_mut(id) {
            plugin.content = entry.fingerprint.digest;
            plugin.command = command;
        }
        self.take_policy(id);
        self.rename_apart(id);
        self.happen(id, Event::Asked(Wish::Renew));
        self.plugins.get(id).is_some_and(|plugin| plugin.state().is_stopped_on_request())
    }

    /// The name of a plugin, or as many more of its directories as tell it from all others that stay: also from those
    /// that were not found this time.
    fn name_apart(&self, id: Option<PluginId>, path: &Path, name: OsString) -> OsString {
        let is_others = |name: &OsStr| {
            let mut others = self.plugins.iter().filter(|(other, _)| Some(*other) != id);
            others.any(|(_, other)| other.name == name && !other.state().is_leaving())
        };
        if !is_others(&name) {
            return name;
        }
        let longer = (2..=path.components().count()).map(|count| last_components(path, count));
        longer.into_iter().find(|name| !is_others(name)).unwrap_or(name)
    }

    /// Another may have got the name of one that was on its way out.
    fn rename_apart(&mut self, id: PluginId) {
        let Some(plugin) = self.plugins.get(id) else { return };
        let name = self.name_apart(Some(id), &plugin.path, plugin.name.clone());
        if let Some(plugin) = self.plugins.get_mut(id) {
            plugin.name = name;
        }
    }

    fn take_policy(&mut self, id: PluginId) {
        if let Some(plugin) = self.plugins.get_mut(id) {
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

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: u64 = 1;
    const NEW: u64 = 2;

    /// A plugin that was found and runs by this command, with this content.
    fn runs(path: &str, command: &str, content: u64) -> Entry {
        let mut entry = Entry::new(path.into(), Decision::Run { command: vec![command.into()], reason: String::new() });
        entry.fingerprint.digest = content;
        entry
    }

    fn is_wrong(path: &str) -> Entry {
        Entry::new(path.into(), Decision::Error { reason: "no interpreter".into() })
    }

    /// What becomes of plugins that are there, all as `sh` with the old content, in words.
    fn changes(known: &[&str], found: Vec<Entry>, are_all_new: bool, unreadable: &[&str]) -> Vec<String> {
        let command = [OsString::from("sh")];
        let known: Vec<Known<'_>> = known
            .iter()
            .zip(1..)
            .map(|(path, id)| Known { id, path: Path::new(path), command: &command, content: OLD })
            .collect();
        let unreadable: Vec<PathBuf> = unreadable.iter().map(PathBuf::from).collect();
        let words = |change| match change {
            Change::Start(entry) => format!("start {}", entry.path.display()),
            Change::Renew(id, entry) => format!("renew {id} {}", entry.path.display()),
            Change::Keep(id) => format!("keep {id}"),
            Change::Remove(id) => format!("remove {id}"),
            Change::Refuse(entry) => format!("refuse {}", entry.path.display()),
        };
        compare(&known, found, are_all_new, &unreadable).into_iter().map(words).collect()
    }

    #[test]
    fn only_what_changed_is_touched() {
        let found = || vec![runs("p/a", "sh", OLD)];
        assert_eq!(changes(&["p/a"], found(), false, &[]), ["keep 1"]);
        assert_eq!(changes(&["p/a"], found(), true, &[]), ["renew 1 p/a"]);
        assert_eq!(changes(&["p/a"], vec![runs("p/a", "sh", NEW)], false, &[]), ["renew 1 p/a"]);
        assert_eq!(changes(&["p/a"], vec![runs("p/a", "bash", OLD)], false, &[]), ["renew 1 p/a"]);
        assert_eq!(changes(&[], found(), false, &[]), ["start p/a"]);
        assert_eq!(changes(&[], found(), true, &[]), ["start p/a"]);
    }

    #[test]
    fn what_is_no_longer_found_is_removed_in_order() {
        let found = vec![runs("p/b", "sh", OLD), Entry::skip("p/c".into(), "another role's")];
        assert_eq!(changes(&["p/c", "p/b", "p/a"], found, false, &[]), ["keep 2", "remove 1", "remove 3"]);
    }

    #[test]
    fn what_cannot_be_read_now_is_left_alone() {
        let found = || Entry { is_unreadable: true, ..Entry::skip("p/a".into(), "cannot be read") };
        assert_eq!(changes(&["p/a"], vec![found()], true, &[]), ["keep 1"]);
        assert_eq!(changes(&[], vec![found()], false, &[]), [""; 0]);
    }

    #[test]
    fn what_cannot_run_now_is_said_and_left_alone() {
        assert_eq!(changes(&["p/a"], vec![is_wrong("p/a")], true, &[]), ["keep 1", "refuse p/a"]);
        assert_eq!(changes(&[], vec![is_wrong("p/a")], false, &[]), ["refuse p/a"]);
        assert_eq!(changes(&[], vec![Entry::skip("p/a".into(), "another role's")], true, &[]), [""; 0]);
    }

    #[test]
    fn below_what_cannot_be_read_all_is_left_alone() {
        assert_eq!(changes(&["p/a", "q/b", "pp/c"], vec![], true, &["p"]), ["keep 1", "remove 2", "remove 3"]);
    }
}
