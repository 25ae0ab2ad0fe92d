//! Locations to files. Reads the first bytes of regular files and nothing else; what is not a regular file is never opened.

use super::advice::writable_by_others;
use super::interpreter::HEAD_BYTES;
use super::plan::{BadLocation, Plan};
use crate::error::plain;
use std::collections::BinaryHeap;
use std::ffi::OsString;
use std::fs::{self, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// The files of one location in the order of their paths, and whether the file is the location itself.
pub fn files(location: &Path, plan: &mut Plan) -> Vec<(PathBuf, bool)> {
    let bad = |location: &Path, problem: String| BadLocation { location: location.into(), problem, is_gone: true };
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

/// Suffixes of what editors and package managers leave beside a file.
pub fn is_backup(file_name: &str) -> bool {
    let extension = file_name.rsplit_once('.').map_or("", |(_, extension)| extension).to_ascii_lowercase();
    file_name.ends_with('~')
        || ["bak", "orig", "rej", "swp", "tmp", "save", "disabled"].contains(&extension.as_str())
        || extension.starts_with("dpkg-")
        || extension.starts_with("rpm")
}

/// The first bytes of a file. O_NONBLOCK, should a FIFO have taken its place since it was looked at.
pub fn head(path: &Path) -> io::Result<Vec<u8>> {
    const O_NONBLOCK: i32 = 0o4000;
    let file = OpenOptions::new().read(true).custom_flags(O_NONBLOCK).open(path)?;
    let mut head = Vec::new();
    file.take(HEAD_BYTES as u64).read_to_end(&mut head)?;
    Ok(head)
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
}
