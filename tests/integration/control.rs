//! The control socket: what a running launcher answers, to whom, and what no client can do to it.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::time::{Duration, Instant};

use crate::json::Json;
use crate::processes;
use crate::sandbox::{self, Launch, Output, PATIENCE, Running, Sandbox, wait_for};

const RUNS: &str = "#!/bin/sh\necho ready\nexec sleep 1000\n";
/// What it started is in a session of its own, and ignores SIGTERM.
const LEAVES: &str = "#!/bin/sh\ntrap '' TERM\nsetsid sleep 1000 &\necho \"child $!\"\nwait\n";

/// `run --control s`, these options, and `plugins`.
fn run<'s>(sandbox: &'s Sandbox, options: &[&str]) -> Launch<'s> {
    sandbox.launcher(["run", "--control", "s"]).args(options).args(["plugins"])
}

/// A command that asks the launcher at `s`.
fn ask(sandbox: &Sandbox, command: &str, operands: &[&str]) -> Output {
    sandbox.launcher([command, "--control", "s"]).args(operands).output()
}

/// As [`ask`], and it has to end with this status.
#[track_caller]
fn asked(sandbox: &Sandbox, status: i32, command: &str, operands: &[&str]) -> Output {
    let output = ask(sandbox, command, operands);
    assert_eq!(output.status.code(), Some(status), "{command} {operands:?}: {} {}", output.text(), output.stderr);
    output
}

fn connect(sandbox: &Sandbox) -> UnixStream {
    let stream = UnixStream::connect(sandbox.path("s")).expect("the launcher listens");
    stream.set_read_timeout(Some(PATIENCE)).expect("a timeout");
    stream
}

/// What is answered to these bytes, as records; the last says whether.
fn exchange(sandbox: &Sandbox, request: &[u8]) -> Vec<Json> {
    let mut stream = connect(sandbox);
    stream.write_all(request).expect("the request is taken");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("an answer and its end");
    answer.lines().map(Json::parse).collect()
}

/// The records of the plugins, by `status`.
fn plugins(sandbox: &Sandbox) -> Vec<Json> {
    exchange(sandbox, b"status\n").into_iter().filter(|record| record.has("plugin")).collect()
}

fn of(sandbox: &Sandbox, name: &str) -> Json {
    let found = plugins(sandbox).into_iter().find(|record| record["plugin"] == name);
    found.unwrap_or_else(|| panic!("{name} is there"))
}

fn wait_for_state(sandbox: &Sandbox, name: &str, state: &str) {
    wait_for(&format!("{name} is {state}"), || of(sandbox, name)["state"] == state);
}

/// The pid that a plugin has said to have started.
fn child_of(running: &Running, name: &str) -> u32 {
    let prefix = format!("[{name}] child ");
    let pid = || running.stdout().lines().rev().find_map(|line| line.strip_prefix(&prefix)?.parse().ok());
    wait_for("a child", || pid().is_some());
    pid().expect("found")
}

// ---------------------------------------------------------------- what is answered

#[test]
fn every_state_has_its_name_and_says_whether_it_is_well() {
    let sandbox = Sandbox::with([
        ("all_runs.sh", RUNS),
        ("all_ended.sh", "#!/bin/sh\necho one\n"),
        ("all_failed.sh", "#!/bin/sh\nexit 3\n"),
        ("all_killed.sh", "#!/bin/sh\nkill -KILL $$\n"),
        ("all_backoff.sh", "#!/bin/sh\nexit 4\n"),
        ("all_stopped.sh", RUNS),
        ("all_stopping.sh", LEAVES),
        ("all_missing.py", "#!/nowhere/interpreter\n"),
    ]);
    sandbox.write(
        "lmcache.yaml",
        "extra_config:\n  plugin.all_backoff.restart: always\n  plugin.all_stopping.grace_period: 1000\n",
    );
    let running = run(&sandbox, &["--config", "lmcache.yaml"]).start();
    running.wait_for_stdout("[all_runs.sh] ready");
    let leader = child_of(&running, "all_stopping.sh");
    asked(&sandbox, 0, "stop", &["all_stopped.sh"]);
    // Nobody waits for the answer of this one.
    connect(&sandbox).write_all(b"stop all_stopping.sh\n").expect("sent");
    for (name, state, status) in [
        ("all_runs.sh", "running", 0),
        ("all_ended.sh", "ended", 0),
        ("all_failed.sh", "failed", 1),
        ("all_killed.sh", "failed", 1),
        ("all_backoff.sh", "backoff", 1),
        ("all_stopped.sh", "stopped", 0),
        ("all_stopping.sh", "stopping", 0),
    ] {
        wait_for_state(&sandbox, name, state);
        let record = asked(&sandbox, status, "status", &["--format", "json", name]).records().remove(0);
        assert_eq!(record["path"].text(), format!("plugins/{name}"));
        assert_eq!((record["plugin"].text(), record["state"].text()), (name.into(), state.into()));
        let is_alive = ["running", "stopping"].contains(&state);
        assert_eq!(record.has("pid"), is_alive, "{record:?}");
        assert_eq!(record.has("uptime"), is_alive, "{record:?}");
        let number = |key: &str| record[key].number();
        let lines = if ["failed", "backoff"].contains(&state) { 0.0 } else { 1.0 };
        assert_eq!(number("lines"), lines, "{record:?}");
        assert_eq!(number("bytes") > 0.0, lines > 0.0, "{record:?}");
        assert!(state == "backoff" || number("restarts") == 0.0);
    }
    assert!(processes::is_alive(leader));
    assert_eq!(
        (of(&sandbox, "all_failed.sh")["code"].number(), of(&sandbox, "all_killed.sh")["signal"].number()),
        (3.0, 9.0)
    );
    assert_eq!(of(&sandbox, "all_ended.sh")["code"].number(), 0.0);
    // All together are as well as the worst of them, and the launcher says of itself what it is.
    let all = asked(&sandbox, 1, "status", &["--format", "json"]).records();
    let launcher: Vec<&Json> = all.iter().filter(|record| !record.has("plugin")).collect();
    assert_eq!(launcher.len(), 1);
    assert_eq!(launcher[0]["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(launcher[0]["pid"].number(), f64::from(running.pid()));
    assert!(launcher[0].has("uptime") && !launcher[0].has("program"));
    asked(&sandbox, 0, "status", &["all_runs.sh", "all_ended.sh"]);
    asked(&sandbox, 1, "status", &["all_runs.sh", "all_failed.sh"]);
}

#[test]
fn a_plugin_that_cannot_be_executed_has_failed() {
    let sandbox = Sandbox::with([("all_runs.sh", RUNS), ("all_x.sh", "#!/bin/sh\n")]);
    // More than one variable can hold: the plugin is not started.
    sandbox.write("extra.json", format!("{{\"key\": \"{}\"}}", "x".repeat(200_000)));
    let running = run(&sandbox, &["--watch", "--extra-config", "@extra.json"]).start();
    running.wait_for_stdout("failed all_x.sh");
    let record = of(&sandbox, "all_x.sh");
    assert_eq!((record["state"].text(), record.has("pid"), record.has("code")), ("failed".into(), false, false));
    drop(running);
    // What was forked for it and could not execute anything has ended by itself: that is no end of the plugin.
    let sandbox = Sandbox::with([("all_x.sh", "#!./none\n")]);
    sandbox.write("none", b"\x01\x02\x03\n");
    sandbox.mode("none", 0o755);
    let running = run(&sandbox, &["--watch"]).start();
    running.wait_for_stdout("failed all_x.sh: cannot be started: Exec format error\n");
    let supervisor = running.supervisor();
    wait_for("its process is gone", || processes::children_of(supervisor).is_empty());
    let record = of(&sandbox, "all_x.sh");
    assert_eq!((record["state"].text(), record.has("pid"), record.has("code")), ("failed".into(), false, false));
}

#[test]
fn text_is_a_table_and_prometheus_has_samples() {
    let sandbox = Sandbox::with([("all_a.sh", RUNS), ("all_longer.sh", "#!/bin/sh\nexit 3\n")]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("[all_a.sh] ready");
    wait_for_state(&sandbox, "all_longer.sh", "failed");
    let text = asked(&sandbox, 1, "status", &[]).text();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines.len(), 4, "{text}");
    let column = lines[0].find("STATE").expect("a heading");
    assert!(lines[1][column..].starts_with("running") && lines[2][column..].starts_with("failed"), "{text}");
    assert!(lines[3].starts_with("launcher ") && lines[3].contains(&format!("pid {}", running.pid())), "{text}");
    let metrics = asked(&sandbox, 1, "status", &["--format", "prometheus"]).text();
    for sample in [
        "lmcache_plugin_up{plugin=\"all_a.sh\"} 1\n",
        "lmcache_plugin_up{plugin=\"all_longer.sh\"} 0\n",
        "lmcache_plugin_healthy{plugin=\"all_longer.sh\"} 0\n",
        "lmcache_plugin_last_exit_status{plugin=\"all_longer.sh\"} 3\n",
        "lmcache_plugin_restarts_total{plugin=\"all_a.sh\"} 0\n",
        "lmcache_plugin_log_lines_total{plugin=\"all_a.sh\"} 1\n",
        "lmcache_plugin_log_bytes_total{plugin=\"all_a.sh\"} 6\n",
        "lmcache_plugin_start_time_seconds{plugin=\"all_a.sh\"} ",
        "lmcache_plugin_launcher_info{version=\"",
    ] {
        assert_eq!(metrics.matches(sample).count(), 1, "{sample}: {metrics}");
    }
}

#[test]
fn stop_takes_everything_with_it_and_holds_until_start() {
    let sandbox = Sandbox::with([("all_x.sh", LEAVES), ("all_y.sh", RUNS)]);
    let mut running = run(&sandbox, &["--grace-period", "0.2"]).start();
    let child = child_of(&running, "all_x.sh");
    let stopped = asked(&sandbox, 0, "stop", &["all_x.sh"]).text();
    assert!(!processes::is_alive(child), "answered when all is gone");
    // The grace period was not enough, for either.
    running.wait_for_stdout("[launcher] killed all_x.sh (pid ");
    running.wait_for_stdout(&format!("[launcher] killed pid {child}: it had not ended\n"));
    let rows: Vec<&str> = stopped.lines().skip(1).collect();
    assert!(rows.len() == 1 && rows[0].starts_with("all_x.sh  stopped "), "{stopped}");
    assert!(asked(&sandbox, 0, "stop", &["all_x.sh"]).text().contains("is stopped already"));
    // Changed, and read again: it stays as it is.
    sandbox.plugin("all_x.sh", LEAVES.replace("child", "again"));
    let reloaded = asked(&sandbox, 0, "reload", &[]).text();
    assert_eq!(reloaded, "reloaded: 0 started, 0 restarted, 0 stopped, 2 unchanged\n");
    assert_eq!(of(&sandbox, "all_x.sh")["state"], "stopped");
    // While one is stopped on request the launcher stays, also when nothing runs.
    asked(&sandbox, 0, "stop", &["all_y.sh"]);
    assert!(running.is_running());
    assert_eq!(of(&sandbox, "all_y.sh")["state"], "stopped");
    // What starts is the file as it is now.
    let started = asked(&sandbox, 0, "start", &["all_x.sh"]).text();
    assert!(started.contains("running"), "{started}");
    running.wait_for_stdout("[all_x.sh] again ");
    assert!(asked(&sandbox, 0, "start", &["all_x.sh"]).text().contains("runs already"));
    assert_eq!(running.stdout().matches("] again").count(), 1);
    running.signal("TERM");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn restart_answers_when_the_new_one_runs() {
    let sandbox = Sandbox::with([("all_x.sh", LEAVES), ("all_ended.sh", "#!/bin/sh\necho once\n")]);
    let running = run(&sandbox, &["--grace-period", "0.2"]).start();
    let child = child_of(&running, "all_x.sh");
    wait_for_state(&sandbox, "all_ended.sh", "ended");
    let uptime = |record: &Json| record["uptime"].number();
    let before = uptime(&of(&sandbox, "all_x.sh"));
    let asked_at = Instant::now();
    asked(&sandbox, 0, "restart", &["all_x.sh", "all_ended.sh"]);
    assert!(!processes::is_alive(child));
    let record = of(&sandbox, "all_x.sh");
    assert_eq!((record["state"].text(), record["restarts"].number()), ("running".into(), 1.0));
    // It began anew; the launcher did not.
    let launcher = exchange(&sandbox, b"status\n").remove(0);
    assert!(uptime(&record) <= asked_at.elapsed().as_secs_f64(), "{record:?}");
    assert!(uptime(&launcher) >= before + 0.2, "{launcher:?}");
    // How the run before ended is still told.
    assert_eq!(record["signal"].number(), 9.0);
    asked(&sandbox, 0, "restart", &["all_x.sh"]);
    assert_eq!(of(&sandbox, "all_x.sh")["restarts"].number(), 2.0);
    wait_for("it ran twice", || running.stdout().matches("[all_ended.sh] once").count() == 2);
}

#[test]
fn what_a_client_wants_is_done_whether_or_not_it_waits() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    // Without an end of line, the end of the stream is one.
    connect(&sandbox).write_all(b"restart all_x.sh").expect("sent");
    wait_for("it was restarted", || running.stdout().matches("[all_x.sh] ready").count() == 2);
    wait_for_state(&sandbox, "all_x.sh", "running");
}

#[test]
fn a_name_means_who_runs_and_not_who_is_on_its_way_out() {
    let deaf = "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n";
    let sandbox = Sandbox::with([("old/all_x.sh", deaf)]);
    let running = run(&sandbox, &["--grace-period", "1"]).start();
    running.wait_for_stdout("ready");
    fs::rename(sandbox.path("plugins/old"), sandbox.path("plugins/new")).expect("renamed");
    asked(&sandbox, 0, "reload", &[]);
    asked(&sandbox, 0, "stop", &["all_x.sh"]);
    wait_for("the old one is gone", || plugins(&sandbox).len() == 1);
    assert_eq!(of(&sandbox, "all_x.sh")["state"], "stopped");
}

#[test]
fn names_are_those_of_the_log_and_near_ones_are_suggested() {
    let sandbox = Sandbox::with([("a/all_x.sh", RUNS), ("b/all_x.sh", RUNS), ("all a \"b\".sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    for name in ["[a/all_x.sh]", "[b/all_x.sh]", "[all a \"b\".sh]"] {
        running.wait_for_stdout(&format!("{name} ready"));
    }
    let answer = asked(&sandbox, 0, "status", &["--format", "json", "b/all_x.sh", "a/all_x.sh", "b/all_x.sh"]);
    let named: Vec<String> = answer.records().iter().map(|record| record["plugin"].text()).collect();
    assert_eq!(named, ["b/all_x.sh", "a/all_x.sh"], "as asked for, once each");
    asked(&sandbox, 0, "stop", &["a/all_x.sh", "all a \"b\".sh"]);
    assert_eq!(of(&sandbox, "b/all_x.sh")["state"], "running");
    for command in ["status", "start", "stop", "restart"] {
        let refused = asked(&sandbox, 1, command, &["b/all_x.sh", "a/all_y.sh"]);
        assert!(refused.stderr.contains("did you mean `a/all_x.sh`?"), "{}", refused.stderr);
        assert_eq!(refused.text(), "");
    }
    // All or nothing.
    assert_eq!(of(&sandbox, "b/all_x.sh")["state"], "running");
}

#[test]
fn a_name_that_only_looks_like_another_is_not_suggested() {
    let sandbox = Sandbox::new();
    for name in [&b"all_\xff.sh"[..], b"all_\nnext.sh"] {
        sandbox.plugin(OsStr::from_bytes(name), RUNS);
    }
    let running = run(&sandbox, &[]).start();
    wait_for("both run", || running.stdout().matches("] ready").count() == 2);
    for name in [&b"all_\xfe.sh"[..], b"all_\xef\xbf\xbd.sh", b"all_ next.sh", b"all_next.sh"] {
        let refused = sandbox.launcher(["stop", "--control", "s"]).args([OsStr::from_bytes(name)]).output();
        assert_eq!(refused.status.code(), Some(1));
        assert!(refused.stderr.contains("`status` lists those there are"), "{}", refused.stderr);
    }
    // The control: the very name does.
    let stopped = sandbox.launcher(["stop", "--control", "s"]).args([OsStr::from_bytes(b"all_\xff.sh")]).output();
    assert_eq!(stopped.status.code(), Some(0));
}

#[test]
fn reload_says_what_came_of_it() {
    let sandbox = Sandbox::with([("all_same.sh", RUNS), ("all_changed.sh", RUNS), ("all_removed.sh", RUNS)]);
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\n");
    let running = sandbox.launcher(["run", "--control", "s", "--config", "lmcache.yaml"]).start();
    for name in ["all_same.sh", "all_changed.sh", "all_removed.sh"] {
        running.wait_for_stdout(&format!("[{name}] ready"));
    }
    let reload = || asked(&sandbox, 0, "reload", &[]).text();
    assert_eq!(reload(), "reloaded: 0 started, 0 restarted, 0 stopped, 3 unchanged\n");
    sandbox.plugin("all_changed.sh", RUNS.replace("ready", "changed"));
    sandbox.plugin("all_new.sh", RUNS);
    fs::remove_file(sandbox.path("plugins/all_removed.sh")).expect("removed");
    let said = "reloaded: 1 started, 1 restarted, 1 stopped, 1 unchanged\n";
    assert_eq!(reload(), said);
    running.wait_for_stdout(&format!("[launcher] {said}"));
    running.wait_for_stdout("[all_changed.sh] changed");
    wait_for("the removed one is forgotten", || plugins(&sandbox).len() == 3);
    // What was taken up is known from then on.
    assert_eq!(reload(), "reloaded: 0 started, 0 restarted, 0 stopped, 3 unchanged\n");
    // A document that does not parse changes nothing and is the answer.
    let pid = of(&sandbox, "all_same.sh")["pid"].number();
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins\n");
    let refused = asked(&sandbox, 1, "reload", &[]);
    assert!(refused.stderr.contains("lmcache.yaml:"), "{}", refused.stderr);
    assert_eq!(of(&sandbox, "all_same.sh")["pid"].number(), pid);
    // A changed one is told to all.
    sandbox.write("lmcache.yaml", "plugin_locations: [plugins]\nchunk_size: 1\n");
    assert_eq!(reload(), "reloaded: 0 started, 3 restarted, 0 stopped, 0 unchanged\n");
    assert_ne!(of(&sandbox, "all_same.sh")["pid"].number(), pid);
}

#[test]
fn what_comes_back_while_it_is_being_removed_runs_again() {
    let cleaner = "#!/bin/bash\ntrap 'until [ -e go ]; do sleep 0.02; done; exit 0' TERM\n\
        echo ready\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_x.sh", cleaner), ("all_y.sh", RUNS)]);
    let running = run(&sandbox, &["--grace-period", "600"]).start();
    running.wait_for_stdout("[all_x.sh] ready");
    running.wait_for_stdout("[all_y.sh] ready");
    fs::rename(sandbox.path("plugins/all_x.sh"), sandbox.path("away")).expect("removed");
    let reload = || asked(&sandbox, 0, "reload", &[]).text();
    assert_eq!(reload(), "reloaded: 0 started, 0 restarted, 1 stopped, 1 unchanged\n");
    assert_eq!(of(&sandbox, "all_x.sh")["state"], "stopping");
    fs::rename(sandbox.path("away"), sandbox.path("plugins/all_x.sh")).expect("back again");
    assert_eq!(reload(), "reloaded: 0 started, 0 restarted, 0 stopped, 2 unchanged\n");
    sandbox.write("go", "");
    wait_for("it runs again", || running.stdout().matches("[all_x.sh] ready").count() == 2);
}

#[test]
fn a_reload_that_is_asked_for_during_another_follows_it() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    let supervisor = running.supervisor();
    // All of them are there when it looks.
    sandbox::send("STOP", &[supervisor]);
    wait_for("it is stopped", || processes::read(supervisor).is_some_and(|process| process.state == 'T'));
    let mut clients: Vec<UnixStream> = (0..5).map(|_| connect(&sandbox)).collect();
    clients.iter_mut().for_each(|client| client.write_all(b"reload\n").expect("sent"));
    sandbox::send("CONT", &[supervisor]);
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        assert!(answer.ends_with("{\"ok\":true}\n"), "{answer}");
    }
}

#[test]
fn a_launcher_that_is_being_stopped_says_so_and_changes_nothing() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n")]);
    let mut running = run(&sandbox, &["--grace-period", "600"]).start();
    running.wait_for_stdout("ready");
    running.signal("TERM");
    running.wait_for_stdout("[launcher] stopping: SIGTERM");
    for (command, names) in
        [("reload", &[][..]), ("start", &["all_x.sh"]), ("stop", &["all_x.sh"]), ("restart", &["all_x.sh"])]
    {
        let refused = asked(&sandbox, 1, command, names);
        assert!(refused.stderr.contains("the launcher is being stopped"), "{command}: {}", refused.stderr);
    }
    assert_eq!(of(&sandbox, "all_x.sh")["state"], "stopping");
    assert!(running.is_running());
}

#[test]
fn a_launcher_that_does_not_answer_is_not_waited_for() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    let supervisor = running.supervisor();
    sandbox::send("STOP", &[supervisor]);
    // What is to be done may take as long as it takes.
    let orders: [&[&str]; 4] = [&["reload"], &["start", "all_x.sh"], &["restart", "all_x.sh"], &["stop", "all_x.sh"]];
    let orders = orders.map(|words| sandbox.launcher(words).args(["--control", "s"]).start());
    let begun = Instant::now();
    let refused = asked(&sandbox, 2, "status", &[]);
    assert!(refused.stderr.contains("the launcher at `s` does not answer"), "{}", refused.stderr);
    assert!(begun.elapsed() < Duration::from_secs(10) + sandbox::margin());
    sandbox::send("CONT", &[supervisor]);
    for order in orders {
        let done = order.wait();
        assert_eq!(done.status.code(), Some(0), "{}", done.stderr);
    }
}

#[test]
fn a_client_that_says_more_than_its_request_is_answered() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    let more = [b"status\n".to_vec(), b"x".repeat(30_000)].concat();
    assert!(exchange(&sandbox, &more).last().is_some_and(|record| record["ok"] == Json::Bool(true)));
}

#[test]
fn a_client_that_is_gone_before_its_answer_is_not_heard_of_again() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n")]);
    let running = run(&sandbox, &["--grace-period", "600"]).start();
    running.wait_for_stdout("ready");
    let mut client = connect(&sandbox);
    client.write_all(b"stop all_x.sh\n").expect("sent");
    wait_for_state(&sandbox, "all_x.sh", "stopping");
    drop(client);
    processes::wait_for_sleep("nobody has news", &[running.pid(), running.supervisor()]);
}

#[test]
fn whoever_asks_nobody_is_told_the_next_step() {
    let sandbox = Sandbox::new();
    for (command, operands) in
        [("status", &[][..]), ("reload", &[]), ("stop", &["x"]), ("start", &["x"]), ("restart", &["x"])]
    {
        let refused = asked(&sandbox, 2, command, operands);
        assert!(refused.stderr.contains("no launcher answers at `s`"), "{}", refused.stderr);
        assert!(refused.stderr.contains("was it started with --control?"), "{}", refused.stderr);
        let unnamed = sandbox.launcher([command]).args(operands).output();
        assert_eq!(unnamed.status.code(), Some(2));
        assert!(unnamed.stderr.contains("--control SOCKET"), "{}", unnamed.stderr);
    }
    asked(&sandbox, 2, "stop", &[]);
    asked(&sandbox, 2, "reload", &["x"]);
    asked(&sandbox, 2, "status", &["--format", "xml"]);
}

#[test]
fn the_socket_is_found_by_option_variable_and_file() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    sandbox.write("lmcache.yaml", "extra_config: {plugin.launcher.control: s}\n");
    let running = sandbox.launcher(["run", "--config", "lmcache.yaml", "plugins"]).start();
    running.wait_for_stdout("ready");
    asked(&sandbox, 0, "status", &[]);
    let ok = |launch: Launch| assert_eq!(launch.output().status.code(), Some(0));
    ok(sandbox.launcher(["status", "--config", "lmcache.yaml"]));
    ok(sandbox.launcher(["status"]).env("LMCACHE_PLUGIN_LAUNCHER_CONTROL", "s"));
    ok(sandbox.launcher(["status", "--control", "s"]).env("LMCACHE_PLUGIN_LAUNCHER_CONTROL", "other"));
    // Who listens takes them in the same order, and an empty variable for none.
    for (option, variable, expected) in
        [("option", "variable", "option"), ("", "variable", "variable"), ("", "", "file")]
    {
        sandbox.write("other.yaml", "extra_config: {plugin.launcher.control: file}\n");
        let options: &[&str] = if option.is_empty() { &[] } else { &["--control", option] };
        let launch = sandbox.launcher(["run", "--config", "other.yaml", "plugins"]).args(options);
        let listening = launch.env("LMCACHE_PLUGIN_LAUNCHER_CONTROL", variable).start();
        listening.wait_for_stdout("ready");
        let sockets = ["option", "variable", "file"].into_iter();
        let made: Vec<&str> = sockets.filter(|name| fs::symlink_metadata(sandbox.path(name)).is_ok()).collect();
        assert_eq!(made, [expected]);
        listening.signal("TERM");
        listening.wait();
    }
}

// ---------------------------------------------------------------- with PROGRAM, and below another

#[test]
fn plugins_and_program_are_told_where_to_ask() {
    let ask = "\"$LMCACHE_PLUGIN_LAUNCHER_BIN\" status --format json all_x.sh | grep -c '\"state\":\"running\"'";
    let sandbox = Sandbox::with([("all_x.sh", RUNS), ("all_y.sh", &format!("#!/bin/sh\n{ask}\nexec sleep 1000\n"))]);
    let program = format!("until {ask}; do sleep 0.05; done; cd /; {ask}; read line");
    let mut running =
        run(&sandbox, &["--quiet"]).args(["--", "sh", "-c", &program]).stdin(std::process::Stdio::piped()).start();
    running.wait_for_stdout("[all_y.sh] 1");
    wait_for("the program asked twice", || running.stdout().lines().filter(|line| *line == "1").count() == 2);
    let all = asked(&sandbox, 0, "status", &["--format", "json"]).records();
    let program = all.iter().find(|record| record.has("program")).expect("the program's pid")["program"].number();
    let children = processes::children_of(running.supervisor());
    assert!(children.iter().any(|pid| f64::from(*pid) == program), "{children:?}");
    assert!(asked(&sandbox, 0, "status", &[]).text().contains(&format!("PROGRAM has pid {program}")));
    running.write("end\n");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn a_launcher_below_another_leaves_its_socket_alone() {
    let inner = "\"$LMCACHE_PLUGIN_LAUNCHER_BIN\" run inner";
    let sandbox = Sandbox::with([("all_outer.sh", &*format!("#!/bin/sh\n{inner}\n"))]);
    sandbox.write("inner/all_inner.sh", RUNS);
    // As a plugin, and as what PROGRAM starts, with an environment of its own choice or not.
    let program = format!("{inner} --parent-pid 0 & env {inner} --parent-pid 0");
    let running = run(&sandbox, &[]).args(["--", "sh", "-c", &program]).start();
    running.wait_for_stdout("[all_outer.sh] [all_inner.sh] ready");
    wait_for("both of the program's", || {
        running.stdout().lines().filter(|line| *line == "[all_inner.sh] ready").count() == 2
    });
    let names: Vec<String> = plugins(&sandbox).iter().map(|record| record["plugin"].text()).collect();
    assert_eq!(names, ["all_outer.sh"]);
    for complaint in ["another launcher", "control socket"] {
        assert!(!(running.stdout() + &running.stderr()).contains(complaint), "{}", running.stdout());
    }
}

// ---------------------------------------------------------------- clients that mean no good

#[test]
fn two_hundred_ask_at_once() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    // All are connected before the first one asks.
    let mut clients: Vec<UnixStream> = (0..200).map(|_| connect(&sandbox)).collect();
    for (index, client) in clients.iter_mut().enumerate() {
        let request: &[u8] = if index % 50 == 7 { b"restart all_x.sh\n" } else { b"status\n" };
        client.write_all(request).expect("sent");
    }
    for client in &mut clients {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        assert!(answer.ends_with("{\"ok\":true}\n"), "{answer}");
    }
}

#[test]
fn bad_clients_harm_nobody_but_themselves() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    // Says nothing; says half of it; reads nothing.
    let silent = connect(&sandbox);
    let mut half = connect(&sandbox);
    half.write_all(b"stat").expect("sent");
    let mut deaf = connect(&sandbox);
    deaf.write_all(b"status\n").expect("sent");
    asked(&sandbox, 0, "status", &[]);
    // Ten megabytes, with and without lines.
    for piece in [&b"x"[..], b"status\n", b"x\n", b"\0"] {
        let mut flood = connect(&sandbox);
        let block = piece.repeat(65_536 / piece.len());
        let sent = (0..160).take_while(|_| flood.write_all(&block).is_ok()).count();
        assert!(sent < 160, "it is cut off");
        asked(&sandbox, 0, "status", &[]);
    }
    for garbage in
        [&b"\n"[..], b"\xff\xfe\n", b"{\"status\":1}\n", b"status \"\n", b"start\n", b"reload now\n", b"STATUS\n", b"x"]
    {
        let mut stream = connect(&sandbox);
        stream.write_all(garbage).expect("sent");
        stream.shutdown(std::net::Shutdown::Write).expect("no more");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("answered");
        let last = Json::parse(answer.trim_end());
        assert!(last["ok"] == Json::Bool(false) && last.has("error"), "{garbage:?}: {answer}");
    }
    // Half a request is whole when its end comes.
    half.write_all(b"us\n").expect("sent");
    let mut answer = String::new();
    half.read_to_string(&mut answer).expect("answered");
    assert!(answer.contains("all_x.sh"), "{answer}");
    drop((silent, deaf));
    asked(&sandbox, 0, "status", &[]);
}

#[test]
fn who_waits_for_an_answer_is_not_pushed_out_by_those_who_ask_nothing() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n")]);
    let running = run(&sandbox, &["--grace-period", "1"]).start();
    running.wait_for_stdout("ready");
    let mut waits = connect(&sandbox);
    waits.write_all(b"stop all_x.sh\n").expect("sent");
    wait_for_state(&sandbox, "all_x.sh", "stopping");
    let crowd: Vec<UnixStream> = (0..400).map(|_| connect(&sandbox)).collect();
    let mut answer = String::new();
    waits.read_to_string(&mut answer).expect("answered");
    assert!(answer.ends_with("{\"ok\":true}\n"), "{answer}");
    drop(crowd);
}

#[test]
fn what_all_together_may_wait_for_is_bounded() {
    const PLUGINS: usize = 100;
    // So many plugins may be waited for.
    const MOST: usize = 16 * 1024;
    let deaf = "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n";
    let sandbox = Sandbox::with([("all_deaf.sh", deaf)]);
    let others: Vec<String> = (1..PLUGINS).map(|n| format!("all_{n}.sh")).collect();
    others.iter().for_each(|name| drop(sandbox.plugin(name, "#!/bin/sh\n")));
    let running = run(&sandbox, &["--grace-period", "600"]).start();
    wait_for("all others have ended", || running.stdout().matches(": status 0\n").count() == PLUGINS - 1);
    let request = format!("stop all_deaf.sh {}\n", others.join(" "));
    let mut clients: Vec<UnixStream> = (0..MOST / PLUGINS + 2).map(|_| connect(&sandbox)).collect();
    clients.iter_mut().for_each(|client| client.write_all(request.as_bytes()).expect("sent"));
    for client in &mut clients[MOST / PLUGINS..] {
        let mut answer = String::new();
        client.read_to_string(&mut answer).expect("answered");
        assert_eq!(answer, "{\"ok\":false,\"error\":\"too many requests are being carried out\"}\n");
    }
    // Who asks only how things are waits for nothing.
    assert_eq!(of(&sandbox, "all_deaf.sh")["state"], "stopping");
}

#[test]
fn clients_leave_descriptors_for_plugins() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let script = "ulimit -n 40 && exec \"$LAUNCHER\" run --control s plugins";
    let running = sandbox.command("sh", ["-c", script]).start();
    running.wait_for_stdout("ready");
    let crowd: Vec<UnixStream> = (0..100).map(|_| connect(&sandbox)).collect();
    let restarted = asked(&sandbox, 0, "restart", &["all_x.sh"]).text();
    assert!(restarted.contains("running"), "{restarted}");
    drop(crowd);
}

#[test]
fn where_plugins_took_all_descriptors_whoever_asks_waits_and_nothing_spins() {
    let sandbox = Sandbox::new();
    for n in 0..40 {
        sandbox.plugin(format!("all_{n}.sh"), RUNS);
    }
    let script = "ulimit -n 32; exec \"$LAUNCHER\" run --control s plugins";
    let running = sandbox.command("sh", ["-c", script]).start();
    running.wait_for_stdout("cannot be started: ");
    let supervisor = running.supervisor();
    // More than are left.
    let clients: Vec<UnixStream> = (0..16).map(|_| connect(&sandbox)).collect();
    let (began, before) = (Instant::now(), processes::ticks(supervisor));
    wait_for("a second has passed", || began.elapsed() > Duration::from_secs(1));
    // A hundred a second is what a spinning processor has, and a tenth of that where ten want it.
    let ticks = processes::ticks(supervisor) - before;
    assert!(ticks < 5, "{ticks}");
    drop(clients);
    asked(&sandbox, 1, "status", &[]);
}

#[test]
fn all_clients_together_cost_a_bounded_memory() {
    let resident = |pid: u32| -> u64 {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("it runs");
        let line = status.lines().find(|line| line.starts_with("VmRSS:")).expect("its memory");
        line.split_whitespace().nth(1).expect("a number").parse().expect("kB")
    };
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    asked(&sandbox, 0, "status", &[]);
    let supervisor = running.supervisor();
    let before = resident(supervisor);
    let mut most = before;
    // Nearly as long as a request may be, without an end; requests of many names; answers that nobody reads.
    let unfinished = "x".repeat(60_000);
    let of_many = format!("status{}\n", " all_x.sh".repeat(6_000));
    let of_short = format!("restart{}\n", " x".repeat(30_000));
    let of_one = format!("restart{}\n", " all_x.sh".repeat(6_000));
    for request in [unfinished, of_many, of_short, of_one] {
        let mut clients = Vec::new();
        for _ in 0..250 {
            let mut client = connect(&sandbox);
            client.set_write_timeout(Some(Duration::from_millis(200))).expect("a timeout");
            let _ = client.write_all(request.as_bytes());
            clients.push(client);
            most = most.max(resident(supervisor));
        }
        drop(clients);
        asked(&sandbox, 0, "status", &[]);
    }
    assert!(most - before <= 4096, "{} kB", most - before);
}

#[test]
fn another_user_is_not_answered() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    sandbox.launcher(["install", "."]).output();
    assert_eq!(fs::metadata(sandbox.path("s")).expect("there").mode() & 0o777, 0o600);
    if fs::metadata("/proc/self").expect("proc").uid() != 0 {
        // Only root can be another user as well: for everybody else the mode above is the promise.
        return;
    }
    // As if somebody had opened it to everybody.
    sandbox.mode("s", 0o666);
    let program = sandbox.text("lmcache-plugin-launcher");
    let other = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", &program, "status", "--control"];
    let refused = sandbox.command(other[0], &other[1..]).args([sandbox.text("s")]).output();
    assert_eq!(refused.status.code(), Some(2), "{}", refused.stderr);
    assert_eq!(refused.text(), "");
    assert!(refused.stderr.contains("the launcher at"), "it is there: {}", refused.stderr);
    asked(&sandbox, 0, "status", &[]);
}

#[test]
fn a_launcher_that_was_stopped_answers_nobody_and_nobody_waits_for_ever() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    let both = [running.pid(), running.supervisor()];
    sandbox::send("STOP", &both);
    for pid in both {
        wait_for("it is stopped", || processes::read(pid).is_some_and(|process| process.state == 'T'));
    }
    let commands = ["status", "reload", "stop", "start", "restart"];
    let names = |command: &&str| if ["status", "reload"].contains(command) { &[][..] } else { &["all_x.sh"][..] };
    let asking = commands.map(|command| sandbox.launcher([command, "--control", "s"]).args(names(&command)).start());
    for (command, asking) in commands.into_iter().zip(asking) {
        let output = asking.wait_within(Duration::from_secs(30));
        assert_eq!(output.status.code(), Some(2), "{command}");
        assert!(output.stderr.contains("does not answer"), "{command}: {}", output.stderr);
    }
    sandbox::send("CONT", &both);
    wait_for_state(&sandbox, "all_x.sh", "running");
}

#[test]
fn a_stop_that_takes_its_time_is_waited_for() {
    let sandbox =
        Sandbox::with([("all_deaf.sh", "#!/bin/sh\ntrap '' TERM\necho ready\nwhile :; do sleep 0.1; done\n")]);
    // Longer than any launcher may be silent.
    let grace_period = Duration::from_secs(6);
    let running = run(&sandbox, &["--grace-period", "6"]).start();
    running.wait_for_stdout("ready");
    let began = Instant::now();
    asked(&sandbox, 0, "stop", &["all_deaf.sh"]);
    assert!(began.elapsed() >= grace_period);
    assert_eq!(of(&sandbox, "all_deaf.sh")["state"], "stopped");
}

#[test]
fn a_socket_whose_queue_is_full_holds_up_nobody() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let full = "import socket, time\n\
        listener = socket.socket(socket.AF_UNIX)\nlistener.bind('s')\nlistener.listen(0)\nclients = []\n\
        try:\n    \
            while True:\n        \
                clients.append(socket.socket(socket.AF_UNIX))\n        \
                clients[-1].setblocking(False)\n        \
                clients[-1].connect('s')\n\
        except BlockingIOError:\n    \
            print('full', flush=True)\n\
        time.sleep(1000)\n";
    let running = sandbox.command("python3", ["-c", full]).start();
    running.wait_for_stdout("full");
    let asking = ["status", "stop"].map(|command| sandbox.launcher([command, "--control", "s", "all_x.sh"]).start());
    run(&sandbox, &[]).start().wait_within(Duration::from_secs(20)).assert_refused(&["does not answer"]);
    for asking in asking {
        assert_eq!(asking.wait_within(Duration::from_secs(20)).status.code(), Some(2));
    }
}

// ---------------------------------------------------------------- the socket in the file system

#[test]
fn of_all_that_start_at_once_on_a_stale_socket_one_has_it() {
    for _ in 0..5 {
        let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
        drop(UnixListener::bind(sandbox.path("s")).expect("bound"));
        let mut starting: Vec<Running> = (0..8).map(|_| run(&sandbox, &["--parent-pid", "0"]).start()).collect();
        wait_for("all but one are refused", || {
            starting.retain_mut(Running::is_running);
            starting.len() == 1
        });
        starting[0].wait_for_stdout("ready");
        asked(&sandbox, 0, "status", &["all_x.sh"]);
    }
}

#[test]
fn a_stale_socket_is_replaced_and_a_live_one_is_not() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let other = UnixListener::bind(sandbox.path("s")).expect("bound");
    let refused = run(&sandbox, &[]).output();
    refused.assert_refused(&["another launcher answers there", "`s`"]);
    // With PROGRAM it is a warning, and the socket is the other's still.
    let done = run(&sandbox, &[]).args(["--", "sh", "-c", "echo \"[$LMCACHE_PLUGIN_LAUNCHER_CONTROL]\""]).output();
    assert_eq!(done.status.code(), Some(0));
    assert!(done.text().contains("[]\n"), "{}", done.text());
    drop(other);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    asked(&sandbox, 0, "status", &[]);
    run(&sandbox, &[]).output().assert_refused(&["another launcher answers there"]);
    asked(&sandbox, 0, "status", &[]);
}

#[test]
fn a_socket_that_cannot_be_is_status_2_and_never_keeps_program_from_running() {
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    sandbox.write("file", "precious");
    sandbox.link("file", "link");
    sandbox.link("nothing", "dangling");
    sandbox.mkfifo("fifo");
    let absolute = |length: usize| {
        let directory = sandbox.text("");
        format!("{directory}{}", "s".repeat(length - directory.len()))
    };
    let (longest, too_long) = (absolute(107), absolute(108));
    for (path, mention) in [
        (&*too_long, "longer than the 107 bytes"),
        ("nowhere/s", "No such file or directory"),
        ("file/s", "Not a directory"),
        ("/proc/s", "/proc/s"),
        ("file", "no socket"),
        ("link", "no socket"),
        ("dangling", "no socket"),
        ("fifo", "no socket"),
        ("plugins", "no socket"),
    ] {
        sandbox.launcher(["run", "--control", path, "plugins"]).output().assert_refused(&["control socket", mention]);
        let done =
            sandbox.launcher(["run", "--control", path, "plugins", "--", "sh", "-c", "sleep 0.3; exit 7"]).output();
        assert_eq!(done.status.code(), Some(7), "{path}");
        assert!(
            done.text().contains("[launcher] warning: control socket") && done.text().contains(mention),
            "{path}: {}",
            done.text()
        );
    }
    assert_eq!(sandbox.read("file"), "precious");
    assert!(fs::symlink_metadata(sandbox.path("link")).expect("there").is_symlink());
    assert!(fs::symlink_metadata(sandbox.path("dangling")).expect("there").is_symlink());
    assert!(fs::metadata(sandbox.path("fifo")).expect("there").file_type().is_fifo());
    // The longest that can be is one.
    let running = sandbox.launcher(["run", "--control", &longest, "plugins"]).start();
    running.wait_for_stdout("ready");
    assert_eq!(sandbox.launcher(["status", "--control", &longest]).output().status.code(), Some(0));
}

#[test]
fn the_socket_is_gone_when_the_launcher_is_however_it_ends() {
    let socket = |sandbox: &Sandbox| fs::symlink_metadata(sandbox.path("s")).is_ok();
    type End = fn(&Running);
    let ends: [(&str, End); 4] = [
        ("TERM", |running| running.signal("TERM")),
        ("guard killed", |running| running.signal("KILL")),
        ("supervisor killed", |running| sandbox::send("KILL", &[running.supervisor()])),
        ("by itself", |running| sandbox::send("USR1", &processes::children_of(running.supervisor()))),
    ];
    for (what, end) in ends {
        let plugin = "#!/bin/sh\ntrap 'exit 0' USR1\necho ready\nwhile :; do sleep 0.05; done\n";
        let sandbox = Sandbox::with([("all_x.sh", plugin)]);
        let running = run(&sandbox, &[]).start();
        running.wait_for_stdout("ready");
        assert!(socket(&sandbox));
        end(&running);
        running.wait();
        wait_for(&format!("the socket is gone: {what}"), || !socket(&sandbox));
        sandbox.assert_nothing_left(PATIENCE);
    }
    // One that is another's by then is left alone.
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    let running = run(&sandbox, &[]).start();
    running.wait_for_stdout("ready");
    fs::remove_file(sandbox.path("s")).expect("removed");
    let _other = UnixListener::bind(sandbox.path("s")).expect("bound");
    running.signal("TERM");
    running.wait();
    assert!(fs::metadata(sandbox.path("s")).expect("there").file_type().is_socket());
    // Where PROGRAM cannot be run nothing stays, either.
    let sandbox = Sandbox::with([("all_x.sh", RUNS)]);
    assert_eq!(run(&sandbox, &[]).args(["--", "/nowhere/program"]).output().status.code(), Some(127));
    assert!(!socket(&sandbox));
}
