//! Whether a file is a plugin, whether it runs here, and by which command.

use super::advice::advise;
use super::candidate::Candidate;
use super::entry::{Decision, Entry};
use super::interpreter;
use super::name::{self, Identity, Nature};
use super::program::find_program;
use super::search::{self, Met, Refusal};
use crate::escape::quoted;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The device and inode of each file that runs here, and its first name.
pub type Seen = Vec<((u64, u64), PathBuf)>;

/// Decides about one file.
pub fn examine(met: Met, identity: &Identity, seen: &mut Seen) -> Entry {
    let Met { path, is_location } = met;
    let file_name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    match name::nature(&file_name) {
        _ if is_location => {}
        Nature::Plugin => {}
        Nature::Backup => return Entry::skip(path, "a backup, by its name"),
        Nature::Copy => {
            let mut entry = Entry::skip(path, "a copy or a template, by what follows its suffix");
            entry.advice.push("a copy or a template of a plugin, which never runs: keep it elsewhere".into());
            return entry;
        }
        Nature::Package => {
            let mut entry = Entry::skip(path, "a part of a Python package, and no plugin");
            entry.advice.push(
                "a part of a Python package, whose modules would be taken for plugins: keep packages elsewhere".into(),
            );
            return entry;
        }
    }
    let opened = match search::open(&path) {
        Ok(opened) => opened,
        Err(Refusal::NoFile(reason)) => return Entry::skip(path, reason),
        Err(Refusal::Unreadable(reason)) if interpreter::suffix(&file_name).is_some() => {
            return Entry::new(path, Decision::Error { reason });
        }
        Err(Refusal::Unreadable(reason)) => return Entry { is_unreadable: true, ..Entry::skip(path, reason) },
    };
    let first_line = interpreter::first_line(&opened.head);
    let is_elf = opened.head.starts_with(b"\x7fELF");
    let mut candidate = Candidate { path, file_name, opened, first_line, is_elf, is_location };
    if let Some(reason) = candidate.is_no_plugin() {
        return Entry::skip(candidate.path, reason);
    }
    let scope = name::scope(&candidate.file_name, identity.role.as_deref());
    let mut entry = match scope.runs_on(identity) {
        Err(reason) => Entry::skip(candidate.path.clone(), reason),
        Ok(reason) => decide(&mut candidate, reason, seen),
    };
    advise(&mut entry, &candidate, &scope, identity);
    entry
}

/// A file whose name says that it runs here.
fn decide(candidate: &mut Candidate, reason: String, seen: &mut Seen) -> Entry {
    let path = candidate.path.clone();
    let metadata = &candidate.opened.metadata;
    let file = (metadata.dev(), metadata.ino());
    if let Some((_, first)) = seen.iter().find(|(known, _)| *known == file) {
        let first = quoted(first);
        let mut entry = Entry::skip(path, format!("the same file as {first}, which comes first and runs"));
        let advice = format!("the same file as {first}, which comes first: it runs once, by that name; remove one");
        entry.advice.push(advice);
        return entry;
    }
    let found = command(candidate).and_then(|found| Ok((found, candidate.opened.fingerprint()?)));
    let ((command, warning), fingerprint) = match found {
        Ok(found) => found,
        Err(reason) => return Entry::new(path, Decision::Error { reason }),
    };
    // Only what runs stands for its other names: another suffix may run where this one cannot.
    seen.push((file, path.clone()));
    let mut entry = Entry::new(path, Decision::Run { command, reason });
    entry.warnings.extend(warning);
    entry.fingerprint = fingerprint;
    entry
}

/// What runs a file, and what has to be said about it.
fn command(candidate: &Candidate) -> Result<(Vec<OsString>, Option<String>), String> {
    let file = in_directory(&candidate.path);
    if candidate.is_elf {
        let is_refused = !candidate.is_executable();
        return if is_refused {
            Err("an ELF file without permission to execute".into())
        } else {
            Ok((vec![file], None))
        };
    }
    match interpreter::resolve(&candidate.first_line, &candidate.file_name, find_program) {
        Ok(found) => Ok(([found.words, vec![file]].concat(), found.warning)),
        Err(reason) if candidate.is_location && is_configuration(&candidate.path) => {
            Err(format!("{reason}; a configuration is given with --config"))
        }
        Err(reason) => Err(reason),
    }
}

fn is_configuration(path: &Path) -> bool {
    let extension = path.extension().map(OsStr::to_ascii_lowercase);
    extension.is_some_and(|extension| ["yaml", "yml", "json"].iter().any(|known| extension == *known))
}

/// `x.sh` as `./x.sh`: a bare name would be searched in PATH, and one with a leading dash be taken for an option.
fn in_directory(path: &Path) -> OsString {
    match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new(".").join(path).into(),
        _ if path.as_os_str().as_bytes().starts_with(b"-") => Path::new(".").join(path).into(),
        _ => path.into(),
    }
}
