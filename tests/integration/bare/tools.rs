//! Below other programs that change users, sessions or terminals. Each is asked whether it can be used here: it may not be
//! installed, or ask an ordinary user for a password.

use super::stage::Place::{Leader, Plain};
use super::stage::Scenario;

/// How to ask, and what is then done.
pub const TOOLS: &[(&str, &[Scenario])] = &[
    (
        "tmux -V",
        &[
            (
                "keys in tmux",
                Plain,
                "tmux -S ./tmux -f /dev/null new -d 'trap : INT; ./r SH trap.sh; echo \"status $?\" >>seen; sleep 1000'",
                "see ready; run tmux -S ./tmux send-keys C-c; see INT; send TERM top; see TERM; see status 9; run tmux -S ./tmux kill-server; gone top",
            ),
            (
                "a window of tmux that is closed",
                Plain,
                "tmux -S ./tmux -f /dev/null new -d 'exec ./r perl probe.pl p'",
                "see p ready; run tmux -S ./tmux kill-server; see p 1; see p 18; send 64 p; gone top",
            ),
            (
                "job control in tmux",
                Plain,
                "tmux -S ./tmux -f /dev/null new -d INTERACTIVE; tmux -S ./tmux send-keys './r SH trap.sh' Enter",
                "see ready; run tmux -S ./tmux send-keys C-z; stopped top; run tmux -S ./tmux send-keys fg Enter; running top; run tmux -S ./tmux send-keys C-c; see INT; send TERM top; see TERM; gone top; run tmux -S ./tmux kill-server",
            ),
        ],
    ),
    (
        "screen -v",
        &[(
            "a window of screen that is closed",
            Plain,
            "mkdir -m 700 screens; SCREENDIR=$PWD/screens screen -c /dev/null -dmS window sh -c 'exec ./r perl probe.pl p'",
            "see p ready; run SCREENDIR=$PWD/screens screen -S window -X quit; see p 1; see p 18; send 64 p; gone top",
        )],
    ),
    (
        "su -s /bin/sh -c true \"$(id -un)\"",
        &[
            ("what is inherited from su", Plain, "su -s /bin/sh -c './r SH inherited.sh' \"$(id -un)\"", "see done"),
            (
                "what is inherited from su on a terminal",
                Leader,
                "su -s /bin/sh -c './r SH inherited.sh' \"$(id -un)\"",
                "see done",
            ),
            (
                "Ctrl-C below su",
                Leader,
                "trap : INT; su -s /bin/sh -c 'exec ./r SH trap.sh' \"$(id -un)\"; echo \"status $?\" >>seen",
                "see ready; send INT top; see INT; send TERM top; see status 9",
            ),
            (
                "Ctrl-C below su --pty",
                Leader,
                "trap : INT; su --pty -s /bin/sh -c 'exec ./r SH trap.sh' \"$(id -un)\"; echo \"status $?\" >>seen",
                "see ready; key C; see INT; send TERM top; see status 9",
            ),
        ],
    ),
    (
        "runuser -u \"$(id -un)\" true",
        &[("what is inherited from runuser", Plain, "runuser -u \"$(id -un)\" -- ./r SH inherited.sh", "see done")],
    ),
    (
        "sudo -n true",
        &[
            ("what is inherited from sudo", Plain, "sudo -n -E ./r SH inherited.sh", "see done"),
            ("what is inherited from sudo on a terminal", Leader, "sudo -n -E ./r SH inherited.sh", "see done"),
            (
                "in the background of sudo",
                Plain,
                "sudo -n -E -b ./r perl probe.pl p >out 2>&1",
                "see p ready; send INT top; send TERM top; see p 15; send 64 p; gone top",
            ),
            (
                "in the background of sudo on a terminal",
                Leader,
                "sudo -n -E -b ./r perl probe.pl p >out 2>&1; until grep -qs ready seen; do sleep 0.02; done; echo over >>seen",
                "see p ready; see over; send TERM top; see p 15; send 64 p; gone top",
            ),
            (
                "Ctrl-C below sudo",
                Leader,
                "trap : INT; sudo -n -E ./r SH trap.sh; echo \"status $?\" >>seen",
                "see ready; key C; see INT; send TERM top; see status 9",
            ),
        ],
    ),
];
