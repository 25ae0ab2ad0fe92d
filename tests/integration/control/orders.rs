//! What a running launcher is told to do: `stop`, `start`, `restart`, `reload`.

use std::ffi::OsStr;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixStream;
use std::process::Stdio;
use std::time::{Duration, Instant};

use super::{LEAVES, RUNS, ask, asked, child_of, connect, exchange, of, plugins, run, wait_for_state};
use crate::json::Json;
use crate::processes;
use crate::sandbox::{self, Sandbox, wait_for};

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
fn one_in_backoff_does_not_run_and_is_started_at_once() {
    let sandbox = Sandbox::with([("all_x.sh", "#!/bin/sh\n[ -e go ] || exit 3\nexec sleep 1000\n")]);
    let running = run(&sandbox, &["--restart", "always"]).start();
    // Long enough to ask in.
    running.wait_for_stdout("[launcher] restarting all_x.sh in 4 s");
    sandbox.write("go", "");
    let started = asked(&sandbox, 0, "start", &["all_x.sh"]).text();
    assert!(started.contains("running") && !started.contains("runs already"), "{started}");
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
fn where_there_is_no_plugin_at_all_a_name_is_told_so() {
    let sandbox = Sandbox::new();
    let _running = run(&sandbox, &["--watch"]).start();
    wait_for("it answers", || ask(&sandbox, "status", &[]).status.code() == Some(0));
    let refused = asked(&sandbox, 1, "stop", &["all_x.sh"]);
    assert!(refused.stderr.ends_with("there is no plugin `all_x.sh`: none runs here\n"), "{}", refused.stderr);
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
    wait_for("another one runs", || {
        let record = of(&sandbox, "all_same.sh");
        record.has("pid") && record["pid"].number() != pid
    });
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
fn who_waits_for_a_plugin_is_answered_also_where_everything_stops_meanwhile() {
    let cleaner = "#!/bin/bash\ntrap 'until [ -e go ]; do sleep 0.02; done; exit' TERM\necho ready\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_x.sh", cleaner)]);
    let running = run(&sandbox, &["--grace-period", "600"]).start();
    running.wait_for_stdout("ready");
    let mut client = connect(&sandbox);
    client.write_all(b"stop all_x.sh\n").expect("sent");
    wait_for_state(&sandbox, "all_x.sh", "stopping");
    running.signal("TERM");
    running.wait_for_stdout("[launcher] stopping: SIGTERM");
    sandbox.write("go", "");
    let mut answer = String::new();
    client.read_to_string(&mut answer).expect("an answer and its end");
    assert!(answer.contains("\"state\":\"stopped\"") && answer.ends_with("{\"ok\":true}\n"), "{answer}");
    assert_eq!(running.wait().status.code(), Some(0));
}

#[test]
fn who_is_being_removed_when_the_program_ends_keeps_its_grace_period() {
    let cleaner = "#!/bin/bash\ntrap 'touch asked; until [ -e go ]; do sleep 0.02; done; echo cleaned; exit 0' TERM\n\
        echo ready\nwhile :; do sleep 0.02; done\n";
    let sandbox = Sandbox::with([("all_cleaner.sh", cleaner), ("all_x.sh", "#!/bin/sh\nexec sleep 1000\n")]);
    let general = "extra_config:\n  plugin.launcher.grace_period: 0.1\n";
    sandbox.write("lmcache.yaml", format!("{general}  plugin.all_cleaner.grace_period: 600\n"));
    let options =
        ["run", "--control", "s", "--config", "lmcache.yaml", "plugins", "--", "sh", "-c", "read end; exit 3"];
    let mut running = sandbox.launcher(options).stdin(Stdio::piped()).start();
    running.wait_for_stdout("] ready");
    fs::remove_file(sandbox.path("plugins/all_cleaner.sh")).expect("removed");
    // From now on no plugin that is found has a long one.
    sandbox.write("lmcache.yaml", general);
    assert_eq!(sandbox.launcher(["reload", "--control", "s"]).output().status.code(), Some(0));
    wait_for("it is asked", || sandbox.path("asked").exists());
    running.close_stdin();
    running.wait_for_stdout("stopping: the program ended");
    // What the guard gives a supervisor beyond that is three seconds.
    let since = Instant::now();
    wait_for("the general one is long over", || since.elapsed() > Duration::from_millis(3_500));
    sandbox.write("go", "");
    let done = running.wait();
    assert_eq!(done.status.code(), Some(3));
    assert!(done.lines_of("all_cleaner.sh").ends_with(&["cleaned".to_owned()]), "{}", done.text());
}
