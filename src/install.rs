//! Copies this executable into a directory, and the bridge beside it where that is asked for: how an init container hands
//! them to the container beside it. What stands there is replaced as a whole, or stays.

use crate::cli::NAME;
use crate::error::{Error, plain};
use crate::escape::quoted;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::{self, Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The plugin by which LMCache runs this launcher.
const BRIDGE: (&str, &[u8]) = ("all_launcher.sh", include_bytes!("../scripts/lmcache/all_launcher.sh"));

/// Installs into `directory` and prints the paths.
///
/// # Errors
/// No: the directory cannot be written, or this executable not be found.
pub fn install(directory: &OsStr, with_bridge: bool) -> Result<u8, Error> {
    let directory = Path::new(directory);
    match copy(directory, with_bridge) {
        Ok(targets) => {
            let lines: Vec<_> = targets.iter().flat_map(|target| [target.as_os_str().as_bytes(), b"\n"]).collect();
            crate::answer::print(&lines.concat())
        }
        Err(error) => Err(Error::No(format!("cannot install `{}`: {}", quoted(directory.join(NAME)), plain(&error)))),
    }
}

/// Writes each file beside its target, and renames when all are there: a full disk leaves the older ones, which may be running.
fn copy(directory: &Path, with_bridge: bool) -> io::Result<Vec<PathBuf>> {
    let mut executable = Vec::new();
    open_self()?.read_to_end(&mut executable)?;
    let mut files = vec![(NAME, executable.as_slice())];
    if with_bridge {
        files.push(BRIDGE);
    }
    let mut written = Vec::new();
    let done = (|| {
        for (name, content) in &files {
            let beside = directory.join(unpredictable(name));
            // Never through a link, never into a file of someone else's: one that is there already is refused.
            let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
            written.push((beside, directory.join(name)));
            file.write_all(content)?;
            file.set_permissions(fs::Permissions::from_mode(0o755))?;
            file.sync_all()?;
        }
        written.iter().try_for_each(|(beside, target)| fs::rename(beside, target))
    })();
    if let Err(error) = done {
        for (beside, _) in &written {
            let _ = fs::remove_file(beside);
        }
        return Err(error);
    }
    File::open(directory)?.sync_all()?;
    Ok(written.into_iter().map(|(_, target)| target).collect())
}

/// A hidden name that nobody can have taken before us: the hasher's keys are the kernel's random numbers.
fn unpredictable(name: &str) -> String {
    format!(".{name}.{:016x}", RandomState::new().build_hasher().finish())
}

/// The file that we were started from. Without /proc that is what the shell found: the first argument, or it in PATH.
fn open_self() -> io::Result<File> {
    if let Ok(file) = File::open("/proc/self/exe") {
        return Ok(file);
    }
    let name = std::env::args_os().next().unwrap_or_default();
    if name.as_bytes().contains(&b'/') {
        return File::open(PathBuf::from(name));
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).find_map(|directory| File::open(directory.join(&name)).ok());
    found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "this executable is not found; start it by its path"))
}
