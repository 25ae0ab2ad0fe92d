//! What is called of libc, and the constants of Linux that go with it. The same on every architecture that is supported.

use std::ffi::{c_char, c_int, c_long, c_short, c_uint, c_ulong, c_ushort, c_void};
use std::io;

pub const SIG_DFL: usize = 0;
pub const SIG_IGN: usize = 1;
pub const SIG_SETMASK: c_int = 2;
pub const SIG_UNBLOCK: c_int = 1;
pub const PR_SET_PDEATHSIG: c_int = 1;
pub const PR_SET_DUMPABLE: c_int = 4;
pub const PR_SET_NAME: c_int = 15;
pub const PR_SET_CHILD_SUBREAPER: c_int = 36;
pub const RWF_NOWAIT: c_int = 8;
pub const CLOSE_RANGE_CLOEXEC: c_uint = 4;
pub const CLONE_VM: usize = 0x100;
pub const AT_EXECFN: c_ulong = 31;
pub const AT_FDCWD: c_int = -100;
pub const WNOHANG: c_int = 1;
pub const WUNTRACED: c_int = 2;
pub const WEXITED: c_int = 4;
pub const WCONTINUED: c_int = 8;
pub const WNOWAIT: c_int = 0x0100_0000;
pub const WALL: c_int = 0x4000_0000;
pub const P_PID: c_int = 1;
pub const EPERM: c_int = 1;
pub const ENOENT: c_int = 2;
pub const ESRCH: c_int = 3;
pub const EINTR: c_int = 4;
pub const EBADF: c_int = 9;
pub const EIO: c_int = 5;
pub const ENOEXEC: c_int = 8;
pub const ECHILD: c_int = 10;
pub const EAGAIN: c_int = 11;
pub const ENOMEM: c_int = 12;
pub const EACCES: c_int = 13;
pub const ENOTDIR: c_int = 20;
pub const ELOOP: c_int = 40;
pub const ENOSYS: c_int = 38;
pub const EINVAL: c_int = 22;
pub const ENFILE: c_int = 23;
pub const EMFILE: c_int = 24;
pub const ETXTBSY: c_int = 26;
pub const FIONREAD: c_ulong = 0x541b;
pub const TIOCGWINSZ: c_ulong = 0x5413;
pub const LOCK_EX: c_int = 2;
pub const LOCK_NB: c_int = 4;
pub const F_GETFD: c_int = 1;
pub const F_SETFD: c_int = 2;
pub const F_GETFL: c_int = 3;
pub const F_SETFL: c_int = 4;
pub const F_DUPFD_CLOEXEC: c_int = 1030;
pub const F_SETPIPE_SZ: c_int = 1031;
pub const F_GETPIPE_SZ: c_int = 1032;
pub const FD_CLOEXEC: c_int = 1;
pub const CLOEXEC: c_int = 0o2_000_000;
pub const NONBLOCK: c_int = 0o4000;
pub const O_NOCTTY: c_int = 0o400;
pub const O_WRONLY: c_int = 1;
pub const POLLIN: c_short = 1;
pub const POLLOUT: c_short = 4;
pub const POLLRDHUP: c_short = 0x2000;
pub const AF_UNIX: c_ushort = 1;
pub const SOCK_STREAM: c_int = 1;
pub const SOL_SOCKET: c_int = 1;
pub const SO_PEERCRED: c_int = 17;
pub const EPOLL_CTL_ADD: c_int = 1;
pub const EPOLL_CTL_DEL: c_int = 2;
pub const RLIMIT_STACK: c_int = 3;
pub const RLIMIT_CORE: c_int = 4;
pub const RLIMIT_NOFILE: c_int = 7;
pub const RLIMIT_RTTIME: c_int = 15;
pub const PROT_READ: c_int = 1;
pub const PROT_WRITE: c_int = 2;
pub const MAP_PRIVATE: c_int = 2;
pub const MAP_ANONYMOUS: c_int = 0x20;
pub const MAP_FAILED: *mut c_void = usize::MAX as *mut c_void;
pub const PRIO_PROCESS: c_int = 0;

/// The first word is what the kernel reads. Made by hand, as sigfillset(3) leaves out what libc keeps for itself,
/// such as 34 in musl, which is everybody else's SIGRTMIN.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct SigSet(pub [u64; 16]);

impl SigSet {
    pub const EMPTY: SigSet = SigSet([0; 16]);
    pub const FULL: SigSet = SigSet([u64::MAX; 16]);

    /// That with this signal alone.
    pub const fn of(number: c_int) -> SigSet {
        let mut one = SigSet::EMPTY;
        one.0[0] |= 1 << (number - 1);
        one
    }
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct PollFd {
    pub fd: c_int,
    pub events: c_short,
    pub revents: c_short,
}

#[repr(C)]
#[cfg_attr(target_arch = "x86_64", repr(packed))]
#[derive(Clone, Copy)]
pub struct EpollEvent {
    pub events: u32,
    pub data: u64,
}

#[repr(C)]
#[derive(Clone, Copy)]
pub struct RLimit {
    pub soft: u64,
    pub hard: u64,
}

#[repr(C)]
#[derive(Default)]
pub struct WinSize {
    pub rows: u16,
    pub columns: u16,
    pub x: u16,
    pub y: u16,
}

#[repr(C)]
pub struct SocketAddress {
    pub family: c_ushort,
    pub path: [u8; 108],
}

unsafe extern "C" {
    pub fn fork() -> c_int;
    pub fn getpgrp() -> c_int;
    pub fn getpgid(pid: c_int) -> c_int;
    pub fn getsid(pid: c_int) -> c_int;
    pub fn setsid() -> c_int;
    pub fn tcgetpgrp(fd: c_int) -> c_int;
    pub fn geteuid() -> c_uint;
    pub fn umask(mask: c_uint) -> c_uint;
    pub fn socket(family: c_int, kind: c_int, protocol: c_int) -> c_int;
    pub fn connect(fd: c_int, address: *const SocketAddress, length: c_uint) -> c_int;
    pub fn getsockopt(fd: c_int, level: c_int, name: c_int, value: *mut c_void, length: *mut c_uint) -> c_int;
    pub fn waitid(kind: c_int, id: c_uint, info: *mut c_void, options: c_int) -> c_int;
    pub fn waitpid(pid: c_int, status: *mut c_int, options: c_int) -> c_int;
    pub fn getauxval(kind: c_ulong) -> c_ulong;
    pub static environ: *const *const c_char;
    pub fn syscall(number: c_long, ...) -> c_long;
    pub fn signal(number: c_int, handler: usize) -> usize;
    pub fn siginterrupt(number: c_int, interrupts: c_int) -> c_int;
    pub fn pthread_sigmask(how: c_int, new: *const SigSet, old: *mut SigSet) -> c_int;
    pub fn mmap(at: *mut c_void, length: usize, access: c_int, kind: c_int, fd: c_int, offset: i64) -> *mut c_void;
    pub fn munmap(at: *mut c_void, length: usize) -> c_int;
    pub fn epoll_create1(flags: c_int) -> c_int;
    pub fn epoll_ctl(epoll: c_int, operation: c_int, fd: c_int, event: *mut EpollEvent) -> c_int;
    pub fn inotify_init1(flags: c_int) -> c_int;
    pub fn inotify_add_watch(fd: c_int, path: *const c_char, mask: c_uint) -> c_int;
    pub fn flock(fd: c_int, operation: c_int) -> c_int;
    pub fn fcntl(fd: c_int, command: c_int, ...) -> c_int;
    pub fn ioctl(fd: c_int, request: c_ulong, ...) -> c_int;
    pub fn _exit(status: c_int) -> !;
    pub fn getrlimit(resource: c_int, limit: *mut RLimit) -> c_int;
    pub fn setrlimit(resource: c_int, limit: *const RLimit) -> c_int;
    pub fn getpriority(which: c_int, who: c_uint) -> c_int;
}

/// The result of a call, or the error that it left.
pub fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
