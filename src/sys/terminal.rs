//! The terminal: whether there is one, and how wide it is.

use super::{libc, open_options};
use std::fs::File;
use std::os::fd::{AsRawFd, BorrowedFd};

/// Whether this process has a controlling terminal that has not hung up (tty(4)).
pub fn has_terminal() -> bool {
    open_terminal().is_some()
}

fn open_terminal() -> Option<File> {
    open_options(false).read(true).open("/dev/tty").ok()
}

/// Whether the process group of this process is in the foreground of its controlling terminal (tcgetpgrp(3)).
pub fn is_in_foreground() -> bool {
    let Some(terminal) = open_terminal() else { return false };
    // SAFETY: no memory is passed.
    unsafe { libc::tcgetpgrp(terminal.as_raw_fd()) == libc::getpgrp() }
}

/// Columns of the terminal `fd`, if it is one.
pub fn terminal_width(fd: BorrowedFd<'_>) -> Option<usize> {
    let mut size = libc::WinSize::default();
    // SAFETY: TIOCGWINSZ fills one winsize.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size as *mut libc::WinSize) };
    (result == 0 && size.columns > 0).then_some(usize::from(size.columns))
}
