//! A thread that waits in read(2), and how another ends that wait.

use super::raw::{self, call};
use super::{Pid, libc, signal};
use std::ffi::c_int;
use std::io;
use std::ptr;

/// The last of the signals, of which nobody makes use.
const NUMBER: c_int = signal::MAX;

/// A thread of this process in which calls that wait can be interrupted.
#[derive(Clone, Copy)]
pub struct Interruptible(Pid);

impl Interruptible {
    /// This thread, from now on.
    ///
    /// # Errors
    /// EPERM, ENOSYS: a filter of system calls forbids tgkill(2).
    pub fn this_thread() -> io::Result<Interruptible> {
        extern "C" fn nothing(_: c_int) {}
        // SAFETY: the call takes nothing and cannot fail.
        let thread = Interruptible(unsafe { call(raw::GETTID, [0; 5]) }.unwrap_or(0) as Pid);
        thread.send(0)?;
        let one = libc::SigSet::of(NUMBER);
        // SAFETY: the handler does nothing, and the set is valid for the call. A call that was interrupted is not begun
        // again (signal(7)).
        unsafe {
            libc::signal(NUMBER, nothing as *const () as usize);
            libc::siginterrupt(NUMBER, 1);
            libc::pthread_sigmask(libc::SIG_UNBLOCK, &one, ptr::null_mut());
        }
        Ok(thread)
    }

    /// Has the call end in which it waits (EINTR), if it does.
    pub fn interrupt(self) {
        // It can only fail where the thread has ended.
        let _ = self.send(NUMBER);
    }

    fn send(self, number: c_int) -> io::Result<()> {
        let arguments = [super::own_pid() as usize, self.0 as usize, number as usize, 0, 0];
        // SAFETY: no memory is passed.
        unsafe { call(raw::TGKILL, arguments) }.map(drop).map_err(io::Error::from_raw_os_error)
    }
}
