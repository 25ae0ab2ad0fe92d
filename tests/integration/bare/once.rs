//! In which the shell does not matter.

use super::stage::Place::Plain;
use super::stage::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    (
        "every status",
        Plain,
        "for n in $(seq 0 255); do (${UNDER:+$LAUNCHER run --} sh -c \"exit $n\"; echo \"$n $?\" >>seen) & [ $((n % 16)) != 15 ] || wait; done",
        "",
    ),
    (
        "every signal that ends",
        Plain,
        "for n in $(seq 64); do case $n in 17 | 18 | 19 | 20 | 21 | 22 | 23 | 28 | 32 | 33) continue ;; esac; (env --default-signal ${UNDER:+$LAUNCHER run --} sh -c \"kill -s $n \\$\\$; exec sleep 1000\"; echo \"$n $?\" >>seen) & [ $((n % 16)) != 15 ] || wait; done 2>/dev/null; wait",
        "",
    ),
    ("every signal, once", Plain, "exec ./r perl probe.pl p 3", "see p ready; signals p; send 64 top"),
    (
        "every signal to the group, once",
        Plain,
        "exec /usr/bin/setsid -w ./r perl probe.pl p 3",
        "see p ready; signals p group; send 64 top",
    ),
    (
        "a pipe that is the parent's and its own",
        Plain,
        "(echo mine; until [ -e ended ]; do sleep 0.02; done) | { if [ \"$UNDER\" ]; then $LAUNCHER run --quiet --parent-fd 0 plugins -- head -n 1; else head -n 1; fi; echo >ended; } | cat",
        "",
    ),
    (
        "TERM to all processes, one after the other",
        Plain,
        "./r perl probe.pl p; echo \"status $?\"",
        "see p ready; slowly TERM all; see p 15; slowly USR1 all; see p 10; send 64 p",
    ),
];
