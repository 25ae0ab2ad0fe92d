//! What a child does between fork and exec, beyond what std has it do.

use super::Pid;
use super::libc::{self, check};
use super::signal::{self, SignalState};
use std::ffi::{CString, c_char, c_int, c_uint, c_ulong};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;
use std::sync::Arc;

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
    }
    setup.signals.restore();
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
