//! Signals: their numbers and names (signal(7)), which are blocked and ignored, and those that have arrived.

use super::Pid;
use super::libc;
use super::raw::{self, call};
use std::ffi::c_int;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

pub const HUP: i32 = 1;
/// A child has ended, stopped or gone on.
pub const CHLD: i32 = 17;
pub const INT: i32 = 2;
pub const QUIT: i32 = 3;
pub const KILL: i32 = 9;
pub const BUS: i32 = 7;
pub const USR1: i32 = 10;
pub const SEGV: i32 = 11;
pub const PIPE: i32 = 13;
pub const TERM: i32 = 15;
pub const CONT: i32 = 18;
pub const STOP: i32 = 19;
pub const TSTP: i32 = 20;
pub const TTIN: i32 = 21;
pub const TTOU: i32 = 22;
pub const WINCH: i32 = 28;
/// The highest signal number of Linux (signal(7)).
pub const MAX: i32 = 64;

/// Those that ask the launcher to stop.
pub const STOPS: [i32; 3] = [TERM, INT, QUIT];
/// Those of them of which the second skips the grace period.
pub const IMPATIENT: [i32; 2] = [INT, QUIT];

/// Those that stop a process and can be caught.
pub const SUSPENDS: [i32; 3] = [TSTP, TTIN, TTOU];

/// Those that a terminal sends (termios(3), tty_ioctl(4)).
const OF_TERMINALS: [i32; 8] = [HUP, INT, QUIT, CONT, TSTP, TTIN, TTOU, WINCH];

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

    /// Whether this signal is ignored.
    pub fn ignores(&self, number: i32) -> bool {
        self.ignored >> (number - 1) & 1 == 1
    }

    /// Gives this process the mask and the ignored signals. To be called between clone and exec: the rest is as it is to
    /// be there, but for SIGPIPE, which std ignores, and the two of which std has handlers.
    pub(super) fn restore(&self) {
        let set = |number: i32, handler: usize| {
            // The kernel's struct sigaction: handler, flags, restorer, mask.
            let action = [handler, 0, 0, 0];
            // SAFETY: `action` is valid for the call.
            unsafe { call(raw::RT_SIGACTION, [number as usize, action.as_ptr() as usize, 0, MASK_SIZE, 0]) }
        };
        for number in [BUS, SEGV, PIPE] {
            let _ = set(number, libc::SIG_DFL);
        }
        for number in (1..=MAX).filter(|&number| self.ignores(number)) {
            let _ = set(number, libc::SIG_IGN);
        }
        let (how, mask) = (libc::SIG_SETMASK as usize, &raw const self.mask);
        // SAFETY: the mask is valid for the call.
        let _ = unsafe { call(raw::RT_SIGPROCMASK, [how, mask as usize, 0, MASK_SIZE, 0]) };
    }
}

/// The bytes of a signal mask of which the kernel knows.
const MASK_SIZE: usize = 8;

/// Whether SIGPIPE was ignored when this process began: std ignores it before `main` and keeps no record.
static WAS_PIPE_IGNORED: AtomicBool = AtomicBool::new(false);

/// What the C runtime calls before it calls std's start.
// SAFETY: the section holds pointers to functions of this type.
#[used]
#[unsafe(link_section = ".init_array")]
static BEFORE_START: extern "C" fn() = {
    extern "C" fn look_at_pipe() {
        // SAFETY: no memory is passed; this process has one thread, and gets back what it had.
        let before = unsafe { libc::signal(PIPE, libc::SIG_DFL) };
        // SAFETY: as above.
        unsafe { libc::signal(PIPE, before) };
        WAS_PIPE_IGNORED.store(before == libc::SIG_IGN, Ordering::Relaxed);
    }
    look_at_pipe
};

/// Blocks all signals but those of `open` for this process and those it forks, and returns how it was. What is blocked is
/// kept for who asks, be it ignored (signal(7)); but for an ignored SIGCHLD the kernel would reap our children, and
/// whether SIGHUP was, matters.
pub fn block_signals(open: &[i32]) -> SignalState {
    let mut inherited = SignalState::default_state();
    let mut blocked = libc::SigSet::FULL;
    for &number in open {
        blocked.0[0] &= !(1 << (number - 1));
    }
    for number in [CHLD, HUP] {
        // SAFETY: no memory is passed.
        if unsafe { libc::signal(number, libc::SIG_DFL) } == libc::SIG_IGN {
            inherited.ignored |= 1 << (number - 1);
        }
    }
    // SAFETY: the sets are valid for the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &blocked, &mut inherited.mask) };
    if WAS_PIPE_IGNORED.load(Ordering::Relaxed) {
        inherited.ignored |= 1 << (PIPE - 1);
    }
    inherited
}

/// Sets the disposition of every signal to its default, for the children that are started from now on.
pub fn default_signals() {
    // SIGSEGV and SIGBUS keep the handlers by which std reports a stack overflow; SIGPIPE stays ignored.
    for number in (1..=MAX).filter(|number| ![BUS, SEGV, PIPE].contains(number)) {
        // SAFETY: no memory is passed.
        unsafe { libc::signal(number, libc::SIG_DFL) };
    }
}

/// Blocks all signals for this thread, which has just begun, or has started another: libc opens the two that it uses
/// itself (33 and 34) when a process gets its second thread, and either would end the process.
fn block_signals_of_thread() {
    // SAFETY: the set is valid for the call.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &libc::SigSet::FULL, ptr::null_mut()) };
}

/// Starts a thread in which all signals are blocked, from one in which they are.
///
/// # Errors
/// EAGAIN, ENOMEM.
pub fn start_thread(builder: thread::Builder, work: impl FnOnce() + Send + 'static) -> io::Result<()> {
    let started = builder.spawn(|| {
        block_signals_of_thread();
        work();
    });
    block_signals_of_thread();
    started.map(drop)
}

/// Lets a signal that this process blocks act on it as if it had come now, by its default action: the process stops, or
/// ends, or neither, as the kernel decides (signal(7), setpgid(2) on orphaned process groups).
///
/// `is_due` is asked when the signal is pending: a SIGCONT that comes from then on takes a stop back (signal(7)).
pub fn deliver(number: i32, is_due: impl FnOnce() -> bool) {
    let one = libc::SigSet::of(number);
    // SAFETY: the sets are valid for the calls. kill(2) and not raise(3), which would want libc's idea of this thread.
    unsafe {
        let mut before = libc::SigSet::EMPTY;
        libc::signal(number, libc::SIG_DFL);
        let _ = super::kill(super::own_pid(), number);
        if !is_due() {
            // Ignored, it is no longer pending.
            libc::signal(number, libc::SIG_IGN);
            libc::signal(number, libc::SIG_DFL);
        }
        libc::pthread_sigmask(libc::SIG_UNBLOCK, &one, &mut before);
        libc::pthread_sigmask(libc::SIG_SETMASK, &before, ptr::null_mut());
    }
}

/// The blocked signals of this process, as a descriptor (signalfd(2)).
pub struct Signals(OwnedFd);

/// One signal that was sent to this process.
#[derive(Clone, Copy, Debug)]
pub struct Arrived {
    pub number: i32,
    pub origin: Origin,
}

/// Who sent a signal (sigaction(2), si_code).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// The kernel, to the whole foreground group of a terminal: a key was pressed, or the window has another size. A
    /// hang-up comes so to the leader of the session alone.
    Terminal,
    /// A child ended, stopped or went on.
    Kernel,
    /// The kernel, to this process alone: a timer expired that our caller had set (setitimer(2): exec keeps it).
    Timer,
    /// kill(2) and its like.
    Process(Pid),
}

impl Signals {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM, as signalfd(2) has them.
    pub fn open() -> io::Result<Signals> {
        let all = libc::SigSet::FULL;
        let arguments =
            [-1_isize as usize, &raw const all as usize, MASK_SIZE, (libc::CLOEXEC | libc::NONBLOCK) as usize, 0];
        // SAFETY: `all` is valid for the call; the descriptor returned is ours alone.
        unsafe {
            let fd = call(raw::SIGNALFD4, arguments).map_err(io::Error::from_raw_os_error)?;
            Ok(Signals(OwnedFd::from_raw_fd(fd as c_int)))
        }
    }

    /// The next pending signal, if any, without waiting.
    pub fn take(&self) -> Option<Arrived> {
        // struct signalfd_siginfo is 128 bytes: ssi_signo at 0, ssi_code at 8, ssi_pid at 12 (signalfd(2)).
        const SI_KERNEL: i32 = 0x80;
        let mut info = [0u8; 128];
        let read = super::read(self.0.as_fd(), &mut info);
        let word = |at: usize| i32::from_ne_bytes([info[at], info[at + 1], info[at + 2], info[at + 3]]);
        let origin = match word(8) {
            SI_KERNEL if OF_TERMINALS.contains(&word(0)) => Origin::Terminal,
            SI_KERNEL => Origin::Timer,
            1.. => Origin::Kernel,
            _ => Origin::Process(word(12)),
        };
        matches!(read, Ok(128)).then(|| Arrived { number: word(0), origin })
    }
}

impl AsFd for Signals {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
