//! Processes: their making, their groups, their ends, and what this one was executed with.

use super::libc::{self, check};
use super::raw::{self, call};
use super::signal;
use std::ffi::{CStr, c_char, c_int, c_uint};
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

/// A process id, as the kernel counts them.
pub type Pid = i32;

/// On which side of a fork the caller is.
pub enum Fork {
    Child,
    Parent(Pid),
}

/// Forks this process (fork(2)) into a child whose end sends it SIGCONT instead of SIGCHLD (clone(2), "the child
/// termination signal"): it is heard even if this process is stopped. [`reap`] finds such a child like any other.
///
/// To be called before any thread exists: only the calling thread lives on in the child. libc is not told, so that the
/// child must not call what needs its thread id, such as raise(3).
///
/// # Errors
/// EAGAIN and ENOMEM, as clone(2) has them.
pub fn fork_heard_when_stopped() -> io::Result<Fork> {
    // SAFETY: without a stack and flags the child goes on here, in a copy of this process; that has one thread, so that
    // no lock can be held by another.
    let clone = |signal: i32| unsafe { call(raw::CLONE, [signal as usize, 0, 0, 0, 0]) };
    let started = match clone(signal::CONT) {
        // User-mode emulators know SIGCHLD alone.
        Err(libc::EINVAL) => clone(signal::CHLD),
        started => started,
    };
    match started.map_err(io::Error::from_raw_os_error)? {
        0 => Ok(Fork::Child),
        pid => Ok(Fork::Parent(pid as Pid)),
    }
}

/// This process.
pub fn own_pid() -> Pid {
    std::process::id() as Pid
}

/// The parent of this process; 0 when it is in another PID namespace.
pub fn parent_pid() -> Pid {
    // SAFETY: takes nothing and cannot fail.
    unsafe { call(raw::GETPPID, [0; 5]) }.unwrap_or(0) as Pid
}

/// The process group of this process.
pub fn own_group() -> Pid {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::getpgrp() }
}

/// The process group of a process; `None` when it has gone.
pub fn group_of(pid: Pid) -> Option<Pid> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::getpgid(pid) }).ok()
}

/// The session of a process, 0 for this one; `None` when it has gone.
pub fn session_of(pid: Pid) -> Option<Pid> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::getsid(pid) }).ok()
}

/// The user whose rights this process has.
pub fn own_user() -> u32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::geteuid() }
}

/// Whether this process has the rights of root.
pub fn is_root() -> bool {
    own_user() == 0
}

/// Moves this process to a session of its own (setsid(2)): out of reach of what is sent to its parent's group, without
/// the terminal and its stops, and no reason for the kernel to stop a group that its shell cannot continue.
///
/// # Errors
/// EPERM for the leader of a process group; a process that was just forked is none.
pub fn lead_own_session() -> io::Result<()> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::setsid() }).map(drop)
}

/// Makes orphans below this process its children (PR_SET_CHILD_SUBREAPER; not inherited by fork).
///
/// # Errors
/// EINVAL before Linux 3.4.
pub fn become_subreaper() -> io::Result<()> {
    prctl(libc::PR_SET_CHILD_SUBREAPER, 1)
}

/// Sends `signal` to one process. That it has gone already is not an error.
///
/// # Errors
/// EPERM where the process has other credentials.
pub fn kill(pid: Pid, signal: i32) -> io::Result<()> {
    debug_assert!(pid > 0, "not a group, nor everybody");
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
    match unsafe { call(raw::KILL, [target as usize, signal as usize, 0, 0, 0]) } {
        Ok(_) | Err(libc::ESRCH) => Ok(()),
        Err(errno) => Err(io::Error::from_raw_os_error(errno)),
    }
}

/// Has the kernel send SIGCONT when the thread that started this process ends (PR_SET_PDEATHSIG): it wakes a process that
/// is stopped, and means nothing to one that is not. Not inherited by fork.
pub fn wake_when_parent_ends() {
    let _ = prctl(libc::PR_SET_PDEATHSIG, signal::CONT as usize);
}

/// As [`wake_when_parent_ends`], but SIGKILL.
pub fn die_when_parent_ends() {
    let _ = prctl(libc::PR_SET_PDEATHSIG, signal::KILL as usize);
}

/// Keeps other processes of this user from opening our descriptors and from tracing us, and what we know out of core
/// dumps (PR_SET_DUMPABLE). Inherited by fork; exec undoes it.
pub fn hide_from_others() {
    let _ = prctl(libc::PR_SET_DUMPABLE, 0);
}

/// Gives this process another name in ps(1) and for pkill(1) (PR_SET_NAME, 15 bytes).
pub fn set_name(name: &CStr) {
    let _ = prctl(libc::PR_SET_NAME, name.as_ptr() as usize);
}

/// For the operations that take no memory, or a name.
fn prctl(operation: c_int, value: usize) -> io::Result<()> {
    // SAFETY: a name is valid for the call, which copies it.
    let outcome = unsafe { call(raw::PRCTL, [operation as usize, value, 0, 0, 0]) };
    outcome.map(drop).map_err(io::Error::from_raw_os_error)
}

/// Ends this process. Nothing is put away, which the kernel does at once, and nothing written: std's stdout must be
/// flushed.
pub fn exit(status: u8) -> ! {
    // SAFETY: no memory is passed.
    unsafe { libc::_exit(status.into()) }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Exited(i32),
    Signaled(i32),
}

/// The answer of [`reap`].
pub enum Reaped {
    /// Children are left, and nothing is new.
    Nothing,
    /// No child is left: for a subreaper, no descendant either.
    NoChildren,
    Ended(Pid, Change),
    /// By this signal.
    Stopped(Pid, i32),
    Continued(Pid),
}

/// Takes the news of one child, whichever it is, without waiting. Only one thread may reap and spawn.
pub fn reap() -> Reaped {
    let mut status: c_int = 0;
    let options = libc::WNOHANG | libc::WUNTRACED | libc::WCONTINUED | libc::WALL;
    // SAFETY: `status` is a valid place for one int.
    let pid = unsafe { libc::waitpid(-1, &mut status, options) };
    match pid {
        0 => Reaped::Nothing,
        pid if pid > 0 => decode(pid, status),
        _ if io::Error::last_os_error().raw_os_error() == Some(libc::ECHILD) => Reaped::NoChildren,
        _ => Reaped::Nothing,
    }
}

/// The wait status as wait(2) encodes it.
fn decode(pid: Pid, status: c_int) -> Reaped {
    let high = (status >> 8) & 0xff;
    match status & 0x7f {
        _ if status == 0xffff => Reaped::Continued(pid),
        0 => Reaped::Ended(pid, Change::Exited(high)),
        0x7f => Reaped::Stopped(pid, high),
        number => Reaped::Ended(pid, Change::Signaled(number)),
    }
}

/// Whether a process is a child of ours, living or not. Needs no /proc.
pub fn is_child(pid: Pid) -> bool {
    let options = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT | libc::WALL;
    // SAFETY: no memory is passed: the kernel takes a null siginfo.
    unsafe { libc::waitid(libc::P_PID, pid as c_uint, ptr::null_mut(), options) == 0 }
}

/// The number of the newest process: of one that is forked for that, and reaped. Another thread may exist.
pub fn newest_pid() -> Option<Pid> {
    // SAFETY: the child makes one async-signal-safe call; no memory is passed but a null status.
    unsafe {
        match libc::fork() {
            0 => libc::_exit(0),
            pid => (libc::waitpid(pid, ptr::null_mut(), 0) == pid).then_some(pid),
        }
    }
}

/// Ends this process by `number`, without a core, so that whoever waits for it sees that signal. Returns where that
/// cannot be: as PID 1 of a namespace, which the kernel spares.
pub fn die_of(number: i32) {
    let none = libc::RLimit { soft: 0, hard: 0 };
    // SAFETY: `none` is valid for the call.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &none) };
    signal::deliver(number, || true);
}

/// The mark that a process inherited; `None` where it has none, is another user's, or has gone.
pub fn mark_of(pid: Pid) -> Option<Mark> {
    let mut limit = libc::RLimit { soft: u64::MAX, hard: u64::MAX };
    let arguments = [pid as usize, libc::RLIMIT_RTTIME as usize, 0, &raw mut limit as usize, 0];
    // SAFETY: `limit` is valid for the call; nothing is set.
    let result = unsafe { call(raw::PRLIMIT64, arguments) };
    (result.is_ok() && limit.soft >> 62 == 0b10).then_some(Mark(limit.soft))
}

/// What tells the processes of one run of a plugin from all others on the machine.
///
/// It is in the soft limit of RLIMIT_RTTIME (getrlimit(2)), which is inherited through fork and exec and whatever becomes
/// of the environment, costs nothing, and concerns only real-time scheduling, for which it is as good as none:
/// microseconds of the order of 2^63.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark(u64);

impl Mark {
    /// The mark of the plugin `number` of the launcher that drew `random`: 62 bits of both, above all real limits.
    pub fn new(random: u64, number: u64) -> Mark {
        Mark(0b10 << 62 | (random << 20 ^ number) & (u64::MAX >> 2))
    }

    pub(super) fn limit(&self) -> libc::RLimit {
        libc::RLimit { soft: self.0, hard: u64::MAX }
    }
}

/// A descriptor that becomes readable when the process ends (pidfd_open(2), Linux 5.3).
///
/// # Errors
/// ESRCH (3) when it has ended; ENOSYS or EPERM where the kernel or a filter does not offer the call.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: the arguments are those of pidfd_open(2); the descriptor returned is ours alone.
    unsafe {
        let fd = call(raw::PIDFD_OPEN, [pid as usize, 0, 0, 0, 0]).map_err(io::Error::from_raw_os_error)?;
        Ok(OwnedFd::from_raw_fd(fd as c_int))
    }
}

/// The path by which this process was executed (getauxval(3), AT_EXECFN): `/dev/fd/N` by fexecve(3).
pub fn executed_path() -> Option<&'static [u8]> {
    // SAFETY: no memory is passed; a string that the kernel has left there lives as long as the process.
    unsafe {
        let path = libc::getauxval(libc::AT_EXECFN) as *const c_char;
        (!path.is_null()).then(|| CStr::from_ptr(path).to_bytes())
    }
}

/// The environment as this process got it (environ(7)). It stays as it is: nothing here changes it.
pub fn environment() -> Vec<&'static CStr> {
    // SAFETY: `environ` is an array of strings that ends in null, all of which live as long as the process.
    unsafe {
        let start = libc::environ;
        let count = (0..).take_while(|&index| !start.is_null() && !(*start.add(index)).is_null()).count();
        let mut all = Vec::with_capacity(count);
        all.extend((0..count).map(|index| CStr::from_ptr(*start.add(index))));
        all
    }
}
