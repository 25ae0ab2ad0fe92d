//! Processes: their making, their groups, their ends.

use super::libc::{self, check};
use std::ffi::{c_int, c_uint, c_ulong};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};

/// A process id, as the kernel counts them.
pub type Pid = i32;

/// On which side of a [`fork`] the caller is.
pub enum Fork {
    Child,
    Parent(Pid),
}

/// Forks this process (fork(2)). To be called before any thread exists: only the calling thread lives on in the child.
///
/// # Errors
/// EAGAIN and ENOMEM, as fork(2) has them.
pub fn fork() -> io::Result<Fork> {
    // SAFETY: no memory is passed; the process has one thread, so no lock can be held by another in the child.
    match check(unsafe { libc::fork() })? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid)),
    }
}

/// The parent of this process; 0 when it is in another PID namespace.
pub fn parent_pid() -> Pid {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getppid() }
}

/// The process group of this process.
pub fn own_group() -> Pid {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpgrp() }
}

/// Whether `pid` leads its session, so that no shell is there to continue it once stopped.
pub fn is_session_leader(pid: Pid) -> bool {
    // SAFETY: no memory is passed.
    unsafe { libc::getsid(pid) == pid }
}

/// Whether this process has the rights of root.
pub fn is_root() -> bool {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() == 0 }
}

/// Moves this process to a process group of its own, out of reach of what is sent to its parent's group.
///
/// # Errors
/// As setpgid(2): not for a process that was just forked.
pub fn lead_own_group() -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::setpgid(0, 0) }).map(drop)
}

/// Makes orphans below this process its children (PR_SET_CHILD_SUBREAPER; not inherited by fork).
///
/// # Errors
/// EINVAL before Linux 3.4.
pub fn become_subreaper() -> io::Result<()> {
    let on: c_ulong = 1;
    // SAFETY: prctl(2) takes an unsigned long here.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, on) }).map(drop)
}

/// Sends `signal` to one process. That it has gone already is not an error.
///
/// # Errors
/// EPERM where the process has other credentials.
pub fn kill(pid: Pid, signal: i32) -> io::Result<()> {
    debug_assert!(pid > 0);
    send(pid, signal)
}

/// Sends `signal` to every process of a group, in one step that no fork can slip through.
///
/// # Errors
/// EPERM where no process of the group may be signalled.
pub fn kill_group(group: Pid, signal: i32) -> io::Result<()> {
    debug_assert!(group > 1);
    send(-group, signal)
}

fn send(target: Pid, signal: i32) -> io::Result<()> {
    // SAFETY: no memory is passed.
    match check(unsafe { libc::kill(target, signal) }) {
        Err(error) if error.raw_os_error() == Some(3) => Ok(()),
        result => result.map(drop),
    }
}

/// What became of a child.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Exited(i32),
    Signaled(i32),
    Stopped(i32),
}

/// The answer of [`reap`].
pub enum Reaped {
    /// Children are left, and nothing is new.
    Nothing,
    /// No child is left: for a subreaper, no descendant either.
    NoChildren,
    /// This child ended or stopped.
    Child(Pid, Change),
}

/// Takes the news of one child, whichever it is, without waiting. Only one thread may reap and spawn.
pub fn reap() -> Reaped {
    let mut status: c_int = 0;
    // SAFETY: `status` is a valid place for one int.
    let pid = unsafe { libc::waitpid(-1, &mut status, libc::WNOHANG | libc::WUNTRACED) };
    match pid {
        0 => Reaped::Nothing,
        pid if pid > 0 => Reaped::Child(pid, decode(status)),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) => Reaped::NoChildren,
        _ => Reaped::Nothing,
    }
}

/// The wait status as wait(2) encodes it.
fn decode(status: c_int) -> Change {
    match status & 0x7f {
        0 => Change::Exited((status >> 8) & 0xff),
        0x7f => Change::Stopped((status >> 8) & 0xff),
        number => Change::Signaled(number),
    }
}

/// A descriptor that becomes readable when the process ends (pidfd_open(2), Linux 5.3).
///
/// # Errors
/// ESRCH (3) when it has ended; ENOSYS or EPERM where the kernel or a filter does not offer the call.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    let flags: c_uint = 0;
    // SAFETY: the arguments are those of pidfd_open(2); the descriptor returned is ours alone.
    unsafe {
        let fd = check(libc::syscall(libc::SYS_PIDFD_OPEN, pid, flags) as c_int)?;
        Ok(OwnedFd::from_raw_fd(fd))
    }
}
