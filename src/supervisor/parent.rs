//! The watch on the process that we belong to. It is the process that is watched, not the thread of it that started us.

use super::descendants::{Process, process};
use crate::error::{Error, plain};
use crate::settings::{ParentPid, Settings};
use crate::sys::{self, Pid};
use std::fs::File;
use std::io::{ErrorKind, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// How often to look where the kernel offers no pidfd.
const TICK: Duration = Duration::from_secs(1);

const ESRCH: i32 = 3;

/// What tells that the parent is gone.
pub struct ParentWatch {
    pid: Option<Pid>,
    process: Watched,
    pipe: Option<File>,
}

enum Watched {
    Nothing,
    Gone,
    /// Readable when the process has ended.
    ByPidfd(OwnedFd),
    /// Our parent: another one has taken us over when it is gone.
    ByParentPid(Pid),
    /// Any other process: its place in /proc is empty, or another's.
    ByProc(Process),
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
            None => None,
            Some(number) => Some(File::from(sys::duplicate_descriptor(number).map_err(|error| {
                Error::Usage(format!("`--parent-fd {number}` is no open descriptor: {}", plain(&error)))
            })?)),
        };
        Ok(ParentWatch { pid, process: pid.map_or(Watched::Nothing, |pid| watch(pid, parent)), pipe })
    }

    /// The process that is watched.
    pub fn pid(&self) -> Option<Pid> {
        self.pid
    }

    /// The descriptors that become readable when there may be news.
    pub fn descriptors(&self) -> [Option<BorrowedFd<'_>>; 2] {
        let process = match &self.process {
            Watched::ByPidfd(fd) => Some(fd.as_fd()),
            Watched::Nothing | Watched::Gone | Watched::ByParentPid(_) | Watched::ByProc(_) => None,
        };
        [process, self.pipe.as_ref().map(File::as_fd)]
    }

    /// How long to wait for the descriptors at most.
    pub fn tick(&self) -> Option<Duration> {
        match self.process {
            Watched::ByParentPid(_) | Watched::ByProc(_) => Some(TICK),
            Watched::Nothing | Watched::Gone | Watched::ByPidfd(_) => None,
        }
    }

    /// Whether the parent is gone. Looks without waiting.
    pub fn is_parent_gone(&mut self) -> bool {
        let [has_ended, pipe] = sys::wait_readable(self.descriptors(), Some(Duration::ZERO)).unwrap_or_default();
        let is_gone = match &self.process {
            Watched::Nothing => false,
            Watched::Gone => true,
            Watched::ByPidfd(_) => has_ended,
            Watched::ByParentPid(pid) => sys::parent_pid() != *pid,
            Watched::ByProc(then) => process(then.pid).is_none_or(|now| now.started != then.started || now.is_zombie()),
        };
        is_gone || (pipe && self.has_pipe_ended())
    }

    /// Bytes on the pipe mean nothing; its end does.
    fn has_pipe_ended(&mut self) -> bool {
        let Some(pipe) = &mut self.pipe else { return false };
        match pipe.read(&mut [0; 4096]) {
            Ok(count) => count == 0,
            Err(error) => !matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::WouldBlock),
        }
    }
}

fn watch(pid: Pid, parent: Pid) -> Watched {
    match sys::pidfd_open(pid) {
        // It may have ended before the call, and its number been given to another.
        Ok(_) if pid == parent && sys::parent_pid() != parent => Watched::Gone,
        Ok(fd) => Watched::ByPidfd(fd),
        Err(error) if error.raw_os_error() == Some(ESRCH) => Watched::Gone,
        Err(_) if pid == parent => Watched::ByParentPid(pid),
        Err(_) => process(pid).map_or(Watched::Gone, Watched::ByProc),
    }
}
