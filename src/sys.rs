//! The kernel, as safe verbs. The only place with `unsafe` and `extern "C"`: std has no fork, signal mask, subreaper,
//! pidfd, epoll or wait for any child, and this crate has no dependencies. Nothing of libc is visible outside.
#![allow(unsafe_code)]

mod child;
mod descriptor;
mod libc;
mod process;
pub mod signal;
pub mod sixteen;
mod terminal;
mod unwind;
mod wait;

pub use child::*;
pub use descriptor::*;
pub use process::*;
pub use signal::{Arrived, SignalState, Signals, block_signals};
pub use terminal::*;
pub use wait::*;

use std::io;

/// The error that a syscall gives for an argument it does not take.
pub fn invalid_argument() -> io::Error {
    io::Error::from_raw_os_error(libc::EINVAL)
}
