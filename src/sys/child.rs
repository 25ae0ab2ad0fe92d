//! Starting a program: clone, what the child does to itself, exec. std's Command waits for every exec before it returns,
//! and has the child execute what it is not told to; here the outcome arrives on a pipe.
//!
//! The child shares our memory until its exec, where the kernel offers that: a copy of the page tables, and of every page
//! that is written to afterwards, costs more than all the rest of a start. It must therefore not call libc, whose `errno`
//! it shares, nor allocate, nor take a lock; what it uses lives in a [`Launch`].

use super::Pid;
use super::libc;
use super::process::Mark;
use super::raw::{self, call};
use super::signal::{self, SignalState};
use super::stack::Stack;
use std::borrow::Cow;
use std::ffi::{CStr, CString, c_char, c_int, c_uint, c_void};
use std::io::{self, PipeReader, Read};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};
use std::ptr::{self, NonNull};
use std::rc::Rc;

/// `NAME=value`, as this process got it or made for a child.
pub type Variable = Cow<'static, CStr>;

/// What a child executes.
pub struct Image {
    /// The paths to try in turn, as execvp(3) tries those of PATH.
    pub paths: Vec<CString>,
    pub words: Vec<CString>,
    pub environment: Rc<[Variable]>,
    /// Which of the environment is to be this name, `=` included, and the pid of the child.
    pub own_pid: Option<(usize, &'static CStr)>,
}

/// What a child does between clone and exec.
pub struct ChildSetup {
    /// A plugin leads a process group, dies with the thread that started it (PR_SET_PDEATHSIG), and inherits no
    /// descriptor but the three that are its standard streams. PROGRAM inherits everything.
    pub plugin: Option<(Mark, [RawFd; 3])>,
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
    pub outcome: Outcome,
}

/// Becomes readable when the exec has happened, or cannot.
///
/// Until then the child may use our memory for as long as it likes: a file system may never answer. What it uses is
/// freed by [`Outcome::take`], and leaked where nobody asks.
pub struct Outcome {
    pipe: PipeReader,
    launch: NonNull<Launch>,
}

/// All that a child uses until its exec.
struct Launch {
    image: Image,
    /// Pointers to the image, null at the end. In front of the words is room for the shell.
    words: Vec<*const c_char>,
    environment: Vec<*const c_char>,
    setup: ChildSetup,
    parent: Pid,
    /// Where the child says why its exec cannot be.
    report: c_int,
    errno: c_int,
    /// The variable of the environment that has the child's pid.
    variable: [u8; 64],
    stack: Stack,
}

/// Starts a child that sets itself up and executes the image. Waits for neither. From then on the child has descriptors
/// of its own.
///
/// # Errors
/// As pipe(2), mmap(2) and clone(2) have them.
pub fn spawn(image: Image, setup: ChildSetup) -> io::Result<Spawned> {
    let (pipe, report) = io::pipe()?;
    // The score of the OOM killer is one for all who share the memory.
    let shares_memory = setup.oom_score_adj.is_none();
    let launch = Box::new(Launch {
        words: pointers([c"/bin/sh"].into_iter().chain(image.words.iter().map(CString::as_c_str))),
        environment: pointers(image.environment.iter().map(AsRef::as_ref)),
        image,
        setup,
        parent: super::own_pid(),
        report: report.as_raw_fd(),
        errno: 0,
        variable: [0; 64],
        stack: Stack::new()?,
    });
    let launch = NonNull::from(Box::leak(launch));
    // SAFETY: nobody else has `launch`, which lives, as does the stack in it, until the child has no use for it.
    match unsafe { launch.as_ref().stack.start(shares_memory, run, launch.as_ptr().cast()) } {
        Ok(pid) => Ok(Spawned { pid, outcome: Outcome { pipe, launch } }),
        Err(error) => {
            // SAFETY: there is no child that could use it.
            drop(unsafe { Box::from_raw(launch.as_ptr()) });
            Err(error)
        }
    }
}

impl Outcome {
    /// Why the exec could not be, once this is readable: nothing when the child runs what it was to run.
    pub fn take(mut self) -> Option<io::Error> {
        let mut errno = [0; 4];
        let read = self.pipe.read_exact(&mut errno);
        // SAFETY: the pipe has ended, so that the child has another program or has ended, or it said why not, after
        // which it uses no memory.
        drop(unsafe { Box::from_raw(self.launch.as_ptr()) });
        read.ok()?;
        Some(io::Error::from_raw_os_error(i32::from_ne_bytes(errno)))
    }
}

impl AsFd for Outcome {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pipe.as_fd()
    }
}

/// Pointers to strings, null at their end, as execve(2) wants them.
fn pointers<'a>(strings: impl Iterator<Item = &'a CStr>) -> Vec<*const c_char> {
    strings.map(CStr::as_ptr).chain([ptr::null()]).collect()
}

/// What the child does.
///
/// # Safety
/// `launch` is a [`Launch`] that nobody else uses until the child has executed its image, or said why not.
unsafe extern "C" fn run(launch: *mut c_void) -> ! {
    // SAFETY: as the caller has it.
    let launch = unsafe { &mut *launch.cast::<Launch>() };
    // SAFETY: this is a child before its exec.
    launch.errno = match unsafe { set_up(&launch.setup, launch.parent) } {
        Ok(()) => launch.become_image(),
        Err(errno) => errno,
    };
    // SAFETY: `errno` is four bytes.
    unsafe { raw::write_and_exit(launch.report, &launch.errno) }
}

impl Launch {
    /// Returns only if it cannot: why.
    fn become_image(&mut self) -> c_int {
        if let Some((index, name)) = self.image.own_pid
            && let Some((before, rest)) = self.variable.split_at_mut_checked(name.count_bytes())
            && rest.len() > 12
            && let Some(variable) = self.environment.get_mut(index)
        {
            before.copy_from_slice(name.to_bytes());
            // SAFETY: the call takes nothing and cannot fail.
            let pid = unsafe { call(raw::GETPID, [0; 5]) };
            decimal(pid.unwrap_or(0) as i32, rest);
            *variable = self.variable.as_ptr().cast();
        }
        let mut outcome = libc::ENOENT;
        for path in &self.image.paths {
            match execute(path.as_ptr(), self.words.get(1..).unwrap_or(&self.words), &self.environment) {
                libc::ENOENT | libc::ENOTDIR | libc::ELOOP => {}
                // Another directory of PATH may hold one that can be executed.
                libc::EACCES => outcome = libc::EACCES,
                // What is no program is a shell script, in execvp(3) as in every shell. A plugin has its interpreter.
                libc::ENOEXEC if self.setup.plugin.is_none() => {
                    if let [shell, script, ..] = self.words.as_mut_slice() {
                        *script = path.as_ptr();
                        execute(*shell, &self.words, &self.environment);
                    }
                    return libc::ENOEXEC;
                }
                errno => return errno,
            }
        }
        outcome
    }
}

/// Returns only if it cannot: why.
fn execute(path: *const c_char, words: &[*const c_char], environment: &[*const c_char]) -> c_int {
    let arguments = [path as usize, words.as_ptr() as usize, environment.as_ptr() as usize, 0, 0];
    // SAFETY: both arrays end in null and point to strings of the launch.
    unsafe { call(raw::EXECVE, arguments) }.err().unwrap_or(libc::EINVAL)
}

/// # Safety
/// To be called between clone and exec.
unsafe fn set_up(setup: &ChildSetup, parent: Pid) -> Result<(), c_int> {
    // SAFETY: plain system calls on values of this frame and the launch, which outlive the call that reads them.
    unsafe {
        if let Some((mark, streams)) = &setup.plugin {
            call(raw::PRCTL, [libc::PR_SET_PDEATHSIG as usize, signal::KILL as usize, 0, 0, 0])?;
            // prctl(2): a parent that ended before the call is not noticed by it.
            if call(raw::GETPPID, [0; 5])? as Pid != parent {
                return Err(libc::ESRCH);
            }
            call(raw::SETPGID, [0; 5])?;
            for (fd, stream) in (0..).zip(streams) {
                call(raw::DUP3, [*stream as usize, fd, 0, 0, 0])?;
            }
            close_descriptors_on_exec(setup.descriptors.0.soft);
            // Where the hard limit is lower nothing is marked.
            let _ = set_limit(libc::RLIMIT_RTTIME, &mark.limit());
        }
        let _ = set_limit(libc::RLIMIT_NOFILE, &setup.descriptors.0);
        // Without the right to, these two leave the value as it was: the parent compares and says so.
        if let Some(nice) = setup.nice {
            let _ = call(raw::SETPRIORITY, [libc::PRIO_PROCESS as usize, 0, nice as usize, 0, 0]);
        }
        if let Some(score) = setup.oom_score_adj {
            write_oom_score(score);
        }
    }
    setup.signals.restore();
    Ok(())
}

/// # Safety
/// To be called between clone and exec.
unsafe fn set_limit(resource: c_int, limit: &libc::RLimit) -> Result<usize, c_int> {
    let limit: *const libc::RLimit = limit;
    // SAFETY: the limit is valid for the call.
    unsafe { call(raw::PRLIMIT64, [0, resource as usize, limit as usize, 0, 0]) }
}

/// # Safety
/// To be called between clone and exec, in memory that is not shared.
unsafe fn write_oom_score(score: i32) {
    let mut text = [0u8; 12];
    let length = decimal(score, &mut text);
    let (path, flags) = (c"/proc/self/oom_score_adj".as_ptr(), libc::O_WRONLY | libc::CLOEXEC);
    // SAFETY: path and text outlive the calls that read them.
    unsafe {
        // Else the file is root's (proc(5)). Exec does the same.
        let _ = call(raw::PRCTL, [libc::PR_SET_DUMPABLE as usize, 1, 0, 0, 0]);
        if let Ok(fd) = call(raw::OPENAT, [libc::AT_FDCWD as usize, path as usize, flags as usize, 0, 0]) {
            let _ = call(raw::WRITE, [fd, text.as_ptr() as usize, length, 0, 0]);
            let _ = call(raw::CLOSE, [fd, 0, 0, 0, 0]);
        }
    }
}

/// Marks everything from descriptor 3 on to be closed by exec: what our own caller let us inherit is no plugin's.
///
/// # Safety
/// To be called between clone and exec.
unsafe fn close_descriptors_on_exec(limit: u64) {
    // SAFETY: plain system calls without memory. The pipe for the outcome is marked already.
    unsafe {
        let flags = libc::CLOSE_RANGE_CLOEXEC as usize;
        if call(raw::CLOSE_RANGE, [3, c_uint::MAX as usize, flags, 0, 0]).is_ok() {
            return;
        }
        // Before Linux 5.11.
        for fd in 3..usize::try_from(limit).unwrap_or(usize::MAX).min(65_536) {
            let _ = call(raw::FCNTL, [fd, libc::F_SETFD as usize, libc::FD_CLOEXEC as usize, 0, 0]);
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

#[cfg(test)]
mod tests {
    use super::super::libc::waitpid;
    use super::*;
    use std::fs::File;

    /// A child that tries this path so often, and then `/bin/true`.
    fn start(path: &CStr, times: usize) -> Spawned {
        let mut paths = vec![path.to_owned(); times];
        paths.push(c"/bin/true".to_owned());
        let image = Image { paths, words: vec![c"true".to_owned()], environment: Rc::default(), own_pid: None };
        let signals = SignalState::default_state();
        let descriptors = DescriptorLimit(libc::RLimit { soft: 1024, hard: 1024 });
        let setup = ChildSetup { plugin: None, signals, descriptors, nice: None, oom_score_adj: None };
        spawn(image, setup).unwrap()
    }

    fn status(pid: Pid) -> c_int {
        let mut status = -1;
        // SAFETY: `status` is a valid place for one int.
        assert_eq!(unsafe { waitpid(pid, &mut status, 0) }, pid);
        status
    }

    #[test]
    fn what_a_child_uses_outlives_whoever_might_have_asked_for_its_outcome() {
        let Spawned { pid, outcome } = start(c"/nonexistent", 20_000);
        drop(outcome);
        // What was freed would be used again.
        let others: Vec<Vec<u8>> = (0..20_000).map(|n| vec![b'/'; 8 + n % 64]).collect();
        assert_eq!(status(pid), 0);
        assert_eq!(others.len(), 20_000);
    }

    #[test]
    fn a_child_leaves_the_errors_of_its_parent_alone() {
        // ENOTDIR there, ENOENT here.
        let Spawned { pid, outcome } = start(c"/dev/null/x", 50_000);
        let mut count = 0;
        while !super::super::is_ready(outcome.as_fd(), super::super::Interest::Readable) {
            assert_eq!(File::open("/nonexistent").unwrap_err().kind(), io::ErrorKind::NotFound);
            count += 1;
        }
        assert!(count > 100, "the control: both were at work");
        assert!(outcome.take().is_none());
        assert_eq!(status(pid), 0);
    }
}
