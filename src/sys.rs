//! The kernel, as safe verbs. The only place with `unsafe` and `extern "C"`: std has no fork, signal mask, subreaper,
//! pidfd, epoll or wait for any child, and this crate has no dependencies. Nothing of libc is visible outside.
#![allow(unsafe_code)]

mod child;
mod descriptor;
mod inotify;
mod libc;
mod process;
pub mod signal;
pub mod sixteen;
pub mod slice;
mod terminal;
mod unwind;
mod wait;

pub use child::*;
pub use descriptor::*;
pub use inotify::*;
pub use process::*;
pub use signal::{Arrived, Origin, SignalState, Signals, block_signals, block_signals_of_thread, deliver};
pub use terminal::*;
pub use wait::*;

use std::io;

/// Whether a call failed because there is no such process (any more).
pub fn is_no_such_process(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ESRCH)
}
