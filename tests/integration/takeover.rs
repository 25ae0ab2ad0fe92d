//! A supervisor that is killed, or does not answer, is missed by nobody: the guard stops what it ran, as it would have.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use crate::processes;
use crate::sandbox::{self, Sandbox, wait_for};

/// Holds a process, whoever wakes it, until it is killed: as if its kernel call never returned. Who may not trace it stops
/// it again and again, between which it runs for a moment.
pub const HOLD: &str = "import ctypes, os, signal, sys\n\
    SEIZE, INTERRUPT, WALL = 0x4206, 0x4207, 0x40000000\n\
    pid, libc = int(sys.argv[1]), ctypes.CDLL(None)\n\
    if libc.ptrace(SEIZE, pid, None, None) == 0 and libc.ptrace(INTERRUPT, pid, None, None) == 0:\n    \
        while os.WIFSTOPPED(os.waitpid(pid, WALL)[1]):\n        \
            pass\n\
    else:\n    \
        while os.path.exists(f'/proc/{pid}'):\n        \
            os.kill(pid, signal.SIGSTOP)\n";

/// What begins a stop.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Beginning {
    Signal,
    /// To the supervisor alone, which tells the guard of it.
    SignalToSupervisor,
    ParentEnds,
    ProgramEnds,
}

#[test]
fn a_supervisor_that_never_answers_is_killed_and_its_work_taken_over() {
    use Beginning::*;
    thread::scope(|scope| {
        for beginning in [Signal, SignalToSupervisor, ParentEnds, ProgramEnds] {
            scope.spawn(move || assert_taken_over(beginning));
        }
    });
}

fn assert_taken_over(beginning: Beginning) {
    use Beginning::*;
    // Where the supervisor is to get as far as asking its plugins to end, that is when it is stopped.
    let trap = if beginning == SignalToSupervisor { "kill -STOP $PPID" } else { "" };
    let plugin =
        format!("#!/bin/sh\ntrap '{trap}' TERM\n(setsid sleep 1000 &)\necho ready\nwhile :; do sleep 0.02; done\n");
    let sandbox = Sandbox::with([("all_x.sh", &*plugin)]);
    let grace_period = Duration::from_millis(if beginning == SignalToSupervisor { 1_000 } else { 300 });
    let mut words = vec!["run", "--grace-period", if beginning == SignalToSupervisor { "1" } else { "0.3" }];
    words.extend(if beginning == ParentEnds { &["--parent-fd", "0", "plugins"][..] } else { &["plugins"] });
    words.extend(if beginning == ProgramEnds { &["--", "sh", "-c", "read end"][..] } else { &[] });
    let mut running = sandbox.launcher(words).stdin(Stdio::piped()).start();
    running.wait_for_stdout("] ready");
    let supervisor = running.supervisor();
    if beginning == SignalToSupervisor {
        sandbox::send("TERM", &[supervisor]);
        wait_for("it is stopped", || processes::read(supervisor).is_some_and(|process| process.state == 'T'));
    }
    let holder = sandbox.command("python3", ["-c", HOLD, &supervisor.to_string()]).start();
    wait_for("it is stopped", || processes::read(supervisor).is_none_or(|process| "tT".contains(process.state)));
    match beginning {
        Signal => running.signal("TERM"),
        SignalToSupervisor => {}
        ParentEnds | ProgramEnds => running.close_stdin(),
    }
    // The grace period, the guard's margin of three seconds, the grace period once more.
    let done = running.wait_within(grace_period * 2 + Duration::from_secs(3) + sandbox::margin() * 2);
    assert_eq!(done.status.code(), Some(137), "{beginning:?}");
    assert!(done.stderr.contains("the supervisor was killed by SIGKILL"), "{beginning:?}: {}", done.stderr);
    drop(holder);
    sandbox.assert_nothing_left(sandbox::margin());
}

#[test]
fn a_guard_whose_messages_nobody_reads_stops_everything() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntrap '' TERM\necho >ready\nexec yes\n")]);
    // Standard output and error are one pipe, which is full.
    let script = "exec \"$LAUNCHER\" run --grace-period 0.3 plugins 2>&1";
    let running = sandbox.command("sh", ["-c", script]).unread().start();
    sandbox.wait_for_file("ready");
    let supervisor = running.supervisor();
    // Once nothing moves for a while, everything is full.
    let mut before = (processes::context_switches(supervisor), Instant::now());
    wait_for("the log waits for its reader", || {
        let switches = processes::context_switches(supervisor);
        if switches != before.0 {
            before = (switches, Instant::now());
        }
        before.1.elapsed() > Duration::from_millis(200)
    });
    sandbox::send("KILL", &[supervisor]);
    sandbox.assert_nothing_left(Duration::from_millis(300) + sandbox::margin());
}

#[test]
fn a_killed_supervisor_is_told_by_status_137() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho ready\nexec sleep 1000\n")]);
    let running = sandbox.launcher(["run", "--grace-period", "0.5", "plugins"]).start();
    running.wait_for_stdout("] ready");
    sandbox::send("KILL", &[running.supervisor()]);
    assert_eq!(running.wait().status.code(), Some(137));
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn what_a_killed_supervisor_ran_has_the_longest_grace_period() {
    // Silent: nobody reads what it says any more, and bash tells when a child of it was terminated.
    let cleaner = "#!/bin/sh\nsetsid bash -c 'exec >/dev/null 2>&1; trap \"touch asked; until [ -e go ]; do sleep 0.02; done; touch cleaned; exit\" TERM\n\
        echo >ready; while :; do sleep 0.02; done' &\nwait\n";
    let configuration = |grace_period: &str| {
        format!(
            "extra_config:\n  plugin.launcher.grace_period: 0.1\n  plugin.all_cleaner.grace_period: {grace_period}\n"
        )
    };
    for is_reloaded in [false, true] {
        let sandbox = Sandbox::with([("all_staying.sh", "#!/bin/sh\nexec sleep 1000\n")]);
        sandbox.write("lmcache.yaml", configuration(if is_reloaded { "0.1" } else { "600" }));
        let write_cleaner = || sandbox.plugin("all_cleaner.sh", cleaner);
        if !is_reloaded {
            write_cleaner();
        }
        let running = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).start();
        running.wait_for_stdout("started all_staying.sh");
        if is_reloaded {
            write_cleaner();
            sandbox.write("lmcache.yaml", configuration("600"));
            running.signal("HUP");
        }
        sandbox.wait_for_file("ready");
        sandbox::send("KILL", &[running.supervisor()]);
        wait_for("what is left is asked to end", || sandbox.path("asked").exists());
        let since = Instant::now();
        wait_for("the general grace period is long over", || since.elapsed() > Duration::from_millis(500));
        sandbox.write("go", "");
        let done = running.wait();
        assert_eq!(done.status.code(), Some(137));
        let told = "lmcache-plugin-launcher: the supervisor was killed by SIGKILL; stopping what it ran\n";
        assert_eq!(done.stderr, told, "said once");
        assert!(sandbox.path("cleaned").exists(), "it was let clean up");
    }
}

#[test]
fn a_second_signal_from_the_keyboard_skips_the_grace_period_of_what_a_killed_supervisor_ran() {
    let leaving =
        "#!/bin/sh\nsetsid sh -c 'trap \"\" TERM; echo >ready; while :; do sleep 0.1; done' >/dev/null 2>&1 &\nwait\n";
    let sandbox = Sandbox::with([("all_x.sh", leaving)]);
    let mut running = sandbox.launcher(["run", "--grace-period", "600", "plugins"]).start();
    sandbox.wait_for_file("ready");
    sandbox::send("KILL", &[running.supervisor()]);
    wait_for("the guard has taken over", || running.stderr().contains("the supervisor was killed by SIGKILL"));
    running.signal("INT");
    // Two that wait for the guard at once are one.
    wait_for("it has heard the first", || processes::pending_signals(running.pid()) == 0);
    assert!(running.is_running(), "one skips nothing");
    running.signal("INT");
    assert_eq!(running.wait().status.code(), Some(137));
    sandbox.assert_nothing_left(Duration::ZERO);
}
