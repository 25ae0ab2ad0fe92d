//! Signals: their numbers and names (signal(7)), which are blocked and ignored, and those that have arrived.

use super::libc::{self, check};
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;

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
    "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
    "IO", "PWR", "SYS",
];

/// `SIGTERM` for 15; the number alone for a real-time signal.
pub fn name(number: i32) -> String {
    match usize::try_from(number).ok().and_then(|index| NAMES.get(index)) {
        Some(name) => ["SIG", name].concat(),
        None => number.to_string(),
    }
}

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

    /// Gives this process the mask and the ignored signals. Between fork and exec: the rest is at its default there.
    pub(super) fn restore(&self) {
        // SAFETY: the mask is valid for the call, and signal(2) passes no memory.
        unsafe {
            for number in (1..=MAX).filter(|&number| self.ignores(number)) {
                libc::signal(number, libc::SIG_IGN);
            }
            libc::pthread_sigmask(libc::SIG_SETMASK, &self.mask, ptr::null_mut());
        }
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
        for number in 1..=MAX {
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
