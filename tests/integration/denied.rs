//! Where a filter of system calls denies one.

use crate::sandbox::{LAUNCHER, Sandbox};
use std::os::unix::process::ExitStatusExt;

/// Denies the system call of the number that comes first, as kernels that have none of it do, and runs the rest of its
/// arguments.
pub const DENYING: &str = "import ctypes, os, struct, sys\n\
    PR_SET_NO_NEW_PRIVS, PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 38, 22, 2\n\
    LOAD, EQUAL, RETURN, DENY_WITH_ENOSYS, ALLOW = 0x20, 0x15, 0x06, 0x50026, 0x7fff0000\n\
    number = int(sys.argv[1])\n\
    code = [(LOAD, 0, 0, 0), (EQUAL, 0, 1, number), (RETURN, 0, 0, DENY_WITH_ENOSYS), (RETURN, 0, 0, ALLOW)]\n\
    code = ctypes.create_string_buffer(b''.join(struct.pack('=HBBI', *line) for line in code))\n\
    program = struct.pack('@HP', 4, ctypes.addressof(code))\n\
    libc = ctypes.CDLL(None, use_errno=True)\n\
    assert libc.prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0\n\
    assert libc.prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, program, 0, 0) == 0\n\
    assert libc.syscall(number, -1, 0, 0, 0, 0) == -1 and ctypes.get_errno() == 38\n\
    os.execvp(sys.argv[2], sys.argv[2:])\n";

pub const PIDFD_OPEN: &str = "434";
const PPOLL: &str = if cfg!(target_arch = "x86_64") { "271" } else { "73" };
const EPOLL_PWAIT: &str = if cfg!(target_arch = "x86_64") { "281" } else { "22" };

#[test]
fn where_one_way_of_waiting_is_denied_there_is_another() {
    for denied in [PPOLL, EPOLL_PWAIT] {
        let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho here\n"), ("all_y.sh", "#!/bin/sh\nsleep 0.1\n")]);
        let run = |options: &[&str]| {
            let command = sandbox.command("python3", ["-c", DENYING, denied, LAUNCHER, "run", "--grace-period", "20"]);
            command.args(options).start()
        };
        let done = run(&["plugins"]).wait();
        assert_eq!(done.status.code(), Some(0), "{denied}: {}", done.stderr);
        assert!(done.text().contains("[all_x.sh] here\n") && done.text().ends_with("] stopped\n"), "{}", done.text());
        sandbox.plugin("all_y.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n");
        let running = run(&["--watch", "--control", "socket", "plugins", "--", "sleep", "1000"]);
        running.wait_for_stdout("[all_y.sh] ready");
        let asked = sandbox.launcher(["status", "--control", "socket", "all_y.sh"]).output();
        assert_eq!(asked.status.code(), Some(0), "{denied}: {}", asked.stderr);
        sandbox.plugin("all_z.sh", "#!/bin/sh\necho seen\n");
        running.wait_for_stdout("[all_z.sh] seen");
        std::fs::remove_file(sandbox.path("plugins/all_z.sh")).expect("the plugin is there");
        running.signal("TERM");
        assert_eq!(running.wait().status.signal(), Some(15), "{denied}");
        let done = run(&["--quiet", "plugins", "--", "sh", "-c", "sleep 0.1; exit 7"]).wait();
        assert_eq!(done.status.code(), Some(7), "{denied}: PROGRAM's own");
        let running = run(&["plugins"]);
        running.wait_for_stdout("] ready");
        running.signal("TERM");
        assert_eq!(running.wait().status.code(), Some(0), "{denied}");
        sandbox.assert_nothing_left(std::time::Duration::ZERO);
    }
}
