//! The socket in the file system: who may stand in its place, and that it goes when we do.

use crate::error::plain;
use crate::sys;
use std::fs;
use std::io::{self, ErrorKind};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

/// The longest path of a socket, without the NUL behind it (unix(7), sun_path).
const LONGEST_PATH: usize = 107;

/// A socket that is ours, until [`Address::remove`].
#[derive(Clone, Debug)]
pub struct Address {
    /// Absolute: those who are told it may be in another directory.
    pub path: PathBuf,
    /// Device and inode.
    identity: (u64, u64),
}

impl Address {
    /// Listens at `path`, which only this user may reach. A socket on which nobody answers any more is replaced; one that
    /// is answered, and what is no socket, is left alone.
    ///
    /// # Errors
    /// Why not, as a sentence about the path.
    pub fn listen(path: &Path) -> Result<(Address, UnixListener), String> {
        let about = |problem: &str| format!("control socket `{}`: {problem}", path.display());
        let path = std::path::absolute(path).map_err(|error| about(&plain(&error)))?;
        if path.as_os_str().as_bytes().len() > LONGEST_PATH {
            return Err(about(&format!("its path is longer than the {LONGEST_PATH} bytes of a socket's")));
        }
        match fs::symlink_metadata(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            Err(error) => return Err(about(&plain(&error))),
            Ok(metadata) if !metadata.file_type().is_socket() => {
                return Err(about("what stands there is no socket; it is left alone"));
            }
            Ok(_) => replace_stale(&path).map_err(|problem| about(&problem))?,
        }
        let listener = sys::with_private_files(|| UnixListener::bind(&path)).map_err(|error| about(&plain(&error)))?;
        let metadata = fs::symlink_metadata(&path).map_err(|error| about(&plain(&error)))?;
        listener.set_nonblocking(true).map_err(|error| about(&plain(&error)))?;
        Ok((Address { path, identity: (metadata.dev(), metadata.ino()) }, listener))
    }

    /// Removes the socket, if it is still ours.
    pub fn remove(&self) {
        if fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

fn replace_stale(path: &Path) -> Result<(), String> {
    match UnixStream::connect(path) {
        Ok(_) => Err("another launcher answers there".into()),
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => {
            fs::remove_file(path).map_err(|error: io::Error| plain(&error))
        }
        Err(error) => Err(plain(&error)),
    }
}
