//! What can be asked of a descriptor.

use super::Pid;
use super::libc::{self, check};
use super::raw::{self, call};
use std::ffi::{c_int, c_long, c_uint, c_void};
use std::fs::OpenOptions;
use std::io::{self, IoSlice};
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::sync::atomic::{AtomicU8, Ordering};

/// Options to open what may turn out to be anything: a terminal does not become ours, and unless it `waits` nobody at
/// the other end of a FIFO or a device is waited for (open(2), O_NOCTTY and O_NONBLOCK).
pub fn open_options(waits: bool) -> OpenOptions {
    let mut options = OpenOptions::new();
    options.custom_flags(if waits { libc::O_NOCTTY } else { libc::O_NOCTTY | libc::NONBLOCK });
    options
}

/// A duplicate of the descriptor that a caller passed by number. Children get neither, as [`keep_from_children`] has it.
///
/// # Errors
/// EBADF where nothing is open under that number.
pub fn duplicate_descriptor(number: i32) -> io::Result<OwnedFd> {
    keep_from_children(number)?;
    // SAFETY: no memory is passed; the duplicate is ours alone.
    unsafe { Ok(OwnedFd::from_raw_fd(check(libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3))?)) }
}

/// Has the descriptor of this number end at exec, unless it is one of the standard streams.
///
/// # Errors
/// EBADF where nothing is open under that number.
pub fn keep_from_children(number: i32) -> io::Result<()> {
    // SAFETY: both commands take and return plain integers.
    unsafe {
        let flags = check(libc::fcntl(number, libc::F_GETFD))?;
        if number > 2 {
            check(libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC))?;
        }
        Ok(())
    }
}

/// Reads once (read(2)). For the path that every line takes: libc's way there is through four functions far apart, of
/// which a processor that has slept has none at hand. And for who shares our memory, and must leave `errno` alone.
///
/// # Errors
/// As read(2) has them.
#[inline(always)]
pub fn read(fd: BorrowedFd<'_>, buffer: &mut [u8]) -> io::Result<usize> {
    let arguments = [fd.as_raw_fd() as usize, buffer.as_mut_ptr() as usize, buffer.len(), 0, 0];
    // SAFETY: the buffer is as long as the count says.
    unsafe { call(raw::READ, arguments) }.map_err(io::Error::from_raw_os_error)
}

/// Writes once (write(2)), as [`read`] reads.
///
/// # Errors
/// As write(2) has them.
#[inline(always)]
pub fn write(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let arguments = [fd.as_raw_fd() as usize, bytes.as_ptr() as usize, bytes.len(), 0, 0];
    // SAFETY: as above.
    unsafe { call(raw::WRITE, arguments) }.map_err(io::Error::from_raw_os_error)
}

/// Writes until all is taken or a write takes nothing, and returns how much was. As [`read`], it leaves `errno` alone.
pub fn write_most(fd: BorrowedFd<'_>, bytes: &[u8]) -> usize {
    let mut rest = bytes;
    while let Ok(count @ 1..) = write(fd, rest) {
        rest = super::slice::tail(rest, count);
    }
    bytes.len() - rest.len()
}

/// Writes what can be written without waiting (pwritev2(2), RWF_NOWAIT), as pipes and sockets let us.
///
/// # Errors
/// EAGAIN: nothing now. EOPNOTSUPP: of this file it cannot be said; ENOSYS. As write(2) has them.
pub fn write_at_once(fd: BorrowedFd<'_>, bytes: &[u8]) -> io::Result<usize> {
    let (part, count, anywhere) = (IoSlice::new(bytes), 1 as c_long, -1 as c_long);
    let (fd, part) = (fd.as_raw_fd(), &raw const part);
    // SAFETY: a vector of one element, which std lays out as the kernel does; its memory is only read.
    let result =
        unsafe { libc::syscall(raw::PWRITEV2 as c_long, fd, part, count, anywhere, anywhere, libc::RWF_NOWAIT) };
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// Closes every descriptor of this process but the standard streams and this one (close_range(2), Linux 5.9), for a child
/// that must not hold open what others wait for the end of. Nothing of what is closed may be used.
pub fn close_all_but(fd: BorrowedFd<'_>) {
    let kept = fd.as_raw_fd() as usize;
    for (first, last) in [(3, kept - 1), (kept + 1, u32::MAX as usize)] {
        // SAFETY: no memory is passed.
        let _ = unsafe { call(raw::CLOSE_RANGE, [first, last, 0, 0, 0]) };
    }
}

/// Which standard streams were closed when this process began, a bit each: std opens /dev/null for them before `main`.
static WERE_CLOSED: AtomicU8 = AtomicU8::new(0);

/// What the C runtime calls before it calls std's start.
// SAFETY: the section holds pointers to functions of this type.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_START: extern "C" fn() = {
    extern "C" fn look_at_streams() {
        // SAFETY: no memory is passed.
        let is_closed = |fd: &c_int| unsafe { libc::fcntl(*fd, libc::F_GETFD) } < 0;
        let closed = (0..3).filter(is_closed).fold(0, |closed, fd| closed | 1 << fd);
        WERE_CLOSED.store(closed, Ordering::Relaxed);
    }
    look_at_streams
};

fn was_closed(number: i32) -> bool {
    (0..3).contains(&number) && WERE_CLOSED.load(Ordering::Relaxed) >> number & 1 == 1
}

/// Has the standard streams that our caller has closed be closed for what is executed here, unless it is given others.
pub fn keep_closed_for_children() {
    for fd in (0..3).filter(|fd| was_closed(*fd)) {
        // SAFETY: the command takes an integer.
        unsafe { libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC) };
    }
}

/// Whether the descriptor of this number takes what is written to it.
///
/// # Errors
/// EBADF where nothing is open under that number.
pub fn is_open_for_writing(number: i32) -> io::Result<bool> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::fcntl(number, libc::F_GETFD) })?;
    if was_closed(number) {
        return Err(io::Error::from_raw_os_error(libc::EBADF));
    }
    // To write nothing shows what the kernel thinks of the descriptor, which is more than how it was opened: nobody
    // writes to an epoll(7) instance.
    // SAFETY: a vector of no elements.
    Ok(unsafe { call(raw::WRITEV, [number as usize, 0, 0, 0, 0]) }.is_ok())
}

/// Makes reads from `fd` return at once. For a pipe this concerns our end alone.
///
/// # Errors
/// None for an open descriptor.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    change_flags(fd, |flags| flags | libc::NONBLOCK)
}

/// Makes reads from `fd` wait.
///
/// # Errors
/// As [`set_nonblocking`].
pub fn set_blocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    change_flags(fd, |flags| flags & !libc::NONBLOCK)
}

fn change_flags(fd: BorrowedFd<'_>, change: impl FnOnce(c_int) -> c_int) -> io::Result<()> {
    // SAFETY: both commands take and return plain integers.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, change(flags))).map(drop)
    }
}

/// Asks for `bytes` of room in a pipe (F_SETPIPE_SZ). Refused for anything else, and past the user's share of pipe
/// memory (pipe(7)): then it stays as it was.
pub fn grow_pipe(fd: BorrowedFd<'_>, bytes: i32) -> bool {
    // SAFETY: the command takes an int.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) > 0 }
}

/// Whether `fd` is a pipe, or a FIFO (F_GETPIPE_SZ).
pub fn is_pipe(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_GETPIPE_SZ) > 0 }
}

/// How many bytes can be read from a pipe now (FIONREAD).
pub fn bytes_waiting(fd: BorrowedFd<'_>) -> usize {
    let mut count: c_int = 0;
    // SAFETY: FIONREAD writes one int to `count`.
    unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count as *mut c_int) };
    usize::try_from(count).unwrap_or(0)
}

/// Locks a file or a directory while `fd` is open (flock(2)), or says that another has locked it. Where the file system
/// has no locks there is none.
pub fn is_lock_taken(fd: BorrowedFd<'_>) -> bool {
    // SAFETY: no memory is passed.
    let locked = check(unsafe { libc::flock(fd.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) });
    locked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// Who is at the other end of a Unix socket: who connected, or listened.
pub struct Peer {
    /// 0 where it is in a PID namespace that this process cannot see.
    pub pid: Pid,
    pub user: u32,
}

/// The process at the other end of a Unix socket, and its user (unix(7), SO_PEERCRED).
pub fn peer(fd: BorrowedFd<'_>) -> Option<Peer> {
    // struct ucred: pid, uid, gid.
    let mut credentials = [0u32; 3];
    let mut length = size_of_val(&credentials) as c_uint;
    let value = credentials.as_mut_ptr().cast::<c_void>();
    // SAFETY: `value` points to `length` bytes.
    let result = unsafe { libc::getsockopt(fd.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, value, &mut length) };
    (result == 0).then_some(Peer { pid: credentials[0] as Pid, user: credentials[1] })
}

/// Has `make` create files that nobody but this user may use (umask(2)). To be called while this process has one thread.
pub fn with_private_files<T>(make: impl FnOnce() -> T) -> T {
    // SAFETY: umask(2) passes no memory and cannot fail.
    let before = unsafe { libc::umask(0o177) };
    let made = make();
    // SAFETY: as above.
    unsafe { libc::umask(before) };
    made
}
