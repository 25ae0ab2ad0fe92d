//! Stacks for processes that share our memory, as every process that we start does until it executes its program, where
//! the kernel offers that.

use super::raw::{self, Entry};
use super::{Pid, libc, signal};
use std::ffi::c_void;
use std::io;
use std::ptr;
use std::sync::atomic::{AtomicPtr, Ordering};

/// Pages of its own.
pub struct Stack(*mut c_void);

/// Stacks that nobody uses. As a rule one child has not executed its image yet when the next is started; pages that are
/// mapped and unmapped for each cost several per cent of a start, as every processor has to forget them.
static SPARE: [AtomicPtr<c_void>; 4] = [const { AtomicPtr::new(ptr::null_mut()) }; 4];

impl Stack {
    /// In bytes. A child needs a few hundred, the witness with its words and its memory some six thousand.
    const SIZE: usize = 16 * 1024;

    pub fn new() -> io::Result<Stack> {
        let spare =
            SPARE.iter().map(|place| place.swap(ptr::null_mut(), Ordering::Relaxed)).find(|pages| !pages.is_null());
        if let Some(pages) = spare {
            return Ok(Stack(pages));
        }
        let (access, kind) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: new pages are nobody else's.
        let pages = unsafe { libc::mmap(ptr::null_mut(), Stack::SIZE, access, kind, -1, 0) };
        if pages == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Stack(pages)) }
    }

    /// Starts a process on this stack: in our memory where that is wanted and the kernel offers it, else in a copy.
    ///
    /// # Errors
    /// As clone(2) has them.
    ///
    /// # Safety
    /// The stack, on which nothing else runs, and what `entry` uses live until the process has ended or executed another
    /// program. In our memory `entry` calls nothing of libc that may fail or takes a lock, and allocates nothing.
    pub unsafe fn start(&self, shares_memory: bool, entry: Entry, argument: *mut c_void) -> io::Result<Pid> {
        // It grows downward.
        let end = self.0.wrapping_byte_add(Stack::SIZE);
        // SAFETY: as the caller has it; the end of pages is a multiple of sixteen.
        let start = |shared| unsafe { raw::start(signal::CHLD as usize | shared, end, entry, argument) };
        let started = start(if shares_memory { libc::CLONE_VM } else { 0 }).or_else(|errno| match errno {
            // User-mode emulators and filters of system calls know memory that is shared by threads alone.
            libc::EINVAL | libc::ENOSYS | libc::EPERM if shares_memory => start(0),
            errno => Err(errno),
        });
        started.map(|pid| pid as Pid).map_err(io::Error::from_raw_os_error)
    }
}

impl Drop for Stack {
    fn drop(&mut self) {
        let none = ptr::null_mut();
        let keep = |place: &AtomicPtr<c_void>| {
            place.compare_exchange(none, self.0, Ordering::Relaxed, Ordering::Relaxed).is_ok()
        };
        if SPARE.iter().any(keep) {
            return;
        }
        // SAFETY: the pages are those that were mapped.
        unsafe { libc::munmap(self.0, Stack::SIZE) };
    }
}
