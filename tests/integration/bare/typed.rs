//! Typed into a shell with job control.

use super::stage::Place::Typed;
use super::stage::Scenario;

pub const SCENARIOS: &[Scenario] = &[
    ("what a job inherits", Typed, "./r SH inherited.sh", "see done; prompt"),
    ("what a job in the background inherits", Typed, "./r SH inherited.sh & wait", "see done"),
    (
        "Ctrl-C of a job",
        Typed,
        "./r SH sleep.sh >log",
        "see ready; key C; prompt; type echo \"status $?\" >>seen; see status 130",
    ),
    (
        "Ctrl-C of a pipeline",
        Typed,
        "./r SH sleep.sh | (echo reader >>seen; exec tee log)",
        "see ready; see reader; key C; prompt; type echo \"status $?\" >>seen; see status 130",
    ),
    (
        "Ctrl-C of a job that counts",
        Typed,
        "./r SH serve.sh",
        "see server ready; key C; see server 2; key C; see server 2; send 64 server; prompt",
    ),
    (
        "Ctrl-Z and fg of an entry script",
        Typed,
        "./r SH trap.sh",
        "see ready; key Z; stopped top; prompt; type jobs >>seen; prompt; type fg; running top; key C; see INT; send TERM top; prompt; type echo $? >>seen; see 9",
    ),
    (
        "Ctrl-Z, bg, fg",
        Typed,
        "./r SH trap.sh",
        "see ready; key Z; stopped top; prompt; type bg; running top; prompt; type fg; foreground; send TERM top; prompt; type echo $? >>seen; see 9",
    ),
    (
        "Ctrl-Z twice",
        Typed,
        "./r SH sleep.sh",
        "see ready; key Z; stopped top; prompt; type fg; running top; key Z; stopped top; prompt; type fg; running top; key C; prompt",
    ),
    (
        "Ctrl-Z for one that does not mind",
        Typed,
        "./r perl probe.pl p",
        "see p ready; key Z; see p 20; send STOP p; stopped top; prompt; type fg; see p 18; send 64 top; prompt",
    ),
    (
        "the background reads",
        Typed,
        "./r SH -c 'line=$(head -n 1); echo \"got $line\" >>seen' & ",
        "prompt; stopped top; type fg; running top; type hello; see got hello; prompt",
    ),
    (
        "the background writes with tostop",
        Typed,
        "stty tostop; ./r SH -c 'echo ready >>seen; echo text; echo through >>seen' & ",
        "prompt; see ready; stopped top; type fg; see through; prompt; type stty -tostop",
    ),
    (
        "a question on /dev/tty by a job in a pipeline",
        Typed,
        "seq 1000 | ./r SH ask.sh",
        "type secret; see got secret; prompt",
    ),
    (
        "an interactive shell below",
        Typed,
        "./r INTERACTIVE",
        "prompt; type perl probe.pl p; see p ready; key C; see p 2; key Z; see p 20; send STOP p; prompt; type fg; see p 18; send 64 p; prompt; type exit 3; prompt; type echo \"status $?\" >>seen; see status 3",
    ),
    (
        "Ctrl-Z and fg of nested launchers",
        Typed,
        "$UNDER ./r SH trap.sh",
        "see ready; key Z; stopped top; prompt; type fg; running top; key C; see INT; send TERM top; prompt; type echo $? >>seen; see 9",
    ),
    (
        "modes that a dying job leaves to its shell",
        Typed,
        "./r SH raw.sh",
        "see ready; prompt; type stty -a >>seen && echo done >>seen; see done",
    ),
    (
        "kill %1",
        Typed,
        "./r perl probe.pl p & ",
        "see p ready; prompt; type kill %1; see p 15; prompt; type kill -INT %1; see p 2; send 64 p; prompt",
    ),
    ("the window of a shell closes", Typed, "./r perl probe.pl p", "see p ready; hangup; see p 1; send 64 p; gone top"),
    (
        "the window of a shell closes on nohup",
        Typed,
        "nohup ./r perl probe.pl p >out 2>&1 & ",
        "see p ready; prompt; hangup; send TERM p; see p 15; send 64 p; gone top",
    ),
    (
        "Ctrl-\\ of a job",
        Typed,
        "ulimit -c 0; ./r SH sleep.sh",
        "see ready; key \\; prompt; type echo \"status $?\" >>seen; prompt",
    ),
    (
        "kill -TSTP, bg, wait",
        Typed,
        "./r SH trap.sh & ",
        "see ready; prompt; type kill -TSTP %1; stopped top; prompt; type jobs >>seen; prompt; type bg; running top; prompt; type kill %1;wait %1;echo \"status $?\" >>seen; see TERM; see status 9",
    ),
    (
        "kill -STOP, fg",
        Typed,
        "./r SH trap.sh & ",
        "see ready; prompt; type kill -STOP %1; stopped top; prompt; type fg; running top; foreground; key C; see INT; send TERM top; prompt; type echo \"status $?\" >>seen; see status 9",
    ),
    (
        "kill -INT and -TERM of a stopped job",
        Typed,
        "./r perl probe.pl p 4",
        "see p ready; key Z; see p 20; send STOP p; stopped top; prompt; type kill -INT %1; prompt; type kill -USR1 %1; prompt; type fg; running top; see p 2; see p 10; see p 18; send 64 p; prompt; type echo \"status $?\" >>seen; see status 4",
    ),
    (
        "three jobs, two of them stopped",
        Typed,
        "./r SH trap.sh",
        "see ready; key Z; stopped top; prompt; type sleep 1000 & ; prompt; type ./r perl probe.pl p; see p ready; key Z; see p 20; key C; see p 2; send 64 p; prompt; type kill %1;fg %1; see TERM; prompt; type kill %2; prompt",
    ),
    (
        "it is executed in place of the shell",
        Typed,
        "exec ./r SH trap.sh",
        "see ready; key Z; key C; see INT; send TERM top; gone top",
    ),
    (
        "a subshell",
        Typed,
        "(./r SH trap.sh; echo \"inside $?\" >>seen)",
        "see ready; key Z; stopped top; prompt; type fg; running top; send TERM top; see inside 9; prompt",
    ),
    (
        "Ctrl-C of a list",
        Typed,
        "./r SH sleep.sh; echo \"then $?\" >>seen",
        "see ready; key C; prompt; type echo \"now $?\" >>seen",
    ),
    (
        "Ctrl-Z of a pipeline",
        Typed,
        "seq 1000 | ./r SH -c 'cat >/dev/null; exec perl probe.pl p' | cat",
        "see p ready; send TSTP p; see p 20; send STOP p; stopped top; key Z; prompt; type fg; see p 18; send 64 p; prompt",
    ),
    (
        "less in a job",
        Typed,
        "seq 1000 | TERM=xterm LESS= ./r less",
        "show :; type q; prompt; type stty -a >>seen && echo done >>seen; see done",
    ),
    (
        "the window of a shell closes on a stopped job",
        Typed,
        "./r SH sleep.sh",
        "see ready; key Z; stopped top; prompt; hangup; gone top",
    ),
    (
        "exit of a shell with a stopped job",
        Typed,
        "./r SH sleep.sh",
        "see ready; key Z; stopped top; prompt; type exit; prompt; type exit; gone top",
    ),
    (
        "the background writes with tostop, and is brought back twice",
        Typed,
        "stty tostop; ./r SH -c 'echo ready >>seen; echo text; read -r line; echo \"got $line\" >>seen' & ",
        "prompt; see ready; stopped top; type fg; running top; type hello; see got hello; prompt; type stty -tostop",
    ),
    (
        "modes that a job has when it comes back",
        Typed,
        "./r SH -c 'stty -echo; echo ready >>seen; kill -TSTP $$; stty -a >>seen; stty echo; echo through >>seen'",
        "see ready; stopped top; prompt; type fg; see through; prompt",
    ),
];
