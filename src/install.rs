//! Copies this executable into a directory: how an init container hands it to the container beside it.

use crate::cli::NAME;
use crate::error::{Error, plain};
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Installs into `directory` and prints the path.
///
/// # Errors
/// No: the directory cannot be written, or this executable not be found.
pub fn install(directory: &OsStr) -> Result<u8, Error> {
    let target = Path::new(directory).join(NAME);
    match copy(Path::new(directory), &target) {
        Ok(()) => crate::answer::print(&[target.as_os_str().as_bytes(), b"\n"].concat()),
        Err(error) => Err(Error::No(format!("cannot install `{}`: {}", target.display(), plain(&error)))),
    }
}

/// Writes beside the target, syncs, and renames: an older copy is replaced as a whole, and may be running.
fn copy(directory: &Path, target: &Path) -> io::Result<()> {
    let mut source = open_self()?;
    let beside = directory.join(format!(".{NAME}.{}", std::process::id()));
    let written = (|| {
        let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o755).open(&beside)?;
        io::copy(&mut source, &mut file)?;
        // The umask may have taken bits away.
        file.set_permissions(fs::Permissions::from_mode(0o755))?;
        file.sync_all()?;
        fs::rename(&beside, target)
    })();
    if written.is_err() {
        let _ = fs::remove_file(&beside);
        return written;
    }
    File::open(directory)?.sync_all()
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
