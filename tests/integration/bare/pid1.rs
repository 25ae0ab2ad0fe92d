//! As PID 1 of a container.

use super::stage::Place::{Pid1, Pid1Leader};
use super::stage::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    ("what PID 1 inherits", Pid1, "exec ./r SH inherited.sh", "see done"),
    (
        "signals to PID 1",
        Pid1,
        "exec ./r perl probe.pl p 6",
        "see p ready; send TERM top; see p 15; send INT top; see p 2; send HUP top; see p 1; send 64 top",
    ),
    (
        "signals to all of a container",
        Pid1,
        "exec ./r perl probe.pl p 6",
        "see p ready; send TERM all; see p 15; send 64 top",
    ),
    ("not PID 1 of a container", Pid1, "./r SH trap.sh; echo $?; exit 3", "see ready; send TERM all"),
    ("what PID 1 on a terminal inherits", Pid1Leader, "exec ./r SH inherited.sh", "see done"),
    (
        "Ctrl-C of PID 1 that minds",
        Pid1Leader,
        "exec ./r SH trap.sh",
        "see ready; key C; see INT; key Z; key C; see INT; send TERM top",
    ),
    (
        "Ctrl-C below PID 1",
        Pid1Leader,
        "trap : INT; ./r SH sleep.sh; echo \"status $?\" >>seen",
        "see ready; key C; see status 130",
    ),
    (
        "TERM to all of a container, and CONT behind it",
        Pid1,
        "exec ./r perl probe.pl p 6",
        "see p ready; send TERM all; send CONT all; see p 15; see p 18; send 64 top",
    ),
    (
        "a container's program that ignores TERM",
        Pid1,
        "trap '' TERM; exec ./r perl probe.pl p 5",
        "see p ready; send TERM top; send USR1 top; see p 10; send 64 top",
    ),
    (
        "orphans of a container",
        Pid1,
        "exec ./r SH -c '(sleep 0.1; echo orphan >>seen) & SH -c \"(sleep 0.2; echo later >>seen) &\"; until grep -qs later seen; do sleep 0.02; done; exit 4'",
        "see orphan; see later",
    ),
    (
        "nested launchers in a container",
        Pid1,
        "exec $UNDER ./r SH trap.sh",
        "see ready; send INT top; see INT; send TERM top",
    ),
    (
        "Ctrl-Z below PID 1 on a terminal",
        Pid1Leader,
        "trap : INT; ./r SH trap.sh; echo \"status $?\" >>seen",
        "see ready; key Z; key C; see INT; send TERM all; see status 9",
    ),
];
