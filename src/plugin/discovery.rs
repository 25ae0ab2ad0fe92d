//! Locations to a plan: every file that was met, whether it runs here, by which command, and what is wrong with it.
//! Reads the first bytes of regular files and nothing else; what is not a regular file is never opened.

use super::interpreter::{self, FirstLine, HEAD_BYTES};
use super::name::{self, Identity, RoleScope, WorkerScope};
use crate::error::plain;
use crate::sys;
use std::collections::{BinaryHeap, HashMap};
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// What was found at the locations.
#[derive(Debug, Default)]
pub struct Plan {
    /// Locations as given, files below each by path.
    pub entries: Vec<Entry>,
    /// Locations, or directories below them, that cannot be searched.
    pub bad_locations: Vec<BadLocation>,
    /// What others could do to the directories that were searched.
    pub directory_advice: Vec<(PathBuf, String)>,
}

/// A location that is missing or cannot be read.
#[derive(Debug)]
pub struct BadLocation {
    pub location: PathBuf,
    pub problem: String,
}

/// One file.
#[derive(Debug)]
pub struct Entry {
    /// As reached from the location.
    pub path: PathBuf,
    /// The file name, with as many parent directories as tell it from the other plugins that run.
    pub name: OsString,
    pub decision: Decision,
    /// What is said when it runs, too.
    pub warnings: Vec<String>,
    /// What only `check` says.
    pub advice: Vec<String>,
}

/// Whether a file runs here.
#[derive(Debug, PartialEq)]
pub enum Decision {
    Run {
        command: Vec<OsString>,
        reason: String,
    },
    Skip {
        reason: String,
    },
    /// It should run here and cannot.
    Error {
        reason: String,
    },
}

impl Entry {
    fn new(path: PathBuf, decision: Decision) -> Entry {
        let name = path.file_name().unwrap_or(path.as_os_str()).to_os_string();
        Entry { path, name, decision, warnings: Vec::new(), advice: Vec::new() }
    }

    fn skip(path: PathBuf, reason: impl Into<String>) -> Entry {
        Entry::new(path, Decision::Skip { reason: reason.into() })
    }
}

/// Searches `locations` and decides about every file.
pub fn plan(locations: &[PathBuf], identity: &Identity) -> Plan {
    let mut plan = Plan::default();
    let mut seen = HashMap::new();
    for location in locations {
        for (path, is_location) in files(location, &mut plan) {
            let entry = examine(path, is_location, identity, &mut seen);
            plan.entries.push(entry);
        }
    }
    tell_apart(&mut plan.entries);
    plan
}

/// The files of one location in the order of their paths, and whether the file is the location itself.
fn files(location: &Path, plan: &mut Plan) -> Vec<(PathBuf, bool)> {
    let bad = |location: &Path, problem: String| BadLocation { location: location.into(), problem };
    match fs::metadata(location) {
        Err(error) => {
            plan.bad_locations.push(bad(location, plain(&error)));
            return Vec::new();
        }
        Ok(metadata) if metadata.is_file() => return vec![(location.into(), true)],
        Ok(metadata) if !metadata.is_dir() => {
            plan.bad_locations.push(bad(location, "neither a file nor a directory".into()));
            return Vec::new();
        }
        Ok(_) => {}
    }
    let mut found = Vec::new();
    let mut directories = vec![location.to_path_buf()];
    while let Some(directory) = directories.pop() {
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            Err(error) => {
                plan.bad_locations.push(bad(&directory, format!("cannot be searched: {}", plain(&error))));
                continue;
            }
        };
        if let Ok(metadata) = fs::metadata(&directory)
            && let Some(advice) = writable_by_others(&metadata)
        {
            plan.directory_advice.push((directory.clone(), advice));
        }
        for entry in entries {
            let entry = match entry {
                Ok(entry) => entry,
                Err(error) => {
                    plan.bad_locations.push(bad(&directory, format!("cannot be searched: {}", plain(&error))));
                    break;
                }
            };
            if entry.file_name().as_bytes().starts_with(b".") {
                continue;
            }
            match entry.file_type() {
                Ok(kind) if kind.is_dir() => directories.push(entry.path()),
                _ => found.push((entry.path().into_os_string(), false)),
            }
        }
    }
    let found: BinaryHeap<(OsString, bool)> = found.into_iter().collect();
    found.into_sorted_vec().into_iter().map(|(path, is_location)| (path.into(), is_location)).collect()
}

fn examine(path: PathBuf, is_location: bool, identity: &Identity, seen: &mut HashMap<(u64, u64), PathBuf>) -> Entry {
    let metadata = match fs::metadata(&path) {
        Ok(metadata) => metadata,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Entry::skip(path, "a symbolic link to nothing");
        }
        Err(error) => return unreadable(path, &error),
    };
    if metadata.is_dir() {
        return Entry::skip(path, "a symbolic link to a directory is not followed");
    }
    if !metadata.is_file() {
        return Entry::skip(path, "not a regular file");
    }
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if !is_location && is_backup(&file_name) {
        return Entry::skip(path, "a backup, by its suffix");
    }
    let head = match head(&path) {
        Ok(head) => head,
        Err(error) => return unreadable(path, &error),
    };
    let first_line = interpreter::first_line(&head);
    let is_elf = head.starts_with(b"\x7fELF");
    let is_executable = metadata.mode() & 0o111 != 0;
    if !is_location && interpreter::suffix(&file_name).is_none() && !first_line.is_script {
        match (is_elf, is_executable) {
            (true, true) => {}
            (true, false) => return Entry::skip(path, "an ELF file without permission to execute"),
            (false, _) => return Entry::skip(path, "not a plugin: neither .py, .sh, `#!` nor an executable ELF"),
        }
    }
    let scope = name::scope(&file_name, identity.role.as_deref());
    let mut entry = match scope.runs_on(identity) {
        Err(reason) => Entry::skip(path, reason),
        Ok(reason) => decide(path, &file_name, reason, &first_line, is_elf, &metadata, seen),
    };
    advise(&mut entry, &scope, identity, &first_line, is_elf, &metadata);
    entry
}

/// A file whose name says that it runs here.
fn decide(
    path: PathBuf,
    file_name: &str,
    reason: String,
    first_line: &FirstLine,
    is_elf: bool,
    metadata: &Metadata,
    seen: &mut HashMap<(u64, u64), PathBuf>,
) -> Entry {
    let file = (metadata.dev(), metadata.ino());
    if let Some(first) = seen.get(&file) {
        let mut entry = Entry::skip(path, format!("the same file as {}", first.display()));
        entry.advice.push(format!("the same plugin as {}: it runs once; remove one of the two", first.display()));
        return entry;
    }
    if is_elf {
        if metadata.mode() & 0o111 == 0 {
            return Entry::new(path, Decision::Error { reason: "an ELF file without permission to execute".into() });
        }
        let command = vec![in_directory(&path)];
        seen.insert(file, path.clone());
        return Entry::new(path, Decision::Run { command, reason });
    }
    match interpreter::resolve(first_line, file_name, find_program) {
        Err(reason) => Entry::new(path, Decision::Error { reason }),
        Ok(found) => {
            let mut command = found.words;
            command.push(in_directory(&path));
            // Only what runs stands for its other names: another suffix may run where this one cannot.
            seen.insert(file, path.clone());
            let mut entry = Entry::new(path, Decision::Run { command, reason });
            entry.warnings.extend(found.warning);
            entry
        }
    }
}

/// `x.sh` as `./x.sh`: a bare name would be searched in PATH, and one with a leading dash be taken for an option.
fn in_directory(path: &Path) -> OsString {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new(".").join(path).into(),
        _ if path.as_os_str().as_bytes().starts_with(b"-") => Path::new(".").join(path).into(),
        _ => path.into(),
    }
}

fn unreadable(path: PathBuf, error: &io::Error) -> Entry {
    let reason = format!("cannot be read: {}", plain(error));
    let is_plugin = interpreter::suffix(&path.to_string_lossy()).is_some();
    Entry::new(path, if is_plugin { Decision::Error { reason } } else { Decision::Skip { reason } })
}

/// What `check` says beyond the decision.
fn advise(
    entry: &mut Entry,
    scope: &name::Scope,
    identity: &Identity,
    first_line: &FirstLine,
    is_elf: bool,
    metadata: &Metadata,
) {
    let advice = &mut entry.advice;
    if first_line.has_byte_order_mark {
        advice.push("a byte order mark (BOM) before `#!`: save it as UTF-8 without one".into());
    }
    if first_line.has_carriage_return {
        advice.push("the first line ends in CRLF: convert the file to Unix line ends".into());
    }
    if first_line.shebang.is_none() && !is_elf {
        advice.push("no first line says what runs it: add one, such as #!/usr/bin/env python3".into());
    }
    if let Some((program, Some(argument))) = &first_line.shebang
        && program.ends_with(b"/env")
        && !argument.starts_with(b"-")
        && !argument.contains(&b'=')
        && find_program(argument).is_none()
    {
        advice.push(format!("env will not find `{}` in PATH: install it", String::from_utf8_lossy(argument)));
    }
    if let RoleScope::Unknown(part) = &scope.role
        && let Some(near) = name::near_role(part, identity.role.as_deref())
    {
        advice.push(format!("`{part}` is no role; did you mean `{near}`?"));
    }
    match &scope.worker {
        WorkerScope::Id(id) if *id >= identity.worker_count => {
            let count = identity.worker_count;
            advice
                .push(format!("worker id {id} never occurs with --worker-count {count}: rename it, or give the count"));
        }
        WorkerScope::TooLarge(digits) => advice.push(format!("worker id {digits} is too large to match: rename it")),
        WorkerScope::Id(_) | WorkerScope::Every => {}
    }
    advice.extend(writable_by_others(metadata));
}

/// What others could do to a file or directory that root is about to trust.
fn writable_by_others(metadata: &Metadata) -> Option<String> {
    if !sys::is_root() {
        return None;
    }
    if metadata.mode() & 0o002 != 0 {
        Some("everybody can write it, and it runs as root: chmod o-w".into())
    } else if metadata.uid() != 0 {
        Some(format!("user {} can write it, and it runs as root: chown root", metadata.uid()))
    } else if metadata.mode() & 0o020 != 0 && metadata.gid() != 0 {
        Some(format!("group {} can write it, and it runs as root: chmod g-w", metadata.gid()))
    } else {
        None
    }
}

/// Suffixes of what editors and package managers leave beside a file.
fn is_backup(file_name: &str) -> bool {
    let extension = file_name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    file_name.ends_with('~')
        || ["bak", "orig", "rej", "swp", "tmp", "save", "disabled"].contains(&extension.as_str())
        || extension.starts_with("dpkg-")
        || extension.starts_with("rpm")
}

/// The first bytes of a file. O_NONBLOCK, should a FIFO have taken its place since it was looked at.
fn head(path: &Path) -> io::Result<Vec<u8>> {
    const O_NONBLOCK: i32 = 0o4000;
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// The path of a program that can be executed: as it is with a slash, else the first in PATH.
fn find_program(program: &[u8]) -> Option<PathBuf> {
    let program = Path::new(OsStr::from_bytes(program));
    let is_executable =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0);
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Some(program.to_path_buf()).filter(is_executable);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(is_executable)
}

/// Gives plugins that run here and share a file name as many parent directories as tell them apart.
fn tell_apart(entries: &mut [Entry]) {
    let mut groups: HashMap<OsString, Vec<usize>> = HashMap::new();
    for (index, entry) in entries.iter().enumerate() {
        if matches!(entry.decision, Decision::Run { .. }) {
            groups.entry(entry.name.clone()).or_default().push(index);
        }
    }
    for indexes in groups.into_values().filter(|indexes| indexes.len() > 1) {
        let longest = indexes.iter().map(|&index| entries[index].path.components().count()).max().unwrap_or(1);
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

fn last_components(path: &Path, count: usize) -> OsString {
    let components: Vec<_> = path.components().collect();
    let tail = &components[components.len().saturating_sub(count)..];
    tail.iter().collect::<PathBuf>().into_os_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn backups_are_told_by_their_suffix() {
        for name in [
            "a.sh~",
            "a.bak",
            "a.sh.orig",
            "a.py.rej",
            ".a.swp",
            "a.tmp",
            "a.save",
            "a.sh.dpkg-old",
            "a.rpmnew",
            "a.sh.disabled",
        ] {
            assert!(is_backup(name), "{name}");
        }
        for name in ["a.sh", "a.py", "bak", "a.backup.sh", "a"] {
            assert!(!is_backup(name), "{name}");
        }
    }

    #[test]
    fn plugins_of_one_name_are_told_apart_by_their_directories() {
        let run = |path: &str| Entry::new(path.into(), Decision::Run { command: vec![], reason: String::new() });
        let mut entries = vec![run("/a/x/p.sh"), run("/b/x/p.sh"), run("/b/y/p.sh"), run("/b/q.sh")];
        tell_apart(&mut entries);
        let names: Vec<_> = entries.iter().map(|entry| entry.name.to_str().unwrap()).collect();
        assert_eq!(names, ["a/x/p.sh", "b/x/p.sh", "b/y/p.sh", "q.sh"]);
    }
}
