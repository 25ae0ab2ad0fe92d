//! Starting a program: fork, what the child does to itself, exec. std's Command waits for every exec before it returns,
//! and has the child execute what it is not told to; here the outcome arrives on a pipe.

use super::Pid;
use super::libc::{self, check};
use super::process::{Mark, set_mark};
use super::signal::{self, SignalState};
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_ulong};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsRawFd, BorrowedFd};
use std::ptr;

/// What a child executes.
pub struct Image<'a> {
    /// The paths to try in turn, as execvp(3) tries those of PATH.
    pub paths: &'a [CString],
    pub words: &'a [CString],
    pub environment: &'a [CString],
    /// Which of the environment is to be this name, `=` included, and the pid of the child.
    pub own_pid: Option<(usize, &'a CStr)>,
}

/// What a child does between fork and exec.
pub struct ChildSetup<'a> {
    /// A plugin leads a process group, dies with the thread that started it (PR_SET_PDEATHSIG), and inherits no
    /// descriptor but the three that are its standard streams. PROGRAM inherits everything.
    pub plugin: Option<(Mark, [BorrowedFd<'a>; 3])>,
    /// The signal mask and the ignored signals it starts with.
    pub signals: SignalState,
    /// The limit of open descriptors it starts with.
    pub descriptors: DescriptorLimit,
    /// setpriority(2), where given.
    pub nice: Option<i32>,
    /// /proc/self/oom_score_adj, where given.
    pub oom_score_adj: Option<i32>,
}

/// A child whose exec may not have happened yet.
pub struct Spawned {
    pub pid: Pid,
    /// Ends when it has; see [`exec_error`].
    pub outcome: PipeReader,
}

/// Forks, and has the child set itself up and execute the image. Does not wait for either.
///
/// # Errors
/// As pipe(2) and fork(2) have them.
pub fn spawn(image: &Image<'_>, setup: &ChildSetup<'_>) -> io::Result<Spawned> {
    let (outcome, report) = io::pipe()?;
    let parent = std::process::id();
    // All of it is made before the fork: the child must not allocate, as another thread may have held the allocator's
    // lock. In front of the words is room for the shell.
    let mut words = pointers([c"/bin/sh"].into_iter().chain(image.words.iter().map(CString::as_c_str)));
    let mut environment = pointers(image.environment.iter().map(CString::as_c_str));
    // SAFETY: the child makes async-signal-safe calls only, and ends by exec or _exit.
    match check(unsafe { libc::fork() })? {
        0 => {
            let error = become_image(image, setup, parent, &mut words, &mut environment);
            let errno = error.raw_os_error().unwrap_or(libc::EINVAL).to_ne_bytes();
            // SAFETY: `errno` is as long as the count says.
            unsafe {
                libc::write(report.as_raw_fd(), errno.as_ptr().cast(), errno.len());
                libc::_exit(127)
            }
        }
        pid => Ok(Spawned { pid, outcome }),
    }
}

/// What the child has reported, once its pipe is readable: nothing when it runs what it was to run.
pub fn exec_error(mut outcome: &PipeReader) -> Option<io::Error> {
    let mut errno = [0; 4];
    outcome.read_exact(&mut errno).ok()?;
    Some(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
}

/// Pointers to strings, null at their end, as execve(2) wants them.
fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings.map(CStr::as_ptr).chain([ptr::null()]).collect()
}

/// Returns only if it cannot: why.
fn become_image(
    image: &Image<'_>,
    setup: &ChildSetup<'_>,
    parent: u32,
    words: &mut [*const c_char],
    environment: &mut [*const c_char],
) -> io::Error {
    if let Err(error) = set_up(setup, parent) {
        return error;
    }
    let mut variable = [0u8; 64];
    if let Some((index, name)) = image.own_pid
        && let Some(room) = variable.split_at_mut_checked(name.count_bytes()).filter(|(_, rest)| rest.len() > 12)
    {
        room.0.copy_from_slice(name.to_bytes());
        decimal(std::process::id() as i32, room.1);
        environment[index] = variable.as_ptr().cast();
    }
    let mut outcome = libc::ENOENT;
    for path in image.paths {
        // SAFETY: both arrays end in null and point to strings that live in this frame or the caller's.
        unsafe { libc::execve(path.as_ptr(), words[1..].as_ptr(), environment.as_ptr()) };
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => {}
            // Another directory of PATH may hold one that can be executed.
            Some(libc::EACCES) => outcome = libc::EACCES,
            // What is no program is a shell script, in execvp(3) as in every shell. A plugin has its interpreter.
            Some(libc::ENOEXEC) if setup.plugin.is_none() => {
                words[1] = path.as_ptr();
                // SAFETY: as above.
                unsafe { libc::execve(words[0], words.as_ptr(), environment.as_ptr()) };
                return error;
            }
            _ => return error,
        }
    }
    io::Error::from_raw_os_error(outcome)
}

fn set_up(setup: &ChildSetup<'_>, parent: u32) -> io::Result<()> {
    // SAFETY: plain system calls on values of this frame; `text` outlives the call that reads it.
    unsafe {
        if let Some((mark, streams)) = &setup.plugin {
            check(libc::prctl(libc::PR_SET_PDEATHSIG, signal::KILL as c_ulong))?;
            // prctl(2): a parent that ended before the call is not noticed by it.
            if libc::getppid() as u32 != parent {
                return Err(io::Error::from_raw_os_error(libc::ESRCH));
            }
            check(libc::setpgid(0, 0))?;
            for (fd, stream) in (0..).zip(streams) {
                check(libc::dup2(stream.as_raw_fd(), fd))?;
            }
            close_descriptors_on_exec(setup.descriptors.0.soft);
            set_mark(*mark);
        }
        libc::setrlimit(libc::RLIMIT_NOFILE, &setup.descriptors.0);
        let on: c_ulong = 1;
        libc::prctl(libc::PR_SET_DUMPABLE, on);
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
    // SAFETY: plain system calls without memory. The pipe for the outcome is marked already.
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

/// Writes `value` in decimal into twelve bytes or more without allocating, and says how many it took.
fn decimal(value: i32, text: &mut [u8]) -> usize {
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

/// How large the stack of a process may grow, which also caps its arguments and environment (execve(2)).
pub fn stack_limit() -> u64 {
    let mut limit = libc::RLimit { soft: 0, hard: 0 };
    // SAFETY: `limit` is valid for the call.
    unsafe { libc::getrlimit(libc::RLIMIT_STACK, &mut limit) };
    limit.soft
}

/// A limit of open descriptors (RLIMIT_NOFILE).
#[derive(Clone, Copy)]
pub struct DescriptorLimit(libc::RLimit);

impl DescriptorLimit {
    /// To what it can be raised.
    pub fn highest(&self) -> usize {
        usize::try_from(self.0.hard).unwrap_or(usize::MAX)
    }
}

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
