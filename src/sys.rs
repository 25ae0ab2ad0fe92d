//! The kernel, as safe verbs. The only file with `unsafe` and `extern "C"`: std has no fork, signal mask, subreaper,
//! pidfd, epoll or wait for any child, and this crate has no dependencies. Nothing of libc is visible outside.
#![allow(unsafe_code)]

pub mod sixteen;
mod unwind;

use std::ffi::{CString, c_char, c_int, c_long, c_short, c_uint, c_ulong, c_void};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::Arc;
use std::time::Duration;

/// A process id, as the kernel counts them.
pub type Pid = i32;

/// Signal numbers (signal(7)), the same on every architecture that is supported.
pub mod signal {
    pub const HUP: i32 = 1;
    pub const INT: i32 = 2;
    pub const QUIT: i32 = 3;
    pub const KILL: i32 = 9;
    pub const USR1: i32 = 10;
    pub const TERM: i32 = 15;
    pub const CHLD: i32 = 17;
    pub const CONT: i32 = 18;
    pub const STOP: i32 = 19;
    pub const TSTP: i32 = 20;
    pub const TTIN: i32 = 21;
    pub const TTOU: i32 = 22;
    /// The highest signal number of Linux (signal(7)).
    pub const MAX: i32 = 64;

    /// Those that ask the launcher to stop.
    pub const STOPS: [i32; 3] = [TERM, INT, QUIT];

    const NAMES: [&str; 32] = [
        "0", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
        "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF",
        "WINCH", "IO", "PWR", "SYS",
    ];

    /// `SIGTERM` for 15; the number alone for a real-time signal.
    pub fn name(number: i32) -> String {
        match usize::try_from(number).ok().and_then(|index| NAMES.get(index)) {
            Some(name) => ["SIG", name].concat(),
            None => number.to_string(),
        }
    }
}

mod libc {
    use super::{c_char, c_int, c_long, c_short, c_uint, c_ulong, c_void};

    pub const SIG_DFL: usize = 0;
    pub const SIG_IGN: usize = 1;
    pub const SIG_SETMASK: c_int = 2;
    pub const PR_SET_PDEATHSIG: c_int = 1;
    pub const PR_SET_CHILD_SUBREAPER: c_int = 36;
    pub const SYS_PIDFD_OPEN: c_long = 434;
    pub const SYS_CLOSE_RANGE: c_long = 436;
    pub const CLOSE_RANGE_CLOEXEC: c_uint = 4;
    pub const WNOHANG: c_int = 1;
    pub const WUNTRACED: c_int = 2;
    pub const ECHILD: c_int = 10;
    pub const EINVAL: c_int = 22;
    pub const FIONREAD: c_ulong = 0x541b;
    pub const TIOCGWINSZ: c_ulong = 0x5413;
    pub const F_GETFD: c_int = 1;
    pub const F_SETFD: c_int = 2;
    pub const F_GETFL: c_int = 3;
    pub const F_SETFL: c_int = 4;
    pub const F_DUPFD_CLOEXEC: c_int = 1030;
    pub const F_SETPIPE_SZ: c_int = 1031;
    pub const FD_CLOEXEC: c_int = 1;
    pub const CLOEXEC: c_int = 0o2_000_000;
    pub const NONBLOCK: c_int = 0o4000;
    pub const O_WRONLY: c_int = 1;
    pub const POLLIN: c_short = 1;
    pub const POLLOUT: c_short = 4;
    pub const EPOLLIN: u32 = 1;
    pub const EPOLL_CTL_ADD: c_int = 1;
    pub const EPOLL_CTL_DEL: c_int = 2;
    pub const RLIMIT_NOFILE: c_int = 7;
    pub const PRIO_PROCESS: c_int = 0;

    /// The first word is what the kernel reads. Made by hand, as sigfillset(3) leaves out what libc keeps for itself,
    /// such as 34 in musl, which is everybody else's SIGRTMIN.
    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct SigSet(pub [u64; 16]);

    impl SigSet {
        pub const EMPTY: SigSet = SigSet([0; 16]);
        pub const FULL: SigSet = SigSet([u64::MAX; 16]);
    }

    #[repr(C)]
    pub struct PollFd {
        pub fd: c_int,
        pub events: c_short,
        pub revents: c_short,
    }

    #[repr(C)]
    #[cfg_attr(target_arch = "x86_64", repr(packed))]
    #[derive(Clone, Copy)]
    pub struct EpollEvent {
        pub events: u32,
        pub data: u64,
    }

    #[repr(C)]
    #[derive(Clone, Copy)]
    pub struct RLimit {
        pub soft: u64,
        pub hard: u64,
    }

    #[repr(C)]
    #[derive(Default)]
    pub struct WinSize {
        pub rows: u16,
        pub columns: u16,
        pub x: u16,
        pub y: u16,
    }

    unsafe extern "C" {
        pub fn fork() -> c_int;
        pub fn execve(path: *const c_char, words: *const *const c_char, environment: *const *const c_char) -> c_int;
        pub fn getppid() -> c_int;
        pub fn getpgrp() -> c_int;
        pub fn getsid(pid: c_int) -> c_int;
        pub fn geteuid() -> c_uint;
        pub fn setpgid(pid: c_int, group: c_int) -> c_int;
        pub fn tcgetpgrp(fd: c_int) -> c_int;
        pub fn tcsetpgrp(fd: c_int, group: c_int) -> c_int;
        pub fn kill(pid: c_int, signal: c_int) -> c_int;
        pub fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
        pub fn prctl(option: c_int, ...) -> c_int;
        pub fn syscall(number: c_long, ...) -> c_long;
        pub fn signal(number: c_int, handler: usize) -> usize;
        pub fn signalfd(fd: c_int, mask: *const SigSet, flags: c_int) -> c_int;
        pub fn pthread_sigmask(how: c_int, new: *const SigSet, old: *mut SigSet) -> c_int;
        pub fn poll(fds: *mut PollFd, count: c_ulong, timeout: c_int) -> c_int;
        pub fn epoll_create1(flags: c_int) -> c_int;
        pub fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut EpollEvent) -> c_int;
        pub fn epoll_wait(epoll: c_int, events: *mut EpollEvent, count: c_int, timeout: c_int) -> c_int;
        pub fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
        pub fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
        pub fn read(fd: c_int, buffer: *mut c_void, count: usize) -> isize;
        pub fn write(fd: c_int, buffer: *const c_void, count: usize) -> isize;
        pub fn open(path: *const c_char, flags: c_int, ...) -> c_int;
        pub fn close(fd: c_int) -> c_int;
        pub fn getrlimit(resource: c_int, limit: *mut RLimit) -> c_int;
        pub fn setrlimit(resource: c_int, limit: *const RLimit) -> c_int;
        pub fn setpriority(which: c_int, who: c_uint, value: c_int) -> c_int;
        pub fn getpriority(which: c_int, who: c_uint) -> c_int;
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

// ---------------------------------------------------------------- processes

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

// ---------------------------------------------------------------- spawning

/// What a child of the supervisor does between fork and exec, beyond what std does.
#[derive(Clone, Copy)]
pub struct ChildSetup {
    /// SIGKILL when the thread that spawned it ends (PR_SET_PDEATHSIG), and no descriptor beyond 0, 1 and 2.
    pub is_plugin: bool,
    /// The signal mask and the ignored signals it starts with.
    pub signals: SignalState,
    /// The limit of open descriptors it starts with.
    pub descriptors: DescriptorLimit,
    /// Take the terminal on descriptor 0 into the foreground.
    pub takes_terminal: bool,
    /// setpriority(2), where given.
    pub nice: Option<i32>,
    /// /proc/self/oom_score_adj, where given.
    pub oom_score_adj: Option<i32>,
}

/// Has `command` do `setup` in the child, in a process group of its own.
pub fn prepare_child(command: &mut Command, setup: ChildSetup) {
    let parent = std::process::id();
    command.process_group(0);
    // SAFETY: the closure runs after fork and makes only async-signal-safe calls; it allocates nothing.
    unsafe { command.pre_exec(move || setup_child(&setup, parent)) };
}

/// Has `command` execute `words[0]` as execve(2) does, with the variable `own` in this environment, and nothing else.
/// std's own exec is execvp(3), in which glibc runs what is no program as a shell script.
pub fn prepare_exec(command: &mut Command, words: Vec<CString>, own: CString, environment: Arc<[CString]>) {
    // SAFETY: the closure runs after fork and makes one async-signal-safe call. Both arrays of pointers end in null, and
    // the strings behind them are owned by the closure and do not move.
    unsafe {
        let exec = Exec {
            words: pointers(words.iter()),
            environment: pointers(environment.iter().chain([&own])),
            _owned: (words, own, environment),
        };
        command.pre_exec(move || exec.run());
    }
}

struct Exec {
    words: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    _owned: (Vec<CString>, CString, Arc<[CString]>),
}

// SAFETY: the pointers are to strings that the same value owns, and nothing changes either.
unsafe impl Send for Exec {}
// SAFETY: as above.
unsafe impl Sync for Exec {}

impl Exec {
    fn run(&self) -> io::Result<()> {
        // SAFETY: see prepare_exec. A return is an error.
        check(unsafe { libc::execve(self.words[0], self.words.as_ptr(), self.environment.as_ptr()) }).map(drop)
    }
}

fn pointers<'a>(strings: impl Iterator<Item = &'a CString>) -> Vec<*const c_char> {
    strings.map(|string| string.as_ptr()).chain([ptr::null()]).collect()
}

fn setup_child(setup: &ChildSetup, parent: u32) -> io::Result<()> {
    // SAFETY: plain system calls on values of this frame; `path` and `text` outlive the calls that read them.
    unsafe {
        if setup.is_plugin {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, signal::KILL as c_ulong))?;
            // prctl(2): a parent that ended before the call is not noticed by it.
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(3));
            }
            close_descriptors_on_exec(setup.descriptors.0.soft);
        }
        if setup.takes_terminal {
            libc::tcsetpgrp(0, libc::getpgrp());
        }
        libc::setrlimit(libc::RLIMIT_NOFILE, &setup.descriptors.0);
        // Without the right to, these two leave the value as it was: the parent compares and says so.
        if let Some(nice) = setup.nice {
            libc::setpriority(libc::PRIO_PROCESS, 0, nice);
        }
        if let Some(score) = setup.oom_score_adj {
            let fd = libc::open(c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::CLOEXEC);
            if fd >= 0 {
                let mut text = [0u8; 12];
                let length = decimal(score, &mut text);
                libc::write(fd, text.as_ptr().cast(), length);
                libc::close(fd);
            }
        }
        for number in 1..=signal::MAX {
            if setup.signals.ignores(number) {
                libc::signal(number, libc::SIG_IGN);
            }
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &setup.signals.mask, ptr::null_mut());
    }
    Ok(())
}

/// Marks everything from descriptor 3 on to be closed by exec: what our own caller let us inherit is no plugin's.
///
/// # Safety
/// To be called between fork and exec.
unsafe fn close_descriptors_on_exec(limit: u64) {
    // SAFETY: plain system calls without memory. std's own descriptor for a failed exec is marked already.
    unsafe {
        let (first, last): (c_uint, c_uint) = (3, c_uint::MAX);
        if libc::syscall(libc::SYS_CLOSE_RANGE, first, last, libc::CLOSE_RANGE_CLOEXEC) == 0 {
            return;
        }
        // Before Linux 5.11.
        for fd in 3..c_int::try_from(limit).unwrap_or(c_int::MAX).min(65_536) {
            libc::fcntl(fd, libc::F_SETFD, libc::FD_CLOEXEC);
        }
    }
}

/// Writes `value` in decimal without allocating, and says how many bytes it took.
fn decimal(value: i32, text: &mut [u8; 12]) -> usize {
    let mut digits = [0u8; 12];
    let mut rest = value.unsigned_abs();
    let mut count = 0;
    loop {
        digits[count] = b'0' + (rest % 10) as u8;
        rest /= 10;
        count += 1;
        if rest == 0 {
            break;
        }
    }
    let sign = usize::from(value < 0);
    text[0] = b'-';
    for index in 0..count {
        text[sign + index] = digits[count - 1 - index];
    }
    sign + count
}

/// The scheduling priority of `pid` (getpriority(2)); `None` when it has gone.
pub fn nice_of(pid: Pid) -> Option<i32> {
    // SAFETY: no memory is passed. -1 is both a legal value and the error, which is taken for "as wished" only if it was.
    let value = unsafe { libc::getpriority(libc::PRIO_PROCESS, pid as c_uint) };
    (value != -1 || io::Error::last_os_error().raw_os_error() != Some(3)).then_some(value)
}

/// A limit of open descriptors (RLIMIT_NOFILE).
#[derive(Clone, Copy)]
pub struct DescriptorLimit(libc::RLimit);

/// Raises the limit of open descriptors of this process as far as it may, and returns what it was: every plugin costs
/// a descriptor here, while plugins themselves may use select(2) and must keep the old limit.
pub fn raise_descriptor_limit() -> DescriptorLimit {
    let mut limit = libc::RLimit { soft: 1024, hard: 1024 };
    // SAFETY: `limit` and `raised` are valid for the calls. A failure leaves the limit as it was.
    unsafe {
        libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit);
        let raised = libc::RLimit { soft: limit.hard, ..limit };
        libc::setrlimit(libc::RLIMIT_NOFILE, &raised);
    }
    DescriptorLimit(limit)
}

// ---------------------------------------------------------------- signals

/// A signal mask, and which signals are ignored (signal(7)).
#[derive(Clone, Copy)]
pub struct SignalState {
    mask: libc::SigSet,
    ignored: u64,
}

impl SignalState {
    /// Nothing blocked, nothing ignored: how a plugin starts.
    pub fn default_state() -> SignalState {
        SignalState { mask: libc::SigSet::EMPTY, ignored: 0 }
    }

    fn ignores(&self, number: i32) -> bool {
        self.ignored >> (number - 1) & 1 == 1
    }
}

/// Blocks all signals but those of `open` for this process and those it forks, sets every disposition to its default,
/// and returns how it was. An ignored SIGCHLD would have the kernel reap our children.
pub fn block_signals(open: &[i32]) -> SignalState {
    let mut inherited = SignalState::default_state();
    let mut blocked = libc::SigSet::FULL;
    for &number in open {
        blocked.0[0] &= !(1 << (number - 1));
    }
    // SAFETY: the sets are valid for the calls. SIGSEGV and SIGBUS keep the handlers by which std reports a stack
    // overflow; SIGPIPE stays as std sets it.
    unsafe {
        for number in 1..=signal::MAX {
            if ![7, 11, 13].contains(&number) && libc::signal(number, libc::SIG_DFL) == libc::SIG_IGN {
                inherited.ignored |= 1 << (number - 1);
            }
        }
        libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, &mut inherited.mask);
    }
    inherited
}

/// The blocked signals of this process, as a descriptor (signalfd(2)).
pub struct Signals(OwnedFd);

/// One signal that was sent to this process.
pub struct Arrived {
    pub number: i32,
    /// Sent by kill(2) and its like, not by the kernel.
    pub is_from_user: bool,
}

impl Signals {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, as signalfd(2) has them.
    pub fn open() -> io::Result<Signals> {
        let all = libc::SigSet::FULL;
        // SAFETY: `all` is valid for the call; the descriptor returned is ours alone.
        unsafe {
            let fd = check(libc::signalfd(-1, &all, libc::CLOEXEC | libc::NONBLOCK))?;
            Ok(Signals(OwnedFd::from_raw_fd(fd)))
        }
    }

    /// The next pending signal, if any, without waiting.
    pub fn take(&self) -> Option<Arrived> {
        // struct signalfd_siginfo is 128 bytes: ssi_signo at 0, ssi_errno at 4, ssi_code at 8.
        let mut info = [0u8; 128];
        // SAFETY: `info` is as long as the count says.
        let read = unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast::<c_void>(), info.len()) };
        let word = |at: usize| i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        (read == 128).then(|| Arrived { number: word(0), is_from_user: word(8) <= 0 })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

// ---------------------------------------------------------------- waiting

/// Milliseconds for poll(2) and epoll_wait(2), rounded up so that a deadline has passed when they return.
fn milliseconds(timeout: Option<Duration>) -> c_int {
    match timeout {
        None => -1,
        Some(timeout) => c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX),
    }
}

/// Waits until one of `fds` can be read or has ended, at most `timeout` (`None`: for ever), and says which.
///
/// # Errors
/// ENOMEM, as poll(2) has it. An interruption is a wait that found nothing.
pub fn wait_readable<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    // A negative descriptor is passed over by poll(2).
    let mut polled =
        fds.map(|fd| libc::PollFd { fd: fd.map_or(-1, |fd| fd.as_raw_fd()), events: libc::POLLIN, revents: 0 });
    // SAFETY: `polled` has N elements.
    match check(unsafe { libc::poll(polled.as_mut_ptr(), N as c_ulong, milliseconds(timeout)) }) {
        Err(error) if error.kind() == io::ErrorKind::Interrupted => Ok([false; N]),
        Err(error) => Err(error),
        Ok(_) => Ok(polled.map(|fd| fd.revents != 0)),
    }
}

/// Waits until `fd` takes bytes again, for a descriptor that somebody set non-blocking.
pub fn wait_writable(fd: BorrowedFd<'_>) {
    let mut polled = libc::PollFd { fd: fd.as_raw_fd(), events: libc::POLLOUT, revents: 0 };
    // SAFETY: `polled` is one element.
    unsafe { libc::poll(&mut polled, 1, -1) };
}

/// A set of descriptors to wait for, each with a token (epoll(7), level-triggered).
pub struct Epoll(OwnedFd);

impl Epoll {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no memory is passed; the descriptor returned is ours alone.
        unsafe { Ok(Epoll(OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::CLOEXEC))?))) }
    }

    /// # Errors
    /// ENOMEM, ENOSPC, as epoll_ctl(2) has them.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        let mut event = libc::EpollEvent { events: libc::EPOLLIN, data: token };
        // SAFETY: `event` is valid for the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) }).map(drop)
    }

    /// Takes `fd` out of the set. Closing alone is not enough: a child between fork and exec may hold it too.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // SAFETY: DEL ignores the event, which may be null.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), ptr::null_mut()) };
    }

    /// Puts the tokens of the descriptors that are ready into `tokens`, waiting for the first at most `timeout`.
    pub fn wait(&self, tokens: &mut Vec<u64>, timeout: Option<Duration>) {
        let mut events = [libc::EpollEvent { events: 0, data: 0 }; 64];
        // SAFETY: `events` has 64 elements.
        let count = unsafe { libc::epoll_wait(self.0.as_raw_fd(), events.as_mut_ptr(), 64, milliseconds(timeout)) };
        tokens.clear();
        tokens.extend(events.iter().take(usize::try_from(count).unwrap_or(0)).map(|event| event.data));
    }
}

// ---------------------------------------------------------------- descriptors

/// A duplicate of the descriptor that a caller passed by number. Children get neither, unless it is one of the standard
/// streams: the number itself stays open.
///
/// # Errors
/// EBADF where nothing is open under that number.
pub fn duplicate_descriptor(number: i32) -> io::Result<OwnedFd> {
    // SAFETY: no memory is passed; the duplicate is ours alone.
    unsafe {
        let duplicate = OwnedFd::from_raw_fd(check(libc::fcntl(number, libc::F_DUPFD_CLOEXEC, 3))?);
        if number > 2 {
            let flags = check(libc::fcntl(number, libc::F_GETFD))?;
            check(libc::fcntl(number, libc::F_SETFD, flags | libc::FD_CLOEXEC))?;
        }
        Ok(duplicate)
    }
}

/// Makes reads from `fd` return at once. For a pipe this concerns our end alone.
///
/// # Errors
/// None for an open descriptor.
pub fn set_nonblocking(fd: BorrowedFd<'_>) -> io::Result<()> {
    // SAFETY: both commands take and return plain integers.
    unsafe {
        let flags = check(libc::fcntl(fd.as_raw_fd(), libc::F_GETFL))?;
        check(libc::fcntl(fd.as_raw_fd(), libc::F_SETFL, flags | libc::NONBLOCK)).map(drop)
    }
}

/// Asks for `bytes` of room in a pipe (F_SETPIPE_SZ). Refused for anything else, and past the user's share of pipe
/// memory (pipe(7)): then it stays as it was.
pub fn grow_pipe(fd: BorrowedFd<'_>, bytes: i32) -> bool {
    // SAFETY: the command takes an int.
    unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETPIPE_SZ, bytes) > 0 }
}

/// How many bytes can be read from a pipe now (FIONREAD).
pub fn bytes_waiting(fd: BorrowedFd<'_>) -> usize {
    let mut count: c_int = 0;
    // SAFETY: FIONREAD writes one int to `count`.
    unsafe { libc::ioctl(fd.as_raw_fd(), libc::FIONREAD, &mut count as *mut c_int) };
    usize::try_from(count).unwrap_or(0)
}

// ---------------------------------------------------------------- terminal

/// The process group in the foreground of the terminal on descriptor 0, if it is our controlling terminal.
pub fn foreground_group() -> Option<Pid> {
    // SAFETY: no memory is passed.
    check(unsafe { libc::tcgetpgrp(0) }).ok()
}

/// Puts `group` into the foreground of the terminal on descriptor 0. SIGTTOU must be blocked.
pub fn set_foreground_group(group: Pid) {
    // SAFETY: no memory is passed. That the terminal has gone is no concern.
    unsafe { libc::tcsetpgrp(0, group) };
}

/// Columns of the terminal `fd`, if it is one.
pub fn terminal_width(fd: BorrowedFd<'_>) -> Option<usize> {
    let mut size = libc::WinSize::default();
    // SAFETY: TIOCGWINSZ fills one winsize.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size as *mut libc::WinSize) };
    (result == 0 && size.columns > 0).then_some(usize::from(size.columns))
}

/// The error that a syscall gives for an argument it does not take.
pub fn invalid_argument() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}
