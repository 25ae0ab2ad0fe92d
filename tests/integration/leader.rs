//! A launcher that leads the session of a terminal stands in PROGRAM's place, for which the kernel would have done more.

use crate::sandbox::{LAUNCHER, Sandbox, wait_for};

#[test]
fn a_terminal_that_hangs_up_and_the_end_of_a_program_are_heard_as_without_the_launcher() {
    // It has a terminal of its own, with which it may end; what it says is in a file.
    let leading = "import os, pty, sys, time\n\
        child, terminal = pty.fork()\n\
        if child == 0:\n    \
            os.dup2(os.open('log', os.O_WRONLY | os.O_CREAT | os.O_APPEND), 1)\n    \
            os.execvp(sys.argv[2], sys.argv[2:])\n\
        def wait_for(*lines):\n    \
            while not all(os.path.exists('log') and line in open('log').read() for line in lines):\n        \
                time.sleep(0.02)\n\
        wait_for('program ready', 'server ready')\n\
        if sys.argv[1] == 'hang up':\n    \
            os.close(terminal)\n    \
            wait_for('program HUP', 'program CONT')\n\
        open('go', 'w').close()\n\
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n";
    // Ends when it is asked to, but not before it has said what else it heard.
    let program = "$| = 1; my $end; my $who = fork ? 'program' : 'server';\n\
        for my $name (qw(HUP CONT)) { $SIG{$name} = sub { print \"$who $name\\n\" } }\n\
        $SIG{TERM} = sub { $end = 1 };\n\
        print \"$who ready\\n\";\n\
        until ($end) { exit 3 if $who eq 'program' && -e 'go'; select undef, undef, undef, 0.02 }\n";
    for how in ["hang up", "end"] {
        let heard = |below: &[&str]| {
            let sandbox = Sandbox::new();
            let command = [&["-c", leading, how], below, &["perl", "-e", program]].concat();
            let done = sandbox.command("python3", command).output();
            assert_eq!(done.text(), "3\n", "{how}: {}", done.stderr);
            // Bare, the last may not have said all when the first has ended.
            wait_for("both have heard", || sandbox.read("log").lines().count() == if how == "end" { 3 } else { 6 });
            let mut lines: Vec<String> = sandbox.read("log").lines().map(str::to_owned).collect();
            lines.sort();
            lines
        };
        assert_eq!(heard(&[LAUNCHER, "run", "--"]), heard(&[]), "{how}");
    }
}
