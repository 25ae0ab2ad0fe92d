//! Leading a session on a terminal, as with `docker run -it`.

use super::stage::Place::Leader;
use super::stage::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    ("what the leader inherits", Leader, "exec ./r SH inherited.sh", "see done"),
    ("what another inherits", Leader, "./r SH inherited.sh", "see done"),
    ("setsid, without the terminal", Leader, "/usr/bin/setsid -w ./r SH inherited.sh", "see done"),
    ("Ctrl-C", Leader, "exec ./r SH sleep.sh", "see ready; key C"),
    ("Ctrl-C, the output in a file", Leader, "exec ./r SH sleep.sh >log", "see ready; key C"),
    ("Ctrl-C, a pipeline", Leader, "./r SH sleep.sh | tee log", "see ready; key C"),
    (
        "Ctrl-C for one that counts",
        Leader,
        "exec ./r perl probe.pl p 7",
        "see p ready; key C; see p 2; key C; see p 2; key \\; see p 3; send 64 top",
    ),
    (
        "Ctrl-C for an entry script that counts",
        Leader,
        "exec ./r SH serve.sh",
        "see server ready; key C; see server 2; key C; see server 2; send 64 server",
    ),
    ("Ctrl-Z where no shell could continue it", Leader, "exec ./r SH sleep.sh", "see ready; key Z; key C"),
    ("Ctrl-Z for one that counts", Leader, "exec ./r perl probe.pl p", "see p ready; key Z; see p 20; send 64 top"),
    ("the window closes", Leader, "exec ./r SH sleep.sh", "see ready; hangup; gone top"),
    (
        "the window closes on one that minds",
        Leader,
        "exec ./r perl probe.pl p",
        "see p ready; hangup; see p 1; send 64 p; gone top",
    ),
    (
        "the window closes on an entry script",
        Leader,
        "exec ./r SH -c 'trap \"echo HUP >>seen\" HUP; perl probe.pl p & wait; wait; echo through >>seen'",
        "see p ready; hangup; see HUP; send 64 p; see through; gone top",
    ),
    ("a question on /dev/tty in a pipeline", Leader, "echo x | ./r SH ask.sh", "type secret; see got secret"),
    (
        "it reads from the terminal",
        Leader,
        "exec ./r SH -c 'read -r line; echo \"got $line\" >>seen'",
        "type hello; see got hello",
    ),
    ("modes of a program that dies", Leader, "./r SH raw.sh; stty -a >>seen; stty sane", "see ready"),
    (
        "a script of bash that Ctrl-C ends",
        Leader,
        "trap : INT; bash loop.sh; echo \"status $?\" >>seen; echo end >>seen",
        "see ready; key C; see end",
    ),
];
