//! Stopping: at once where it can be, after the grace period where it must be, and never later.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::processes;
use crate::sandbox::{self, Running, Sandbox, wait_for};

const DEAF: &str = "#!/bin/bash\ntrap '' TERM INT QUIT\necho ready\nwhile :; do sleep 0.1; done\n";

/// Long enough that no stop here waits for it by chance.
const FOREVER: &str = "600";

#[test]
fn term_int_and_quit_stop_with_status_0() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    for signal in ["TERM", "INT", "QUIT"] {
        let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
        running.wait_for_stdout("] ready");
        running.signal(signal);
        assert_eq!(running.wait().status.code(), Some(0), "{signal}");
        sandbox.assert_nothing_left(Duration::ZERO);
    }
}

#[test]
fn a_hundred_plugins_stop_without_waiting() {
    let sandbox = Sandbox::new();
    for n in 0..100 {
        sandbox.plugin(format!("all_{n}.sh"), "#!/bin/sh\necho ready\nexec sleep 1000\n");
    }
    let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
    wait_for("all are ready", || running.stdout().matches("] ready").count() == 100);
    running.signal("TERM");
    // Well under 150 ms on an idle machine; here it shares the processors with the other tests.
    let done = running.wait_within(sandbox::margin() * 3);
    assert_eq!(done.status.code(), Some(0));
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn a_plugin_that_ignores_term_is_killed_after_the_grace_period() {
    let sandbox = Sandbox::with([("all_deaf.sh", DEAF)]);
    let running = sandbox.run_json(&["--grace-period", "0.6"]).start();
    running.wait_for_event("output", "all_deaf.sh");
    let signalled = Instant::now();
    running.signal("TERM");
    let done = running.wait_within(Duration::from_millis(600) + sandbox::margin());
    assert!(signalled.elapsed() >= Duration::from_millis(600), "not before");
    assert_eq!(done.status.code(), Some(0), "it was stopped on request");
    let events: Vec<_> = done.records().iter().map(|record| record["event"].text()).collect();
    let at = |event: &str| events.iter().position(|found| found == event);
    assert!(at("stopping").is_some() && at("stopping") < at("killed"), "{events:?}");
    assert!(at("killed") < at("stopped"), "{events:?}");
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn a_second_signal_from_the_keyboard_skips_the_grace_period() {
    for (first, second) in [("INT", "INT"), ("QUIT", "QUIT"), ("INT", "QUIT"), ("QUIT", "INT")] {
        let sandbox = Sandbox::with([("all_deaf.sh", DEAF)]);
        let mut running = sandbox.run_json(&["--grace-period", FOREVER]).start();
        running.wait_for_event("output", "all_deaf.sh");
        running.signal(first);
        running.wait_for_records("stopping", 1, |record| record["event"] == "stopping");
        assert!(running.is_running());
        running.signal(second);
        let done = running.wait_within(sandbox::PATIENCE);
        assert_eq!(done.status.code(), Some(0));
        sandbox.assert_nothing_left(Duration::ZERO);
    }
}

#[test]
fn a_repeated_term_skips_nothing() {
    let cleaner = "#!/bin/bash\ntrap 'touch asked; until [ -e go ]; do sleep 0.02; done; echo cleaned; exit 0' TERM\n\
        echo ready\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_cleaner.sh", cleaner)]);
    let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
    running.wait_for_stdout("] ready");
    running.signal("TERM");
    wait_for("the plugin is asked", || sandbox.path("asked").exists());
    for _ in 0..5 {
        let seen = processes::context_switches(running.pid());
        running.signal("TERM");
        wait_for("the launcher has heard it", || processes::context_switches(running.pid()) > seen);
    }
    // One from the keyboard is the first of its kind.
    running.signal("INT");
    sandbox.write("go", "");
    let done = running.wait();
    assert!(done.text().contains("] cleaned"), "{}", done.text());
    assert!(!done.text().contains("killed"), "{}", done.text());
    assert_eq!(done.text().matches("[launcher] stopping: ").count(), 1, "{}", done.text());
}

/// Takes its time to end, in commands, and says so.
const CLEANER: &str = "#!/bin/bash\n\
    trap 'sleep 0.3 && sh -c \"sleep 0.1; true\" && echo cleaned; exit 0' TERM\n\
    echo ready\n\
    while :; do sleep 0.1; done\n";

/// Runs the cleaner, stops it in this way, and expects it to be let clean up.
fn assert_cleaned(stop: impl Fn(&Running<'_>)) {
    let sandbox = Sandbox::with([("all_cleaner.sh", CLEANER)]);
    let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
    running.wait_for_stdout("] ready");
    stop(&running);
    let done = running.wait();
    let log = done.text();
    assert!(log.contains("] cleaned"), "{log}");
    assert!(log.contains("exited all_cleaner.sh: status 0"), "{log}");
    assert_eq!(done.status.code(), Some(0));
}

#[test]
fn a_plugin_cleans_up_with_commands_of_its_own() {
    assert_cleaned(|running| running.signal("TERM"));
}

#[test]
fn the_same_signal_twice_at_once_is_one() {
    let plugin = "#!/bin/bash\ntrap 'sleep 0.03; echo cleaned; exit' TERM\necho ready\nwhile :; do sleep 0.01; done\n";
    let sandbox = Sandbox::with([("all_cleaner.sh", plugin)]);
    // As timeout(1) does it, but slowly enough that the kernel does not make them one. Of INT two would skip everything.
    let twice = "use Time::HiRes qw(time sleep); my $first = time; kill INT => $ARGV[0]; sleep 0.001; \
                 kill INT => $ARGV[0]; print time - $first < 0.005 ? 'at once' : 'late'";
    let mut rounds = 0;
    wait_for("ten rounds in which they came at once", || {
        let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
        running.wait_for_stdout("] ready");
        let sent = sandbox.command("perl", ["-e", twice, &running.pid().to_string()]).output();
        let log = running.wait().text();
        // On a busy machine there may be more time between the two.
        if sent.text() == "at once" {
            assert!(log.contains("] cleaned"), "{log}");
            rounds += 1;
        }
        rounds == 10
    });
}

#[test]
fn a_signal_to_every_process_of_the_launcher_is_one() {
    // As a service manager does it.
    assert_cleaned(|running| sandbox::send("TERM", &[running.supervisor(), running.pid()]));
    assert_cleaned(|running| sandbox::send("TERM", &[running.pid(), running.supervisor()]));
}

#[test]
fn no_grace_period_at_all_kills_at_once() {
    let sandbox = Sandbox::with([("all_deaf.sh", DEAF)]);
    let running = sandbox.launcher(["run", "--grace-period", "0", "plugins"]).start();
    running.wait_for_stdout("] ready");
    running.signal("TERM");
    assert_eq!(running.wait_within(sandbox::margin() * 3).status.code(), Some(0));
}

#[test]
fn every_process_below_gets_term_not_only_the_leader() {
    // A shell runs its trap only when its foreground child has ended: the child must get the signal too.
    let plugin = "#!/bin/bash\nexec 2>/dev/null\ntrap 'echo trapped; exit 0' TERM\necho ready\nsleep 1000\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
    running.wait_for_stdout("] ready");
    running.signal("TERM");
    assert_eq!(running.wait().lines_of("all_x.sh"), ["ready", "trapped"]);
}

#[test]
fn each_process_is_asked_once_and_each_that_is_killed_is_named() {
    // Many a program takes the second SIGTERM for haste.
    let plugin = "#!/usr/bin/perl\nuse POSIX;\n$| = 1;\nmy $who = 'leader';\n$SIG{TERM} = sub { print \"$who asked\\n\" };\n\
        unless (fork) { setsid; $who = 'left' }\nprint \"$who ready\\n\";\nselect undef, undef, undef, 0.02 while 1;\n";
    let sandbox = Sandbox::with([("all_x.pl", plugin)]);
    let running = sandbox.launcher(["run", "--grace-period", "0.5", "plugins"]).start();
    running.wait_for_stdout("] leader ready");
    running.wait_for_stdout("] left ready");
    running.signal("TERM");
    let done = running.wait();
    let mut asked = done.lines_of("all_x.pl").split_off(2);
    asked.sort();
    assert_eq!(asked, ["leader asked", "left asked"]);
    let killed = done.lines_of("launcher").into_iter().filter(|line| line.starts_with("killed"));
    assert_eq!(killed.count(), 2, "{}", done.text());
}

#[test]
fn a_stop_that_takes_its_time_looks_around_now_and_then() {
    let sandbox = Sandbox::with([("all_deaf.sh", DEAF)]);
    let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
    running.wait_for_stdout("] ready");
    running.signal("TERM");
    running.wait_for_stdout("[launcher] stopping");
    let looks = || processes::context_switches(running.supervisor());
    // Ten times a second, once it has been for a while.
    wait_for("a second of few looks", || {
        let (before, since) = (looks(), Instant::now());
        wait_for("a second", || since.elapsed() > Duration::from_secs(1));
        let count = looks() - before;
        count > 0 && count < 10 * 3 * since.elapsed().as_secs().max(1)
    });
}

#[test]
fn who_may_not_be_signalled_is_named_and_left_behind() {
    if fs::metadata("/proc/self").expect("proc").uid() != 0 {
        // Only root can be another user as well.
        return;
    }
    let plugin = "#!/bin/sh\nsetpriv --reuid 54321 --regid 54321 --clear-groups sleep 1000 >/dev/null 2>&1 &\n\
        until [ \"$(cat /proc/$!/comm)\" = sleep ]; do :; done\necho $! >other\nsleep 1000\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let without_power = ["--inh-caps", "-kill", "--bounding-set", "-kill", sandbox::LAUNCHER];
    let launch = sandbox.command("setpriv", without_power).args(["run", "--grace-period", "0.1", "plugins"]);
    let running = launch.start();
    let other = sandbox.wait_for_file("other").trim().parse().expect("a pid");
    let since = Instant::now();
    running.signal("TERM");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(1));
    // What is in the kernel for a moment only is not left behind.
    assert!(since.elapsed() > Duration::from_secs(5), "{:?}", since.elapsed());
    let warnings: Vec<String> = done.lines_of("launcher").into_iter().filter(|line| line.contains("warning")).collect();
    assert!(warnings.len() == 1 && warnings[0].contains(&format!("pid {other}")), "{}", done.text());
    assert!(processes::is_alive(other));
    assert_eq!(done.stderr, "", "nobody tries it a second time");
    sandbox::send("KILL", &[other]);
}

#[test]
fn a_stopped_process_hears_term() {
    let plugin =
        "#!/bin/bash\nexec 2>/dev/null\ntrap 'echo trapped; exit 0' TERM\necho $$ >leader\nkill -STOP $$\nsleep 1000\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
    let leader = sandbox.wait_for_file("leader").trim().parse().expect("a pid");
    wait_for("it is stopped", || processes::read(leader).is_some_and(|process| process.state == 'T'));
    running.signal("TERM");
    assert_eq!(running.wait().lines_of("all_x.sh"), ["trapped"]);
}

#[test]
fn a_plugin_may_have_a_grace_period_of_its_own() {
    let sandbox = Sandbox::with([("all_deaf.sh", DEAF)]);
    sandbox.write("lmcache.yaml", "extra_config:\n  plugin.all_deaf.grace_period: 0.3\n");
    let running = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).start();
    running.wait_for_stdout("] ready");
    running.signal("TERM");
    assert_eq!(running.wait_within(Duration::from_millis(300) + sandbox::margin()).status.code(), Some(0));
}

#[test]
fn a_plugins_own_grace_period_may_be_longer() {
    let cleaner = "#!/bin/bash\ntrap 'until [ -e go ]; do sleep 0.02; done; echo cleaned; exit 0' TERM\n\
        echo ready\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_cleaner.sh", cleaner), ("all_deaf.sh", DEAF)]);
    sandbox.write(
        "lmcache.yaml",
        "extra_config:\n  plugin.launcher.grace_period: 0.1\n  plugin.all_cleaner.grace_period: 600\n",
    );
    let running = sandbox.run_json(&["--config", "lmcache.yaml"]).start();
    running.wait_for_event("output", "all_cleaner.sh");
    running.wait_for_event("output", "all_deaf.sh");
    running.signal("TERM");
    // That of all others is over, and what it means was done.
    running.wait_for_event("killed", "all_deaf.sh");
    sandbox.write("go", "");
    let done = running.wait();
    assert!(done.events("killed").iter().all(|record| record["plugin"] == "all_deaf.sh"), "{}", done.text());
    assert!(done.events("output").iter().any(|record| record["message"] == "cleaned"), "{}", done.text());
}

#[test]
fn the_grace_period_can_stand_in_the_configuration() {
    let sandbox = Sandbox::with([("all_deaf.sh", DEAF)]);
    let document = r#"{"extra_config": {"plugin.launcher.grace_period": 0.3}}"#;
    let running = sandbox.launcher(["run", "plugins"]).env("LMCACHE_PLUGIN_CONFIG", document).start();
    running.wait_for_stdout("] ready");
    running.signal("TERM");
    assert_eq!(running.wait_within(Duration::from_millis(300) + sandbox::margin()).status.code(), Some(0));
}

#[test]
fn a_stop_before_anything_is_ready_leaves_nothing() {
    let sandbox = Sandbox::new();
    for n in 0..20 {
        sandbox.plugin(format!("all_{n}.sh"), "#!/bin/sh\nsetsid sleep 1000 &\nexec sleep 1000\n");
    }
    for _ in 0..5 {
        let running = sandbox.launcher(["run", "--grace-period", "5", "plugins"]).start();
        // The first notice: the launcher is in the middle of starting its plugins.
        wait_for("it began", || !running.stdout().is_empty());
        running.signal("TERM");
        assert_eq!(running.wait().status.code(), Some(0));
        sandbox.assert_nothing_left(Duration::ZERO);
    }
}

#[test]
fn a_stop_of_a_launcher_that_ends_by_itself_is_one_on_request() {
    // The plugin failed; what it left behind takes its time.
    let failing = "#!/bin/bash\n\
        setsid bash -c 'trap \"touch asked; until [ -e go ]; do sleep 0.02; done; exit\" TERM; echo >ready; while :; do sleep 0.02; done' >/dev/null 2>&1 &\n\
        until [ -s ready ]; do sleep 0.02; done\nexit 3\n";
    for (signal, status) in [(None, 1), (Some("TERM"), 0)] {
        let sandbox = Sandbox::with([("all_x.sh", failing)]);
        let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
        wait_for("what is left is asked", || sandbox.path("asked").exists());
        if let Some(signal) = signal {
            running.signal(signal);
            wait_for("it has heard", || processes::pending_signals(running.pid()) == 0);
        }
        sandbox.write("go", "");
        assert_eq!(running.wait().status.code(), Some(status), "{signal:?}");
    }
}

#[test]
fn what_is_left_late_in_a_stop_is_asked_to_end_as_well() {
    // It takes its time, and leaves one behind that was not there when all were asked.
    let leaving = "#!/bin/bash\n\
        trap 'until [ -e go ]; do sleep 0.02; done; setsid sh -c \"trap exit TERM; echo >left; while :; do sleep 0.02; done\" >/dev/null 2>&1 & \
        until [ -s left ]; do sleep 0.02; done; exit' TERM\n\
        echo ready\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_x.sh", leaving)]);
    let running = sandbox.launcher(["run", "--grace-period", FOREVER, "plugins"]).start();
    running.wait_for_stdout("] ready");
    running.signal("TERM");
    let since = Instant::now();
    wait_for("it is late", || since.elapsed() > Duration::from_secs(3));
    sandbox.write("go", "");
    sandbox.wait_for_file("left");
    assert_eq!(running.wait_within(sandbox::margin()).status.code(), Some(0));
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn after_the_programs_end_signals_are_the_launchers_and_change_nothing_but_the_haste() {
    let sandbox = Sandbox::with([("all_deaf.sh", DEAF)]);
    let program = ["plugins", "--", "sh", "-c", "read end; exit 3"];
    let launch = sandbox.launcher(["run", "--grace-period", FOREVER]).args(program);
    let mut running = launch.stdin(Stdio::piped()).start();
    running.wait_for_stdout("] ready");
    let pids = [running.pid(), running.supervisor()];
    running.close_stdin();
    running.wait_for_stdout("stopping: the program ended");
    for signal in ["USR1", "HUP", "TERM", "TERM", "INT"] {
        running.signal(signal);
        wait_for("it has heard", || processes::pending_signals(running.pid()) == 0);
        processes::wait_for_sleep(signal, &pids);
    }
    assert!(running.is_running());
    running.signal("QUIT");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(3));
    let notices = done.lines_of("launcher").into_iter().filter(|line| !line.starts_with("killed"));
    let words: Vec<String> = notices.map(|line| line.split(' ').next().unwrap_or_default().to_owned()).collect();
    assert_eq!(words, ["started", "exited", "stopping:", "exited", "stopped"], "{}", done.text());
}

#[test]
fn who_shares_the_group_of_a_killed_launcher_with_its_program_lives() {
    let sandbox = Sandbox::new();
    sandbox.write("program", "trap '' TERM\necho program\nwhile :; do sleep 0.05; done\n");
    // Without job control all are one group. Some of the launchers are reaped before their supervisors look.
    let script = "for n in 1 2 3 4 5 6 7 8; do\n\
        \"$LAUNCHER\" run --grace-period 0.1 -- sh program &\nlaunchers=\"$launchers $!\"\ndone\n\
        read line\nkill -KILL $launchers\nwait\necho all killed\nread line\necho \"$line\"\nexit 5\n";
    let mut running = sandbox.command("setsid", ["bash", "-c", script]).stdin(Stdio::piped()).start();
    wait_for("all run", || running.stdout().matches("program\n").count() == 8);
    running.write("kill them\n");
    running.wait_for_stdout("all killed\n");
    wait_for("they have gone", || !sandbox.living().iter().any(|process| process.command == "sh program "));
    assert!(running.stdout().contains("[launcher] killed pid "));
    running.write("go on\n");
    let done = running.wait();
    assert_eq!((done.status.code(), done.text().lines().last()), (Some(5), Some("go on")));
}
