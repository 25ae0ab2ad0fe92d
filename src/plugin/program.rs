//! Programs in PATH.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

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
