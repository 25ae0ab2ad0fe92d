//! Waiting for descriptors: poll(2) and epoll(7).

use super::libc::{self, check};
use super::raw::{self, call};
use std::ffi::{c_int, c_short};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::ptr;
use std::slice;
use std::time::Duration;

/// Milliseconds for epoll_wait(2), rounded up so that a deadline has passed when they return.
fn milliseconds(timeout: Option<Duration>) -> c_int {
    match timeout {
        None => -1,
        Some(timeout) => c_int::try_from(timeout.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX),
    }
}

/// ppoll(2): how many have news. It has its own copy of the time, which is more exact than milliseconds.
fn poll(polled: &mut [libc::PollFd], timeout: Option<Duration>) -> Result<usize, c_int> {
    let seconds = |timeout: Duration| i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX);
    let mut rest = timeout.map(|timeout| [seconds(timeout), timeout.subsec_nanos().into()]);
    let rest = rest.as_mut().map_or(ptr::null_mut(), |rest| rest.as_mut_ptr());
    // SAFETY: `polled` is as long as the count says, `rest` a struct timespec; the signal mask stays.
    match unsafe { call(raw::PPOLL, [polled.as_mut_ptr() as usize, polled.len(), rest as usize, 0, 0]) } {
        Err(errno) if errno != libc::EINTR => poll_by_epoll(polled, timeout),
        outcome => outcome,
    }
}

/// The same by epoll(7), where a filter of system calls denies ppoll(2): for one wait, and as the witness needs it.
#[cold]
fn poll_by_epoll(polled: &mut [libc::PollFd], timeout: Option<Duration>) -> Result<usize, c_int> {
    // SAFETY: no memory is passed; the descriptor returned is ours alone.
    let epoll = unsafe { call(raw::EPOLL_CREATE1, [libc::CLOEXEC as usize, 0, 0, 0, 0]) }?;
    let mut known = 0;
    for (index, fd) in polled.iter_mut().enumerate().filter(|(_, fd)| fd.fd >= 0) {
        let event = libc::EpollEvent { events: fd.events as u32, data: index as u64 };
        let arguments = [epoll, libc::EPOLL_CTL_ADD as usize, fd.fd as usize, &raw const event as usize, 0];
        // SAFETY: `event` is valid for the call.
        if unsafe { call(raw::EPOLL_CTL, arguments) }.is_err() {
            // What cannot be waited for, such as a file, is always ready.
            fd.revents = fd.events;
            known += 1;
        }
    }
    let timeout = if known > 0 { Some(Duration::ZERO) } else { timeout };
    let mut events = [libc::EpollEvent { events: 0, data: 0 }; 16];
    let arguments = [epoll, events.as_mut_ptr() as usize, events.len(), milliseconds(timeout) as usize, 0];
    // SAFETY: `events` is as long as the count says, and the last argument is no signal mask; the descriptor is ours.
    let count = unsafe {
        let count = call(raw::EPOLL_PWAIT, arguments);
        let _ = call(raw::CLOSE, [epoll, 0, 0, 0, 0]);
        count
    }?;
    for event in events.iter().take(count) {
        if let Some(fd) = polled.get_mut(event.data as usize) {
            fd.revents = event.events as i16;
        }
    }
    Ok(known + count)
}

/// Waits until one of `fds` can be read or has ended, at most `timeout` (`None`: for ever), and says which.
///
/// # Errors
/// ENOMEM, as poll(2) has it. An interruption is a wait that found nothing.
pub fn wait_readable<const N: usize>(
    fds: [Option<BorrowedFd<'_>>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    wait_for(fds.map(|fd| fd.map(|fd| (fd, Interest::Readable))), timeout)
}

/// As [`wait_readable`], for news of other kinds as well.
///
/// # Errors
/// As [`wait_readable`].
pub fn wait_for<const N: usize>(
    sources: [Option<(BorrowedFd<'_>, Interest)>; N],
    timeout: Option<Duration>,
) -> io::Result<[bool; N]> {
    // A negative descriptor is passed over by poll(2).
    let nothing = libc::PollFd { fd: -1, events: 0, revents: 0 };
    let mut polled = sources.map(|source| source.map_or(nothing, |(fd, interest)| interest.polled(fd)));
    match poll(&mut polled, timeout) {
        Err(libc::EINTR) => Ok([false; N]),
        Err(errno) => Err(io::Error::from_raw_os_error(errno)),
        Ok(_) => Ok(polled.map(|fd| fd.revents != 0)),
    }
}

/// As [`wait_readable`], for any number of descriptors.
///
/// # Errors
/// ENOMEM, EINVAL (more than may be open), as poll(2) has them.
pub fn wait_any_readable(fds: &[BorrowedFd<'_>], timeout: Option<Duration>) -> io::Result<Vec<bool>> {
    let mut polled: Vec<libc::PollFd> = fds.iter().map(|fd| Interest::Readable.polled(*fd)).collect();
    match poll(&mut polled, timeout) {
        Err(errno) if errno != libc::EINTR => Err(io::Error::from_raw_os_error(errno)),
        _ => Ok(polled.iter().map(|fd| fd.revents != 0).collect()),
    }
}

/// Waits until `fd` takes bytes, at most `timeout` (`None`: for ever), and says whether it does. Where poll(2) fails it
/// is said to: the write shows what is the matter.
pub fn wait_writable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> bool {
    poll(slice::from_mut(&mut Interest::Writable.polled(fd)), timeout) != Ok(0)
}

/// What is waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// Bytes, or the end.
    Readable,
    /// The end of the other side alone: bytes are not ours to read.
    HangUp,
    /// Room for bytes.
    Writable,
}

impl Interest {
    /// As both poll(2) and epoll_ctl(2) have it. The end of the other side is told in any case.
    fn events(self) -> c_short {
        match self {
            Interest::Readable => libc::POLLIN,
            Interest::HangUp => libc::POLLRDHUP,
            Interest::Writable => libc::POLLOUT,
        }
    }

    fn polled(self, fd: BorrowedFd<'_>) -> libc::PollFd {
        libc::PollFd { fd: fd.as_raw_fd(), events: self.events(), revents: 0 }
    }
}

/// Whether `fd` has news of this kind now.
pub fn is_ready(fd: BorrowedFd<'_>, interest: Interest) -> bool {
    matches!(poll(slice::from_mut(&mut interest.polled(fd)), Some(Duration::ZERO)), Ok(1..))
}

/// A set of descriptors to wait for, each with a token (epoll(7), level-triggered).
pub struct Epoll(OwnedFd);

impl Epoll {
    /// # Errors
    /// EMFILE, ENFILE, ENOMEM.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: no memory is passed; the descriptor returned is ours alone.
        unsafe { Ok(Epoll(OwnedFd::from_raw_fd(check(libc::epoll_create1(libc::CLOEXEC))?))) }
    }

    /// # Errors
    /// ENOMEM, ENOSPC, as epoll_ctl(2) has them.
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64) -> io::Result<()> {
        self.watch(fd, token, Interest::Readable)
    }

    /// # Errors
    /// As [`Epoll::add`], and EPERM for what cannot be waited for, such as a file.
    pub fn watch(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::EpollEvent { events: interest.events() as u32, data: token };
        // SAFETY: `event` is valid for the call.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_ADD, fd.as_raw_fd(), &mut event) }).map(drop)
    }

    /// Takes `fd` out of the set. Closing alone is not enough: a child between fork and exec may hold it too.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // SAFETY: DEL ignores the event, which may be null.
        unsafe { libc::epoll_ctl(self.0.as_raw_fd(), libc::EPOLL_CTL_DEL, fd.as_raw_fd(), ptr::null_mut()) };
    }

    /// Puts the tokens of the descriptors that are ready into `tokens`, waiting for the first at most `timeout`.
    ///
    /// # Errors
    /// What a filter of system calls gives. An interruption is a wait that found nothing.
    pub fn wait(&self, tokens: &mut Vec<u64>, timeout: Option<Duration>) -> io::Result<()> {
        let mut events = MaybeUninit::<[libc::EpollEvent; 64]>::uninit();
        tokens.clear();
        let place = events.as_mut_ptr() as usize;
        let arguments = [self.0.as_raw_fd() as usize, place, 64, milliseconds(timeout) as usize, 0];
        // SAFETY: `events` has room for 64 elements, and the last argument is no signal mask.
        match unsafe { call(raw::EPOLL_PWAIT, arguments) } {
            Err(libc::EINTR) => Ok(()),
            Err(errno) => Err(io::Error::from_raw_os_error(errno)),
            Ok(count) => {
                // SAFETY: the kernel has written so many.
                let events = unsafe { slice::from_raw_parts(events.as_ptr().cast::<libc::EpollEvent>(), count) };
                tokens.extend(events.iter().map(|event| event.data));
                Ok(())
            }
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
