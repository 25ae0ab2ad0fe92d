//! As PID 1 of a container: signals act, orphans are reaped, the status is passed on.

use crate::namespace;
use crate::processes;
use crate::sandbox::{self, Launch, Sandbox, wait_for};

const BYE: &str =
    "#!/bin/sh\nexec 2>/dev/null\ntrap 'echo bye; exit 0' TERM\necho ready >ready\nwhile :; do sleep 0.02; done\n";

/// The launcher as PID 1.
fn as_pid_1<'s>(sandbox: &'s Sandbox, arguments: &[&str]) -> Launch<'s> {
    let command = [&[sandbox::LAUNCHER][..], arguments].concat();
    namespace::command(sandbox, &["--pid", "--fork", "--mount-proc"], &command)
}

/// The pid, seen from here, of the launcher that is PID 1 in there.
fn pid_1(unshare: u32) -> u32 {
    let mut children = Vec::new();
    wait_for("PID 1 runs", || {
        children = processes::children_of(unshare);
        children.first().is_some_and(|pid| {
            processes::read(*pid).is_some_and(|process| process.command.starts_with(sandbox::LAUNCHER))
        })
    });
    children[0]
}

#[test]
fn the_status_of_a_program_is_passed_on() {
    let sandbox = Sandbox::new();
    for (script, status) in
        [("exit 0", 0), ("exit 7", 7), ("exit 255", 255), ("kill -KILL $$", 137), ("kill -TERM $$", 143)]
    {
        let done = as_pid_1(&sandbox, &["run", "plugins", "--", "sh", "-c", script]).output();
        assert_eq!(done.status.code(), Some(status), "{script}");
    }
}

#[test]
fn plugins_are_stopped_after_the_program_and_their_last_words_logged() {
    let sandbox = Sandbox::with([("all_x.sh", BYE)]);
    let script = "until [ -s ready ]; do sleep 0.02; done; exit 3";
    let done = as_pid_1(&sandbox, &["run", "--grace-period", "20", "plugins", "--", "sh", "-c", script]).output();
    assert_eq!(done.status.code(), Some(3));
    assert_eq!(done.lines_of("all_x.sh"), ["bye"]);
}

#[test]
fn every_orphan_is_reaped() {
    let sandbox = Sandbox::new();
    // Fifty orphans end beside the program; then the container has no zombie, and only a handful of processes.
    let script = "for n in $(seq 50); do (sh -c 'sleep 0.1; exit 1' &); done\n\
                  n=0; until [ \"$n\" -ge 100 ]; do n=$((n + 1)); sleep 0.05\n\
                  zombies=$(grep -lsE '^State:.Z' /proc/[0-9]*/status | wc -l)\n\
                  others=$(ls -d /proc/[0-9]* | wc -l)\n\
                  [ \"$zombies\" = 0 ] && [ \"$others\" -le 8 ] && exit 0; done; exit 1\n";
    let done = as_pid_1(&sandbox, &["run", "plugins", "--", "sh", "-c", script]).output();
    assert_eq!(done.status.code(), Some(0), "no zombies, no orphans");
}

#[test]
fn signals_act_without_a_program() {
    for signal in ["TERM", "INT", "QUIT"] {
        let sandbox = Sandbox::with([("all_x.sh", BYE)]);
        let running = as_pid_1(&sandbox, &["run", "--grace-period", "20", "plugins"]).start();
        sandbox.wait_for_file("ready");
        sandbox::send(signal, &[pid_1(running.pid())]);
        let done = running.wait();
        assert_eq!(done.status.code(), Some(0), "{signal}");
        assert_eq!(done.lines_of("all_x.sh"), ["bye"]);
    }
}

#[test]
fn signals_reach_the_program() {
    let sandbox = Sandbox::with([("all_x.sh", BYE)]);
    let script = "trap 'echo got; exit 4' TERM; until [ -s ready ]; do sleep 0.02; done; echo begun; while :; do sleep 0.02; done";
    let running = as_pid_1(&sandbox, &["run", "--grace-period", "20", "plugins", "--", "sh", "-c", script]).start();
    running.wait_for_stdout("begun");
    sandbox::send("TERM", &[pid_1(running.pid())]);
    let done = running.wait();
    assert_eq!(done.status.code(), Some(4));
    assert_eq!(done.text().matches("got\n").count(), 1);
    assert_eq!(done.lines_of("all_x.sh"), ["bye"]);
}

#[test]
fn a_container_without_a_program_ends_with_its_plugins() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n(setsid sleep 1000 >/dev/null 2>&1 &)\necho one\nexit 3\n")]);
    let done = as_pid_1(&sandbox, &["run", "--grace-period", "20", "plugins"]).output();
    assert_eq!(done.status.code(), Some(1));
    assert_eq!(done.lines_of("all_x.sh"), ["one"]);
}

#[test]
fn the_parent_outside_the_namespace_is_no_parent_that_has_gone() {
    // getppid() of PID 1 is 0: nobody to watch, and nobody dead.
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho \"parent $LMCACHE_PLUGIN_PARENT_PID\"\n")]);
    let done = as_pid_1(&sandbox, &["run", "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(done.lines_of("all_x.sh"), ["parent "]);
}

#[test]
fn an_orphan_from_outside_is_reaped_and_changes_nothing_else() {
    let sandbox = Sandbox::new();
    let script = "$| = 1; $SIG{USR1} = sub { print qq(USR1\\n) }; $SIG{TERM} = sub { exit 4 }; print qq(begun\\n); sleep 1 while 1";
    let in_its_group = ["perl", "-e", "setpgrp(0, 0); exec @ARGV or die", sandbox::LAUNCHER];
    let command = [&in_its_group[..], &["run", "--quiet", "plugins", "--", "perl", "-e", script]].concat();
    let running = namespace::command(&sandbox, &["--pid", "--fork", "--mount-proc"], &command).start();
    running.wait_for_stdout("begun");
    let guard = pid_1(running.pid());
    // As `docker exec` enters a container, and leaves something there.
    let entering = namespace::enter(guard);
    let left = sandbox.command(&entering[0], &entering[1..]).args(["sh", "-c", "sleep 1000 >/dev/null 2>&1 &"]);
    assert!(left.output().status.success());
    let orphan = processes::child_named(guard, "sleep");
    sandbox::send("KILL", &[orphan]);
    wait_for("it is reaped", || processes::read(orphan).is_none());
    // Who tells what came to the whole group is still there.
    sandbox::send_to_group("USR1", guard);
    running.wait_for_stdout("USR1\n");
    sandbox::send("TERM", &[guard]);
    let done = running.wait();
    assert_eq!(done.status.code(), Some(4));
    assert_eq!(done.text(), "begun\nUSR1\n");
}
