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
];
