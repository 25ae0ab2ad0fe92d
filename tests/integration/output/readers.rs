//! Who reads the log: slow readers, stalled ones, those that are gone, and none.

use std::time::Duration;

use crate::sandbox::{self, Sandbox};

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
