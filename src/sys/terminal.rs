//! The terminal: who is in its foreground, and how wide it is.

use super::Pid;
use super::libc::{self, check};
use std::os::fd::{AsRawFd, BorrowedFd};

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
