//! PROGRAM. It stays in the process group and session in which our caller started us, as it would be without us, so that
//! the terminal, its keys and the shell's job control act on it directly:
//!
//! - A key that sends a signal, `kill -- -PGID` and `fg` reach the whole group: PROGRAM, what it started, and the guard,
//!   which passes on only what came to it alone (tcsetpgrp(3), kill(2); `witness` tells which is which).
//! - The terminal stays with the group that the shell gave it to: nothing here calls tcsetpgrp(3). Whoever reads from it
//!   in the background is stopped by the kernel (SIGTTIN; SIGTTOU with `tostop`, termios(3)), as without us.
//! - When PROGRAM stops the guard stops itself by the same signal, as that is what the shell waits for (waitpid(2),
//!   WUNTRACED); when PROGRAM alone is continued, so is the guard.
//! - The supervisor, PROGRAM's parent, is in a session of its own. Else the group would count as one that somebody can
//!   continue, and Ctrl-Z would stop it for good where PROGRAM's session has no shell (setpgid(2), orphaned process group).
//!
//! What the kernel does for the leader of a session, which the guard may be in PROGRAM's place, is done here:
//!
//! - A terminal that hangs up sends SIGHUP and SIGCONT to the leader alone (tty_signal_session_leader() in Linux'
//!   drivers/tty/tty_jobctrl.c): PROGRAM gets both, at once.
//! - When the leader ends, the foreground of its terminal gets SIGHUP; where that had hung up, what was its foreground gets
//!   SIGHUP and SIGCONT (disassociate_ctty() in the same file, setsid(2)). With PROGRAM's end so does our group. It is the
//!   foreground: a shell with job control gives the terminal back before it ends.

use super::above::Above;
use crate::link::Report;
use crate::sys::{self, Change, Outcome, Pid, signal};

/// PROGRAM, as the supervisor sees it.
pub struct Job {
    pid: Pid,
    /// Until it is known to have been executed.
    pub outcome: Option<Outcome>,
    end: Option<Change>,
    /// The guard leads the session of a terminal.
    leads: bool,
    has_hung_up: bool,
}

impl Job {
    /// A program that was just forked, by a process that is still in its session.
    pub fn new(pid: Pid, outcome: Outcome, above: &Above) -> Job {
        let leads = sys::session_of(0) == Some(above.guard()) && sys::has_terminal();
        Job { pid, outcome: Some(outcome), end: None, leads, has_hung_up: false }
    }

    pub fn pid(&self) -> Pid {
        self.pid
    }

    pub fn is_running(&self) -> bool {
        self.end.is_none()
    }

    /// Whether this child is PROGRAM. Not once it has ended: its number may then be another's.
    pub fn is(&self, pid: Pid) -> bool {
        self.pid == pid && self.is_running()
    }

    /// Passes on a signal that was sent to the launcher.
    pub fn pass_on(&self, number: i32) {
        if self.is_running() {
            let _ = sys::kill(self.pid, number);
        }
    }

    /// The terminal that the guard's session had is gone.
    pub fn note_hang_up(&mut self) {
        self.has_hung_up = true;
        self.pass_on(signal::HUP);
        self.pass_on(signal::CONT);
    }

    pub fn note_end(&mut self, change: Change, above: &Above) {
        self.end = Some(change);
        if let Some(group) = above.living_guard().filter(|_| self.leads).and_then(sys::group_of) {
            let _ = sys::kill_group(group, signal::HUP);
            if self.has_hung_up {
                let _ = sys::kill_group(group, signal::CONT);
            }
        }
        above.tell(&Report::ProgramEnded(change));
    }

    pub fn note_stop(&self, number: i32, above: &Above) {
        match number {
            // From here, as its continuation, so that neither overtakes the other.
            signal::STOP => above.signal_guard(signal::STOP),
            number => above.tell(&Report::ProgramStopped(number)),
        }
    }

    pub fn note_continuation(&self, above: &Above) {
        above.signal_guard(signal::CONT);
    }
}
