//! A process beside this one, for next to nothing: it shares our memory where the kernel offers that, as a thread does,
//! while signals come to it, and it is stopped and ends, like any process.

use super::raw::{self, call};
use super::stack::Stack;
use super::{Pid, close_all_but, die_when_parent_ends, own_pid, parent_pid};
use std::ffi::c_void;
use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};

/// What the process uses.
struct Beside {
    fd: RawFd,
    work: fn(OwnedFd),
    parent: Pid,
    stack: Stack,
}

/// Starts a child that does `work` and ends; it ends with us, too (PR_SET_PDEATHSIG). Of our descriptors it has this one
/// and the standard streams.
///
/// `work` must not panic, nor allocate, nor call what of libc may fail or takes a lock: `errno` and the heap are ours.
/// What it uses is never freed.
///
/// # Errors
/// EAGAIN and ENOMEM, as mmap(2) and clone(2) have them.
pub fn start_beside(fd: OwnedFd, work: fn(OwnedFd)) -> io::Result<Pid> {
    let beside = Box::leak(Box::new(Beside { fd: fd.as_raw_fd(), work, parent: own_pid(), stack: Stack::new()? }));
    let argument: *const Beside = beside;
    // SAFETY: nobody else uses `beside`, which is never freed, nor the stack in it.
    unsafe { beside.stack.start(true, run, argument.cast_mut().cast()) }
}

/// # Safety
/// `beside` is a [`Beside`] that nobody else uses, and this the process that was started with it.
unsafe extern "C" fn run(beside: *mut c_void) -> ! {
    // SAFETY: as the caller has it; the descriptor is this process' own copy.
    let (beside, fd) = unsafe {
        let beside = &*beside.cast::<Beside>();
        (beside, OwnedFd::from_raw_fd(beside.fd))
    };
    die_when_parent_ends();
    close_all_but(fd.as_fd());
    // prctl(2): a parent that ended before the call is not noticed by it.
    if parent_pid() == beside.parent {
        (beside.work)(fd);
    }
    loop {
        // SAFETY: no memory is passed, and the call does not return.
        let _ = unsafe { call(raw::EXIT_GROUP, [0; 5]) };
    }
}
