//! Whether a file is a plugin, whether it runs here, and by which command.

use super::advice::advise;
use super::interpreter::{self, FirstLine};
use super::name::{self, Identity};
use super::plan::{Decision, Entry};
use super::search::{head, is_backup};
use crate::error::plain;
use std::collections::HashMap;
use std::ffi::{OsStr, OsString};
use std::fs::{self, Metadata};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

pub fn examine(
    path: PathBuf,
    is_location: bool,
    identity: &Identity,
    seen: &mut HashMap<(u64, u64), PathBuf>,
) -> Entry {
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

/// The path of a program that can be executed: as it is with a slash, else the first in PATH.
pub fn find_program(program: &[u8]) -> Option<PathBuf> {
    let program = Path::new(OsStr::from_bytes(program));
    let is_executable =
        |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o111 != 0);
    if program.as_os_str().as_bytes().contains(&b'/') {
        return Some(program.to_path_buf()).filter(is_executable);
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(is_executable)
}
