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
    let running = sandbox.run_json(&["--restart", "on-failure"]).start();
    running.wait_for_records("a retry", 1, |record| record["event"] == "restarting");
    drop(writing);
    running.wait_for_event("started", "all_tool");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn the_notice_in_text_has_the_delay() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\nexit 3\n")]);
    let running = sandbox.launcher(["run", "--restart", "on-failure", "plugins"]).start();
    wait_for("a notice of the restart", || {
        let text = running.stdout();
        let mut notices = text.lines().filter(|line| line.starts_with("[launcher] ") && line.contains("all_x.sh"));
        notices.any(|line| line.contains("restart") && line.contains('1'))
    });
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
