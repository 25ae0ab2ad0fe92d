//! What hides from /proc, or has none, is stopped all the same; and where /proc is another's, nobody there is touched.
//! Each control shows that what is to be stopped was there and hid.

use std::process::Stdio;
use std::time::Duration;

use crate::namespace;
use crate::processes;
use crate::sandbox::{self, Running, Sandbox, wait_for};

/// Ignores SIGTERM, and ends its main thread while another runs on.
const HEADLESS: &str = "#!/usr/bin/env python3\n\
    import ctypes, os, signal, sys, threading, time\n\
    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
    if 'daemon' in sys.argv[0]:\n    \
        os.fork() and os._exit(0)\n    \
        os.setsid()\n\
    threading.Thread(target=time.sleep, args=(1000,)).start()\n\
    print('pid', os.getpid(), flush=True)\n\
    EXIT_OF_A_THREAD = 60\n\
    ctypes.CDLL(None).syscall(EXIT_OF_A_THREAD, 0)\n";

/// A daemon outside the group of its plugin, deaf to SIGTERM, and its pid as it sees it.
const DAEMON: &str = "#!/bin/sh\n\
    (setsid sh -c 'trap \"\" TERM; echo $$ >daemon; while :; do sleep 0.1; done' >/dev/null 2>&1 &)\n\
    until [ -s daemon ]; do sleep 0.02; done\n\
    echo ready\n\
    exec sleep 1000\n";

/// What is said, once, where /proc is of no use.
pub const NO_PROC: &str = "[launcher] warning: /proc cannot be read, or is another PID namespace's: \
    stopping process groups and direct children only\n";

/// Runs the launcher until its stdin ends, then looks for the daemon.
const LOOK_FOR_DAEMON: &str = "\"$LAUNCHER\" run --grace-period 0.3 --parent-fd 0 plugins; echo \"status $?\"\n\
    kill -0 $(cat daemon) 2>/dev/null && echo 'daemon left' || echo 'daemon gone'\n";

/// Deaf to SIGTERM, with a child in a session of its own that another of its threads started and that notes SIGTERM,
/// also where nobody reads any more what it might say.
const PARENT: &str = "import signal, subprocess, threading\n\
    child = 'exec 2>/dev/null; trap \"echo >asked; exit\" TERM; echo ready; while :; do sleep 0.02; done'\n\
    begun = threading.Event()\n\
    def start():\n    \
        subprocess.Popen(['sh', '-c', child], start_new_session=True)\n    \
        begun.set()\n    \
        threading.Event().wait()\n\
    threading.Thread(target=start).start()\n\
    begun.wait()\n\
    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
    print('deaf', flush=True)\n";

/// A sandbox with a plugin that has it below it.
fn with_parent() -> Sandbox {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\npython3 parent.py &\nwait\n")]);
    sandbox.write("parent.py", PARENT);
    sandbox
}

fn wait_for_parent(running: &Running<'_>) {
    running.wait_for_stdout("] ready");
    running.wait_for_stdout("] deaf");
}

/// Waits for the plugin, ends the pipe to the launcher, and returns all output.
fn stop_and_read(mut running: Running<'_>) -> String {
    running.wait_for_stdout("] ready");
    running.close_stdin();
    running.wait().text()
}

#[test]
fn a_process_whose_main_thread_has_ended_is_no_zombie() {
    let sandbox = Sandbox::with([("all_leader.py", HEADLESS), ("all_daemon.py", HEADLESS)]);
    let running = sandbox.launcher(["run", "--grace-period", "0.3", "plugins"]).start();
    let mut pids: Vec<u32> = Vec::new();
    wait_for("both say who they are", || {
        pids = running.stdout().lines().filter_map(|line| line.split_once("] pid ")?.1.parse().ok()).collect();
        pids.len() == 2
    });
    // The control: who goes by the state in /proc takes them for dead.
    let seems_dead = |pid: &u32| processes::read(*pid).is_some_and(|process| process.state == 'Z');
    wait_for("they look like zombies", || pids.iter().all(seems_dead));
    running.signal("TERM");
    assert_eq!(running.wait_within(Duration::from_millis(300) + sandbox::margin() * 2).status.code(), Some(0));
    assert!(pids.iter().all(|pid| processes::read(*pid).is_none()), "{pids:?}");
}

#[test]
fn what_proc_hides_from_an_ordinary_user_is_stopped() {
    let hidden = "#!/usr/bin/env python3\n\
        import ctypes, os, signal, time\n\
        signal.signal(signal.SIGTERM, signal.SIG_IGN)\n\
        child = os.fork()\n\
        if child == 0:\n    \
            os.setsid()\n    \
            ctypes.CDLL(None).prctl(4, 0, 0, 0, 0)\n    \
            print('ready', flush=True)\n\
        while child and os.path.exists(f'/proc/{child}'):\n    \
            time.sleep(0.02)\n\
        child and print('control: hidden', flush=True)\n\
        time.sleep(1000)\n";
    let sandbox = Sandbox::with([("all_hidden.py", hidden)]);
    // An ordinary user is who has no capabilities and is not in the group of those who see all.
    let ordinary = "setpriv --securebits +noroot,+noroot_locked --inh-caps -all --bounding-set -all";
    let script = format!(
        "mount -t proc -o hidepid=2,gid=1 proc /proc 2>/dev/null || mount -t proc -o hidepid=2 proc /proc || exit 9\n\
         {ordinary} \"$LAUNCHER\" run --grace-period 0.3 --parent-fd 0 plugins; echo \"status $?\"\n\
         grep -al all_hidde[n].py /proc/[0-9]*/cmdline; echo end\n"
    );
    let kinds = ["--pid", "--fork", "--mount", "--kill-child"];
    let running = namespace::command(&sandbox, &kinds, &["sh", "-c", &script]).stdin(Stdio::piped()).start();
    running.wait_for_stdout("control: hidden");
    let text = stop_and_read(running);
    assert!(text.ends_with("status 0\nend\n"), "{text}");
}

#[test]
fn three_that_fork_and_end_without_a_pause_are_caught() {
    // Each link of the chain is the leader of a session of its own, and gone when the next one is there.
    let forking = "#!/usr/bin/perl\n\
        use POSIX; $SIG{TERM} = 'IGNORE'; $SIG{CHLD} = 'IGNORE';\n\
        if (!fork) { while (1) { POSIX::setsid(); exit 0 if fork; } }\n\
        $| = 1; print \"ready\\n\"; sleep 1000 while 1;\n";
    let sandbox = Sandbox::with([("all_a.pl", forking), ("all_b.pl", forking), ("all_c.pl", forking)]);
    // Numbers of processes are given in turn: as many are used up as were forked.
    let script = "forks() { a=$(sh -c 'echo $$'); sleep 0.3; b=$(sh -c 'echo $$'); echo \"$1 $((b - a))\"; }\n\
        (until [ -e begin ]; do sleep 0.02; done; forks before; touch counted) &\n\
        \"$LAUNCHER\" run --grace-period 0.3 --parent-fd 0 plugins; echo \"status $?\"\n\
        forks after\n";
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let mut running = namespace::command(&sandbox, &kinds, &["sh", "-c", script]).stdin(Stdio::piped()).start();
    wait_for("all three stand", || running.stdout().matches("] ready").count() == 3);
    sandbox.write("begin", "");
    wait_for("they were counted", || sandbox.path("counted").exists());
    running.close_stdin();
    let text = running.wait().text();
    let forks = |when: &str| -> i64 {
        let line = text.lines().find_map(|line| line.strip_prefix(when)).unwrap_or_else(|| panic!("{when}: {text}"));
        line.trim().parse().expect("a number")
    };
    assert!(forks("before ") > 30, "the control: {text}");
    assert!(forks("after ") <= 10, "{text}");
    assert!(text.contains("status 0\n"), "{text}");
}

#[test]
fn where_proc_is_another_namespaces_no_stranger_is_touched_and_a_daemon_is_stopped() {
    let sandbox = Sandbox::with([("all_x.sh", DAEMON)]);
    sandbox.write("inner.sh", LOOK_FOR_DAEMON);
    // The strangers have the numbers that are given again inside.
    let script = "for n in $(seq 60); do sleep 1000 & strangers=\"$strangers $!\"; done\n\
        unshare --pid --fork --kill-child sh inner.sh\n\
        left=0; for pid in $strangers; do kill -0 $pid && left=$((left + 1)); done; echo \"strangers $left\"\n";
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let running = namespace::command(&sandbox, &kinds, &["sh", "-c", script]).stdin(Stdio::piped()).start();
    let text = stop_and_read(running);
    assert_eq!(text.matches(NO_PROC).count(), 1, "a notice says so: {text}");
    assert!(text.ends_with("status 0\ndaemon gone\nstrangers 60\n"), "{text}");
    let number: u32 = sandbox.read("daemon").trim().parse().expect("a pid");
    assert!(number <= 60, "the control: a stranger has the number of the daemon, {number}");
}

#[test]
fn without_proc_a_daemon_outside_its_group_is_stopped() {
    let sandbox = Sandbox::with([("all_x.sh", DAEMON)]);
    let script = format!("mount -t tmpfs none /proc && {{ {LOOK_FOR_DAEMON} }}");
    let running = namespace::command(&sandbox, &["--mount"], &["sh", "-c", &script]).stdin(Stdio::piped()).start();
    let text = stop_and_read(running);
    assert!(text.ends_with("status 0\ndaemon gone\n"), "{text}");
}

#[test]
fn what_another_thread_of_a_process_started_is_asked_to_end() {
    let sandbox = with_parent();
    let running = sandbox.launcher(["run", "--grace-period", "600", "plugins"]).start();
    wait_for_parent(&running);
    running.signal("TERM");
    sandbox.wait_for_file("asked");
}

#[test]
fn where_proc_has_no_lists_of_children_all_below_are_asked_to_end() {
    let sandbox = with_parent();
    // The guard's own is what is looked at, and it does so when the supervisor is gone.
    let script = "mkdir empty && mount --bind empty /proc/$$/task/$$ && ! cat /proc/$$/task/$$/children &&\n\
        exec \"$LAUNCHER\" run --grace-period 600 plugins";
    let running = namespace::command(&sandbox, &["--mount"], &["sh", "-c", script]).start();
    wait_for_parent(&running);
    sandbox::send("KILL", &[running.supervisor()]);
    sandbox.wait_for_file("asked");
}

#[test]
fn without_proc_a_daemon_whose_number_is_below_ours_is_found_in_time() {
    // Numbers begin anew between the launcher and the daemon: it is the last but a few before that.
    let begins_anew = "#!/bin/sh\n\
        last=$(cat last)\n\
        until sh -c 'test $$ -lt $0' \"$last\"; do :; done\n";
    let daemon = DAEMON.trim_start_matches("#!/bin/sh\n");
    let sandbox = Sandbox::with([("all_x.sh", &*[begins_anew, daemon].concat())]);
    let script = format!(
        "last=$(( $(cat /proc/sys/kernel/pid_max) - 50 )); echo $last >last\n\
         echo $last >/proc/sys/kernel/ns_last_pid && mount -t tmpfs none /proc || exit\n{LOOK_FOR_DAEMON}"
    );
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let running = namespace::command(&sandbox, &kinds, &["sh", "-c", &script]).stdin(Stdio::piped()).start();
    let text = stop_and_read(running);
    let number: u32 = sandbox.read("daemon").trim().parse().expect("a pid");
    let last: u32 = sandbox.read("last").trim().parse().expect("a number");
    assert!(number < last, "control: numbers began anew: {number}, {last}");
    // A supervisor that searches for seconds is killed by the guard, and that is the status.
    assert!(text.ends_with("status 0\ndaemon gone\n"), "{text}");
}
