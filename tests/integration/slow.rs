//! Nothing that is slow holds up a stop: files that never answer, files without end, trees too large to be searched,
//! storms of signals, readers that do not read.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::process::Stdio;
use std::time::{Duration, Instant};

use crate::control::connect;
use crate::namespace;
use crate::processes;
use crate::sandbox::{self, Running, Sandbox, wait_for};

const STAYING: &str = "#!/bin/sh\necho ready\nexec sleep 1000\n";
const GRACE: &str = "0.3";

/// What a stop takes at most where every plugin ends when it is asked to.
fn limit() -> Duration {
    Duration::from_millis(300) + sandbox::margin() * 2
}

fn assert_stops(running: Running<'_>) -> String {
    running.signal("TERM");
    let sandbox = running.sandbox().path("");
    let done = running.wait_within(limit());
    assert_eq!(done.status.code(), Some(0), "{}", sandbox.display());
    done.text()
}

/// Sends a signal this many times, each when the one before was taken.
fn storm(sandbox: &Sandbox, signal: &str, count: usize, pid: u32) {
    let script = "kill $ARGV[0] => $ARGV[2] and select undef, undef, undef, 0.0001 for 1 .. $ARGV[1]";
    let done = sandbox.command("perl", ["-e", script, signal, &count.to_string(), &pid.to_string()]).output();
    assert!(done.status.success());
}

/// Waits until the launcher's own processes have been at rest for a while.
fn wait_for_rest(running: &Running<'_>) {
    let processes = [running.pid(), running.supervisor()];
    let switches = || processes.iter().map(|pid| processes::context_switches(*pid)).sum::<u64>();
    let mut before = (switches(), Instant::now());
    wait_for("it has come to rest", || {
        let now = switches();
        if now != before.0 {
            before = (now, Instant::now());
        }
        before.1.elapsed() > Duration::from_millis(300)
    });
}

/// The kilobytes of memory that are this process's own.
fn memory(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
    let line = status.lines().find_map(|line| line.strip_prefix("RssAnon:")).expect("a figure");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}

#[test]
fn a_fifo_in_place_of_the_configuration_holds_up_nothing() {
    let sandbox = Sandbox::with([("all_x.sh", STAYING)]);
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\n");
    let running = sandbox.launcher(["run", "--grace-period", GRACE, "--config", "lmcache.yaml"]).start();
    running.wait_for_stdout("] ready");
    fs::remove_file(sandbox.path("lmcache.yaml")).expect("removed");
    sandbox.mkfifo("lmcache.yaml");
    running.signal("HUP");
    running.wait_for_stdout("not reloaded");
    assert_stops(running);
}

/// Runs a command beside a file system that never answers, like a network file system whose server is gone, and says when
/// a thread waits for it that is not the first of its process. Where there is a file `fail` it does so in the end, and says when nobody waits any more.
const HANGING: &str = "import ctypes, glob, os, subprocess, sys, time\n\
    fuse = os.open('/dev/fuse', os.O_RDWR)\n\
    options = f'fd={fuse},rootmode=40000,user_id=0,group_id=0'.encode()\n\
    os.mkdir('hung')\n\
    assert ctypes.CDLL(None, use_errno=True).mount(b'hung', b'hung', b'fuse', 0, options) == 0, ctypes.get_errno()\n\
    launcher = subprocess.Popen(sys.argv[1:])\n\
    def waits(stat):\n    \
        _, _, pid, _, thread, _ = stat.split('/')\n    \
        try: return pid != thread and ') D ' in open(stat).read()\n    \
        except OSError: return False\n\
    waiting = []\n\
    while launcher.poll() is None and not waiting:\n    \
        time.sleep(0.02)\n    \
        waiting = [stat for stat in glob.glob('/proc/[0-9]*/task/*/stat') if waits(stat)]\n\
    if waiting: os.write(1, b'hangs\\n')\n\
    while launcher.poll() is None:\n    \
        time.sleep(0.02)\n    \
        if os.path.exists('fail'):\n        \
            os.close(fuse)\n        \
            while any(map(os.path.exists, waiting)): time.sleep(0.02)\n        \
            os.write(1, b'is over\\n')\n        \
            break\n\
    sys.exit(launcher.wait())\n";

/// The launcher with these arguments, beside `hung`, until its standard input ends.
fn beside_what_hangs<'s>(sandbox: &'s Sandbox, arguments: &[&str]) -> Running<'s> {
    beside_what_hangs_with(sandbox, GRACE, arguments)
}

fn beside_what_hangs_with<'s>(sandbox: &'s Sandbox, grace_period: &str, arguments: &[&str]) -> Running<'s> {
    sandbox.write("hanging.py", HANGING);
    let kinds = ["--mount", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let command =
        ["python3", "hanging.py", sandbox::LAUNCHER, "run", "--parent-fd", "0", "--grace-period", grace_period];
    namespace::command(sandbox, &kinds, &[&command, arguments].concat()).stdin(Stdio::piped()).start()
}

#[test]
fn a_file_system_that_never_answers_holds_up_no_stop() {
    // Plugins are started when all locations were searched.
    let sandbox = Sandbox::with([("all_x.sh", STAYING)]);
    let mut running = beside_what_hangs(&sandbox, &["plugins", "hung"]);
    running.wait_for_stdout("hangs");
    running.close_stdin();
    let done = running.wait_within(limit());
    assert_eq!(done.status.code(), Some(0));
    assert!(!done.text().contains("started"), "the control: {}", done.text());
    // As the configuration, or one of its locations, that is read again.
    for place in ["hung/lmcache.yaml", "elsewhere"] {
        let sandbox = Sandbox::with([("all_x.sh", STAYING)]);
        sandbox.write("elsewhere", "plugin_locations: [plugins, hung]\n");
        sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\n");
        let mut running = beside_what_hangs(&sandbox, &["--config", "lmcache.yaml", "--control", "s"]);
        running.wait_for_stdout("] ready");
        fs::remove_file(sandbox.path("lmcache.yaml")).expect("removed");
        sandbox.link(place, "lmcache.yaml");
        let mut client = connect(&sandbox);
        client.write_all(b"reload\n").expect("sent");
        assert_eq!(sandbox.launcher(["status", "--control", "s"]).output().status.code(), Some(0));
        running.wait_for_stdout("hangs");
        running.close_stdin();
        let done = running.wait_within(limit());
        assert_eq!(done.status.code(), Some(0), "{place}");
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("an answer and its end");
        assert_eq!(answer, "{\"ok\":false,\"error\":\"the launcher is being stopped\"}\n", "{place}");
        assert!(!done.text().contains("reloaded"), "the control: {place}: {}", done.text());
    }
}

#[test]
fn a_reload_that_is_over_after_the_stop_began_changes_nothing() {
    let plugin = "#!/bin/sh\ntrap 'until [ -e done ]; do sleep 0.02; done; exit' TERM\necho ready\n\
        until [ -e go ]; do sleep 0.02; done\n\
        kill -HUP $(cut -d ' ' -f 4 /proc/$PPID/stat)\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\n");
    let mut running = beside_what_hangs_with(&sandbox, "600", &["--config", "lmcache.yaml"]);
    running.wait_for_stdout("] ready");
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins, hung]\n");
    sandbox.plugin("all_new.sh", STAYING);
    sandbox.write("go", "");
    running.wait_for_stdout("hangs");
    running.close_stdin();
    running.wait_for_stdout("stopping: ");
    // With what it has read until then.
    sandbox.write("fail", "");
    running.wait_for_stdout("is over");
    sandbox.write("done", "");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(0));
    let notices = done.lines_of("launcher");
    let [.., stopping, exited, stopped] = notices.as_slice() else { panic!("{notices:?}") };
    assert!(stopping.starts_with("stopping: ") && exited.starts_with("exited all_x.sh"), "{notices:?}");
    assert_eq!((notices.len(), stopped.as_str()), (4, "stopped"), "{notices:?}");
}

#[test]
fn a_file_system_that_never_answers_keeps_no_program_from_running() {
    let sandbox = Sandbox::with([("all_x.sh", STAYING)]);
    let program = "until grep -q ') D ' /proc/$PPID/task/*/stat; do sleep 0.02; done; echo program; exit 5";
    let running = beside_what_hangs(&sandbox, &["plugins", "hung", "--", "sh", "-c", program]);
    let done = running.wait();
    assert_eq!(done.status.code(), Some(5));
    assert!(done.text().contains("program\n") && !done.text().contains("started"), "{}", done.text());
}

#[test]
fn an_exec_that_does_not_come_to_an_end_holds_up_others_for_a_moment_only() {
    let killer = "#!/bin/sh\necho ready\nuntil [ -s victim ]; do sleep 0.02; done\nkill -KILL $(cat victim)\n";
    let sandbox = Sandbox::with([("all_y.sh", STAYING), ("all_z.sh", killer)]);
    sandbox.link("/bin/sh", "interpreter");
    for name in ["all_w.sh", "all_x.sh"] {
        sandbox.plugin(name, STAYING.replace("/bin/sh", &sandbox.text("interpreter")));
    }
    let mut running = beside_what_hangs(&sandbox, &["--control", "s", "plugins"]);
    wait_for("all run", || running.stdout().matches("] ready").count() == 4);
    sandbox.link("hung/sh", "other");
    fs::rename(sandbox.path("other"), sandbox.path("interpreter")).expect("another interpreter");
    let ask = |words: &[&str]| sandbox.launcher(words).args(["--control", "s"]).start();
    // What is open while it is forked it has, too.
    let mut early = connect(&sandbox);
    let _waiting = ask(&["restart", "all_x.sh"]);
    let status = |name: &str| ask(&["status", "--format", "json", name]).wait().records().remove(0);
    wait_for("it was forked again", || status("all_x.sh")["restarts"].number() == 1.0);
    assert_eq!(ask(&["restart", "all_y.sh"]).wait().status.code(), Some(0));
    let mut answer = String::new();
    early.write_all(b"status\n").and_then(|()| early.read_to_string(&mut answer)).expect("an answer and its end");
    assert!(answer.ends_with("{\"ok\":true}\n"), "{answer}");
    // It starts still, for as long as it lives, also where the next is waited for.
    let record = status("all_x.sh");
    assert_eq!(record["state"], "running");
    assert_eq!(running.stdout().matches("started all_x.sh").count(), 1);
    let _waiting = ask(&["restart", "all_w.sh"]);
    wait_for("another was forked again", || status("all_w.sh")["restarts"].number() == 1.0);
    sandbox.write("victim", record["pid"].number().to_string());
    wait_for("it has failed", || status("all_x.sh")["state"] == "failed");
    assert_eq!(status("all_x.sh")["signal"].number(), 9.0);
    running.close_stdin();
    assert_eq!(running.wait_within(limit()).status.code(), Some(0));
}

#[test]
fn a_plugin_of_a_terabyte_is_run_and_read_again_at_once() {
    let sandbox = Sandbox::with([("all_x.sh", STAYING)]);
    let file = File::options().append(true).open(sandbox.path("plugins/all_x.sh")).expect("it is there");
    file.set_len(1 << 40).expect("a sparse file");
    let running = sandbox.launcher(["run", "--grace-period", GRACE, "plugins"]).start();
    running.wait_for_stdout("] ready");
    running.signal("HUP");
    running.wait_for_stdout("reloaded: 0 started, 0 restarted, 0 stopped, 1 unchanged");
    // Far behind what is read of it, and as long as before.
    std::os::unix::fs::FileExt::write_all_at(
        &File::options().write(true).open(sandbox.path("plugins/all_x.sh")).expect("it is there"),
        b"x",
        1 << 39,
    )
    .expect("written");
    running.signal("HUP");
    running.wait_for_stdout("reloaded: 0 started, 1 restarted, 0 stopped, 0 unchanged");
    assert_stops(running);
}

#[test]
fn a_fifo_that_takes_the_place_of_a_plugin_at_any_moment_holds_up_nothing() {
    let sandbox = Sandbox::with([("all_staying.sh", STAYING), ("all_x.sh", STAYING)]);
    let running = sandbox.launcher(["run", "--grace-period", GRACE, "plugins"]).start();
    wait_for("both run", || running.stdout().matches("] ready").count() == 2);
    let flipping = "my $n = 0;\n\
        while (1) {\n    \
            system 'mkfifo', 'fifo' unless -e 'fifo';\n    \
            open my $file, '>', 'file'; print $file \"#!/bin/sh\\nexec sleep 1000\\n\"; close $file;\n    \
            rename 'fifo', 'plugins/all_x.sh'; rename 'file', 'plugins/all_x.sh';\n\
        }\n";
    let flipper = sandbox.command("perl", ["-e", flipping]).start();
    storm(&sandbox, "HUP", 300, running.pid());
    running.wait_for_stdout("reloaded: ");
    drop(flipper);
    // The last word is the FIFO's.
    sandbox.mkfifo("last");
    fs::rename(sandbox.path("last"), sandbox.path("plugins/all_x.sh")).expect("renamed");
    running.signal("HUP");
    running.wait_for_stdout("0 restarted, 1 stopped, 1 unchanged");
    assert_stops(running);
}

#[test]
fn a_stop_does_not_wait_for_a_search() {
    let sandbox = Sandbox::with([("all_x.sh", STAYING)]);
    for n in 0..2_000 {
        sandbox.plugin(format!("{n}.txt"), "");
    }
    // The same tree, again and again.
    let locations = vec!["plugins"; 2_000];
    let running = sandbox.launcher(["run", "--grace-period", GRACE]).args(&locations).start();
    let supervisor = running.supervisor();
    let reads = || fs::read_dir(format!("/proc/{supervisor}/task")).is_ok_and(|tasks| tasks.count() >= 2);
    wait_for("it searches", reads);
    let log = assert_stops(running);
    assert!(!log.contains("started"), "the control: the search was not over: {log}");
}

#[test]
fn a_storm_of_reloads_is_overtaken_by_a_stop() {
    let sandbox = Sandbox::new();
    for n in 0..100 {
        sandbox.plugin(format!("all_{n}.sh"), STAYING);
    }
    let running = sandbox.launcher(["run", "--grace-period", "20", "plugins"]).start();
    wait_for("all run", || running.stdout().matches("] ready").count() == 100);
    storm(&sandbox, "HUP", 2_000, running.pid());
    let log = assert_stops(running);
    assert!(log.contains("reloaded: 0 started"), "the control: it did reload: {log}");
}

#[test]
fn requests_while_nobody_reads_cost_no_memory() {
    let sandbox = Sandbox::new();
    for n in 0..20 {
        sandbox.plugin(format!("all_{n}.sh"), STAYING);
    }
    let mut running = sandbox.launcher(["run", "--grace-period", GRACE, "plugins"]).unread().start();
    wait_for("all run", || sandbox.living().iter().filter(|process| process.command.contains("sleep")).count() == 20);
    wait_for_rest(&running);
    let supervisor = running.supervisor();
    let before = memory(supervisor);
    storm(&sandbox, "USR1", 10_000, running.pid());
    wait_for_rest(&running);
    let after = memory(supervisor);
    // The control: as text the requests are a hundred times as much.
    assert!(after <= before + 1_024, "{before} kB before, {after} kB after");
    running.read_on();
    running.wait_for_stdout("status");
    assert_stops(running);
}

#[test]
fn a_full_pipe_as_output_and_error_holds_up_no_stop() {
    for end in ["TERM", "parent"] {
        let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntrap '' TERM\necho >ready\nexec yes\n")]);
        let script = "exec \"$LAUNCHER\" run --grace-period 0.3 --parent-fd 0 plugins 2>&1";
        let launch = sandbox.command("sh", ["-c", script]).unread().stdin(Stdio::piped());
        let mut running = launch.start();
        sandbox.wait_for_file("ready");
        wait_for_rest(&running);
        match end {
            "TERM" => running.signal(end),
            _ => running.close_stdin(),
        }
        assert_eq!(running.wait_within(limit()).status.code(), Some(0), "{end}");
        sandbox.assert_nothing_left(Duration::ZERO);
    }
}

/// Executes its arguments with a full socket as standard error, of which nobody reads the other end.
const FULL_SOCKET: &str = "import os, socket, sys\n\
    ours, theirs = socket.socketpair()\n\
    theirs.setblocking(False)\n\
    try:\n    \
        while True: theirs.send(b'x' * 4096)\n\
    except BlockingIOError: theirs.setblocking(True)\n\
    os.set_inheritable(ours.fileno(), True)\n\
    os.dup2(theirs.fileno(), 2)\n\
    os.execv(sys.argv[1], sys.argv[1:])\n";

#[test]
fn a_full_socket_as_error_output_does_not_keep_the_guard_from_its_work() {
    // What is left outlives the first of its plugin, so that there is something to say.
    let leaving = "#!/bin/sh\ntrap '' TERM\nsetsid sleep 1000 &\necho ready\nwait\n";
    let sandbox = Sandbox::with([("all_x.sh", leaving)]);
    let command = ["-c", FULL_SOCKET, sandbox::LAUNCHER, "run", "--grace-period", GRACE, "plugins"];
    let running = sandbox.command("python3", command).start();
    running.wait_for_stdout("] ready");
    sandbox::send("KILL", &[running.supervisor()]);
    assert_eq!(running.wait_within(limit()).status.code(), Some(137));
    sandbox.assert_nothing_left(Duration::ZERO);
}
