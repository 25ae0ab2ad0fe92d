//! The kernel, as safe verbs. The only place with `unsafe` and `extern "C"`: std has no fork, signal mask, subreaper,
//! pidfd, epoll or wait for any child, and this crate has no dependencies. Nothing of libc is visible outside.
#![allow(unsafe_code)]

mod beside;
mod child;
mod descriptor;
mod inotify;
mod interrupt;
mod libc;
mod process;
mod raw;
pub mod signal;
pub mod sixteen;
pub mod slice;
mod socket;
mod stack;
mod terminal;
mod unwind;
mod wait;

pub use beside::*;
pub use child::*;
pub use descriptor::*;
pub use inotify::*;
pub use interrupt::*;
pub use process::*;
pub use signal::{Arrived, Origin, SignalState, Signals, block_signals, default_signals, deliver, start_thread};
pub use socket::*;
pub use terminal::*;
pub use wait::*;

use std::io;

/// Whether a call failed because there is no such process (any more).
pub fn is_no_such_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}

/// Whether an error of exec or fork may pass by itself: EAGAIN, ENOMEM, ENFILE, EMFILE, ETXTBSY, and EIO of a network
/// file system. ENOENT, EACCES, ENOEXEC and E2BIG will be the same the next time.
pub fn may_pass(error: &io::Error) -> bool {
    use libc::{EAGAIN, EIO, EMFILE, ENFILE, ENOMEM, ETXTBSY};
    matches!(error.raw_os_error(), Some(EAGAIN | EIO | EMFILE | ENFILE | ENOMEM | ETXTBSY))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_may_pass_is_tried_again() {
        let errors =
            |numbers: &[i32]| numbers.iter().map(|&errno| io::Error::from_raw_os_error(errno)).collect::<Vec<_>>();
        assert!(errors(&[5, 11, 12, 23, 24, 26]).iter().all(may_pass));
        assert!(!errors(&[1, 2, 7, 8, 13, 20, 22, 40]).iter().any(may_pass));
        assert!(!may_pass(&io::ErrorKind::InvalidInput.into()));
    }
}
