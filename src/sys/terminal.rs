//! The terminal: whether there is one, and how wide it is.

use super::libc;
use std::fs::OpenOptions;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Whether this process has a controlling terminal that has not hung up (tty(4)).
pub fn has_terminal() -> bool {
    OpenOptions::new().read(true).custom_flags(libc::NONBLOCK | libc::O_NOCTTY).open("/dev/tty").is_ok()
}

/// Columns of the terminal `fd`, if it is one.
pub fn terminal_width(fd: BorrowedFd<'_>) -> Option<usize> {
    let mut size = libc::WinSize::default();
    // SAFETY: TIOCGWINSZ fills one winsize.
    let result = unsafe { libc::ioctl(fd.as_raw_fd(), libc::TIOCGWINSZ, &mut size as *mut libc::WinSize) };
    (result == 0 && size.columns > 0).then_some(usize::from(size.columns))
}
