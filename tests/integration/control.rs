//! The control socket: what a running launcher answers, to whom, and what no client can do to it.

mod clients;
mod orders;
mod socket;

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;

use crate::json::Json;
use crate::processes;
use crate::sandbox::{Launch, Output, PATIENCE, Running, Sandbox, wait_for};

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

pub fn connect(sandbox: &Sandbox) -> UnixStream {
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
