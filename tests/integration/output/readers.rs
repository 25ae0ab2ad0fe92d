//! Who reads the log: slow readers, stalled ones, those that are gone, and none.

use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::processes;
use crate::sandbox::{self, Running, Sandbox, wait_for};

#[test]
fn a_slow_reader_slows_the_plugin_down_and_loses_nothing() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nprint 'x' x 99, \"\\n\" for 1..200000;\nopen F, '>', 'written';\nprint F \"yes\\n\";\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin), ("all_y.sh", "#!/bin/sh\necho other >other\n")]);
    let mut running = sandbox.launcher(["run", "--quiet", "plugins"]).unread().start();
    sandbox.wait_for_file("other");
    assert!(!sandbox.path("written").exists(), "20 MB do not fit into the pipes");
    running.read_on();
    let done = running.wait();
    assert_eq!(sandbox.read("written"), "yes\n");
    assert_eq!(done.lines_of("all_x.pl").len(), 200_000);
}

#[test]
fn a_stalled_reader_never_holds_the_stop_longer_than_the_grace_period() {
    let flood = "#!/usr/bin/perl\n$| = 1;\nopen F, '>', 'flooding'; print F \"yes\\n\"; close F;\nwhile (1) { print 'x' x 99, \"\\n\"; }\n";
    for stderr in ["merged", "separate"] {
        let sandbox = Sandbox::with([("all_x.pl", flood)]);
        let options = ["run", "--grace-period", "0.5", "--stderr", stderr, "plugins"];
        let running = sandbox.launcher(options).unread().start();
        sandbox.wait_for_file("flooding");
        running.signal("TERM");
        let done = running.wait_within(Duration::from_millis(500) + sandbox::margin());
        assert_eq!(done.status.code(), Some(0));
        sandbox.assert_nothing_left(Duration::ZERO);
    }
}

#[test]
fn a_reader_that_is_gone_is_noted_once_and_plugins_keep_running() {
    let plugin = "#!/usr/bin/perl\n$| = 1;\nprint \"here\\n\";\nuntil (-e 'go') { select undef, undef, undef, 0.02; }\n\
                  print 'x' x 99, \"\\n\" for 1..50000;\nopen F, '>', 'written';\nprint F \"yes\\n\";\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin), ("all_y.pl", plugin)]);
    let mut running = sandbox.launcher(["run", "plugins"]).unread().start();
    running.hang_up();
    sandbox.write("go", "");
    let done = running.wait();
    assert_eq!(sandbox.read("written"), "yes\n", "the output was drained and dropped");
    assert_eq!(done.stderr.lines().count(), 1, "noted once: {:?}", done.stderr);
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn a_standard_output_that_takes_nothing_keeps_no_plugin_from_running() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho lost\necho yes >ran\n")]);
    // Daemons have been seen to open /dev/null for reading alone. Who closes it wants no log, and loses none.
    for (redirection, status, told) in
        [(">&-", 0, None), ("1</dev/null", 1, Some("cannot write output: Bad file descriptor; lines are lost"))]
    {
        let done = sandbox.command("sh", ["-c", &format!("exec \"$LAUNCHER\" run plugins {redirection}")]).output();
        assert_eq!(sandbox.read("ran"), "yes\n", "{redirection}");
        assert_eq!(done.status.code(), Some(status), "{redirection}");
        assert!(
            told.map_or(done.stderr.is_empty(), |told| done.stderr.contains(told)),
            "{redirection}: {}",
            done.stderr
        );
        std::fs::remove_file(sandbox.path("ran")).expect("it was there");
    }
}

/// Runs its arguments with a standard output that is full.
const FULL: &str = "use Fcntl;\n\
    fcntl STDOUT, F_SETFL, O_WRONLY | O_NONBLOCK;\n\
    1 while syswrite STDOUT, \"\\n\" x 4096;\n\
    fcntl STDOUT, F_SETFL, O_WRONLY;\n\
    exec @ARGV or die;\n";

const LAST_WORDS: &str = "#!/bin/sh\necho last words\necho yes >said\n";

/// A launcher whose plugin has ended, with all that it left behind, and whose reader has not come for the last words.
fn at_its_last_words<'s>(sandbox: &'s Sandbox, grace_period: &str) -> Running<'s> {
    let options = ["run", "--quiet", "--parent-fd", "0", "--grace-period", grace_period, "plugins"];
    let launch = sandbox.command("perl", ["-e", FULL, sandbox::LAUNCHER]).args(options);
    let running = launch.unread().stdin(Stdio::piped()).start();
    let supervisor = running.supervisor();
    sandbox.wait_for_file("said");
    wait_for("nothing is left below it", || processes::children_of(supervisor).is_empty());
    processes::wait_for_sleep("it waits for its reader", &[supervisor]);
    running
}

fn assert_has_last_words(mut running: Running<'_>, how: &str) {
    running.read_on();
    let done = running.wait();
    assert_eq!(done.lines_of("all_x.sh"), ["last words"], "{how}");
}

#[test]
fn last_words_of_who_was_not_asked_to_stop_wait_for_ever() {
    // It leaves somebody behind who has to be killed.
    let left = "#!/bin/bash\n(trap '' TERM; while :; do sleep 0.1; done) >/dev/null 2>&1 &\n";
    let sandbox = Sandbox::with([("all_x.sh", &*[left, LAST_WORDS].concat())]);
    let running = at_its_last_words(&sandbox, "0.1");
    // The guard gives a supervisor that is to stop the grace period and three seconds.
    let since = Instant::now();
    wait_for("a stop on request would be over", || since.elapsed() > Duration::from_millis(4_500));
    assert_has_last_words(running, "not asked");
}

#[test]
fn who_stops_a_launcher_at_its_last_words_leaves_them_the_grace_period() {
    for how in ["TERM", "TERM to the supervisor", "the parent ends", "the guard is killed"] {
        for grace_period in ["600", "0.5"] {
            let sandbox = Sandbox::with([("all_x.sh", LAST_WORDS)]);
            let mut running = at_its_last_words(&sandbox, grace_period);
            let supervisor = running.supervisor();
            match how {
                "TERM" => running.signal("TERM"),
                "TERM to the supervisor" => sandbox::send("TERM", &[supervisor]),
                "the parent ends" => running.close_stdin(),
                _ => running.signal("KILL"),
            }
            if grace_period == "600" {
                processes::wait_for_sleep(how, &[supervisor]);
                assert_has_last_words(running, how);
                continue;
            }
            let limit = Duration::from_millis(500) + sandbox::margin();
            if how != "the guard is killed" {
                // Not killed by the guard, which waits for three seconds more.
                assert_eq!(running.wait_within(limit).status.code(), Some(0), "{how}");
            }
            sandbox.assert_nothing_left(limit);
        }
    }
}

#[test]
fn only_a_second_signal_from_the_keyboard_skips_the_last_words() {
    let sandbox = Sandbox::with([("all_x.sh", LAST_WORDS)]);
    let mut running = at_its_last_words(&sandbox, "600");
    let pids = [running.pid(), running.supervisor()];
    let wait_until_heard = |what| {
        wait_for(what, || pids.iter().all(|pid| processes::pending_signals(*pid) == 0));
        processes::wait_for_sleep(what, &pids);
    };
    running.signal("INT");
    wait_until_heard("the first");
    for pid in pids {
        sandbox::send("TERM", &[pid]);
        wait_until_heard("one that asks for no haste");
    }
    running.close_stdin();
    wait_until_heard("the parent's end");
    assert!(running.is_running());
    running.signal("INT");
    assert_eq!(running.wait_within(sandbox::margin()).status.code(), Some(0));
}

#[test]
fn a_terminal_that_has_hung_up_is_a_reader_that_has_gone() {
    let plugin =
        "#!/usr/bin/perl\n$| = 1;\nuntil (-e 'go') { print \"tick\\n\"; select undef, undef, undef, 0.005; }\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    let judge = "import os, pty, subprocess\n\
                 terminal, other = pty.openpty()\n\
                 command = [os.environ['LAUNCHER'], 'run', 'plugins']\n\
                 child = subprocess.Popen(command, stdout=other, stderr=subprocess.PIPE, text=True)\n\
                 os.close(other)\n\
                 os.read(terminal, 1)\n\
                 os.close(terminal)\n\
                 said = child.stderr.readline()\n\
                 open('go', 'w').close()\n\
                 print(child.wait(), said, child.stderr.read(), end='')\n";
    let done = sandbox.command("python3", ["-c", judge]).output();
    let expected =
        "0 lmcache-plugin-launcher: cannot write output: I/O error; plugins keep running, their output is dropped\n ";
    assert_eq!(done.text(), expected, "{}", done.stderr);
}
