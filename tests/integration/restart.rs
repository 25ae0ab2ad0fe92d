//! Restarts: which ends lead to one, after what delay, and what is left of the run before.

use std::fs;

use crate::json::Json;
use crate::processes;
use crate::sandbox::{self, Running, Sandbox, wait_for};

/// Milliseconds of the day, from the time of a record.
fn time(record: &Json) -> f64 {
    let time = record["time"].text();
    let parts: Vec<f64> = time[11..23].split(':').filter_map(|part| part.parse().ok()).collect();
    ((parts[0] * 60.0 + parts[1]) * 60.0 + parts[2]) * 1000.0
}

fn of<'r>(event: &'r str, plugin: &'r str) -> impl Fn(&Json) -> bool + 'r {
    move |record| record["event"] == event && record["plugin"] == plugin
}

#[test]
fn never_is_the_default() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexit 1\n")]);
    let done = sandbox.run_json(&[]).output();
    assert_eq!((done.events("started").len(), done.events("restarting").len()), (1, 0));
    assert_eq!(done.status.code(), Some(1));
}

#[test]
fn on_failure_restarts_after_failures_alone() {
    let sandbox = Sandbox::with([
        ("all_good.sh", "#!/bin/sh\nexit 0\n"),
        ("all_bad.sh", "#!/bin/sh\n[ -e fixed ] && exit 0\nexit 3\n"),
        ("all_killed.sh", "#!/bin/sh\n[ -e fixed ] && exit 0\nkill -KILL $$\n"),
    ]);
    let running = sandbox.run_json(&["--restart", "on-failure"]).start();
    running.wait_for_event("restarting", "all_bad.sh");
    running.wait_for_event("restarting", "all_killed.sh");
    sandbox.write("fixed", "");
    let done = running.wait();
    let starts = |name: &str| done.events("started").iter().filter(|record| record["plugin"] == name).count();
    assert_eq!((starts("all_good.sh"), starts("all_bad.sh"), starts("all_killed.sh")), (1, 2, 2));
    assert_eq!(done.status.code(), Some(0), "in the end every plugin ended well");
}

#[test]
fn the_delay_doubles_from_one_second() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexit 3\n")]);
    let running = sandbox.run_json(&["--restart=always"]).start();
    let started = running.wait_for_records("three starts", 3, of("started", "all_x.sh"));
    let exited = running.wait_for_records("three ends", 3, of("exited", "all_x.sh"));
    let restarting = running.wait_for_records("three delays", 3, of("restarting", "all_x.sh"));
    for (round, delay) in [1.0, 2.0, 4.0].into_iter().enumerate() {
        assert!(restarting[round]["delay"] == delay, "{restarting:?}");
    }
    for (round, delay) in [1000.0, 2000.0].into_iter().enumerate() {
        let observed = time(&started[round + 1]) - time(&exited[round]);
        assert!(observed >= delay - 5.0, "start {round} came {observed} ms after the end");
        assert!(
            observed <= delay + 500.0 + sandbox::margin().as_secs_f64() * 1000.0,
            "start {round} came {observed} ms after the end"
        );
    }
    running.signal("TERM");
    assert_eq!(running.wait_within(sandbox::margin() * 2).status.code(), Some(0), "a stop does not wait for a restart");
}

#[test]
fn always_restarts_also_after_a_good_end() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\necho here\nexit 0\n")]);
    let running = sandbox.launcher(["run", "--restart", "always", "plugins"]).start();
    wait_for("it ran twice", || running.stdout().matches("[all_x.sh] here\n").count() == 2);
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn what_the_run_before_left_behind_is_gone_before_the_next_begins() {
    let plugin = "#!/bin/bash\n\
        if [ -s left ]; then kill -0 \"$(cat left)\" 2>/dev/null && echo still there || echo clean; fi\n\
        setsid bash -c 'trap \"\" TERM; echo $$ >left.new; mv left.new left; while :; do sleep 0.1; done' >/dev/null 2>&1 &\n\
        until [ -s left ] && kill -0 \"$(cat left)\" 2>/dev/null; do sleep 0.02; done\n\
        exit 1\n";
    let other = "#!/bin/sh\nsetsid sleep 1000 >/dev/null 2>&1 &\necho $! >other\nexit 0\n";
    let sandbox = Sandbox::with([("all_other.sh", other), ("all_x.sh", plugin)]);
    let options = ["run", "--restart", "on-failure", "--grace-period", "0.3", "plugins"];
    let running = sandbox.launcher(options).start();
    let other = sandbox.wait_for_file("other").trim().parse().expect("a pid");
    wait_for("two restarts", || running.stdout().matches("[all_x.sh] ").count() >= 2);
    let text = running.stdout();
    assert!(text.contains("[all_x.sh] clean") && !text.contains("still there"), "{text}");
    assert!(processes::is_alive(other), "what another plugin left behind is left alone");
}

#[test]
fn a_plugin_may_have_a_setting_of_its_own() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexit 1\n"), ("all_y.sh", "#!/bin/sh\nexit 1\n")]);
    sandbox.write("lmcache.yaml", "extra_config:\n  plugin.all_x.restart: on-failure\n");
    let running = sandbox.run_json(&["--config", "lmcache.yaml"]).start();
    running.wait_for_event("restarting", "all_x.sh");
    running.wait_for_event("exited", "all_y.sh");
    assert!(running.records().iter().all(|record| !of("restarting", "all_y.sh")(record)));
    running.signal("TERM");
    running.wait();
    // The command line is above the file.
    let typed = sandbox.run_json(&["--config", "lmcache.yaml", "--restart", "never"]).output();
    assert!(typed.events("restarting").is_empty());
}

#[test]
fn the_restart_setting_can_stand_in_the_configuration() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexit 1\n")]);
    let document = r#"{"extra_config": {"plugin.launcher.restart": "always"}}"#;
    let running = sandbox.run_json(&[]).env("LMCACHE_PLUGIN_CONFIG", document).start();
    running.wait_for_event("restarting", "all_x.sh");
}

#[test]
fn an_interpreter_that_is_not_there_is_a_final_failure() {
    let sandbox = Sandbox::with([("all_x.rb", "#!/opt/none/ruby\n")]);
    let done = sandbox.run_json(&["--restart", "always"]).output();
    assert_eq!(done.status.code(), Some(1));
    assert!(done.events("restarting").is_empty());
    assert_eq!(done.events("failed").len(), 1);
}

#[test]
fn a_text_file_that_is_busy_is_tried_again() {
    let sandbox = Sandbox::new();
    let echo = ["/bin/echo", "/usr/bin/echo"].into_iter().find_map(|path| fs::read(path).ok()).expect("echo is there");
    let path = sandbox.plugin("all_tool", echo);
    sandbox.mode("plugins/all_tool", 0o755);
    let writing = fs::OpenOptions::new().append(true).open(path).expect("it can be written");
    let running = sandbox.run_json(&["--restart", "always"]).start();
    let is_restart = |record: &Json| record["event"] == "restarting";
    let retry = running.wait_for_records("a retry", 1, is_restart).remove(0);
    assert!(retry["reason"].text().starts_with("cannot be started: "), "{retry:?}");
    drop(writing);
    running.wait_for_event("started", "all_tool");
    // From then on it is its end that is told.
    let restarts = running.wait_for_records("a restart after an end", 2, |record| {
        is_restart(record) && !record["reason"].text().starts_with("cannot") || *record == retry
    });
    assert_eq!(restarts[1]["reason"], "status 0", "{restarts:?}");
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn the_notice_in_text_has_the_delay() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexit 3\n")]);
    let running = sandbox.launcher(["run", "--restart", "on-failure", "plugins"]).start();
    running.wait_for_stdout("[launcher] restarting all_x.sh in 1 s (restart 1): status 3\n");
    running.wait_for_stdout("[launcher] restarting all_x.sh in 2 s (restart 2): status 3\n");
}

#[test]
fn restarts_leak_nothing() {
    // Three restarts each are a thousand.
    const PLUGINS: usize = 334;
    let sandbox = Sandbox::new();
    for n in 0..PLUGINS {
        sandbox.plugin(format!("all_{n}.sh"), "#!/bin/sh\necho here\nexit 1\n");
    }
    // A plugin that stays, so that each figure has a state of rest.
    sandbox.plugin("all_stays.sh", "#!/bin/sh\nexec sleep 1000\n");
    let running = sandbox.run_json(&["--restart", "always", "--grace-period", "5"]).start();
    let restarting = |record: &Json| record["event"] == "restarting";
    running.wait_for_event("started", "all_stays.sh");
    running.wait_for_records("a round", PLUGINS, restarting);
    let mut first = Figures::default();
    wait_for("a state of rest", || {
        first = Figures::of(&running);
        first.zombies == 0 && first.plugins == 1
    });
    running.wait_for_records("four rounds", 4 * PLUGINS, restarting);
    let mut fourth = Figures::default();
    wait_for(&format!("as little is held as after the first round: {first:?}"), || {
        fourth = Figures::of(&running);
        let is_rest = fourth.zombies == 0 && fourth.plugins == 1;
        is_rest && fourth.descriptors <= first.descriptors && fourth.threads <= first.threads
    });
    assert!(fourth.kilobytes <= first.kilobytes + 32, "memory: {first:?}, {fourth:?}");
}

/// What the launcher's own processes hold.
#[derive(Debug, Default)]
struct Figures {
    descriptors: usize,
    threads: usize,
    kilobytes: usize,
    zombies: usize,
    plugins: usize,
}

impl Figures {
    fn of(running: &Running) -> Self {
        let supervisor = running.supervisor();
        let mut figures = Figures::default();
        for pid in [running.pid(), supervisor] {
            // Only root sees the descriptors of a process that is not dumpable; others see how large their table is.
            figures.descriptors += match fs::read_dir(format!("/proc/{pid}/fd")) {
                Ok(descriptors) => descriptors.count(),
                Err(_) => processes::status_figure(pid, "FDSize"),
            };
            figures.threads += fs::read_dir(format!("/proc/{pid}/task")).expect("it runs").count();
            figures.kilobytes += processes::status_figure(pid, "RssAnon");
        }
        let plugins = running
            .sandbox()
            .living()
            .into_iter()
            .filter(|process| ![running.pid(), supervisor].contains(&process.pid));
        figures.plugins = plugins.count();
        let children = processes::children_of(supervisor);
        figures.zombies = children.into_iter().filter(|pid| !processes::is_alive(*pid)).count();
        figures
    }
}

#[test]
fn a_stop_during_the_backoff_is_immediate() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexit 1\n")]);
    let running = sandbox.run_json(&["--restart", "always", "--grace-period", "600"]).start();
    running.wait_for_records("the second delay", 2, |record| record["event"] == "restarting");
    running.signal("TERM");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(0));
    let events: Vec<_> = done.records().iter().map(|record| record["event"].text()).collect();
    let stopping = events.iter().position(|event| event == "stopping").expect("it was stopped");
    assert!(events[stopping..].iter().all(|event| event != "started"), "{events:?}");
}

#[test]
fn what_hid_its_origin_is_gone_before_the_next_run_begins() {
    // Cleared or overwritten environments, in sessions of their own, deaf to SIGTERM, orphaned at once.
    let plugin = "#!/bin/bash\n\
        for old in left.*; do\n    \
            [ -s $old ] && { kill -0 \"$(cat $old)\" 2>/dev/null && echo \"$old still there\" || echo \"$old clean\"; }\n\
        done\n\
        rm -f left.*\n\
        hide() { (\"${@:2}\" perl -e '$SIG{TERM} = \"IGNORE\"; $0 = \"x\" x 3000; open F, \">\", $ARGV[0];\n    \
            print F \"$$\\n\"; close F; sleep 1000 while 1' left.$1 >/dev/null 2>&1 &); }\n\
        hide plain env; hide cleared env -i; hide session setsid; hide both env -i /usr/bin/setsid\n\
        until [ \"$(cat left.* 2>/dev/null | wc -l)\" = 4 ]; do sleep 0.02; done\n\
        exit 0\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    let running = sandbox.launcher(["run", "--restart", "always", "--grace-period", "0.2", "plugins"]).start();
    wait_for("two restarts", || {
        running.stdout().matches(" clean\n").count() >= 8 || running.stdout().contains("still")
    });
    assert!(!running.stdout().contains("still there"), "{}", running.stdout());
    running.signal("TERM");
    running.wait();
}

/// Holds the process whose number is in `left`, also when it is dead.
const HOLDING: &str = "import ctypes, os, time\n\
    PTRACE_SEIZE = 0x4206\n\
    while not os.path.exists('left') or not open('left').read().endswith('\\n'): time.sleep(0.02)\n\
    assert ctypes.CDLL(None).ptrace(PTRACE_SEIZE, int(open('left').read()), 0, 0) == 0\n\
    open('held', 'w').close()\n\
    time.sleep(1000)\n";

#[test]
fn what_cannot_be_killed_keeps_a_plugin_from_its_next_run_for_a_while_only() {
    let plugin = "#!/bin/sh\n[ ! -e left ] || exec sleep 1000\n\
        sleep 1000 >/dev/null 2>&1 &\necho $! >left\nuntil [ -e held ]; do sleep 0.02; done\nexit 1\n";
    let sandbox = Sandbox::with([("all_x.sh", plugin)]);
    sandbox.write("holding.py", HOLDING);
    let script = "python3 holding.py & \"$LAUNCHER\" run --format json --restart on-failure --grace-period 0.1 plugins";
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let running = crate::namespace::command(&sandbox, &kinds, &["sh", "-c", script]).start();
    let started = running.wait_for_records("the next run", 2, of("started", "all_x.sh"));
    let exited = running.wait_for_event("exited", "all_x.sh");
    let warnings = running.wait_for_records("a warning", 1, |record| record["event"] == "warning");
    let left = sandbox.read("left");
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert_eq!(warnings[0]["reason"].text(), format!("pid {} cannot be killed; leaving it behind", left.trim()));
    // Five seconds beyond the grace period.
    let waited = time(&started[1]) - time(&exited);
    assert!(waited >= 5_100.0, "{waited}");
}

#[test]
fn a_child_that_took_off_its_mark_is_known_by_its_parent() {
    let taking_off = "#!/usr/bin/env python3\n\
        import os, resource, signal, time\n\
        if os.fork() == 0:\n    \
            os.setsid()\n    \
            signal.signal(signal.SIGTERM, lambda *_: (open('asked', 'w').close(), os._exit(0)))\n    \
            mark, hard = resource.getrlimit(resource.RLIMIT_RTTIME)\n    \
            resource.setrlimit(resource.RLIMIT_RTTIME, (hard, hard))\n    \
            print('marked', mark != hard, flush=True)\n\
        while True: time.sleep(1000)\n";
    let sandbox = Sandbox::with([("all_x.py", taking_off)]);
    let running = sandbox.launcher(["run", "--control", "s", "--grace-period", "600", "plugins"]).start();
    running.wait_for_stdout("] marked True");
    assert_eq!(sandbox.launcher(["stop", "--control", "s", "all_x.py"]).output().status.code(), Some(0));
    wait_for("it is asked to end as well", || sandbox.path("asked").exists());
}

#[test]
fn a_leader_that_carries_the_mark_of_another_plugin_is_left_alone() {
    let copying = "#!/usr/bin/env python3\n\
        import os, resource, time\n\
        while not os.path.exists('pid') or not open('pid').read().endswith('\\n'):\n    \
            time.sleep(0.02)\n\
        mark = resource.prlimit(int(open('pid').read()), resource.RLIMIT_RTTIME)\n\
        resource.setrlimit(resource.RLIMIT_RTTIME, mark)\n\
        open('copied', 'w').close()\n\
        print('copied', os.getpid(), mark[0] != resource.RLIM_INFINITY, flush=True)\n\
        time.sleep(1000)\n";
    let failing = "#!/bin/sh\necho $$ >pid\nuntil [ -e copied ]; do sleep 0.02; done\nsetsid sleep 1000 &\nexit 1\n";
    let sandbox = Sandbox::with([("all_copying.py", copying), ("all_failing.sh", failing)]);
    let options = ["--restart", "on-failure", "--grace-period", "0.2"];
    let running = sandbox.run_json(&options).start();
    running.wait_for_records("two restarts", 2, of("restarting", "all_failing.sh"));
    let starts = running.records().into_iter().filter(of("started", "all_copying.py")).count();
    let copied = running.wait_for_records("the mark was copied", 1, of("output", "all_copying.py"));
    let message = copied[0]["message"].text();
    let mut words = message.split(' ').skip(1);
    let pid = words.next().and_then(|pid| pid.parse().ok()).expect("a pid");
    assert_eq!(words.next(), Some("True"), "the control: there is a mark");
    assert!(starts == 1 && processes::is_alive(pid), "{:?}", running.stdout());
    running.signal("TERM");
    running.wait();
}

#[test]
fn a_launcher_in_a_namespace_of_its_own_has_nothing_in_common_with_the_one_above() {
    let crashing = "#!/bin/sh\nsetsid sleep 1000 &\nexit 1\n";
    let staying = "#!/bin/sh\necho here\nexec sleep 1000\n";
    let sandbox = Sandbox::with([("all_crashing.sh", crashing), ("all_staying.sh", staying)]);
    sandbox.write("inner/all_crashing_within.sh", crashing);
    // The first, as the one that crashes is above; and each launcher has number 1 where it is.
    sandbox.write("inner/all_a_staying_within.sh", staying);
    let inner = "exec unshare --pid --fork --mount-proc --kill-child";
    let nested = format!("#!/bin/sh\n{inner} \"$LAUNCHER\" run --restart on-failure --grace-period 0.2 inner\n");
    sandbox.plugin("all_nested.sh", nested);
    let command = [sandbox::LAUNCHER, "run", "--restart", "on-failure", "--grace-period", "0.2", "plugins"];
    let kinds = ["--pid", "--fork", "--mount-proc", "--kill-child"];
    let running = crate::namespace::command(&sandbox, &kinds, &command).start();
    let restarts = |name: &str| {
        let text = running.stdout();
        text.lines().filter(|line| line.contains(&format!("exited {name}.sh: status 1"))).count()
    };
    wait_for("restarts of both", || restarts("all_crashing") >= 3 && restarts("all_crashing_within") >= 3);
    let text = running.stdout();
    assert_eq!(text.matches("[all_staying.sh] here\n").count(), 1, "{text}");
    assert_eq!(text.matches("[all_a_staying_within.sh] here\n").count(), 1, "{text}");
}
