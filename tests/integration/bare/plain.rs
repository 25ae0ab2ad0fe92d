//! Without a terminal.

use super::stage::Place::Plain;
use super::stage::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    ("what is inherited", Plain, "./r SH inherited.sh", "see done"),
    (
        "what is inherited from one who ignores signals",
        Plain,
        "trap '' PIPE HUP USR1 TSTP CHLD INT; ./r SH inherited.sh",
        "see done",
    ),
    (
        "what is inherited beside",
        Plain,
        "umask 027; ulimit -n 100; ulimit -c 0; exec 7<r; nice ./r SH inherited.sh",
        "see done",
    ),
    ("sockets of systemd", Plain, "LISTEN_PID=$$ LISTEN_FDS=1 exec ./r SH inherited.sh", "see done"),
    ("nohup", Plain, "nohup ./r SH inherited.sh", "see done"),
    ("setsid", Plain, "/usr/bin/setsid -w ./r SH inherited.sh", "see done"),
    (
        "input and output",
        Plain,
        "printf 'one\\ntwo' | ./r SH -c 'cat; echo error >&2; exit 3' | cat; echo \"status $?\"",
        "",
    ),
    ("a pipeline that ends early", Plain, "./r yes | head -n 3; echo done", ""),
    (
        "SIGPIPE ignored",
        Plain,
        "trap '' PIPE; (./r perl -e '$| = 1; for (1 .. 100000) { print \"x\\n\" or exit 7 }'; echo \"status $?\" >>seen) | head -n 1",
        "see status 7",
    ),
    ("TERM to it alone", Plain, "exec ./r SH trap.sh", "see ready; send INT top; see INT; send TERM top"),
    (
        "TERM to its group",
        Plain,
        "/usr/bin/setsid -w ./r SH serve.sh",
        "see server ready; send HUP server; see server 1; send 64 server",
    ),
    (
        "TERM to all processes at once",
        Plain,
        "./r perl probe.pl p; echo \"status $?\"",
        "see p ready; send TERM all; see p 15; send USR1 all; see p 10; send 64 p",
    ),
    (
        "signals to its group",
        Plain,
        "/usr/bin/setsid -w ./r perl probe.pl p",
        "see p ready; send INT group; see p 2; send TERM group; see p 15; send USR1 group; see p 10; send 64 top",
    ),
    (
        "signals to its group and to it, as timeout sends them",
        Plain,
        "timeout -k 50 2 ./r perl probe.pl p 4; echo \"status $?\"",
        "see p ready; see p 15; send 64 p",
    ),
    (
        "stop and continue",
        Plain,
        "./r perl probe.pl p",
        "see p ready; send STOP p; stopped top; send CONT p; running top; see p 18; send TERM top; see p 15; send 64 top",
    ),
    (
        "stop and continue, all",
        Plain,
        "/usr/bin/setsid -w ./r perl probe.pl p",
        "see p ready; send STOP group; stopped top; stopped p; send CONT group; running p; running top; see p 18; send INT top; see p 2; send 64 top",
    ),
    (
        "in the background of a script that ends",
        Plain,
        "./r perl probe.pl p >out 2>&1 & ",
        "see p ready; send INT top; send TERM top; see p 15; send 64 p; gone top",
    ),
    (
        "nohup, and the shell goes",
        Plain,
        "nohup ./r perl probe.pl p >out 2>&1 & ",
        "see p ready; send HUP top; send TERM top; see p 15; send 64 p; gone top",
    ),
    (
        "a program that leaves a daemon",
        Plain,
        "./r SH -c 'echo ready >>seen; (sleep 0.1; echo late >>seen) & wait; exit 4'; echo $?",
        "see ready; see late",
    ),
    ("no such program", Plain, "./r SH -c 'no-such-program' 2>/dev/null; echo $?", ""),
    (
        "nested launchers",
        Plain,
        "$UNDER ./r perl probe.pl p; echo $?",
        "see p ready; send TERM top; see p 15; send 64 top",
    ),
    (
        "nested launchers and their group",
        Plain,
        "exec /usr/bin/setsid -w $UNDER ./r perl probe.pl p",
        "see p ready; send INT group; see p 2; send 64 p",
    ),
    ("a terminal of script(1)", Plain, "script -qec './r SH inherited.sh' /dev/null", "see done"),
];
