//! PROGRAM: in a process group of its own, so that a signal to our caller's group, or a key on the terminal, reaches it
//! once: directly or through us. Its stops and continuations are ours, as job control expects.

use crate::sys::{self, Change, Pid, signal};

/// PROGRAM, as the supervisor sees it.
pub struct Job {
    pid: Pid,
    guard: Pid,
    /// The process group of the guard, in which a shell put the whole job.
    group: Pid,
    end: Option<Change>,
}

impl Job {
    /// A program that was just started below the guard `guard` of the process group `group`.
    pub fn new(pid: Pid, guard: Pid, group: Pid) -> Job {
        Job { pid, guard, group, end: None }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub fn is_running(&self) -> bool {
        self.end.is_none()
    }

    /// Its exit status as a shell gives it, once it has ended.
    pub fn status(&self) -> Option<u8> {
        match self.end? {
            Change::Exited(status) => Some(status as u8),
            Change::Signaled(number) | Change::Stopped(number) => Some(128 + number as u8),
        }
    }

    /// Passes on a signal that was sent to the launcher.
    pub fn pass_on(&self, number: i32) {
        if number == signal::CONT {
            self.take_terminal();
        }
        let _ = sys::kill(self.pid, number);
    }

    /// Takes note that PROGRAM ended or stopped.
    pub fn note_change(&mut self, change: Change) {
        match change {
            Change::Exited(_) | Change::Signaled(_) => {
                self.end = Some(change);
                if sys::foreground_group() == Some(self.pid) {
                    sys::set_foreground_group(self.group);
                }
            }
            Change::Stopped(number) => self.note_stop(number),
        }
    }

    fn note_stop(&self, number: i32) {
        let wants_terminal = [signal::TTIN, signal::TTOU].contains(&number);
        if wants_terminal && self.take_terminal() {
            // It asked for the terminal while the job was in the foreground.
            let _ = sys::kill_group(self.pid, signal::CONT);
        } else if !sys::is_session_leader(self.guard) {
            // The shell sees the job stop, and continues it.
            let _ = sys::kill(self.guard, signal::STOP);
        } else if number != signal::STOP {
            // Nobody could continue it: for an orphaned process group the kernel ignores such a signal.
            let _ = sys::kill_group(self.pid, signal::CONT);
        }
    }

    /// Hands the terminal to PROGRAM, if the job is in the foreground.
    fn take_terminal(&self) -> bool {
        let is_foreground = sys::foreground_group() == Some(self.group);
        if is_foreground {
            sys::set_foreground_group(self.pid);
        }
        is_foreground
    }
}
