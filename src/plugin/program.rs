//! Programs in PATH.

use std::ffi::OsStr;
use std::fs::{self, Metadata};
use std::io::ErrorKind;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

const MISSING: &str = "does not exist";

/// The path of a program that can be executed: as it is with a slash, else the first in PATH.
///
/// # Errors
/// Why there is none, as a clause.
pub fn find_program(program: &[u8]) -> Result<PathBuf, &'static str> {
    let program = Path::new(OsStr::from_bytes(program));
    let is_executable = |metadata: &Metadata| metadata.is_file() && metadata.mode() & 0o111 != 0;
    if program.as_os_str().as_bytes().contains(&b'/') {
        return match fs::metadata(program) {
            Ok(metadata) if is_executable(&metadata) => Ok(program.to_path_buf()),
            Ok(metadata) if metadata.is_file() => Err("is not executable"),
            Ok(_) => Err("is no program"),
            Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Err(MISSING),
            Err(_) => Err("is out of reach"),
        };
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/local/bin:/usr/bin:/bin".into());
    let is_program = |path: &PathBuf| fs::metadata(path).is_ok_and(|metadata| is_executable(&metadata));
    std::env::split_paths(&path).map(|directory| directory.join(program)).find(is_program).ok_or(MISSING)
}
