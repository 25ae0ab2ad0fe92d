//! Unix sockets, beyond what std offers of them.

use super::libc::{self, check};
use std::ffi::{c_int, c_uint};
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

/// Connects to the socket at `path`. Where more have come than its listener takes, for room there is waited at most
/// `timeout`: connect(2) waits for ever, as where the listener was stopped. The timeout is then that of reads and writes.
///
/// # Errors
/// EAGAIN: there was no room in time. Else as connect(2) has them, InvalidInput where `path` is none of a socket.
pub fn connect(path: &Path, timeout: Duration) -> io::Result<UnixStream> {
    let bytes = path.as_os_str().as_bytes();
    let mut address = libc::SocketAddress { family: libc::AF_UNIX, path: [0; 108] };
    // One NUL stands behind it.
    if bytes.len() >= address.path.len() || bytes.contains(&0) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    address.path[..bytes.len()].copy_from_slice(bytes);
    // SAFETY: no memory is passed; the descriptor returned is ours alone.
    let socket = unsafe {
        let kind = libc::SOCK_STREAM | libc::CLOEXEC;
        OwnedFd::from_raw_fd(check(libc::socket(c_int::from(libc::AF_UNIX), kind, 0))?)
    };
    let stream = UnixStream::from(socket);
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    let length = size_of_val(&address) as c_uint;
    // SAFETY: `address` has `length` bytes.
    check(unsafe { libc::connect(stream.as_raw_fd(), &address, length) })?;
    Ok(stream)
}
