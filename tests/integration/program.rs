//! PROGRAM mode: its streams, its signals and its status are those of the program.

mod found;

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::ExitStatusExt;
use std::process::Stdio;
use std::time::Duration;

use crate::processes;
use crate::sandbox::{self, Launch, Sandbox, wait_for};

const SLEEPING: &str = "#!/bin/sh\nexec sleep 1000\n";

/// The launcher as nobody has had it ignore a signal: who runs these tests in the background of a shell has.
fn with_default_signals<'s>(sandbox: &'s Sandbox, arguments: &[&str]) -> Launch<'s> {
    let reset = "$SIG{$_} = 'DEFAULT' for qw(HUP INT QUIT PIPE TERM USR1); exec @ARGV or die";
    sandbox.command("perl", ["-e", reset, sandbox::LAUNCHER]).args(arguments)
}

#[test]
fn all_256_exit_codes_come_back() {
    let sandbox = Sandbox::new();
    for code in 0..=255 {
        let done = sandbox.launcher(["run", "--quiet", "plugins", "--", "sh", "-c", &format!("exit {code}")]).output();
        assert_eq!(done.status.code(), Some(code));
    }
}

#[test]
fn the_end_by_a_signal_is_seen_as_one_and_leaves_no_core() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    for (signal, number) in [("HUP", 1), ("INT", 2), ("QUIT", 3), ("KILL", 9), ("USR1", 10), ("SEGV", 11), ("TERM", 15)]
    {
        let program = ["--", "sh", "-c", &format!("kill -{signal} $$")];
        let done = with_default_signals(&sandbox, &["run", "plugins"]).args(program).output();
        assert_eq!(done.status.signal(), Some(number), "{signal}");
        assert!(!done.status.core_dumped(), "{signal}");
        sandbox.assert_nothing_left(Duration::ZERO);
    }
}

#[test]
fn a_program_that_cannot_be_run_or_found_is_told_as_by_a_shell() {
    let sandbox = Sandbox::new();
    sandbox.write("bin/plain.txt", "not a program\n");
    let orphan = sandbox.write("bin/orphan", "#!/no/such/interpreter\n");
    fs::set_permissions(orphan, Permissions::from_mode(0o755)).expect("it is ours");
    fs::create_dir(sandbox.path("bin/directory")).expect("it is ours");
    let cases = [
        ("no-such-program", 127, "not found in PATH"),
        ("", 127, "not found in PATH"),
        ("directory", 127, "not found in PATH"),
        ("./none/such", 127, "No such file"),
        ("plain.txt", 126, "denied"),
        ("./bin/plain.txt", 126, "denied"),
        ("orphan", 126, "interpreter does not exist"),
        ("./bin/orphan", 126, "interpreter does not exist"),
        ("plugins/", 126, "denied"),
    ];
    for (program, status, reason) in cases {
        let done =
            sandbox.launcher(["run", "plugins", "--", program, "argument"]).env("PATH", sandbox.path("bin")).output();
        assert_eq!(done.status.code(), Some(status), "{program}: {}", done.stderr);
        let problem = format!("cannot run `{program}`: ");
        assert!(done.stderr.contains(&problem) && done.stderr.contains(reason), "{program}: {}", done.stderr);
    }
    // A directory in PATH that cannot be searched, for root neither, holds no program.
    let circle = sandbox.path("circle");
    symlink(&circle, &circle).expect("a link to itself");
    let done = sandbox.launcher(["run", "plugins", "--", "no-such-program"]).env("PATH", circle).output();
    assert_eq!(done.status.code(), Some(127), "{}", done.stderr);
}

#[test]
fn a_program_gets_its_arguments_untouched() {
    let sandbox = Sandbox::new();
    let arguments = ["--role", "x y", "", "--", "*", "$HOME", "--help"];
    let done = sandbox.launcher(["run", "--quiet", "plugins", "--", "printf", "<%s>"]).args(arguments).output();
    assert_eq!(done.text(), "<--role><x y><><--><*><$HOME><--help>");
}

#[test]
fn a_program_needs_no_location() {
    let done = Sandbox::new().launcher(["run", "--", "sh", "-c", "exit 9"]).output();
    assert_eq!(done.status.code(), Some(9));
    // No command at all means run.
    let done = Sandbox::new().launcher(["--", "sh", "-c", "exit 8"]).output();
    assert_eq!(done.status.code(), Some(8));
}

#[test]
fn a_program_inherits_standard_input_output_and_error() {
    let sandbox = Sandbox::new();
    let script = "cat; echo error >&2; printf 'no newline'";
    let launch = sandbox.launcher(["run", "--quiet", "plugins", "--", "sh", "-c", script]);
    let mut running = launch.stdin(Stdio::piped()).start();
    running.write("typed\n");
    running.close_stdin();
    let done = running.wait();
    assert_eq!(done.text(), "typed\nno newline");
    assert_eq!(done.stderr, "error\n");
}

#[test]
fn plugins_are_attached_to_the_program() {
    let sandbox =
        Sandbox::with([("all_x.sh", "#!/bin/sh\necho $LMCACHE_PLUGIN_PARENT_PID >attached\nexec sleep 1000\n")]);
    let script = "until [ -s attached ]; do sleep 0.02; done; echo $$ >program";
    // Also where the launcher belongs to another process.
    let parent = std::process::id().to_string();
    for options in [&[][..], &["--parent-pid", &parent]] {
        let done = sandbox.launcher(["run", "plugins"]).args(options).args(["--", "sh", "-c", script]).output();
        assert_eq!(done.status.code(), Some(0));
        assert_eq!(sandbox.read("attached"), sandbox.read("program"), "{options:?}");
        sandbox.write("attached", "");
    }
}

#[test]
fn a_program_has_the_launchers_environment_and_directory() {
    let sandbox = Sandbox::new();
    let launch =
        sandbox.launcher(["run", "--quiet", "plugins", "--", "sh", "-c", "echo \"$MODEL\"; pwd"]).env("MODEL", "m");
    assert_eq!(launch.output().text(), format!("m\n{}\n", sandbox.text("").trim_end_matches('/')));
}

#[test]
fn signals_of_a_program_are_neither_blocked_nor_ignored() {
    let sandbox = Sandbox::new();
    let script = "grep -E 'Sig(Blk|Ign)' /proc/self/status";
    let arguments = ["run", "--quiet", "plugins", "--", "sh", "-c", script];
    let done = with_default_signals(&sandbox, &arguments).output();
    let lines: Vec<_> = done.text().lines().map(str::to_owned).collect();
    crate::environment::assert_default_signals(&lines);
}

#[test]
fn plugins_run_while_the_program_does_and_are_stopped_after_it() {
    let plugin = "#!/bin/sh\nexec 2>/dev/null\ntrap 'echo \"program: $(cat ended)\"; exit 0' TERM\necho ready >ready\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let script = "trap 'sleep 0.3; echo ended >ended; exit 6' TERM; until [ -s ready ]; do sleep 0.02; done; \
                  echo begun; while :; do sleep 0.02; done";
    let running = sandbox.launcher(["run", "--grace-period", "20", "plugins", "--", "sh", "-c", script]).start();
    running.wait_for_stdout("begun");
    running.signal("TERM");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(6));
    assert_eq!(done.lines_of("all_x.sh"), ["program: ended"]);
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn a_program_that_ends_while_plugins_are_being_started_leaves_none_to_be_killed() {
    let sandbox = Sandbox::new();
    for n in 0..20 {
        sandbox.plugin(format!("all_{n}.sh"), SLEEPING);
    }
    for _ in 0..20 {
        let done = sandbox.launcher(["run", "--format=json", "plugins", "--", "sleep", "0.01"]).output();
        assert!(done.events("killed").is_empty(), "{}", done.text());
    }
}

#[test]
fn a_program_that_minds_no_signal_is_not_killed() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    let script = "trap 'echo term' TERM; echo begun; until [ -e go ]; do sleep 0.02; done; exit 4";
    let running =
        sandbox.launcher(["run", "--quiet", "--grace-period", "0.1", "plugins", "--", "sh", "-c", script]).start();
    running.wait_for_stdout("begun");
    for _ in 0..3 {
        let before = running.stdout().matches("term").count();
        running.signal("TERM");
        sandbox::wait_for("it got the signal", || running.stdout().matches("term").count() > before);
    }
    sandbox.write("go", "");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(4));
    assert_eq!(done.text(), "begun\nterm\nterm\nterm\n");
}

#[test]
fn what_the_program_started_is_stopped_after_it() {
    let sandbox = Sandbox::new();
    let script = "setsid sh -c 'trap \"\" TERM; while :; do sleep 0.1; done' >/dev/null 2>&1 & exit 3";
    let launch = sandbox.launcher(["run", "--grace-period", "0.5", "plugins", "--", "sh", "-c", script]);
    assert_eq!(launch.output().status.code(), Some(3));
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn a_signal_to_the_supervisor_alone_ends_no_program() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let program = ["--", "sh", "-c", "until [ -e go ]; do sleep 0.02; done; exit 3"];
    let running = sandbox.launcher(["run", "--control", "s", "plugins"]).args(program).start();
    running.wait_for_stdout("] ready");
    let supervisor = running.supervisor();
    sandbox::send("TERM", &[supervisor]);
    wait_for("it has heard", || processes::pending_signals(supervisor) == 0);
    // Asked behind that, it runs what it ran.
    let status = sandbox.launcher(["status", "--control", "s", "--format", "json"]).output();
    assert!(status.records().iter().any(|record| record["state"] == "running"), "{}", status.text());
    sandbox.write("go", "");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(3));
    assert!(done.text().contains("[launcher] stopping: the program ended\n"), "{}", done.text());
}

#[test]
fn what_the_program_left_has_the_general_grace_period() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexec sleep 1000\n")]);
    let cleaner = "trap 'touch asked; until [ -e go ]; do sleep 0.02; done; touch cleaned; exit' TERM; echo >ready; \
                   while :; do sleep 0.02; done";
    sandbox.write("cleaner.sh", format!("exec >/dev/null 2>&1\n{cleaner}\n"));
    // That of the only plugin is shorter.
    let extra = r#"{"plugin.launcher.grace_period": 600, "plugin.all_x.grace_period": 0.1}"#;
    let script = "setsid bash cleaner.sh & until [ -s ready ]; do sleep 0.02; done";
    let options = ["run", "--extra-config", extra, "plugins", "--", "sh", "-c", script];
    let running = sandbox.launcher(options).start();
    wait_for("it is asked to end", || sandbox.path("asked").exists());
    let since = std::time::Instant::now();
    wait_for("the plugin's grace period is long over", || since.elapsed() > Duration::from_millis(400));
    sandbox.write("go", "");
    assert_eq!(running.wait().status.code(), Some(0));
    assert!(sandbox.path("cleaned").exists(), "it was let clean up");
}

#[test]
fn failing_plugins_and_missing_locations_keep_no_program_from_running() {
    let sandbox = Sandbox::with([
        ("all_fails.sh", "#!/bin/sh\nexit 1\n"),
        ("all_gone.rb", "#!/opt/none/ruby\n"),
        ("all_killed.sh", "#!/bin/sh\nkill -KILL $$\n"),
    ]);
    let locations = ["plugins", "nowhere", "plugins/all_fails.sh/below"];
    let done = sandbox.launcher(["run"]).args(locations).args(["--", "sh", "-c", "echo ran; exit 0"]).output();
    assert_eq!(done.status.code(), Some(0));
    assert!(done.text().contains("ran\n"));
    let none = sandbox.launcher(["run", "nowhere", "--", "sh", "-c", "exit 2"]).output();
    assert_eq!(none.status.code(), Some(2), "the program's own");
}

#[test]
fn a_malformed_configuration_starts_nothing() {
    let sandbox = Sandbox::new();
    let launch = sandbox.launcher(["run", "plugins", "--", "touch", "started"]);
    launch.env("LMCACHE_PLUGIN_CONFIG", "{").output().assert_refused(&["LMCACHE_PLUGIN_CONFIG"]);
    assert!(!sandbox.path("started").exists());
}

#[test]
fn the_program_runs_on_when_every_plugin_has_ended() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho done\n")]);
    let mut running = sandbox
        .launcher(["run", "--format=json", "plugins", "--", "sh", "-c", "until [ -e go ]; do sleep 0.02; done"])
        .start();
    running.wait_for_event("exited", "all_x.sh");
    assert!(running.is_running());
    sandbox.write("go", "");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn a_killed_guard_or_supervisor_leaves_neither_program_nor_plugin() {
    let hard = "#!/bin/sh\ntrap '' TERM\n(setsid sleep 1000 &)\necho ready\nwhile :; do sleep 0.1; done\n";
    for guard in [true, false] {
        let sandbox = Sandbox::with([("all_x.sh", hard)]);
        let program =
            ["--", "sh", "-c", "echo begun; (setsid sleep 1000 >/dev/null 2>&1 &); while :; do sleep 0.1; done"];
        let running = sandbox.launcher(["run", "--grace-period", "0.5", "plugins"]).args(program).start();
        running.wait_for_stdout("] ready");
        running.wait_for_stdout("begun");
        let victim = if guard { running.pid() } else { running.supervisor() };
        sandbox::send("KILL", &[victim]);
        if guard {
            sandbox.assert_nothing_left(Duration::from_millis(500) + sandbox::margin());
        } else {
            assert_eq!(running.wait_within(Duration::from_millis(500) + sandbox::margin()).status.code(), Some(137));
            sandbox.assert_nothing_left(Duration::ZERO);
        }
    }
}

#[test]
fn a_launcher_that_cannot_begin_leaves_no_program() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let mut began_in_vain = 0;
    // From too few descriptors for PROGRAM to enough for all.
    for descriptors in 8..28 {
        sandbox.write("started", "");
        let program = "sh -c 'echo >started; exec sleep 1000'";
        let run = "exec \"$LAUNCHER\" run --parent-fd 0 --grace-period 0.3 plugins --";
        // PROGRAM ignores what is ignored before, so that it has the time to say that it ran.
        let script = format!("trap '' TERM; ulimit -n {descriptors}; {run} {program}");
        let mut running = sandbox.command("sh", ["-c", &script]).stdin(Stdio::piped()).start();
        wait_for("it runs, or has ended", || {
            running.stdout().contains("ready") || running.stdout().contains("failed") || !running.is_running()
        });
        running.close_stdin();
        let done = running.wait_within(Duration::from_millis(300) + sandbox::margin());
        began_in_vain += usize::from(done.status.code() == Some(2) && !sandbox.read("started").is_empty());
        sandbox.assert_nothing_left(Duration::ZERO);
    }
    assert!(began_in_vain > 0, "the control: PROGRAM ran, and the launcher could not begin");
}

#[test]
fn the_end_of_the_program_wakes_whoever_was_stopped() {
    for (guard, supervisor) in [(true, false), (false, true), (true, true)] {
        let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n(setsid sleep 1000 &)\necho ready\nexec sleep 1000\n")]);
        let program = "trap 'exit 3' USR1; echo $$ >pid; while :; do sleep 0.05; done";
        let options = ["run", "--grace-period", "0.5", "plugins", "--", "sh", "-c", program];
        let running = sandbox.launcher(options).start();
        running.wait_for_stdout("] ready");
        let program: u32 = sandbox.wait_for_file("pid").trim().parse().expect("a pid");
        let both = [(guard, running.pid()), (supervisor, running.supervisor())];
        for (_, pid) in both.into_iter().filter(|(is_stopped, _)| *is_stopped) {
            sandbox::send("STOP", &[pid]);
            wait_for("it is stopped", || processes::read(pid).is_some_and(|process| process.state == 'T'));
        }
        sandbox::send("USR1", &[program]);
        let done = running.wait_within(Duration::from_millis(500) + sandbox::margin() * 2);
        assert_eq!(done.status.code(), Some(3), "{guard} {supervisor}");
        sandbox.assert_nothing_left(Duration::ZERO);
    }
}

#[test]
fn an_orphan_that_gets_the_pid_of_the_program_does_not_change_the_status() {
    // In a PID namespace of its own the number of the next process can be chosen.
    let plugin = "#!/bin/sh\n\
        reuse() {\n    \
            program=$(cat program)\n    \
            while kill -0 $program 2>/dev/null; do sleep 0.02; done\n    \
            echo $((program - 1)) >/proc/sys/kernel/ns_last_pid\n    \
            sh -c 'echo $$ >reused; while kill -0 $0 2>/dev/null; do sleep 0.02; done; exit 7' $$ &\n    \
            until [ -s reused ]; do sleep 0.02; done\n    \
            exit 0\n\
        }\n\
        trap reuse TERM\n\
        echo ready >ready\n\
        while :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let script = "\"$LAUNCHER\" run --grace-period 20 plugins -- sh -c '\n    \
        echo $$ >program; until [ -s ready ]; do sleep 0.02; done; exit 3'; echo \"status $?\"";
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let done = crate::namespace::command(&sandbox, &kinds, &["sh", "-c", script]).output();
    assert!(done.text().ends_with("status 3\n"), "{}", done.text());
    assert_eq!(sandbox.read("reused"), sandbox.read("program"), "the control: the number was given again");
}
