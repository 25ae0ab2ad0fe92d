//! The launcher goes when its parent does, and only then.

use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::denied::{DENYING, PIDFD_OPEN};
use crate::namespace;
use crate::processes;
use crate::sandbox::{self, Running, Sandbox, wait_for};

const SLEEPING: &str = "#!/bin/sh\necho ready\nexec sleep 1000\n";
const TICKING: &str = "#!/bin/sh\nwhile :; do echo tick; sleep 0.05; done\n";

/// Waits until the plugin has printed this many more lines: it lives on.
fn wait_for_ticks(count: impl Fn() -> usize, more: usize) {
    let before = count();
    wait_for("the plugin lives on", || count() >= before + more);
}

#[test]
fn any_process_can_be_the_parent() {
    let sandbox =
        Sandbox::with([("all_x.sh", "#!/bin/sh\necho \"parent $LMCACHE_PLUGIN_PARENT_PID\"\nexec sleep 1000\n")]);
    let host = sandbox.command("sleep", ["1000"]).start();
    let pid = host.pid().to_string();
    let running = sandbox.launcher(["run", "--grace-period", "20", "--parent-pid", &pid, "plugins"]).start();
    running.wait_for_stdout(&format!("[all_x.sh] parent {pid}\n"));
    host.signal("KILL");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(0), "the parent went");
    assert!(done.text().contains("[launcher] stopping: the parent process ended\n"), "{}", done.text());
}

#[test]
fn a_parent_already_gone_means_stop_and_start_nothing() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    let done = sandbox.command("sh", ["-c", "true & wait; echo $!"]).output();
    let gone = done.text().trim().to_owned();
    let done = sandbox.launcher(["run", "--parent-pid", &gone, "plugins"]).output();
    assert_eq!(done.status.code(), Some(0));
    assert_eq!(done.text(), "[launcher] stopping: the parent process has ended already\n");
    assert!(!sandbox.path("started").exists());
    // Nor does the /proc of another namespace, which has other processes, bring it back.
    let own = std::process::id().to_string();
    let command = [sandbox::LAUNCHER, "run", "--parent-pid", &own, "plugins"];
    let done = namespace::command(&sandbox, &["--pid", "--fork"], &command).output();
    assert_eq!(done.text(), "[launcher] stopping: the parent process has ended already\n");
    let quiet = sandbox.launcher(["run", "--quiet", "--parent-pid", &gone, "plugins"]).output();
    assert_eq!((quiet.status.code(), &*quiet.text()), (Some(0), ""));
}

#[test]
fn parent_pid_0_watches_nobody() {
    let sandbox = Sandbox::with([("all_x.sh", TICKING)]);
    let log = sandbox.text("log");
    let script = "\"$LAUNCHER\" run --parent-pid 0 plugins >\"$0\" 2>&1 & echo $! >launcher";
    assert!(sandbox.command("sh", ["-c", script, &log]).output().status.success());
    let launcher: u32 = sandbox.wait_for_file("launcher").trim().parse().expect("a pid");
    wait_for_ticks(|| sandbox.read("log").matches("tick").count(), 10);
    assert!(processes::is_alive(launcher));
    sandbox::send("TERM", &[launcher]);
    sandbox.assert_nothing_left(sandbox::PATIENCE);
}

#[test]
fn without_pidfds_the_parent_is_looked_at_now_and_then() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    let host = sandbox.command("sleep", ["1000"]).start();
    let pid = host.pid().to_string();
    let options = ["run", "--grace-period", "20", "--parent-pid", &pid, "plugins"];
    let command = sandbox.command("python3", ["-c", DENYING, PIDFD_OPEN, sandbox::LAUNCHER]);
    let running = command.args(options).start();
    running.wait_for_stdout("] ready");
    processes::wait_for_sleep("between two looks", &[running.pid(), running.supervisor()]);
    host.signal("KILL");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(0), "the parent went");
    assert!(done.text().contains("[launcher] stopping: the parent process ended\n"), "{}", done.text());
}

#[test]
fn the_end_of_the_parent_pipe_is_the_end_of_the_parent() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    let options = ["run", "--grace-period", "20", "--parent-fd", "0", "plugins"];
    let mut running = sandbox.launcher(options).stdin(Stdio::piped()).start();
    running.wait_for_stdout("] ready");
    // Words in the pipe are not its end.
    running.write("still here\n");
    running.signal("HUP");
    running.wait_for_stdout("[launcher] reloaded: ");
    running.close_stdin();
    assert_eq!(running.wait().status.code(), Some(0));
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn the_parent_pipe_may_be_any_descriptor() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    let script = "exec \"$LAUNCHER\" run --grace-period 20 --parent-fd=3 plugins 3<&0 </dev/null";
    let mut running = sandbox.command("sh", ["-c", script]).stdin(Stdio::piped()).start();
    running.wait_for_stdout("] ready");
    running.close_stdin();
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn what_is_no_pipe_has_nobody_at_its_other_end() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntouch started\n")]);
    sandbox.write("file", "words\n");
    for kind in ["file", "/dev/null"] {
        let script = "exec \"$LAUNCHER\" run --parent-fd 3 plugins 3<\"$0\"";
        let done = sandbox.command("sh", ["-c", script, kind]).output();
        assert_eq!(done.status.code(), Some(0), "{kind}");
        assert_eq!(done.text(), "[launcher] stopping: the parent process has ended already\n", "{kind}");
    }
    assert!(!sandbox.path("started").exists());
}

#[test]
fn a_python_host_ends_it_by_closing_the_pipe() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nsetsid sleep 1000 &\necho ready\nexec sleep 1000\n")]);
    let host = "import os, subprocess, sys\n\
                r, w = os.pipe()\n\
                child = subprocess.Popen(sys.argv[1:] + ['--parent-fd', str(r), 'plugins'], pass_fds=[r])\n\
                os.close(r)\n\
                sys.stdin.readline()\n\
                os.close(w)\n\
                sys.exit(40 + child.wait())\n";
    sandbox.write("host.py", host);
    let arguments = ["host.py", sandbox::LAUNCHER, "run", "--grace-period", "20", "--parent-pid", "0"];
    let mut running = sandbox.command("python3", arguments).stdin(Stdio::piped()).start();
    running.wait_for_stdout("] ready");
    running.write("close\n");
    assert_eq!(running.wait().status.code(), Some(40));
    sandbox.assert_nothing_left(Duration::ZERO);
}

#[test]
fn the_end_of_the_thread_that_started_it_is_not_the_end_of_the_parent() {
    let sandbox = Sandbox::with([("all_x.sh", TICKING)]);
    let host = "import subprocess, sys, threading\n\
                def start():\n    \
                    global child\n    \
                    child = subprocess.Popen(sys.argv[1:])\n\
                thread = threading.Thread(target=start)\n\
                thread.start()\n\
                thread.join()\n\
                print('thread over', file=sys.stderr, flush=True)\n\
                sys.stdin.readline()\n\
                sys.exit(9 if child.poll() is None else 1)\n";
    sandbox.write("host.py", host);
    let arguments = ["host.py", sandbox::LAUNCHER, "run", "--grace-period", "5", "plugins"];
    let mut running = sandbox.command("python3", arguments).stdin(Stdio::piped()).start();
    wait_for("the thread is over", || running.stderr().contains("thread over"));
    wait_for_ticks(|| running.stdout().matches("tick").count(), 10);
    running.write("end\n");
    assert_eq!(running.wait().status.code(), Some(9), "the launcher was still there");
    sandbox.assert_nothing_left(Duration::from_secs(5) + sandbox::margin());
}

#[test]
fn a_killed_python_parent_leaves_no_plugin() {
    let plugin = "#!/usr/bin/env python3\n\
                  import signal, subprocess, time\n\
                  signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
                  subprocess.Popen(['sleep', '1000'], start_new_session=True)\n\
                  print('ready')\n\
                  time.sleep(1000)\n";
    let sandbox = Sandbox::with([("all_x.py", plugin)]);
    let host = "import subprocess, sys, time\nsubprocess.Popen(sys.argv[1:])\ntime.sleep(1000)\n";
    sandbox.write("host.py", host);
    let arguments = ["host.py", sandbox::LAUNCHER, "run", "--grace-period", "0.5", "plugins"];
    let running = sandbox.command("python3", arguments).start();
    running.wait_for_stdout("[all_x.py] ready");
    running.signal("KILL");
    sandbox.assert_nothing_left(Duration::from_millis(500) + sandbox::margin());
}

/// A host that starts the launcher with PROGRAM, and what the launcher is told of it.
fn with_program<'a>(sandbox: &'a Sandbox, options: &str) -> Running<'a> {
    sandbox.plugin("all_x.sh", SLEEPING);
    let host = format!(
        "import os, subprocess, sys, time\n\
         subprocess.Popen([sys.argv[1], 'run', '--grace-period', '0.5', {options} *sys.argv[2:]])\n\
         time.sleep(1000)\n"
    );
    sandbox.write("host.py", host);
    let program = ["plugins", "--", "sh", "-c", "trap '' TERM HUP; while :; do echo tick; sleep 0.1; done"];
    let running = sandbox.command("python3", ["host.py", sandbox::LAUNCHER]).args(program).start();
    running.wait_for_stdout("] ready");
    running
}

#[test]
fn a_program_goes_too_when_the_parent_that_was_given_does() {
    let sandbox = Sandbox::new();
    with_program(&sandbox, "'--parent-pid', str(os.getpid()),").signal("KILL");
    sandbox.assert_nothing_left(Duration::from_millis(500) + sandbox::margin());
}

#[test]
fn a_program_outlives_the_parent_as_it_would_alone() {
    let sandbox = Sandbox::new();
    let running = with_program(&sandbox, "");
    running.signal("KILL");
    wait_for("the host is gone", || !processes::is_alive(running.pid()));
    wait_for_ticks(|| running.stdout().matches("tick").count(), 10);
}

#[test]
fn a_program_does_not_get_the_descriptors_that_are_the_launchers() {
    let sandbox = Sandbox::new();
    let descriptors = |script: &str| sandbox.command("sh", ["-c", script]).stdin(Stdio::piped()).output().text();
    let launched = "exec \"$LAUNCHER\" run --parent-fd 7 --log-fd 8 -- ls /proc/self/fd 7<&0 8>&2 9</dev/null";
    assert_eq!(descriptors(launched), descriptors("exec ls /proc/self/fd 9</dev/null"));
}

#[test]
fn without_pidfd_each_of_its_processes_finds_the_end_of_the_parent_by_itself() {
    let rows =
        [(true, Some("guard")), (true, Some("supervisor")), (true, None), (false, Some("supervisor")), (false, None)];
    thread::scope(|scope| {
        for (is_named, stopped) in rows {
            scope.spawn(move || assert_found_without_pidfd(is_named, stopped));
        }
    });
}

/// The parent is named, or that at the start. One of the launcher's processes may be stopped when it ends.
fn assert_found_without_pidfd(is_named: bool, stopped: Option<&str>) {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("denying.py", DENYING);
    let script = if is_named {
        "exec python3 denying.py 434 \"$LAUNCHER\" run --grace-period 20 --parent-pid \"$0\" plugins"
    } else {
        "python3 denying.py 434 sh -c 'echo $$ >launcher; exec \"$LAUNCHER\" run --grace-period 20 plugins' & wait"
    };
    let named = is_named.then(|| sandbox.command("sleep", ["1000"]).start());
    let pid = named.as_ref().map_or(String::new(), |named| named.pid().to_string());
    let running = sandbox.command("sh", ["-c", script, &pid]).start();
    running.wait_for_stdout("] ready");
    let guard = match is_named {
        true => running.pid(),
        false => sandbox.wait_for_file("launcher").trim().parse().expect("a pid"),
    };
    let supervisor = processes::child_named(guard, "plugin-supervis");
    processes::wait_for_sleep("nothing happens", &[guard, supervisor]);
    if let Some(who) = stopped {
        let pid = if who == "guard" { guard } else { supervisor };
        sandbox::send("STOP", &[pid]);
        wait_for("it is stopped", || processes::read(pid).is_some_and(|process| process.state == 'T'));
    }
    named.as_ref().unwrap_or(&running).signal("KILL");
    running.wait_for_stdout("[launcher] stopping: the parent process ended\n");
    sandbox.assert_nothing_left(sandbox::margin());
}

#[test]
fn where_nothing_else_tells_the_guard_finds_that_it_has_another_parent() {
    let sandbox = Sandbox::with([("all_x.sh", SLEEPING)]);
    sandbox.write("denying.py", DENYING);
    let script =
        "mount -t tmpfs none /proc && python3 denying.py 434 \"$LAUNCHER\" run --grace-period 20 plugins & wait";
    let running = namespace::command(&sandbox, &["--mount"], &["sh", "-c", script]).start();
    running.wait_for_stdout("] ready");
    running.signal("KILL");
    running.wait_for_stdout("[launcher] stopping: the parent process ended\n");
    sandbox.assert_nothing_left(sandbox::margin());
}
