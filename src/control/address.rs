//! The socket as a file: what stands at its path is replaced or left alone, and that it goes when we do.

use super::of_environment;
use crate::cli::{Arguments, Opt};
use crate::descendants;
use crate::error::plain;
use crate::settings::LOCATIONS_VARIABLE;
use crate::sys;
use std::fs::{self, File, Metadata};
use std::io::{self, ErrorKind};
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

/// The longest path of a socket, without the NUL behind it (unix(7), sun_path).
const LONGEST_PATH: usize = 107;

/// How long to wait for another launcher that is there, or about to be.
const PATIENCE: Duration = Duration::from_millis(500);
/// The same at our end, which nobody may hold up.
const LAST_PATIENCE: Duration = Duration::from_millis(50);
const PAUSE: Duration = Duration::from_millis(5);

/// A socket that is ours, until [`Address::remove`].
#[derive(Clone, Debug)]
pub struct Address {
    /// Absolute: those who are told it may be in another directory.
    pub path: PathBuf,
    identity: Identity,
}

/// Device, inode, and when it was made: the number of an inode is soon another's.
type Identity = (u64, u64, i64, i64);

fn identity(metadata: &Metadata) -> Identity {
    (metadata.dev(), metadata.ino(), metadata.mtime(), metadata.mtime_nsec())
}

impl Address {
    /// Listens at `path`, which only this user may reach. A socket on which nobody answers any more is replaced; one that
    /// is answered, and what is no socket, is left alone.
    ///
    /// # Errors
    /// Why not, as a clause.
    pub fn listen(path: &Path) -> Result<(Address, UnixListener), String> {
        let path = std::path::absolute(path).map_err(|error| plain(&error))?;
        if path.as_os_str().as_bytes().len() > LONGEST_PATH {
            return Err(format!("its path is longer than the {LONGEST_PATH} bytes of a socket's"));
        }
        let _locked = lock(&path, PATIENCE);
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(plain(&error)),
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err("what stands there is no socket; it is left alone".into());
            }
            Ok(_) => replace_stale(&path)?,
        }
        let listener = sys::with_private_files(|| UnixListener::bind(&path)).map_err(|error| plain(&error))?;
        let metadata = fs::symlink_metadata(&path).map_err(|error| plain(&error))?;
        listener.set_nonblocking(true).map_err(|error| plain(&error))?;
        Ok((Address { path, identity: identity(&metadata) }, listener))
    }

    /// Removes the socket, if it is still ours.
    pub fn remove(&self) {
        let _locked = lock(&self.path, LAST_PATIENCE);
        if fs::symlink_metadata(&self.path).is_ok_and(|found| identity(&found) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Where the command line or the environment wants requests to be answered. What a launcher above us tells those that it
/// started, us too, is its own socket.
pub fn wanted(arguments: &Arguments) -> Option<PathBuf> {
    if let Some(path) = arguments.value(Opt::Control) {
        return Some(path.into());
    }
    let path = of_environment()?;
    let is_below_another = std::env::var_os(LOCATIONS_VARIABLE).is_some() || is_answered_above(&path);
    (!is_below_another).then_some(path)
}

/// Whether a process above us answers at `path`. It adopts whatever loses its parent, so that the way up leads to it.
fn is_answered_above(path: &Path) -> bool {
    let Ok(stream) = sys::connect(path, PATIENCE) else { return false };
    let Some(peer) = sys::peer(stream.as_fd()) else { return false };
    let mut pid = sys::parent_pid();
    while pid != 0 && pid != peer.pid {
        pid = descendants::process(pid).map_or(0, |process| process.parent);
    }
    // The number 0 is who is out of sight, in a namespace above ours: both there, and there our way up ends.
    pid == peer.pid
}

/// Locks the directory of a socket, until what is returned is dropped: who looks whose a socket is and then removes it
/// must not meet another who does so. Where that cannot be, it is done without.
fn lock(path: &Path, patience: Duration) -> Option<File> {
    let directory = File::open(path.parent()?).ok()?;
    let deadline = Instant::now() + patience;
    while sys::is_lock_taken(directory.as_fd()) {
        if Instant::now() >= deadline {
            return None;
        }
        thread::sleep(PAUSE);
    }
    Some(directory)
}

fn replace_stale(path: &Path) -> Result<(), String> {
    match sys::connect(path, PATIENCE) {
        Ok(_) => Err("another launcher answers there".into()),
        Err(error) if error.kind() == ErrorKind::WouldBlock => {
            Err("another launcher is there, and does not answer".into())
        }
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error: io::Error| plain(&error))
        }
        Err(error) => Err(plain(&error)),
    }
}
