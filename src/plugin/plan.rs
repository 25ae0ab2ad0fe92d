//! Locations to a plan: every file that was met, whether it runs here, by which command, what is wrong with it, and
//! which directories tell plugins of one file name apart.

use super::decide::{Seen, examine};
use super::entry::{Decision, Entry, Plan};
use super::name::{Identity, LABEL};
use super::search::files;
use crate::configuration::Location;
use std::collections::HashMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

/// Searches `locations` and decides about every file.
pub fn plan(locations: &[Location], identity: &Identity) -> Plan {
    let mut plan = Plan::default();
    let mut seen = Seen::new();
    for location in locations {
        let bad = plan.bad_locations.len();
        let files = files(location, &mut plan);
        if files.is_empty() && plan.bad_locations.len() == bad {
            let entry = Entry::skip(location.path.clone(), "an empty directory: no plugin is there");
            plan.entries.push(Entry { is_empty_directory: true, ..entry });
        }
        plan.entries.extend(files.into_iter().map(|met| examine(met, identity, &mut seen)));
    }
    tell_apart(&mut plan.entries);
    plan
}

/// Gives plugins that run here and share a file name, with one another or with the launcher's own label, as many parent
/// directories as tell them apart.
fn tell_apart(entries: &mut [Entry]) {
    let mut groups: HashMap<OsString, Vec<usize>> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if matches!(entry.decision, Decision::Run { .. }) {
            groups.entry(entry.name.clone()).or_default().push(index);
        }
    }
    for (name, indexes) in groups {
        if indexes.len() == 1 && name != LABEL {
            continue;
        }
        let longest = indexes.iter().map(|&index| entries[index].path.components().count()).max().unwrap_or(1).max(2);
        let names = (2..=longest)
            .map(|count| indexes.iter().map(|&index| last_components(&entries[index].path, count)).collect::<Vec<_>>())
            .find(|names| {
                let mut sorted: Vec<&OsString> = names.iter().collect();
                sorted.sort();
                sorted.windows(2).all(|pair| pair[0] != pair[1])
            });
        for (index, name) in indexes.into_iter().zip(names.into_iter().flatten()) {
            entries[index].name = name;
        }
    }
}

/// The last so many parts of a path.
pub fn last_components(path: &Path, count: usize) -> OsString {
    // A bare name has a directory, too.
    let path = if path.components().count() == 1 { &Path::new(".").join(path) } else { path };
    let components: Vec<_> = path.components().collect();
    let tail = &components[components.len().saturating_sub(count)..];
    tail.iter().collect::<PathBuf>().into_os_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_of_one_name_are_told_apart_by_their_directories() {
        let run = |path: &str| Entry::new(path.into(), Decision::Run { command: vec![], reason: String::new() });
        let mut entries = vec![run("/a/x/p.sh"), run("/b/x/p.sh"), run("/b/y/p.sh"), run("/b/q.sh")];
        tell_apart(&mut entries);
        let names: Vec<_> = entries.iter().map(|entry| entry.name.to_str().unwrap()).collect();
        assert_eq!(names, ["a/x/p.sh", "b/x/p.sh", "b/y/p.sh", "q.sh"]);
    }

    #[test]
    fn the_label_of_the_launcher_is_no_name_of_a_plugin() {
        let run = |path: &str| Entry::new(path.into(), Decision::Run { command: vec![], reason: String::new() });
        for (paths, expected) in [
            (&["/a/launcher"][..], &["a/launcher"][..]),
            (&["launcher"], &["./launcher"]),
            (&["./launcher", "b/launcher"], &["./launcher", "b/launcher"]),
        ] {
            let mut entries: Vec<Entry> = paths.iter().map(|path| run(path)).collect();
            tell_apart(&mut entries);
            let names: Vec<_> = entries.iter().map(|entry| entry.name.to_str().unwrap()).collect();
            assert_eq!(names, expected);
        }
    }
}
