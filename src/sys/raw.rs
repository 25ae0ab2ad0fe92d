//! System calls without libc, which would leave the error of each in `errno`: who shares our memory shares that as well.
//! An error is the number that the kernel returned.

use std::arch::asm;
use std::ffi::{c_int, c_void};

/// The numbers of calls, which are another architecture's own.
#[cfg(target_arch = "x86_64")]
mod number {
    pub const CLONE: usize = 56;
    pub const READ: usize = 0;
    pub const WRITE: usize = 1;
    pub const CLOSE: usize = 3;
    pub const RT_SIGACTION: usize = 13;
    pub const RT_SIGPROCMASK: usize = 14;
    pub const WRITEV: usize = 20;
    pub const GETPID: usize = 39;
    pub const EXECVE: usize = 59;
    pub const KILL: usize = 62;
    pub const FCNTL: usize = 72;
    pub const SETPGID: usize = 109;
    pub const GETPPID: usize = 110;
    pub const SETPRIORITY: usize = 141;
    pub const PRCTL: usize = 157;
    pub const GETTID: usize = 186;
    pub const EXIT_GROUP: usize = 231;
    pub const EPOLL_CTL: usize = 233;
    pub const TGKILL: usize = 234;
    pub const OPENAT: usize = 257;
    pub const PPOLL: usize = 271;
    pub const EPOLL_PWAIT: usize = 281;
    pub const SIGNALFD4: usize = 289;
    pub const EPOLL_CREATE1: usize = 291;
    pub const DUP3: usize = 292;
    pub const PRLIMIT64: usize = 302;
    pub const PWRITEV2: usize = 328;
    pub const PIDFD_OPEN: usize = 434;
    pub const CLOSE_RANGE: usize = 436;
}

#[cfg(target_arch = "aarch64")]
mod number {
    pub const EPOLL_CREATE1: usize = 20;
    pub const EPOLL_CTL: usize = 21;
    pub const EPOLL_PWAIT: usize = 22;
    pub const DUP3: usize = 24;
    pub const FCNTL: usize = 25;
    pub const OPENAT: usize = 56;
    pub const CLOSE: usize = 57;
    pub const READ: usize = 63;
    pub const WRITE: usize = 64;
    pub const WRITEV: usize = 66;
    pub const PPOLL: usize = 73;
    pub const SIGNALFD4: usize = 74;
    pub const EXIT_GROUP: usize = 94;
    pub const KILL: usize = 129;
    pub const TGKILL: usize = 131;
    pub const RT_SIGACTION: usize = 134;
    pub const RT_SIGPROCMASK: usize = 135;
    pub const SETPRIORITY: usize = 140;
    pub const SETPGID: usize = 154;
    pub const PRCTL: usize = 167;
    pub const GETPID: usize = 172;
    pub const GETPPID: usize = 173;
    pub const GETTID: usize = 178;
    pub const CLONE: usize = 220;
    pub const EXECVE: usize = 221;
    pub const PRLIMIT64: usize = 261;
    pub const PWRITEV2: usize = 287;
    pub const PIDFD_OPEN: usize = 434;
    pub const CLOSE_RANGE: usize = 436;
}

pub use number::*;

/// Makes a call, of which the arguments that it does not take are ignored.
///
/// # Safety
/// As the call has it.
#[inline(always)]
pub unsafe fn call(number: usize, arguments: [usize; 5]) -> Result<usize, c_int> {
    let [a, b, c, d, e] = arguments;
    let result: isize;
    // SAFETY: the registers are those of the kernel's convention; what the call does is the caller's to answer for.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as isize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e,
            out("rcx") _, out("r11") _, options(nostack)
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            in("x8") number, inlateout("x0") a as isize => result,
            in("x1") b, in("x2") c, in("x3") d, in("x4") e, options(nostack)
        );
    }
    outcome(result)
}

/// What a process that was started does, on a stack of its own.
pub type Entry = unsafe extern "C" fn(*mut c_void) -> !;

/// Starts a process by clone(2), which calls `entry` with `argument`, and returns its pid.
///
/// # Safety
/// `stack` is the upper end, a multiple of sixteen, of memory that is nobody else's. Both it and what `entry` uses live
/// until the process has ended or executed another program.
pub unsafe fn start(flags: usize, stack: *mut c_void, entry: Entry, argument: *mut c_void) -> Result<usize, c_int> {
    let result: isize;
    let nothing = 0usize;
    // SAFETY: in the parent this is a plain system call; the child never leaves the block but into `entry`.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "test rax, rax",
            "jnz 2f",
            "xor ebp, ebp",
            "mov rdi, r12",
            "call r13",
            "2:",
            inlateout("rax") CLONE as isize => result,
            in("rdi") flags, in("rsi") stack, in("rdx") nothing, in("r10") nothing, in("r8") nothing,
            in("r12") argument, in("r13") entry, out("rcx") _, out("r11") _
        );
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            "cbnz x0, 2f",
            "mov x29, xzr",
            "mov x0, x20",
            "blr x21",
            "2:",
            in("x8") CLONE, inlateout("x0") flags as isize => result,
            in("x1") stack, in("x2") nothing, in("x3") nothing, in("x4") nothing,
            in("x20") argument, in("x21") entry, out("x30") _
        );
    }
    outcome(result)
}

/// Writes the four bytes at `word` to `fd` and ends this process. Whoever reads them may free its memory at once: nothing
/// of it, and no stack, is used from then on.
///
/// # Safety
/// `word` points to four bytes.
pub unsafe fn write_and_exit(fd: c_int, word: *const c_int) -> ! {
    // SAFETY: both calls are made from registers alone, and the second does not return.
    #[cfg(target_arch = "x86_64")]
    unsafe {
        asm!(
            "syscall",
            "mov eax, {exit}",
            "mov edi, 127",
            "syscall",
            "ud2",
            exit = const EXIT_GROUP,
            in("rax") WRITE, in("rdi") fd as usize, in("rsi") word, in("rdx") 4usize, options(noreturn)
        )
    }
    // SAFETY: as above.
    #[cfg(target_arch = "aarch64")]
    unsafe {
        asm!(
            "svc 0",
            "mov x8, #{exit}",
            "mov x0, #127",
            "svc 0",
            "brk #1",
            exit = const EXIT_GROUP,
            in("x8") WRITE, in("x0") fd as usize, in("x1") word, in("x2") 4usize, options(noreturn)
        )
    }
}

/// The kernel returns an error as its negated number.
#[inline(always)]
fn outcome(result: isize) -> Result<usize, c_int> {
    if (-4095..0).contains(&result) { Err(-result as c_int) } else { Ok(result as usize) }
}
