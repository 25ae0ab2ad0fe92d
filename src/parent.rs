//! The watch on the process that we belong to. It is the process that is watched, not the thread of it that started us.
//! Guard and supervisor both watch. Nothing is ever read from what is watched.

use crate::descendants::{Process, process};
use crate::error::{Error, plain};
use crate::settings::{ParentPid, Settings};
use crate::sys::{self, Epoll, Interest, Pid};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How often to look where the kernel offers no pidfd.
const TICK: Duration = Duration::from_secs(1);

/// What tells that the parent is gone.
pub struct ParentWatch {
    pid: Option<Pid>,
    process: Watched,
    pipe: Pipe,
}

enum Watched {
    Nothing,
    Gone,
    /// Readable when the process has ended.
    ByPidfd(OwnedFd),
    /// Our parent: another one has taken us over when it is gone. Only who was started by it can tell.
    ByParentPid(Pid),
    /// Any other process: its place in /proc is empty, or another's.
    ByProc(Process),
}

/// `--parent-fd`.
enum Pipe {
    None,
    /// What cannot hang up, such as a file or /dev/null, has nobody at its other end.
    Ended,
    Open(OwnedFd),
}

impl ParentWatch {
    /// Starts to watch what the settings name.
    ///
    /// # Errors
    /// Usage: `--parent-fd` names no open descriptor.
    pub fn open(settings: &Settings) -> Result<ParentWatch, Error> {
        let parent = sys::parent_pid();
        let pid = match settings.parent {
            ParentPid::None => None,
            // 0: the parent is in another PID namespace, or there is none, as for PID 1.
            ParentPid::AtStart => (parent > 0).then_some(parent),
            ParentPid::Given(pid) => Some(pid),
        };
        let pipe = match settings.parent_fd {
            None => Pipe::None,
            Some(number) => open_pipe(number)?,
        };
        Ok(ParentWatch { pid, process: pid.map_or(Watched::Nothing, |pid| watch(pid, parent)), pipe })
    }

    /// The process that is watched.
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// In the supervisor, after the fork: our parent is the guard, and the guard's is to be told by /proc. Where there is
    /// none only the guard can tell.
    pub fn seen_from_below(self) -> ParentWatch {
        let process = match self.process {
            Watched::ByParentPid(pid) => process(pid).map_or(Watched::Nothing, Watched::ByProc),
            other => other,
        };
        ParentWatch { process, ..self }
    }

    /// What to wait for: where there may be news.
    pub fn sources(&self) -> [Option<(BorrowedFd<'_>, Interest)>; 2] {
        let process = match &self.process {
            Watched::ByPidfd(fd) => Some((fd.as_fd(), Interest::Readable)),
            _ => None,
        };
        let pipe = match &self.pipe {
            Pipe::Open(fd) => Some((fd.as_fd(), Interest::HangUp)),
            Pipe::None | Pipe::Ended => None,
        };
        [process, pipe]
    }

    /// Has `epoll` report this token when there may be news.
    ///
    /// # Errors
    /// As epoll_ctl(2) has them.
    pub fn register(&self, epoll: &Epoll, token: u64) -> io::Result<()> {
        self.sources().into_iter().flatten().try_for_each(|(fd, interest)| epoll.watch(fd, token, interest))
    }

    /// Takes back [`ParentWatch::register`]. The other of the two processes that watch holds the same descriptors open, so
    /// that closing them would not.
    pub fn unregister(&self, epoll: &Epoll) {
        self.sources().into_iter().flatten().for_each(|(fd, _)| epoll.remove(fd));
    }

    /// How long to wait for news at most.
    pub fn tick(&self) -> Option<Duration> {
        match self.process {
            Watched::ByParentPid(_) | Watched::ByProc(_) => Some(TICK),
            Watched::Nothing | Watched::Gone | Watched::ByPidfd(_) => None,
        }
    }

    /// Whether the parent is gone. Looks without waiting.
    pub fn is_parent_gone(&self) -> bool {
        let is_gone = match &self.process {
            Watched::Nothing => false,
            Watched::Gone => true,
            Watched::ByPidfd(fd) => sys::is_ready(fd.as_fd(), Interest::Readable),
            Watched::ByParentPid(pid) => sys::parent_pid() != *pid,
            Watched::ByProc(then) => process(then.pid).is_none_or(|now| now.started != then.started || now.is_zombie()),
        };
        let is_pipe_gone = match &self.pipe {
            Pipe::None => false,
            Pipe::Ended => true,
            Pipe::Open(fd) => sys::is_ready(fd.as_fd(), Interest::HangUp),
        };
        is_gone || is_pipe_gone
    }
}

fn open_pipe(number: i32) -> Result<Pipe, Error> {
    let fd = sys::duplicate_descriptor(number)
        .map_err(|error| Error::Usage(format!("`--parent-fd {number}` is no open descriptor: {}", plain(&error))))?;
    let can_hang_up = Epoll::new().and_then(|epoll| epoll.watch(fd.as_fd(), 0, Interest::HangUp)).is_ok();
    Ok(if can_hang_up { Pipe::Open(fd) } else { Pipe::Ended })
}

fn watch(pid: Pid, parent: Pid) -> Watched {
    watched(pid, parent, sys::pidfd_open(pid), sys::parent_pid(), process)
}

/// How the process is watched, `parent` having been ours before `opened` was tried, and `parent_now` after it.
fn watched(
    pid: Pid,
    parent: Pid,
    opened: io::Result<OwnedFd>,
    parent_now: Pid,
    look: impl FnOnce(Pid) -> Option<Process>,
) -> Watched {
    match opened {
        // It may have ended before the call, and its number been given to another.
        Ok(_) if pid == parent && parent_now != parent => Watched::Gone,
        Ok(fd) => Watched::ByPidfd(fd),
        Err(error) if sys::is_no_such_process(&error) => Watched::Gone,
        Err(_) if pid == parent => Watched::ByParentPid(pid),
        Err(_) => look(pid).map_or(Watched::Gone, Watched::ByProc),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_watched_by_what_the_kernel_offers() {
        const NO_SUCH_PROCESS: i32 = 3;
        const NO_SUCH_CALL: i32 = 38;
        let seen = |pid| Some(Process { pid, parent: 1, group: 1, session: 1, state: b'S', threads: 1, started: 1 });
        let how = |pid, errno: Option<i32>, parent_now, look: fn(Pid) -> Option<Process>| {
            let opened =
                errno.map_or_else(|| sys::pidfd_open(sys::own_pid()), |errno| Err(io::Error::from_raw_os_error(errno)));
            match watched(pid, 7, opened, parent_now, look) {
                Watched::Nothing => "nothing",
                Watched::Gone => "gone",
                Watched::ByPidfd(_) => "pidfd",
                Watched::ByParentPid(_) => "parent",
                Watched::ByProc(_) => "proc",
            }
        };
        for (pid, errno, parent_now, look, expected) in [
            (7, None, 7, seen as fn(Pid) -> Option<Process>, "pidfd"),
            (7, None, 1, seen, "gone"),
            (8, None, 7, seen, "pidfd"),
            (8, None, 1, seen, "pidfd"),
            (7, Some(NO_SUCH_PROCESS), 1, seen, "gone"),
            (8, Some(NO_SUCH_PROCESS), 7, seen, "gone"),
            (7, Some(NO_SUCH_CALL), 7, |_| None, "parent"),
            (8, Some(NO_SUCH_CALL), 7, seen, "proc"),
            (8, Some(NO_SUCH_CALL), 7, |_| None, "gone"),
        ] {
            assert_eq!(how(pid, errno, parent_now, look), expected, "{pid} {errno:?} {parent_now}");
        }
    }
}
