//! Plugins that are hard to be rid of: the ten kinds of the lifetime guarantee.
//! Each writes `ready/KIND` (its own name) when everything it starts is there, and exports KIND, so that whatever
//! survives can be told apart.

use crate::sandbox::{Sandbox, wait_for};

/// Name and content of each kind.
pub const KINDS: [(&str, &str); 10] = [
    ("all_loop.sh", "#!/bin/sh\n. ./kind\nready\nwhile :; do sleep 0.2; echo tick; done\n"),
    ("all_deaf.sh", "#!/bin/bash\n. ./kind\ntrap '' TERM INT HUP\nready\nwhile :; do sleep 0.2; done\n"),
    (
        "all_tree.sh",
        "#!/bin/bash\n. ./kind\n(sleep 1000 & (sleep 1000 & (sleep 1000 & ready; wait) & wait) & wait) &\nwait\n",
    ),
    ("all_setsid.sh", "#!/bin/sh\n. ./kind\nsetsid sh -c '. ./kind; ready; exec sleep 1000' &\nwait\n"),
    (
        "all_daemon.sh",
        "#!/bin/sh\n. ./kind\n(setsid sh -c '. ./kind; cd /; (cd \"$SANDBOX\"; ready; exec sleep 1000) &' >/dev/null 2>&1 &)\n\
         while :; do sleep 0.2; done\n",
    ),
    (
        "all_deep_daemon.sh",
        "#!/bin/sh\n. ./kind\n\
         (setsid sh -c '. ./kind; trap \"\" TERM HUP\n\
         (setsid sh -c \". ./kind; ready; while :; do sleep 0.2; done\" >/dev/null 2>&1 &)' &)\nexec sleep 1000\n",
    ),
    ("all_leaderless.sh", "#!/bin/sh\n. ./kind\n(ready; exec sleep 1000) &\nexit 0\n"),
    (
        "all_detached.py",
        "#!/usr/bin/env python3\n\
         import os, sys, time\n\
         os.environ['KIND'] = 'all_detached.py'\n\
         if os.fork() == 0:\n    \
             os.setsid()\n    \
             if os.fork() == 0:\n        \
                 null = os.open('/dev/null', os.O_RDWR)\n        \
                 for fd in (0, 1, 2):\n            \
                     os.dup2(null, fd)\n        \
                 with open('ready/all_detached.py', 'w') as file:\n            \
                     file.write('yes\\n')\n        \
                 os.execvp('sleep', ['sleep', '1000'])\n    \
             os._exit(0)\n\
         os.wait()\n\
         time.sleep(1000)\n",
    ),
    // A chain whose every link is gone once the next one is there, the faster when it is asked to end, beside a leader
    // that keeps forking.
    (
        "all_forking.pl",
        "#!/usr/bin/perl\n\
         $ENV{KIND} = 'all_forking.pl';\n\
         my $pause = 0.05;\n\
         $SIG{TERM} = $SIG{INT} = sub { $pause = 0.003 };\n\
         $SIG{CHLD} = 'IGNORE';\n\
         if (!fork) { while (1) { select undef, undef, undef, $pause; exit 0 if fork; } }\n\
         open READY, '>', 'ready/all_forking.pl'; print READY \"yes\\n\"; close READY;\n\
         while (1) { if (!fork) { select undef, undef, undef, 0.3; exit 0; } select undef, undef, undef, 0.03; }\n",
    ),
    (
        "all_stopped.sh",
        "#!/bin/bash\n. ./kind\nsleep 1000 &\nkill -STOP $!\n(while ! grep -q '^State:.T' /proc/$$/status; do sleep 0.01; done; ready) &\n\
         kill -STOP $$\nwait\n",
    ),
];

/// What the shell plugins share.
const KIND: &str = "KIND=${KIND:-${0##*/}}\nexport KIND\nready() { echo yes >\"ready/$KIND\"; }\n";

/// Writes all ten kinds.
pub fn write(sandbox: &Sandbox) {
    sandbox.write("kind", KIND);
    sandbox.write("ready/.keep", "");
    for (name, content) in KINDS {
        sandbox.plugin(name, content);
    }
}

/// Waits until every kind stands as it means to.
pub fn wait_until_ready(sandbox: &Sandbox) {
    for (name, _) in KINDS {
        wait_for(&format!("{name} is ready"), || !sandbox.read(format!("ready/{name}")).is_empty());
    }
}

/// The kinds that still have a living process, and what it is.
pub fn living(sandbox: &Sandbox) -> Vec<String> {
    let living = sandbox.living();
    let of = |name: &str| {
        let process = living.iter().find(|p| p.kind.as_deref() == Some(name) || p.command.contains(name))?;
        Some(format!("{name}: pid {} ({}) {}", process.pid, process.state, process.command))
    };
    KINDS.iter().filter_map(|(name, _)| of(name)).collect()
}
